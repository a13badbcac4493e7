"""A shard as flat tables, the same for every backend.

All constants of the integration are computed here, once, on the host, in float64. A step is then
additions, multiplications and comparisons in a fixed order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from simcore import random
from simcore.clock import Clock
from simcore.draft import Draft
from simcore.errors import require
from simcore.kernels.propagators import SOURCE, constants
from simcore.limits import active_steps, largest_multiplicity, refractory_steps, train_steps
from simcore.local import LocalNeurons
from simcore.neurons import LIF, PoissonSource, SpikeTrains
from simcore.population import Population
from simcore.stimulus import Current, Drive, Poisson
from simcore.tables import DiscreteTable, poisson_table

WORDS_PER_DRAW = 4

# Initial potentials that are drawn at a time
_DRAWN_AT_A_TIME = 2**16


def segment_dtype(real: np.dtype) -> np.dtype:
    """Return the record of a segment: neighbouring neurons of one block with equal parameters.

    Parameters
    ----------
    real : dtype
        Type of the state.
    """
    numbers = (
        "decay_V",
        "ex_to_V",
        "in_to_V",
        "decay_ex",
        "decay_in",
        "constant",
        "threshold",
        "reset",
        "quantum",
    )
    whole = ("begin", "end", "block", "kind", "refractory")
    return np.dtype([(n, np.int64) for n in whole] + [(n, real) for n in numbers])


POISSON_GROUP = np.dtype(
    [
        (name, np.int64)
        for name in (
            "begin",
            "end",
            "block",
            "stream",
            "emits",
            "weight",
            "receptor",
            "start",
            "stop",
            "smallest",
            "first_threshold",
            "n_thresholds",
        )
    ]
)
"""Neighbouring neurons of one block with equal Poisson input, or sources that emit it."""


@dataclass(frozen=True)
class Plan:
    """A shard as flat tables.

    Parameters
    ----------
    segments : structured ndarray
        See `segment_dtype`; ordered by lid.
    changes : (ndarray of int64, ndarray of int64, ndarray)
        Step, segment and new value of `constant` of every change of a direct current, ordered by
        step.
    groups : structured ndarray
        See `POISSON_GROUP`; ordered by block.
    thresholds : ndarray of uint32
        Thresholds of the groups' tables, one after the other.
    trains : (ndarray of int64, ndarray of int64)
        Step and lid of every given spike, ordered by step, then lid.
    potentials : ndarray, shape (n_local,)
        Initial membrane potential minus the resting potential [mV].
    resting : ndarray, shape (n_local,)
        Resting potential [mV].
    n_receptors : int
        Largest number of receptors of a neuron.
    """

    segments: NDArray[np.void]
    changes: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]
    groups: NDArray[np.void]
    thresholds: NDArray[np.uint32]
    trains: tuple[NDArray[np.int64], NDArray[np.int64]]
    potentials: NDArray[np.floating]
    resting: NDArray[np.floating]
    n_receptors: int


def make_plan(shard: Draft, real: np.dtype) -> Plan:
    """Return the flat tables of a shard.

    Parameters
    ----------
    shard : Draft
        What the rank owns.
    real : dtype
        Type of the state, float64 or float32.
    """
    populations = shard.network.populations
    segments, changes = _segments(shard, real)
    groups, thresholds = _groups(shard)
    potentials, resting = _potentials(shard, real)
    return Plan(
        segments=segments,
        changes=changes,
        groups=groups,
        thresholds=thresholds,
        trains=_trains(shard),
        potentials=potentials,
        resting=resting,
        n_receptors=max((p.n_receptors for p in populations), default=1),
    )


def most_spikes(shard: Draft) -> int:
    """Return how many spikes the neurons of a shard can emit in one step."""
    return int(most_spikes_of(shard, np.array([0, shard.neurons.size])).sum())


def most_spikes_of(shard: Draft, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many spikes the neurons of each part of a shard can emit in one step.

    Parameters
    ----------
    shard : Draft
        What the rank owns.
    bounds : ndarray of int64, shape (n + 1,)
        Bounds of the parts, in lids.
    """
    most = np.zeros(bounds.size - 1, dtype=np.int64)
    for population in shard.network.populations:
        own = np.clip(bounds, *shard.neurons.lid_range(population.view().gid_range))
        most += np.diff(own) * largest_multiplicity(population, shard.dt)
    return most


def _segments(
    shard: Draft, real: np.dtype
) -> tuple[NDArray[np.void], tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]]:
    currents = [d for d in shard.network.drives if isinstance(d.stimulus, Current)]
    records: list[dict[str, float]] = []
    changes: list[tuple[int, int, float]] = []
    for population in shard.network.populations:
        model = population.model
        mine = [d for d in currents if d.target.population is population]
        for begin, end, block in _pieces(shard, population, mine):
            record: dict[str, float] = {"begin": begin, "end": end, "block": block}
            if isinstance(model, LIF):
                over = [d for d in mine if _covers(shard.neurons, d, begin)]
                quantum = shard.fixed_point.quantum_of(population)
                numbers = constants(population, shard.dt, quantum)
                schedule = _schedule(population, over, shard.dt, numbers.pop("per_pA"))
                changes += [(step, len(records), value) for step, value in schedule]
                record |= numbers
                record["refractory"] = refractory_steps(population, Clock(shard.dt))
                record["constant"] = schedule[0][1]
            else:
                record["kind"] = SOURCE
            records.append(record)

    dtype = segment_dtype(real)
    table = np.zeros(len(records), dtype=dtype)
    for i, record in enumerate(records):
        for name, value in record.items():
            table[name][i] = value
    changes.sort()
    steps, which, values = zip(*changes, strict=True) if changes else ((), (), ())
    return table, (
        np.array(steps, dtype=np.int64),
        np.array(which, dtype=np.int64),
        np.array(values, dtype=real),
    )


