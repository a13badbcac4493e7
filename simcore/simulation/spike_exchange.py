"""The exchange of spikes between ranks: one synchronised buffer per rank and epoch."""

from __future__ import annotations

from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from simcore.numerics.jit import njit
from simcore.numerics.spikes import NO_SPIKES, Spikes
from simcore.services.comm import Comm

_SMALLEST = 62
_WINDOW = 1024
_SAMPLE = 32


class SpikeExchange:
    """Gives every rank the spikes of all others, once per epoch.

    The buffers have the same size on all ranks: the number of spikes, then as many spikes as
    usually occur. When a rank has more, all ranks see its number and fetch the spikes in a second
    round, so none is lost. The size follows the largest number of the last epochs.

    Parameters
    ----------
    comm : Comm
        The ranks.

    Attributes
    ----------
    seconds : float
        Time spent so far [s].
    waiting_share : float
        Share of it that was waiting for the slowest rank, measured with a barrier at every 32nd
        meeting.
    n_meetings : int
        Number of exchanges.
    overflows : int
        Number of second rounds.
    n_spikes : int
        Spikes of all ranks that were exchanged so far, the same on all of them.
    """

    def __init__(self, comm: Comm) -> None:
        self._comm = comm
        self._out = NO_SPIKES
        self._peak = 0
        self.n_meetings = self.n_spikes = 0
        self._sampled = [0.0, 0.0]
        self.seconds = 0.0
        self.overflows = 0
        self._resize(_SMALLEST)

    @property
    def waiting_share(self) -> float:
        """Share of the time that was waiting for the slowest rank."""
        total = sum(self._sampled)
        return self._sampled[0] / total if total > 0.0 else 0.0

    def warm_up(self) -> None:
        """Compile, and meet the other ranks once without anything to say."""
        self.wait()
        self.n_meetings = 0
        self._sampled = [0.0, 0.0]
        self.seconds = 0.0

    def start(self, spikes: Spikes) -> None:
        """Hand over the spikes of an epoch; the others have them after the next `wait`."""
        self._out = spikes
        if self._comm.size == 1:
            self.n_spikes += spikes.size

    def wait(self) -> Spikes:
        """Return the other ranks' spikes of the last epoch; all ranks call this together."""
        if self._comm.size == 1:
            return NO_SPIKES
        begin = perf_counter()
        n = self._out.words.size
        self._send[0] = n
        if n <= self._room:
            self._send[1 : n + 1] = self._out.words
        if self.n_meetings % _SAMPLE == 0:
            self._sampled_round()
        else:
            self._comm.allgather_into(self._send, self._receive)
        spikes = self._unpack()
        self.n_spikes += n + spikes.size
        self._out = NO_SPIKES
        self.n_meetings += 1
        self._adapt()
        self.seconds += perf_counter() - begin
        return spikes

    def _sampled_round(self) -> None:
        """Exchange the buffers, with waiting timed apart from transport."""
        begin = perf_counter()
        self._comm.barrier()
        met = perf_counter()
        self._comm.allgather_into(self._send, self._receive)
        self._sampled[0] += met - begin
        self._sampled[1] += perf_counter() - met

    def _unpack(self) -> Spikes:
        width = self._room + 1
        largest, total = _unpack(self._receive, width, self._comm.rank, self._words)
        self._peak = max(self._peak, largest)
        if largest <= self._room:
            return Spikes(self._out.origin, self._words[:total])
        return self._second_round(self._receive[::width].copy())

    def _second_round(self, counts: NDArray[np.int64]) -> Spikes:
        self.overflows += 1
        received = np.empty(int(counts.sum()), dtype=np.int64)
        self._comm.allgatherv_into(self._out.words, received, counts)
        own = int(counts[: self._comm.rank].sum())
        words = np.delete(received, slice(own, own + self._out.words.size))
        return Spikes(self._out.origin, words)

    def _adapt(self) -> None:
        """Let the size of the buffers follow the numbers of spikes, in step on all ranks."""
        if self._peak > self._room:
            self._resize(self._peak)
        elif self.n_meetings % _WINDOW == 0:
            if 4 * self._peak < self._room:
                self._resize(self._peak)
            self._peak = 0

    def _resize(self, n_spikes: int) -> None:
        """Make room for 1.5 times that many spikes of each rank."""
        self._room = max(_SMALLEST, n_spikes + n_spikes // 2)
        self._send = np.zeros(self._room + 1, dtype=np.int64)
        self._receive = np.zeros((self._room + 1) * self._comm.size, dtype=np.int64)
        self._words = np.zeros(self._room * self._comm.size, dtype=np.int64)


@njit
def _unpack(received, width, rank, words):
    """Copy the spikes of all other ranks; return the largest number of a rank, and the total."""
    largest = total = 0
    for r in range(received.size // width):
        n = received[r * width]
        largest = max(largest, n)
        if r != rank and n < width:
            for i in range(n):
                words[total + i] = received[r * width + 1 + i]
            total += n
    return largest, total
