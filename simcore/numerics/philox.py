"""Philox 4x32-10 for compiled loops; the counter is that of `simcore.numerics.random`."""

from __future__ import annotations

import numpy as np

from simcore.numerics.jit import njit

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_HIGH_INDEX = np.uint64(16)


@njit(inline="always")
def _round(c0, c1, c2, c3, k0, k1):
    left = _M0 * c0
    right = _M1 * c2
    return (right >> _HALF) ^ c1 ^ k0, right & _LOW, (left >> _HALF) ^ c3 ^ k1, left & _LOW


@njit(inline="always")
def _next_key(k0, k1):
    return (k0 + _W0) & _LOW, (k1 + _W1) & _LOW


@njit(inline="always")
def philox(c0, c1, c2, c3, k0, k1):
    """Return the four words; all arguments are uint64 below 2**32."""
    # Written out, since a loop in here keeps the caller's loop from being vectorised
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = _next_key(k0, k1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = _next_key(k0, k1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = _next_key(k0, k1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = _next_key(k0, k1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = _next_key(k0, k1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = _next_key(k0, k1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = _next_key(k0, k1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = _next_key(k0, k1)
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
    k0, k1 = _next_key(k0, k1)
    return _round(c0, c1, c2, c3, k0, k1)


@njit(inline="always")
def draw_inline(seed, stream, gid, index):
    """Return the four words of the draw for `gid` and `index`; all arguments are uint64.

    For loops that are to be vectorised; each use makes compilation longer.
    """
    high = (gid >> _HALF) | ((index >> _HALF) << _HIGH_INDEX)
    return philox(index & _LOW, gid & _LOW, high, stream, seed & _LOW, seed >> _HALF)


@njit
def draw(seed, stream, gid, index):
    """Return the four words of the draw for `gid` and `index`; all arguments are uint64."""
    return draw_inline(seed, stream, gid, index)


@njit
def draw_many(seed, stream, gid, begin, count, w0, w1, w2, w3):
    """Draw for the indices from `begin` on.

    Parameters
    ----------
    seed, stream, gid : uint64
        Key of the draws.
    begin : uint64
        First index.
    count : int
        Number of indices.
    w0, w1, w2, w3 : ndarray of uint32, shape (at least count,)
        Receive the words.
    """
    for i in range(count):
        a, b, c, d = draw_inline(seed, stream, gid, begin + np.uint64(i))
        w0[i], w1[i], w2[i], w3[i] = np.uint32(a), np.uint32(b), np.uint32(c), np.uint32(d)
