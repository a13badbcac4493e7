"""Growing datasets: rows are appended in whole chunks, into space reserved before."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.io.schema import SPIKE_TYPE

if TYPE_CHECKING:
    import h5py

MARGIN = 2**20
_KEEP_SIZE = 1


class ChunkBuffer:
    """Rows that wait in memory until they fill a chunk.

    Parameters
    ----------
    chunk : int
        Rows in a chunk.
    """

    def __init__(self, chunk: int) -> None:
        self._chunk = chunk
        self._parts: list[NDArray[Any]] = []
        self._n = 0

    def add(self, rows: NDArray[Any]) -> None:
        """Append rows; they are kept, not copied."""
        if len(rows):
            self._parts.append(rows)
            self._n += len(rows)

    def due(self, rest: bool) -> int:
        """Return how many rows `take` would return."""
        return self._n if rest else self._n // self._chunk * self._chunk

    def take(self, rest: bool) -> NDArray[Any]:
        """Return and forget the rows of all whole chunks, and the rest as well if asked."""
        n = self.due(rest)
        rows = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self._parts = [rows[n:].copy()] if n < self._n else []
        self._n -= n
        return rows[:n]


class SpikeAppender:
    """Appends spikes to the group of one population.

    Parameters
    ----------
    group : h5py.Group
        With the datasets `timestamps` and `node_ids`.
    """

    def __init__(self, group: h5py.Group) -> None:
        self._group = group
        self._times, self._ids = group["timestamps"], group["node_ids"]
        self._size = int(self._times.shape[0])
        self._buffer = ChunkBuffer(self._times.chunks[0])
        self._sha = hashlib.sha256()

    def add(self, times: NDArray[np.float64], node_ids: NDArray[np.integer]) -> None:
        """Take spikes, sorted by time and then id, none earlier than those before.

        Parameters
        ----------
        times : ndarray of float64, shape (n_spikes,)
            In ms.
        node_ids : ndarray of int, shape (n_spikes,)
            Indices within the population.
        """
        rows = np.empty(times.size, dtype=SPIKE_TYPE)
        rows["time"] = times
        rows["node_id"] = node_ids
        self._buffer.add(rows)

    def due_bytes(self, rest: bool) -> int:
        """Return the size of what `write` would write [B]."""
        return self._buffer.due(rest) * SPIKE_TYPE.itemsize

    def write(self, rest: bool) -> None:
        """Write whole chunks, and the rest as well if asked."""
        rows = self._buffer.take(rest)
        end = self._size + rows.size
        for dataset, name in ((self._times, "time"), (self._ids, "node_id")):
            dataset.resize((end,))
            dataset[self._size : end] = rows[name]
        self._size = end
        self._sha.update(rows.view(np.uint8).data)

    def close(self) -> None:
        """Write the digest of the spikes in the file."""
        self._group.attrs["digest"] = self._sha.hexdigest()


class ReportAppender:
    """Appends samples to the report of one record.

    Parameters
    ----------
    group : h5py.Group
        With the datasets `data` and `mapping/time`.
    """

    def __init__(self, group: h5py.Group) -> None:
        self._data = group["data"]
        self._time = group["mapping/time"]
        self._start, _, self._interval = self._time[()]
        self._row_bytes = self._data.shape[1] * self._data.dtype.itemsize
        self._buffer = ChunkBuffer(self._data.chunks[0])

    def add(self, samples: NDArray[np.floating]) -> None:
        """Take samples, shape (n_samples, n_neurons) [mV]."""
        self._buffer.add(samples)

    def due_bytes(self, rest: bool) -> int:
        """Return the size of what `write` would write [B]."""
        return self._buffer.due(rest) * self._row_bytes

    def write(self, rest: bool) -> None:
        """Write whole chunks, and the rest as well if asked."""
        rows = self._buffer.take(rest)
        begin = self._data.shape[0]
        end = begin + len(rows)
        self._data.resize(end, axis=0)
        self._data[begin:end] = rows
        self._time[1] = self._start + end * self._interval

    def close(self) -> None:
        """Do nothing more."""


class Space:
    """Disk space reserved ahead of the end of a file, so that what is begun can be completed.

    HDF5 leaves a damaged file when the disk is full in the middle of a write. So the space of a
    write, and a margin in which the file can be closed, is asked for first.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._path = file.filename
        self._fd = file.id.get_vfd_handle()
        self._end = 0

    def reserve(self, n_bytes: int) -> None:
        """Make sure that `n_bytes` more, and the margin, can be written.

        Raises
        ------
        OSError
            When the disk is full or the quota used up.
        """
        end = self._file.id.get_filesize() + n_bytes + n_bytes // 64 + MARGIN
        if end <= self._end:
            return
        if not _allocate(self._fd, self._end, end - self._end):
            status = os.fstatvfs(self._fd)
            if status.f_bavail * status.f_frsize < n_bytes + MARGIN:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._end = end

    def release(self) -> None:
        """Give back, once the file is closed, what it does not use."""
        os.truncate(self._path, os.path.getsize(self._path))


def _allocate(fd: int, offset: int, length: int) -> bool:
    """Reserve blocks without changing the size of a file; return whether the system can."""
    allocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if allocate is None:
        return False
    while True:
        done = allocate(fd, _KEEP_SIZE, ctypes.c_int64(offset), ctypes.c_int64(length)) == 0
        code = 0 if done else ctypes.get_errno()
        if code in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV):
            return False
        if code not in (0, errno.EINTR):
            raise OSError(code, os.strerror(code))
        if done:
            return True
