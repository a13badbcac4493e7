"""How files are opened for reading, and windows of time found in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.errors import OutputError

if TYPE_CHECKING:
    import h5py


@contextmanager
def open_file(path: str) -> Iterator[h5py.File]:
    """Open a file for reading, also while another process writes it.

    Raises
    ------
    OutputError
        When it is missing, damaged or not HDF5.
    """
    import h5py

    if not os.path.exists(path):
        raise OutputError(f"{path!r} does not exist")
    if os.path.isdir(path):
        raise OutputError(f"{path!r} is a folder, must be the output file of a run")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        file = _open_anyway(path, error)
    try:
        with file:
            yield file
    except (KeyError, OSError, RuntimeError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{path!r} is damaged, or being written: {error}") from error


def _open_anyway(path: str, error: OSError) -> h5py.File:
    """Open a file that is locked by its writer, or tell why it cannot be opened."""
    import h5py

    if isinstance(error, PermissionError):
        raise OutputError(f"{path!r} cannot be read: permission denied") from error
    if not h5py.is_hdf5(path):
        raise OutputError(f"{path!r} is not an HDF5 file, must be the output of a run") from error
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as second:
        raise OutputError(f"{path!r} is truncated or damaged: {second}. Copy it again.") from second


class LazyDataset:
    """A dataset that opens its file at each access; what dask's tasks carry."""

    ndim = 1

    def __init__(self, path: str, name: str, size: int, dtype: np.dtype[Any], uuid: str) -> None:
        self.path = path
        self.name = name
        self.shape = (size,)
        self.dtype = dtype
        self.uuid = uuid

    def __getitem__(self, index: Any) -> NDArray[Any]:
        with open_file(self.path) as file:
            return file[self.name][index]

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self.path, self.name, self.shape, self.uuid


def n_spikes(group: h5py.Group) -> int:
    """Return the number of whole spikes, also when a kill came between the two datasets."""
    return min(group["timestamps"].shape[0], group["node_ids"].shape[0])


def window(group: h5py.Group, start: float | None, stop: float | None) -> tuple[int, int]:
    """Return the places of the first spike of a window, and of the one after its last."""
    size = n_spikes(group)
    begin = 0 if start is None else count_until(group["timestamps"], size, start)
    end = size if stop is None else count_until(group["timestamps"], size, stop)
    return begin, max(begin, end)


def count_until(times: h5py.Dataset, size: int, time: float) -> int:
    """Return how many of the sorted times are not after `time`, reading one per halving."""
    chunk = times.chunks[0]
    low, high = 0, -(-size // chunk)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if times[middle * chunk] <= time else (low, middle)
    begin = low * chunk
    block = times[begin : min(begin + chunk, size)]
    return begin + int(np.searchsorted(block, time, side="right"))
