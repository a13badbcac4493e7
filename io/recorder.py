"""The recorder: collects spikes and samples of all ranks and hands them to the writer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simcore.description.ids import Ids, as_array
from simcore.description.network import Network
from simcore.description.records import Record
from simcore.io.recorded import recorded_nodes
from simcore.io.reports import first_sample, sample_interval
from simcore.io.schema import SPIKE_TYPE
from simcore.numerics.clock import Clock, Epoch
from simcore.numerics.spikes import GID_BITS, Spikes
from simcore.services.comm import Comm
from simcore.services.errors import OutputError
from simcore.shards.local_neurons import LocalNeurons
from simcore.shards.recording_buffers import FLUSH_BYTES, WORD_BYTES, sampled_bytes

# A spike on its way to rank 0: step since the last flush in the high 16 bits, gid in the low 47
_SHIFT = GID_BITS - 1
_MAX_WINDOW = 2**15

# Spikes that a rank looks at together
_BATCH = 2**17


class Sampler(Protocol):
    """What the recorder needs of a backend."""

    def samples(self) -> list[NDArray[np.floating]]:
        """Return and forget the samples, one array (n_samples, n) for each probe."""


class Writer(Protocol):
    """What the recorder needs of a writer."""

    def append(
        self,
        end: int,
        steps: NDArray[np.int64],
        gids: NDArray[np.int64],
        samples: Sequence[NDArray[np.floating]],
    ) -> None:
        """Take all that was recorded since the last call, up to the step `end`."""


def probes(
    network: Network, neurons: LocalNeurons, clock: Clock
) -> list[tuple[NDArray[np.int64], int, str]]:
    """Return what a rank has to sample: for each record its lids, interval and column.

    Parameters
    ----------
    network : Network
        The model.
    neurons : LocalNeurons
        The neurons of the rank.
    clock : Clock
        The grid of time.

    Returns
    -------
    list of (ndarray of int64, int, str)
        Local ids in ascending order, steps between two samples, and the column.

    Raises
    ------
    ModelError
        When an interval is not a multiple of the time step.
    """
    return [(_lids(r, neurons), sample_interval(r, clock), r.variable) for r in network.sampled]


def _lids(record: Record, neurons: LocalNeurons) -> NDArray[np.int64]:
    return as_array(neurons.lids(record.target.ids))


class Recorder:
    """Collects what the ranks emit and hands it, in one order, to the writer on rank 0.

    Spikes wait on each rank until the next flush: when some steps have passed, or when what all
    ranks keep reaches `simcore.shards.recording_buffers.FLUSH_BYTES`. A flush merges the spikes of
    one window of steps, so the order by step and then id holds over the whole run, whatever the
    number of ranks. Making one, `flush`, `close` and the `record` that triggers a flush are
    collective.

    Parameters
    ----------
    network : Network
        The model.
    clock : Clock
        The grid of time.
    neurons : LocalNeurons
        The neurons of this rank.
    comm : Comm
        The ranks.
    writer : RunWriter or None
        Where it goes; None on all ranks but 0, and on 0 if nothing is kept.
    backend : Backend
        Whose probes are those of `probes`.
    record_from_step : int
        Nothing that ends before or with the begin of this step is recorded or counted.
    flush_every : int
        Most steps from one flush to the next; at most 2**15 are taken.
    write_from_step : int
        Nothing before this step is handed to the writer, which has it already; it is counted.

    Attributes
    ----------
    spike_counts : ndarray of int64, shape (n_populations,)
        Spikes of every population from `record_from_step` on, of this rank up to the last flush;
        after `close` those of all ranks.
    emitted : ndarray of int64, shape (n_populations,)
        The same from the first epoch on.
    latest : ndarray of int64, shape (n_spikes,)
        Global ids of the neurons of this rank that spiked last before the last flush, once per
        spike; at most 2**17.
    bytes : int
        What this rank has recorded, as it is in the file [B].
    seconds : float
        Wall-clock time spent in flushes, with the wait for other ranks in them [s].
    """

    def __init__(
        self,
        network: Network,
        clock: Clock,
        neurons: LocalNeurons,
        comm: Comm,
        writer: Writer | None,
        backend: Sampler,
        record_from_step: int,
        flush_every: int,
        write_from_step: int = 0,
    ) -> None:
        self._comm, self._writer, self._backend = comm, writer, backend
        self._record_from = record_from_step
        self._write_from = max(record_from_step, write_from_step)
        self._flush_every = min(max(flush_every, 1), _MAX_WINDOW)
        self._pending: list[Spikes] = []
        self._begin = self._end = self._next = 0
        self._emitted = self._flushed = 0
        self._sampled = sampled_bytes(network, clock)
        self._first = np.array([p.first for p in network.populations], dtype=np.int64)
        self._spans, self._lists = _recorded_gids(network)
        self._columns = _Columns.plan(network, clock, neurons, comm)
        self.spike_counts = np.zeros(self._first.size, dtype=np.int64)
        self.emitted = np.zeros(self._first.size, dtype=np.int64)
        self.latest = np.zeros(0, dtype=np.int64)
        self.seconds = 0.0
        self.bytes = 0

    def record(self, epoch: Epoch, spikes: Spikes, emitted: int = 0) -> None:
        """Take the spikes of one epoch; flush when many wait, or after `flush_every` steps.

        Parameters
        ----------
        epoch : Epoch
            Begins where the last one ended.
        spikes : Spikes
            What the neurons of this rank emitted; kept until the flush, not copied.
        emitted : int
            Spikes of all ranks so far, as far as all of them know; it tells how many wait.

        Raises
        ------
        OutputError
            On all ranks, when rank 0 cannot write.
        """
        if not self._pending:
            self._begin = epoch.begin
            self._next = epoch.begin + self._flush_every
        self._pending.append(spikes)
        self._end, self._emitted = epoch.end, emitted
        spikes_wait = WORD_BYTES * (emitted - self._flushed)
        waiting = spikes_wait + self._sampled * (epoch.end - self._begin)
        if epoch.end >= self._next or waiting >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand to the writer what has come since the last flush.

        Raises
        ------
        OutputError
            On all ranks, when rank 0 cannot write.
        """
        if not self._pending:
            return
        begin = perf_counter()
        self._flushed = self._emitted
        self._flush()
        self.seconds += perf_counter() - begin

    def _flush(self) -> None:
        words = self._comm.gather_array(self._take_words())
        samples = self._take_samples()
        failure: Exception | None = None
        if self._writer is not None and words is not None:
            try:
                self._write(self._writer, words, samples)
            except Exception as error:
                failure = error
        text = self._comm.bcast(None if failure is None else str(failure) or repr(failure))
        if isinstance(failure, OutputError):
            raise failure
        if text is not None:
            raise OutputError(text) from failure

    def close(self) -> None:
        """Flush, and add up the spikes of all ranks.

        Raises
        ------
        OutputError
            On all ranks, when rank 0 cannot write.
        """
        self.flush()
        self.spike_counts = self._comm.allreduce_sum(self.spike_counts)

    def _take_words(self) -> NDArray[np.int64]:
        """Return the recorded spikes of this rank, sorted, and count all."""
        pending, self._pending = self._pending, []
        self.latest = self.latest[:0]
        taken = np.empty(sum(spikes.size for spikes in pending), dtype=np.int64)
        n = 0
        for batch in _batches(pending):
            words = self._take(batch)
            taken[n : n + words.size] = words
            n += words.size
        return taken[:n]

    def _take(self, batch: list[Spikes]) -> NDArray[np.int64]:
        """Return which of some spikes are recorded, and count all."""
        words = np.concatenate([s.words for s in batch])
        origins = np.repeat([s.origin for s in batch], [s.size for s in batch])
        spikes = Spikes(0, words)
        steps, gids = spikes.steps + origins, spikes.gids
        owners = np.searchsorted(self._first, gids, side="right") - 1
        self.emitted += np.bincount(owners, minlength=self._first.size)
        self.latest = gids if gids.size else self.latest
        if self._begin < self._record_from:
            late = steps >= self._record_from
            steps, gids, owners = steps[late], gids[late], owners[late]
        self.spike_counts += np.bincount(owners, minlength=self._first.size)
        start, stop, step = (bound[owners] for bound in self._spans)
        chosen = (gids >= start) & (gids < stop) & ((gids - start) % step == 0)
        for ids in self._lists:
            begin, end = ids.span
            within = np.flatnonzero((begin <= gids) & (gids < end))
            chosen[within] = ids.contains(gids[within])
        chosen &= steps >= self._write_from
        self.bytes += SPIKE_TYPE.itemsize * int(np.count_nonzero(chosen))
        return (steps[chosen] - self._begin) << _SHIFT | gids[chosen]

    def _take_samples(self) -> list[NDArray[np.floating]]:
        """Return the samples of all neurons, one array for each record; empty but on rank 0."""
        if not self._columns:
            return []
        rows = []
        for columns, local in zip(self._columns, self._backend.samples(), strict=True):
            skip = first_sample(self._write_from, columns.interval)
            skip -= first_sample(self._begin, columns.interval)
            late = local[max(skip, 0) :].astype(columns.dtype, copy=False)
            self.bytes += late.nbytes
            parts = self._comm.gather_array(np.ascontiguousarray(late).ravel())
            if parts is not None:
                rows.append(columns.assemble(len(late), parts))
        return rows

    def _write(
        self, writer: Writer, words: list[NDArray[np.int64]], samples: list[NDArray[np.floating]]
    ) -> None:
        merged = np.concatenate(words) if len(words) > 1 else words[0]
        if len(words) > 1:
            words.clear()
            merged.sort()
        gids = merged & (2**_SHIFT - 1)
        merged >>= _SHIFT
        merged += self._begin
        writer.append(self._end, merged, gids, samples)


