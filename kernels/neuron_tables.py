"""The neurons and stimuli of a shard as flat tables, the same for every backend.

All constants of the integration are computed here, once, on the host, in float64. A step is then
additions, multiplications and comparisons in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from simcore.description.ids import Ids, as_array, places_within
from simcore.description.neurons import PoissonSource, SpikeTrains
from simcore.description.population import Population
from simcore.description.stimulus import Current, Drive, Poisson
from simcore.discretization.fixed_point import FixedPoint
from simcore.discretization.limits import (
    active_steps,
    largest_multiplicity,
    pieces,
    refractory_steps,
    train_steps,
)
from simcore.discretization.tables import DiscreteTable, poisson_table
from simcore.language.expression import Expression, evaluate, symbols
from simcore.language.model import NeuronModel
from simcore.language.program import Program, dependent, make_program
from simcore.language.step import duration_of
from simcore.numerics import random
from simcore.numerics.clock import Clock
from simcore.services.errors import require
from simcore.shards.local_neurons import LocalNeurons
from simcore.shards.neuron_state import Columns, NeuronState
from simcore.shards.shard_spec import ShardSpec

SOURCE = -1

WORDS_PER_DRAW = 4

# First values that are drawn at a time
_DRAWN_AT_A_TIME = 2**16

SEGMENT = np.dtype(
    [
        (name, np.int64)
        for name in (
            "begin",
            "end",
            "block",
            "kind",
            "duration",
            "first_state",
            "first_number",
            "first_value",
        )
    ]
)
"""Neighbouring neurons of one block with equal numbers.

Kind is the place of their program among those of the plan, or SOURCE; duration what they wait after
a spike [steps]. Their states lie one column after the other from `first_state` on, so do numbers
that differ from neuron to neuron from `first_value` on; those that do not from `first_number` on.
"""

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
            "first_member",
            "n_members",
        )
    ]
)
"""Neurons of one block with equal Poisson input, or sources that emit it.

They are all from `begin` to `end`; or, where `first_member` is not -1, those that are listed.
Where the rate changes there is a group for each of its values, one after the other in time.
"""


@dataclass(frozen=True)
class NeuronTables:
    """The neurons and stimuli of a shard as flat tables.

    Parameters
    ----------
    segments : structured ndarray
        See `SEGMENT`; ordered by lid.
    programs : tuple of Program
        The models in use.
    numbers : ndarray
        What is known of each segment before the run, one segment after the other.
    changes : (ndarray of int64, ndarray of int64, ndarray)
        Step, place among `numbers` and new value of every change of an input current, ordered by
        step.
    groups : structured ndarray
        See `POISSON_GROUP`; ordered by block.
    thresholds : ndarray of uint32
        Thresholds of the groups' tables, one after the other.
    members : ndarray of int64
        Lids of groups with gaps, ascending in each, one group after the other.
    trains : (ndarray of int64, ndarray of int64)
        Step and lid of every given spike, ordered by step, then lid.
    start : NeuronState
        First values of the columns of all neurons.
    n_receptors : int
        Largest number of receptors of a neuron.
    """

    segments: NDArray[np.void]
    programs: tuple[Program, ...]
    numbers: NDArray[np.floating]
    changes: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]
    groups: NDArray[np.void]
    thresholds: NDArray[np.uint32]
    members: NDArray[np.int64]
    trains: tuple[NDArray[np.int64], NDArray[np.int64]]
    start: NeuronState
    n_receptors: int


def make_neuron_tables(shard: ShardSpec, real: np.dtype) -> NeuronTables:
    """Return the flat tables of a shard.

    Parameters
    ----------
    shard : ShardSpec
        What the rank owns.
    real : dtype
        Type of the state, float64 or float32.
    """
    segments = _Segments(shard)
    groups, thresholds, members = _groups(shard)
    steps, places, values = segments.changes()
    return NeuronTables(
        segments=segments.table(),
        programs=tuple(segments.programs),
        numbers=np.array(segments.numbers, dtype=real),
        changes=(steps, places, values.astype(real)),
        groups=groups,
        thresholds=thresholds,
        members=members,
        trains=_trains(shard),
        start=_start(shard, real),
        n_receptors=max((p.n_receptors for p in shard.network.populations), default=1),
    )


def most_spikes(shard: ShardSpec) -> int:
    """Return how many spikes the neurons of a shard can emit in one step."""
    return int(most_spikes_of(shard, np.array([0, shard.neurons.size])).sum())


def most_spikes_of(shard: ShardSpec, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many spikes the neurons of each part of a shard can emit in one step.

    Parameters
    ----------
    shard : ShardSpec
        What the rank owns.
    bounds : ndarray of int64, shape (n + 1,)
        Bounds of the parts, in lids.
    """
    most = np.zeros(bounds.size - 1, dtype=np.int64)
    for population in shard.network.populations:
        own = np.clip(bounds, *shard.neurons.lid_range(population.view().gid_range))
        most += np.diff(own) * largest_multiplicity(population, shard.dt)
    return most


