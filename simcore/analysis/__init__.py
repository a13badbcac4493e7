"""Analysis of runs: statistics of spikes and samples, computed by dask in bounded memory.

Statistics of spikes take a selection, ``run.select(population, start, stop, neurons)``.
"""

from simcore.analysis.correlation import (
    CountCorrelations,
    CrossCorrelogram,
    count_correlations,
    cross_correlogram,
)
from simcore.analysis.distances import Distances, compare, ks_distance
from simcore.analysis.interop import to_neo
from simcore.analysis.intervals import IsiStatistics, isi_statistics
from simcore.analysis.rates import (
    PopulationRate,
    fano_factors,
    population_rate,
    rates_per_neuron,
    synchrony,
)
from simcore.analysis.reporting import report
from simcore.analysis.samples import SampleStatistics, potential_statistics, sample_statistics
from simcore.analysis.spectrum import Spectrum, power_spectrum
from simcore.analysis.summary import Summary, Widths, summarize

__all__ = [
    "CountCorrelations",
    "CrossCorrelogram",
    "Distances",
    "IsiStatistics",
    "PopulationRate",
    "SampleStatistics",
    "Spectrum",
    "Summary",
    "Widths",
    "compare",
    "count_correlations",
    "cross_correlogram",
    "fano_factors",
    "isi_statistics",
    "ks_distance",
    "population_rate",
    "potential_statistics",
    "power_spectrum",
    "rates_per_neuron",
    "report",
    "sample_statistics",
    "summarize",
    "synchrony",
    "to_neo",
]