class _Columns:
    """Where the samples of each rank belong in the rows of one record."""

    def __init__(
        self, interval: int, dtype: str, n_neurons: int, places: list[NDArray[np.int64]]
    ) -> None:
        self.interval = interval
        self.dtype = dtype
        self._n = n_neurons
        self._places = places

    @classmethod
    def plan(
        cls, network: Network, clock: Clock, neurons: LocalNeurons, comm: Comm
    ) -> list[_Columns]:
        """Return the plan for each record of a column; collective."""
        plans = []
        found = zip(network.sampled, probes(network, neurons, clock), strict=True)
        for record, (lids, interval, _) in found:
            place = record.target.ids.ascending.position(neurons.gids[lids])
            owned = comm.gather_array(place)
            plans.append(cls(interval, record.dtype, record.target.size, owned or []))
        return plans

    def assemble(self, n_samples: int, parts: list[NDArray[np.floating]]) -> NDArray[np.floating]:
        """Return the rows of all neurons, shape (n_samples, n_neurons); NaN in a rehearsal."""
        rows = np.full((n_samples, self._n), np.nan, dtype=self.dtype)
        for places, part in zip(self._places, parts, strict=True):
            rows[:, places] = part.reshape(n_samples, places.size)
        return rows


def _batches(pending: list[Spikes]) -> Iterator[list[Spikes]]:
    """Yield the spikes of neighbouring epochs in batches of bounded size."""
    batch: list[Spikes] = []
    n = 0
    for spikes in pending:
        for begin in range(0, max(spikes.size, 1), _BATCH):
            part = Spikes(spikes.origin, spikes.words[begin : begin + _BATCH])
            if n + part.size > _BATCH:
                yield batch
                batch, n = [], 0
            batch.append(part)
            n += part.size
    yield batch


def _recorded_gids(network: Network) -> tuple[NDArray[np.int64], list[Ids]]:
    """Return start, stop and step of the recorded gids of each population, and those listed."""
    spans = np.zeros((3, len(network.populations)), dtype=np.int64)
    spans[2] = 1
    lists = []
    for record in network.records:
        if not record.is_sampled:
            ids, nodes = record.target.ids, recorded_nodes(record)
            if isinstance(nodes, range):
                first = record.target.population.first
                span = first + nodes.start, first + nodes.stop, nodes.step
                spans[:, record.target.population.id] = span
            else:
                lists.append(ids)
    return spans, lists
