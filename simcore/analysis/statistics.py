"""Statistics of spike trains, each by its definition.

All take a `Run`, the name of a population whose spikes were recorded, and a window of time, after
`start`, up to and with `stop` [ms]; all that was recorded if left out. Memory is bounded by a
block of spikes and some numbers for each neuron.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.intervals import Intervals, combine_intervals, find_intervals
from simcore.analysis.reduction import reduce_spikes, window_of
from simcore.errors import ConfigError, require

if TYPE_CHECKING:
    from simcore.io.reader import Run


def rates_per_neuron(
    run: Run,
    population: str,
    start: float | None = None,
    stop: float | None = None,
    scheduler: Any = None,
) -> NDArray[np.float64]:
    """Return the mean rate of each neuron: its spikes over the length of the window.

    Returns
    -------
    ndarray of float64, shape (n_recorded,)
        By recorded neuron, ascending by id [1/s].
    """
    window = window_of(run, start, stop)
    count = partial(_count, n=len(run.recorded_ids(population)))
    counts = reduce_spikes(run, population, window, count, np.add, scheduler)
    return counts / (1e-3 * (window[1] - window[0]))


def population_rate(
    run: Run,
    population: str,
    width: float,
    start: float | None = None,
    stop: float | None = None,
    scheduler: Any = None,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the mean rate over neurons in bins of time.

    Parameters
    ----------
    run, population, start, stop, scheduler
        See `simcore.analysis.statistics`.
    width : float
        Of a bin, a multiple of the time step [ms]. A last bin that is not full is left out.

    Returns
    -------
    edges : ndarray of float64, shape (n_bins + 1,)
        A bin holds what is after its first edge, up to and with its second [ms].
    rates : ndarray of float64, shape (n_bins,)
        [1/s]
    """
    window = window_of(run, start, stop)
    bins = _Bins.of(run, window, width)
    counts = reduce_spikes(run, population, bins.window, bins.count, np.add, scheduler)
    n = len(run.recorded_ids(population))
    return bins.edges, counts / (1e-3 * width * n)


@dataclass(frozen=True)
class IsiStatistics:
    """Statistics of the intervals between the spikes of each neuron (ISI).

    Parameters
    ----------
    n : ndarray of int64, shape (n_recorded,)
        Number of intervals.
    mean : ndarray of float64, shape (n_recorded,)
        Mean interval [ms]; NaN without one.
    cv : ndarray of float64, shape (n_recorded,)
        Coefficient of variation: standard deviation (of the sample, over n) over mean; NaN with
        fewer than two intervals. 1 for a Poisson process, 0 for a regular train.
    lv : ndarray of float64, shape (n_recorded,)
        Local variation (Shinomoto, Shima and Tanji 2003): the mean of
        3 ((I_k - I_{k+1}) / (I_k + I_{k+1}))^2 over neighbouring intervals; NaN without two.
    """

    n: NDArray[np.int64]
    mean: NDArray[np.float64]
    cv: NDArray[np.float64]
    lv: NDArray[np.float64]


def isi_statistics(
    run: Run,
    population: str,
    start: float | None = None,
    stop: float | None = None,
    scheduler: Any = None,
) -> IsiStatistics:
    """Return statistics of the intervals between the spikes of each neuron."""
    window = window_of(run, start, stop)
    find = partial(find_intervals, n_neurons=len(run.recorded_ids(population)))
    found: Intervals = reduce_spikes(run, population, window, find, combine_intervals, scheduler)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(found.n > 0, found.mean, np.nan)
        cv = np.where(found.n > 1, np.sqrt(found.squares / found.n) / found.mean, np.nan)
        lv = np.where(found.n > 1, 3.0 * found.local / (found.n - 1), np.nan)
    return IsiStatistics(found.n, mean, cv, lv)


