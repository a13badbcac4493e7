"""Delivery of the synapses that are due in one step.

Every spike of the last `max_delay` steps is visited once for each channel, in the step in which
the channel's delay has passed. So all additions of a step go to the input of one block, which
stays in the cache. Visits are made in batches: runs are looked up, and their synapses asked for,
before the first of them is used.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcore.jit import njit
from simcore.kernels.cpu.intrinsics import prefetch

BATCH = 32
LINES = 4

_LOW = np.uint32(0xFFFF)
_HIGH = np.uint32(0xFFFF0000)


class Table(NamedTuple):
    """The arrays of a `SynapseTable`; without channels where there is no such table."""

    delays: NDArray[np.int32]
    receptors: NDArray[np.int32]
    weights: NDArray[np.int32]
    n_rows: int
    starts: NDArray[np.uint32] | NDArray[np.int64]
    words: NDArray[np.uint16] | NDArray[np.uint32]
    exact: NDArray[np.int32]
    shift: int


class Visits(NamedTuple):
    """A batch of runs: channel, first synapse, and the one after the last."""

    channel: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]


def _deliverer(add_batch, per_line):
    """Return the function that delivers the synapses of one form.

    Parameters
    ----------
    add_batch : callable
        Adds the synapses of a batch of visits to the input.
    per_line : int
        Synapses in a cache line.
    """

    @njit
    def deliver(table, block, step, history, visits, arrived):
        n_channels = table.delays.size
        base = block * table.n_rows * n_channels
        n = 0
        for channel in range(n_channels):
            emitted = step - table.delays[channel]
            if emitted < 0:
                break
            first = history.ends[(emitted - 1) & history.step_mask]
            last = history.ends[emitted & history.step_mask]
            for position in range(first, last):
                run = base + history.rows[position & history.row_mask] * n_channels + channel
                begin, end = table.starts[run], table.starts[run + 1]
                if begin == end:
                    continue
                for line in range(LINES):
                    prefetch(table.words, begin + line * per_line)
                visits.channel[n], visits.begin[n], visits.end[n] = channel, begin, end
                n += 1
                if n == BATCH:
                    add_batch(table, visits, n, arrived)
                    n = 0
        add_batch(table, visits, n, arrived)

    return deliver


@njit
def _add_constant(table, visits, n, arrived):
    for v in range(n):
        weight = table.weights[visits.channel[v]]
        row = arrived[table.receptors[visits.channel[v]]]
        for target in table.words[visits.begin[v] : visits.end[v]]:
            row[target] += weight


@njit
def _add_drawn(table, visits, n, arrived):
    # The weight is in the high half: one arithmetic shift divides by 2**16 and applies the shift
    down = np.int32(16 - table.shift)
    for v in range(n):
        row = arrived[table.receptors[visits.channel[v]]]
        for word in table.words[visits.begin[v] : visits.end[v]]:
            row[word & _LOW] += np.int32(word & _HIGH) >> down


@njit
def _add_exact(table, visits, n, arrived):
    for v in range(n):
        row = arrived[table.receptors[visits.channel[v]]]
        for synapse in range(visits.begin[v], visits.end[v]):
            row[table.words[synapse]] += table.exact[synapse]


deliver_constant = _deliverer(_add_constant, 32)
deliver_drawn = _deliverer(_add_drawn, 16)
deliver_exact = _deliverer(_add_exact, 32)


@njit
def mark_reached(starts, n_channels, reached):
    """Mark the sources that have a synapse in any block.

    Parameters
    ----------
    starts : ndarray
        Of the `SynapseTable`.
    n_channels : int
        Number of channels.
    reached : ndarray of uint8, shape (n_rows,)
        Receives 1 for these sources.
    """
    for k in range((starts.size - 1) // n_channels):
        if starts[k * n_channels] != starts[(k + 1) * n_channels]:
            reached[k % reached.size] = 1
