"""The lazy view of a run's output file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.io import schema
from simcore.io.access import (
    Joined,
    Source,
    blaming,
    datasets,
    kept_open,
    list_sources,
    open_file,
)
from simcore.io.checkpoint import list_checkpoints
from simcore.io.mean_rates import Rates
from simcore.io.packing import read_sessions
from simcore.io.parts import is_being_written
from simcore.io.recorded import read_recorded
from simcore.io.recording import Recording, rate
from simcore.io.selection import Neurons
from simcore.io.sonata import SonataFile
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, OutputError, require

if TYPE_CHECKING:
    import h5py


class Run(Recording):
    """A run as its file tells it: finished, failed, or still in progress.

    It shows what was in the files when it was opened; open a run in progress again to see more. No
    file stays open: every query opens those it needs, reads and closes them. Windows of time are
    those of the simulator: after `start`, up to and with `stop` [ms], so that windows side by side
    share no spike.

    Parameters
    ----------
    path : str or path
        The file.
    sources : list of Source
        Which of the run's files to look at.

    Attributes
    ----------
    status : {"running", "complete", "stopped", "failed", "interrupted"}
        "stopped" if it can be resumed from a checkpoint that was asked for, "interrupted" if it
        was killed. Where the file system has no locks, that reads "running" too.
    error : str
        Why the run failed, else empty.
    end : float
        Model time up to which there are spikes and samples [ms].
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
        Where it ran last.
    sessions : list of dict
        Where and how it ran, from its first step to the last, with an entry for each resumption.
    uuid, created, finished : str
        Name of the run, and the times of its begin and end (UTC); `finished` may be empty.
    spike_counts : dict of str to int
        Spikes of each population, recorded or not, after `record_from`; empty unless complete.
    timers, shards : dict of str to ndarray, shape (n_ranks,)
        Time spent in each phase [s], and what each rank owned; empty unless complete. Those of
        the last session.
    timed : float
        Model time that these timers are for [ms].

    Raises
    ------
    OutputError
        When the file is missing, damaged, foreign or of an unknown version.
    """

    def __init__(self, path: str | os.PathLike[str], sources: list[Source]) -> None:
        super().__init__(path)
        self._sources = sources
        self._owner: object = None
        with open_file(self.path) as file:
            self._read_header(file[schema.RUN])
            self.recorded = [name for name in self.populations if name in file[schema.SPIKES]]
        with open_file(self._sources[-1].path) as file:
            self._read_state(file[schema.RUN])

    def keep(self, owner: object) -> None:
        """Let an object live as long as this or any data of it.

        It is not sent to other processes.

        Parameters
        ----------
        owner : object
            Such as a `TemporaryFolder`.
        """
        self._owner = owner

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
        if start is None and stop is None and self.spike_counts:
            length = self.duration - self.record_from
            rows = {n: rate(self.sizes[n], self.spike_counts[n], length) for n in self.populations}
            return Rates(rows, self.record_from, self.duration)
        return super().rates(start, stop)

    def recorded_ids(self, population: str) -> Neurons:
        """Return the node ids of a population whose spikes are in the file."""
        self._spikes(population)
        with open_file(self.path) as file:
            ids = read_recorded(file[f"{schema.SPIKES}/{population}"])
            size = self.sizes[population]
            if ids is None or (len(ids) and not (ids[0] >= 0 and ids[-1] < size)):
                raise ValueError(f"recorded of {population!r} is {ids}")
            return ids

    def digest(self, population: str) -> str:
        """Return the digest of the spikes of a population in the output file; empty in a new one.

        Of a run that is not complete it is that of what has been packed.
        """
        self._spikes(population)
        with open_file(self.path) as file:
            return str(file[f"{schema.SPIKES}/{population}"].attrs.get("digest", ""))

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digests of the spikes of all populations that were recorded; empty unless complete."""
        if self.status != "complete":
            return {}
        with kept_open():
            found = {name: self.digest(name) for name in self.recorded}
        return found if all(found.values()) else {}

    @property
    def checkpoints(self) -> list[float]:
        """Model times of the checkpoints beside the file [ms], the newest first."""
        clock = Clock(self.dt)
        return [float(clock.times(step)) for step, _ in list_checkpoints(self.path)]

    @property
    def files(self) -> list[str]:
        """The output file, and its parts while the run is not complete."""
        return [source.path for source in self._sources]

    def __repr__(self) -> str:
        return (
            f"Run({self.path!r}: {self.status}, {self.n_neurons} neurons in "
            f"{len(self.populations)} populations, {self.duration:g} ms, seed {self.seed})"
        )

    def _read_header(self, group: h5py.Group) -> None:
        """Read what is known from the beginning."""
        attributes = group.attrs
        self.uuid = str(attributes["uuid"])
        self.created = str(attributes["created"])
        self.seed = int(attributes["seed"])
        self.dt = float(attributes["dt"])
        self.record_from = float(attributes["record_from"])
        self.config: dict[str, Any] = dict(json.loads(group["config"].asstr()[()]))
        self.network: dict[str, Any] = dict(json.loads(group["network"].asstr()[()]))
        self.versions = {k: str(v) for k, v in group["versions"].attrs.items()}
        self.populations: list[str] = group["populations/name"].asstr()[()].tolist()
        sizes = group["populations/size"][()].tolist()
        self.sizes = dict(zip(self.populations, sizes, strict=True))

    def _read_state(self, group: h5py.Group) -> None:
        """Read what the newest of the files knows."""
        attributes = group.attrs
        self.status = str(attributes["status"])
        if self.status == "running" and not is_being_written(self.path, unknown=True):
            self.status = "interrupted"
        self.error = str(attributes.get("error", ""))
        self.finished = str(attributes.get("finished", ""))
        self.duration = float(attributes["duration"])
        self.end = float(Clock(self.dt).times(int(attributes["end"])))
        counts = group["spike_counts"][()].tolist() if "spike_counts" in group else []
        self.spike_counts = dict(zip(self.populations, counts, strict=False))
        timers = group.get("timers", {})
        self.timers = _of_ranks(timers)
        self.timed = float(timers.attrs["model_time"]) if self.timers else 0.0
        self.shards = _of_ranks(group.get("shards", {}))

    @cached_property
    def sessions(self) -> list[dict[str, Any]]:
        """Where and how it ran, from its first step to the last."""
        return read_sessions(self._sources)

    @property
    def session(self) -> dict[str, Any]:
        """Where and how it ran last."""
        with blaming(self.path):
            return dict(self.sessions[-1] if self.sessions else self.config)

    @property
    def n_ranks(self) -> int:
        """Number of ranks, of the last session."""
        with blaming(self.path):
            return int(self.session.get("n_ranks", 1))

    @property
    def hosts(self) -> list[str]:
        """Where it ran last."""
        with blaming(self.path):
            return list(self.session.get("hosts", ()))

    @cached_property
    def _data(self) -> dict[str, Joined]:
        return datasets(self._sources, self._owner)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_owner": None}


