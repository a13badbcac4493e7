"""The lazy view of a run's output file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcore.errors import ModelError, OutputError
from simcore.io import schema
from simcore.io.access import LazyDataset, n_spikes, open_file, window
from simcore.io.rates import Rate, Rates

if TYPE_CHECKING:
    import dask.array
    import h5py

_DASK_CHUNK = 128 * schema.SPIKE_CHUNK


class SpikeData(NamedTuple):
    """Spikes of one population, sorted by time and then id; arrays of numpy or of dask.

    Parameters
    ----------
    times : array of float64, shape (n_spikes,)
        In ms.
    node_ids : array of uint64, shape (n_spikes,)
        Indices within the population.
    """

    times: NDArray[np.float64] | dask.array.Array
    node_ids: NDArray[np.uint64] | dask.array.Array


class PotentialData(NamedTuple):
    """Membrane potentials of one population.

    Parameters
    ----------
    times : ndarray of float64, shape (n_samples,)
        In ms.
    node_ids : ndarray of uint64, shape (n_neurons,)
        Indices within the population, ascending.
    values : ndarray, shape (n_samples, n_neurons)
        In mV.
    """

    times: NDArray[np.float64]
    node_ids: NDArray[np.uint64]
    values: NDArray[np.floating]


class Run:
    """A run as its file tells it: finished, failed, or still in progress.

    Opening reads the description only, and no file stays open: every query opens it, reads what
    it needs and closes it. Windows of time are those of the simulator: after `start`, up to and
    with `stop` [ms], so that windows side by side share no spike.

    Parameters
    ----------
    path : str or path
        The file.

    Attributes
    ----------
    status : {"running", "complete", "failed"}
        "running" also for a run that was killed.
    error : str
        Why the run failed, else empty.
    populations : list of str
        Names, in the order of creation.
    recorded : list of str
        Names of the populations whose spikes are in the file.
    sizes : dict of str to int
        Neurons of each population.
    n_neurons, seed, n_ranks : int
        Neurons in all, seed, number of ranks.
    dt, duration, record_from : float
        Time step, planned end, and begin of the recording [ms].
    config, network, versions : dict
        The options of the run, the model's description, the versions of software.
    hosts : list of str
        Where it ran.
    uuid, created, finished : str
        Name of the run, and the times of its begin and end (UTC); `finished` may be empty.
    spike_counts : dict of str to int
        Spikes of each population, recorded or not, after `record_from`; empty unless complete.
    timers, shards : dict of str to ndarray, shape (n_ranks,)
        Time spent in each phase [s], and what each rank owned; empty unless complete.

    Raises
    ------
    OutputError
        When the file is missing, damaged, foreign or of an unknown version.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)
        with self._open() as file:
            if schema.RUN not in file or "format_version" not in file[schema.RUN].attrs:
                raise OutputError(f"{self.path!r} is an HDF5 file, but not the output of simcore")
            group = file[schema.RUN]
            version = int(group.attrs["format_version"])
            if version != schema.FORMAT_VERSION:
                raise OutputError(
                    f"{self.path!r}: format version is {version}, must be "
                    f"{schema.FORMAT_VERSION}. Read it with the simcore that wrote it, "
                    f"{group['versions'].attrs.get('simcore', 'unknown')}."
                )
            self._read_run(group)
            self.recorded = [name for name in self.populations if name in file[schema.SPIKES]]

    def spikes(
        self, population: str, start: float | None = None, stop: float | None = None
    ) -> SpikeData:
        """Return the spikes of a population, of a window of time if given.

        Parameters
        ----------
        population : str
            Its name.
        start, stop : float, optional
            The window, after `start` up to and with `stop` [ms].

        Returns
        -------
        SpikeData
            Of numpy arrays.

        Raises
        ------
        ModelError
            When there is no such population, or its spikes were not recorded.
        """
        with self._spike_group(population) as group:
            begin, end = window(group, start, stop)
            return SpikeData(group["timestamps"][begin:end], group["node_ids"][begin:end])

    def dask_spikes(
        self, population: str, start: float | None = None, stop: float | None = None
    ) -> SpikeData:
        """Return the spikes of a population as dask arrays, which read the file when computed.

        Parameters and errors are those of `spikes`.

        Returns
        -------
        SpikeData
            Of dask arrays in chunks of 2**20 spikes.
        """
        import dask.array

        with self._spike_group(population) as group:
            begin, end = window(group, start, stop)
            size = n_spikes(group)
            lazy = [
                LazyDataset(self.path, group[name].name, size, group[name].dtype, self.uuid)
                for name in ("timestamps", "node_ids")
            ]
        arrays = [dask.array.from_array(x, chunks=_DASK_CHUNK)[begin:end] for x in lazy]
        return SpikeData(*arrays)

    def V_m(
        self, population: str, start: float | None = None, stop: float | None = None
    ) -> PotentialData:
        """Return the membrane potentials of a population.

        Parameters
        ----------
        population : str
            Its name.
        start, stop : float, optional
            The window, after `start` up to and with `stop` [ms].

        Returns
        -------
        PotentialData

        Raises
        ------
        ModelError
            When there is no such population, or its potentials were not recorded.
        """
        self._require_known(population)
        with self._open() as file:
            if f"{schema.REPORT}/{population}" not in file:
                reported = list(file.get(schema.REPORT, ()))
                raise ModelError(
                    f"run {self.path!r}: V_m of population {population!r} was not recorded; "
                    f"recorded are {reported}"
                )
            group = file[schema.REPORT][population]
            first, _, interval = group["mapping/time"][()]
            times = first + interval * np.arange(group["data"].shape[0])
            half = 0.5 * self.dt
            begin = 0 if start is None else int(np.searchsorted(times, start + half))
            end = times.size if stop is None else int(np.searchsorted(times, stop + half))
            end = max(begin, end)
            return PotentialData(
                times[begin:end], group["mapping/node_ids"][()], group["data"][begin:end]
            )

    def rates(self, start: float | None = None, stop: float | None = None) -> Rates:
        """Return the mean rate of each population.

        Without a window, all populations of a complete run are counted. With one, and for a run
        that is not complete, those that were recorded; then `stop` is the last spike in the file.

        Parameters
        ----------
        start, stop : float, optional
            The window, after `start` up to and with `stop` [ms].

        Returns
        -------
        Rates
            By population [1/s].
        """
        low = self.record_from if start is None else max(start, self.record_from)
        if start is None and stop is None and self.spike_counts:
            return Rates(self._total_rates(), low, self.duration)
        high = self.duration if self.status == "complete" else self._last_spike()
        high = high if stop is None else min(stop, high)
        rows = {}
        for name in self.recorded:
            with self._spike_group(name) as group:
                begin, end = window(group, low, high)
                neurons = len(range(*(int(i) for i in group.attrs["recorded"])))
            rows[name] = _rate(neurons, end - begin, high - low)
        return Rates(rows, low, high)

    def recorded_ids(self, population: str) -> range:
        """Return the node ids of a population whose spikes are in the file."""
        with self._spike_group(population) as group:
            return range(*(int(i) for i in group.attrs["recorded"]))

    def digest(self, population: str) -> str:
        """Return the digest of the spikes of a population; empty unless the run was closed."""
        with self._spike_group(population) as group:
            return str(group.attrs.get("digest", ""))

    def __repr__(self) -> str:
        return (
            f"Run({self.path!r}: {self.status}, {self.n_neurons} neurons in "
            f"{len(self.populations)} populations, {self.duration:g} ms, seed {self.seed})"
        )

    def _read_run(self, group: h5py.Group) -> None:
        attributes = group.attrs
        self.status = str(attributes["status"])
        self.error = str(attributes.get("error", ""))
        self.uuid = str(attributes["uuid"])
        self.created = str(attributes["created"])
        self.finished = str(attributes.get("finished", ""))
        self.seed = int(attributes["seed"])
        self.n_ranks = int(attributes["n_ranks"])
        self.dt = float(attributes["dt"])
        self.duration = float(attributes["duration"])
        self.record_from = float(attributes["record_from"])
        self.config: dict[str, Any] = json.loads(group["config"].asstr()[()])
        self.network: dict[str, Any] = json.loads(group["network"].asstr()[()])
        self.versions = {k: str(v) for k, v in group["versions"].attrs.items()}
        self.hosts = group["hosts"].asstr()[()].tolist()
        self.populations: list[str] = group["populations/name"].asstr()[()].tolist()
        sizes = group["populations/size"][()].tolist()
        self.sizes = dict(zip(self.populations, sizes, strict=True))
        self.n_neurons = sum(sizes)
        counts = group["spike_counts"][()].tolist() if "spike_counts" in group else []
        self.spike_counts = dict(zip(self.populations, counts, strict=False))
        self.timers = {k: v[()] for k, v in group.get("timers", {}).items()}
        self.shards = {k: v[()] for k, v in group.get("shards", {}).items()}

    def _total_rates(self) -> dict[str, Rate]:
        length = self.duration - self.record_from
        return {n: _rate(self.sizes[n], self.spike_counts[n], length) for n in self.populations}

    def _last_spike(self) -> float:
        """Return the time of the last spike in the file [ms]."""
        last = self.record_from
        for name in self.recorded:
            with self._spike_group(name) as group:
                size = n_spikes(group)
                if size:
                    last = max(last, float(group["timestamps"][size - 1]))
        return last

    def _require_known(self, population: str) -> None:
        if population not in self.populations:
            raise ModelError(
                f"run {self.path!r}: there is no population {population!r}; "
                f"there are {self.populations}"
            )

    @contextmanager
    def _spike_group(self, population: str) -> Iterator[h5py.Group]:
        self._require_known(population)
        if population not in self.recorded:
            raise ModelError(
                f"run {self.path!r}: spikes of population {population!r} were not recorded; "
                f"recorded are {self.recorded}"
            )
        with self._open() as file:
            yield file[schema.SPIKES][population]

    @contextmanager
    def _open(self) -> Iterator[h5py.File]:
        with open_file(self.path) as file:
            yield file


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open the output file of a run; see `Run`."""
    return Run(path)


def _rate(neurons: int, spikes: int, length: float) -> Rate:
    seconds = length / 1000.0
    return Rate(neurons, spikes, spikes / (neurons * seconds) if seconds > 0 else float("nan"))
