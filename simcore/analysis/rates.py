"""Rates of neurons and of populations, and how their counts vary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.arguments import takes_selections
from simcore.analysis.bins import Bins
from simcore.analysis.reduction import reduce_spikes

if TYPE_CHECKING:
    from simcore.io.selection import Selection

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


@takes_selections
def rates_per_neuron(selection: Selection) -> Floats:
    """Return the mean rate of each neuron: its spikes over the length of the window.

    Returns
    -------
    ndarray of float64, shape (n_neurons,)
        Ascending by node id [1/s].
    """
    (found,) = reduce_spikes(selection, RateReduction.of(selection))
    return found


class PopulationRate(NamedTuple):
    """The mean rate over some neurons in bins of time.

    Parameters
    ----------
    edges : ndarray of float64, shape (n_bins + 1,)
        A bin holds what is after its first edge, up to and with its second [ms].
    rates : ndarray of float64, shape (n_bins,)
        Spikes per neuron and second [1/s].
    """

    edges: Floats
    rates: Floats


@takes_selections
def population_rate(selection: Selection, width: float) -> PopulationRate:
    """Return the mean rate over neurons in bins of time.

    Parameters
    ----------
    selection : Selection
        The spikes.
    width : float
        Of a bin, a multiple of the time step [ms]. A last bin that is not full is left out.

    Raises
    ------
    ConfigError
        When the width does not fit the time step or the window.
    """
    bins = Bins.of(selection, width)
    (counts,) = reduce_spikes(selection, BinReduction(bins))
    return PopulationRate(bins.edges, mean_rates(counts, bins, selection.n_neurons))


def mean_rates(counts: Floats | Ints, bins: Bins, n_neurons: int) -> Floats:
    """Return the mean rate over neurons in bins [1/s], given their counts; NaN without neurons."""
    with np.errstate(invalid="ignore"):
        rates: Floats = counts / (1e-3 * bins.width * n_neurons)
    return rates


@takes_selections
def synchrony(selection: Selection, width: float = 3.0) -> float:
    """Return the synchrony of some neurons: variance over mean of their spike counts together.

    The counts are those of all neurons in bins of time; 1 for independent Poisson processes
    (Potjans and Diesmann 2014, with bins of 3 ms).

    Parameters
    ----------
    selection : Selection
        The spikes.
    width : float
        Of a bin, a multiple of the time step [ms].

    Returns
    -------
    float
        NaN without a spike, and for a single bin.

    Raises
    ------
    ConfigError
        When the width does not fit the time step or the window.
    """
    (counts,) = reduce_spikes(selection, BinReduction(Bins.of(selection, width)))
    return dispersion(counts)


def dispersion(counts: Ints) -> float:
    """Return the variance, over the number of counts, over the mean.

    NaN if all are zero, which have no ratio, and for a single one, which cannot vary.
    """
    defined = counts.size > 1 and counts.any()
    return float(counts.var() / counts.mean()) if defined else float("nan")


@takes_selections
def fano_factors(selection: Selection, width: float) -> Floats:
    """Return the Fano factor of each neuron: variance over mean of its spike counts in bins.

    The variance is that of the sample, over the number of bins. 1 for a Poisson process.

    Parameters
    ----------
    selection : Selection
        The spikes.
    width : float
        Of a bin, a multiple of the time step [ms]. A last bin that is not full is left out.

    Returns
    -------
    ndarray of float64, shape (n_neurons,)
        NaN for neurons without a spike, and for a single bin.

    Raises
    ------
    ConfigError
        When the width does not fit the time step or the window.
    """
    bins = Bins.of(selection, width)
    (found,) = reduce_spikes(selection, FanoReduction(bins, selection.n_neurons))
    return found


@dataclass(frozen=True)
class RateReduction:
    """How rates of neurons are made of blocks.

    Parameters
    ----------
    n_neurons : int
        Number of neurons.
    seconds : float
        Length of the window [s].
    """

    n_neurons: int
    seconds: float

    @classmethod
    def of(cls, selection: Selection) -> RateReduction:
        """Return the reduction of a selection."""
        return cls(selection.n_neurons, selection.seconds)

    def partial(self, times: NDArray[np.float64], places: Ints) -> Ints:
        """Return the spikes of each neuron in a block."""
        return np.bincount(places, minlength=self.n_neurons)

    def combine(self, one: Ints, other: Ints) -> Ints:
        """Return their sum."""
        return one + other

    def finish(self, total: Ints) -> Floats:
        """Return the rates [1/s]."""
        return total / self.seconds


@dataclass(frozen=True)
class BinReduction:
    """How counts of all neurons together are made of blocks.

    Parameters
    ----------
    bins : Bins
        The bins.
    """

    bins: Bins

    def partial(self, times: NDArray[np.float64], places: Ints) -> tuple[int, Ints]:
        """Return the first bin of a block, and the counts from there."""
        found, _ = self.bins.inside(times, places)
        first = int(found[0]) if found.size else 0
        return first, np.bincount(found - first)

    def combine(self, one: tuple[int, Ints], other: tuple[int, Ints]) -> tuple[int, Ints]:
        """Return the counts of neighbouring stretches, which may share a bin."""
        if not one[1].size or not other[1].size:
            return one if one[1].size else other
        counts = np.zeros(other[0] + other[1].size - one[0], dtype=np.int64)
        counts[: one[1].size] = one[1]
        counts[other[0] - one[0] :] += other[1]
        return one[0], counts

    def finish(self, total: tuple[int, Ints]) -> Ints:
        """Return the counts, shape (n_bins,)."""
        first, found = total
        counts = np.zeros(self.bins.n, dtype=np.int64)
        counts[first : first + found.size] = found
        return counts


# What is known of the counts of a neuron in some stretch of time: the first and the last bin with a
# spike, -1 without one, and the spikes in them so far, which may be more with the neighbouring
# stretches; all spikes, and the sum of the squares of the counts in the bins between
COUNTS = np.dtype(
    [(name, "i8") for name in ("first", "first_count", "last", "last_count", "total", "squares")]
)


@dataclass(frozen=True)
class FanoReduction:
    """How Fano factors are made of blocks.

    Parameters
    ----------
    bins : Bins
        The bins.
    n_neurons : int
        Number of neurons.
    """

    bins: Bins
    n_neurons: int

    def partial(self, times: NDArray[np.float64], places: Ints) -> NDArray[np.void]:
        """Return the counts of each neuron in a block."""
        from simcore.analysis.streams import stream_counts

        neurons = np.zeros(self.n_neurons, dtype=COUNTS)
        neurons["first"] = neurons["last"] = -1
        stream_counts(*self.bins.inside(times, places), neurons)
        return neurons

    def combine(self, one: NDArray[np.void], other: NDArray[np.void]) -> NDArray[np.void]:
        """Return the counts of neighbouring stretches, which may share a bin."""
        here, there = one["first"] >= 0, other["first"] >= 0
        shared = here & there & (one["last"] == other["first"])
        apart = here & there & ~shared
        lone_one, lone_other = one["first"] == one["last"], other["first"] == other["last"]
        together = one["last_count"] + other["first_count"]

        both = np.where(here, one, other)
        both["last"] = np.where(there, other["last"], one["last"])
        both["last_count"] = np.where(there, other["last_count"], one["last_count"])
        both["first_count"][shared & lone_one] = together[shared & lone_one]
        both["last_count"][shared & lone_other] = together[shared & lone_other]
        both["total"] = one["total"] + other["total"]

        # Add what stands between the first and the last bin now
        both["squares"] = one["squares"] + other["squares"]
        both["squares"] += np.where(shared & ~lone_one & ~lone_other, together**2, 0)
        both["squares"] += np.where(apart & ~lone_one, one["last_count"] ** 2, 0)
        both["squares"] += np.where(apart & ~lone_other, other["first_count"] ** 2, 0)
        return both

    def finish(self, total: NDArray[np.void]) -> Floats:
        """Return the Fano factors."""
        last = np.where(total["first"] != total["last"], total["last_count"], 0)
        squares = total["squares"] + total["first_count"] ** 2 + last**2
        n, mean = self.bins.n, total["total"] / self.bins.n
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where((mean > 0) & (n > 1), (squares / n - mean**2) / mean, np.nan)
