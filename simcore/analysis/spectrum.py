"""The power spectrum of the activity of a population."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from simcore.analysis.arguments import takes_selections
from simcore.analysis.bins import Bins
from simcore.analysis.rates import BinReduction, mean_rates
from simcore.analysis.reduction import reduce_spikes
from simcore.numerics.clock import Grid
from simcore.services.errors import ConfigError, require

if TYPE_CHECKING:
    from simcore.io.selection import Selection


class Spectrum(NamedTuple):
    """A power spectral density.

    Parameters
    ----------
    frequencies : ndarray of float64, shape (n,)
        In Hz.
    power : ndarray of float64, shape (n,)
        One-sided density [(1/s)^2/Hz]. For independent Poisson processes it is 2 r / n, with the
        rate r and the number n of neurons.
    """

    frequencies: NDArray[np.floating]
    power: NDArray[np.floating]


NO_SPECTRUM = Spectrum(np.zeros(0), np.zeros(0))


@takes_selections
def power_spectrum(selection: Selection, width: float = 1.0, segment: float = 1024.0) -> Spectrum:
    """Return the power spectrum of the mean rate over neurons.

    The rate in bins is cut into segments that overlap by half; their mean is taken away, and the
    periodograms under a Hann window are averaged (Welch 1967).

    Parameters
    ----------
    selection : Selection
        The spikes.
    width : float
        Of a bin, a multiple of the time step [ms]; the largest frequency is 500 Hz for 1 ms.
    segment : float
        Length of a segment [ms]; the frequencies are 1/segment apart. A window that is shorter is
        one segment.

    Raises
    ------
    ConfigError
        When the width does not fit the time step, the window or the segment.
    """
    bins = Bins.of(selection, width)
    (counts,) = reduce_spikes(selection, BinReduction(bins))
    return welch(counts, bins, selection.n_neurons, segment)


def welch(counts: NDArray[np.int64], bins: Bins, n_neurons: int, segment: float) -> Spectrum:
    """Return the power spectrum of a mean rate, from the counts of all neurons in bins.

    It is that of ``scipy.signal.welch``, whose import would take longer than all other statistics
    of a short window.
    """
    length = min(int(Grid(bins.width).nearest(segment)), bins.n) if math.isfinite(segment) else 0
    valid = f"at least two bins of {bins.width:.10g} ms"
    require(length >= 2, "segment", segment, valid, error=ConfigError)
    seconds = 1e-3 * bins.width
    segments = sliding_window_view(counts, length)[:: length - length // 2]
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)
    # Take the mean from whole numbers, so that a constant rate has no power
    parts = mean_rates(segments - segments.mean(axis=1, keepdims=True), bins, n_neurons) * window
    squares = np.mean(np.abs(np.fft.rfft(parts)) ** 2, axis=0)
    power = squares * seconds / np.sum(window**2)

    # Add the negative frequencies, which zero and the highest of an even length do not have
    power[1 : (length + 1) // 2] *= 2.0
    return Spectrum(np.fft.rfftfreq(length, seconds)[1:], power[1:])
