"""The segments of a shard: neighbouring neurons that take the same step."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.description.drawing import (
    driven,
    parameter,
    varying_numbers_under,
)
from simcore.description.ids import as_array
from simcore.description.population import Population
from simcore.description.stimulus import Current, Drive
from simcore.discretization.limits import active_steps, refractory_steps
from simcore.kernels.step_numbers import numbers_of, varying_numbers_of
from simcore.language.program import Program, dependent, make_program
from simcore.language.step import duration_of
from simcore.numerics.clock import NEVER, Clock
from simcore.shards.local_neurons import LocalNeurons
from simcore.shards.shard_spec import ShardSpec

SOURCE = -1

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
"""Neighbouring neurons of one block that take the same step.

Kind is the place of their program, and of what varies, among those of the plan, or SOURCE; duration
what they wait after a spike [steps], where that does not vary. Their states lie one column after
the other from `first_state` on. Numbers that all share lie from `first_number` on, those that
differ from neuron to neuron one column after the other from `first_value` on.
"""

Kind = tuple[Program, frozenset[int]]
"""A program, and which of its numbers differ from neuron to neuron, see `varying_numbers`."""

Changes = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Steps, places and new values of numbers."""


class Segments:
    """The segments of a shard, with their numbers and how these change.

    Parameters
    ----------
    shard : ShardSpec
        What the rank owns.

    Attributes
    ----------
    kinds : list of Kind
        What the segments refer to.
    """

    def __init__(self, shard: ShardSpec) -> None:
        self._shard, self._clock = shard, Clock(shard.dt)
        self.kinds: list[Kind] = []
        self._numbers: list[NDArray[np.float64]] = []
        self._values: list[NDArray[np.float64]] = []
        self._records: list[dict[str, int]] = []
        self._changes: list[Changes] = []
        self._n_states = self._n_numbers = self._n_values = 0
        currents = [d for d in shard.network.drives if isinstance(d.stimulus, Current)]
        for population in shard.network.populations:
            mine = [d for d in currents if d.target.population is population]
            for begin, end, block in _pieces(shard, population, mine):
                self._add(population, begin, end, block, mine)

    def table(self) -> NDArray[np.void]:
        """Return the segments, see `SEGMENT`."""
        found = np.zeros(len(self._records), dtype=SEGMENT)
        for i, record in enumerate(self._records):
            for name, value in record.items():
                found[name][i] = value
        found["first_value"] += self._n_numbers
        return found

    def numbers(self) -> NDArray[np.float64]:
        """Return the numbers that neurons share, then those that differ."""
        return np.concatenate([np.zeros(0), *self._numbers, *self._values])

    def changes(self) -> Changes:
        """Return step, place and value of the changes of numbers, ordered by step."""
        none = np.zeros(0, dtype=np.int64)
        parts = [(none, none, np.zeros(0)), *self._changes]
        steps, places, values = (np.concatenate(column) for column in zip(*parts, strict=True))

        # Those that differ lie behind all that are shared
        places = np.where(places < 0, self._n_numbers - 1 - places, places)
        order = np.lexsort((places, steps))
        return steps[order], places[order], values[order]

    def _add(
        self, population: Population, begin: int, end: int, block: int, drives: list[Drive]
    ) -> None:
        record = {
            "begin": begin, "end": end, "block": block, "kind": SOURCE,
            "first_state": self._n_states, "first_number": self._n_numbers,
            "first_value": self._n_values,
        }  # fmt: skip
        neuron = population.neuron
        if neuron is not None:
            over = [d for d in drives if _reaches(self._shard.neurons, d, begin, end)]
            program = make_program(neuron)
            kind = program, varying_numbers_under(population, over)
            if kind not in self.kinds:
                self.kinds.append(kind)
            record["kind"] = self.kinds.index(kind)
            if len(program.numbers) not in kind[1]:
                steps = refractory_steps(population, self._clock)
                record["duration"] = duration_of(neuron.definition, steps)
            self._n_states += len(program.states) * (end - begin)
            gids = self._shard.neurons.gids[begin:end]
            self._add_numbers(population, kind, gids, over)
        self._records.append(record)

    def _add_numbers(
        self, population: Population, kind: Kind, gids: NDArray[np.int64], drives: list[Drive]
    ) -> None:
        """Add the numbers of a segment, and what they are while currents flow."""
        known = population, self._shard.fixed_point, self._shard.dt
        program, varying = kind
        shared = [k for k in range(len(program.numbers)) if k not in varying]
        differ = sorted(varying)
        numbers = np.zeros(len(program.numbers))
        numbers[shared] = numbers_of(*known, {}, shared)
        values = varying_numbers_of(*known, gids, {}, differ)
        neuron = population.neuron
        assert neuron is not None
        current = neuron.definition.cls.input_current
        moving = dependent(program, current) if drives else []
        some = [k for k in moving if k not in varying]
        each = [k for k in moving if k in varying]
        rows = [differ.index(k) for k in each]
        place = self._n_numbers + np.array(some, dtype=np.int64)
        places = -1 - self._n_values - np.arange(values.size).reshape(values.shape)[rows]
        now, now_each = numbers[some], values[rows]
        for step, total in _schedule(population, drives, gids, self._clock):
            changed = {current: total}
            new = np.array(numbers_of(*known, changed, some) if some else [], dtype=np.float64)
            new_each = varying_numbers_of(*known, gids, changed, each)
            if step == 0:
                numbers[some], values[rows] = new, new_each
            elif step < NEVER:
                # Currents for other neurons of the piece change nothing for these
                self._change(step, place[new != now], new[new != now])
                moved = new_each != now_each
                self._change(step, places[moved], new_each[moved])
            now, now_each = new, new_each
        self._numbers.append(numbers)
        self._values.append(values.ravel())
        self._n_numbers += numbers.size
        self._n_values += values.size

    def _change(self, step: int, places: NDArray[np.int64], values: Any) -> None:
        """Let numbers change in a step; places of those that differ are negative."""
        steps = np.full(places.size, step, dtype=np.int64)
        self._changes.append((steps, places.ravel(), np.ravel(values)))


