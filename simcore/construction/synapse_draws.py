"""Compiled draws of the synapses of a target.

The same draws are made twice: once to count the synapses of every bucket, once to put them there.
See `simcore.construction.buckets`.
"""

from __future__ import annotations

import numpy as np

from simcore.construction.buckets import count_rows, put
from simcore.construction.id_search import position, to_ids
from simcore.numerics.jit import njit
from simcore.numerics.philox import draw, draw_many
from simcore.shards.shard_spec import SourceChoice

BUFFER = 4096

UNIFORM, DISTINCT, ALL = (
    int(choice) for choice in (SourceChoice.UNIFORM, SourceChoice.DISTINCT, SourceChoice.ALL)
)

_HALF = np.uint64(32)
_NO_SELF = np.int64(2**62)


@njit
def _scaled(w0, w3, n):
    """Return the 64-bit fraction w0.w3 times n, rounded down; n below 2**32.

    See `simcore.description.connectivity.MAX_CHOICE`.
    """
    return (w0 * n + ((w3 * n) >> _HALF)) >> _HALF


@njit
def uniform_sources(count, n_sources, skip, w0, w3, sources):
    """Turn words into indices of sources, drawn with replacement.

    Parameters
    ----------
    count : int
        How many.
    n_sources : uint64
        Number of sources to draw from, without the one to skip.
    skip : int
        Index of a source to leave out; 2**62 for none.
    w0, w3 : ndarray of uint32
        The words.
    sources : ndarray of int64
        Receives indices within the source view.
    """
    for i in range(count):
        source = np.int64(_scaled(np.uint64(w0[i]), np.uint64(w3[i]), n_sources))
        sources[i] = source + (source >= skip)


@njit
def distinct_sources(seed, stream, gid, count, n_sources, skip):
    """Return `count` different sources, drawn uniformly without replacement.

    Draws that repeat a source are passed over. Where more than half are wanted, those to leave
    out are drawn instead.
    """
    n = np.int64(n_sources)
    complement = 2 * count > n
    target = n - count if complement else count
    size = 4
    while size < 2 * target + 2:
        size *= 2
    slots = np.full(size, -1, dtype=np.int64)
    chosen = np.empty(target, dtype=np.int64)
    found = 0
    attempt = 0
    while found < target:
        w0, _, _, w3 = draw(seed, stream, gid, np.uint64(attempt))
        attempt += 1
        source = np.int64(_scaled(w0, w3, n_sources))
        slot = (source * 0x9E3779B1) & (size - 1)
        while slots[slot] != -1 and slots[slot] != source:
            slot = (slot + 1) & (size - 1)
        if slots[slot] == source:
            continue
        slots[slot] = source
        chosen[found] = source
        found += 1
    if complement:
        chosen = _all_but(chosen, n)
    for i in range(chosen.size):
        chosen[i] += chosen[i] >= skip
    return chosen


@njit
def _all_but(left_out, n):
    """Return the numbers below n that are not among those left out."""
    kept = np.ones(n, dtype=np.uint8)
    for number in left_out:
        kept[number] = 0
    chosen = np.empty(n - left_out.size, dtype=np.int64)
    found = 0
    for number in range(n):
        if kept[number]:
            chosen[found] = number
            found += 1
    return chosen


@njit
def to_channels(count, words, delay_table, values, channel_of, keys, weights):
    """Turn words into channels and weights.

    Parameters
    ----------
    count : int
        How many.
    words : (ndarray of uint32, ndarray of uint32)
        The words for the delay and for the weight.
    delay_table : (ndarray of uint32, ndarray of int32)
        Thresholds and guide of a `DiscreteTable`.
    values : ndarray of int32, shape (65536,) or (1,)
        Equally likely weights.
    channel_of : ndarray of int32, shape (2 * n_delays,)
        Channel by delay and sign of the weight.
    keys, weights : ndarray of int32
        Receive channels and weights.
    """
    delay_words, weight_words = words
    thresholds, guide = delay_table
    n_thresholds = thresholds.size
    mask = np.uint32(values.size - 1)
    for i in range(count):
        word = delay_words[i]
        d = guide[word >> np.uint32(22)]
        while d < n_thresholds and thresholds[d] <= word:
            d += 1
        weight = values[(weight_words[i] >> np.uint32(16)) & mask]
        keys[i] = channel_of[2 * d + (weight < 0)]
        weights[i] = weight


