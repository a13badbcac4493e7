"""Dimensions: exponents of mV, ms and pA, and a factor.

In these units conductances are in nS = pA/mV and capacitances in pF = pA ms/mV, as in the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

_BASE = ("mV", "ms", "pA")


@dataclass(frozen=True)
class Unit:
    """A unit as a multiple of powers of mV, ms and pA.

    Parameters
    ----------
    exponents : tuple of Fraction
        Of mV, ms and pA.
    factor : Fraction
        How many of the product of these powers one of the unit is.
    """

    exponents: tuple[Fraction, ...] = (Fraction(0),) * 3
    factor: Fraction = Fraction(1)

    def __mul__(self, other: Unit) -> Unit:
        exponents = zip(self.exponents, other.exponents, strict=True)
        return Unit(tuple(a + b for a, b in exponents), self.factor * other.factor)

    def __truediv__(self, other: Unit) -> Unit:
        return self * other**-1

    def __pow__(self, power: Fraction | int) -> Unit:
        factor = Fraction(1)
        if self.factor != 1:
            factor = self.factor ** int(power)
        return Unit(tuple(a * Fraction(power) for a in self.exponents), factor)

    def __str__(self) -> str:
        if not any(self.exponents):
            return "1"
        parts = zip(_BASE, self.exponents, strict=True)
        return "*".join(n if e == 1 else f"{n}**{e}" for n, e in parts if e)

    @property
    def dimension(self) -> tuple[Fraction, ...]:
        """The exponents alone."""
        return self.exponents


def _unit(mV: int, ms: int, pA: int, factor: Fraction | int = 1) -> Unit:
    return Unit((Fraction(mV), Fraction(ms), Fraction(pA)), Fraction(factor))


NUMBER = Unit()

UNITS = {
    "mV": _unit(1, 0, 0),
    "V": _unit(1, 0, 0, 1000),
    "ms": _unit(0, 1, 0),
    "s": _unit(0, 1, 0, 1000),
    "Hz": _unit(0, -1, 0, Fraction(1, 1000)),
    "pA": _unit(0, 0, 1),
    "nA": _unit(0, 0, 1, 1000),
    "nS": _unit(-1, 0, 1),
    "uS": _unit(-1, 0, 1, 1000),
    "pF": _unit(-1, 1, 1),
    "nF": _unit(-1, 1, 1, 1000),
    "MOhm": _unit(1, 0, -1, Fraction(1, 1000)),
    "GOhm": _unit(1, 0, -1),
}
"""The names of units that equations and declarations may use."""
