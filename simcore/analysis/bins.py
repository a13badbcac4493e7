"""Bins of equal width that fill a window of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.numerics.clock import Grid
from simcore.services.errors import ConfigError, require

if TYPE_CHECKING:
    from simcore.io.selection import Selection


@dataclass(frozen=True)
class Bins:
    """Bins of equal width, in whole steps.

    Parameters
    ----------
    begin : int
        Step at which the first begins.
    steps : int
        Steps of each.
    n : int
        Number of bins.
    dt : float
        Time step [ms].
    """

    begin: int
    steps: int
    n: int
    dt: float

    @classmethod
    def of(cls, selection: Selection, width: float) -> Bins:
        """Return the bins of a width [ms] that fill the window of a selection.

        A last bin that is not full is left out.

        Raises
        ------
        ConfigError
            When the width is not a multiple of the time step, or larger than the window.
        """
        dt, window = selection.dt, selection.window
        steps = selection.grid.steps(width, "width", ConfigError)
        valid = f"a multiple of dt = {dt!r} ms, at least 1"
        require(steps >= 1, "width", width, valid, error=ConfigError)
        begin, end = steps_of(selection)
        n = (end - begin) // steps
        valid = f"at most the window, {window[1] - window[0]:.10g} ms"
        require(n >= 1, "width", width, valid, error=ConfigError)
        return cls(begin, steps, n, dt)

    @property
    def width(self) -> float:
        """Width of a bin [ms]."""
        return self.steps * self.dt

    @property
    def edges(self) -> NDArray[np.floating]:
        """Borders of the bins [ms]."""
        return self.dt * (self.begin + self.steps * np.arange(self.n + 1))

    def find(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the bin of each time; a spike of step t has a time up to (t + 1) dt."""
        return (Grid(self.dt).recorded_steps(times) - self.begin) // self.steps

    def inside(
        self, times: NDArray[np.float64], places: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the bins and places of the spikes that fall into a bin; times ascend."""
        found = self.find(times)
        rows = slice(*np.searchsorted(found, (0, self.n)))
        return found[rows], places[rows]


def steps_of(selection: Selection) -> tuple[int, int]:
    """Return the first step of the window of a selection, and the one after the last."""
    return selection.grid.window(*selection.window)
