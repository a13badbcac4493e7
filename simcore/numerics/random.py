"""Randomness without state: every draw is a hash of what it is for.

A draw is one word of Philox 4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3,
SC11, 2011) under the key `seed` and a counter that names its purpose, the object it belongs to,
the global id of the neuron and an index. So it does not matter who draws, in which order, or how
often.

======== ===================================================
word     holds
======== ===================================================
key      seed, low and high half
0        index, low half
1        global id, low half
2        global id, bits 32 to 47; index, bits 32 to 47
3        stream: purpose in the high byte, object id below
======== ===================================================
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONNECT = 1
INDEGREE = 2
STIMULUS = 3
SOURCE = 4
INITIAL_V_M = 5
OUTDEGREE = 6
STEP = 7

# Parameters of neurons and of what drives them, told from each other by the index
PARAMETER = 16
DRIVEN = 17

# States beside V_m, by their place in the layout: 64 and more
_INITIAL_STATE = 64

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def stream(purpose: int, object_id: int) -> int:
    """Return the word that names a purpose and the object it belongs to."""
    return purpose << 24 | object_id


def initial_state(column: int) -> int:
    """Return the purpose that draws the first values of a column."""
    return _INITIAL_STATE + column


def key(seed: int) -> tuple[int, int]:
    """Return the two words of the key for `seed`."""
    return seed & 0xFFFFFFFF, seed >> 32


def philox4x32(counter: ArrayLike, key: tuple[int, int]) -> NDArray[np.uint32]:
    """Return Philox 4x32-10 of the counters.

    Parameters
    ----------
    counter : array_like of int, shape (..., 4)
        Counters, each of four words.
    key : (int, int)
        The key.

    Returns
    -------
    ndarray of uint32, shape (..., 4)
    """
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter, dtype=np.uint64), -1, 0)
    k0, k1 = key
    for _ in range(10):
        left, right = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (right >> _HALF) ^ c1 ^ np.uint64(k0),
            right & _LOW,
            (left >> _HALF) ^ c3 ^ np.uint64(k1),
            left & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def draw(seed: int, stream: int, gids: ArrayLike, index: ArrayLike) -> NDArray[np.uint32]:
    """Return the four words drawn for each pair of global id and index.

    Parameters
    ----------
    seed : int
        Seed of the model.
    stream : int
        What the draw is for, see `stream`.
    gids, index : array_like of int
        Global ids and indices, each below 2**48; broadcast against one another.

    Returns
    -------
    ndarray of uint32, shape (..., 4)
    """
    gids, index = np.broadcast_arrays(
        np.asarray(gids, dtype=np.uint64), np.asarray(index, dtype=np.uint64)
    )
    high = (gids >> _HALF) | (index >> _HALF) << np.uint64(16)
    counter = np.stack(
        [index & _LOW, gids & _LOW, high, np.full(gids.shape, stream, dtype=np.uint64)], axis=-1
    )
    return philox4x32(counter, key(seed))


# The largest odd word that is less than 1 in float32, in this unit
MOST_WORD, WORD_UNIT = 0xFFFFFF7F, 2.0**-32


def draw_step(seed: int, gids: ArrayLike, step: int, n: int) -> list[NDArray[np.uint32]]:
    """Return the words of `n` random numbers that a model draws in a step, for each neuron.

    Four share a call of Philox: number k has word k % 4 of the object k // 4.
    """
    found: list[NDArray[np.uint32]] = []
    for block in range((n + 3) // 4):
        found += list(np.moveaxis(draw(seed, stream(STEP, block), gids, step), -1, 0))
    return found[:n]


def uniform_of_word(words: NDArray[np.uint32], real: np.dtype) -> NDArray[np.floating]:
    """Return numbers in (0, 1), one of 31 bits of each word; those of float32 are rounded."""
    odd = np.minimum(words | np.uint32(1), np.uint32(MOST_WORD))
    return odd.astype(real) * real.type(WORD_UNIT)


def uniform(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return numbers in (0, 1) of 52 bits, made of the first two words of each draw."""
    bits = words[..., 0].astype(np.uint64) << _HALF | words[..., 1].astype(np.uint64)
    # One bit more, and the largest number would round to 1
    return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
