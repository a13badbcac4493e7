"""Analysis of runs: statistics of spikes, computed by dask in bounded memory."""

from simcore.analysis.statistics import (
    IsiStatistics,
    fano_factors,
    isi_statistics,
    population_rate,
    rates_per_neuron,
)

__all__ = [
    "IsiStatistics",
    "fano_factors",
    "isi_statistics",
    "population_rate",
    "rates_per_neuron",
]
