"""Arrays of twice the digits of float64, with a bound of what they are off.

A number is the sum of two float64 that do not overlap. Only sums, differences, products and
quotients of IEEE 754 are taken, each rounded by itself, so results are equal on every processor.
The algorithms are those of T. J. Dekker, Numer. Math. 18, 224-242 (1971), and D. E. Knuth.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rounding of one operation, relative to its operands: some times 2**-106
_SUM, _PRODUCT, _QUOTIENT = 2.0**-104, 2.0**-102, 2.0**-98

# Splits a number into halves of 26 bits
_SPLIT = 134217729.0

# Closer to 0 a product of halves may lose bits
_TINY = 2.0**-800


@dataclass(frozen=True)
class DoubleDouble:
    """Numbers ``high + low``, each off by `error` at most.

    Parameters
    ----------
    high, low, error : float64 or ndarray of float64
        Shapes that broadcast.
    """

    high: Any
    low: Any = 0.0
    error: Any = 0.0

    @classmethod
    def of(cls, value: Fraction) -> DoubleDouble:
        """Return the number nearest to a fraction."""
        high = float(value)
        low = float(value - Fraction(high))
        return cls(np.float64(high), np.float64(low), np.float64(abs(high) * _SUM))

    def __add__(self, other: DoubleDouble) -> DoubleDouble:
        s, rest = _two_sum(self.high, other.high)
        high, low = _renormalised(s, rest + (self.low + other.low))
        rounding = (abs(self.high) + abs(other.high)) * _SUM
        return DoubleDouble(high, low, (self.error + other.error) + rounding)

    def __neg__(self) -> DoubleDouble:
        return DoubleDouble(-self.high, -self.low, self.error)

    def __sub__(self, other: DoubleDouble) -> DoubleDouble:
        return self + -other

    def __mul__(self, other: DoubleDouble) -> DoubleDouble:
        p, rest = _two_product(self.high, other.high)
        cross = self.high * other.low + self.low * other.high
        high, low = _renormalised(p, rest + cross)
        one, two = abs(self.high), abs(other.high)
        error = (one + self.error) * other.error + two * self.error
        return DoubleDouble(high, low, error * 1.0000001 + abs(p) * _PRODUCT)

    def __truediv__(self, other: DoubleDouble) -> DoubleDouble:
        exact = DoubleDouble(other.high, other.low)
        left = DoubleDouble(self.high, self.low)
        parts = []
        for _ in range(3):
            part = left.high / other.high
            left = left - exact * DoubleDouble(part)
            parts.append(part)
        high, low = _renormalised(parts[0], parts[1])
        high, low = _renormalised(high, low + parts[2])
        size = abs(high)
        off = (self.error + size * other.error) / (abs(other.high) * 0.9999999 - other.error)
        return DoubleDouble(high, low, off * 1.0000001 + size * _QUOTIENT)

    def halved(self, times: int) -> DoubleDouble:
        """Return a number divided by two so many times."""
        factor = 2.0**-times
        return DoubleDouble(self.high * factor, self.low * factor, self.error * factor)

    def rounded(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the float64 nearest to the exact number, and where it is certain."""
        off = self.error * 2.0
        lowest, highest = self.high + (self.low - off), self.high + (self.low + off)
        certain = (lowest == highest) & ((abs(self.high) > _TINY) | (self.high == 0.0))
        return np.asarray(highest + 0.0), np.asarray(certain)


def _two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """Return a sum, and what it is off."""
    s = a + b
    part = s - a
    return s, (a - (s - part)) + (b - part)


def _renormalised(a: Any, b: Any) -> tuple[Any, Any]:
    """Return the same for a number that is not smaller than the other."""
    s = a + b
    return s, b - (s - a)


def _two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """Return a product, and what it is off."""
    p = a * b
    a1, a2 = _halves(a)
    b1, b2 = _halves(b)
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


def _halves(a: Any) -> tuple[Any, Any]:
    scaled = a * _SPLIT
    high = scaled - (scaled - a)
    return high, a - high
