"""Functions that give the same result on every processor, to the last bit.

Those of libraries differ in the last bit between processors and versions, which have other
instructions. These are made of what IEEE 754 fixes alone: sums, products, quotients and
comparisons, each rounded by itself, and operations on the bits of a number. So they are also the
same in NumPy, in Numba, which compiles this very text, and in C and CUDA, where no compiler may
join a product and a sum (``-ffp-contract=off``, ``--fmad=false``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# exp(r) is 1 + r + r^2 q(r); coefficients of q, fitted in 60 digits to 0.05 * 2^-53
EXP = (
    0.5,
    0.16666666666666433,
    0.041666666666603916,
    0.008333333333500408,
    0.0013888888926806991,
    0.0001984126946549503,
    2.4801508675024464e-05,
    2.7557641510861848e-06,
    2.7625187900887065e-07,
    2.4978165019171264e-08,
)

# ln 2 in two parts, of which the first has 32 bits, so that multiples of it are exact
INV_LN2, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10

# Added to a number it leaves the nearest whole number in the low bits
MAGIC, MAGIC_BITS = 6755399441055744.0, 0x4338000000000000

# Beyond these exp is 0, or infinite
LEAST, MOST = -746.0, 710.0

# The same for float32, to 0.06 * 2^-24
EXP32 = (
    np.float32(0.5),
    np.float32(0.16666533052921295),
    np.float32(0.04166721925139427),
    np.float32(0.008367584086954594),
    np.float32(0.0013865514192730188),
)
INV_LN2_32, LN2_HIGH32 = np.float32(1.4426950216293335), np.float32(0.693145751953125)
LN2_LOW32, MAGIC32, MAGIC32_BITS = (
    np.float32(1.428606765330187e-06),
    np.float32(12582912.0),
    0x4B400000,
)
LEAST32, MOST32, ONE32 = np.float32(-104.0), np.float32(89.0), np.float32(1.0)

# log((1 + s) / (1 - s)) is 2 s + s^3 q(s^2); coefficients of q, to 0.01 * 2^-53
LOG = (
    0.6666666666666734,
    0.3999999999941664,
    0.28571428742028193,
    0.22222198605053325,
    0.18183562851204205,
    0.15314084850914336,
    0.14795633152623047,
)
_SQRT_HALF, _FRACTION = 0x3FE6A09E667F3BCD, 0xFFFFFFFFFFFFF
_LEAST_NORMAL = 2.0**-1022


def exp(x: Any) -> Any:
    """Return the exponential, within 1.1 units in the last place.

    It is infinite above 709.78 and 0 below -745.13, keeps what digits there are below 2.2e-308,
    and is not a number where `x` is not. Compiled code uses it as
    ``simcore.numerics.jit.njit(exp, inline="always")``.

    Parameters
    ----------
    x : ndarray of float64, or float64
        In Numba a number.
    """
    x = np.minimum(np.maximum(x, LEAST), MOST)
    shifted = x * INV_LN2 + MAGIC
    k = shifted - MAGIC
    r = (x - k * LN2_HIGH) - k * LN2_LOW

    # In pairs, which takes half the time of one term after the other
    r2 = r * r
    r4 = r2 * r2
    low = (EXP[1] * r + EXP[0]) + (EXP[3] * r + EXP[2]) * r2
    high = (EXP[5] * r + EXP[4]) + (EXP[7] * r + EXP[6]) * r2
    q = (low + high * r4) + (EXP[9] * r + EXP[8]) * (r4 * r4)
    found = (q * r2 + r) + 1.0

    # Twice, since the power of two alone may be too large or too small
    power = np.float64(shifted).view(np.int64) - MAGIC_BITS
    half = power >> 1
    first = np.int64((half + 1023) << 52).view(np.float64)
    second = np.int64((power - half + 1023) << 52).view(np.float64)
    return found * first * second


def exp32(x: Any) -> Any:
    """Return the exponential of float32, as `exp`: infinite above 88.72, 0 below -103.97."""
    x = np.minimum(np.maximum(x, LEAST32), MOST32)
    shifted = x * INV_LN2_32 + MAGIC32
    k = shifted - MAGIC32
    r = (x - k * LN2_HIGH32) - k * LN2_LOW32
    r2 = r * r
    low = (EXP32[1] * r + EXP32[0]) + (EXP32[3] * r + EXP32[2]) * r2
    q = low + EXP32[4] * (r2 * r2)
    found = (q * r2 + r) + ONE32
    power = np.float32(shifted).view(np.int32) - MAGIC32_BITS
    half = power >> 1
    first = np.int32((half + 127) << 23).view(np.float32)
    second = np.int32((power - half + 127) << 23).view(np.float32)
    return found * first * second


def log(value: ArrayLike) -> Any:
    """Return the natural logarithm, within a unit in the last place.

    Parameters
    ----------
    value : array_like of float64
        It is negative infinity at 0, and not a number below.
    """
    x: FloatArray = np.asarray(value, dtype=np.float64)
    small = x < _LEAST_NORMAL
    bits = (x * np.where(small, 2.0**54, 1.0)).view(np.int64) - _SQRT_HALF

    # A power of two, and a factor 1 + f between the root of 1/2 and that of 2
    k = ((bits >> 52) - 54 * small).astype(np.float64)
    f = ((bits & _FRACTION) + _SQRT_HALF).view(np.float64) - 1.0
    s = f / (f + 2.0)
    z = s * s
    q = LOG[6] * z + LOG[5]
    for coefficient in LOG[4::-1]:
        q = q * z + coefficient
    found = k * LN2_HIGH + (f - (s * (f - z * q) - k * LN2_LOW))
    inside = (x > 0.0) & (x < np.inf)
    ends = np.where(x > 0.0, np.inf, np.where(x == 0.0, -np.inf, np.nan))
    return np.where(inside, found, ends)[()]


def total(values: ArrayLike) -> Any:
    """Return the sum over the last axis, of one half and the other, and so on.

    NumPy's own sum has an order that is nowhere promised.

    Parameters
    ----------
    values : array_like of float64, shape (..., n)
        n is at least 1.
    """
    left: FloatArray = np.asarray(values, dtype=np.float64)
    while left.shape[-1] > 1:
        half = left.shape[-1] // 2
        rest = left[..., 2 * half :]
        left = left[..., :half] + left[..., half : 2 * half]
        if rest.shape[-1]:
            left = np.concatenate([left, rest], axis=-1)
    return left[..., 0]


def standard_deviation(values: FloatArray, share: ArrayLike = 1.0) -> float:
    """Return the standard deviation of values of different weight, as `total` adds.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        The values.
    share : array_like of float64, shape (n,)
        The weight of each.
    """
    weights: FloatArray = np.broadcast_to(np.asarray(share, dtype=np.float64), values.shape)
    whole = total(weights)
    mean = total(weights * values) / whole
    away = values - mean
    return math.sqrt(float(total(weights * away * away) / whole))
