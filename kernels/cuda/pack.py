"""The rows of some sources, gathered from all blocks; see `simcore.kernels.cuda.synapses`."""

from __future__ import annotations

import numpy as np

from simcore.fixed_point import Form
from simcore.jit import njit
from simcore.shard import SOURCES_PER_GROUP

_DRAWN, _EXACT = int(Form.DRAWN), int(Form.EXACT)


@njit
def pack_rows(
    form, sources, groups, rows, runs, words, exact, bounds, target_bits, part_of, n_before,
    out_rows, low, high, weights, high_weights,
):  # fmt: skip
    """Pack the rows of some groups of sources.

    Parameters
    ----------
    form : int
        The `Form` of the table.
    sources : ndarray of uint64, shape (n_blocks, n_groups, 2)
        Those of the blocks, see `SynapseTable`.
    groups : ndarray of uint64, shape (n_groups, 3)
        Those of the section.
    rows, runs, words, exact : ndarray
        See `SynapseTable`.
    bounds : ndarray of int64, shape (n_blocks + 1,)
        Bounds of the blocks, from the first target on.
    target_bits : int
        Low bits of a place.
    part_of : ndarray of uint16
        Part of each target, from the first on; empty if there is one part only.
    n_before : int
        Number of the first synapse of these groups.
    out_rows, low, high, weights, high_weights : ndarray
        Receive what a `Chunk` has.
    """
    n_blocks = sources.shape[0]
    row_of = np.empty(n_blocks, dtype=np.int64)
    places = np.zeros(out_rows.shape[1], dtype=np.int64)
    at = n_found = 0
    for group in range(groups.shape[0]):
        bits = groups[group, 0]
        if bits == np.uint64(0) and part_of.size == 0:
            continue
        for block in range(n_blocks):
            row_of[block] = np.int64(sources[block, group, 1])
        for place in range(SOURCES_PER_GROUP):
            bit = np.uint64(1) << np.uint64(place)
            if bits & bit == np.uint64(0):
                if part_of.size:
                    out_rows[SOURCES_PER_GROUP * group + place] = (n_before + at) & 0xFFFFFFFF
                continue
            if part_of.size:
                n_found = SOURCES_PER_GROUP * group + place

            # Where the synapses of each part of this row begin
            places[:] = 0
            if part_of.size:
                for block in range(n_blocks):
                    if sources[block, group, 0] & bit != np.uint64(0):
                        row = row_of[block]
                        for k in range(np.int64(rows[row, 1]), np.int64(rows[row + 1, 1])):
                            places[part_of[np.int64(words[k] & 0xFFFF) + bounds[block]]] += 1
            for part in range(places.size):
                size, places[part] = places[part], at
                at += size
                out_rows[n_found, part] = np.uint32((n_before + places[part]) & 0xFFFFFFFF)
            n_found += 1

            for block in range(n_blocks):
                if sources[block, group, 0] & bit == np.uint64(0):
                    continue
                row = row_of[block]
                row_of[block] += 1
                begin = np.int64(rows[row, 1])
                for run in range(np.int64(rows[row, 0]), np.int64(rows[row + 1, 0])):
                    channel = np.int64(runs[run] >> np.uint32(16)) << target_bits
                    end = begin + np.int64(runs[run] & np.uint32(0xFFFF))
                    for k in range(begin, end):
                        target = np.int64(words[k] & 0xFFFF) + bounds[block]
                        part = np.int64(part_of[target]) if part_of.size else 0
                        to = places[part]
                        places[part] = to + 1
                        low[to] = (channel | target) & 0xFFFF
                        high[to] = (channel | target) >> 16
                        if form == _DRAWN:
                            weights[to] = words[k] >> 16
                        elif form == _EXACT:
                            weights[to] = exact[k] & 0xFFFF
                            high_weights[to] = exact[k] >> 16
                    begin = end
            at = places[places.size - 1]