def fano_factors(
    run: Run,
    population: str,
    width: float,
    start: float | None = None,
    stop: float | None = None,
    scheduler: Any = None,
) -> NDArray[np.floating]:
    """Return the Fano factor of each neuron: variance over mean of its spike counts in bins.

    The variance is that of the sample, over the number of bins. 1 for a Poisson process.

    Parameters
    ----------
    run, population, start, stop, scheduler
        See `simcore.analysis.statistics`.
    width : float
        Of a bin, a multiple of the time step [ms]. A last bin that is not full is left out.

    Returns
    -------
    ndarray of float64, shape (n_recorded,)
        NaN for neurons without a spike.
    """
    window = window_of(run, start, stop)
    bins = _Bins.of(run, window, width)
    n = len(run.recorded_ids(population))
    count = partial(_count_in_bins, bins=bins, n=n)
    total, squares, _, _ = reduce_spikes(run, population, bins.window, count, _add_bins, scheduler)
    mean = total / bins.n
    with np.errstate(invalid="ignore", divide="ignore"):
        factors = (squares / bins.n - mean**2) / mean
    return np.where(total > 0, factors, np.nan)


@dataclass(frozen=True)
class _Bins:
    """Bins of equal width, in whole steps."""

    begin: int
    steps: int
    n: int
    dt: float

    @classmethod
    def of(cls, run: Run, window: tuple[float, float], width: float) -> _Bins:
        """Return the bins that fill a window."""
        steps = round(width / run.dt)
        fits = steps >= 1 and abs(width / run.dt - steps) <= 1e-6 * steps
        valid = f"a multiple of dt = {run.dt!r} ms"
        require(fits, "width", width, valid, error=ConfigError)
        begin, end = (round(time / run.dt) for time in window)
        n = (end - begin) // steps
        valid = f"at most the window, {window[1] - window[0]:.10g} ms"
        require(n >= 1, "width", width, valid, error=ConfigError)
        return cls(begin, steps, n, run.dt)

    @property
    def edges(self) -> NDArray[np.floating]:
        """Borders of the bins [ms]."""
        return self.dt * (self.begin + self.steps * np.arange(self.n + 1))

    @property
    def window(self) -> tuple[float, float]:
        """The window that they fill [ms]."""
        half = 0.5 * self.dt
        return float(self.edges[0]) + half, float(self.edges[-1]) + half

    def find(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the bin of each time; a spike at the end of step t has the time (t + 1) dt."""
        return (np.rint(times / self.dt).astype(np.int64) - 1 - self.begin) // self.steps

    def count(self, times: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of spikes in each bin."""
        return np.bincount(self.find(times), minlength=self.n)


def _count(times: NDArray[np.float64], places: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return np.bincount(places, minlength=n)


# Sums of the counts and of their squares, by neuron; and what the first and the last bin hold,
# whose other spikes may lie in the neighbouring blocks
_BinSums = tuple[NDArray[np.int64], NDArray[np.int64], Any, Any]


def _count_in_bins(
    times: NDArray[np.float64], places: NDArray[np.int64], bins: _Bins, n: int
) -> _BinSums:
    if times.size == 0:
        return np.zeros(n, np.int64), np.zeros(n, np.int64), None, None
    found = bins.find(times)
    keys, counts = np.unique(found * n + places, return_counts=True)
    neurons = keys % n
    total = np.bincount(neurons, counts, minlength=n).astype(np.int64)
    squares = np.bincount(neurons, counts**2, minlength=n).astype(np.int64)
    first, last = (
        (bin_, np.bincount(places[found == bin_], minlength=n)) for bin_ in (found[0], found[-1])
    )
    return total, squares, first, last


def _add_bins(one: _BinSums, other: _BinSums) -> _BinSums:
    if one[2] is None or other[2] is None:
        return other if one[2] is None else one
    squares = one[1] + other[1]
    first, last = one[2], other[3]
    if one[3][0] == other[2][0]:
        # The bin goes on: (a + b)^2 = a^2 + b^2 + 2ab
        shared = one[3][1] + other[2][1]
        squares = squares + 2 * one[3][1] * other[2][1]
        if first[0] == one[3][0]:
            first = (first[0], shared)
        if last[0] == other[2][0]:
            last = (last[0], shared)
    return one[0] + other[0], squares, first, last
