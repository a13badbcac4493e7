"""One rank of many, built and run alone: measured instead of predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from simcore.description.network import Network
from simcore.numerics.spikes import GID_BITS, NO_SPIKES, Spikes
from simcore.planning.ranks import Setup
from simcore.planning.rates import Rates
from simcore.services.comm import RehearsalComm, SerialComm
from simcore.services.memory import peak_bytes
from simcore.services.progress import Progress
from simcore.shards.local_neurons import LocalNeurons
from simcore.simulation.simulation import Simulation
from simcore.simulation.spike_exchange import SpikeExchange

# Model time to advance at most [ms], and wall-clock time after which that is enough [s]
_LONGEST, _PATIENCE = 100.0, 3.0


@dataclass(frozen=True)
class Rehearsal:
    """What was measured of one rank.

    Parameters
    ----------
    rank : int
        Which.
    n_neurons, n_synapses, table_bytes : int
        What it owns, and the memory of its synapses [B].
    build_bytes, peak_bytes : int
        Largest memory of the process up to the end of the build, and of all [B].
    build : float
        Wall-clock time of the build [s].
    model_time : float
        How far it was advanced; 0 without rates [ms].
    phases : mapping of str to float
        Wall-clock time of "update" and "deliver" in a second of model time [s].
    sent, received : float
        Its own spikes, and the synthetic ones of other ranks, in a second of model time.
    """

    rank: int
    n_neurons: int
    n_synapses: int
    table_bytes: int
    build_bytes: int
    peak_bytes: int
    build: float
    model_time: float
    phases: Mapping[str, float]
    sent: float
    received: float


def rehearse(
    network: Network,
    setup: Setup,
    rank: int,
    rates: Rates,
    epoch: int,
    progress: Progress | None = None,
) -> Rehearsal:
    """Build one rank of many as in a real run, and advance it by up to 100 ms.

    The spikes of the other ranks are drawn at the rates given, each neuron a Poisson process.
    Nothing is exchanged or recorded.

    Parameters
    ----------
    network : Network
        The model.
    setup : Setup
        How it would be run.
    rank : int
        Which rank.
    rates : Rates
        How often neurons spike; the rank is not advanced where these are unknown.
    epoch : int
        Steps between two exchanges; fewer where a synapse of the rank is faster.
    progress : Progress, optional
        Where to report how far the build is.

    Raises
    ------
    CapacityError
        When the rank does not fit the memory of this machine.
    """
    simulation = Simulation(
        network,
        _Alone(rank, setup.n_ranks),
        progress,
        dt=setup.dt,
        backend=setup.backend,
        partitioner=setup.partitioner,
        precision=setup.precision,
        threads=setup.threads,
    )
    built = peak_bytes()
    simulation.warm_up()
    epoch = simulation.epoch_steps = min(simulation.epoch_steps, epoch)
    others = SyntheticSpikes(network, simulation.neurons, rates, epoch, setup.dt)
    seconds: dict[str, float] = {}
    if rates.known:
        simulation.exchange = others
        seconds = _advance(simulation)
    model_time = simulation.step * setup.dt
    per_second = 1e3 / model_time if model_time else 0.0
    # Nothing arrives in the first epoch
    past = model_time - epoch * setup.dt
    return Rehearsal(
        rank=rank,
        n_neurons=simulation.neurons.size,
        n_synapses=sum(own.n_synapses for own in simulation.inventory),
        table_bytes=sum(own.nbytes for own in simulation.inventory),
        build_bytes=built,
        peak_bytes=peak_bytes(),
        build=simulation.timers.seconds["build"],
        model_time=model_time,
        phases={phase: time * per_second for phase, time in seconds.items()},
        sent=others.sent * per_second,
        received=others.received * (1e3 / past if past > 0.0 else 0.0),
    )


class SyntheticSpikes(SpikeExchange):
    """Takes the place of a `SpikeExchange`: other ranks spike at random, at given rates.

    Parameters
    ----------
    network : Network
        The model.
    neurons : LocalNeurons
        Those of this rank.
    rates : Rates
        How often neurons spike.
    epoch : int
        Steps between two exchanges.
    dt : float
        Time step [ms].

    Attributes
    ----------
    sent, received : int
        Spikes of this rank, and of the others, so far.
    """

    def __init__(
        self, network: Network, neurons: LocalNeurons, rates: Rates, epoch: int, dt: float
    ) -> None:
        super().__init__(SerialComm())
        self._neurons, self._epoch = neurons, epoch
        self._ranges = [p.view().gid_range for p in network.populations]
        self._means = rates.values * [p.size for p in network.populations] * 1e-3 * dt * epoch
        self._rng = np.random.default_rng(network.seed)
        self._origin: int | None = None
        self.sent = self.received = 0

    def start(self, spikes: Spikes) -> None:
        """Take the spikes of an epoch."""
        self.sent += spikes.size
        self._origin = spikes.origin

    def wait(self) -> Spikes:
        """Return spikes of other ranks in the last epoch."""
        if self._origin is None:
            return NO_SPIKES
        numbers = self._rng.poisson(self._means)
        gids = np.concatenate(
            [self._rng.integers(*r, n) for r, n in zip(self._ranges, numbers, strict=True)]
        )
        own = self._neurons.gids
        place = np.minimum(np.searchsorted(own, gids), own.size - 1)
        gids = gids[own[place] != gids] if own.size else gids
        steps = self._rng.integers(0, self._epoch, gids.size)
        self.received += gids.size
        return Spikes(self._origin, steps << GID_BITS | gids)


class _Alone(RehearsalComm):
    """The others are elsewhere, and take none of the memory here."""

    def allgather(self, value: Any) -> list[Any]:
        """Return the value of this rank alone."""
        return [value]


def _advance(simulation: Simulation) -> dict[str, float]:
    """Advance by some epochs; return the time spent in each phase [s]."""
    before = simulation.backend.phase_seconds()
    epoch = simulation.epoch_steps * simulation.clock.dt
    begin = perf_counter()
    while simulation.step * simulation.clock.dt < _LONGEST and perf_counter() - begin < _PATIENCE:
        simulation.run(epoch)
        simulation.backend.samples()
    after = simulation.backend.phase_seconds()
    return {phase: after[phase] - before[phase] for phase in after}
