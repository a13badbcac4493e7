"""The sort that turns synapses in the order of targets into runs in the order of sources.

Synapses are first put into buckets of neighbouring sources, at the place that the bucket has in
the finished table; then each bucket, small enough for the cache, is sorted by counting. A synapse
is so moved twice, whatever the size of the network, and apart from the table itself memory holds
a key of 16 bits for each synapse of a block.
"""

from __future__ import annotations

import numpy as np

from simcore.fixed_point import Form
from simcore.jit import njit

KEYS = 2**16

_DRAWN, _EXACT = int(Form.DRAWN), int(Form.EXACT)


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
        See `simcore.partition.draw.visit_targets`.
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
        The `Form` of the table.
    count : int
        Number of synapses.
    target : int
        Index of the target within the block.
    rows : ndarray of int64
        Row of each synapse.
    channels, weights : ndarray of int32
        Channel and weight of each synapse.
    buckets, arrays : tuple
        See `simcore.partition.draw.visit_targets`.
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
def sort_buckets(bounds, offset, n_rows, bits, n_channels, starts, words, exact, keys):
    """Sort the synapses of every bucket of a block by run.

    Parameters
    ----------
    bounds : ndarray of int64, shape (n_buckets + 1,)
        Where each bucket starts in `words`.
    offset : int
        Where the block starts in `words`; `keys` holds this block alone.
    n_rows, bits, n_channels : int
        Number of rows; rows of a bucket as a power of two; number of channels.
    starts : ndarray, shape (n_rows * n_channels,)
        Receives where each run of the block starts.
    words, exact : ndarray
        The synapses; sorted in place.
    keys : ndarray of uint16
        Run of each synapse within its bucket.
    """
    largest = 0
    for b in range(bounds.size - 1):
        largest = max(largest, bounds[b + 1] - bounds[b])
    old_words = np.empty(largest, dtype=words.dtype)
    old_exact = np.empty(largest if exact.size > 0 else 0, dtype=exact.dtype)
    counts = np.empty(n_channels << bits, dtype=np.int64)

    for b in range(bounds.size - 1):
        begin, end = bounds[b], bounds[b + 1]
        first_run = (b << bits) * n_channels
        n_runs = min(n_channels << bits, n_rows * n_channels - first_run)
        for k in range(n_runs):
            counts[k] = 0
        for i in range(begin, end):
            counts[keys[i - offset]] += 1
            old_words[i - begin] = words[i]
        place = begin
        for k in range(n_runs):
            starts[first_run + k] = place
            n = counts[k]
            counts[k] = place
            place += n
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


@njit
def shortest_remote(starts, gids, n_blocks, n_rows, delays):
    """Return the shortest delay of a run whose source is not in the sorted `gids`; or 2**62."""
    n_channels = delays.size
    shortest = np.int64(2**62)
    for b in range(n_blocks):
        local = 0
        for row in range(n_rows):
            if local < gids.size and gids[local] == row:
                local += 1
                continue
            run = (b * n_rows + row) * n_channels
            if starts[run] == starts[run + n_channels]:
                continue
            for c in range(n_channels):
                if delays[c] >= shortest:
                    break
                if starts[run + c + 1] > starts[run + c]:
                    shortest = delays[c]
                    break
    return shortest
