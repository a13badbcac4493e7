"""The loop over the steps of an epoch, compiled as a whole."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from simcore.discretization.fixed_point import WeightForm
from simcore.kernels.cpu import poisson
from simcore.kernels.cpu.calendar import enter, reenter, with_room
from simcore.kernels.cpu.deliver import (
    SynapseArrays,
    Visits,
    deliver_constant,
    deliver_drawn,
    deliver_exact,
)
from simcore.kernels.cpu.intrinsics import call_drawing_update, call_update, cycles
from simcore.kernels.cpu.team import COUNT, FULL, LEFT, meet, n_meetings, wait_for_mail
from simcore.kernels.poisson_groups import WORDS_PER_DRAW
from simcore.kernels.segments import SOURCE
from simcore.numerics.jit import njit
from simcore.numerics.spikes import GID_BITS

CHANGE, TRAIN, DELIVER_CYCLES, UPDATE_CYCLES, WAIT_CYCLES = range(5)
N_CURSORS = 5

_CONSTANT, _DRAWN, _EXACT = int(WeightForm.CONSTANT), int(WeightForm.DRAWN), int(WeightForm.EXACT)


class SynapsesByForm(NamedTuple):
    """The synapses, by form."""

    constant: SynapseArrays
    drawn: SynapseArrays
    exact: SynapseArrays


class Constants(NamedTuple):
    """What does not change, but for `numbers` that depend on a current."""

    seed: np.uint64
    gids: NDArray[np.int64]
    blocks: NDArray[np.int64]
    most_spikes: int
    rows_per_spike: int
    segments: NDArray[np.void]
    segment_bounds: NDArray[np.int64]
    updates: NDArray[np.int64]
    draws: NDArray[np.bool_]
    numbers: NDArray[np.floating]
    values: NDArray[np.floating]
    change_steps: NDArray[np.int64]
    change_places: NDArray[np.int64]
    change_values: NDArray[np.floating]
    groups: NDArray[np.void]
    group_bounds: NDArray[np.int64]
    thresholds: NDArray[np.uint32]
    members: NDArray[np.int64]
    train_steps: NDArray[np.int64]
    train_lids: NDArray[np.int64]
    probe_places: NDArray[np.int64]
    probe_resting: NDArray[np.floating]
    probe_bounds: NDArray[np.int64]
    probe_intervals: NDArray[np.int64]


class StepState(NamedTuple):
    """What changes from step to step."""

    columns: NDArray[np.floating]
    refractory: NDArray[np.int16]
    arrived: NDArray[np.int32]
    spiked: NDArray[np.uint8]
    spiked_eights: NDArray[np.uint64]
    counts: NDArray[np.uint16]
    count_offsets: NDArray[np.int64]
    count_index: NDArray[np.int64]
    found: NDArray[np.int64]
    cursors: NDArray[np.int64]
    visits: Visits


@structref.register
class CompiledShardType(types.StructRef):
    """Numba's type of a `CompiledShard`."""

    def preprocess_fields(self, fields: Any) -> Any:
        """Forget the values of literals."""
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class CompiledShard(structref.StructRefProxy):
    """All that compiled code needs to advance a shard, as one object.

    Handing over the arrays one by one would take as long as a step of a small shard.
    """

    def __new__(cls, *fields: Any) -> CompiledShard:
        """Return a shard of the values of `COMPILED_SHARD_FIELDS`."""
        return make_compiled_shard(*fields)


COMPILED_SHARD_FIELDS = ["tables", "constants", "state", "calendar", "samples", "rows", "team"]
structref.define_proxy(CompiledShard, CompiledShardType, COMPILED_SHARD_FIELDS)


@njit
def make_compiled_shard(tables, constants, state, calendar, samples, rows, team):
    """Return a shard for compiled code.

    Parameters
    ----------
    tables : SynapsesByForm
        The synapses.
    constants : Constants
        What does not change.
    state : StepState
        What changes.
    calendar : Calendar
        The synapses still to be delivered; replaced by a larger one when it is full.
    samples : ndarray
        Receives sampled values, for each probe at its own place.
    rows : (ndarray of int64, ndarray of int64)
        For each probe, where the next row of samples goes, and rows still free.
    team : Team
        Other threads that advance other shards of this rank.
    """
    return CompiledShard(tables, constants, state, calendar, samples, rows, team)


@njit
def set_samples(shard, samples, rows):
    """Replace where a shard puts its samples."""
    shard.samples = samples
    shard.rows = rows


@njit
def set_team(shard, team):
    """Replace the team that a shard is part of."""
    shard.team = team


