"""The recorder: collects spikes and samples of all ranks and hands them to the writer."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simcore.clock import Clock, Epoch
from simcore.comm import Comm
from simcore.errors import OutputError
from simcore.io.schema import SPIKE_TYPE, first_sample, recorded_span, sample_interval
from simcore.local import LocalNeurons
from simcore.network import Network, Record
from simcore.spikes import GID_BITS, Spikes

# A spike on its way to rank 0: step since the last flush in the high 16 bits, gid in the low 47
_SHIFT = GID_BITS - 1
_MAX_WINDOW = 2**15


class Sampler(Protocol):
    """What the recorder needs of a backend."""

    def samples(self) -> list[NDArray[np.floating]]:
        """Return and forget the samples, one array (n_samples, n) for each probe [mV]."""


class Writer(Protocol):
    """What the recorder needs of a writer."""

    def append(
        self,
        end: int,
        steps: NDArray[np.int64],
        gids: NDArray[np.int64],
        potentials: Sequence[NDArray[np.floating]],
    ) -> None:
        """Take all that was recorded since the last call, up to the step `end`."""


def probes(
    network: Network, neurons: LocalNeurons, clock: Clock
) -> list[tuple[NDArray[np.int64], int]]:
    """Return what a rank has to sample: for each record of V_m the lids and the interval.

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
    list of (ndarray of int64, int)
        Local ids in ascending order, and steps between two samples.

    Raises
    ------
    ModelError
        When an interval is not a multiple of the time step.
    """
    records = [r for r in network.records if r.variable == "V_m"]
    return [(_lids(r, neurons), sample_interval(r, clock)) for r in records]


def _lids(record: Record, neurons: LocalNeurons) -> NDArray[np.int64]:
    first = record.target.population.first
    start, stop, step = recorded_span(record)
    begin, end = neurons.lid_range((first + start, first + stop))
    lids = np.arange(begin, end, dtype=np.int64)
    return lids[(neurons.gids[begin:end] - first - start) % step == 0]


class Recorder:
    """Collects what the ranks emit and hands it, in one order, to the writer on rank 0.

    Spikes wait on each rank until the next flush. A flush merges the spikes of one window of
    steps, so the order by step and then id holds over the whole run, whatever the number of ranks.
    Making one, `flush`, `close` and the `record` that triggers a flush are collective.

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
        Steps from one flush to the next; at most 2**15 are taken.
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
        Global ids of the neurons of this rank that spiked before the last flush, once per spike.
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
        self._first = np.array([p.first for p in network.populations], dtype=np.int64)
        self._spans = _recorded_gids(network)
        self._columns = _Columns.plan(network, clock, neurons, comm)
        self.spike_counts = np.zeros(self._first.size, dtype=np.int64)
        self.emitted = np.zeros(self._first.size, dtype=np.int64)
        self.latest = np.zeros(0, dtype=np.int64)
        self.seconds = 0.0
        self.bytes = 0

    def record(self, epoch: Epoch, spikes: Spikes) -> None:
        """Take the spikes of one epoch; every `flush_every` steps, flush.

        Parameters
        ----------
        epoch : Epoch
            Begins where the last one ended.
        spikes : Spikes
            What the neurons of this rank emitted; kept until the flush, not copied.

        Raises
        ------
        OutputError
            On all ranks, when rank 0 cannot write.
        """
        if not self._pending:
            self._begin = epoch.begin
            self._next = epoch.begin + self._flush_every
        self._pending.append(spikes)
        self._end = epoch.end
        if epoch.end >= self._next:
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
        words = np.concatenate([s.words for s in pending])
        origins = np.repeat([s.origin for s in pending], [s.size for s in pending])
        spikes = Spikes(0, words)
        steps, gids = spikes.steps + origins, spikes.gids
        owners = np.searchsorted(self._first, gids, side="right") - 1
        self.emitted += np.bincount(owners, minlength=self._first.size)
        self.latest = gids
        if self._begin < self._record_from:
            late = steps >= self._record_from
            steps, gids, owners = steps[late], gids[late], owners[late]
        self.spike_counts += np.bincount(owners, minlength=self._first.size)
        start, stop, step = (bound[owners] for bound in self._spans)
        chosen = (gids >= start) & (gids < stop) & ((gids - start) % step == 0)
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
        merged = np.concatenate(words)
        if len(words) > 1:
            merged.sort()
        steps, gids = self._begin + (merged >> _SHIFT), merged & (2**_SHIFT - 1)
        writer.append(self._end, steps, gids, samples)


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
        """Return the plan for each record of V_m; collective."""
        plans = []
        records = [r for r in network.records if r.variable == "V_m"]
        for record, (lids, interval) in zip(records, probes(network, neurons, clock), strict=True):
            first = record.target.population.first
            start, _, step = recorded_span(record)
            owned = comm.gather_array((neurons.gids[lids] - first - start) // step)
            plans.append(cls(interval, record.dtype, record.target.size, owned or []))
        return plans

    def assemble(self, n_samples: int, parts: list[NDArray[np.floating]]) -> NDArray[np.floating]:
        """Return the rows of all neurons, shape (n_samples, n_neurons); NaN in a rehearsal."""
        rows = np.full((n_samples, self._n), np.nan, dtype=self.dtype)
        for places, part in zip(self._places, parts, strict=True):
            rows[:, places] = part.reshape(n_samples, places.size)
        return rows


def _recorded_gids(network: Network) -> NDArray[np.int64]:
    """Return start, stop and step of the recorded gids of each population, shape (3, n)."""
    spans = np.zeros((3, len(network.populations)), dtype=np.int64)
    spans[2] = 1
    for record in network.records:
        if record.variable == "spikes":
            population = record.target.population
            start, stop, step = recorded_span(record)
            spans[:, population.id] = population.first + start, population.first + stop, step
    return spans
