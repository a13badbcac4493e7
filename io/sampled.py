"""What was sampled of the columns of neurons, read only where it is asked for."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcore.io.access import Joined, open_file
from simcore.io.reports import POTENTIAL, REPORT, Report, read_report, read_times
from simcore.numerics.clock import Grid
from simcore.services.errors import ConfigError, ModelError, require

if TYPE_CHECKING:
    import dask.array

# Size of a block of samples [B]
_BLOCK_BYTES = 2**23


class SampleData(NamedTuple):
    """Samples of one column of a population.

    Parameters
    ----------
    times : ndarray of float64, shape (n_samples,)
        In ms.
    node_ids : ndarray of uint64, shape (n_neurons,)
        Indices within the population, ascending.
    values : array, shape (n_samples, n_neurons)
        In the unit of the column; of numpy or of dask.
    """

    times: NDArray[np.float64]
    node_ids: NDArray[np.uint64]
    values: NDArray[np.floating] | dask.array.Array


class Sampled(ABC):
    """The samples that some files hold; a part of `Recording`."""

    path: str
    populations: list[str]
    sizes: dict[str, int]
    dt: float

    @property
    @abstractmethod
    def _data(self) -> Mapping[str, Joined]:
        """The datasets of spikes and samples, by their names."""

    @property
    def grid(self) -> Grid:
        """The grid of time."""
        return Grid(self.dt)

    @cached_property
    def reports(self) -> list[Report]:
        """What was sampled: a report for each record of a column, in the order of the file."""
        labels = [n.split("/")[1] for n in self._data if n.startswith(f"{REPORT}/")]
        if not labels:
            return []
        with open_file(self.path) as file:
            return [read_report(label, file[REPORT][label]) for label in labels]

    @property
    def reported(self) -> list[str]:
        """Names of the populations of which samples are in the file."""
        return list(dict.fromkeys(report.population for report in self.reports))

    def report(
        self, population: str, variable: str = POTENTIAL, interval: float | None = None
    ) -> Report:
        """Return the report of a column of a population.

        Parameters
        ----------
        population : str
            Its name.
        variable : str
            The column.
        interval : float, optional
            Time between two samples [ms]; needed where the column was recorded several times.

        Raises
        ------
        ModelError
            When there is no such population, or the column was not recorded so.
        """
        self._require_known(population)
        own = [r for r in self.reports if r.population == population]
        found = [
            r
            for r in own
            if r.variable == variable and (interval is None or math.isclose(r.interval, interval))
        ]
        if len(found) == 1:
            return found[0]
        what = f"run {self.path!r}: {variable} of population {population!r}"
        if found:
            times = ", ".join(f"{r.interval:g}" for r in found)
            raise ModelError(f"{what} was recorded every {times} ms: name one of them as interval")
        every = "" if interval is None else f" every {interval:g} ms"
        known = [f"{r.variable} every {r.interval:g} ms" for r in own] or self.reported
        raise ModelError(f"{what} was not recorded{every}; recorded are {known}")

    def samples(
        self,
        population: str,
        variable: str = POTENTIAL,
        start: float | None = None,
        stop: float | None = None,
        interval: float | None = None,
    ) -> SampleData:
        """Return the samples of a column of a population; its unit is that of its `report`.

        Parameters
        ----------
        population : str
            Its name.
        variable : str
            The column, such as "g_ex".
        start, stop : float, optional
            The window, after `start` up to and with `stop` [ms].
        interval : float, optional
            Time between two samples [ms]; needed where the column was recorded several times.

        Returns
        -------
        SampleData
            Of numpy arrays.

        Raises
        ------
        ModelError
            When there is no such population, or the column was not recorded so.
        ConfigError
            When the window ends before it begins.
        """
        report = self.report(population, variable, interval)
        times, node_ids, data, rows = self._rows_of(report, start, stop)
        return SampleData(times, node_ids, data[rows])

    def dask_samples(
        self,
        population: str,
        variable: str = POTENTIAL,
        start: float | None = None,
        stop: float | None = None,
        interval: float | None = None,
    ) -> SampleData:
        """Return the samples of a column of a population, as a dask array of values.

        Parameters and errors are those of `samples`.

        Returns
        -------
        SampleData
            Its values in chunks of whole rows, of about 8 MiB.
        """
        import dask.array

        report = self.report(population, variable, interval)
        times, node_ids, data, rows = self._rows_of(report, start, stop)
        chunk = max(1, _BLOCK_BYTES // max(1, data.row_bytes))
        values = dask.array.from_array(data, chunks=(chunk, data.width))[rows]
        return SampleData(times, node_ids, values)

    def V_m(
        self,
        population: str,
        start: float | None = None,
        stop: float | None = None,
        interval: float | None = None,
    ) -> SampleData:
        """Return the membrane potentials of a population [mV]; see `samples`."""
        return self.samples(population, POTENTIAL, start, stop, interval)

    def dask_V_m(
        self,
        population: str,
        start: float | None = None,
        stop: float | None = None,
        interval: float | None = None,
    ) -> SampleData:
        """Return the membrane potentials of a population [mV]; see `dask_samples`."""
        return self.dask_samples(population, POTENTIAL, start, stop, interval)

    def _rows_of(
        self, report: Report, start: float | None, stop: float | None
    ) -> tuple[NDArray[np.float64], NDArray[np.uint64], Joined, slice]:
        """Return times and node ids of samples, the samples not read yet, and a window of rows."""
        self._require_forward(start, stop)
        data = self._data[report.place]
        with open_file(self.path) as file:
            mapping = file[REPORT][report.label]["mapping"]
            times = read_times(mapping, data.size)
            node_ids = mapping["node_ids"][()]
        begin, end = 0, times.size
        if start is not None:
            begin = int(np.searchsorted(times, self.grid.recorded_until(start), side="right"))
        if stop is not None:
            end = int(np.searchsorted(times, self.grid.recorded_until(stop), side="right"))
        rows = slice(begin, max(begin, end))
        return times[rows], node_ids, data, rows

    def _require_forward(self, start: float | None, stop: float | None) -> None:
        """Raise `ConfigError` if a window ends before it begins."""
        borders = [time for time in (start, stop) if time is not None]
        forward = not np.isnan(borders).any() and borders == sorted(borders)
        valid = "(start, stop) in this order [ms]"
        require(forward, f"run {self.path!r}: window", (start, stop), valid, error=ConfigError)

    def _require_known(self, population: str) -> None:
        if population not in self.sizes:
            raise ModelError(
                f"run {self.path!r}: there is no population {population!r}; "
                f"there are {self.populations}"
            )
