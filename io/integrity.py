"""Whether files are as they were written: the seal at their end, and digests of what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from select import select
from signal import SIGKILL
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.io import schema
from simcore.io.access import FAULTS, open_file
from simcore.io.atomic_file import has_seal, is_sealed
from simcore.io.checkpoint import list_checkpoints
from simcore.io.parts import all_parts
from simcore.services.digest import digest_arrays, digest_json
from simcore.services.errors import DamagedError, OutputError

if TYPE_CHECKING:
    import h5py

# Numbers that are read at a time [B]
_BLOCK_BYTES = 2**24

# How many differences a message names
_NAMED = 4

# How long HDF5 may take to look at a damaged file: so many seconds, and one for so many bytes
_PATIENCE, _SLOWEST = 20.0, 2**24

_LOST = "some of its bytes, and HDF5 hangs or crashes in it"
_GAP = "what was recorded before it is missing"


@dataclass(frozen=True)
class FileCheck:
    """What a check of a file found.

    Parameters
    ----------
    path : str
        The file.
    n_bytes : int
        Its size.
    damage : tuple of str
        What is not as it was written; empty if the file is whole.
    remedy : str
        What to do if it is not.
    note : str
        What else there is to know.
    """

    path: str
    n_bytes: int
    damage: tuple[str, ...]
    remedy: str
    note: str = ""

    @property
    def whole(self) -> bool:
        """Whether all is as it was written."""
        return not self.damage

    def __str__(self) -> str:
        more = len(self.damage) - _NAMED
        shown = "; ".join(self.damage[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
        return f"{self.path!r} is not what was written: {shown}"


def write_digests(file: h5py.File) -> None:
    """Put the digest of every dataset and attribute into an output file that has all others."""
    found: dict[str, dict[str, str]] = {}

    def add(name: str, item: Any) -> None:
        keys = [*item.attrs, *([""] if hasattr(item, "shape") else [])]
        found[f"/{name}"] = {key: _digest(item, key) for key in keys}

    add("", file)
    file.visititems(add)
    file[schema.RUN][schema.DIGESTS] = json.dumps(found)


def check(path: str | os.PathLike[str]) -> list[FileCheck]:
    """Read all files of a run, and tell which are as they were written.

    These are the output file, its parts while there are some, and its checkpoints. A file that
    ends with its seal intact is read once. Of others the digests tell what differs.

    Parameters
    ----------
    path : str or path
        An output file; or one of its parts or checkpoints, or an exported file, which are checked
        alone.

    Raises
    ------
    OutputError
        When a file is missing or must not be read, or has neither a seal nor digests.
    """
    path = os.path.abspath(path)
    while True:
        before = _stat(path)
        found = [check_file(path), *_check_parts(path)]
        for _, place in list_checkpoints(path):
            found += _check_sealed(place, "An older checkpoint is taken.")
        # The parts may have just been put into a new output file
        if os.path.samestat(before, _stat(path)):
            return found


def check_file(path: str) -> FileCheck:
    """Read an output file or an exported one, without the parts; errors are those of `check`."""
    remedy = "Copy it again."
    size = os.path.getsize(path)
    if is_sealed(path):
        return FileCheck(path, size, (), remedy)
    sealed = has_seal(path)
    told, damage = _apart(lambda: _look(path), _PATIENCE + size / _SLOWEST) or (True, [_LOST])
    if not told and not sealed:
        raise OutputError(
            f"{path!r} has neither a seal nor digests, by which files of simcore tell whether "
            "they are whole. Compare it with another copy: `simcore verify A B`."
        )
    if not told:
        damage = ["some of its bytes, and it has no digests to tell where"]
    elif sealed and not damage:
        damage = ["some of its bytes, but no dataset and no attribute"]
    note = "" if sealed else "another program wrote to it, what simcore wrote is unchanged"
    return FileCheck(path, size, tuple(damage), remedy, "" if damage else note)


def _look(path: str) -> tuple[bool, list[str]]:
    """Return whether a file has digests, and what differs from them."""
    try:
        with open_file(path) as file:
            if schema.DIGESTS not in file.get(schema.RUN, ()):
                return False, []
            table = json.loads(file[schema.RUN][schema.DIGESTS].asstr()[()])
            return True, list(_differences(file, table))
    except DamagedError as error:
        text = str(error).removeprefix(f"{path!r} ").removesuffix(". Copy it again.")
        return True, [f"it {text}"]


def _apart(work: Callable[[], Any], patience: float) -> Any:
    """Return what a function returns in a process of its own; None if it crashes or hangs there.

    HDF5 does both in some damaged files, and nothing can interrupt it.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # The child uses nothing that other threads could hold but HDF5, and has a time limit
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            with open(writing, "w", encoding="utf-8") as pipe:
                json.dump(work(), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        with open(reading, encoding="utf-8") as pipe:
            ready = select([pipe], [], [], patience)[0]
            text = pipe.read() if ready else ""
    finally:
        os.kill(child, SIGKILL)
        os.waitpid(child, 0)
    return json.loads(text) if text else None


def _check_parts(path: str) -> Iterator[FileCheck]:
    """Check the parts that an output file is still without, and that none is missing between."""
    parts = all_parts(path)
    reached = _end_of(path) if parts else None
    remedy = f"`simcore resume {shlex.quote(path)}` simulates it again."
    for part in parts:
        if reached is not None and part.end < reached:
            continue
        gap = reached is not None and part.begin > reached
        yield from _check_sealed(part.path, remedy, (_GAP,) if gap else ())
        reached = part.end


def _end_of(path: str) -> int | None:
    """Return the end of what is in an output file [steps]; None if it does not tell."""
    try:
        with open_file(path) as file:
            return int(file[schema.RUN].attrs["end"])
    except DamagedError:
        return None


def _check_sealed(path: str, remedy: str, damage: tuple[str, ...] = ()) -> Iterator[FileCheck]:
    """Yield what the seal of a file tells; nothing if the file has gone meanwhile."""
    with suppress(FileNotFoundError):
        size = os.path.getsize(path)
        found = damage if is_sealed(path) else (*damage, "some of its bytes")
        yield FileCheck(path, size, found, remedy)


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise OutputError(f"{path!r} cannot be read: {error.strerror}") from error


def _differences(file: h5py.File, table: dict[str, dict[str, str]]) -> Iterator[str]:
    """Yield the datasets and attributes whose digests are others."""
    for name, digests in table.items():
        for key, digest in digests.items():
            try:
                same = _digest(file[name], key) == digest
            except FAULTS:
                same = False
            if not same:
                yield f"attribute {key!r} of {name}" if key else name


def _digest(item: Any, key: str) -> str:
    """Return the digest of an attribute, or of the numbers or texts of a dataset, without key."""
    if key or item.dtype.kind == "O" or not item.shape:
        value = item.attrs[key] if key else item[()] if item.dtype.kind != "O" else item.asstr()[()]
        numbers = isinstance(value, np.generic | np.ndarray) and value.dtype.kind != "O"
        return digest_arrays(np.asarray(value)) if numbers else digest_json(_plain(value))
    sha = hashlib.sha256(f"{item.dtype.str}{item.shape}".encode())
    row_bytes = item.dtype.itemsize * int(np.prod(item.shape[1:], dtype=np.int64))
    step = max(1, _BLOCK_BYTES // max(1, row_bytes))
    for begin in range(0, len(item) if row_bytes else 0, step):
        sha.update(np.ascontiguousarray(item[begin : begin + step]).data)
    return sha.hexdigest()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
