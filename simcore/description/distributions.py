"""Distributions of weights, delays and initial potentials.

Every distribution is described by its cumulative distribution function and by its quantile
function. Draws are made elsewhere, from counter-based random numbers.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.numerics.normal import normal_cdf, normal_quantile
from simcore.numerics.portable import exp, log
from simcore.services.errors import ModelError, require

FloatArray = NDArray[np.float64]


class Distribution(ABC):
    """A univariate distribution."""

    @abstractmethod
    def cdf(self, x: ArrayLike) -> Any:
        """Return the probability of a value of at most `x`, a number or an array."""

    @abstractmethod
    def quantile(self, u: ArrayLike) -> FloatArray:
        """Return the values at the probabilities `u`, each in (0, 1)."""

    @property
    def constant(self) -> bool:
        """Whether all draws are equal."""
        return False

    def describe(self) -> dict[str, Any]:
        """Return name and parameters as plain values."""
        return {"distribution": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]

    # Let numbers of NumPy leave the product to this class
    __array_ufunc__ = None

    def __mul__(self, factor: float) -> Distribution:
        return Scaled(factor, self)

    __rmul__ = __mul__

    def __neg__(self) -> Distribution:
        return Scaled(-1.0, self)


@dataclass(frozen=True)
class Constant(Distribution):
    """The same value for all.

    Parameters
    ----------
    value : float
        The value.
    """

    value: float

    def __post_init__(self) -> None:
        _finite(self, "value")

    @property
    def constant(self) -> bool:
        """Whether all draws are equal."""
        return True

    def cdf(self, x: ArrayLike) -> Any:
        """Return 1 from the value on, 0 below it."""
        return np.where(np.asarray(x) >= self.value, 1.0, 0.0)[()]

    def quantile(self, u: ArrayLike) -> FloatArray:
        """Return the value in the shape of `u`."""
        return np.full(np.shape(u), float(self.value))


@dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform between two bounds.

    Parameters
    ----------
    low, high : float
        The bounds, `low` below `high`.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _finite(self, "low", "high")
        require(self.low < self.high, "Uniform: low", self.low, f"below high = {self.high!r}")

    def cdf(self, x: ArrayLike) -> Any:
        """Return the share of the interval that lies below `x`."""
        share = (np.asarray(x, dtype=np.float64) - self.low) / (self.high - self.low)
        return np.minimum(1.0, np.maximum(0.0, share))

    def quantile(self, u: ArrayLike) -> FloatArray:
        """Return the values at the probabilities `u`."""
        return self.low + (self.high - self.low) * np.asarray(u, dtype=np.float64)


@dataclass(frozen=True)
class _Bounded(Distribution):
    """A distribution on the real line, cut to an interval by redrawing or clipping."""

    low: float | None = None
    high: float | None = None
    outside: str = "redraw"

    def _check_bounds(self) -> None:
        name = type(self).__name__
        valid = ("redraw", "clip")
        require(self.outside in valid, f"{name}: outside", self.outside, " or ".join(valid))
        low, high = self._interval()
        require(low < high, f"{name}: low", self.low, f"below high = {self.high!r}")
        if self.outside == "redraw":
            below, above = self._ends()
            mass = above - below
            require(
                mass > 1e-6,
                f"{name}: the share of draws between low and high",
                mass,
                "more than 1e-6",
                "Move the bounds to where the distribution has its mass.",
            )

    def _interval(self) -> tuple[float, float]:
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return low, high

    def _ends(self) -> tuple[float, float]:
        """Return the probabilities below and up to the bounds, without them."""
        below, above = (
            float(x > 0.0) if math.isinf(x) else _cdf(float(self._score(x)))
            for x in self._interval()
        )
        return below, above

    @abstractmethod
    def _score(self, x: ArrayLike) -> Any: ...

    @abstractmethod
    def _base_quantile(self, u: FloatArray) -> FloatArray: ...

    def cdf(self, x: ArrayLike) -> Any:
        """Return the probability of a value of at most `x`, bounds included."""
        x = np.asarray(x, dtype=np.float64)
        low, high = self._interval()
        inside = normal_cdf(self._score(x))
        if self.outside == "redraw":
            below, above = self._ends()
            inside = (inside - below) / (above - below)
        return np.where(x < low, 0.0, np.where(x >= high, 1.0, inside))[()]

    def quantile(self, u: ArrayLike) -> FloatArray:
        """Return the values at the probabilities `u`, bounds included."""
        u = np.asarray(u, dtype=np.float64)
        low, high = self._interval()
        if self.outside == "redraw":
            below, above = self._ends()
            u = below + (above - below) * u
            u = np.clip(u, np.nextafter(0.0, 1.0), np.nextafter(1.0, 0.0))
        return np.clip(self._base_quantile(u), low, high)


@dataclass(frozen=True)
class Normal(_Bounded):
    """Normal, optionally bounded.

    Parameters
    ----------
    mean, sd : float
        Mean and standard deviation of the unbounded distribution; `sd` above 0.
    low, high : float, optional
        Bounds.
    outside : {"redraw", "clip"}
        What happens to a draw outside the bounds.
    """

    mean: float = 0.0
    sd: float = 1.0

    def __init__(
        self,
        mean: float,
        sd: float,
        low: float | None = None,
        high: float | None = None,
        outside: str = "redraw",
    ) -> None:
        _assign(self, mean=mean, sd=sd, low=low, high=high, outside=outside)
        _finite(self, "mean", "sd", "low", "high")
        require(sd > 0.0, "Normal: sd", sd, "> 0", "Use a plain number for a constant.")
        self._check_bounds()

    def _score(self, x: ArrayLike) -> Any:
        return (np.asarray(x) - self.mean) / self.sd

    def _base_quantile(self, u: FloatArray) -> FloatArray:
        return self.mean + self.sd * normal_quantile(u)


@dataclass(frozen=True)
class Lognormal(_Bounded):
    """Lognormal: the logarithm is normal.

    Parameters
    ----------
    mu, sigma : float
        Mean and standard deviation of the logarithm (NEST's ``mean`` and ``std``).
    low, high : float, optional
        Bounds.
    outside : {"redraw", "clip"}
        What happens to a draw outside the bounds.
    """

    mu: float = 0.0
    sigma: float = 1.0

    def __init__(
        self,
        mu: float,
        sigma: float,
        low: float | None = None,
        high: float | None = None,
        outside: str = "redraw",
    ) -> None:
        _assign(self, mu=mu, sigma=sigma, low=low, high=high, outside=outside)
        _finite(self, "mu", "sigma", "low", "high")
        require(sigma > 0.0, "Lognormal: sigma", sigma, "> 0")
        self._check_bounds()

    def _score(self, x: ArrayLike) -> Any:
        return (log(np.maximum(x, 0.0)) - self.mu) / self.sigma

    def _base_quantile(self, u: FloatArray) -> FloatArray:
        return exp(self.mu + self.sigma * normal_quantile(u))


@dataclass(frozen=True)
class Scaled(Distribution):
    """A multiple of another distribution, also written as a product: ``-2.5 * Lognormal(0, 1)``.

    Parameters
    ----------
    factor : float
        What values are multiplied by, not 0.
    of : Distribution
        The other distribution.
    """

    factor: float
    of: Distribution

    def __post_init__(self) -> None:
        _finite(self, "factor")
        require(self.factor != 0.0, "Scaled: factor", self.factor, "not 0", "Use Constant(0.0).")
        if not isinstance(self.of, Distribution):
            raise ModelError(f"Scaled: of is {self.of!r}, must be a distribution")
        _assign(self, factor=float(self.factor))

    @property
    def constant(self) -> bool:
        """Whether all draws are equal."""
        return self.of.constant

    def cdf(self, x: ArrayLike) -> Any:
        """Return the probabilities of values of at most `x`."""
        scaled = np.asarray(x, dtype=np.float64) / self.factor
        if self.factor > 0.0:
            return self.of.cdf(scaled)
        return 1.0 - self.of.cdf(np.nextafter(scaled, -np.inf))

    def quantile(self, u: ArrayLike) -> FloatArray:
        """Return the values at the probabilities `u`."""
        u = np.asarray(u, dtype=np.float64)
        return self.factor * self.of.quantile(u if self.factor > 0.0 else 1.0 - u)

    def describe(self) -> dict[str, Any]:
        """Return name and parameters as plain values."""
        return {"distribution": "Scaled", "factor": self.factor, "of": self.of.describe()}


def as_distribution(value: Any, subject: str) -> Distribution:
    """Return `value` as a distribution; a number becomes a `Constant`.

    Parameters
    ----------
    value : float or Distribution
        What the user gave.
    subject : str
        The object and parameter, for the message.

    Raises
    ------
    ModelError
        When `value` is neither.
    """
    if isinstance(value, Distribution):
        return value
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        require(math.isfinite(value), subject, value, "finite")
        return Constant(float(value))
    raise ModelError(
        f"{subject} is {value!r}, must be a number or a distribution. "
        "Use Constant, Uniform, Normal or Lognormal, or a multiple of one such as -Lognormal(0, 1)."
    )


@functools.lru_cache(maxsize=1024)
def _cdf(z: float) -> float:
    return float(normal_cdf(z))


def _assign(instance: Any, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def _finite(instance: Any, *names: str) -> None:
    for name in names:
        value = getattr(instance, name)
        if value is None and name in ("low", "high"):
            continue
        number = isinstance(value, (int, float, np.integer, np.floating))
        require(
            number and math.isfinite(value), f"{type(instance).__name__}: {name}", value, "finite"
        )
