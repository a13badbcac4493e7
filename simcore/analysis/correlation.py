"""How spike counts go together: of pairs of neurons, and of populations at a lag."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.arguments import takes_selections
from simcore.analysis.bins import Bins
from simcore.analysis.rates import BinReduction
from simcore.analysis.reduction import reduce_all, reduce_spikes
from simcore.numerics.clock import Grid
from simcore.services.errors import ConfigError, require
from simcore.services.extras import load

if TYPE_CHECKING:
    from simcore.io.selection import Selection

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

# Counts of all neurons in all bins up to which a table of them is faster than a sparse one
_DENSE = 2**16


@dataclass(frozen=True)
class CountCorrelations:
    """Correlations of the spike counts of pairs of neurons.

    Parameters
    ----------
    neurons : ndarray of int64, shape (n,)
        Node ids, ascending.
    matrix : ndarray of float64, shape (n, n)
        Pearson's correlation coefficient of their counts; NaN where a neuron's counts are all
        equal.
    """

    neurons: Ints
    matrix: Floats

    @property
    def pairs(self) -> Floats:
        """Coefficients of all pairs of different neurons that have one, each pair once."""
        values = self.matrix[np.triu_indices(self.neurons.size, 1)]
        return values[~np.isnan(values)]


@takes_selections
def count_correlations(
    selection: Selection, width: float = 2.0, max_neurons: int = 250
) -> CountCorrelations:
    """Return the correlations of the spike counts of pairs of neurons.

    Of more neurons than `max_neurons`, evenly spaced ones are taken. The defaults are those of the
    accuracy tests of the cortical microcircuit (Senk et al. 2026).

    Parameters
    ----------
    selection : Selection
        The spikes.
    width : float
        Of a bin, a multiple of the time step [ms].
    max_neurons : int
        How many neurons to take, at least 2. Memory grows with their spikes.

    Raises
    ------
    ConfigError
        When `max_neurons` is too small, or the width does not fit the time step or the window.
    """
    (found,) = reduce_spikes(
        selection, CorrelationReduction.of(selection, Bins.of(selection, width), max_neurons)
    )
    return found


@dataclass(frozen=True)
class CorrelationReduction:
    """How correlations of counts are made of blocks.

    Parameters
    ----------
    bins : Bins
        The bins.
    chosen : ndarray of int64, shape (n,)
        Places of the neurons to take.
    neurons : ndarray of int64, shape (n,)
        Their node ids.
    n_neurons : int
        Number of all neurons.
    """

    bins: Bins
    chosen: Ints
    neurons: Ints
    n_neurons: int

    @classmethod
    def of(cls, selection: Selection, bins: Bins, max_neurons: int) -> CorrelationReduction:
        """Return the reduction of a selection."""
        require(max_neurons >= 2, "max_neurons", max_neurons, ">= 2", error=ConfigError)
        n = min(max_neurons, selection.n_neurons)
        chosen = np.arange(n) * selection.n_neurons // n
        ids = np.asarray(selection.neurons, dtype=np.int64)[chosen]
        return cls(bins, chosen, ids, selection.n_neurons)

    def partial(self, times: NDArray[np.float64], places: Ints) -> tuple[Ints, Ints]:
        """Return bin and neuron of the spikes of the chosen ones."""
        rows = np.full(self.n_neurons, -1, dtype=np.int64)
        rows[self.chosen] = np.arange(self.chosen.size)
        bins, found = self.bins.inside(times, places)
        neurons = rows[found]
        some = neurons >= 0
        return bins[some], neurons[some]

    def combine(self, one: tuple[Ints, Ints], other: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
        """Return the spikes of both."""
        return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])

    def finish(self, total: tuple[Ints, Ints]) -> CountCorrelations:
        """Return the correlations."""
        sums, squares = self._moments(*total)
        products, means = squares / self.bins.n, sums / self.bins.n
        covariance = products - np.outer(means, means)
        deviation = np.sqrt(np.diag(covariance))
        deviation[deviation == 0.0] = np.nan
        return CountCorrelations(self.neurons, covariance / np.outer(deviation, deviation))

    def _moments(self, bins: Ints, neurons: Ints) -> tuple[Ints, Ints]:
        """Return the sums over bins of the counts, and of the products of those of pairs."""
        shape = self.chosen.size, self.bins.n
        if math.prod(shape) <= _DENSE:
            cells = np.bincount(neurons * self.bins.n + bins, minlength=math.prod(shape))
            counts = cells.reshape(shape)
            return counts.sum(axis=1), counts @ counts.T
        sparse = load("scipy.sparse", "analysis", "correlations")
        ones = np.ones(bins.size, dtype=np.int64)
        found = sparse.csr_array((ones, (neurons, bins)), shape=shape)
        return found.sum(axis=1), (found @ found.T).toarray()


@dataclass(frozen=True)
class CrossCorrelogram:
    """Coincidences of the spikes of two groups of neurons, by lag.

    Parameters
    ----------
    lags : ndarray of float64, shape (n_lags,)
        How much later the second group fired [ms].
    counts : ndarray of int64, shape (n_lags,)
        Sum over time of the product of the counts in a bin and in the bin that is a lag later.
    coefficients : ndarray of float64, shape (n_lags,)
        The same with the product of the means taken away, over the product of the standard
        deviations: a correlation coefficient, though that of a large lag has fewer terms. NaN when
        the counts of a group are all equal.
    """

    lags: Floats
    counts: Ints
    coefficients: Floats


@takes_selections
def cross_correlogram(
    one: Selection, other: Selection, width: float = 1.0, max_lag: float = 100.0
) -> CrossCorrelogram:
    """Return the cross-correlogram of the spikes of two groups of neurons, each taken together.

    With one group twice it is the autocorrelogram, in which every spike coincides with itself.

    Parameters
    ----------
    one, other : Selection
        The spikes, of the same window. For single neurons choose one in each.
    width : float
        Of a bin, a multiple of the time step [ms].
    max_lag : float
        Largest lag, either way [ms].

    Raises
    ------
    ConfigError
        When the windows differ, the width does not fit the time step, or the lag the window.
    """
    require(
        one.window == other.window and one.dt == other.dt, "window and dt of the second selection",
        (other.window, other.dt), f"those of the first, {(one.window, one.dt)}", error=ConfigError,
    )  # fmt: skip
    bins = Bins.of(one, width)
    n = int(Grid(bins.width).nearest(max_lag)) if math.isfinite(max_lag) else -1
    valid = f"from 0 to less than the window, {bins.n * bins.width:.10g} ms"
    require(0 <= n < bins.n, "max_lag", max_lag, valid, error=ConfigError)
    (a,), (b,) = reduce_all([(s, [BinReduction(bins)]) for s in (one, other)])
    counts = np.array([_product(a, b, lag) for lag in range(-n, n + 1)])
    scale = bins.n * float(a.std() * b.std())
    expected = bins.n * a.mean() * b.mean()
    coefficients = (counts - expected) / (scale if scale else np.nan)
    return CrossCorrelogram(bins.width * np.arange(-n, n + 1), counts, coefficients)


def _product(a: Ints, b: Ints, lag: int) -> int:
    """Return the sum of products of counts, those of b a number of bins later."""
    if lag < 0:
        return _product(b, a, -lag)
    return int(a[: a.size - lag] @ b[lag:])
