"""How spikes are drawn: which one by one, and how fine the density of all is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simcore.analysis.bins import Bins
from simcore.analysis.density import DensityReduction, DotsReduction
from simcore.analysis.reduction import Reduction

if TYPE_CHECKING:
    from simcore.io.selection import Selection

# Dots of a raster, about; neurons whose dots are drawn
_DOTS, _DOT_ROWS = 6000, 2000

# Rows that even a small population gets, as a share of what it would get if all were equal
_SMALLEST = 0.6

# Rows and columns of the density of all spikes
_DENSITY_ROWS, _COLUMNS = 480, 600


@dataclass(frozen=True)
class RasterLayout:
    """How spikes are drawn.

    Parameters
    ----------
    window : (float, float)
        That of the dots [ms].
    columns : Bins
        Those of the density.
    n_neurons : int
        Of all populations.
    n_populations : int
        Their number.
    all : bool
        Whether the dots show all spikes.
    """

    window: tuple[float, float]
    columns: Bins
    n_neurons: int
    n_populations: int
    all: bool

    @classmethod
    def of(cls, selections: Mapping[str, Selection], window: tuple[float, float]) -> RasterLayout:
        """Choose a window of dots that is neither empty nor crowded, the last there is."""
        some = list(selections.values())
        begin, end = window
        n_neurons = sum(s.n_neurons for s in some)
        n_spikes = sum(s.rows.stop - s.rows.start for s in some)
        n_dots = n_spikes * min(1.0, _DOT_ROWS / n_neurons)
        length = end - begin
        if n_dots > _DOTS:
            length = max(_round_down(length * _DOTS / n_dots), some[0].dt)
        fits = n_dots <= _DOTS and n_neurons <= _DOT_ROWS
        dt = some[0].dt
        first, last = some[0].grid.window(*window)
        steps = -(-(last - first) // _COLUMNS)
        columns = Bins(first, steps, (last - first) // steps, dt)
        return cls((end - length, end), columns, n_neurons, len(some), fits)

    def rows(self, selection: Selection, most: int = _DOT_ROWS) -> int:
        """Return how many rows a population gets: its share, though a small one some."""
        share = round(min(1.0, most / self.n_neurons) * selection.n_neurons)
        floor = max(1, int(_SMALLEST * most / self.n_populations))
        return min(selection.n_neurons, max(share, floor))

    def reductions(self, selection: Selection) -> list[Reduction]:
        """Return what to compute of a population."""
        n = selection.n_neurons
        rows = self.rows(selection)
        chosen = np.arange(rows) * n // rows
        dots = DotsReduction(self.window, chosen, n)
        if self.all:
            return [dots]
        coarse = self.rows(selection, _DENSITY_ROWS)
        return [dots, DensityReduction(self.columns, n, coarse)]


def _round_down(length: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a length."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(m * power for m in (1.0, 2.0, 5.0) if m * power <= length * (1 + 1e-9)))
