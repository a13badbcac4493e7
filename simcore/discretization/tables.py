"""Tables that turn random words into values by integer arithmetic alone.

They are computed once, on the host, in float64, by functions that are equal on any processor
(`simcore.numerics.portable`). After that a draw is a comparison or a look-up.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from simcore.description.distributions import Distribution
from simcore.numerics.clock import Grid
from simcore.numerics.portable import exp, log, standard_deviation, total
from simcore.numerics.spikes import MAX_OFFSET
from simcore.services.errors import CapacityError, require

WEIGHT_BITS = 16
_GUIDE_BITS = 10
_WORDS = 2.0**32
_BLOCK = 2**9


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
    first, upto = _poisson_sums(np.array([mean]))
    return discrete_table(first, upto[0])


def poisson_tables(
    means: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]:
    """Return the tables of many Poisson numbers, the same as `poisson_table` gives for each.

    Parameters
    ----------
    means : ndarray of float64, shape (n,)
        Their means, ascending.

    Returns
    -------
    smallest : ndarray of int64, shape (n,)
        The smallest value of each.
    thresholds : ndarray of uint32
        Those of all, one after the other.
    firsts : ndarray of int64, shape (n + 1,)
        Where those of each begin, and where the last ends.
    """
    if means.size == 1:
        one = poisson_table(float(means[0]))
        return np.array([one.first]), one.thresholds, np.array([0, one.thresholds.size])
    smallest = np.zeros(means.size, dtype=np.int64)
    sizes = np.zeros(means.size, dtype=np.int64)
    found = [np.zeros(0, dtype=np.uint32)]

    # Neighbours whose tables begin, peak and end alike make one array
    shapes = np.stack([*_poisson_range(means), np.floor(means)])
    borders = 1 + np.flatnonzero(np.any(np.diff(shapes, axis=1) != 0, axis=0))
    for begin, end in pairwise([0, *borders.tolist(), means.size]):
        for low in range(begin, end, _BLOCK):
            some = slice(low, min(low + _BLOCK, end))
            first, upto = _poisson_sums(means[some])
            steps = np.rint(upto * _WORDS)
            kept = (steps > 0.0) & (steps < _WORDS)
            smallest[some] = first + np.count_nonzero(steps <= 0.0, axis=1)
            sizes[some] = np.count_nonzero(kept, axis=1)
            found.append(steps[kept].astype(np.uint32))
    firsts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return smallest, np.concatenate(found), firsts


def _poisson_range(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return between which values the probability is not negligible."""
    roots = np.sqrt(means)
    first = np.maximum(0.0, np.floor(means - 8.0 * roots - 8.0))
    return first, np.ceil(means + 10.0 * roots + 20.0)


def _poisson_sums(means: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
    """Return the smallest value, and for each mean the probability of each value or less.

    The tables of all means begin, peak and end alike.
    """
    first, last = (int(bound[0]) for bound in _poisson_range(means))
    mode, mean = math.floor(means[0]), means[:, np.newaxis]

    # Relative to the largest, each is its neighbour times mean / k
    above = np.cumprod(mean / np.arange(mode + 1, last + 1), axis=1)
    below = above[:, :0]
    if mode > first:
        below = np.cumprod(np.arange(mode, first, -1) / mean, axis=1)
    peak = np.ones_like(mean)
    upto = np.cumsum(np.concatenate([below[:, ::-1], peak, above], axis=1), axis=1)
    return first, upto / upto[:, -1:]


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
    first, last = Grid(dt).nearest([shortest, longest]).tolist()
    require(
        first >= 1,
        f"{subject}: delay [ms]",
        shortest,
        f"at least one time step, {dt!r} ms, after rounding",
        f"Lengthen the delay, or give its distribution low={dt / 2!r}.",
    )
    require(
        last < MAX_OFFSET,
        f"{subject}: delay [ms]",
        longest,
        f"below {MAX_OFFSET * dt:.10g} ms, {MAX_OFFSET} steps",
        "Bound the distribution of the delay with high=.",
        CapacityError,
    )
    return _delays_between(delay, dt, (first, last), longest)


@functools.lru_cache(maxsize=4096)
def _shortest_and_longest(delay: Distribution) -> tuple[float, float]:
    tiny = 2.0**-34
    shortest, longest = delay.quantile([tiny, 1.0 - tiny])
    return float(shortest), float(longest)


@functools.lru_cache(maxsize=4096)
def _delays_between(
    delay: Distribution, dt: float, steps: tuple[int, int], longest: float
) -> DiscreteTable:
    # Half a step is rounded up; where the longest delay is one, only its last bits may tell
    borders = np.minimum((np.arange(*steps) + 0.5) * dt, longest)
    upto = delay.cdf(np.nextafter(borders, 0.0))
    return discrete_table(steps[0], np.append(upto, 1.0))


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

    # In blocks, whose intermediate results stay in the cache
    for begin in range(0, count, _BLOCK):
        fine = np.arange(16 * begin, 16 * (begin + _BLOCK)) + 0.5
        table[begin : begin + _BLOCK] = total(weight.quantile(fine / (16 * count)).reshape(-1, 16))
    table /= 16.0
    spread = _standard_deviation(weight)
    kept = standard_deviation(table / spread) if spread > 0.0 else 1.0
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
    tail = exp(-log(10.0) * (15.0 - 11.0 / 4000.0 * np.arange(4001)))
    middle = 1e-4 + (1.0 - 2e-4) / 20_000 * np.arange(1, 20_000)
    edges = np.concatenate([tail, middle, 1.0 - tail[::-1]])
    share = np.diff(edges)
    values = weight.quantile(0.5 * (edges[1:] + edges[:-1]))
    unit = float(np.abs(values).max()) or 1.0
    values /= unit
    return unit * standard_deviation(values, share)
