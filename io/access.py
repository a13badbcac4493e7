"""How files are opened for reading, and datasets that lie in several of them read as one."""

from __future__ import annotations

import errno
import os
import shlex
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.io import schema
from simcore.io.parts import list_parts
from simcore.io.reports import REPORT
from simcore.numerics.clock import Grid
from simcore.services.errors import DamagedError, OutputError, cause

if TYPE_CHECKING:
    import h5py

# Rows that are looked at together when a time is searched
_BLOCK = 8192

# What reading a damaged file may raise, here or in HDF5: its bytes can claim anything
FAULTS = (
    ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip

# What only writing raises, to another file meanwhile
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Letters of a cause that are shown
_LONGEST = 300

# What the paths of parts have in them
_PART = ".parts/"

# What the system says of a file that it does not open; other errors come from damage, or from locks
_REFUSED = (
    errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.ESTALE,
    errno.EIO, errno.EMFILE, errno.ENFILE,
)  # fmt: skip

# Files that `kept_open` holds, by their names; more than so many are opened for each access
_KEPT: ContextVar[dict[str, h5py.File] | None] = ContextVar("_KEPT", default=None)
_MOST_KEPT = 32

# What became of the files of a run that has ended after it was opened
_CHANGED = "is not what it was: the run has ended meanwhile. Open it again."


@contextmanager
def kept_open() -> Iterator[None]:
    """Let `open_file` open each file once inside this context, whose end closes them.

    For what reads many populations one after the other, in this thread.
    """
    if _KEPT.get() is not None:
        yield
        return
    files: dict[str, h5py.File] = {}
    token = _KEPT.set(files)
    try:
        yield
    finally:
        _KEPT.reset(token)
        for path, file in files.items():
            with blaming(path):
                file.close()


@contextmanager
def open_file(path: str) -> Iterator[h5py.File]:
    """Open a file for reading, or take the one that `kept_open` holds.

    Raises
    ------
    DamagedError
        When it is missing, damaged or not HDF5.
    OutputError
        When it is a folder, must not be read, or was removed because the run has ended.
    """
    kept = _KEPT.get()
    known = None if kept is None else kept.get(path)
    file = _open(path) if known is None else known
    with blaming(path), ExitStack() as stack:
        if kept is not None and len(kept) < _MOST_KEPT:
            kept[path] = file
        elif known is None:
            stack.enter_context(file)
        yield file


@contextmanager
def blaming(path: str) -> Iterator[None]:
    """Turn what reading a damaged file may raise into one error about that file."""
    try:
        yield
    except FAULTS as error:
        if isinstance(error, OutputError) or getattr(error, "errno", None) in _FULL:
            raise
        raise DamagedError(f"{path!r} is damaged: {_cause(error)}. {_remedy(path)}") from error


def _open(path: str) -> h5py.File:
    import h5py

    if os.path.isdir(path):
        raise OutputError(f"{path!r} is a folder, must be the output file of a run")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        return _open_anyway(path, error)


def _open_anyway(path: str, error: OSError) -> h5py.File:
    """Open a file that is locked by another program, or tell why it cannot be opened."""
    import h5py

    if isinstance(error, FileNotFoundError):
        if _PART in path:
            raise OutputError(f"{path!r} {_CHANGED}") from error
        raise DamagedError(f"{path!r} does not exist{_on_node()}") from error
    if error.errno in _REFUSED:
        raise OutputError(f"{path!r} cannot be read: {cause(error)}") from error
    if not h5py.is_hdf5(path):
        text = f"{path!r} is not an HDF5 file, must be the output of a run"
        remedy = f". {_remedy(path)}" if _PART in path else ""
        raise DamagedError(text + remedy) from error
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as second:
        raise DamagedError(
            f"{path!r} is truncated or damaged: {second}. {_remedy(path)}"
        ) from second


def _on_node() -> str:
    """Return the node of a worker of a dask cluster, which may not see what others see."""
    distributed = sys.modules.get("distributed")
    try:
        if distributed is not None:
            distributed.get_worker()
            return (
                f" on node {socket.gethostname()!r}. The workers of a cluster must see the files "
                "of the run under the same paths."
            )
    except (AttributeError, ValueError):
        # No worker of a cluster
        pass
    return ""


def _cause(error: Exception) -> str:
    """Return in a line what reading a damaged file raised."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, KeyError) and " " not in text:
        text = f"{text} is missing"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _remedy(path: str) -> str:
    """Return what to do about a damaged file."""
    output, ending, _ = path.rpartition(_PART)
    return (
        f"`simcore resume {shlex.quote(output)}` simulates it again."
        if ending
        else "Copy it again."
    )


@dataclass(frozen=True)
class Source:
    """One of the files of a run.

    Parameters
    ----------
    path : str
        The file.
    begin, end : int
        The first step it has, and the one after the last.
    """

    path: str
    begin: int
    end: int


def list_sources(path: str) -> list[Source]:
    """Return the output file of a run, and its parts in their order."""
    while True:
        with open_file(path) as file:
            before = os.stat(path)
            require_run(file, path)
            attributes = file[schema.RUN].attrs
            first = Source(path, int(attributes["begin"]), int(attributes["end"]))
        parts = list_parts(path, first.end)

        # Look again if the parts have just been put into a new output file
        if os.path.samestat(before, os.stat(path)):
            return [first, *(Source(p.path, p.begin, p.end) for p in parts)]


def require_run(file: h5py.File, path: str) -> None:
    """Raise `OutputError` unless a file is the output of a run, of a version we know."""
    if schema.RUN not in file or "format_version" not in file[schema.RUN].attrs:
        raise OutputError(f"{path!r} is an HDF5 file, but not the output of simcore")
    group = file[schema.RUN]
    version = int(group.attrs["format_version"])
    if version not in schema.READABLE_VERSIONS:
        known = " or ".join(map(str, schema.READABLE_VERSIONS))
        raise OutputError(
            f"{path!r}: format version is {version}, must be {known}. "
            "Read it with the simcore that wrote it, "
            f"{group['versions'].attrs.get('simcore', 'unknown')}."
        )


@dataclass(frozen=True)
class Piece:
    """The rows of a dataset that lie in one file.

    Parameters
    ----------
    path, name : str
        The file, and the dataset in it.
    first, size : int
        Number of rows before, and of rows here.
    begin, end : int
        The steps they are from.
    """

    path: str
    name: str
    first: int
    size: int
    begin: int
    end: int

    def read(self, begin: int, end: int) -> NDArray[Any]:
        """Return some of the rows, counted from the first in the run."""
        with open_file(self.path) as file:
            return file[self.name][begin - self.first : end - self.first]


class Joined:
    """A dataset of a run, whose rows lie in one file after the other; what dask's tasks carry.

    No file stays open: every access opens those it needs.

    Parameters
    ----------
    pieces : sequence of Piece
        Where the rows lie.
    row : tuple of int
        Shape of a row.
    dtype : dtype
        Type of the numbers.
    uuid : str
        Name of the run.
    owner : object, optional
        What must live as long as this, such as a temporary folder. It is not sent to other
        processes.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        row: tuple[int, ...],
        dtype: np.dtype[Any],
        uuid: str,
        owner: object = None,
    ) -> None:
        self.pieces = pieces
        self.owner = owner
        self.dtype = dtype
        self.uuid = uuid
        self.size = pieces[-1].first + pieces[-1].size
        self.shape = (self.size, *row)
        self.ndim = len(self.shape)

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return int(np.prod(self.shape[1:], dtype=np.int64))

    @property
    def row_bytes(self) -> int:
        """Size of a row [B]."""
        return self.width * self.dtype.itemsize

    def __getitem__(self, index: int | slice | tuple[int | slice, ...]) -> NDArray[Any]:
        rows, *columns = index if isinstance(index, tuple) else (index,)
        if not isinstance(rows, slice):
            row = range(self.size)[rows]
            return self[(slice(row, row + 1), *columns)][0]
        begin, end, step = rows.indices(self.size)
        found = [
            piece.read(max(begin, piece.first), min(end, piece.first + piece.size))
            for piece in self.pieces
            if begin < piece.first + piece.size and piece.first < end
        ]
        if not found:
            values = np.zeros((0, *self.shape[1:]), dtype=self.dtype)
        else:
            values = found[0] if len(found) == 1 else np.concatenate(found)
        return values[(slice(None, None, step), *columns)].astype(self.dtype, copy=False)

    def blocks(self, n_bytes: int) -> Iterator[slice]:
        """Yield slices of rows of about that size."""
        step = max(1, n_bytes // max(1, self.row_bytes))
        for begin in range(0, self.size, step):
            yield slice(begin, min(begin + step, self.size))

    def count_until(self, time: float, grid: Grid) -> int:
        """Return how many of the rows, sorted times [ms], are not after `time`."""
        time = grid.recorded_until(time)
        for piece in self.pieces:
            # Times of a piece are those of the ends of its steps
            if piece.size and time < piece.end * grid.dt:
                before = time < (piece.begin + 0.5) * grid.dt
                return piece.first + (0 if before else _count_until(piece, time))
        return self.size

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "owner": None}

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self.uuid, self.pieces[0].name, self.shape


