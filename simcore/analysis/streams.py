"""Compiled loops over the spikes of a block, which keep some numbers for each neuron."""

from __future__ import annotations

from typing import Any

import numpy as np

from simcore.numerics.jit import njit


@njit
def stream_intervals(times: Any, places: Any, edges: Any, neurons: Any, histogram: Any) -> None:
    """Take spikes one after the other, and keep what is known of the intervals of each neuron.

    Parameters
    ----------
    times : ndarray of float64, shape (n_spikes,)
        Ascending [ms].
    places : ndarray of int64, shape (n_spikes,)
        Which neuron.
    edges : ndarray of float64, shape (n_bins + 1,)
        Borders of the bins of the histogram [ms].
    neurons : ndarray of NEURON, shape (n_neurons,)
        See `simcore.analysis.intervals`; changed in place.
    histogram : ndarray of int64, shape (n_bins,)
        Number of intervals in each bin; changed in place.
    """
    for k in range(times.size):
        t, neuron = times[k], neurons[places[k]]
        if np.isnan(neuron.last):
            neuron.first = neuron.last = t
            continue
        gap = t - neuron.last
        neuron.last = t
        neuron.n += 1
        if neuron.n == 1:
            neuron.first_interval = gap
        else:
            before = neuron.last_interval
            if before + gap > 0.0:
                neuron.local += ((before - gap) / (before + gap)) ** 2
            else:
                neuron.local = np.nan
        neuron.last_interval = gap

        # Update mean and squares (Welford 1962)
        step = gap - neuron.mean
        neuron.mean += step / neuron.n
        neuron.squares += step * (gap - neuron.mean)

        place = np.searchsorted(edges, gap, side="right") - 1
        if 0 <= place < histogram.size:
            histogram[place] += 1


@njit
def stream_counts(bins: Any, places: Any, neurons: Any) -> None:
    """Take spikes one after the other, and keep the counts of each neuron in bins.

    Parameters
    ----------
    bins : ndarray of int64, shape (n_spikes,)
        Bin of each spike, ascending.
    places : ndarray of int64, shape (n_spikes,)
        Which neuron.
    neurons : ndarray of COUNTS, shape (n_neurons,)
        See `simcore.analysis.rates`; changed in place.
    """
    for k in range(bins.size):
        found, neuron = bins[k], neurons[places[k]]
        neuron.total += 1
        if neuron.first < 0:
            neuron.first = neuron.last = found
        elif neuron.last != found:
            # Close a bin: the first is kept apart, it may go on in an earlier block
            if neuron.last != neuron.first:
                neuron.squares += neuron.last_count**2
            neuron.last = found
            neuron.last_count = 0
        neuron.last_count += 1
        if neuron.last == neuron.first:
            neuron.first_count = neuron.last_count
