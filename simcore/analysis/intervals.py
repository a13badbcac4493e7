"""Intervals between the spikes of each neuron, found in blocks and put together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Intervals:
    """What is known of the intervals of each neuron in some stretch of time.

    Parameters
    ----------
    first, last : ndarray of float64, shape (n_neurons,)
        Times of the first and the last spike [ms]; NaN without one.
    first_interval, last_interval : ndarray of float64, shape (n_neurons,)
        The first and the last interval [ms]; NaN without one.
    n : ndarray of int64, shape (n_neurons,)
        Number of intervals.
    mean, squares : ndarray of float64, shape (n_neurons,)
        Their mean, and the sum of the squares of their deviations from it.
    local : ndarray of float64, shape (n_neurons,)
        Sum of ((a - b) / (a + b))^2 over neighbouring intervals.
    """

    first: NDArray[np.float64]
    last: NDArray[np.float64]
    first_interval: NDArray[np.float64]
    last_interval: NDArray[np.float64]
    n: NDArray[np.int64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    local: NDArray[np.float64]


def find_intervals(
    times: NDArray[np.float64], places: NDArray[np.int64], n_neurons: int
) -> Intervals:
    """Return the intervals in a block of spikes, sorted by time.

    Parameters
    ----------
    times : ndarray of float64, shape (n_spikes,)
        In ms.
    places : ndarray of int64, shape (n_spikes,)
        Which neuron, in [0, n_neurons).
    n_neurons : int
        Number of neurons.
    """
    order = np.argsort(places, kind="stable")
    times, places = times[order], places[order]
    ends = np.cumsum(np.bincount(places, minlength=n_neurons))
    begins = np.concatenate([[0], ends[:-1]])
    spikes = ends - begins
    some = spikes > 0
    same = places[1:] == places[:-1]
    intervals, owners = np.diff(times)[same], places[1:][same]

    n = np.maximum(spikes - 1, 0)
    mean = _sums(owners, intervals, n_neurons) / np.maximum(n, 1)
    squares = _sums(owners, (intervals - mean[owners]) ** 2, n_neurons)
    pairs = owners[1:] == owners[:-1]
    terms = _local(intervals[:-1][pairs], intervals[1:][pairs])
    local = _sums(owners[1:][pairs], terms, n_neurons)

    first_of = np.cumsum(n) - n
    return Intervals(
        _at(times, begins, some),
        _at(times, ends - 1, some),
        _at(intervals, first_of, n > 0),
        _at(intervals, first_of + n - 1, n > 0),
        n,
        mean,
        squares,
        local,
    )


def combine_intervals(one: Intervals, other: Intervals) -> Intervals:
    """Return the intervals of two neighbouring stretches, with those across their border."""
    gap = other.first - one.last
    bridged = ~np.isnan(gap)
    before, after = ~np.isnan(one.last_interval), ~np.isnan(other.first_interval)
    local = one.local + other.local
    left, right = bridged & before, bridged & after
    local[left] += _local(one.last_interval[left], gap[left])
    local[right] += _local(gap[right], other.first_interval[right])

    n, mean, squares = _merge(one.n, one.mean, one.squares, other.n, other.mean, other.squares)
    lone = bridged.astype(np.int64)
    n, mean, squares = _merge(n, mean, squares, lone, np.where(bridged, gap, 0.0), 0.0 * mean)
    firsts = [one.first_interval, gap, other.first_interval]
    lasts = [other.last_interval, gap, one.last_interval]
    return Intervals(
        _first_known([one.first, other.first]),
        _first_known([other.last, one.last]),
        _first_known(firsts),
        _first_known(lasts),
        n,
        mean,
        squares,
        local,
    )


def _local(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the terms of the local variation, without its factor of 3."""
    total = a + b
    return np.where(total > 0, ((a - b) / np.where(total > 0, total, 1.0)) ** 2, 0.0)


def _merge(
    n_one: NDArray[np.int64],
    mean_one: NDArray[np.float64],
    squares_one: NDArray[np.float64],
    n_other: NDArray[np.int64],
    mean_other: NDArray[np.float64],
    squares_other: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return number, mean and squares of two samples together (Chan, Golub and LeVeque 1983)."""
    n = n_one + n_other
    share = n_other / np.maximum(n, 1)
    step = mean_other - mean_one
    return n, mean_one + step * share, squares_one + squares_other + step**2 * n_one * share


def _sums(owners: NDArray[np.int64], values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the sum of the values of each owner."""
    return np.bincount(owners, values, minlength=n).astype(np.float64)


def _at(
    values: NDArray[np.float64], places: NDArray[np.int64], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the values at some places, NaN where they are not known."""
    found = np.full(places.size, np.nan)
    found[known] = values[places[known]]
    return found


def _first_known(choices: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the first of some values that is not NaN."""
    found = choices[0]
    for other in choices[1:]:
        found = np.where(np.isnan(found), other, found)
    return found