@njit
def advance(shard, number, begin, end, origin, remote):
    """Advance a shard from step `begin` to `end`, or until there is no room for more spikes.

    The spikes are in the words of the team for this thread and an epoch of this number.

    Parameters
    ----------
    shard : CompiledShard
        The shard.
    number : int
        Number of the epoch.
    begin, end : int
        The steps to take.
    origin : int
        Step of remote spikes with offset 0.
    remote : ndarray of int64
        Spikes of other ranks.

    Returns
    -------
    step : int
        Where it stopped; less than `end` when there is no room for another step.
    count : int
        Number of spikes.
    """
    tables, c, state, team = shard.tables, shard.constants, shard.state, shard.team
    calendar = with_room(shard.calendar, remote.size * c.rows_per_spike)
    _enter(tables, calendar, origin, remote, 0, remote.size)
    for member in range(team.size):
        team.seen[member] = 0

    words = team.words[number & 1, team.member]
    stopped = end
    count = 0
    for step in range(begin, end):
        _change_currents(step, c, state)
        _emit_trains(step, c, state)
        n_found = 0
        for b in range(c.blocks.size - 1):
            start = cycles()
            deliver_constant(tables.constant, b, step, calendar, state.visits, state.arrived)
            deliver_drawn(tables.drawn, b, step, calendar, state.visits, state.arrived)
            deliver_exact(tables.exact, b, step, calendar, state.visits, state.arrived)
            delivered = cycles()
            _stimulate(b, step, c, state)
            _update(b, step, c, state)
            n_found = _collect(b, c, state, n_found)
            state.cursors[DELIVER_CYCLES] += delivered - start
            state.cursors[UPDATE_CYCLES] += cycles() - delivered
        start = cycles()
        calendar = with_room(calendar, n_found * c.rows_per_spike)
        for i in range(n_found):
            words[count + i] = (step - begin) << GID_BITS | c.gids[state.found[i]]
        _enter(tables, calendar, begin, words, count, count + n_found)
        state.cursors[DELIVER_CYCLES] += cycles() - start
        count += n_found
        _sample(step, c, state, shard.samples, shard.rows)

        full = team.size == 1 and words.size - count < c.most_spikes
        if team.size > 1 and (step + 1 == end or (step + 1 - begin) % team.interval == 0):
            full, calendar = _meet(number, begin, count, tables, c, state, calendar, team)
        if full:
            stopped = step + 1
            break
    shard.calendar = calendar
    return stopped, count


@njit
def restore(shard, step, origin, recent):
    """Enter what recent spikes still have to deliver from a step on.

    Parameters
    ----------
    shard : CompiledShard
        The shard, not advanced so far.
    step : int
        The next step.
    origin, recent : int, ndarray of int64
        Spikes of all neurons in the last `max_delay` steps.
    """
    tables = shard.tables
    calendar = with_room(shard.calendar, recent.size * shard.constants.rows_per_spike)
    if tables.constant.delays.size > 0:
        reenter(calendar, _CONSTANT, tables.constant, origin, recent, step)
    if tables.drawn.delays.size > 0:
        reenter(calendar, _DRAWN, tables.drawn, origin, recent, step)
    if tables.exact.delays.size > 0:
        reenter(calendar, _EXACT, tables.exact, origin, recent, step)
    shard.calendar = calendar


@njit
def serve(shard, last):
    """Advance a shard whenever the first thread of the team asks; return when none asks.

    Parameters
    ----------
    shard : CompiledShard
        The shard.
    last : int
        Number of the last epoch.
    """
    team = shard.team
    while True:
        number = wait_for_mail(team, last)
        if number == LEFT:
            return
        last = number

        # The first thread may have replaced it, but only before it wrote
        team = shard.team
        orders = team.orders
        remote = team.remote[: orders[3]]
        advance(shard, number, orders[0], orders[1], orders[2], remote)


@njit
def _meet(number, begin, count, tables, c, state, calendar, team):
    """Exchange spikes with the other threads; return whether all must stop, and the calendar.

    They do when one of them has no more room, or has failed.
    """
    start = cycles()
    half = n_meetings(team) & 1
    post = team.posts[half, team.member]
    post[COUNT] = count
    post[FULL] = team.words.shape[2] - count < team.interval * c.most_spikes
    if not meet(team):
        return True, calendar
    state.cursors[WAIT_CYCLES] += cycles() - start

    start = cycles()
    full = False
    new = 0
    for member in range(team.size):
        full |= team.posts[half, member, FULL] != 0
        new += team.posts[half, member, COUNT] - team.seen[member]
    calendar = with_room(calendar, new * c.rows_per_spike)
    for member in range(team.size):
        posted = team.posts[half, member, COUNT]
        if member != team.member:
            theirs = team.words[number & 1, member]
            _enter(tables, calendar, begin, theirs, team.seen[member], posted)
        team.seen[member] = posted
    state.cursors[DELIVER_CYCLES] += cycles() - start
    return full, calendar


@njit
def _enter(tables, calendar, origin, words, first, last):
    """Enter all rows of some spikes into the calendar."""
    if tables.constant.delays.size > 0:
        enter(calendar, _CONSTANT, tables.constant, origin, words, first, last)
    if tables.drawn.delays.size > 0:
        enter(calendar, _DRAWN, tables.drawn, origin, words, first, last)
    if tables.exact.delays.size > 0:
        enter(calendar, _EXACT, tables.exact, origin, words, first, last)


