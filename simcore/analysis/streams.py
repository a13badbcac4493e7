"""Compiled loops over the spikes of a block, which keep some numbers for each neuron."""

from __future__ import annotations

from typing import Any

import numpy as np

from simcore.jit import njit


@njit
def stream_intervals(times: Any, places: Any, edges: Any, state: Any) -> None:
    """Take spikes one after the other, and keep what is known of the intervals of each neuron.

    Parameters
    ----------
    times : ndarray of float64, shape (n_spikes,)
        Ascending [ms].
    places : ndarray of int64, shape (n_spikes,)
        Which neuron.
    edges : ndarray of float64, shape (n_bins + 1,)
        Borders of the bins of the histogram [ms].
    state : Intervals
        See there; changed in place.
    """
    first, last, first_interval, last_interval, n, mean, squares, local, histogram = state
    for k in range(times.size):
        i, t = places[k], times[k]
        if np.isnan(last[i]):
            first[i] = last[i] = t
            continue
        gap = t - last[i]
        last[i] = t
        n[i] += 1
        if n[i] == 1:
            first_interval[i] = gap
        else:
            before = last_interval[i]
            if before + gap > 0.0:
                local[i] += ((before - gap) / (before + gap)) ** 2
        last_interval[i] = gap

        # Update mean and squares (Welford 1962)
        step = gap - mean[i]
        mean[i] += step / n[i]
        squares[i] += step * (gap - mean[i])

        place = np.searchsorted(edges, gap, side="right") - 1
        if 0 <= place < histogram.size:
            histogram[place] += 1


@njit
def stream_counts(bins: Any, places: Any, state: Any) -> None:
    """Take spikes one after the other, and keep the counts of each neuron in bins.

    Parameters
    ----------
    bins : ndarray of int64, shape (n_spikes,)
        Bin of each spike, ascending.
    places : ndarray of int64, shape (n_spikes,)
        Which neuron.
    state : CountMoments
        See there; changed in place.
    """
    first, first_count, last, last_count, total, squares = state
    for k in range(bins.size):
        i, found = places[k], bins[k]
        total[i] += 1
        if first[i] < 0:
            first[i] = last[i] = found
        elif last[i] != found:
            # Close a bin: the first is kept apart, it may go on in an earlier block
            if last[i] != first[i]:
                squares[i] += last_count[i] ** 2
            last[i] = found
            last_count[i] = 0
        last_count[i] += 1
        if last[i] == first[i]:
            first_count[i] = last_count[i]
