"""The spikes of the last steps, whose synapses are not yet all delivered."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcore.jit import njit
from simcore.spikes import GID_BITS

_GID_MASK = 2**GID_BITS - 1


class History(NamedTuple):
    """Rows of spikes in a ring, grouped by the step of emission.

    Positions count from the start of the run and are taken modulo the size of the ring, a power
    of two. The spikes of step t lie at the positions from ``ends[t - 1]`` to ``ends[t]`` - 1,
    where `ends` is a ring as well and holds at least the last `max_delay` steps.
    """

    rows: NDArray[np.int64]
    ends: NDArray[np.int64]
    row_mask: int
    step_mask: int


def make_history(n_rows: int, n_steps: int) -> History:
    """Return an empty history for at least that many spikes and steps."""
    rows, steps = _power_of_two(n_rows), _power_of_two(n_steps)
    zeros = np.zeros
    return History(zeros(rows, dtype=np.int64), zeros(steps, dtype=np.int64), rows - 1, steps - 1)


def enlarge(history: History, n_rows: int, step: int, max_delay: int) -> History:
    """Return a history with more room and the same spikes.

    Parameters
    ----------
    history : History
        The old one.
    n_rows : int
        Spikes that it must hold.
    step : int
        The next step.
    max_delay : int
        Longest delay [steps].
    """
    larger = make_history(n_rows, history.ends.size)
    larger.ends[:] = history.ends
    first = history.ends[(step - max_delay - 1) & history.step_mask]
    last = history.ends[(step - 1) & history.step_mask]
    live = np.arange(first, last)
    larger.rows[live & larger.row_mask] = history.rows[live & history.row_mask]
    return larger


@njit
def n_live(history, step, max_delay):
    """Return the number of spikes that steps from `step` on may still need."""
    last = history.ends[(step - 1) & history.step_mask]
    return last - history.ends[(step - max_delay - 1) & history.step_mask]


@njit
def append(history, step, gids, count, reached):
    """Add the spikes of a step; earlier steps are complete.

    Parameters
    ----------
    history : History
        Where to.
    step : int
        The step they were emitted in.
    gids : ndarray of int64
        Global ids.
    count : int
        How many of them.
    reached : ndarray of uint8
        Whether a source has a synapse here, by global id; other spikes are left out.
    """
    position = history.ends[(step - 1) & history.step_mask]
    for i in range(count):
        if reached[gids[i]]:
            history.rows[position & history.row_mask] = gids[i]
            position += 1
    history.ends[step & history.step_mask] = position


@njit
def admit(history, origin, words, step, max_delay, reached, local):
    """Add spikes of other ranks to the steps they were emitted in.

    Parameters
    ----------
    history : History
        Where to.
    origin : int
        Step of spikes with offset 0; no spike is earlier.
    words : ndarray of int64
        Offset and global id, see `simcore.spikes`; in any order.
    step : int
        The next step; all spikes are earlier.
    max_delay : int
        Longest delay [steps]; spikes that are older than that are left out.
    reached : ndarray of uint8
        Whether a source has a synapse here, by global id; other spikes are left out.
    local : ndarray of int64
        Room for the spikes of the last `max_delay` steps.
    """
    oldest = max(origin, step - max_delay)
    n_steps = step - oldest
    begin = history.ends[(oldest - 1) & history.step_mask]
    old_begin = begin

    # Set the local spikes aside, and count
    n_local = history.ends[(step - 1) & history.step_mask] - begin
    for i in range(n_local):
        local[i] = history.rows[(begin + i) & history.row_mask]
    counts = np.zeros(n_steps, dtype=np.int64)
    for word in words:
        offset = origin + (word >> GID_BITS) - oldest
        if offset >= 0 and reached[word & _GID_MASK]:
            counts[offset] += 1

    # Give every step its old spikes, then room for the new ones
    cursors = np.empty(n_steps, dtype=np.int64)
    taken = 0
    for offset in range(n_steps):
        slot = (oldest + offset) & history.step_mask
        own = history.ends[slot] - old_begin - taken
        for i in range(own):
            history.rows[(begin + i) & history.row_mask] = local[taken + i]
        taken += own
        cursors[offset] = begin + own
        begin = cursors[offset] + counts[offset]
        history.ends[slot] = begin
    for word in words:
        offset = origin + (word >> GID_BITS) - oldest
        if offset >= 0 and reached[word & _GID_MASK]:
            history.rows[cursors[offset] & history.row_mask] = word & _GID_MASK
            cursors[offset] += 1


def _power_of_two(n: int) -> int:
    return 1 << max(4, int(n - 1).bit_length())
