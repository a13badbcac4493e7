"""Averages and distributions of samples: membrane potentials, and other columns of neurons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.engine import compute
from simcore.io.reports import POTENTIAL, POTENTIAL_UNIT
from simcore.services.errors import ConfigError, require

if TYPE_CHECKING:
    from simcore.io.recording import Recording

Floats = NDArray[np.floating]

_MOST_BINS = 1_000_000

# Width of a bin of potentials [mV], and how many bins others have at most where nobody tells
_POTENTIAL_WIDTH, _BINS = 0.5, 128

# Least spread of samples that bins are made for, beside their size
_FINEST = 2.0**-30


@dataclass(frozen=True)
class SampleStatistics:
    """Averages and the distribution of the samples of a column of a population, in its unit.

    Parameters
    ----------
    times : ndarray of float64, shape (n_samples,)
        Times of the samples [ms].
    mean, sd : ndarray of float64, shape (n_samples,)
        Mean and standard deviation over neurons at each time; NaN for that of a lone neuron.
    neurons : ndarray of uint64, shape (n_neurons,)
        Node ids.
    neuron_mean, neuron_sd : ndarray of float64, shape (n_neurons,)
        Mean and standard deviation over time of each neuron; NaN for that of a lone sample.
    edges : ndarray of float64, shape (n_bins + 1,)
        Borders of the bins of the histogram.
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


def sample_statistics(
    recording: Recording,
    population: str,
    variable: str = POTENTIAL,
    start: float | None = None,
    stop: float | None = None,
    width: float | None = None,
    interval: float | None = None,
) -> SampleStatistics:
    """Return averages and the distribution of the samples of a column of a population.

    Standard deviations are those of the sample, over n. The samples are read twice, in blocks.

    Parameters
    ----------
    recording : Recording
        The run.
    population : str
        A population of which the column was recorded.
    variable : str
        The column.
    start, stop : float, optional
        A window, after `start` up to and with `stop` [ms]; all there is if left out.
    width : float, optional
        Of a bin of the histogram, whose borders are multiples of it, in the unit of the column; if
        left out, 0.5 mV for potentials, else a power of 2 that gives at most 128 bins.
    interval : float, optional
        Time between two samples [ms]; needed where the column was recorded several times.

    Raises
    ------
    ModelError
        When there is no such population, or the column was not recorded so.
    ConfigError
        When no sample lies in the window, or the width is not positive.
    """
    import dask.array as da

    unit = recording.report(population, variable, interval).unit
    require(width is None or width > 0.0, "width", width, f"> 0 [{unit}]", error=ConfigError)
    times, neurons, values = recording.dask_samples(population, variable, start, stop, interval)
    window = f"with a sample of population {population!r} in it"
    require(times.size > 0, "window", (start, stop), window, error=ConfigError)
    exact = da.asarray(values).astype(np.float64)
    both = [(exact.mean(axis=axis), _spread(exact, axis)) for axis in (1, 0)]
    (mean, sd), (neuron_mean, neuron_sd), low, high = compute(*both, exact.min(), exact.max())
    finite = bool(np.isfinite([low, high]).all())
    if width is None:
        width = _width(unit, float(low), float(high)) if finite else 1.0
    fits = finite and (high - low) / width < _MOST_BINS
    valid = f"finite, and in less than {_MOST_BINS:,} bins of {width:.10g} {unit}"
    subject = f"{variable} of population {population!r}"
    require(fits, subject, (float(low), float(high)), valid, error=ConfigError)
    edges = width * np.arange(np.floor(low / width), np.floor(high / width) + 2)
    histogram, _ = compute(*da.histogram(exact, edges))
    return SampleStatistics(times, mean, sd, neurons, neuron_mean, neuron_sd, edges, histogram)


def potential_statistics(
    recording: Recording,
    population: str,
    start: float | None = None,
    stop: float | None = None,
    width: float = _POTENTIAL_WIDTH,
    interval: float | None = None,
) -> SampleStatistics:
    """Return averages and the distribution of the membrane potentials of a population [mV].

    Parameters and errors are those of `sample_statistics`.
    """
    return sample_statistics(recording, population, POTENTIAL, start, stop, width, interval)


def coarser(edges: Floats, counts: NDArray[np.int64], width: float) -> tuple[Floats, Any]:
    """Return borders and numbers of a histogram in bins that are a whole number of times wider."""
    wide = round(width / float(edges[1] - edges[0]))
    first = round(float(edges[0]) / float(edges[1] - edges[0])) // wide
    before = round(float(edges[0]) / float(edges[1] - edges[0])) - first * wide
    n = -(-(before + counts.size) // wide)
    found = np.zeros(n * wide, dtype=np.int64)
    found[before : before + counts.size] = counts
    return width * np.arange(first, first + n + 1), found.reshape(n, wide).sum(axis=1)


def _width(unit: str, low: float, high: float) -> float:
    """Return the width of a bin where nobody tells it."""
    if unit == POTENTIAL_UNIT:
        return _POTENTIAL_WIDTH
    # Borders are multiples of it, and must differ
    spread = max(high - low, _FINEST * max(abs(low), abs(high)))
    return 2.0 ** math.ceil(math.log2(spread / _BINS)) if spread > 0.0 else 1.0


def _spread(values: Any, axis: int) -> Any:
    """Return the standard deviation along an axis; NaN of a single value, which cannot vary."""
    return values.std(axis=axis) if values.shape[axis] > 1 else np.nan * values.mean(axis=axis)
