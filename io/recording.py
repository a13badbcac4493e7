"""What was recorded of some populations, read only where it is asked for."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence

from numpy.typing import ArrayLike

from simcore.io import schema
from simcore.io.access import Joined, kept_open
from simcore.io.mean_rates import Rate, Rates
from simcore.io.sampled import Sampled
from simcore.io.selection import Neurons, Selection, SpikeData, choose
from simcore.services.errors import ConfigError, ModelError, require


class Recording(Sampled):
    """The spikes and samples that some files hold.

    No file stays open: every query opens those it needs, reads and closes them. Windows of time
    are those of the simulator: after `start`, up to and with `stop` [ms], so that windows side by
    side share no spike.

    Parameters
    ----------
    path : str or path
        The file.

    Attributes
    ----------
    path : str
        The file.
    populations, recorded : list of str
        Names of all populations, and of those whose spikes are in the file.
    sizes : dict of str to int
        Neurons of each population.
    n_neurons : int
        Neurons in all.
    dt : float
        Time step [ms]; 1e-6 where it is not known.
    record_from, end : float
        Spikes and samples are from this window of model time [ms].
    guessed : list of str
        What nobody told: "begin" and "end" of the recording, "sizes" of populations.
    unsized : list of str
        Names of these populations.
    """

    populations: list[str]
    recorded: list[str]
    sizes: dict[str, int]
    dt: float
    record_from: float
    end: float
    guessed: Sequence[str] = ()
    unsized: Sequence[str] = ()

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)

    @abstractmethod
    def recorded_ids(self, population: str) -> Neurons:
        """Return the node ids of a population whose spikes are in the file."""

    def dataset(self, name: str) -> Joined:
        """Return a dataset of spikes or samples by its name, such as "spikes/E/timestamps"."""
        return self._data[name]

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets of spikes and samples."""
        return list(self._data)

    @property
    def guesses(self) -> str:
        """What nobody told, and what it was taken for, in words; empty if nothing was guessed."""
        return ""

    @property
    def n_neurons(self) -> int:
        """Neurons in all."""
        return sum(self.sizes.values())

    def spikes(
        self,
        population: str,
        start: float | None = None,
        stop: float | None = None,
        neurons: ArrayLike | None = None,
    ) -> SpikeData:
        """Return the spikes of a population.

        Parameters
        ----------
        population : str
            Its name.
        start, stop : float, optional
            A window, after `start` up to and with `stop` [ms]; all there is if left out.
        neurons : array_like of int, optional
            Node ids; all that are recorded if left out.

        Returns
        -------
        SpikeData
            Of numpy arrays.

        Raises
        ------
        ModelError
            When there is no such population, or its spikes were not recorded.
        ConfigError
            When the window ends before it begins.
        """
        return self._select(population, start, stop, neurons).read()

    def dask_spikes(
        self,
        population: str,
        start: float | None = None,
        stop: float | None = None,
        neurons: ArrayLike | None = None,
    ) -> SpikeData:
        """Return the spikes of a population as dask arrays, which read the file when computed.

        Parameters and errors are those of `spikes`.

        Returns
        -------
        SpikeData
            Of dask arrays in chunks of at most 2**20 spikes.
        """
        return self._select(population, start, stop, neurons).lazy()

    def select(
        self,
        population: str,
        start: float | None = None,
        stop: float | None = None,
        neurons: ArrayLike | None = None,
    ) -> Selection:
        """Return some spikes of a population without reading them; what the statistics take.

        Parameters are those of `spikes`.

        Raises
        ------
        ModelError
            When there is no such population, or its spikes were not recorded.
        ConfigError
            When nothing recorded lies in the window.
        """
        return self._select(population, *self.window(start, stop), neurons)

    def window(self, start: float | None = None, stop: float | None = None) -> tuple[float, float]:
        """Return the part of a window of time that was recorded [ms], all of it if left out.

        Raises
        ------
        ConfigError
            When nothing recorded lies in it.
        """
        begin = self.record_from if start is None else max(float(start), self.record_from)
        end = self.end if stop is None else min(float(stop), self.end)
        recorded = f"{self.record_from:.10g} to {self.end:.10g} ms"
        valid = f"within what is recorded, {recorded}, and end after its begin"
        # A window has the end of a step at least
        first, last = self.grid.window(begin, end)
        long = begin < end and first < last
        require(long, f"run {self.path!r}: window", (start, stop), valid, error=ConfigError)
        return begin, end

    def spike_rows(
        self, population: str, start: float | None = None, stop: float | None = None
    ) -> tuple[Joined, Joined, slice]:
        """Return times and node ids of a population, not read yet, and the rows of a window.

        Parameters and errors are those of `spikes`.
        """
        times, ids = self._spikes(population)
        return times, ids, self._window(times, start, stop)

    def rates(self, start: float | None = None, stop: float | None = None) -> Rates:
        """Return the mean rate of each population that was recorded.

        Parameters
        ----------
        start, stop : float, optional
            The window, after `start` up to and with `stop` [ms].

        Returns
        -------
        Rates
            By population [1/s].
        """
        self._require_forward(start, stop)
        low = self.record_from if start is None else max(start, self.record_from)
        high = max(low, self.end if stop is None else min(stop, self.end))
        rows = {}
        with kept_open():
            for name in self.recorded:
                window = self._window(self._spikes(name)[0], low, high)
                neurons = len(self.recorded_ids(name))
                rows[name] = rate(neurons, window.stop - window.start, high - low)
        return Rates(rows, low, high)

    def _select(
        self,
        population: str,
        start: float | None,
        stop: float | None,
        neurons: ArrayLike | None,
    ) -> Selection:
        times, ids, rows = self.spike_rows(population, start, stop)
        recorded = self.recorded_ids(population)
        place = f"{self.path!r}: population {population!r}"
        begin = self.record_from if start is None else float(start)
        end = self.end if stop is None else float(stop)
        return Selection(
            population, choose(recorded, neurons, place), recorded, (begin, end), self.dt,
            times, ids, rows,
        )  # fmt: skip

    def _spikes(self, population: str) -> tuple[Joined, Joined]:
        """Return the times and node ids of a population."""
        self._require_known(population)
        place = f"{schema.SPIKES}/{population}"
        times = self._data.get(f"{place}/timestamps")
        if times is None:
            raise ModelError(
                f"run {self.path!r}: spikes of population {population!r} were not recorded; "
                f"recorded are {self.recorded}"
            )
        return times, self._data[f"{place}/node_ids"]

    def _window(self, times: Joined, start: float | None, stop: float | None) -> slice:
        """Return the rows of a window of time."""
        self._require_forward(start, stop)
        begin = 0 if start is None else times.count_until(start, self.grid)
        end = times.size if stop is None else times.count_until(stop, self.grid)
        return slice(begin, max(begin, end))


def names_of(populations: str | Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Return the names of chosen populations, each once; a lone one may be given as a text.

    Parameters
    ----------
    populations : str or sequence of str, optional
        The names.
    known : sequence of str
        What is returned if they are left out.
    """
    chosen = [populations] if isinstance(populations, str) else populations
    return list(known if chosen is None else dict.fromkeys(chosen))


def rate(neurons: int, spikes: int, length: float) -> Rate:
    """Return the mean rate of some neurons over a length of time [ms]."""
    seconds = length / 1000.0
    expected = neurons * seconds
    return Rate(neurons, spikes, spikes / expected if expected > 0 else float("nan"))