@njit
def visit_targets(form, kind, key, targets, indegrees, sources, excludes, tables, buckets, arrays):
    """Draw all synapses of some targets, and count them or put them into buckets.

    Parameters
    ----------
    form : int
        The `WeightForm` of the table, or -1 to count.
    kind : int
        UNIFORM, DISTINCT or ALL.
    key : (uint64, uint64)
        Seed and stream.
    targets : (ndarray of int64, ndarray of int64)
        Global id of each target, and its index within the block.
    indegrees : ndarray of int64
        Synapses of each target.
    sources : tuple
        Global ids of the sources, see `simcore.description.ids.Packed`.
    excludes : bool
        Whether a target that is a source as well must not connect to itself.
    tables : (ndarray, ndarray, ndarray, ndarray)
        Thresholds and guide of the delay, weights, channels.
    buckets : (int, int, int)
        Rows in a bucket, as a power of two; number of channels; shift of the weights.
    arrays : (ndarray, ndarray, ndarray, ndarray)
        Cursors of the buckets, words, exact weights, keys.
    """
    seed, stream = key
    gids, in_block = targets
    thresholds, guide, values, channel_of = tables
    rows = np.empty(BUFFER, dtype=np.int64)
    w0 = np.empty(BUFFER, dtype=np.uint32)
    w1 = np.empty(BUFFER, dtype=np.uint32)
    w2 = np.empty(BUFFER, dtype=np.uint32)
    w3 = np.empty(BUFFER, dtype=np.uint32)
    channels = np.empty(BUFFER, dtype=np.int32)
    weights = np.empty(BUFFER, dtype=np.int32)
    chosen = rows[:0]

    for t in range(gids.size):
        gid = np.uint64(gids[t])
        skip, n = _self_among(sources, excludes, gids[t])
        if kind == DISTINCT:
            chosen = distinct_sources(seed, stream, gid, indegrees[t], n, skip)
        for begin in range(0, indegrees[t], BUFFER):
            count = min(BUFFER, indegrees[t] - begin)
            draw_many(seed, stream, gid, np.uint64(begin), count, w0, w1, w2, w3)
            if kind == UNIFORM:
                uniform_sources(count, n, skip, w0, w3, rows)
            elif kind == ALL:
                for i in range(count):
                    rows[i] = begin + i + (begin + i >= skip)
            else:
                for i in range(count):
                    rows[i] = chosen[begin + i]
            to_ids(sources, count, rows)
            if form < 0:
                count_rows(count, rows, buckets, arrays)
            else:
                delay_table = (thresholds, guide)
                to_channels(count, (w1, w2), delay_table, values, channel_of, channels, weights)
                put(form, count, in_block[t], rows, channels, weights, buckets, arrays)


@njit
def _self_among(others, excludes, gid):
    """Return the index of a neuron to leave out of others, or 2**62; and how many that leaves."""
    found = position(others, gid) if excludes else -1
    if found < 0:
        return _NO_SELF, np.uint64(others[2])
    return np.int64(found), np.uint64(others[2] - 1)


@njit
def draw_targets(seed, stream, sources, outdegree, multapses, others, excludes):
    """Return the targets of each source, drawn uniformly, shape (n_sources, outdegree).

    Parameters
    ----------
    seed, stream : uint64
        Key of the draws.
    sources : ndarray of int64
        Global ids.
    outdegree : int
        Targets per source.
    multapses : bool
        Whether a target may occur more than once.
    others : tuple
        Global ids of all targets, see `simcore.description.ids.Packed`.
    excludes : bool
        Whether a source that is a target as well must not connect to itself.
    """
    targets = np.empty((sources.size, outdegree), dtype=np.int64)
    for s in range(sources.size):
        gid = np.uint64(sources[s])
        skip, n = _self_among(others, excludes, sources[s])
        if multapses:
            for i in range(outdegree):
                w0, _, _, w3 = draw(seed, stream, gid, np.uint64(i))
                index = np.int64(_scaled(w0, w3, n))
                targets[s, i] = index + (index >= skip)
        else:
            chosen = distinct_sources(seed, stream, gid, outdegree, n, skip)
            targets[s, :] = chosen
        to_ids(others, outdegree, targets[s])
    return targets
