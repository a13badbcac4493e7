"""Intervals between the spikes of each neuron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.analysis.reduction import reduce_spikes
from simcore.errors import ConfigError, require

if TYPE_CHECKING:
    from simcore.io.selection import Selection

Floats = NDArray[np.floating]

# Borders of the histogram of intervals: ten in a decade, from 0.1 ms to 100 s
LOGARITHMIC = tuple(10.0 ** (k / 10) for k in range(-10, 51))

# An interval so near to a border counts as not below it [ms]
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class IsiStatistics:
    """Statistics of the intervals between the spikes of each neuron (ISI).

    Parameters
    ----------
    n : ndarray of int64, shape (n_neurons,)
        Number of intervals.
    mean : ndarray of float64, shape (n_neurons,)
        Mean interval [ms]; NaN without one.
    cv : ndarray of float64, shape (n_neurons,)
        Coefficient of variation: standard deviation (of the sample, over n) over mean; NaN with
        fewer than two intervals. 1 for a Poisson process, 0 for a regular train.
    lv : ndarray of float64, shape (n_neurons,)
        Local variation (Shinomoto, Shima and Tanji 2003): the mean of
        3 ((I_k - I_{k+1}) / (I_k + I_{k+1}))^2 over neighbouring intervals; NaN without two.
    edges : ndarray of float64, shape (n_bins + 1,)
        Borders of the bins of the histogram [ms].
    histogram : ndarray of int64, shape (n_bins,)
        Number of intervals of all neurons in each bin.
    """

    n: NDArray[np.int64]
    mean: Floats
    cv: Floats
    lv: Floats
    edges: Floats
    histogram: NDArray[np.int64]


def isi_statistics(selection: Selection, edges: ArrayLike = LOGARITHMIC) -> IsiStatistics:
    """Return statistics of the intervals between the spikes of each neuron.

    Parameters
    ----------
    selection : Selection
        The spikes.
    edges : array_like, optional
        Borders of the bins of the histogram, ascending [ms].

    Raises
    ------
    ConfigError
        When the borders do not ascend.
    """
    (found,) = reduce_spikes(selection, IntervalReduction.of(selection, edges))
    return found


class Intervals(NamedTuple):
    """What is known of the intervals of each neuron in some stretch of time.

    Parameters
    ----------
    first, last : ndarray of float64, shape (n_neurons,)
        Times of the first and the last spike [ms]; NaN without one.
    first_interval, last_interval : ndarray of float64, shape (n_neurons,)
        The first and the last interval [ms]; NaN without one.
    n : ndarray of int64, shape (n_neurons,)
        Number of intervals.
    mean, squares : ndarray of float64, shape (n_neurons,)
        Their mean, and the sum of the squares of their deviations from it.
    local : ndarray of float64, shape (n_neurons,)
        Sum of ((a - b) / (a + b))^2 over neighbouring intervals.
    histogram : ndarray of int64, shape (n_bins,)
        Number of intervals of all neurons in each bin.
    """

    first: Floats
    last: Floats
    first_interval: Floats
    last_interval: Floats
    n: NDArray[np.int64]
    mean: Floats
    squares: Floats
    local: Floats
    histogram: NDArray[np.int64]

    @classmethod
    def none(cls, n_neurons: int, n_bins: int) -> Intervals:
        """Return what is known without a spike."""
        unknown, zero = np.full(n_neurons, np.nan), np.zeros(n_neurons)
        return cls(
            first=unknown.copy(),
            last=unknown.copy(),
            first_interval=unknown.copy(),
            last_interval=unknown.copy(),
            n=np.zeros(n_neurons, dtype=np.int64),
            mean=zero.copy(),
            squares=zero.copy(),
            local=zero.copy(),
            histogram=np.zeros(n_bins, dtype=np.int64),
        )


@dataclass(frozen=True)
class IntervalReduction:
    """How statistics of intervals are made of blocks.

    Parameters
    ----------
    n_neurons : int
        Number of neurons.
    edges : ndarray of float64, shape (n_bins + 1,)
        Borders of the bins of the histogram [ms].
    """

    n_neurons: int
    edges: Floats

    @classmethod
    def of(cls, selection: Selection, edges: ArrayLike = LOGARITHMIC) -> IntervalReduction:
        """Return the reduction of a selection."""
        borders = np.asarray(edges, dtype=np.float64)
        ascend = borders.ndim == 1 and borders.size > 1 and bool((np.diff(borders) > 0).all())
        require(ascend, "edges", edges, "ascending borders [ms], at least two", error=ConfigError)
        return cls(selection.n_neurons, borders)

    def partial(self, times: NDArray[np.float64], places: NDArray[np.int64]) -> Intervals:
        """Return the intervals in a block."""
        from simcore.analysis.streams import stream_intervals

        state = Intervals.none(self.n_neurons, self.edges.size - 1)
        stream_intervals(times, places, self.edges - _TOLERANCE, tuple(state))
        return state

    def combine(self, one: Intervals, other: Intervals) -> Intervals:
        """Return the intervals of neighbouring stretches, with those across their border."""
        gap = other.first - one.last
        bridged = ~np.isnan(gap)
        local = one.local + other.local
        left = bridged & ~np.isnan(one.last_interval)
        right = bridged & ~np.isnan(other.first_interval)
        local[left] += _local(one.last_interval[left], gap[left])
        local[right] += _local(gap[right], other.first_interval[right])

        halves = (one.n, one.mean, one.squares), (other.n, other.mean, other.squares)
        bridges = bridged.astype(np.int64), np.where(bridged, gap, 0.0), np.zeros(gap.size)
        across, _ = np.histogram(gap[bridged], [*(self.edges[:-1] - _TOLERANCE), np.inf])
        across[-1] -= np.count_nonzero(gap[bridged] >= self.edges[-1] - _TOLERANCE)
        return Intervals(
            _first_known(one.first, other.first),
            _first_known(other.last, one.last),
            _first_known(one.first_interval, gap, other.first_interval),
            _first_known(other.last_interval, gap, one.last_interval),
            *_merge(_merge(*halves), bridges),
            local,
            one.histogram + other.histogram + across,
        )

    def finish(self, total: Intervals) -> IsiStatistics:
        """Return the statistics."""
        n = total.n
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(n > 0, total.mean, np.nan)
            cv = np.where(n > 1, np.sqrt(total.squares / n) / total.mean, np.nan)
            lv = np.where(n > 1, 3.0 * total.local / (n - 1), np.nan)
        return IsiStatistics(n, mean, cv, lv, self.edges, total.histogram)


_Sample = tuple[NDArray[np.int64], Floats, Floats]


def _local(a: Floats, b: Floats) -> Floats:
    """Return the terms of the local variation, without its factor of 3."""
    total = a + b
    return np.where(total > 0, ((a - b) / np.where(total > 0, total, 1.0)) ** 2, 0.0)


def _merge(one: _Sample, other: _Sample) -> _Sample:
    """Return number, mean and squares of two samples together (Chan, Golub and LeVeque 1983)."""
    n = one[0] + other[0]
    share = other[0] / np.maximum(n, 1)
    step = other[1] - one[1]
    return n, one[1] + step * share, one[2] + other[2] + step**2 * one[0] * share


def _first_known(found: Floats, *others: Floats) -> Floats:
    """Return the first of some values that is not NaN."""
    for other in others:
        found = np.where(np.isnan(found), other, found)
    return found
