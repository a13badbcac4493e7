"""Rates of processes: constant, or with changes at given times."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.services.errors import CapacityError, ModelError, require

# Values of a rate; each takes some bytes and a comparison a step
MAX_PIECES = 4096


@dataclass(frozen=True)
class Piecewise:
    """A rate that changes at given times; it is 0 before the first.

    Parameters
    ----------
    times : array_like of float, shape (n,)
        From when on it has each value [ms], ascending: in steps that end after that time.
    values : array_like of float, shape (n,)
        Its values [1/s].

    Raises
    ------
    ModelError
        When times do not ascend, or a value is negative.

    Examples
    --------
    >>> pulse = sc.Piecewise([0.0, 100.0, 150.0], [2.0, 40.0, 2.0])
    >>> net.drive(E, sc.Poisson(rate=pulse, weight=0.1))
    """

    times: ArrayLike
    values: ArrayLike

    def __post_init__(self) -> None:
        times, values = _list("times", self.times), _list("values", self.values)
        require(times.size > 0, "Piecewise: number of times", 0, "at least 1")
        valid = f"that of times, {times.size}"
        require(values.size == times.size, "Piecewise: number of values", values.size, valid)
        valid = f"at most {MAX_PIECES}"
        remedy = "Take fewer, or several processes that start and stop one after the other."
        require(
            times.size <= MAX_PIECES, "Piecewise: number of times", times.size, valid, remedy,
            CapacityError,
        )  # fmt: skip
        early, late = times[times < 0.0], times[1:][np.diff(times) <= 0.0]
        require(early.size == 0, "Piecewise: times", early[:1].tolist(), ">= 0 [ms]")
        require(late.size == 0, "Piecewise: times", late[:1].tolist(), "above the one before [ms]")
        low = values[values < 0.0]
        require(low.size == 0, "Piecewise: values", low[:1].tolist(), ">= 0 [1/s]")
        object.__setattr__(self, "times", tuple(times.tolist()))
        object.__setattr__(self, "values", tuple(values.tolist()))

    def columns(self) -> tuple[list[float], list[float]]:
        """Return times [ms] and values [1/s]."""
        return np.asarray(self.times).tolist(), np.asarray(self.values).tolist()

    def __mul__(self, factor: float) -> Piecewise:
        return Piecewise(self.times, factor * np.asarray(self.values))

    __rmul__ = __mul__


Rate = float | Piecewise


def values_of(rate: Rate) -> tuple[float, ...]:
    """Return the different values that a rate has, in the order of time [1/s]."""
    return tuple(dict.fromkeys(rate.columns()[1])) if isinstance(rate, Piecewise) else (rate,)


def largest(rate: Rate) -> float:
    """Return the largest value of a rate [1/s]."""
    return max(values_of(rate))


def windows(rate: Rate, start: float, stop: float) -> Iterator[tuple[float, float, float]]:
    """Yield each value of a rate [1/s], and the window in which a process has it [ms].

    Parameters
    ----------
    rate : float or Piecewise
        The rate.
    start, stop : float
        Window of the process [ms].
    """
    if not isinstance(rate, Piecewise):
        yield rate, start, stop
        return
    times, values = rate.columns()
    for begin, end, value in zip(times, [*times[1:], math.inf], values, strict=True):
        if max(begin, start) < min(end, stop):
            yield value, max(begin, start), min(end, stop)


def require_rate(subject: str, rate: Any) -> None:
    """Raise `ModelError` unless `rate` is a finite rate of at least 0 [1/s], or a `Piecewise`."""
    if isinstance(rate, Piecewise):
        return
    number = isinstance(rate, (int, float, np.integer, np.floating)) and not isinstance(rate, bool)
    if not number or not math.isfinite(rate):
        raise ModelError(f"{subject} is {rate!r}, must be a finite number, or a Piecewise")
    require(rate >= 0.0, subject, rate, ">= 0 [1/s]")


def _list(name: str, given: ArrayLike) -> NDArray[np.float64]:
    try:
        found = np.atleast_1d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError):
        found = np.full(1, np.nan)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ModelError(f"Piecewise: {name} is {_short(given)}, must be a list of finite numbers")
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
