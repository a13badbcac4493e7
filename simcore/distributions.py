"""Distributions of weights, delays and initial potentials.

Every distribution is described by its cumulative distribution function and by its quantile
function. Draws are made elsewhere, from counter-based random numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.errors import ModelError, require

FloatArray = NDArray[np.float64]


class Distribution(ABC):
    """A univariate distribution."""

    @abstractmethod
    def cdf(self, x: float) -> float:
        """Return the probability of a value of at most `x`."""

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

    def cdf(self, x: float) -> float:
        """Return 1 from the value on, 0 below it."""
        return 1.0 if x >= self.value else 0.0

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

    def cdf(self, x: float) -> float:
        """Return the share of the interval that lies below `x`."""
        return min(1.0, max(0.0, (x - self.low) / (self.high - self.low)))

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
            mass = self._base_cdf(high) - self._base_cdf(low)
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

    @abstractmethod
    def _base_cdf(self, x: float) -> float: ...

    @abstractmethod
    def _base_quantile(self, u: FloatArray) -> FloatArray: ...

    def cdf(self, x: float) -> float:
        """Return the probability of a value of at most `x`, bounds included."""
        low, high = self._interval()
        if x < low:
            return 0.0
        if x >= high:
            return 1.0
        if self.outside == "clip":
            return self._base_cdf(x)
        below, above = self._base_cdf(low), self._base_cdf(high)
        return (self._base_cdf(x) - below) / (above - below)

    def quantile(self, u: ArrayLike) -> FloatArray:
        """Return the values at the probabilities `u`, bounds included."""
        u = np.asarray(u, dtype=np.float64)
        low, high = self._interval()
        if self.outside == "redraw":
            below, above = self._base_cdf(low), self._base_cdf(high)
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

    def _base_cdf(self, x: float) -> float:
        return normal_cdf((x - self.mean) / self.sd)

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

    def _base_cdf(self, x: float) -> float:
        return 0.0 if x <= 0.0 else normal_cdf((math.log(x) - self.mu) / self.sigma)

    def _base_quantile(self, u: FloatArray) -> FloatArray:
        return np.exp(self.mu + self.sigma * normal_quantile(u))


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

    def cdf(self, x: float) -> float:
        """Return the probability of a value of at most `x`."""
        if self.factor > 0.0:
            return self.of.cdf(x / self.factor)
        return 1.0 - self.of.cdf(math.nextafter(x / self.factor, -math.inf))

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


def normal_cdf(z: float) -> float:
    """Return the standard normal cumulative distribution function at `z`."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def normal_quantile(u: ArrayLike) -> FloatArray:
    """Return the standard normal quantile function at `u`, each in (0, 1).

    Rational approximations of relative accuracy 1e-16: algorithm AS 241, PPND16 (M. J. Wichura,
    Applied Statistics 37, 477-484, 1988).
    """
    u = np.atleast_1d(np.asarray(u, dtype=np.float64))
    q = u - 0.5
    z = np.empty_like(q)

    # Centre
    centre = np.abs(q) <= 0.425
    r = 0.180625 - q[centre] ** 2
    z[centre] = q[centre] * _ratio(r, _CENTRE)

    # Tails
    tail = ~centre
    r = np.sqrt(-np.log(np.minimum(u[tail], 1.0 - u[tail])))
    near = _ratio(r - 1.6, _NEAR_TAIL)
    far = _ratio(r - 5.0, _FAR_TAIL)
    z[tail] = np.copysign(np.where(r <= 5.0, near, far), q[tail])
    return z


def _ratio(r: FloatArray, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> FloatArray:
    above, below = coefficients
    return np.polynomial.polynomial.polyval(r, above) / np.polynomial.polynomial.polyval(r, below)


_CENTRE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_NEAR_TAIL = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_FAR_TAIL = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)


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
