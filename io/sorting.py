"""Spikes in any order, sorted by time and then id in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Spikes: TypeAlias = tuple[NDArray[np.float64], NDArray[np.uint64]]

# Spikes that are sorted in memory at a time; every so many of them one is remembered
_RUN, _STRIDE = 2**20, 2**10


class SortedSpikes:
    """Spikes of any number, sorted by time and then id; iterate to get them in blocks.

    The spikes are sorted in runs that fit into memory, and the runs put into a temporary file. A
    sample of each run tells which of its rows the next block can need, so a block takes a stretch
    of every run, sorts them, and gives out what no later row precedes. Memory holds copies of a
    million spikes, up to a thousand of each run and one in a thousand of all: 150 MB at 10^8
    spikes, where the file takes 1.6 GB. The file has no name, so that a kill leaves nothing behind.

    Parameters
    ----------
    blocks : iterable of (ndarray of float64, ndarray of uint64)
        Times, which must be finite, and ids of some spikes; all are taken at once.
    folder : str
        Where the temporary file lies.

    Attributes
    ----------
    size : int
        Number of spikes.

    Raises
    ------
    OSError
        When the disk is full or the folder cannot be written.
    """

    def __init__(self, blocks: Iterable[Spikes], folder: str) -> None:
        self.size = 0
        self._sizes: list[int] = []
        self._samples: list[Spikes] = []
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        try:
            for times, ids in _runs(blocks):
                self._keep(*sort(times, ids))
            self._file.flush()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Spikes]:
        if not self.size:
            return
        counts = [times.size for times, _ in self._samples]
        times, ids = _joined(self._samples)
        owners = np.repeat(np.arange(len(counts)), counts)
        order = np.lexsort((ids, times))
        step = _RUN // _STRIDE
        taken, seen = np.zeros((2, len(counts)), dtype=np.int64)
        left: Spikes = times[:0], ids[:0]
        for begin in range(0, order.size, step):
            group = order[begin : begin + step]
            seen += np.bincount(owners[group], minlength=len(counts))

            # Of each run, what is not after the last sample ends before its next sample
            ends = np.minimum((seen + 1) * _STRIDE, self._sizes)
            stretches = [
                self._read(int(k), taken[k], ends[k]) for k in np.flatnonzero(ends > taken)
            ]
            taken = ends
            some_times, some_ids = sort(*_joined([left, *stretches]))
            cut = _count_until(some_times, some_ids, times[group[-1]], ids[group[-1]])
            left = some_times[cut:].copy(), some_ids[cut:].copy()
            yield some_times[:cut], some_ids[:cut]

    def _keep(self, times: NDArray[np.float64], ids: NDArray[np.uint64]) -> None:
        """Put a sorted run into the file, and remember a sample with its last spike."""
        self._file.write(times.data)
        self._file.write(ids.data)
        rows = np.arange(_STRIDE - 1, times.size + _STRIDE - 1, _STRIDE)
        rows[-1] = times.size - 1
        self._samples.append((times[rows], ids[rows]))
        self._sizes.append(times.size)
        self.size += times.size

    def _read(self, run: int, begin: int, end: int) -> Spikes:
        """Return some rows of a run."""
        start = 16 * sum(self._sizes[:run]) + 8 * begin
        self._file.seek(start)
        times = np.fromfile(self._file, np.float64, end - begin)
        self._file.seek(start + 8 * self._sizes[run])
        return times, np.fromfile(self._file, np.uint64, end - begin)


def sort(times: NDArray[np.float64], ids: NDArray[np.uint64]) -> Spikes:
    """Return spikes sorted by time and then id, in memory."""
    order = np.argsort(times)
    times, ids = times[order], ids[order]

    # Sort the ids of equal times, with the number of the time in the bits above the id
    number = np.zeros(times.size, dtype=np.uint64)
    np.cumsum(times[1:] != times[:-1], out=number[1:])
    bits = int(ids.max(initial=0)).bit_length()
    if bits + int(number[-1:].max(initial=0)).bit_length() > 64:
        order = np.lexsort((ids, times))
        return times[order], ids[order]
    number <<= np.uint64(bits)
    number |= ids
    number.sort()
    number &= np.uint64((1 << bits) - 1)
    return times, number


def _runs(blocks: Iterable[Spikes]) -> Iterator[Spikes]:
    """Yield blocks of any size put together, or cut, to what is sorted in memory."""
    waiting: list[Spikes] = []
    size = 0
    for times, ids in blocks:
        for begin in range(0, times.size, _RUN):
            some = slice(begin, begin + _RUN)
            if size + times[some].size > _RUN:
                yield _joined(waiting)
                waiting, size = [], 0
            waiting.append((times[some], ids[some]))
            size += times[some].size
    if size:
        yield _joined(waiting)


def _joined(blocks: list[Spikes]) -> Spikes:
    times, ids = zip(*blocks, strict=True)
    return np.concatenate(times), np.concatenate(ids)


def _count_until(
    times: NDArray[np.float64], ids: NDArray[np.uint64], time: np.float64, node: np.uint64
) -> int:
    """Return how many of some sorted spikes are not after another."""
    first, last = np.searchsorted(times, time, "left"), np.searchsorted(times, time, "right")
    return int(first + np.searchsorted(ids[first:last], node, "right"))
