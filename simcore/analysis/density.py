"""Spikes for a picture: those of some neurons one by one, those of all as a density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.bins import Bins

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class DensityReduction:
    """How the number of spikes by neuron and time, on a coarse grid, is made of blocks.

    Parameters
    ----------
    bins : Bins
        The columns.
    n_neurons : int
        Number of neurons.
    rows : int
        Neighbouring neurons share a row, as evenly as it goes.
    """

    bins: Bins
    n_neurons: int
    rows: int

    def partial(self, times: NDArray[np.float64], places: Ints) -> Ints:
        """Return the counts of a block, shape (rows, n_bins)."""
        columns, found = self.bins.inside(times, places)
        cells = found * self.rows // self.n_neurons * self.bins.n + columns
        shape = self.rows, self.bins.n
        return np.bincount(cells, minlength=self.rows * self.bins.n).reshape(shape)

    def combine(self, one: Ints, other: Ints) -> Ints:
        """Return their sum."""
        return one + other

    def finish(self, total: Ints) -> Floats:
        """Return the rates, shape (rows, n_bins) [1/s]."""
        borders = -(-np.arange(self.rows + 1) * self.n_neurons // self.rows)
        return total / (np.diff(borders)[:, None] * 1e-3 * self.bins.width)


class Dots(NamedTuple):
    """The spikes of some neurons in a window.

    Parameters
    ----------
    times : ndarray of float64, shape (n_spikes,)
        In ms.
    rows : ndarray of int64, shape (n_spikes,)
        Which of the chosen neurons.
    """

    times: NDArray[np.float64]
    rows: Ints


@dataclass(frozen=True)
class DotsReduction:
    """How the spikes of some neurons in a window are picked out of blocks.

    Parameters
    ----------
    window : (float, float)
        After the first, up to and with the second [ms].
    chosen : ndarray of int64, shape (n,)
        Places of the neurons, ascending.
    n_neurons : int
        Number of all neurons.
    """

    window: tuple[float, float]
    chosen: Ints
    n_neurons: int

    def partial(self, times: NDArray[np.float64], places: Ints) -> Dots:
        """Return the spikes of a block."""
        inside = slice(*np.searchsorted(times, self.window, side="right"))
        table = np.full(self.n_neurons, -1, dtype=np.int64)
        table[self.chosen] = np.arange(self.chosen.size)
        rows = table[places[inside]]
        return Dots(times[inside][rows >= 0], rows[rows >= 0])

    def combine(self, one: Dots, other: Dots) -> Dots:
        """Return the spikes of both."""
        return Dots(*(np.concatenate(pair) for pair in zip(one, other, strict=True)))

    def finish(self, total: Dots) -> Dots:
        """Return the spikes."""
        return total
