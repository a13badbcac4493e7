"""Recordings of NEST as text: what NEST 3 writes with the backend "ascii", and NEST 2 as .gdf."""

from __future__ import annotations

import filecmp
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from simcore.io.sorting import Spikes
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, DamagedError
from simcore.services.progress import TaskProgress

# Lines that are read together, and what is compared first of two files [B]
_LINES, _HEAD = 2**18, 2**12

_MARK = "# NEST version"
_BACKEND = "# RecordingBackendASCII version"

# The columns of a spike recorder, and their types: times in ms, in steps, and the steps of NEST 2
_MS = np.dtype([("sender", "u8"), ("time_ms", "f8")])
_STEPS = np.dtype([("sender", "u8"), ("time_step", "i8"), ("time_offset", "f8")])
_WHOLE_STEPS = np.dtype([("sender", "u8"), ("time_step", "i8")])


def write_header(file: TextIO) -> None:
    """Write the first lines of a spike recording."""
    from simcore import __version__

    file.write(f"{_MARK}: none, written by simcore {__version__}\n{_BACKEND}: 2\nsender\ttime_ms\n")


@dataclass(frozen=True)
class NestRecording:
    """A file that a spike recorder of NEST wrote.

    Parameters
    ----------
    path : str
        The file.
    size : int
        In bytes.
    columns : dtype
        Its columns.
    header : int
        Lines before the first spike: 3 in NEST 3, none in NEST 2.
    head : bytes
        What the file begins with; empty without a spike.
    """

    path: str
    size: int
    columns: np.dtype[np.void]
    header: int
    head: bytes

    @classmethod
    def look(cls, path: str) -> NestRecording:
        """Look at the first lines and at the end of a file."""
        try:
            with open(path, "rb") as file:
                head = file.read(_HEAD)
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 1))
                complete = file.read() == b"\n"
        except OSError as error:
            raise DamagedError(f"{path!r} cannot be read: {error.strerror}") from error
        header, columns = _form(path, head)
        if size and not complete:
            raise DamagedError(
                f"{path!r} is truncated: its last line has no end. Let NEST finish, or copy it "
                "again."
            )
        if columns is None:
            names = head.split(b"\n", 3)[2].decode("ascii", "replace").split()
            raise DamagedError(
                f"{path!r}: columns are {names}, must be those of a spike recorder: {_MS.names} or "
                f"{_STEPS.names}"
            )
        silent = head.count(b"\n") <= header
        return cls(path, size, columns, header, b"" if silent else head)

    @property
    def in_steps(self) -> bool:
        """Whether times are in steps."""
        return "time_step" in (self.columns.names or ())

    def require_step(self, clock: Clock | None) -> None:
        """Raise `ConfigError` if times are in steps whose length is not known."""
        if self.in_steps and clock is None:
            raise ConfigError(
                f"dt: {self.path!r} has times in steps. Tell the resolution of NEST [ms]."
            )

    def read(self, clock: Clock | None, work: TaskProgress) -> Iterator[Spikes]:
        """Yield times [ms] and senders, some at a time."""
        with open(self.path, "rb") as raw, TextIOWrapper(raw, "ascii", "replace") as file:
            for _ in range(self.header):
                file.readline()
            done, size = 0, _LINES
            while size == _LINES:
                rows = self._parse(file)
                size = rows.size
                yield self._times(rows, clock), np.ascontiguousarray(rows["sender"])
                work.advance(raw.tell() - done)
                done = raw.tell()

    def _parse(self, file: TextIO) -> NDArray[np.void]:
        """Return the next lines of the file."""
        try:
            with warnings.catch_warnings():
                # Empty lines, and no line at all, are fine
                warnings.simplefilter("ignore", UserWarning)
                rows: NDArray[np.void] = np.loadtxt(
                    file, dtype=self.columns, comments=None, ndmin=1, max_rows=_LINES
                )
        except ValueError as error:
            raise DamagedError(f"{self.path!r}: {self._first_bad()}") from error
        return rows

    def _times(self, rows: NDArray[np.void], clock: Clock | None) -> NDArray[np.float64]:
        times: NDArray[np.float64]
        if clock is None or not self.in_steps:
            times = np.ascontiguousarray(rows["time_ms"])
        else:
            times = clock.times(rows["time_step"])
            if "time_offset" in (self.columns.names or ()):
                times = times - rows["time_offset"]
        if not np.isfinite(times).all():
            raise DamagedError(f"{self.path!r}: a time is {times[~np.isfinite(times)][0]}")
        return times

    def _first_bad(self) -> str:
        """Tell which line cannot be read."""
        columns = [self.columns[name] for name in self.columns.names or ()]
        with open(self.path, encoding="ascii", errors="replace") as file:
            for number, line in enumerate(file, 1):
                values = line.split()
                try:
                    if number > self.header and values:
                        for column, value in zip(columns, values, strict=True):
                            column.type(float(value) if column.kind == "f" else int(value))
                except (ValueError, OverflowError):
                    return f"line {number} is {line.strip()!r}, must have {self.columns.names}"
        return f"a line cannot be read, must have {self.columns.names}"


def require_different(recordings: Sequence[NestRecording]) -> None:
    """Raise `ConfigError` if two recordings with spikes are one file, or have the same content."""
    alike: dict[tuple[int, bytes], list[NestRecording]] = {}
    for recording in recordings:
        if recording.head:
            others = alike.setdefault((recording.size, recording.head), [])
            for other in others:
                if os.path.samefile(other.path, recording.path):
                    what = "are the same file"
                elif filecmp.cmp(other.path, recording.path, shallow=False):
                    what = "have the same content"
                else:
                    continue
                raise ConfigError(
                    f"files: {other.path!r} and {recording.path!r} {what}, so their spikes would "
                    "count twice. Give each recording once."
                )
            others.append(recording)


def _form(path: str, head: bytes) -> tuple[int, np.dtype[np.void] | None]:
    """Return the lines of the header and the columns of a file, None if they are not of spikes."""
    lines = [line.decode("ascii", "replace") for line in head.split(b"\n", 3)]
    if len(lines) > 2 and lines[0].startswith(_MARK) and lines[1].startswith(_BACKEND):
        names = tuple(lines[2].lstrip("# ").split())
        known = [columns for columns in (_MS, _STEPS) if columns.names == names]
        return 3, known[0] if known else None
    if not head and path.endswith(".gdf"):
        return 0, _MS
    columns = _columns(lines[0].split())
    if columns is None:
        raise DamagedError(
            f"{path!r} is no recording of NEST: it must begin with {_MARK!r} and {_BACKEND!r}, or "
            "have a sender and a time in each line, as a .gdf of NEST 2. Record to 'ascii' with "
            "NEST 3, to file with NEST 2."
        )
    return 0, columns


def _columns(values: Sequence[str]) -> np.dtype[np.void] | None:
    """Return the columns of a file of NEST 2, given its first line; None if it has others."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return None
    if len(numbers) not in (2, 3) or not values[0].isdecimal():
        return None
    # Times in ms have a decimal point
    steps = values[1].lstrip("-").isdecimal()
    if len(numbers) == 3:
        return _STEPS if steps else None
    return _WHOLE_STEPS if steps else _MS
