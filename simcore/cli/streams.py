"""Standard output and error, whatever whoever started the command has made of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

# Number of the last standard stream
_LAST = 2


@contextmanager
def standard_streams() -> Iterator[None]:
    r"""Let a command print any text in any encoding, also where nobody reads it.

    What an encoding lacks is written as an escape, such as ``\xb5``, so that names stay distinct.
    Streams that were closed take what is written and drop it.
    """
    _fill_closed()
    streams = [s for s in (sys.stdout, sys.stderr) if isinstance(s, TextIOWrapper)]
    before = [(stream, stream.errors) for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in before:
            # This flushes, and Python would complain at its end about what cannot be written
            try:
                stream.reconfigure(errors=errors)
            except OSError:
                drop(stream)


def drop(stream: TextIO) -> None:
    """Let a stream drop all that has not been written, and all that follows."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as sink:
        os.dup2(sink.fileno(), stream.fileno())


def _fill_closed() -> None:
    """Open streams that are closed, so that no file of ours takes the number of one."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while (number := os.open(os.devnull, os.O_RDWR)) <= _LAST:
            pass
        os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