class _Segments:
    """Collects the segments of a shard, with their numbers and how these change."""

    def __init__(self, shard: ShardSpec) -> None:
        self._shard, self._clock = shard, Clock(shard.dt)
        self.programs: list[Program] = []
        self.numbers: list[float] = []
        self._records: list[dict[str, int]] = []
        self._changes: list[tuple[int, int, float]] = []
        self._n_states = 0
        currents = [d for d in shard.network.drives if isinstance(d.stimulus, Current)]
        for population in shard.network.populations:
            mine = [d for d in currents if d.target.population is population]
            for begin, end, block in _pieces(shard, population, mine):
                self._add(population, begin, end, block, mine)

    def table(self) -> NDArray[np.void]:
        """Return the segments."""
        found = np.zeros(len(self._records), dtype=SEGMENT)
        for i, record in enumerate(self._records):
            for name, value in record.items():
                found[name][i] = value
        return found

    def changes(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return step, place and value of the changes of numbers."""
        ordered = sorted(self._changes)
        steps, places, values = zip(*ordered, strict=True) if ordered else ((), (), ())
        return (
            np.array(steps, dtype=np.int64),
            np.array(places, dtype=np.int64),
            np.array(values, dtype=np.float64),
        )

    def _add(
        self, population: Population, begin: int, end: int, block: int, drives: list[Drive]
    ) -> None:
        record = {
            "begin": begin, "end": end, "block": block, "kind": SOURCE,
            "first_state": self._n_states, "first_number": len(self.numbers),
        }  # fmt: skip
        neuron = population.neuron
        if neuron is not None:
            program = make_program(neuron)
            if program not in self.programs:
                self.programs.append(program)
            record["kind"] = self.programs.index(program)
            steps = refractory_steps(population, self._clock)
            record["duration"] = duration_of(neuron.definition, steps)
            self._n_states += len(program.states) * (end - begin)
            over = [d for d in drives if _covers(self._shard.neurons, d, begin)]
            self._add_numbers(population, program, neuron, over)
        self._records.append(record)

    def _add_numbers(
        self, population: Population, program: Program, neuron: NeuronModel, drives: list[Drive]
    ) -> None:
        """Add the numbers of a segment, and what they are while currents flow."""
        points, dt = self._shard.fixed_point, self._shard.dt
        first = len(self.numbers)
        self.numbers += numbers_of(population, points, dt)
        current = neuron.definition.cls.input_current
        moving = dependent(program, current)
        for step, total in _schedule(neuron.values.get(current, 0.0), drives, self._clock):
            changed = numbers_of(population, points, dt, {current: total}, moving)
            if step == 0:
                for k, value in zip(moving, changed, strict=True):
                    self.numbers[first + k] = value
            self._changes += [
                (step, first + k, value) for k, value in zip(moving, changed, strict=True)
            ]


def numbers_of(
    population: Population,
    points: FixedPoint,
    dt: float,
    changed: Mapping[str, float] | None = None,
    some: Sequence[int] | None = None,
) -> list[float]:
    """Return the numbers of a step of the neurons of a population.

    Parameters
    ----------
    population : Population
        One of neurons.
    points : FixedPoint
        Its quanta.
    dt : float
        Time step [ms].
    changed : mapping of str to float, optional
        Parameters that are not as the model says.
    some : sequence of int, optional
        Which numbers; all if left out.

    Raises
    ------
    ModelError
        When one is not finite.
    """
    neuron = population.neuron
    assert neuron is not None
    program = make_program(neuron)
    values = {"h": dt, **neuron.values, **(changed or {})}
    values |= {f"quantum{k}": q for k, q in enumerate(points.quantum[population.id])}
    found = program.values(values, some)
    which = range(len(found)) if some is None else some
    for k, value in zip(which, found, strict=True):
        _require_finite(population, program.numbers[k], values, value)
    return found


def _require_finite(
    population: Population, number: Expression, values: Mapping[str, float], found: float
) -> None:
    """Raise `ModelError` if a number of a step is not finite, with the parameters it is made of."""
    if math.isfinite(found):
        return
    assert population.neuron is not None
    parts = sorted(symbols(number) & population.neuron.values.keys())
    made = ", ".join(f"{name} = {values[name]:.6g}" for name in parts)
    subject = "a number of its step" + (f" made of {made}" if made else "")
    require(
        False, f"population {population.name!r}: {subject}", found, "finite",
        "Check the units of the parameters of its neurons, and of its currents.",
    )  # fmt: skip


def _pieces(
    shard: ShardSpec, population: Population, drives: list[Drive]
) -> list[tuple[int, int, int]]:
    """Cut the neurons of a population at the borders of blocks and of driven neighbours."""
    begin, end = shard.neurons.lid_range(population.view().gid_range)
    cuts = {begin, end}
    for drive in drives:
        lids = as_array(shard.neurons.lids(drive.target.ids))
        gaps = lids[1:][np.diff(lids) > 1], lids[:-1][np.diff(lids) > 1] + 1
        cuts |= {int(k) for k in np.concatenate([lids[:1], lids[-1:] + 1, *gaps])}
    cuts |= {int(b) for b in shard.blocks if begin < b < end}
    bounds = sorted(cuts)
    return [
        (a, b, int(np.searchsorted(shard.blocks, a, side="right")) - 1)
        for a, b in pairwise(bounds)
        if a < b
    ]


def _covers(neurons: LocalNeurons, drive: Drive, lid: int) -> bool:
    return bool(drive.target.ids.contains(neurons.gids[lid]))


def _schedule(constant: float, drives: list[Drive], clock: Clock) -> list[tuple[int, float]]:
    """Return from which step on how much constant current flows [pA]."""
    windows = [(*active_steps(d.stimulus, clock), d.stimulus) for d in drives]
    borders = sorted({0} | {s for start, stop, _ in windows for s in (start, stop)})
    schedule = []
    for step in borders:
        total = constant
        for start, stop, stimulus in windows:
            if start <= step < stop and isinstance(stimulus, Current):
                total += stimulus.amplitude
        schedule.append((step, total))
    return schedule


def _groups(
    shard: ShardSpec,
) -> tuple[NDArray[np.void], NDArray[np.uint32], NDArray[np.int64]]:
    """Return the groups of Poisson input and Poisson sources, their thresholds and members."""
    clock = Clock(shard.dt)
    rows: list[tuple[int, ...]] = []
    thresholds: list[NDArray[np.uint32]] = []
    firsts: dict[float, int] = {}
    members = [np.zeros(0, dtype=np.int64)]

    def add(
        ids: Ids,
        stream: int,
        emits: bool,
        weight: int,
        receptor: int,
        stimulus: Poisson | PoissonSource,
    ) -> None:
        lids = shard.neurons.lids(ids)
        own = {}
        for b in range(shard.blocks.size - 1):
            inside = lids[places_within(lids, int(shard.blocks[b]), int(shard.blocks[b + 1]))]
            if not len(inside):
                continue
            listed = -1, 0
            if not isinstance(inside, range):
                listed = sum(m.size for m in members), inside.size
                members.append(inside)
            own[b] = int(inside[0]), int(inside[-1]) + 1, listed
        for rate, start, stop in pieces(stimulus, clock):
            table: DiscreteTable = poisson_table(rate * shard.dt * 1e-3)
            if table.last == 0:
                continue
            if rate not in firsts:
                firsts[rate] = sum(t.size for t in thresholds)
                thresholds.append(table.thresholds)
            for b, (low, high, listed) in own.items():
                rows.append(
                    (low, high, b, stream, int(emits), weight, receptor, start, stop,
                     table.first, firsts[rate], table.thresholds.size, *listed)
                )  # fmt: skip

    for drive in shard.network.drives:
        if isinstance(drive.stimulus, Poisson):
            weight = shard.fixed_point.stimulus_weights[drive.id]
            receptor = drive.receptor
            stream = random.stream(random.STIMULUS, drive.id)
            add(drive.target.ids, stream, False, weight, receptor, drive.stimulus)
    for population in shard.network.populations:
        if isinstance(population.model, PoissonSource):
            stream = random.stream(random.SOURCE, population.id)
            add(population.view().ids, stream, True, 0, 0, population.model)
    rows.sort(key=lambda row: row[2])
    empty = np.zeros(0, dtype=np.uint32)
    groups = np.array(rows, dtype=POISSON_GROUP)
    return groups, np.concatenate([empty, *thresholds]), np.concatenate(members)


def _trains(shard: ShardSpec) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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


def _start(shard: ShardSpec, real: np.dtype) -> NeuronState:
    """Return the first values of all columns; those that are relative to a parameter as such."""
    columns: list[Columns] = []
    firsts = [p.first for p in shard.network.populations]
    for population in shard.network.populations:
        begin, end = shard.neurons.lid_range(population.view().gid_range)
        gids = shard.neurons.gids[begin:end]
        columns.append(_first_values(shard.network.seed, shard.dt, population, gids, real))
    borders = np.array([*firsts, shard.network.n_neurons], dtype=np.int64)
    return NeuronState(shard.neurons.gids, borders, tuple(columns))


def _first_values(
    seed: int, dt: float, population: Population, gids: NDArray[np.int64], real: np.dtype
) -> Columns:
    neuron = population.neuron
    if neuron is None:
        return {}
    found: Columns = {}
    for k, column in enumerate(neuron.layout.columns):
        name, kind = column.name, real if column.kind == "real" else np.dtype(np.int16)
        if column.kind != "real":
            found[name] = np.zeros(gids.size, dtype=kind)
            continue
        subject, valid = f"population {population.name!r}: {name}", f"finite [{column.unit}]"
        given = population.start.get(name)
        if given is None:
            value = float(evaluate(neuron.definition.starts[name], {"h": dt, **neuron.values}))
            require(math.isfinite(value), subject, value, valid)
            found[name] = np.full(gids.size, value, dtype=kind)
            continue
        purpose = random.INITIAL_V_M if name == "V_m" else random.initial_state(k)
        stream = random.stream(purpose, population.id)
        rest = neuron.values[column.relative_to] if column.relative_to else 0.0
        found[name] = np.empty(gids.size, dtype=kind)
        for first in range(0, gids.size, _DRAWN_AT_A_TIME):
            some = slice(first, first + _DRAWN_AT_A_TIME)
            values = given.quantile(random.uniform(random.draw(seed, stream, gids[some], 0)))
            bad = values[~np.isfinite(values)]
            require(bad.size == 0, subject, bad[:1], valid)
            found[name][some] = values - rest
    return found