def _of_ranks(group: Mapping[str, h5py.Dataset]) -> dict[str, NDArray[Any]]:
    """Return the numbers of a group, one for each rank; `ValueError` if they are none."""
    found = {name: np.asarray(dataset[()]) for name, dataset in group.items()}
    sizes = {values.size if values.ndim == 1 else 0 for values in found.values()}
    finite = all(
        np.issubdtype(values.dtype, np.number) and np.isfinite(values).all()
        for values in found.values()
    )
    if found and not (finite and len(sizes) == 1 and 0 not in sizes):
        raise ValueError(f"{', '.join(found)} must be a finite number for each rank")
    return found


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open the output file of a run; see `Run`."""
    path = os.path.abspath(path)
    while True:
        sources = list_sources(path)
        try:
            run = Run(path, sources)
        except OutputError:
            if list_sources(path) == sources:
                raise
            continue
        # A run may have ended between our looks at its files and at its lock
        if run.status != "interrupted" or list_sources(path) == sources:
            return run


def open_recording(
    path: str | os.PathLike[str],
    sizes: Mapping[str, int] | None = None,
    begin: float | None = None,
    end: float | None = None,
) -> Run | SonataFile:
    """Open the output file of a run, or a SONATA spike file that another program wrote.

    Parameters
    ----------
    path : str or path
        The file.
    sizes : mapping of str to int, optional
        Number of neurons of each population, where the file does not tell; see `SonataFile`.
    begin, end : float, optional
        What was recorded, where the file does not tell [ms].

    Raises
    ------
    OutputError
        When the file is missing, damaged or something else.
    ModelError, ConfigError
        When what is told does not fit the file, or the file is the output of simcore, which tells
        all of it.
    """
    with open_file(os.path.abspath(path)) as file:
        ours = schema.RUN in file
        if not ours and schema.SPIKES not in file:
            raise OutputError(
                f"{os.fspath(path)!r} is an HDF5 file, but neither the output of simcore "
                "nor a SONATA spike file"
            )
    if not ours:
        return SonataFile(path, sizes, begin, end)
    told = {"sizes": sizes or None, "begin": begin, "end": end}
    for name, value in told.items():
        valid = "left out: the output of simcore tells it. Choose a window instead"
        require(value is None, f"{os.fspath(path)!r}: {name}", value, valid, error=ConfigError)
    return open_run(path)
