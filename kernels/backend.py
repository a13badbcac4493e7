"""The contract between the simulation and the arithmetic.

A backend owns the state of one shard and advances it by whole epochs. Everything that concerns a
step stays inside: spikes to local targets are delivered without leaving it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.description.drawing import parameter
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import Spikes
from simcore.shards.neuron_state import NeuronState
from simcore.shards.shard_spec import Inventory, ShardSpec


@dataclass(frozen=True)
class Probe:
    """Neurons of which a column is sampled.

    Parameters
    ----------
    lids : ndarray of int64, shape (n,)
        Which neurons.
    interval : int
        Steps between two samples; the first is taken at the end of step ``interval - 1``.
    column : str
        What is sampled, of models that all have it: reals or refractory steps.
    """

    lids: NDArray[np.int64]
    interval: int
    column: str = "V_m"


class Backend(ABC):
    """The state of a shard, and the arithmetic that advances it.

    For step t in ascending order:

    1. input: every spike of step t - d, for every delay d, adds the weights of its synapses of
       delay d to the input of their targets; Poisson stimuli add theirs,
    2. update: the neurons take one step, using the input; those that reach the threshold spike,
    3. sampling: probes that are due read their columns.

    Results are equal to the last bit for any backend, partition and division into epochs.

    Parameters
    ----------
    shard : ShardSpec
        What the rank owns: a `Shard`, with its synapses, where the backend does not draw them.
    probes : tuple of Probe
        What to sample.
    precision : {"float64", "float32"}
        Type of the state.
    """

    name: str

    runs_beside_host = False
    """Whether `start` returns before the epoch is over."""

    runs_ahead = False
    """Whether the next epoch may be started before `finish`, where nothing comes from elsewhere."""

    def __init__(
        self, shard: ShardSpec, probes: tuple[Probe, ...] = (), precision: str = "float64"
    ) -> None:
        self.shard = shard
        self.probes = probes
        self.dtype = np.dtype(precision)

    @abstractmethod
    def advance(self, epoch: Epoch, remote: Spikes) -> Spikes:
        """Advance the shard by an epoch.

        Parameters
        ----------
        epoch : Epoch
            Begins where the last one ended.
        remote : Spikes
            Spikes of other ranks' neurons not seen before. No synapse carries one to a step
            before the epoch.

        Returns
        -------
        Spikes
            What the neurons of the shard emitted, with ``origin = epoch.begin``.
        """

    @abstractmethod
    def inventory(self) -> list[Inventory]:
        """Return the synapses in numbers, for each shard."""

    def start(self, epoch: Epoch, remote: Spikes) -> None:
        """Begin to advance the shard by an epoch, see `advance`; `finish` returns what it emitted.

        A backend with a device of its own returns at once, and the host is free until `finish`;
        it has taken what it needs of `remote`. Others do everything in `finish`. In between only
        `samples` is called, which returns those of the epochs before.
        """
        self._begun = epoch, remote

    def finish(self) -> Spikes:
        """Return what the neurons emitted in the epoch that was started."""
        return self.advance(*self._begun)

    @abstractmethod
    def samples(self) -> list[NDArray[np.floating]]:
        """Return and forget what was sampled, one array (n_samples, n) for each probe."""

    def potentials(self) -> NDArray[np.floating]:
        """Return the membrane potential of every neuron, shape (n_local,) [mV]; 0 of sources."""
        state = self.state()
        found = np.zeros(state.gids.size, dtype=self.dtype)
        for population, (columns, span) in zip(
            self.shard.network.populations, state.spans(), strict=True
        ):
            neuron = population.neuron
            if neuron is not None and "V_m" in columns:
                column = neuron.layout.find("V_m")
                rest = "" if column is None else column.relative_to
                found[span] = columns["V_m"]
                if rest:
                    resting = parameter(population, rest, state.gids[span])
                    found[span] += np.asarray(resting).astype(self.dtype)
        return found

    @abstractmethod
    def state(self) -> NeuronState:
        """Return the state of all neurons, ascending by global id; valid until the next epoch."""

    @abstractmethod
    def restore(self, state: NeuronState, step: int, recent: Spikes) -> None:
        """Go on from a state that any backend returned; called before the first `advance`.

        Parameters
        ----------
        state : NeuronState
            Of at least the neurons of the shard.
        step : int
            The next step.
        recent : Spikes
            What all neurons of the network emitted in the last `max_delay` steps before.
        """

    def not_finite(self) -> dict[str, NDArray[np.int64]]:
        """Return the global ids of neurons with a column that is not a finite number, by column."""
        state = self.state()
        found: dict[str, list[NDArray[np.int64]]] = {}
        for columns, span in state.spans():
            for name, values in columns.items():
                wrong = ~np.isfinite(values)
                if wrong.any():
                    found.setdefault(name, []).append(state.gids[span][wrong])
        return {name: np.concatenate(gids) for name, gids in found.items()}

    def warm_up(self) -> None:  # noqa: B027
        """Do once what would otherwise delay the first epoch, such as compiling."""

    def phase_seconds(self) -> dict[str, float]:
        """Return the time spent so far in phases, as "deliver", "update", "waiting", "copy" [s]."""
        return {"deliver": 0.0, "update": 0.0}
