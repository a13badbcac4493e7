"""The plan of a run: what it takes on any number of ranks, from the description alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simcore.description.network import Network
from simcore.discretization.fixed_point import fixed_point
from simcore.estimates.expected_synapses import Expectation
from simcore.estimates.host_memory import table_bytes
from simcore.partition import partition
from simcore.planning.costs import CostModel, Prediction
from simcore.planning.crossing import epoch_steps, ranks_reached
from simcore.planning.files import file_sizes
from simcore.planning.memory import (
    Traffic,
    device_memory,
    host_memory,
    peak,
    recording_memory,
    traffic_of,
)
from simcore.planning.ranks import Ranks, Setup
from simcore.planning.rates import Rates
from simcore.planning.workload import Workload, expected_workload
from simcore.services.errors import ConfigError, require
from simcore.shards.local_neurons import Lids

# Most ranks that are looked at for a number that fits
_MOST_RANKS = 2**20


@dataclass(frozen=True)
class Spread:
    """A number that differs between ranks.

    Parameters
    ----------
    min, mean, max : float
        Over ranks.
    """

    min: float
    mean: float
    max: float

    @classmethod
    def of(cls, values: NDArray[np.number], counts: NDArray[np.integer] | None = None) -> Spread:
        """Return the spread of values, of which each stands for `counts` ranks."""
        mean = np.average(values, weights=counts)
        return cls(float(values.min()), float(mean), float(values.max()))


@dataclass(frozen=True)
class Plan:
    """What a run takes. Everything here is expected or predicted.

    Parameters
    ----------
    setup : Setup
        How it would be run.
    rates : Rates
        The rates it is planned with.
    neurons, synapses, spikes : Spread
        Of a rank; spikes of its neurons in a second of model time.
    memory : dict of str to Spread
        Of a rank on its host, by what takes it; "peak" is the largest at a time, and its maximum
        that of the rank that takes most if it is rank 0, which records [B].
    recording : float
        What rank 0 takes in the run beside, which is in that maximum alone; 0 where rates are
        unknown [B].
    gpu_memory : dict of str to Spread
        Of a rank on its GPU; empty without one [B].
    files : dict of str to float
        Bytes that a second of model time adds by "spikes" and "samples", and the size of a
        "checkpoint" [B].
    epoch_steps : int
        Steps between two exchanges.
    reached : float
        Ranks that hold a target of a spike, in the mean over spikes, or over neurons where rates
        are unknown.
    workload : Workload
        What the ranks have to do; one entry for each kind of them.
    stands_for : ndarray of int64, shape (n_kinds,)
        For how many ranks each entry stands.
    time : Prediction or None
        How long it takes, where costs are known.
    efficiency : float
        Time of one rank over the sum of the times of all; NaN where costs are unknown.
    """

    setup: Setup
    rates: Rates
    neurons: Spread
    synapses: Spread
    spikes: Spread
    memory: dict[str, Spread]
    recording: float
    gpu_memory: dict[str, Spread]
    files: dict[str, float]
    epoch_steps: int
    reached: float
    workload: Workload
    stands_for: NDArray[np.int64]
    time: Prediction | None = None
    efficiency: float = float("nan")

    @property
    def peak(self) -> float:
        """Memory of the rank that takes most, as if it were rank 0 [B]."""
        return self.memory["peak"].max


@dataclass(frozen=True)
class RankPlan:
    """What is expected of a single rank.

    Parameters
    ----------
    memory : dict of str to float
        By what takes it, see `simcore.planning.memory.host_memory` [B].
    recording : float
        What it takes to merge and write what all ranks record [B].
    table_bytes : float
        Memory of its synapses [B].
    workload : Workload
        What it has to do; one entry.
    time : Prediction or None
        How long it takes, where costs are known.
    """

    memory: dict[str, float]
    recording: float
    table_bytes: float
    workload: Workload
    time: Prediction | None

    @property
    def peak(self) -> float:
        """Largest memory of the rank [B]."""
        return peak(self.memory, self.recording)


class Planner:
    """Makes the plans of a model for any number of ranks.

    Parameters
    ----------
    network : Network
        The model.
    rates : Rates
        How often its neurons spike.
    dt : float
        Time step [ms].
    costs : CostModel, optional
        What each piece of work costs.
    cores : float, optional
        Cores that a rank has; as many as threads if left out.

    Raises
    ------
    ModelError, CapacityError
        When the description cannot be built.
    """

    def __init__(
        self,
        network: Network,
        rates: Rates,
        dt: float = 0.1,
        costs: CostModel | None = None,
        cores: float | None = None,
    ) -> None:
        self.network, self.rates, self.dt = network, rates, dt
        self.costs, self.cores = costs, cores
        self.expectation = Expectation(network, fixed_point(network, dt), dt)

    def __call__(self, setup: Setup) -> Plan:
        """Return the plan for a number of ranks."""
        valid = "a whole number of at least 1"
        require(setup.n_ranks >= 1, "ranks", setup.n_ranks, valid, error=ConfigError)
        ranks = Ranks(self.network, setup)
        epoch = epoch_steps(self.expectation, ranks)
        chosen, stands_for = ranks.kinds
        load = expected_workload(self.expectation, ranks, chosen, self.rates, epoch)
        traffic = self._traffic(ranks, epoch)
        shards = [ranks.shards(int(rank)) for rank in chosen]
        host = [host_memory(self.expectation, own, setup, traffic) for own in shards]
        device = []
        if setup.backend == "cuda":
            device = [device_memory(self.expectation, own[0], setup, traffic) for own in shards]
        recording = recording_memory(self.expectation, setup, traffic)
        memory = _spreads(host, stands_for, peak)
        most = max(peak(parts, recording) for parts in host)
        memory["peak"] = replace(memory["peak"], max=most)
        time = self.costs.predict(load, self.cores) if self.costs and self.rates.known else None
        files = file_sizes(self.network, self.rates, self.dt)
        return Plan(
            setup=setup,
            rates=self.rates,
            neurons=Spread.of(ranks.n_neurons),
            synapses=Spread.of(ranks.n_synapses),
            spikes=Spread.of(ranks.per_neuron(self.rates.values)),
            memory=memory,
            recording=recording,
            gpu_memory=_spreads(device, stands_for, lambda parts: sum(parts.values())),
            files=files,
            epoch_steps=epoch,
            reached=ranks_reached(self.expectation, ranks, self.rates),
            workload=load,
            stands_for=stands_for,
            time=time,
            efficiency=self._efficiency(setup, time),
        )

    def of_rank(self, setup: Setup, rank: int) -> RankPlan:
        """Return what is expected of a single rank.

        Raises
        ------
        ConfigError
            When there is no such rank.
        """
        valid = f"in [0, {setup.n_ranks})"
        require(0 <= rank < setup.n_ranks, "rank", rank, valid, error=ConfigError)
        ranks = Ranks(self.network, setup)
        epoch = epoch_steps(self.expectation, ranks)
        load = expected_workload(self.expectation, ranks, np.array([rank]), self.rates, epoch)
        traffic = self._traffic(ranks, epoch)
        own = ranks.shards(rank)
        tables = [table for shard in own for table in self.expectation.tables(shard)]
        return RankPlan(
            memory=host_memory(self.expectation, own, setup, traffic),
            recording=recording_memory(self.expectation, setup, traffic) if rank == 0 else 0.0,
            table_bytes=sum(table_bytes(table, self.network.n_neurons) for table in tables),
            workload=load,
            time=self.costs.predict(load, self.cores) if self.costs and self.rates.known else None,
        )

    def fewest_ranks(
        self, plan: Plan, memory: float = math.inf, gpu_memory: float = math.inf
    ) -> int | None:
        """Return how many ranks would do, each with so much memory; None where none would.

        The first rank is taken for all, and epochs are those of the plan, or of two ranks.

        Parameters
        ----------
        plan : Plan
            For any number of ranks.
        memory, gpu_memory : float
            Of each rank on its host, and on its GPU [B].
        """
        setup, steps = plan.setup, plan.epoch_steps
        if setup.n_ranks == 1:
            # A rank alone need not meet
            steps = epoch_steps(self.expectation, Ranks(self.network, replace(setup, n_ranks=2)))

        def fits(n: int) -> bool:
            division = partition(self.network, n * setup.threads, setup.partitioner)
            own: list[Lids] = [division.owned(part) for part in range(setup.threads)]
            some = replace(setup, n_ranks=n)
            traffic = traffic_of(self.expectation, some, self.rates, steps, 1.0 / n)
            recording = recording_memory(self.expectation, some, traffic)
            needed = peak(host_memory(self.expectation, own, some, traffic), recording)
            if setup.backend == "cuda":
                device = device_memory(self.expectation, own[0], some, traffic)
                if sum(device.values()) > gpu_memory:
                    return False
            return needed <= memory

        return _first(fits, min(self.network.n_neurons, _MOST_RANKS))

    def _traffic(self, ranks: Ranks, epoch: int) -> Traffic:
        spikes = ranks.per_neuron(self.rates.values)
        total = float(spikes.sum())
        share = float(spikes.max()) / total if total else 0.0
        return traffic_of(self.expectation, ranks.setup, self.rates, epoch, share)

    def _efficiency(self, setup: Setup, time: Prediction | None) -> float:
        if time is None or self.costs is None:
            return math.nan
        ranks = Ranks(self.network, replace(setup, n_ranks=1, threads=1))
        epoch = epoch_steps(self.expectation, ranks)
        load = expected_workload(self.expectation, ranks, ranks.kinds[0], self.rates, epoch)
        one = self.costs.predict(load).real_time_factor
        return one / time.real_time_factor / (setup.n_ranks * setup.threads)


def _first(fits: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest number from 1 to `most` that fits, where those above it fit too."""
    n = 1
    while not fits(n):
        if n == most:
            return None
        n = min(2 * n, most)
    low, high = n // 2, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _spreads(
    ranks: list[dict[str, float]],
    stands_for: NDArray[np.int64],
    total_of: Callable[[dict[str, float]], float],
) -> dict[str, Spread]:
    """Return the spread of each part over ranks, and that of the total."""
    if not ranks:
        return {}
    columns = {name: np.array([parts[name] for parts in ranks]) for name in ranks[0]}
    columns["peak"] = np.array([total_of(parts) for parts in ranks])
    return {name: Spread.of(values, stands_for) for name, values in columns.items()}
