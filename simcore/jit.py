"""Compilation by Numba, with a cache that never holds code of another version.

Numba notices a change of the file that a compiled function stands in, but not of the files that
it calls. So the cache lies in a folder named by all sources that hold compiled functions:
``simcore-kernels/<digest>`` in ``NUMBA_CACHE_DIR``, or else in the user's cache folder. Ranks may
share it; a file in it is written under another name and then renamed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

_HERE = Path(__file__).parent


def _sources() -> list[Path]:
    """Return all files with compiled functions, in the checkout or in an installed package."""
    roots = (_HERE, _HERE.parent)
    folders = [
        root / name
        for root in roots
        for name in ("partition", "kernels", "kernels/cpu", "kernels/cuda")
    ]
    found = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    used = [
        _HERE / f"{name}.py"
        for name in ("draft", "fixed_point", "philox", "portable", "shard", "spikes")
    ]
    used.append(_HERE / "analysis" / "streams.py")
    return [*used, *found]


def _folder() -> Path:
    sha = hashlib.sha256(numba.__version__.encode())
    for path in _sources():
        sha.update(path.read_bytes())
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or user)
    return base / "simcore-kernels" / sha.hexdigest()[:16]


CACHE = _folder()
numba.config.CACHE_DIR = str(CACHE)  # type: ignore[attr-defined]


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function at its first call, or load what was compiled before.

    It runs beside other Python threads.

    Parameters
    ----------
    function : callable, optional
        The function; without it a decorator is returned.
    **options
        Options of ``numba.njit``.
    """
    decorate = numba.njit(cache=True, nogil=True, **options)
    return decorate if function is None else decorate(function)


def is_compiled(variant: str) -> bool:
    """Return whether all that a kind of run needs was compiled before, see `mark_compiled`."""
    return (CACHE / variant).exists()


def mark_compiled(variant: str) -> None:
    """Note that all that a kind of run needs is compiled now."""
    with contextlib.suppress(OSError):
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / variant).touch()
