"""Poisson numbers: one call of Philox serves four steps of a neuron."""

from __future__ import annotations

import numpy as np

from simcore.numerics.jit import njit
from simcore.numerics.philox import draw_inline

TILE = 1024
FEW = 48

_SIGN = np.uint32(0x80000000)


@njit
def refill(seed, stream, gids, index, smallest, thresholds, offset, counts):
    """Draw the counts of the four steps from ``4 * index`` on.

    Parameters
    ----------
    seed, stream : uint64
        Key of the draws.
    gids : ndarray of int64, shape (n,)
        Global ids.
    index : uint64
        The steps, divided by four.
    smallest : int
        The smallest count.
    thresholds : ndarray of uint32
        Of the `DiscreteTable`.
    offset : int
        Column of the first neuron.
    counts : ndarray of uint16, shape (4, at least offset + n)
        Receives the counts.
    """
    # Words as signed numbers of the same order, which processors compare many at a time
    words = np.empty((4, TILE), dtype=np.int32)
    for begin in range(0, gids.size, TILE):
        n = min(TILE, gids.size - begin)
        w0, w1, w2, w3 = words[0], words[1], words[2], words[3]
        for i in range(n):
            a, b, c, d = draw_inline(seed, stream, np.uint64(gids[begin + i]), index)
            w0[i], w1[i], w2[i], w3[i] = _signed(a), _signed(b), _signed(c), _signed(d)
        for k in range(4):
            out = counts[k, offset + begin : offset + begin + n]
            if thresholds.size <= FEW:
                _compare(words[k, :n], smallest, thresholds, out)
            else:
                _search(words[k, :n], smallest, thresholds, out)


@njit(inline="always")
def _signed(word):
    return np.int32(np.uint32(word) ^ _SIGN)


@njit
def _compare(words, smallest, thresholds, counts):
    """Count the thresholds at most each word, by comparing with all of them."""
    total = np.empty(TILE, dtype=np.int32)

    # Four at a time; w >= t is w > t - 1, and nothing is above the largest number
    base = np.int32(smallest)
    for k in range(0, max(1, thresholds.size), 4):
        t0 = _below(thresholds, k)
        t1 = _below(thresholds, k + 1)
        t2 = _below(thresholds, k + 2)
        t3 = _below(thresholds, k + 3)
        if k == 0:
            for i in range(words.size):
                w = words[i]
                first = np.int32(w > t0) + np.int32(w > t1) + np.int32(w > t2) + np.int32(w > t3)
                total[i] = base + first
        else:
            for i in range(words.size):
                w = words[i]
                total[i] += (
                    np.int32(w > t0) + np.int32(w > t1) + np.int32(w > t2) + np.int32(w > t3)
                )
    for i in range(words.size):
        counts[i] = np.uint16(total[i])


@njit(inline="always")
def _below(thresholds, k):
    if k >= thresholds.size:
        return np.int32(0x7FFFFFFF)
    return np.int32((thresholds[k] - np.uint32(1)) ^ _SIGN)


@njit
def _search(words, smallest, thresholds, counts):
    """Count the thresholds at most each word, by bisection."""
    for i in range(words.size):
        word = np.uint32(words[i]) ^ _SIGN
        first, last = 0, thresholds.size
        while first < last:
            middle = (first + last) // 2
            if thresholds[middle] <= word:
                first = middle + 1
            else:
                last = middle
        counts[i] = np.uint16(smallest + first)


@njit
def scatter_counts(counts, weight, lids, origin, arrived):
    """Add ``weight`` times the counts to the input of neurons with gaps between them.

    Parameters
    ----------
    counts : ndarray of uint16, shape (n,)
        The counts.
    weight : int32
        What a count adds.
    lids : ndarray of int64, shape (n,)
        The neurons.
    origin : int
        Lid of the first place of the input.
    arrived : ndarray of int32
        The input.
    """
    for i in range(counts.size):
        arrived[lids[i] - origin] += np.int32(counts[i]) * weight


@njit
def add_counts(counts, weight, arrived):
    """Add ``weight`` times the counts to the input."""
    for i in range(counts.size):
        arrived[i] += np.int32(counts[i]) * weight
