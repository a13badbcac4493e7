"""Kill a process at a chosen operation on files, and tell what a crash of the machine loses."""

from __future__ import annotations

import os
import signal
import stat
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from simcore.io import atomic_file

# What changes files, as far as our writers use it; a process is killed just before one of them
SYSTEM = (
    *((os, name) for name in ("open", "mkdir", "replace", "unlink", "rmdir", "truncate", "fsync")),
    (atomic_file, "_reserve"),
    (atomic_file, "_seal"),
)
HDF5 = (
    (h5py.Group, "create_group"),
    (h5py.Group, "create_dataset"),
    (h5py.Dataset, "__setitem__"),
    (h5py.AttributeManager, "create"),
)


def killed_at(
    n: int, work: Callable[[], object], kinds: tuple[Any, ...], images: Path | None = None
) -> bool:
    """Do something in a child that is killed at its n-th operation; tell whether it came so far.

    Parameters
    ----------
    n : int
        The number of the operation, from 0.
    work : callable
        What to do.
    kinds : tuple
        Which operations count, as pairs of an object and the name of its function.
    images : path, optional
        A folder `lost` and a folder `torn` in it get what a crash of the machine could leave of
        the working directory instead; see `Disk`.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with pytest.MonkeyPatch.context() as patch:
                _Killer(n, None if images is None else Disk(Path.cwd()), images).patch(patch, kinds)
                work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGKILL):
        raise AssertionError(f"operation {n}: the child ended with exit code {code}")
    return code != 0


class _Killer:
    """Counts operations, and kills the process at one of them."""

    def __init__(self, n: int, disk: Disk | None, images: Path | None) -> None:
        self._left, self._disk, self._images = n, disk, images

    def patch(self, patch: pytest.MonkeyPatch, kinds: tuple[Any, ...]) -> None:
        for owner, name in kinds:
            patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            if self._left == 0:
                self._left = -1
                if self._disk is not None and self._images is not None:
                    self._disk.write(self._images / "lost", names_are_lost=True)
                    self._disk.write(self._images / "torn", names_are_lost=False)
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1
            result = function(*arguments, **options)
            if function is _FSYNC and self._disk is not None:
                self._disk.sync(arguments[0])
            return result

        return counted


_FSYNC = os.fsync


class Disk:
    """What a crash of the machine could leave of a folder.

    The system promises only what was synced: the content of a file, and the names in a folder.

    Parameters
    ----------
    root : path
        The folder. What is in it now counts as synced.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        for place in (root, *root.rglob("*")):
            self._sync(os.open(place, os.O_RDONLY))

    def sync(self, fd: int) -> None:
        """Take note that a file or folder was synced."""
        self._sync(os.dup(fd))

    def _sync(self, fd: int) -> None:
        """Keep what is in a file or folder; it stays open, so that no other takes its number."""
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(fd) as entries:
                self._names[status.st_ino] = {e.name: (e.inode(), e.is_dir()) for e in entries}
        else:
            self._contents[status.st_ino] = os.pread(fd, status.st_size, 0)

    def write(self, target: Path, names_are_lost: bool) -> None:
        """Write a copy of the folder as it would be after the crash.

        Parameters
        ----------
        target : path
            The copy; made here.
        names_are_lost : bool
            Whether changes of names that were not synced are undone, and all is consistent but
            old; else names are as they are, and files lack content that was not synced.
        """
        if names_are_lost:
            self._restore(target, os.stat(self._root).st_ino)
        else:
            self._tear(target, self._root)

    def _restore(self, target: Path, folder: int) -> None:
        target.mkdir()
        for name, (number, is_folder) in self._names.get(folder, {}).items():
            if is_folder:
                self._restore(target / name, number)
            else:
                (target / name).write_bytes(self._contents.get(number, b""))

    def _tear(self, target: Path, folder: Path) -> None:
        target.mkdir()
        for place in folder.iterdir():
            if place.is_dir():
                self._tear(target / place.name, place)
            else:
                content = self._contents.get(place.stat().st_ino, b"")
                (target / place.name).write_bytes(content)
