"""Files that are there as a whole or not at all: written aside, sealed, synced and renamed."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from simcore.services.errors import OutputError

if TYPE_CHECKING:
    import h5py

TEMPORARY = ".tmp"
MARGIN = 2**20

_SEAL = b"simcore seal\n"
_SEAL_BYTES = len(_SEAL) + hashlib.sha256().digest_size
_BLOCK = 2**22
_KEEP_SIZE = 1


@contextmanager
def atomic_file(path: str, n_bytes: int) -> Iterator[h5py.File]:
    """Write an HDF5 file that appears under its name when it is complete.

    Until then it has the ending ``.tmp``. So a kill, a crash of the machine or a full disk at any
    moment leaves what was there before. It ends with a checksum of all of it; see `is_sealed`.

    Parameters
    ----------
    path : str
        Its name; a file of that name is replaced.
    n_bytes : int
        About how much will be written. The space, and a margin, is asked for first, because HDF5
        does not survive a disk that is full in the middle of a write.

    Raises
    ------
    OSError
        When the disk is full or the quota used up, or the place cannot be written.
    """
    with aside(path) as temporary:
        with create_file(temporary) as file:
            _reserve(file.id.get_vfd_handle(), n_bytes + n_bytes // 64 + MARGIN)
            yield file
        # Give back what was reserved and not used
        os.truncate(temporary, os.path.getsize(temporary))
        _seal(temporary)


def create_file(path: str) -> h5py.File:
    """Create an HDF5 file, without a lock where the file system has none.

    HDF5 itself does so only where the system does not know the call at all (ENOSYS).
    """
    import h5py

    try:
        return h5py.File(path, "w")
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
            raise
        return h5py.File(path, "w", locking=False)


@contextmanager
def aside(path: str) -> Iterator[str]:
    """Give the name under which a file of any kind is written, until it is complete and renamed.

    Parameters
    ----------
    path : str
        Its name; a file of that name is replaced.

    Raises
    ------
    OSError
        When the disk is full or the quota used up, or the place cannot be written.
    """
    temporary = path + TEMPORARY
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(os.path.dirname(path) or ".")
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def make_folder(path: str) -> None:
    """Make a folder if it is not there, and wait until its name is on the disk."""
    if not os.path.isdir(path):
        with suppress(FileExistsError):
            os.mkdir(path)
        _sync(os.path.dirname(path) or ".")


def is_sealed(path: str) -> bool:
    """Tell whether a file ends with a checksum of all that is before it.

    It is the SHA-256, 32 bytes, after the text "simcore seal" and a line feed. HDF5 does not look
    at what follows its own data.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    OutputError
        When it cannot be read, which tells nothing of what is in it.
    """
    with _readable(path) as file:
        size = os.fstat(file.fileno()).st_size - _SEAL_BYTES
        if size < 0:
            return False
        sha = hashlib.sha256()
        while size:
            block = file.read(min(size, _BLOCK))
            if not block:
                return False
            sha.update(block)
            size -= len(block)
        return file.read() == _SEAL + sha.digest()


def has_seal(path: str) -> bool:
    """Tell whether a file ends with a checksum, right or wrong, or with what is left of one.

    A program that changes the file takes it away: HDF5 cuts off what follows its own data. Errors
    are those of `is_sealed`.
    """
    with _readable(path) as file:
        file.seek(-min(_SEAL_BYTES, os.fstat(file.fileno()).st_size), os.SEEK_END)
        end = file.read()
    middle = len(_SEAL) // 2
    return _SEAL[:middle] in end or _SEAL[middle:] in end


@contextmanager
def _readable(path: str) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path!r} cannot be read: {error.strerror}. Make it readable, or move it away."
        ) from error


def _seal(path: str) -> None:
    with open(path, "rb+") as file:
        seal = _SEAL + hashlib.file_digest(file, "sha256").digest()
        file.seek(0, os.SEEK_END)
        file.write(seal)


def _sync(path: str) -> None:
    """Wait until a file or folder is on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _reserve(fd: int, n_bytes: int) -> None:
    """Make sure that so much can be written.

    File systems that cannot reserve are asked for their free space, which does not see quotas.
    """
    if not _allocate(fd, n_bytes):
        status = os.fstatvfs(fd)
        if status.f_bavail * status.f_frsize < n_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _allocate(fd: int, length: int) -> bool:
    """Reserve blocks without changing the size of a file; return whether the system can."""
    allocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if allocate is None:
        return False
    while True:
        done = allocate(fd, _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(length)) == 0
        code = 0 if done else ctypes.get_errno()
        if code in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV):
            return False
        if code not in (0, errno.EINTR):
            raise OSError(code, os.strerror(code))
        if done:
            return True
