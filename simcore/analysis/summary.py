"""All statistics of the spikes of a run, for which they are read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.bins import Bins, steps_of
from simcore.analysis.correlation import CorrelationReduction, CountCorrelations
from simcore.analysis.intervals import IntervalReduction, IsiStatistics
from simcore.analysis.rates import (
    BinReduction,
    FanoReduction,
    PopulationRate,
    RateReduction,
    dispersion,
    mean_rates,
)
from simcore.analysis.reduction import Reduction, reduce_all
from simcore.analysis.spectrum import NO_SPECTRUM, Spectrum, welch
from simcore.io.access import kept_open
from simcore.io.recording import names_of

if TYPE_CHECKING:
    from simcore.io.recording import Recording
    from simcore.io.selection import Selection

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Widths:
    """Bins of the statistics, in ms.

    Parameters
    ----------
    rate : float
        Of the population rate and its spectrum.
    synchrony : float
        Of the counts whose variance tells the synchrony.
    correlation : float
        Of the counts of pairs of neurons.
    fano : float
        Of the counts whose variance is the Fano factor.
    segment : float
        Length of the segments of the spectrum.
    """

    rate: float = 1.0
    synchrony: float = 3.0
    correlation: float = 2.0
    fano: float = 100.0
    segment: float = 1024.0


@dataclass(frozen=True)
class Summary:
    """The statistics of the spikes of one population.

    Parameters
    ----------
    selection : Selection
        The spikes.
    n_spikes : int
        Their number.
    rates : ndarray of float64, shape (n_neurons,)
        Mean rate of each neuron [1/s].
    isi : IsiStatistics
        Intervals between the spikes of each neuron.
    fano : ndarray of float64, shape (n_neurons,)
        Fano factor of each neuron.
    correlations : CountCorrelations
        Correlations of the counts of pairs of some neurons.
    population_rate : PopulationRate
        Mean rate over neurons in bins of time.
    synchrony : float
        Variance over mean of the counts of all neurons together; NaN where it is not defined.
    spectrum : Spectrum
        Power spectrum of the population rate.
    """

    selection: Selection
    n_spikes: int
    rates: Floats
    isi: IsiStatistics
    fano: Floats
    correlations: CountCorrelations
    population_rate: PopulationRate
    synchrony: float
    spectrum: Spectrum

    @property
    def rate(self) -> float:
        """Mean rate over neurons [1/s]; NaN without one."""
        return float(self.rates.mean()) if self.rates.size else float("nan")


def summarize(
    recording: Recording,
    populations: str | Sequence[str] | None = None,
    start: float | None = None,
    stop: float | None = None,
    widths: Widths | None = None,
    max_neurons: int = 250,
) -> dict[str, Summary]:
    """Return all statistics of some populations.

    Parameters
    ----------
    recording : Recording
        The run.
    populations : str or sequence of str, optional
        Which ones; all that were recorded if left out.
    start, stop : float, optional
        A window, after `start` up to and with `stop` [ms]; all there is if left out.
    widths : Widths, optional
        Bins of the statistics. Those that do not fit the time step or the window are taken as
        near as they fit.
    max_neurons : int
        Neurons of each population whose counts are correlated in pairs.

    Returns
    -------
    dict of str to Summary
        By population.

    Raises
    ------
    ModelError
        When there is no such population, or its spikes were not recorded.
    ConfigError
        When nothing recorded lies in the window.
    """
    names = names_of(populations, recording.recorded)
    with kept_open():
        selections = {name: recording.select(name, start, stop) for name in names}
    plans = plan_all(selections, widths or Widths(), max_neurons)
    found = reduce_all([(plan.selection, plan.reductions) for plan in plans.values()])
    return {n: plans[n].finish(*values) for n, values in zip(plans, found, strict=True)}


def plan_all(
    selections: Mapping[str, Selection], widths: Widths, max_neurons: int
) -> dict[str, SummaryTask]:
    """Return what is computed of populations, whose window and time step are the same."""
    if not selections:
        return {}
    bins = FittedBins.of(next(iter(selections.values())), widths)
    return {name: SummaryTask(s, bins, max_neurons) for name, s in selections.items()}


@dataclass(frozen=True)
class FittedBins:
    """Bins that fit a window, and their widths."""

    widths: Widths
    rate: Bins
    synchrony: Bins
    correlation: Bins
    fano: Bins

    @classmethod
    def of(cls, selection: Selection, widths: Widths) -> FittedBins:
        """Return the bins of widths as near to those wanted as they fit."""
        fitting = {name: _fitting(selection, width) for name, width in vars(widths).items()}
        names = ("rate", "synchrony", "correlation", "fano")
        bins = {name: Bins.of(selection, fitting[name]) for name in names}
        return cls(Widths(**fitting), **bins)


@dataclass(frozen=True)
class SummaryTask:
    """What is computed of one population."""

    selection: Selection
    bins: FittedBins
    max_neurons: int

    @cached_property
    def reductions(self) -> list[Reduction]:
        """What to compute, in the order in which `finish` takes it."""
        s, bins = self.selection, self.bins
        return [
            RateReduction.of(s),
            IntervalReduction.of(s),
            FanoReduction(bins.fano, s.n_neurons),
            CorrelationReduction.of(s, bins.correlation, self.max_neurons),
            BinReduction(bins.rate),
            BinReduction(bins.synchrony),
        ]

    def finish(
        self,
        rates: Floats,
        isi: IsiStatistics,
        fano: Floats,
        correlations: CountCorrelations,
        counts: NDArray[np.int64],
        coarse: NDArray[np.int64],
    ) -> Summary:
        """Return the summary."""
        s, bins = self.selection, self.bins.rate
        return Summary(
            s,
            round(rates.sum() * s.seconds),
            rates,
            isi,
            fano,
            correlations,
            PopulationRate(bins.edges, mean_rates(counts, bins, s.n_neurons)),
            dispersion(coarse),
            welch(counts, bins, s.n_neurons, self.bins.widths.segment)
            if bins.n > 1
            else NO_SPECTRUM,
        )


def _fitting(selection: Selection, width: float) -> float:
    """Return the multiple of the time step next to a width, at most the window [ms]."""
    begin, end = steps_of(selection)
    steps = min(max(1, int(selection.grid.nearest(width))), max(1, end - begin))
    return steps * selection.dt
