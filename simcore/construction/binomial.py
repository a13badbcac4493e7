"""Binomial numbers by inversion, each from one uniform number."""

from __future__ import annotations

import math

import numpy as np

from simcore.construction.id_search import first_at_least, n_below
from simcore.numerics.jit import njit
from simcore.numerics.philox import draw
from simcore.numerics.portable import exp

_NEGLIGIBLE = 1e-20

# Errors of Stirling's formula for log(n!), n from 1 on
_STIRLING = (
    0.08106146679532726,
    0.0413406959554093,
    0.02767792568499834,
    0.020790672103765093,
    0.016644691189821193,
    0.013876128823070748,
    0.01189670994589177,
    0.010411265261972096,
    0.009255462182712733,
    0.00833056343336287,
    0.007573675487951841,
    0.00694284010720953,
    0.006408994188004207,
    0.0059513701127588475,
    0.005554733551962801,
)

_exp = njit(exp, inline="always")


@njit
def uniform(seed, stream, gid, index):
    """Return the number in (0, 1) of 52 bits drawn for `gid` and `index`."""
    w0, w1, _, _ = draw(seed, stream, np.uint64(gid), np.uint64(index))
    bits = (w0 << np.uint64(32) | w1) >> np.uint64(12)
    return (np.float64(bits) + 0.5) * 2.0**-52


@njit
def binomial(n, p, u):
    """Return the number of successes in `n` trials of probability `p`, for the uniform `u`.

    The search starts at the mode and goes outwards, so it takes as many steps as the standard
    deviation.
    """
    if n == 0 or p <= 0.0:
        return 0
    if p >= 1.0:
        return n
    odds = p / (1.0 - p)
    low = high = _mode(n, p)
    p_low = p_high = _probability(low, n, p)
    mode = low
    u -= p_low
    while u >= 0.0:
        if p_low < _NEGLIGIBLE and p_high < _NEGLIGIBLE:
            return mode
        p_high *= odds * (n - high) / (high + 1.0)
        high += 1
        u -= p_high
        if u < 0.0:
            return high
        p_low *= low / (odds * (n - low + 1.0))
        low -= 1
        u -= p_low
        if u < 0.0:
            return low
    return mode


@njit
def probabilities(n, p):
    """Return the probability of the mode of `n`, `n` / 2, `n` / 4, ... trials, which ranks compare.

    Parameters
    ----------
    n : int
        Number of trials.
    p : float
        Probability of success.
    """
    found = np.zeros(64)
    for j in range(64):
        trials = n >> j
        if trials > 0 and 0.0 < p < 1.0:
            found[j] = _probability(_mode(trials, p), trials, p)
    return found


@njit
def _mode(n, p):
    return min(n, int((n + 1) * p))


@njit
def _probability(k, n, p):
    """Return the probability of k successes, where k is the mode.

    By the saddle-point expansion of C. Loader, Fast and accurate computation of binomial
    probabilities (2000).
    """
    q = 1.0 - p
    if k == 0:
        return _exp(-2.0 * n * _atanh(p / (2.0 - p)))
    if k == n:
        return _exp(-2.0 * n * _atanh(q / (2.0 - q)))
    exponent = _stirling(n) - _stirling(k) - _stirling(n - k)
    exponent -= _deviance(k, n * p) + _deviance(n - k, n * q)
    return _exp(exponent) * math.sqrt(n / (2.0 * math.pi * k * (n - k)))


@njit
def _stirling(n):
    """Return the error of Stirling's formula for log(n!)."""
    if n < 16:
        return _STIRLING[n - 1]
    square = float(n) * n
    return (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / square) / square) / n


@njit
def _deviance(x, mean):
    """Return x*log(x/mean) + mean - x, where both differ by less than 1, and x is at least 1."""
    v = (x - mean) / (x + mean)
    return (x - mean) * v + 2.0 * x * (_atanh(v) - v)


@njit
def _atanh(v):
    """Return the inverse hyperbolic tangent by its series, for `v` of at most about 1/3."""
    total = term = v
    j = 3
    while True:
        term *= v * v
        more = total + term / j
        if more == total:
            return total
        total = more
        j += 2


@njit
def split_total(seed, stream, total, n_sources, fewer, n_targets, wanted):
    """Return how many of `total` synapses arrive at each wanted target.

    The total is split over the targets by a binary tree. Each node gives its left half a binomial
    share, keyed by the node alone, so that the numbers are multinomial and do not depend on which
    targets are wanted. Only branches that hold a wanted target are entered.

    Parameters
    ----------
    seed, stream : uint64
        Key of the draws.
    total : int
        Synapses in all.
    n_sources : int
        Possible sources of a target.
    fewer : tuple
        Indices of the targets that have one fewer, see `simcore.description.ids.Packed`.
    n_targets : int
        Number of targets.
    wanted : ndarray of int64, shape (n_wanted,)
        Ascending indices of targets.

    Returns
    -------
    ndarray of int64, shape (n_wanted,)
    """
    counts = np.zeros(wanted.size, dtype=np.int64)
    stack = np.empty((64, 6), dtype=np.int64)
    depth = _push(stack, 0, 1, 0, n_targets, 0, wanted.size, total)
    while depth > 0:
        depth -= 1
        node, begin, end = stack[depth, 0], stack[depth, 1], stack[depth, 2]
        first, last, count = stack[depth, 3], stack[depth, 4], stack[depth, 5]
        if count == 0 or first == last:
            continue
        if end - begin == 1:
            counts[first] = count
            continue
        middle = (begin + end) // 2
        left = _pairs(begin, middle, n_sources, fewer)
        both = _pairs(begin, end, n_sources, fewer)
        share = binomial(count, left / both, uniform(seed, stream, node, 0))
        cut = first_at_least(wanted, first, last, middle)
        depth = _push(stack, depth, 2 * node + 1, middle, end, cut, last, count - share)
        depth = _push(stack, depth, 2 * node, begin, middle, first, cut, share)
    return counts


@njit
def _push(stack, depth, node, begin, end, first, last, count):
    """Put a node of the tree on the stack; return the new depth."""
    stack[depth, 0], stack[depth, 1], stack[depth, 2] = node, begin, end
    stack[depth, 3], stack[depth, 4], stack[depth, 5] = first, last, count
    return depth + 1


@njit
def _pairs(begin, end, n_sources, fewer):
    """Return the number of allowed pairs for the targets in [begin, end)."""
    return float(n_sources) * (end - begin) - (n_below(fewer, end) - n_below(fewer, begin))


@njit
def bernoulli_indegrees(seed, stream, gids, n_sources, p):
    """Return the binomial in-degree of each target, shape (gids.size,).

    Parameters
    ----------
    seed, stream : uint64
        Key of the draws.
    gids : ndarray of int64
        Global ids of the targets.
    n_sources : ndarray of int64
        Possible sources of each target.
    p : float
        Probability of a connection.
    """
    counts = np.empty(gids.size, dtype=np.int64)
    for i, gid in enumerate(gids):
        counts[i] = binomial(n_sources[i], p, uniform(seed, stream, gid, 0))
    return counts
