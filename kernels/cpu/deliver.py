"""Delivery of the synapses that are due in one step.

Every run of synapses is added to the input in the step in which it is due, see
`simcore.kernels.cpu.calendar`. So all additions of a step go to the input of one block, which
stays in the cache. The runs of a chunk of cursors are visited together: the synapses of all are
asked for before those of the first are used.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcore.discretization.fixed_point import WeightForm
from simcore.kernels.cpu.calendar import CHUNK, NONE, free_chunk, move_on
from simcore.kernels.cpu.intrinsics import prefetch
from simcore.numerics.jit import njit

LINES = 4

_LOW = np.uint32(0xFFFF)
_HIGH = np.uint32(0xFFFF0000)


class SynapseArrays(NamedTuple):
    """The arrays of a `SynapseTable`; without channels where there is no such table."""

    delays: NDArray[np.int32]
    receptors: NDArray[np.int32]
    weights: NDArray[np.int32]
    sources: NDArray[np.uint64]
    rows: NDArray[np.uint32] | NDArray[np.int64]
    runs: NDArray[np.uint32]
    words: NDArray[np.uint16] | NDArray[np.uint32]
    exact: NDArray[np.int32]
    shift: int


class Visits(NamedTuple):
    """A batch of runs: channel, first synapse, and the one after the last."""

    channel: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]


def _deliverer(form, add_batch, per_line):
    """Return the function that delivers the synapses of one form.

    Parameters
    ----------
    form : WeightForm
        Which.
    add_batch : callable
        Adds the synapses of a batch of visits to the input.
    per_line : int
        Synapses in a cache line.
    """
    number = int(form)

    @njit
    def deliver(table, block, step, calendar, visits, arrived):
        slot = step & (calendar.slots.shape[2] - 1)
        chunk = calendar.slots[number, block, slot]
        while chunk != NONE:
            # Runs of one row that are due together come one after the other
            calendar.slots[number, block, slot] = NONE
            while chunk != NONE:
                n = np.int64(calendar.fill[chunk])
                for i in range(n):
                    cursor = calendar.cursors[np.int64(chunk) * CHUNK + i]
                    begin = cursor.word
                    for line in range(LINES):
                        prefetch(table.words, begin + line * per_line)
                    visits.begin[i] = begin
                    visits.end[i] = begin + np.int64(cursor.head & _LOW)
                    visits.channel[i] = cursor.head >> np.uint32(16)
                    move_on(calendar, number, block, table, step, cursor)
                add_batch(table, visits, n, arrived)
                chunk = free_chunk(calendar, chunk)
            chunk = calendar.slots[number, block, slot]

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


deliver_constant = _deliverer(WeightForm.CONSTANT, _add_constant, 32)
deliver_drawn = _deliverer(WeightForm.DRAWN, _add_drawn, 16)
deliver_exact = _deliverer(WeightForm.EXACT, _add_exact, 32)