def _pieces(
    shard: Draft, population: Population, drives: list[Drive]
) -> list[tuple[int, int, int]]:
    """Cut the neurons of a population at the borders of blocks and driven views."""
    begin, end = shard.neurons.lid_range(population.view().gid_range)
    cuts = {begin, end}
    for drive in drives:
        cuts |= set(shard.neurons.lid_range(drive.target.gid_range))
    cuts |= {int(b) for b in shard.blocks if begin < b < end}
    bounds = sorted(cuts)
    return [
        (a, b, int(np.searchsorted(shard.blocks, a, side="right")) - 1)
        for a, b in pairwise(bounds)
        if a < b
    ]


def _covers(neurons: LocalNeurons, drive: Drive, lid: int) -> bool:
    first, stop = neurons.lid_range(drive.target.gid_range)
    return first <= lid < stop


def _schedule(
    population: Population, drives: list[Drive], dt: float, per_pA: float
) -> list[tuple[int, float]]:
    """Return from which step on a step adds how much to the potential by constant current."""
    model = population.model
    assert isinstance(model, LIF)
    clock = Clock(dt)
    windows = [(*active_steps(d.stimulus, clock), d.stimulus) for d in drives]
    borders = sorted({0} | {s for start, stop, _ in windows for s in (start, stop)})
    schedule = []
    for step in borders:
        total = model.I_e
        for start, stop, stimulus in windows:
            if start <= step < stop and isinstance(stimulus, Current):
                total += stimulus.amplitude
        constant = per_pA * total
        subject = f"population {population.name!r}: what I_e and direct currents add in a step [mV]"
        require(math.isfinite(constant), subject, constant, "finite", "Check the units.")
        schedule.append((step, constant))
    return schedule


def _groups(shard: Draft) -> tuple[NDArray[np.void], NDArray[np.uint32]]:
    """Return the groups of Poisson input and Poisson sources, and their thresholds."""
    clock = Clock(shard.dt)
    rows: list[tuple[int, ...]] = []
    thresholds: list[NDArray[np.uint32]] = []

    def add(
        gid_range: tuple[int, int],
        stream: int,
        emits: bool,
        weight: int,
        receptor: int,
        stimulus: Poisson | PoissonSource,
    ) -> None:
        table: DiscreteTable = poisson_table(stimulus.rate * shard.dt * 1e-3)
        if table.last == 0:
            return
        first = sum(t.size for t in thresholds)
        start, stop = active_steps(stimulus, clock)
        begin, end = shard.neurons.lid_range(gid_range)
        for b in range(shard.blocks.size - 1):
            low, high = max(begin, int(shard.blocks[b])), min(end, int(shard.blocks[b + 1]))
            if low < high:
                rows.append(
                    (low, high, b, stream, int(emits), weight, receptor, start, stop,
                     table.first, first, table.thresholds.size)
                )  # fmt: skip
        thresholds.append(table.thresholds)

    for drive in shard.network.drives:
        if isinstance(drive.stimulus, Poisson):
            weight = shard.fixed_point.stimulus_weights[drive.id]
            receptor = drive.target.population.n_receptors - 1 if weight < 0 else 0
            stream = random.stream(random.STIMULUS, drive.id)
            add(drive.target.gid_range, stream, False, weight, receptor, drive.stimulus)
    for population in shard.network.populations:
        if isinstance(population.model, PoissonSource):
            stream = random.stream(random.SOURCE, population.id)
            add(population.view().gid_range, stream, True, 0, 0, population.model)
    rows.sort(key=lambda row: row[2])
    empty = np.zeros(0, dtype=np.uint32)
    return np.array(rows, dtype=POISSON_GROUP), np.concatenate([empty, *thresholds])


def _trains(shard: Draft) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return steps and lids of the given spikes of local sources."""
    clock = Clock(shard.dt)
    steps, lids = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for population in shard.network.populations:
        if not isinstance(population.model, SpikeTrains):
            continue
        _, ids = population.model.arrays()
        begin, end = shard.neurons.lid_range(population.view().gid_range)
        owned = shard.neurons.gids[begin:end] - population.first
        found = np.searchsorted(owned, ids)
        local = found < owned.size
        local[local] = owned[found[local]] == ids[local]
        steps.append(train_steps(population, clock)[local])
        lids.append(begin + found[local])
    all_steps, all_lids = np.concatenate(steps), np.concatenate(lids)
    order = np.lexsort((all_lids, all_steps))
    return all_steps[order], all_lids[order]


def _potentials(shard: Draft, real: np.dtype) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return initial and resting potentials; initial ones relative to resting."""
    initial = np.zeros(shard.neurons.size)
    resting = np.zeros(shard.neurons.size)
    for population in shard.network.populations:
        begin, end = shard.neurons.lid_range(population.view().gid_range)
        if begin == end or not isinstance(population.model, LIF):
            continue
        stream = random.stream(random.INITIAL_V_M, population.id)
        for first in range(begin, end, _DRAWN_AT_A_TIME):
            some = slice(first, min(first + _DRAWN_AT_A_TIME, end))
            words = random.draw(shard.network.seed, stream, shard.neurons.gids[some], 0)
            values = population.V_m.quantile(random.uniform(words))
            bad = values[~np.isfinite(values)]
            require(bad.size == 0, f"population {population.name!r}: V_m", bad[:1], "finite [mV]")
            initial[some] = values - population.model.E_L
        resting[begin:end] = population.model.E_L
    return initial.astype(real, copy=False), resting.astype(real, copy=False)