@njit
def _change_currents(step, c, state):
    """Apply the changes of direct currents that are due."""
    change = state.cursors[CHANGE]
    while change < c.change_steps.size and c.change_steps[change] <= step:
        c.numbers[c.change_places[change]] = c.change_values[change]
        change += 1
    state.cursors[CHANGE] = change


@njit
def _emit_trains(step, c, state):
    """Let sources emit the given spikes of a step."""
    train = state.cursors[TRAIN]
    while train < c.train_steps.size and c.train_steps[train] <= step:
        if c.train_steps[train] == step:
            state.spiked[c.train_lids[train]] += 1
        train += 1
    state.cursors[TRAIN] = train


@njit
def _stimulate(block, step, c, state):
    """Add Poisson input to a block, and let its Poisson sources emit."""
    index = step // WORDS_PER_DRAW
    for g in range(c.group_bounds[block], c.group_bounds[block + 1]):
        group = c.groups[g]
        if step < group.start or step >= group.stop:
            continue
        offset = state.count_offsets[g]
        if state.count_index[g] != index:
            state.count_index[g] = index
            first = group.first_threshold
            thresholds = c.thresholds[first : first + group.n_thresholds]
            if group.first_member < 0:
                gids = c.gids[group.begin : group.end]
            else:
                gids = c.gids[_members(group, c)]
            poisson.refill(
                c.seed, np.uint64(group.stream), gids, np.uint64(index), group.smallest,
                thresholds, offset, state.counts,
            )  # fmt: skip
        n = group.end - group.begin if group.first_member < 0 else group.n_members
        counts = state.counts[step % WORDS_PER_DRAW, offset : offset + n]
        if group.first_member >= 0:
            row = state.arrived[group.receptor]
            origin, weight = c.blocks[block], np.int32(group.weight)
            poisson.scatter_counts(counts, weight, _members(group, c), origin, row)
        elif group.emits:
            for i in range(n):
                state.spiked[group.begin + i] += counts[i]
        else:
            first = group.begin - c.blocks[block]
            row = state.arrived[group.receptor, first : first + n]
            poisson.add_counts(counts, np.int32(group.weight), row)


@njit
def _members(group, c):
    """Return the lids of a group with gaps."""
    return c.members[group.first_member : group.first_member + group.n_members]


@njit
def _update(block, step, c, state):
    """Advance the neurons of a block."""
    origin = c.blocks[block]
    for k in range(c.segment_bounds[block], c.segment_bounds[block + 1]):
        s = c.segments[k]
        if s.kind == SOURCE:
            continue
        if c.draws[s.kind]:
            call_drawing_update(
                c.updates[s.kind], s.end - s.begin, c.numbers, s.first_number, c.values,
                s.first_value, state.columns, s.first_state, state.refractory, s.begin, s.duration,
                state.arrived, s.begin - origin, state.arrived.shape[1], state.spiked, c.seed,
                np.uint64(step), c.gids,
            )  # fmt: skip
            continue
        call_update(
            c.updates[s.kind], s.end - s.begin, c.numbers, s.first_number, c.values, s.first_value,
            state.columns, s.first_state, state.refractory, s.begin, s.duration, state.arrived,
            s.begin - origin, state.arrived.shape[1], state.spiked,
        )  # fmt: skip


@njit
def _collect(block, c, state, n_found):
    """Collect the neurons of a block that spiked; return the number found so far."""
    begin, end = c.blocks[block], c.blocks[block + 1]
    n_found = collect(state.spiked, state.spiked_eights, begin, end, state.found, n_found)
    for k in range(c.segment_bounds[block], c.segment_bounds[block + 1]):
        if c.segments[k].kind == SOURCE:
            for lid in range(c.segments[k].begin, c.segments[k].end):
                state.spiked[lid] = 0
    return n_found


@njit
def _sample(step, c, state, samples, sample_rows):
    """Read the columns of the probes that are due."""
    places, free = sample_rows
    for p in range(c.probe_intervals.size):
        if (step + 1) % c.probe_intervals[p] != 0:
            continue
        begin, end = c.probe_bounds[p], c.probe_bounds[p + 1]
        for k in range(begin, end):
            place = c.probe_places[k]
            at = places[p] + k - begin
            if place < 0:
                samples[at] = state.refractory[-1 - place]
            else:
                samples[at] = state.columns[place] + c.probe_resting[k]
        places[p] += end - begin
        free[p] -= 1


@njit
def collect(spiked, eights, begin, end, found, count):
    """Append the lids of neurons that spiked to `found`, once per spike; return its new length.

    Parameters
    ----------
    spiked : ndarray of uint8
        Number of spikes of each neuron.
    eights : ndarray of uint64
        The same memory, eight neurons a number.
    begin, end : int
        First lid, and the one after the last.
    found : ndarray of int64
        Receives lids.
    count : int
        Lids that are there already.
    """
    for k in range(begin // 8, (end + 7) // 8):
        if eights[k] != np.uint64(0):
            for lid in range(max(begin, 8 * k), min(end, 8 * k + 8)):
                for _ in range(spiked[lid]):
                    found[count] = lid
                    count += 1
    return count
