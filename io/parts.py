"""The files of a run: the output, and beside it what has not been put into it yet.

While a run goes on, what it records lies in the folder ``<output>.parts``, in files that are never
changed once they are there: ``steps-<begin>-<end>.h5`` has what happened in these steps. In the
end `simcore.io.pack` makes one file of them.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from simcore.io.atomic_file import TEMPORARY, is_sealed
from simcore.services.errors import OutputError

_NAME = re.compile(r"steps-(\d+)-(\d+)\.h5")
_LOCK = "lock"

# What is added to the name of an output file, at most
_LONGEST_ENDING = ".checkpoints"

# How often a lock is tried, and the time between [s]: readers hold it too, for a moment
_ATTEMPTS, _PAUSE = 10, 0.05


@dataclass(frozen=True, order=True)
class Part:
    """A file that has what was recorded in some steps.

    Parameters
    ----------
    begin, end : int
        The first step, and the one after the last.
    path : str
        The file.
    """

    begin: int
    end: int
    path: str


def parts_folder(path: str) -> str:
    """Return the folder of the parts of an output file."""
    return f"{os.path.realpath(path)}.parts"


def checkpoints_folder(path: str) -> str:
    """Return the folder of the checkpoints of an output file."""
    return f"{os.path.realpath(path)}{_LONGEST_ENDING}"


def part_path(path: str, begin: int, end: int) -> str:
    """Return the name of a part of an output file."""
    return os.path.join(parts_folder(path), f"steps-{begin:012d}-{end:012d}.h5")


def list_parts(path: str, begin: int) -> list[Part]:
    """Return the parts of an output file that follow each other from a step on, in order.

    Parameters
    ----------
    path : str
        The output file.
    begin : int
        Where the first of them begins: the end of what is in the output file itself. Those before
        were left behind by a kill after they had been put into it.
    """
    chain = []
    for part in all_parts(path):
        if part.begin == begin:
            chain.append(part)
            begin = part.end
    return chain


def all_parts(path: str) -> list[Part]:
    """Return all parts beside an output file by their steps, also those of no use any more."""
    folder = parts_folder(path)
    matches = [(m, n) for n in list_folder(folder) if (m := _NAME.fullmatch(n))]
    return sorted(Part(int(m[1]), int(m[2]), os.path.join(folder, n)) for m, n in matches)


def list_folder(path: str) -> list[str]:
    """Return the names in a folder of parts or checkpoints, none if there is no such folder.

    Raises
    ------
    OutputError
        When the folder cannot be entered.
    """
    try:
        return os.listdir(path) if os.path.isdir(path) else []
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(
            f"folder {path!r} cannot be read: {error.strerror}. Ask its owner for the right to "
            "read and to enter it."
        ) from error


def first_damaged(paths: Sequence[str]) -> str | None:
    """Return the first of some parts that is not what was written; None if all are."""
    return next((path for path in paths if not is_sealed(path)), None)


def remove_parts(path: str, keep: list[Part] | None = None) -> None:
    """Remove the parts of an output file, but for those to keep, and what a kill left behind.

    Parameters
    ----------
    path : str
        The output file.
    keep : list of Part, optional
        Without it the folder goes as well.
    """
    with suppress(FileNotFoundError):
        os.unlink(os.path.realpath(path) + TEMPORARY)
    folder = parts_folder(path)
    if keep is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    kept = {part.path for part in keep}
    for name in list_folder(folder):
        place = os.path.join(folder, name)
        if place not in kept and name != _LOCK:
            os.unlink(place)


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
    is_link = os.path.islink(path)
    target = os.path.realpath(path) if is_link else path
    folder = os.path.dirname(target) or "."
    if not os.path.isdir(folder):
        link = f" is a link to {target!r}" if is_link else ""
        raise OutputError(f"output {path!r}{link}: there is no folder {folder!r}. Create it first.")
    if os.path.exists(path) and not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "no regular file"
        raise OutputError(f"output {path!r} is {kind}, must be the name of a file")
    _require_short(path, target)
    # A folder that must not be read is refused now, also where it is to be replaced
    for place in (path, parts_folder(path), checkpoints_folder(path)):
        if _is_taken(place) and not overwrite:
            raise OutputError(
                f"output {place!r} exists. Pass overwrite=True or --overwrite to replace it."
            )
    if not os.access(folder, os.W_OK):
        raise OutputError(f"output {path!r}: folder {folder!r} cannot be written. Choose another.")


def _require_short(path: str, target: str) -> None:
    """Raise `OutputError` unless what is added to the name of an output file has room in a name."""
    folder, name = os.path.split(target)
    size = len(os.fsencode(name))
    most = os.pathconf(folder or ".", "PC_NAME_MAX") - len(_LONGEST_ENDING)
    if size > most:
        raise OutputError(
            f"output {path[:40]!r}...: its name has {size} bytes, must have at most {most}, since "
            f"endings such as {_LONGEST_ENDING!r} are added. Choose a shorter name."
        )


def _is_taken(place: str) -> bool:
    """Tell whether there is a file, or a folder with files; a kill can leave one without."""
    if not os.path.isdir(place):
        return os.path.exists(place)
    return any(name.endswith(".h5") for name in list_folder(place))


def remove_run(path: str) -> None:
    """Remove an output file with its parts and checkpoints.

    Raises
    ------
    OutputError
        When another process writes it.
    """
    if os.path.isdir(parts_folder(path)):
        Lock(path).release()
    shutil.rmtree(checkpoints_folder(path), ignore_errors=True)
    remove_parts(path)
    with suppress(FileNotFoundError):
        os.unlink(path)


class Lock:
    """Tells others that an output file is being written; held until `release` or the process ends.

    As a context it is released at the end of the block.

    Parameters
    ----------
    path : str
        The output file, whose folder of parts exists.

    Raises
    ------
    OutputError
        When another process holds it.
    """

    def __init__(self, path: str) -> None:
        place = os.path.join(parts_folder(path), _LOCK)
        for attempt in range(_ATTEMPTS):
            time.sleep(_PAUSE if attempt else 0.0)
            self._fd = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
            if not _locked_by_other(self._fd, fcntl.LOCK_EX):
                return
            self.release()
        raise OutputError(
            f"output {path!r} is being written by another process. Wait until it has ended."
        )

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let others write."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_being_written(path: str, unknown: bool) -> bool:
    """Tell whether a process writes an output file; `unknown` where the system cannot tell."""
    place = os.path.join(parts_folder(path), _LOCK)
    try:
        fd = os.open(place, os.O_RDONLY)
    except OSError:
        return False
    try:
        return _locked_by_other(fd, fcntl.LOCK_SH, unknown)
    finally:
        os.close(fd)


def _locked_by_other(fd: int, kind: int, unknown: bool = False) -> bool:
    """Try to lock a file; return whether another holds it, or `unknown` if that cannot be told."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return unknown
    return False
