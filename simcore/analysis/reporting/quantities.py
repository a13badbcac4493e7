"""The quantities whose distributions a report shows, and their histograms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.summary import Summary

Floats = NDArray[np.floating]

_BINS = 30


@dataclass(frozen=True)
class Quantity:
    """A number that each neuron, or each pair of some neurons, has.

    Parameters
    ----------
    key : str
        Its name in files.
    title : str
        Its name in the report.
    label : str
        Of an axis, with the unit.
    caption : str
        What it is, in sentences.
    lacking : str
        Why a population may have no value.
    values : callable
        Its values, given the summary of a population; NaN where it is not defined.
    reach : (float, float)
        Quantiles that histograms reach from and to.
    """

    key: str
    title: str
    label: str
    caption: str
    lacking: str
    values: Callable[[Summary], Floats]
    reach: tuple[float, float] = (0.002, 0.998)

    def known(self, summary: Summary) -> Floats:
        """Return the values that are defined."""
        values = self.values(summary)
        return values[~np.isnan(values)]


RATE = Quantity(
    "rate",
    "Firing rates",
    "rate (1/s)",
    "Mean rate of each neuron: its spikes in the window, over the length of the window.",
    "no neuron",
    lambda summary: summary.rates,
)
CV = Quantity(
    "cv",
    "Irregularity: CV",
    "CV of the intervals",
    "Coefficient of variation of the intervals between the spikes of a neuron: their standard "
    "deviation over their mean. 0 is a regular train, 1 a Poisson process. Neurons with fewer than "
    "three spikes have none.",
    "no neuron has three spikes",
    lambda summary: summary.isi.cv,
)
LV = Quantity(
    "lv",
    "Irregularity: LV",
    "LV of the intervals",
    "Local variation (Shinomoto, Shima and Tanji 2003): the mean of "
    "3 ((I₁ − I₂) / (I₁ + I₂))² over neighbouring intervals I₁ and I₂ of a neuron. As the CV it is "
    "0 for a regular train and 1 for a Poisson process, but slow changes of the rate do not "
    "raise it.",
    "no neuron has three spikes",
    lambda summary: summary.isi.lv,
)
FANO = Quantity(
    "fano",
    "Variability: Fano factor",
    "Fano factor",
    "Variance over mean of the spike counts of a neuron in bins. 1 is a Poisson process; less is "
    "more regular, more is bursty or changes its rate. Silent neurons have none.",
    "no neuron has a spike, or the window is a single bin",
    lambda summary: summary.fano,
)
CORRELATION = Quantity(
    "correlation",
    "Correlation of pairs",
    "correlation coefficient",
    "Pearson's correlation coefficient of the spike counts, in bins, of pairs of neurons of the "
    "population; of a large population evenly spaced neurons are taken. Independent neurons "
    "scatter around 0.",
    "fewer than two neurons have counts that vary",
    lambda summary: summary.correlations.pairs,
    (0.002, 0.98),
)

QUANTITIES = (RATE, CV, LV, FANO, CORRELATION)


@dataclass(frozen=True)
class Histogram:
    """How the values of a population are distributed.

    Parameters
    ----------
    edges : ndarray of float64, shape (n_bins + 1,)
        Borders of the bins; a bin holds its first border.
    counts : ndarray of int64, shape (n_bins,)
        Values in each bin.
    n : int
        Number of values, with those outside of all bins.
    median : float
        Their median; NaN where it is not known.
    """

    edges: Floats
    counts: NDArray[np.int64]
    n: int
    median: float = float("nan")

    @property
    def percent(self) -> Floats:
        """Percentage of the values in each bin."""
        return 100.0 * self.counts / max(self.n, 1)


def histogram(values: Floats, edges: Floats) -> Histogram | None:
    """Return the histogram of some values; None without a value."""
    if not values.size:
        return None
    counts, _ = np.histogram(values, edges)
    return Histogram(edges, counts, values.size, float(np.median(values)))


def histograms(
    quantity: Quantity,
    summaries: Mapping[str, Summary],
    edges: Mapping[str, Floats],
) -> dict[str, Histogram]:
    """Return the histograms of the populations that have values, given the borders of bins."""
    found = {n: histogram(quantity.known(s), edges[n]) for n, s in summaries.items() if n in edges}
    return {n: h for n, h in found.items() if h is not None}


def edges_of(
    quantity: Quantity, one: Mapping[str, Summary], other: Mapping[str, Summary]
) -> dict[str, Floats]:
    """Return borders of bins for each population, which fit two runs."""
    found = {}
    for name in [*one, *(n for n in other if n not in one)]:
        some = [s[name] for s in (one, other) if name in s]
        values = [v for s in some if (v := quantity.known(s)).size]
        if values:
            found[name] = _edges(values, quantity.reach, _quantum(quantity, some))
    return found


def common_edges(quantity: Quantity, summaries: Iterable[Summary]) -> Floats | None:
    """Return borders of bins that fit all populations; None without a value."""
    some = list(summaries)
    values = [v for s in some if (v := quantity.known(s)).size]
    return _edges(values, quantity.reach, _quantum(quantity, some)) if values else None


def _quantum(quantity: Quantity, summaries: Iterable[Summary]) -> float:
    """Return the distance of two neighbouring values, 0 where there is none."""
    if quantity is not RATE:
        return 0.0
    return max(1.0 / s.selection.seconds for s in summaries)


def _edges(values: list[Floats], reach: tuple[float, float], quantum: float) -> Floats:
    """Return borders of bins from the lowest to the highest values but for outliers."""
    low = min(float(np.quantile(v, reach[0], method="nearest")) for v in values)
    high = max(float(np.quantile(v, reach[1], method="nearest")) for v in values)
    if quantum:
        # Put borders between the values that a count over a length of time can have
        width = quantum * max(1, np.ceil((high - low) / quantum / _BINS))
        n = int(np.floor((high - low) / width + 1e-9)) + 1
        return low + width * np.arange(n + 1) - 0.5 * quantum
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    return np.linspace(low, high, _BINS + 1)
