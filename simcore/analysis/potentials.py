"""Averages and distributions of membrane potentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.engine import compute
from simcore.services.errors import ConfigError, require

if TYPE_CHECKING:
    from simcore.io.recording import Recording

Floats = NDArray[np.floating]

_MOST_BINS = 1_000_000


@dataclass(frozen=True)
class PotentialStatistics:
    """Averages and the distribution of the membrane potentials of a population.

    Parameters
    ----------
    times : ndarray of float64, shape (n_samples,)
        Times of the samples [ms].
    mean, sd : ndarray of float64, shape (n_samples,)
        Mean and standard deviation over neurons at each time [mV]; NaN for that of a lone neuron.
    neurons : ndarray of uint64, shape (n_neurons,)
        Node ids.
    neuron_mean, neuron_sd : ndarray of float64, shape (n_neurons,)
        Mean and standard deviation over time of each neuron [mV]; NaN for that of a lone sample.
    edges : ndarray of float64, shape (n_bins + 1,)
        Borders of the bins of the histogram [mV].
    histogram : ndarray of int64, shape (n_bins,)
        Number of samples in each bin.
    """

    times: Floats
    mean: Floats
    sd: Floats
    neurons: NDArray[np.uint64]
    neuron_mean: Floats
    neuron_sd: Floats
    edges: Floats
    histogram: NDArray[np.int64]


def potential_statistics(
    recording: Recording,
    population: str,
    start: float | None = None,
    stop: float | None = None,
    width: float = 0.5,
) -> PotentialStatistics:
    """Return averages and the distribution of the potentials of a population.

    Standard deviations are those of the sample, over n. The samples are read twice, in blocks.

    Parameters
    ----------
    recording : Recording
        The run.
    population : str
        A population whose potentials were recorded.
    start, stop : float, optional
        A window, after `start` up to and with `stop` [ms]; all there is if left out.
    width : float
        Of a bin of the histogram, whose borders are multiples of it [mV].

    Raises
    ------
    ModelError
        When there is no such population, or its potentials were not recorded.
    ConfigError
        When no sample lies in the window, or the width is not positive.
    """
    import dask.array as da

    require(width > 0.0, "width", width, "> 0 [mV]", error=ConfigError)
    times, neurons, values = recording.dask_V_m(population, start, stop)
    window = f"with a sample of population {population!r} in it"
    require(times.size > 0, "window", (start, stop), window, error=ConfigError)
    exact = da.asarray(values).astype(np.float64)
    both = [(exact.mean(axis=axis), _spread(exact, axis)) for axis in (1, 0)]
    (mean, sd), (neuron_mean, neuron_sd), low, high = compute(*both, exact.min(), exact.max())
    fits = bool(np.isfinite([low, high]).all()) and (high - low) / width < _MOST_BINS
    valid = f"finite, and in less than {_MOST_BINS:,} bins of {width:.10g} mV"
    subject = f"V_m of population {population!r}"
    require(fits, subject, (float(low), float(high)), valid, error=ConfigError)
    edges = width * np.arange(np.floor(low / width), np.floor(high / width) + 2)
    histogram, _ = compute(*da.histogram(exact, edges))
    return PotentialStatistics(times, mean, sd, neurons, neuron_mean, neuron_sd, edges, histogram)


def _spread(values: Any, axis: int) -> Any:
    """Return the standard deviation along an axis; NaN of a single value, which cannot vary."""
    return values.std(axis=axis) if values.shape[axis] > 1 else np.nan * values.mean(axis=axis)
