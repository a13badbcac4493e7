"""What may differ from neuron to neuron: numbers that are given one by one, or drawn."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from simcore.services.digest import digest_arrays
from simcore.services.errors import ModelError, require

# Longest value that a message shows
_SHOWN = 60


class PerNeuron:
    """One number for each neuron, in their order.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        The numbers; a copy is kept, which cannot be changed.
    """

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.values = np.array(values, dtype=np.float64)
        self.values.flags.writeable = False

    @property
    def size(self) -> int:
        """How many there are."""
        return self.values.size

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the numbers."""
        return digest_arrays(self.values)

    def describe(self) -> dict[str, Any]:
        """Return how many there are, and their digest, as plain values."""
        return {"n_values": self.size, "digest": self.digest}

    def __mul__(self, factor: float) -> PerNeuron:
        return PerNeuron(factor * self.values)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        shown = ", ".join(repr(float(v)) for v in self.values[:3])
        return f"<{self.size} values: {shown}{', ...' if self.size > 3 else ''}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PerNeuron) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash(self.digest)


@runtime_checkable
class Drawn(Protocol):
    """A distribution, see `simcore.description.distributions.Distribution`."""

    @property
    def constant(self) -> bool:
        """Whether all draws are equal."""

    def quantile(self, u: Any) -> NDArray[np.float64]:
        """Return the values at some probabilities."""

    def describe(self) -> dict[str, Any]:
        """Return it as plain values."""


Varying = PerNeuron | Drawn
"""A value that differs from neuron to neuron."""

Value = float | PerNeuron | Drawn
"""A value of all neurons, or one that differs."""


def as_value(value: Any, subject: str, other: str = "") -> Value:
    """Return a number as it is, a list or an array as `PerNeuron`, a distribution as it is.

    Parameters
    ----------
    value : float, Distribution or array_like of float
        What the user gave; a distribution of equal draws becomes their number.
    subject : str
        The object and parameter, for the message.
    other : str
        What else there may be.

    Raises
    ------
    ModelError
        When it is something else, or not finite.
    """
    if isinstance(value, PerNeuron):
        return value
    if is_drawn(value):
        return float(value.quantile([0.5])[0]) if value.constant else value
    if is_number(value):
        require(math.isfinite(value), subject, value, "a finite number")
        return float(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return PerNeuron(_finite(value, subject))
    more = f"{other}, " if other else ""
    raise ModelError(
        f"{subject} is {short(value)}, must be a finite number, {more}a distribution, or an array "
        "with a value for each neuron"
    )


def is_number(value: Any) -> bool:
    """Tell whether a value is one real number."""
    number = isinstance(value, (int, float, np.integer, np.floating))
    return number and not isinstance(value, bool)


def is_drawn(value: Any) -> TypeGuard[Drawn]:
    """Tell whether a value is a distribution."""
    return isinstance(value, Drawn) and not isinstance(value, type)


def is_varying(value: Any) -> TypeGuard[Varying]:
    """Tell whether a value differs from neuron to neuron."""
    return isinstance(value, PerNeuron) or is_drawn(value)


def bounds(value: Value) -> tuple[float, float]:
    """Return the smallest and the largest value that a neuron may have."""
    if isinstance(value, PerNeuron):
        return float(value.values.min()), float(value.values.max())
    if isinstance(value, (int, float, np.number)):
        return float(value), float(value)

    # Between these are all numbers of `simcore.numerics.random.uniform`
    low, high = value.quantile([2.0**-53, 1.0 - 2.0**-53])
    return float(low), float(high)


def mean(value: Value) -> float:
    """Return the mean over many neurons, for an estimate."""
    if isinstance(value, PerNeuron):
        return float(value.values.mean())
    if isinstance(value, (int, float, np.number)):
        return float(value)
    return float(value.quantile((np.arange(1024) + 0.5) / 1024).mean())


def require_each(condition: Any, subject: str, value: Value, valid: str) -> None:
    """Raise `ModelError` unless a condition holds for each of the values.

    Parameters
    ----------
    condition : callable
        Takes a number or an array, and tells which are valid.
    subject : str
        The object and parameter, for the message.
    value : float, PerNeuron or distribution
        The values; those of a distribution are known when they are drawn.
    valid : str
        The valid range in words.
    """
    if isinstance(value, PerNeuron):
        bad = np.flatnonzero(~condition(value.values))
        if bad.size:
            k = int(bad[0])
            require(False, f"{subject}[{k}]", float(value.values[k]), valid)
    elif not is_drawn(value):
        require(bool(condition(value)), subject, value, valid)


def require_size(value: Any, size: int, subject: str, whose: str) -> None:
    """Raise `ModelError` unless there is a value for each of some neurons.

    Parameters
    ----------
    value : object
        Anything; only `PerNeuron` has a size.
    size : int
        Number of neurons.
    subject : str
        The object and parameter, for the message.
    whose : str
        Whose neurons they are.
    """
    if isinstance(value, PerNeuron):
        valid = f"one number, a distribution, or {size} values, one for each neuron of {whose}"
        require(value.size == size, subject, value, valid)


def short(value: Any) -> str:
    """Return a value as text that fits a message."""
    text = repr(value).replace("\n", "")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _finite(values: Any, subject: str) -> NDArray[np.float64]:
    """Return finite numbers in one dimension."""
    try:
        found = np.asarray(values)
    except ValueError:
        found = np.zeros(0, dtype=object)
    whole = not np.ma.is_masked(values)
    ok = whole and found.dtype.kind in "iuf" and found.ndim == 1 and found.size > 0
    if not ok:
        raise ModelError(
            f"{subject} is {short(values)}, must be a finite number, a distribution, or an array "
            "with a value for each neuron"
        )
    found = found.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(found))
    if bad.size:
        require(False, f"{subject}[{int(bad[0])}]", float(found[bad[0]]), "a finite number")
    return found
