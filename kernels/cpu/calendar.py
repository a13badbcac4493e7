"""The calendar: which rows of synapses have which run due in which step.

A spike gives a cursor to every row of its source. A cursor knows the next run of its row and lies
in the slot of the step in which that run is due. When the step comes the run is delivered, and
the cursor moves on to the slot of the run after it, or is gone. So a step touches what is due and
nothing else. A slot is a list of chunks of cursors, so that they are read one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcore.kernels.cpu.intrinsics import count_bits, prefetch
from simcore.numerics.jit import njit
from simcore.numerics.spikes import GID_BITS

CHUNK = 32
"""Cursors in a chunk."""

CURSOR = np.dtype([("word", np.int64), ("run", np.int64), ("head", np.uint32), ("left", np.uint32)])
"""First synapse of the next run, its number, the run itself, and the runs after it in the row."""

LIVE, USED, FREE = range(3)

NONE = np.int32(-1)

_GID_MASK = 2**GID_BITS - 1
_LENGTH = np.uint32(0xFFFF)
_TILE = 64


class Calendar(NamedTuple):
    """Cursors, and where to find them.

    Parameters
    ----------
    cursors : structured ndarray, shape (n_chunks * CHUNK,)
        See `CURSOR`.
    fill : ndarray of int32, shape (n_chunks,)
        Cursors in each chunk.
    after : ndarray of int32, shape (n_chunks,)
        The next chunk of the same slot, or of those that are free; `NONE` after the last.
    slots : ndarray of int32, shape (n_forms, n_blocks, n_slots)
        First chunk of what is due in a step, modulo the number of slots; all chunks but the first
        are full.
    counts : ndarray of int64, shape (3,)
        Cursors under way; chunks ever used; the first chunk that is free again.
    """

    cursors: NDArray[np.void]
    fill: NDArray[np.int32]
    after: NDArray[np.int32]
    slots: NDArray[np.int32]
    counts: NDArray[np.int64]


def make_calendar(n_chunks: int, n_forms: int, n_blocks: int, max_delay: int) -> Calendar:
    """Return an empty calendar.

    Parameters
    ----------
    n_chunks : int
        Number of chunks, to begin with.
    n_forms, n_blocks : int
        Number of synapse tables, and of blocks.
    max_delay : int
        Longest delay [steps].
    """
    n_slots = 1 << int(max_delay).bit_length()
    return Calendar(
        cursors=np.zeros(n_chunks * CHUNK, dtype=CURSOR),
        fill=np.zeros(n_chunks, dtype=np.int32),
        after=np.zeros(n_chunks, dtype=np.int32),
        slots=np.full((n_forms, n_blocks, n_slots), NONE, dtype=np.int32),
        counts=np.array([0, 0, NONE]),
    )


@njit
def with_room(calendar, needed):
    """Return a calendar of the same content with room for more, if need be a larger one.

    Parameters
    ----------
    calendar : Calendar
        The old one; not to be used again.
    needed : int
        Cursors to enter.
    """
    # Every slot has at most one chunk that is not full, and one chunk is being read
    n_lists = calendar.slots.size
    if calendar.fill.size > (calendar.counts[LIVE] + needed) // CHUNK + n_lists + 1:
        return calendar
    # What is not used takes no memory, so seldom is more to be copied than is used later
    n_chunks = 4 * ((calendar.counts[LIVE] + needed) // CHUNK + n_lists + 1)
    cursors = np.empty(n_chunks * CHUNK, dtype=CURSOR)
    fill, after = np.empty(n_chunks, dtype=np.int32), np.empty(n_chunks, dtype=np.int32)
    for chunk in range(calendar.counts[USED]):
        fill[chunk], after[chunk] = calendar.fill[chunk], calendar.after[chunk]
    for k in range(calendar.counts[USED] * CHUNK):
        cursors[k] = calendar.cursors[k]
    return Calendar(cursors, fill, after, calendar.slots, calendar.counts)


@njit
def enter(calendar, form, table, origin, words, first, last):
    """Enter the rows that spikes have in a table.

    Parameters
    ----------
    calendar : Calendar
        Where to; must have room.
    form : int
        Number of the table.
    table : Table
        The synapses.
    origin : int
        Step of spikes with offset 0.
    words : ndarray of int64
        Spikes, see `simcore.numerics.spikes`.
    first, last : int
        The first of them, and the one after the last.
    """
    rows = np.empty(_TILE, dtype=np.int64)
    emitted = np.empty(_TILE, dtype=np.int64)
    for block in range(calendar.slots.shape[1]):
        for begin in range(first, last, _TILE):
            # Find the rows, and ask for what is needed of them before it is used
            n = 0
            for i in range(begin, min(begin + _TILE, last)):
                row = _row(table, block, words[i] & _GID_MASK)
                if row >= 0:
                    rows[n], emitted[n] = row, origin + (words[i] >> GID_BITS)
                    prefetch(table.rows, 2 * row)
                    n += 1
            for i in range(n):
                prefetch(table.runs, np.int64(table.rows[rows[i], 0]))
            for i in range(n):
                run = np.int64(table.rows[rows[i], 0])
                left = np.int64(table.rows[rows[i] + 1, 0]) - run - 1
                word = np.int64(table.rows[rows[i], 1])
                _wait(calendar, form, block, table, emitted[i], word, run, left)
            calendar.counts[LIVE] += n


@njit
def reenter(calendar, form, table, origin, words, step):
    """Enter what rows of past spikes still have to deliver from a step on; see `enter`."""
    for block in range(calendar.slots.shape[1]):
        for word in words:
            row = _row(table, block, word & _GID_MASK)
            if row < 0:
                continue
            emitted = origin + (word >> GID_BITS)
            run, stop = np.int64(table.rows[row, 0]), np.int64(table.rows[row + 1, 0])
            first = np.int64(table.rows[row, 1])
            while run < stop and emitted + table.delays[table.runs[run] >> np.uint32(16)] < step:
                first += np.int64(table.runs[run] & _LENGTH)
                run += 1
            if run < stop:
                _wait(calendar, form, block, table, emitted, first, run, stop - run - 1)
                calendar.counts[LIVE] += 1


@njit
def _row(table, block, source):
    """Return the row that a source has in a block, or -1."""
    bits = table.sources[block, source >> 6, 0]
    mask = np.uint64(1) << np.uint64(source & 63)
    if bits & mask == np.uint64(0):
        return np.int64(-1)
    return np.int64(table.sources[block, source >> 6, 1]) + count_bits(bits & (mask - np.uint64(1)))


@njit
def move_on(calendar, form, block, table, step, cursor):
    """Let a cursor, whose run is due in this step, go on to the next run of its row.

    After the last it is gone.
    """
    if cursor.left == np.uint32(0):
        calendar.counts[LIVE] -= 1
        return
    emitted = step - table.delays[cursor.head >> np.uint32(16)]
    word = cursor.word + np.int64(cursor.head & _LENGTH)
    left = np.int64(cursor.left) - 1
    _wait(calendar, form, block, table, emitted, word, cursor.run + 1, left)


@njit
def _wait(calendar, form, block, table, emitted, word, run, left):
    """Put a cursor into the slot in which its run is due."""
    head = table.runs[run]
    due = emitted + table.delays[head >> np.uint32(16)]
    slot = due & (calendar.slots.shape[2] - 1)
    chunk = calendar.slots[form, block, slot]
    if chunk == NONE or calendar.fill[chunk] == CHUNK:
        chunk = _take_chunk(calendar, chunk)
        calendar.slots[form, block, slot] = chunk
    place = np.int64(chunk) * CHUNK + calendar.fill[chunk]
    calendar.fill[chunk] += 1
    cursor = calendar.cursors[place]
    cursor.word, cursor.run = word, run
    cursor.head, cursor.left = head, left


@njit
def _take_chunk(calendar, after):
    """Return an empty chunk, put before another."""
    counts = calendar.counts
    chunk = counts[FREE]
    if chunk == NONE:
        chunk = counts[USED]
        counts[USED] += 1
    else:
        counts[FREE] = calendar.after[chunk]
    calendar.fill[chunk] = 0
    calendar.after[chunk] = after
    return np.int32(chunk)


@njit
def free_chunk(calendar, chunk):
    """Give back a chunk; return the one after it."""
    after = calendar.after[chunk]
    calendar.after[chunk] = calendar.counts[FREE]
    calendar.counts[FREE] = chunk
    return after
