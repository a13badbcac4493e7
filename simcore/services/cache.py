"""Where compiled kernels are kept, for the next start: by any user, on any machine.

They lie in a folder ``simcore-kernels/<digest>``, named by all sources that hold compiled
functions, so that it never holds code of another version. It is looked for in ``NUMBA_CACHE_DIR``,
in the user's cache folder, and in a folder of the user's own among the temporary files. What is in
any of them is used, so one that is complete need not be writable; what is new goes to the first
that can be written. Ranks may share them: a file is written under another name and then renamed.

A file begins with the checksum of its content. One that is empty, torn or not ours counts as
absent, and so does one that cannot be read.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from simcore.services.errors import cause
from simcore.services.launcher import launched_process

_HERE = Path(__file__).parents[1]
_NAME = "simcore-kernels"
_DIGEST_BYTES = hashlib.sha256().digest_size


def load(name: str) -> bytes | None:
    """Return what was kept under a name, None where that is nothing.

    Parameters
    ----------
    name : str
        Its name.
    """
    for folder in _folders(make=False):
        with suppress(OSError):
            kept = (folder / name).read_bytes()
            content = kept[_DIGEST_BYTES:]
            if hashlib.sha256(content).digest() == kept[:_DIGEST_BYTES]:
                return content
    return None


def store(name: str, content: bytes) -> None:
    """Keep something under a name; where nothing can be kept, say once what that costs.

    Parameters
    ----------
    name : str
        Its name.
    content : bytes
        What to keep.
    """
    reasons = []
    for folder in _folders(make=True):
        try:
            _write(folder, name, hashlib.sha256(content).digest() + content)
        except OSError as error:
            reasons.append(f"{str(folder.parent)!r}: {cause(error)}")
        else:
            return
    if launched_process().rank == 0:
        _complain("; ".join(reasons) or "there is no folder for temporary files")


def is_kept(name: str) -> bool:
    """Return whether something is kept under a name."""
    return load(name) is not None


def _write(folder: Path, name: str, content: bytes) -> None:
    """Write a file that appears under its name when it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{uuid4().hex}.tmp"
    try:
        temporary.write_bytes(content)
        temporary.replace(folder / name)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _folders(make: bool) -> Iterator[Path]:
    """Yield where kernels are looked for or kept, the best place first."""
    environ = os.environ
    if environ.get("NUMBA_CACHE_DIR"):
        yield Path(environ["NUMBA_CACHE_DIR"]) / _NAME / _digest()
    # A user id without an entry, as containers and batch systems have them, has no home
    user = environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if os.path.isabs(user):
        yield Path(user) / _NAME / _digest()
    own = _own_temporary(make)
    if own is not None:
        yield own / _NAME / _digest()


def _own_temporary(make: bool) -> Path | None:
    """Return a folder among the temporary files that nobody else can write, if there is one.

    What is loaded from it is executed, and anybody may make a folder of that name before us.
    """
    with suppress(OSError):
        path = Path(tempfile.gettempdir()) / f"simcore-cache-{os.geteuid()}"
        if make:
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
        status = path.lstat()
        private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o022
        if private and status.st_uid == os.geteuid():
            return path
    return None


@functools.cache
def _digest() -> str:
    """Return the digest of all sources that hold compiled functions."""
    sha = hashlib.sha256(f"{version('numba')} {sys.implementation.cache_tag}".encode())
    for path in _sources():
        sha.update(path.read_bytes())
    return sha.hexdigest()[:16]


def _sources() -> list[Path]:
    """Return all files with compiled functions, in the checkout or in an installed package."""
    rooms = (
        "numerics", "discretization", "shards", "construction", "simulation", "partition",
        "kernels", "kernels/cpu", "kernels/cuda",
    )  # fmt: skip
    folders = [root / room for root in (_HERE, _HERE.parent) for room in rooms]
    found = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    return [_HERE / "analysis" / "streams.py", *found]


@functools.cache
def _complain(reasons: str) -> None:
    """Say once that nothing can be kept."""
    print(
        f"simcore: compiled kernels cannot be kept ({reasons}), so each start compiles them "
        "again, for half a minute. Set NUMBA_CACHE_DIR to a folder that can be written.",
        file=sys.stderr,
        flush=True,
    )
