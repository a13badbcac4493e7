"""Rates of processes: constant, or with changes at given times."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.language.per_neuron import (
    Drawn,
    PerNeuron,
    Value,
    as_value,
    bounds,
    is_varying,
    mean,
    require_each,
)
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


Rate = float | Piecewise | PerNeuron | Drawn
"""Of all neurons, also one that changes, or one that differs from neuron to neuron."""


def values_of(rate: Rate) -> tuple[float, ...]:
    """Return the different values that a rate has, in the order of time [1/s].

    Of one that differs from neuron to neuron the smallest and the largest stand for all.
    """
    if isinstance(rate, Piecewise):
        return tuple(dict.fromkeys(rate.columns()[1]))
    return tuple(dict.fromkeys(max(0.0, value) for value in bounds(rate)))


def busiest(rate: Rate) -> float:
    """Return the largest value that a rate has in time, as a mean over neurons [1/s]."""
    return mean(rate) if is_varying(rate) else largest(rate)


def largest(rate: Rate) -> float:
    """Return the largest value of a rate [1/s]."""
    return max(values_of(rate))


def windows(rate: Rate, start: float, stop: float) -> Iterator[tuple[Value, float, float]]:
    """Yield each value of a rate [1/s], and the window in which a process has it [ms].

    Parameters
    ----------
    rate : float, Piecewise, PerNeuron or distribution
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


def as_rate(rate: Any, subject: str) -> Rate:
    """Return a rate as it is, one that is given neuron by neuron as `PerNeuron`.

    Parameters
    ----------
    rate : float, Piecewise, Distribution or array_like of float
        What the user gave.
    subject : str
        The object and parameter, for the message.

    Raises
    ------
    ModelError
        When it is something else, or negative; a draw is looked at when it is drawn.
    """
    if isinstance(rate, Piecewise):
        return rate
    found = as_value(rate, subject, "a Piecewise")
    require_each(lambda v: v >= 0.0, subject, found, ">= 0 [1/s]")
    highest = bounds(found)[1]
    require(highest >= 0.0, f"{subject}: largest value", highest, ">= 0 [1/s]")
    return found


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