def _pieces(
    shard: ShardSpec, population: Population, drives: list[Drive]
) -> list[tuple[int, int, int]]:
    """Cut the neurons of a population at the borders of blocks and of driven neighbours."""
    begin, end = shard.neurons.lid_range(population.view().gid_range)
    cuts = {begin, end}
    for drive in drives:
        if drive.scattered:
            continue
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


def _reaches(neurons: LocalNeurons, drive: Drive, begin: int, end: int) -> bool:
    """Tell whether a current flows into neurons of a piece."""
    if not drive.scattered:
        return bool(drive.target.ids.contains(neurons.gids[begin]))
    return bool(drive.target.ids.contains(neurons.gids[begin:end]).any())


def _amplitudes(drive: Drive, gids: NDArray[np.int64]) -> Any:
    """Return the current of all neurons of a piece, or of each; 0 between those it is for."""
    if not drive.scattered:
        return driven(drive, "amplitude", gids)
    own, found = drive.target.ids.contains(gids), np.zeros(gids.size)
    found[own] = driven(drive, "amplitude", gids[own])
    return found


def _schedule(
    population: Population, drives: list[Drive], gids: NDArray[np.int64], clock: Clock
) -> list[tuple[int, Any]]:
    """Return from which step on how much constant current flows into some neurons [pA]."""
    if not drives:
        return []
    neuron = population.neuron
    assert neuron is not None
    constant = parameter(population, neuron.definition.cls.input_current, gids)
    windows = [(*active_steps(d.stimulus, clock), _amplitudes(d, gids)) for d in drives]
    borders = sorted({0} | {s for start, stop, _ in windows for s in (start, stop)})
    schedule = []
    for step in borders:
        total = constant
        for start, stop, amplitude in windows:
            if start <= step < stop:
                total = total + amplitude
        schedule.append((step, total))
    return schedule
