"""The sort that turns synapses in the order of targets into runs in the order of sources.

Synapses are first put into buckets of neighbouring sources, at the place that the bucket has in
the finished table; then each bucket, small enough for the cache, is sorted by counting. A synapse
is so moved twice, whatever the size of the network, and apart from the table itself memory holds
a key of 16 bits for each synapse of a block.
"""

from __future__ import annotations

import numpy as np

from simcore.discretization.fixed_point import WeightForm
from simcore.numerics.jit import njit

KEYS = 2**16
LONGEST_RUN = 2**16 - 1

_DRAWN, _EXACT = int(WeightForm.DRAWN), int(WeightForm.EXACT)


def rows_per_bucket(n_rows: int, n_channels: int, n_synapses: float) -> int:
    """Return the number of neighbouring sources in a bucket, as a power of two.

    Parameters
    ----------
    n_rows, n_channels : int
        Sources and channels; a bucket has at most 2**16 runs.
    n_synapses : float
        Expected synapses of a block; a bucket has about 2**18.
    """
    buckets = min(max(1.0, n_synapses / 2**18), 1024.0)
    wanted = max(1, int(n_rows / buckets))
    return max(0, min(wanted, KEYS // n_channels).bit_length() - 1)


@njit
def count_rows(count, rows, buckets, arrays):
    """Count the synapses of every bucket.

    Parameters
    ----------
    count : int
        Number of synapses.
    rows : ndarray of int64
        Their rows.
    buckets, arrays : tuple
        See `simcore.construction.synapse_draws.visit_targets`.
    """
    bits = buckets[0]
    cursors = arrays[0]
    for i in range(count):
        cursors[rows[i] >> bits] += 1


@njit
def put(form, count, target, rows, channels, weights, buckets, arrays):
    """Put the synapses of one target into their buckets.

    Parameters
    ----------
    form : int
        The `WeightForm` of the table.
    count : int
        Number of synapses.
    target : int
        Index of the target within the block.
    rows : ndarray of int64
        Row of each synapse.
    channels, weights : ndarray of int32
        Channel and weight of each synapse.
    buckets, arrays : tuple
        See `simcore.construction.synapse_draws.visit_targets`.
    """
    bits, n_channels, shift = buckets
    cursors, words, exact, keys = arrays
    mask = (1 << bits) - 1
    for i in range(count):
        bucket = rows[i] >> bits
        place = cursors[bucket]
        cursors[bucket] = place + 1
        keys[place] = np.uint16((rows[i] & mask) * n_channels + channels[i])
        if form == _DRAWN:
            words[place] = np.uint32(((weights[i] >> shift) << 16) | target)
        else:
            words[place] = target
        if form == _EXACT:
            exact[place] = weights[i]


@njit
def put_each(form, targets, rows, channels, weights, buckets, arrays):
    """Put synapses of different targets into their buckets; form -1 counts them."""
    for i in range(rows.size):
        if form < 0:
            count_rows(1, rows[i : i + 1], buckets, arrays)
        else:
            one = slice(i, i + 1)
            put(form, 1, targets[i], rows[one], channels[one], weights[one], buckets, arrays)


@njit
def sort_buckets(bounds, offset, n_sources, bits, n_channels, words, exact, keys, rows):
    """Sort the synapses of every bucket of a block by run; return where the runs are.

    Parameters
    ----------
    bounds : ndarray of int64, shape (n_buckets + 1,)
        Where each bucket starts in `words`.
    offset : int
        Where the block starts in `words`; `keys` holds this block alone.
    n_sources, bits, n_channels : int
        Number of sources; sources of a bucket as a power of two; number of channels.
    words, exact : ndarray
        The synapses; sorted in place.
    keys : ndarray of uint16
        Run of each synapse within its bucket.
    rows : ndarray, shape (0, 2)
        Of the type that rows shall have.

    Returns
    -------
    index : ndarray of uint64, shape (n_groups, 2)
        See `SynapseTable`, for this block.
    rows : ndarray, shape (n_rows, 2)
        First run, counted within the block, and first synapse of each row.
    runs : ndarray of uint32
        Channel and number of synapses of each run.
    """
    largest = 0
    for b in range(bounds.size - 1):
        largest = max(largest, bounds[b + 1] - bounds[b])
    old_words = np.empty(largest, dtype=words.dtype)
    old_exact = np.empty(largest if exact.size > 0 else 0, dtype=exact.dtype)
    counts = np.empty(n_channels << bits, dtype=np.int64)
    index = np.zeros(((n_sources + 63) // 64, 2), dtype=np.uint64)

    # Room for the most that there can be; what is not used takes no memory, so nothing is copied
    n_synapses = bounds[-1] - offset
    rows = np.empty((min(n_sources, n_synapses), 2), dtype=rows.dtype)
    most = min(n_sources * n_channels, n_synapses) + n_synapses // LONGEST_RUN
    runs = np.empty(most, dtype=np.uint32)
    n_rows = n_runs = 0

    for b in range(bounds.size - 1):
        begin, end = bounds[b], bounds[b + 1]
        if begin == end:
            continue
        for k in range(counts.size):
            counts[k] = 0
        for i in range(begin, end):
            counts[keys[i - offset]] += 1
            old_words[i - begin] = words[i]

        # Write down rows and runs; turn the counts into places
        place = begin
        for s in range(min(1 << bits, n_sources - (b << bits))):
            first_run, first_word = n_runs, place
            for channel in range(n_channels):
                left = counts[s * n_channels + channel]
                counts[s * n_channels + channel] = place
                place += left
                while left > 0:
                    length = min(left, LONGEST_RUN)
                    runs[n_runs] = np.uint32(channel << 16 | length)
                    n_runs += 1
                    left -= length
            if n_runs > first_run:
                source = (b << bits) + s
                index[source >> 6, 0] |= np.uint64(1) << np.uint64(source & 63)
                rows[n_rows, 0], rows[n_rows, 1] = first_run, first_word
                n_rows += 1

        if exact.size > 0:
            for i in range(begin, end):
                old_exact[i - begin] = exact[i]
        for i in range(begin, end):
            key = keys[i - offset]
            place = counts[key]
            counts[key] = place + 1
            words[place] = old_words[i - begin]
            if exact.size > 0:
                exact[place] = old_exact[i - begin]
    _count_rows_before(index)
    return index, rows[:n_rows], runs[:n_runs]


@njit
def _count_rows_before(index):
    """Set the second number of each group from the bits of the groups before."""
    before = np.uint64(0)
    for group in range(index.shape[0]):
        index[group, 1] = before
        bits = index[group, 0]
        while bits != np.uint64(0):
            bits &= bits - np.uint64(1)
            before += np.uint64(1)


@njit
def shortest_remote(index, rows, runs, gids, delays):
    """Return the shortest delay of a row whose source is not in the sorted `gids`; or 2**62."""
    shortest = np.int64(2**62)
    row = 0
    for block in range(index.shape[0]):
        local = 0
        for group in range(index.shape[1]):
            bits = index[block, group, 0]
            if bits == np.uint64(0):
                continue
            for place in range(64):
                if (bits >> np.uint64(place)) & np.uint64(1) == np.uint64(0):
                    continue
                source = group * 64 + place
                while local < gids.size and gids[local] < source:
                    local += 1
                if local == gids.size or gids[local] != source:
                    delay = np.int64(delays[runs[rows[row, 0]] >> np.uint32(16)])
                    shortest = min(shortest, delay)
                row += 1
    return shortest
