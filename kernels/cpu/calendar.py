"""The calendar: which rows of synapses have which run due in which step.

A spike gives a cursor to every row of its source. A cursor knows the next run of its row and lies
in the slot of the step in which that run is due. When the step comes the run is delivered, and
the cursor moves on to the slot of the run after it, or is free again. So a step touches what is
due and nothing else, and what comes next is what follows in memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcore.jit import njit
from simcore.kernels.cpu.intrinsics import count_bits

CURSOR = np.dtype(
    [
        ("word", np.int64),
        ("run", np.int64),
        ("stop", np.int64),
        ("emitted", np.int64),
        ("head", np.uint32),
        ("next", np.int32),
    ]
)
"""First synapse of the next run, its number, the one after the row's last, step of the spike, the
run itself, and the next cursor in the same slot or among the free ones; -1 for none."""

LIVE, USED, FREE = range(3)

NONE = np.int32(-1)


class Calendar(NamedTuple):
    """Cursors, and where to find them.

    Parameters
    ----------
    cursors : structured ndarray
        See `CURSOR`.
    slots : ndarray of int32, shape (n_forms, n_blocks, n_slots)
        The first cursor that is due in a step, modulo the number of slots.
    counts : ndarray of int64, shape (3,)
        Cursors under way; cursors ever used; the first that is free again.
    """

    cursors: NDArray[np.void]
    slots: NDArray[np.int32]
    counts: NDArray[np.int64]


def make_calendar(capacity: int, n_forms: int, n_blocks: int, max_delay: int) -> Calendar:
    """Return an empty calendar.

    Parameters
    ----------
    capacity : int
        Number of cursors, to begin with.
    n_forms, n_blocks : int
        Number of synapse tables, and of blocks.
    max_delay : int
        Longest delay [steps].
    """
    n_slots = 1 << int(max_delay).bit_length()
    slots = np.full((n_forms, n_blocks, n_slots), NONE, dtype=np.int32)
    return Calendar(np.zeros(capacity, dtype=CURSOR), slots, np.array([0, 0, NONE]))


@njit
def with_room(calendar, needed):
    """Return a calendar of the same content with that many free cursors, if need be a larger one.

    Parameters
    ----------
    calendar : Calendar
        The old one; not to be used again.
    needed : int
        Cursors.
    """
    live = calendar.counts[LIVE]
    if calendar.cursors.size - live >= needed:
        return calendar
    cursors = np.empty(2 * (live + needed), dtype=CURSOR)
    for k in range(calendar.counts[USED]):
        cursors[k] = calendar.cursors[k]
    return Calendar(cursors, calendar.slots, calendar.counts)


@njit
def enter(calendar, form, block, table, source, emitted):
    """Enter the row that a source has in a block, if it has one.

    Parameters
    ----------
    calendar : Calendar
        Where to; must have room.
    form, block : int
        Number of the table and of the block.
    table : Table
        The synapses.
    source : int
        Global id of the neuron that spiked.
    emitted : int
        Step of the spike.
    """
    bits = table.sources[block, source >> 6, 0]
    mask = np.uint64(1) << np.uint64(source & 63)
    if bits & mask == np.uint64(0):
        return
    row = np.int64(table.sources[block, source >> 6, 1]) + count_bits(bits & (mask - np.uint64(1)))

    # Take a cursor
    counts = calendar.counts
    k = counts[FREE]
    if k == NONE:
        k = counts[USED]
        counts[USED] += 1
    else:
        counts[FREE] = calendar.cursors[k].next
    counts[LIVE] += 1
    cursor = calendar.cursors[k]
    cursor.run, cursor.stop = table.rows[row, 0], table.rows[row + 1, 0]
    cursor.word, cursor.emitted = table.rows[row, 1], emitted
    _wait(calendar, form, block, table, k)


@njit
def move_on(calendar, form, block, table, k):
    """Let a cursor go on to the next run of its row; after the last it is free."""
    cursor = calendar.cursors[k]
    cursor.word += np.int64(cursor.head & np.uint32(0xFFFF))
    cursor.run += 1
    if cursor.run < cursor.stop:
        _wait(calendar, form, block, table, k)
    else:
        calendar.counts[LIVE] -= 1
        cursor.next = calendar.counts[FREE]
        calendar.counts[FREE] = k


@njit
def _wait(calendar, form, block, table, k):
    """Put a cursor into the slot in which its run is due."""
    cursor = calendar.cursors[k]
    cursor.head = table.runs[cursor.run]
    due = cursor.emitted + table.delays[cursor.head >> np.uint32(16)]
    slot = due & (calendar.slots.shape[2] - 1)
    cursor.next = calendar.slots[form, block, slot]
    calendar.slots[form, block, slot] = k
