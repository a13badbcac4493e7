"""Intervals between the spikes of each neuron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.analysis.arguments import takes_selections
from simcore.analysis.reduction import reduce_spikes
from simcore.services.errors import ConfigError, require

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
        3 ((I_k - I_{k+1}) / (I_k + I_{k+1}))^2 over neighbouring intervals; NaN without two, and
        where two that follow each other are 0.
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


@takes_selections
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


# What is known of the intervals of a neuron in some stretch of time: times of its first and last
# spike, its first and last interval, NaN without one [ms]; number and mean of the intervals, sum of
# the squares of their deviations from it, sum of ((a - b) / (a + b))^2 over neighbouring ones. One
# line of the cache, since spikes of all neurons come in turn
NEURON = np.dtype(
    [
        ("first", "f8"), ("last", "f8"), ("first_interval", "f8"), ("last_interval", "f8"),
        ("n", "i8"), ("mean", "f8"), ("squares", "f8"), ("local", "f8"),
    ]
)  # fmt: skip


class Intervals(NamedTuple):
    """What is known of the intervals in some stretch of time.

    Parameters
    ----------
    neurons : ndarray of NEURON, shape (n_neurons,)
        Those of each neuron.
    histogram : ndarray of int64, shape (n_bins,)
        Number of intervals of all neurons in each bin.
    """

    neurons: NDArray[np.void]
    histogram: NDArray[np.int64]


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

        neurons = np.zeros(self.n_neurons, dtype=NEURON)
        for name in ("first", "last", "first_interval", "last_interval"):
            neurons[name] = np.nan
        histogram = np.zeros(self.edges.size - 1, dtype=np.int64)
        stream_intervals(times, places, self.edges - _TOLERANCE, neurons, histogram)
        return Intervals(neurons, histogram)

    def combine(self, one: Intervals, other: Intervals) -> Intervals:
        """Return the intervals of neighbouring stretches, with those across their border."""
        a, b = one.neurons, other.neurons
        gap = b["first"] - a["last"]
        bridged = ~np.isnan(gap)
        both = np.empty_like(a)
        both["first"] = _first_known(a["first"], b["first"])
        both["last"] = _first_known(b["last"], a["last"])
        both["first_interval"] = _first_known(a["first_interval"], gap, b["first_interval"])
        both["last_interval"] = _first_known(b["last_interval"], gap, a["last_interval"])
        terms = _local(a["last_interval"], gap), _local(gap, b["first_interval"])
        both["local"] = a["local"] + b["local"] + np.sum(terms, axis=0)

        bridges = bridged.astype(np.int64), np.where(bridged, gap, 0.0), np.zeros(gap.size)
        inner = _merge(_sample(a), _sample(b))
        both["n"], both["mean"], both["squares"] = _merge(inner, bridges)
        places = np.searchsorted(self.edges - _TOLERANCE, gap[bridged], side="right") - 1
        across = np.bincount(places[places >= 0], minlength=one.histogram.size)
        histogram = one.histogram + other.histogram + across[: one.histogram.size]
        return Intervals(both, histogram)

    def finish(self, total: Intervals) -> IsiStatistics:
        """Return the statistics."""
        n, mean, squares = _sample(total.neurons)
        with np.errstate(invalid="ignore", divide="ignore"):
            cv = np.where(n > 1, np.sqrt(squares / n) / mean, np.nan)
            lv = np.where(n > 1, 3.0 * total.neurons["local"] / (n - 1), np.nan)
            mean = np.where(n > 0, mean, np.nan)
        return IsiStatistics(n, mean, cv, lv, self.edges, total.histogram)


_Sample = tuple[NDArray[np.int64], Floats, Floats]


def _sample(neurons: NDArray[np.void]) -> _Sample:
    """Return number, mean and squares of the intervals of each neuron."""
    return neurons["n"].copy(), neurons["mean"].copy(), neurons["squares"].copy()


def _local(a: Floats, b: Floats) -> Floats:
    """Return the terms of the local variation, without its factor of 3.

    0 where an interval is missing, which has no term; NaN where both are 0.
    """
    total = a + b
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(total), 0.0, ((a - b) / total) ** 2)


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
