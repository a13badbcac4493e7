"""What a rank had to do: counts that its times can be explained by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simcore.description.network import Network
from simcore.description.neurons import PoissonSource
from simcore.description.population import PopulationView
from simcore.description.rates import largest
from simcore.description.stimulus import Poisson
from simcore.discretization.limits import pieces
from simcore.numerics.clock import Clock
from simcore.shards.local_neurons import LocalNeurons
from simcore.shards.shard_spec import Inventory

# Each is a count of one rank, see docs/file-format.md
COUNTS = (
    "updates", "draws", "events", "runs", "lookups", "sent", "received", "meetings", "epochs",
    "recorded",
)  # fmt: skip


def neuron_work(
    network: Network, neurons: LocalNeurons, dt: float, begin: int, end: int
) -> dict[str, int]:
    """Return how many updates the neurons took, and how many Poisson numbers were drawn.

    Parameters
    ----------
    network : Network
        The model.
    neurons : LocalNeurons
        Those of the rank.
    dt : float
        Time step [ms].
    begin, end : int
        The steps that were taken.
    """

    def local(view: PopulationView) -> int:
        return neurons.count(view.ids)

    updates = sum(local(p.view()) for p in network.populations if p.neuron is not None)
    draws = sum(
        local(view) * _active_steps(process, Clock(dt), begin, end)
        for view, process in poisson_processes(network)
    )
    return {"updates": updates * (end - begin), "draws": draws}


def poisson_processes(
    network: Network,
) -> list[tuple[PopulationView, Poisson | PoissonSource]]:
    """Return who draws Poisson numbers, and of which process."""
    found: list[tuple[PopulationView, Poisson | PoissonSource]] = []
    found += [(d.target, d.stimulus) for d in network.drives if isinstance(d.stimulus, Poisson)]
    found += [
        (p.view(), p.model) for p in network.populations if isinstance(p.model, PoissonSource)
    ]
    return [(view, process) for view, process in found if largest(process.rate) > 0.0]


def delivery_work(
    network: Network, inventories: Sequence[Inventory], emitted: NDArray[np.int64]
) -> dict[str, int]:
    """Return how many synapses, runs and rows the spikes of the whole network met on a rank.

    The spikes of a population count as if each of its neurons had emitted equally many.

    Parameters
    ----------
    network : Network
        The model.
    inventories : sequence of Inventory
        Those of the shards of the rank.
    emitted : ndarray of int64, shape (n_populations,)
        Spikes of each population, of all ranks.
    """
    fan_out = np.sum([own.fan_out for own in inventories], axis=0)
    sizes = np.array([p.size for p in network.populations])
    runs, events = (emitted / sizes) @ fan_out
    return {
        "events": round(float(events)),
        "runs": round(float(runs)),
        "lookups": int(emitted.sum()) * sum(own.lookups for own in inventories),
    }


def _active_steps(process: Poisson | PoissonSource, clock: Clock, begin: int, end: int) -> int:
    """Return in how many of some steps a process draws."""
    found = [(start, stop) for rate, start, stop in pieces(process, clock) if largest(rate) > 0]
    return sum(max(0, min(end, stop) - max(begin, start)) for start, stop in found)
