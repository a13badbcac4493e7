"""Tables that turn random words into values by integer arithmetic alone.

They are computed once, on the host, in float64. After that a draw is a comparison or a look-up,
equal to the last bit on any processor.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.distributions import Distribution
from simcore.errors import CapacityError, require

WEIGHT_BITS = 16
_GUIDE_BITS = 10
_WORDS = 2.0**32

# Entries of a table of weights that are computed at a time
_WEIGHTS_AT_A_TIME = 2**12


@dataclass(frozen=True)
class DiscreteTable:
    """Inverse distribution function of a whole number, for a word of 32 bits.

    The value of word u is `first` plus the number of `thresholds` that are at most u.

    Parameters
    ----------
    first : int
        The smallest value.
    thresholds : ndarray of uint32, shape (n_values - 1,)
        Ascending.
    guide : ndarray of int32, shape (1025,)
        Entry g is the number of thresholds at most ``g << 22``: where a search for the words
        with the high bits g starts.
    """

    first: int
    thresholds: NDArray[np.uint32]
    guide: NDArray[np.int32]

    @property
    def last(self) -> int:
        """The largest value."""
        return self.first + self.thresholds.size

    def __call__(self, words: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return the values of the words."""
        return self.first + np.searchsorted(self.thresholds, words, side="right")

    def probabilities(self) -> NDArray[np.float64]:
        """Return the probability of each value from `first` to `last`."""
        bounds = np.concatenate([[0], self.thresholds.astype(np.float64), [_WORDS]])
        return np.diff(bounds) / _WORDS


def discrete_table(first: int, cumulative: NDArray[np.float64]) -> DiscreteTable:
    """Return the table of a whole number.

    Parameters
    ----------
    first : int
        The smallest value.
    cumulative : ndarray of float64
        Probability of at most ``first + i``; ends where it reaches 1 within 2**-33.
    """
    steps = np.rint(np.asarray(cumulative) * _WORDS)

    # Drop values too rare for a word
    below = int(np.searchsorted(steps, 0.0, side="right"))
    steps = steps[below:]
    steps = steps[steps < _WORDS]
    thresholds = steps.astype(np.uint32)
    edges = np.arange(2**_GUIDE_BITS + 1, dtype=np.uint64) << np.uint64(32 - _GUIDE_BITS)
    guide = np.searchsorted(thresholds.astype(np.uint64), edges, side="right").astype(np.int32)
    return DiscreteTable(first + below, thresholds, guide)


@functools.lru_cache(maxsize=4096)
def poisson_table(mean: float) -> DiscreteTable:
    """Return the table of a Poisson number.

    Parameters
    ----------
    mean : float
        Its mean, at most 10 000.

    Raises
    ------
    CapacityError
        When the mean is larger.
    """
    require(
        mean <= 10_000.0,
        "Poisson: events per time step",
        mean,
        "<= 10000",
        "Lower the rate or the time step.",
        CapacityError,
    )
    # Start where the probability is negligible, so that no term underflows
    first = max(0, math.floor(mean - 8.0 * math.sqrt(mean) - 8.0))
    last = math.ceil(mean + 10.0 * math.sqrt(mean) + 20.0)
    counts = np.arange(first, last + 1)
    log_factorial = np.array([math.lgamma(k + 1.0) for k in counts])
    log_mean = math.log(mean) if mean > 0.0 else -math.inf
    with np.errstate(invalid="ignore"):
        exponent = np.where(counts == 0, 0.0, counts * log_mean)
    return discrete_table(first, np.cumsum(np.exp(exponent - mean - log_factorial)))


def delay_table(delay: Distribution, dt: float, subject: str) -> DiscreteTable:
    """Return the table of a delay in steps.

    Parameters
    ----------
    delay : Distribution
        Delay [ms].
    dt : float
        Time step [ms].
    subject : str
        Whose delay, for the message.

    Raises
    ------
    ModelError
        When a delay may round to less than one step.
    """
    shortest, longest = _shortest_and_longest(delay)
    first = math.floor(shortest / dt + 0.5)
    require(
        first >= 1,
        f"{subject}: delay [ms]",
        shortest,
        f"at least one time step, {dt!r} ms, after rounding",
        f"Lengthen the delay, or give its distribution low={dt / 2!r}.",
    )
    last = math.floor(longest / dt + 0.5)
    require(
        last < 2**15,
        f"{subject}: delay [ms]",
        longest,
        f"below {2**15 * dt!r} ms",
        "Bound the distribution of the delay with high=.",
        CapacityError,
    )
    return _delays_between(delay, dt, first, last)


@functools.lru_cache(maxsize=4096)
def _shortest_and_longest(delay: Distribution) -> tuple[float, float]:
    tiny = 2.0**-34
    shortest, longest = delay.quantile([tiny, 1.0 - tiny])
    return float(shortest), float(longest)


@functools.lru_cache(maxsize=4096)
def _delays_between(delay: Distribution, dt: float, first: int, last: int) -> DiscreteTable:
    cumulative = [delay.cdf(float(np.nextafter((d + 0.5) * dt, 0.0))) for d in range(first, last)]
    return discrete_table(first, np.array([*cumulative, 1.0]))


@functools.lru_cache(maxsize=64)
def weight_table(weight: Distribution) -> NDArray[np.float64]:
    """Return 2**16 equally likely weights, shape (65536,).

    Each is the mean of its share of the distribution, taken from 16 quantiles.

    Parameters
    ----------
    weight : Distribution
        The weights.

    Raises
    ------
    CapacityError
        When the tail is so heavy that the table would lose more than 2 % of the spread.
    """
    count = 2**WEIGHT_BITS
    table = np.empty(count)
    for begin in range(0, count, _WEIGHTS_AT_A_TIME):
        some = slice(begin, begin + _WEIGHTS_AT_A_TIME)
        fine = weight.quantile((np.arange(16 * some.start, 16 * some.stop) + 0.5) / (16 * count))
        table[some] = fine.reshape(-1, 16).mean(axis=1)
    spread = _standard_deviation(weight)
    kept = float((table / spread).std()) if spread > 0.0 else 1.0
    require(
        kept > 0.98,
        f"{weight}: share of the standard deviation that {count} values keep",
        round(kept, 3),
        "above 0.98",
        "Bound the heavy tail with low= or high=, or give the weights one by one with Edges.",
        CapacityError,
    )
    return table


def _standard_deviation(weight: Distribution) -> float:
    """Return the standard deviation, by quantiles that become dense in both tails."""
    tail = np.logspace(-15.0, -4.0, 4001)
    edges = np.concatenate([tail, np.linspace(1e-4, 1.0 - 1e-4, 20_001)[1:-1], 1.0 - tail[::-1]])
    share = np.diff(edges)
    values = weight.quantile(0.5 * (edges[1:] + edges[:-1]))
    unit = float(np.abs(values).max()) or 1.0
    values /= unit
    mean = float(np.average(values, weights=share))
    return unit * math.sqrt(float(np.average((values - mean) ** 2, weights=share)))