def _count_until(piece: Piece, time: float) -> int:
    """Return how many of the rows of a piece are not after `time`, reading one per halving."""
    with open_file(piece.path) as file:
        times = file[piece.name]
        low, high = 0, -(-piece.size // _BLOCK)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if times[middle * _BLOCK] <= time else (low, middle)
        block = times[low * _BLOCK : min((low + 1) * _BLOCK, piece.size)]
        return low * _BLOCK + int(np.searchsorted(block, time, side="right"))


def datasets(sources: list[Source], owner: object = None) -> dict[str, Joined]:
    """Return the spikes and samples of a run, by the name of the dataset, with their owner."""
    pieces: dict[str, list[Piece]] = {}
    forms: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    uuid = ""
    for source in sources:
        with open_file(source.path) as file:
            attributes = file[schema.RUN].attrs
            uuid = uuid or str(attributes["uuid"])
            if attributes["uuid"] != uuid:
                raise OutputError(f"{source.path!r} is of another run. Move it away.")
            if int(attributes["end"]) != source.end:
                raise OutputError(f"{source.path!r} {_CHANGED}")
            for name, dataset in _data(file):
                known = pieces.setdefault(name, [])
                first = known[-1].first + known[-1].size if known else 0
                span = source.begin, source.end
                known.append(Piece(source.path, name, first, len(dataset), *span))
                forms[name] = dataset.shape[1:], dataset.dtype
    return {name: Joined(p, *forms[name], uuid, owner) for name, p in pieces.items()}


def _data(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield the names and datasets of spikes and samples in a file."""
    for name, group in file.get(schema.SPIKES, {}).items():
        for field in ("timestamps", "node_ids"):
            yield f"{schema.SPIKES}/{name}/{field}", group[field]
    for name, group in file.get(REPORT, {}).items():
        yield f"{REPORT}/{name}/data", group["data"]
