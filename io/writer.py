"""The writer of the output file; it lives on rank 0."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.clock import Clock
from simcore.errors import OutputError
from simcore.io import schema
from simcore.io.append import ReportAppender, Space, SpikeAppender
from simcore.network import Network

if TYPE_CHECKING:
    import h5py


class RunWriter:
    """Writes one run into one file, as it goes.

    The file exists under its final name from the start, with the status "running", and is readable
    after a kill at any moment; spikes and samples are written in whole chunks, what does not fill
    one waits in memory. `finish` completes the file. When the block is left by an error, what
    waits is written, and the status becomes "failed" with the message in the attribute `error`.

    Parameters
    ----------
    path : str or path
        The file.
    network : Network
        The model.
    clock : Clock
        The grid of time.
    config : dict
        The options of the run: `duration` [ms], and where they apply `record_from` [ms],
        `n_ranks` and `hosts`; anything else is kept with them.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    OutputError
        When the file exists or cannot be created.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        network: Network,
        clock: Clock,
        config: dict[str, Any],
        overwrite: bool = False,
    ) -> None:
        self.path = os.fspath(path)
        self._clock = clock
        self._first = np.array([p.first for p in network.populations], dtype=np.int64)
        self._spikes: dict[int, SpikeAppender] = {}
        self._reports: list[ReportAppender] = []
        begin = clock.steps(config.get("record_from") or 0.0, "record_from")
        self._file = _create(self.path, overwrite)
        try:
            with self._reporting():
                self._space = Space(self._file)
                self._space.reserve(0)
                schema.write_run(self._file, network, clock, config)
                self._create_datasets(network, begin)
                self._file.flush()
        except BaseException:
            self._abandon()
            os.unlink(self.path)
            raise

    def append(self, steps: NDArray[np.int64], gids: NDArray[np.int64]) -> None:
        """Take spikes of the recorded neurons.

        Parameters
        ----------
        steps, gids : ndarray of int64, shape (n_spikes,)
            Step and global id, sorted by step and then id; none before those taken earlier.

        Raises
        ------
        OutputError
            When they cannot be written.
        """
        times = self._clock.times(steps + 1)
        with self._reporting():
            for index, chosen in self._by_population(gids):
                self._spikes[index].add(times[chosen], gids[chosen] - self._first[index])
            self._write(rest=False)

    def append_potentials(self, record_index: int, samples: NDArray[np.floating]) -> None:
        """Take samples of membrane potentials.

        Parameters
        ----------
        record_index : int
            Which of the records of V_m, counted from 0.
        samples : ndarray, shape (n_samples, n_neurons)
            Potentials of the record's neurons, in ascending order of id [mV].

        Raises
        ------
        OutputError
            When they cannot be written.
        """
        with self._reporting():
            self._reports[record_index].add(samples)
            self._write(rest=False)

    def finish(
        self,
        spike_counts: NDArray[np.integer],
        timers: Mapping[str, NDArray[np.floating]],
        shards: Mapping[str, NDArray[np.integer]],
    ) -> None:
        """Write what waits and the results of the run, mark the file as complete and close it.

        Parameters
        ----------
        spike_counts : ndarray of int, shape (n_populations,)
            Spikes of every population from `record_from` on, recorded or not.
        timers : mapping of str to ndarray, shape (n_ranks,)
            Time spent in each phase [s].
        shards : mapping of str to ndarray, shape (n_ranks,)
            What each rank owned: `n_neurons`, `n_synapses`, `bytes`.

        Raises
        ------
        OutputError
            When the file cannot be completed.
        """
        with self._reporting():
            self._write(rest=True)
            self._space.reserve(0)
            run = self._file[schema.RUN]
            run["spike_counts"] = np.asarray(spike_counts, dtype=np.int64)
            timed = run.create_group("timers", track_order=True)
            for name, seconds in timers.items():
                timed[name] = np.asarray(seconds, dtype=np.float64)
                timed[name].attrs["units"] = "s"
            owned = run.create_group("shards", track_order=True)
            for name, values in shards.items():
                owned[name] = np.asarray(values, dtype=np.int64)
            self._close("complete")

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._file:
            return
        failure = None
        try:
            with self._reporting():
                self._write(rest=True)
        except OutputError as later:
            failure = later
        try:
            with self._reporting():
                self._fail(error or failure)
        except OutputError as later:
            self._abandon()
            failure = failure or later
        if error is None and failure is not None:
            raise failure

    def _fail(self, error: BaseException | None) -> None:
        """Close the file of a run that was not finished, with the reason."""
        if error is not None:
            message = f"{type(error).__name__}: {error}"
            self._file[schema.RUN].attrs["error"] = message[:4096]
        self._close("running" if error is None else "failed")

    def _create_datasets(self, network: Network, begin: int) -> None:
        for record in network.records:
            if record.variable == "spikes":
                group = schema.create_spikes(self._file, record)
                self._spikes[record.target.population.id] = SpikeAppender(group)
            else:
                group = schema.create_report(self._file, record, self._clock, begin)
                self._reports.append(ReportAppender(group))

    def _by_population(self, gids: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield each population that spiked, with the places of its spikes, in order."""
        small = np.uint16 if self._first.size < 2**16 else np.int64
        owners = (np.searchsorted(self._first, gids, side="right") - 1).astype(small)
        order = np.argsort(owners, kind="stable")
        counts = np.bincount(owners, minlength=self._first.size)
        ends = np.cumsum(counts)
        for index in np.flatnonzero(counts):
            yield int(index), order[ends[index] - counts[index] : ends[index]]

    def _write(self, rest: bool) -> None:
        """Write whole chunks, and the rest as well if asked, as one change of the file."""
        appenders: list[SpikeAppender | ReportAppender] = [*self._spikes.values(), *self._reports]
        due = [a for a in appenders if a.due_bytes(rest)]
        if not due:
            return
        self._space.reserve(sum(a.due_bytes(rest) for a in due))
        for appender in due:
            appender.write(rest)
        self._file.flush()

    def _close(self, status: str) -> None:
        for appender in self._spikes.values():
            appender.close()
        run = self._file[schema.RUN]
        if status != "running":
            run.attrs["finished"] = schema.now()
        self._file.flush()
        run.attrs["status"] = status
        self._file.close()
        self._space.release()

    def _abandon(self) -> None:
        """Close the file although it cannot be written any more."""
        with suppress(OSError, RuntimeError):
            self._file.close()

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Turn an error of the system into one that names the file and the remedy."""
        try:
            yield
        except OutputError:
            raise
        except (OSError, RuntimeError) as error:
            raise OutputError(
                f"output {self.path!r} cannot be written: {_cause(error)}. "
                "Free some space or choose another place; what was written before is readable."
            ) from error


def check_output(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise what creating the file would raise, and leave everything as it is.

    Parameters
    ----------
    path : str or path
        The file.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    OutputError
        When the file exists, or its folder does not or cannot be written.
    """
    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise OutputError(f"output {path!r}: there is no folder {folder!r}. Create it first.")
    if os.path.isdir(path):
        raise OutputError(f"output {path!r} is a folder, must be the name of a file")
    if os.path.exists(path) and not overwrite:
        raise OutputError(
            f"output {path!r} exists. Pass overwrite=True or --overwrite to replace it."
        )
    if not os.access(folder, os.W_OK):
        raise OutputError(f"output {path!r}: folder {folder!r} cannot be written. Choose another.")


def _create(path: str, overwrite: bool) -> h5py.File:
    """Create the file, and fail if another has just done so."""
    import h5py

    check_output(path, overwrite)
    try:
        if overwrite and os.path.exists(path):
            os.unlink(os.path.realpath(path))
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        return h5py.File(path, "w")
    except FileExistsError:
        raise OutputError(
            f"output {path!r} exists. Pass overwrite=True or --overwrite to replace it."
        ) from None
    except OSError as error:
        raise OutputError(
            f"output {path!r} cannot be created: {_cause(error)}. Choose another place."
        ) from error


def _cause(error: Exception) -> str:
    """Return the reason that the system or HDF5 gave, in a few words."""
    code = getattr(error, "errno", None)
    return os.strerror(code) if code else str(error)
