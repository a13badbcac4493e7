"""The writer of a run; it lives on rank 0."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from types import TracebackType
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from simcore.description.network import Network
from simcore.io import reports, schema
from simcore.io.access import open_file
from simcore.io.atomic_file import atomic_file, make_folder
from simcore.io.integrity import write_digests
from simcore.io.packing import pack_locked
from simcore.io.parts import (
    Lock,
    Part,
    check_output,
    list_parts,
    part_path,
    parts_folder,
    remove_parts,
    remove_run,
)
from simcore.io.recorded import recorded_of
from simcore.numerics.clock import Clock
from simcore.services.errors import OutputError, StoppedError, cause, remedy

# What waits in memory is written when it is so large [B] or so old [s]: the larger of a number and
# a share of what was written, or passed, so far; so that long runs do not leave many small files
PART_BYTES, MOST_BYTES = 2**23, 2**26
PART_SECONDS = 2.0
PART_SHARE = 0.01

# Spikes that are written at a time
_BLOCK = 2**17
Block = tuple[NDArray[np.float64], NDArray[np.int64]]

# Space for the descriptions in a file, for each dataset [B]
_OVERHEAD = 2**12


class ResumeInfo(Protocol):
    """What the writer needs to know of a run that it continues."""

    @property
    def uuid(self) -> str:
        """Name of the run."""

    @property
    def begin(self) -> int:
        """The end of what is in the output file itself [steps]."""

    @property
    def recorded(self) -> int:
        """The end of what is in the parts that are valid [steps]."""

    @property
    def has_header(self) -> bool:
        """Whether the output file is readable; if not, it is put aside and written anew."""


class RunWriter:
    """Writes one run, as it goes.

    The output file is there from the start with the description of the run. What is recorded is
    written beside it in parts, see `simcore.io.parts`, so nothing that was written is ever changed,
    and a kill at any moment loses only what waits in memory. `finish` puts everything into the
    output file. When the block is left by an error, what waits is written, and the status becomes
    "failed" with the message in the attribute `error`, or "stopped" after a `StoppedError` or a
    `KeyboardInterrupt`.

    Parameters
    ----------
    path : str or path
        The output file.
    network : Network
        The model.
    clock : Clock
        The grid of time.
    config : dict
        The options of the run: `duration` [ms], and where they apply `record_from` [ms],
        `n_ranks` and `hosts`; anything else is kept with them.
    overwrite : bool
        Whether an existing file is replaced.
    going_on : ResumeInfo, optional
        Continue an existing file instead.

    Attributes
    ----------
    uuid : str
        Name of the run.
    end : int
        Everything recorded before this step is in the files.

    Raises
    ------
    OutputError
        When the file exists or cannot be created, or another process writes it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        network: Network,
        clock: Clock,
        config: dict[str, Any],
        overwrite: bool = False,
        going_on: ResumeInfo | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self._real = os.path.realpath(path)
        self._clock, self._config = clock, config
        self._names = [p.name for p in network.populations]
        self._first = np.array([p.first for p in network.populations], dtype=np.int64)
        self._nodes, self._samples = recorded_of(network), reports.samples_of(network, clock)
        self._forget()
        self._written_bytes = 0
        if going_on is not None:
            self._reopen(network, going_on)
        else:
            self._create(network, overwrite)
        self._began = self._written = monotonic()

    def append(
        self,
        end: int,
        steps: NDArray[np.int64],
        gids: NDArray[np.int64],
        samples: Sequence[NDArray[np.floating]] = (),
    ) -> None:
        """Take all that was recorded since the last call.

        Parameters
        ----------
        end : int
            The step up to which this is all.
        steps, gids : ndarray of int64, shape (n_spikes,)
            Step and global id of the spikes of recorded neurons, sorted by step and then id.
        samples : sequence of ndarray, shape (n_samples, n_neurons)
            For each record of a column the values of its neurons, ascending by id.

        Raises
        ------
        OutputError
            When it cannot be written.
        """
        if gids.size:
            self._spikes.append((steps, gids))
        for waiting, rows in zip(self._rows, samples, strict=bool(samples)):
            if len(rows):
                waiting.append(rows)
        self._bytes += 2 * steps.nbytes + sum(rows.nbytes for rows in samples)
        self._reached = end
        now = monotonic()
        patience = max(PART_SECONDS, PART_SHARE * (now - self._began))
        large = min(MOST_BYTES, max(PART_BYTES, PART_SHARE * self._written_bytes))
        if self._bytes >= large or now > self._written + patience:
            self.commit()

    def commit(self) -> None:
        """Write what waits, so that it is safe when this returns.

        Raises
        ------
        OutputError
            When it cannot be written.
        """
        if self._reached > self.end:
            with self._reporting():
                self._write_part(self._reached, "running")

    def finish(
        self,
        spike_counts: NDArray[np.integer],
        timers: Mapping[str, NDArray[np.floating]],
        shards: Mapping[str, NDArray[np.integer]],
        model_time: float | None = None,
    ) -> None:
        """Write what waits and the results of the run, and make one file of it.

        Parameters
        ----------
        spike_counts : ndarray of int, shape (n_populations,)
            Spikes of every population from `record_from` on, recorded or not.
        timers : mapping of str to ndarray, shape (n_ranks,)
            Time spent in each phase [s].
        shards : mapping of str to ndarray, shape (n_ranks,)
            What each rank owned: `n_neurons`, `n_synapses`, `bytes`.
        model_time : float, optional
            How much of the run was timed [ms]; all of it if left out.

        Raises
        ------
        OutputError
            When the file cannot be completed.
        """
        end = self._clock.steps(self._config["duration"], "duration")
        timed = self._config["duration"] if model_time is None else model_time
        results = schema.Results(spike_counts, timers, shards, timed)
        with self._reporting():
            self._write_part(max(end, self._reached), "complete", results=results)
            # Complete from here on, even if there is no space to make one file of it
            self._open = False
            try:
                pack_locked(self._real)
            finally:
                self._lock.release()

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._open:
            return
        failure = None
        try:
            self.commit()
        except OutputError as later:
            failure = later
            self._forget()
        try:
            reason = error or failure
            if reason is not None:
                asked = isinstance(reason, (StoppedError, KeyboardInterrupt))
                status = "stopped" if asked else "failed"
                with self._reporting():
                    self._write_part(self.end, status, error=reason)
        except OutputError as later:
            failure = failure or later
        self._lock.release()
        self._open = False
        if error is None and failure is not None:
            raise failure

    def _create(self, network: Network, overwrite: bool) -> None:
        """Create the output file, and the folder of its parts."""
        check_output(self.path, overwrite)
        self.end = self._reached = 0
        self.uuid = str(uuid4())
        try:
            if overwrite:
                remove_run(self._real)
            make_folder(parts_folder(self._real))
            self._lock = Lock(self._real)
            remove_parts(self._real, keep=[])
            self._write_header(network)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            remove_parts(self._real)
            raise OutputError(
                f"output {self.path!r} cannot be created: {cause(error)}. "
                f"{remedy(error)} or choose another place."
            ) from error
        except BaseException:
            remove_parts(self._real)
            raise
        self._open = True

    def _reopen(self, network: Network, going_on: ResumeInfo) -> None:
        """Go on at the end of what is recorded."""
        self.uuid, self.end = going_on.uuid, going_on.recorded
        self._reached = self.end
        with self._reporting():
            make_folder(parts_folder(self._real))
            self._lock = Lock(self._real)
            try:
                kept = [p for p in list_parts(self._real, going_on.begin) if p.end <= self.end]
                self._require_unchanged(going_on, kept)
                if not going_on.has_header:
                    with suppress(FileNotFoundError):
                        os.replace(self._real, f"{self._real}.damaged")
                    self._write_header(network)
                remove_parts(self._real, keep=kept)
                self._write_part(self.end, "running")
            except BaseException:
                self._lock.release()
                raise
        self._open = True

    def _require_unchanged(self, going_on: ResumeInfo, kept: list[Part]) -> None:
        """Raise `OutputError` if another process wrote the run between our look and our lock."""
        same = going_on.recorded == (kept[-1].end if kept else going_on.begin)
        if going_on.has_header:
            with open_file(self._real) as file:
                found = file[schema.RUN].attrs
                same = same and found["uuid"] == going_on.uuid and found["end"] == going_on.begin
        if not same:
            raise OutputError(
                f"output {self.path!r} was changed by another process meanwhile. Try again."
            )

    def _write_header(self, network: Network) -> None:
        """Write the output file without data."""
        size = _OVERHEAD * (2 * len(self._names) + 5 * len(self._samples))
        listed = (nodes for nodes in self._nodes.values() if not isinstance(nodes, range))
        size += sum(nodes.nbytes for nodes in listed)
        size += sum(24 * samples.node_ids.size for samples in self._samples)
        with atomic_file(self._real, size) as file:
            schema.write_header(file, network, self._clock, self._config, self.uuid)
            reports.create_reports(file, network, self._clock, self._record_from)
            write_digests(file)

    def _forget(self) -> None:
        self._spikes: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._rows: list[list[NDArray[np.floating]]] = [[] for _ in self._samples]
        self._bytes = 0

    def _write_part(
        self,
        end: int,
        status: str,
        error: BaseException | None = None,
        results: schema.Results | None = None,
    ) -> None:
        """Write what waits as the part that reaches up to `end`."""
        counts, populations = self._by_population()
        sampled = [(s, rows) for s, rows in zip(self._samples, self._rows, strict=True) if rows]
        n_populations = int(np.count_nonzero(counts))
        size = _OVERHEAD * (2 * n_populations + 5 * len(sampled) + 32) + self._bytes
        size += sum(24 * samples.node_ids.size for samples, _ in sampled)
        with atomic_file(part_path(self._real, self.end, end), size) as file:
            group = schema.write_root(file, self.uuid)
            schema.write_steps(group, self.end, end)
            schema.write_state(group, status, self._config, error)
            for index, blocks in populations:
                # Lists of neurons are in the output file alone
                nodes, n = self._nodes[index], int(counts[index])
                known = nodes if isinstance(nodes, range) else None
                found = schema.create_spikes(file, self._names[index], known, n)
                schema.fill_spikes(found, blocks)
            for samples, rows in sampled:
                first = reports.first_sample(max(self.end, self._record_from), samples.interval)
                report = reports.create_report(file, samples, first, sum(map(len, rows)))
                reports.fill_report(report, rows)
            if results is not None:
                schema.write_results(group, results)
        self.end = end
        self._written = monotonic()
        self._written_bytes += self._bytes
        self._forget()

    @property
    def _record_from(self) -> int:
        return self._clock.steps(self._config.get("record_from") or 0.0, "record_from")

    def _by_population(
        self,
    ) -> tuple[NDArray[np.int64], Iterator[tuple[int, Iterator[Block]]]]:
        """Return the spikes of each population, and yield those of each that spiked, in blocks."""
        none = np.zeros(0, dtype=np.int64)
        steps, gids = (
            np.concatenate([none, *(spikes[k] for spikes in self._spikes)]) for k in range(2)
        )
        # Keep what waits until it is written, but once
        self._spikes = [(steps, gids)] if steps.size else []
        small = np.uint16 if self._first.size < 2**16 else np.int64
        owners = np.empty(gids.size, dtype=small)
        counts = np.zeros(self._first.size, dtype=np.int64)
        for begin in range(0, gids.size, _BLOCK):
            some = np.searchsorted(self._first, gids[begin : begin + _BLOCK], side="right") - 1
            owners[begin : begin + _BLOCK] = some
            counts += np.bincount(some, minlength=counts.size)
        order = np.argsort(owners, kind="stable")
        ends = np.cumsum(counts)

        def blocks(index: int) -> Iterator[Block]:
            for begin in range(int(ends[index] - counts[index]), int(ends[index]), _BLOCK):
                chosen = order[begin : min(begin + _BLOCK, int(ends[index]))]
                yield self._clock.times(steps[chosen] + 1), gids[chosen] - self._first[index]

        return counts, ((index, blocks(index)) for index in np.flatnonzero(counts).tolist())

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Turn an error of the system into one that names the file and the remedy."""
        try:
            yield
        except OutputError:
            raise
        except (OSError, RuntimeError) as error:
            raise OutputError(
                f"output {self.path!r} cannot be written: {cause(error)}. "
                f"{remedy(error)} or choose another place; what was written before is readable."
            ) from error
