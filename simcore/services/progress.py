"""How far a run is: a line that is rewritten on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Self, TextIO

# Time between two lines on a terminal and elsewhere [s]
_TERMINAL_INTERVAL, _PLAIN_INTERVAL = 0.2, 10.0
_BAR_WIDTH = 24


# Called with the share of some work that is done, from 0 to 1
ShareCallback = Callable[[float], None]


class StatusLines:
    """Lines about something that takes long.

    Parameters
    ----------
    stream : file, optional
        Where to write; standard error if left out.
    enabled : bool
        Whether anything is written.
    """

    def __init__(self, stream: TextIO | None = None, enabled: bool = True) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.enabled = enabled and self.stream is not None
        self.terminal = self.enabled and _is_terminal(self.stream)
        self._interval = _TERMINAL_INTERVAL if self.terminal else _PLAIN_INTERVAL
        self._due = -math.inf
        self._line_open = False

    def message(self, text: str) -> None:
        """Write a line of its own."""
        if self.enabled:
            self._write(f"{self._clear()}{text}\n")
            self._line_open = False

    def warn(self, text: str) -> None:
        """Write a line of its own, also where no progress is wanted."""
        self.message(text)
        if not self.enabled:
            print(text, file=sys.stderr, flush=True)

    def _is_due(self) -> bool:
        now = perf_counter()
        if now < self._due:
            return False
        self._due = now + self._interval
        return True

    def _show(self, share: float, phase: str, text: str) -> None:
        share = min(max(share, 0.0), 1.0)
        if not self.terminal:
            self.message(f"{text} ({share:.0%})")
            return
        done = round(share * _BAR_WIDTH)
        line = f"{phase:<5} [{'#' * done}{'.' * (_BAR_WIDTH - done)}] {share:>4.0%}  {text}"
        columns = shutil.get_terminal_size().columns
        self._write(f"{self._clear()}{line[: columns - 1]}")
        self._line_open = True

    def _clear(self) -> str:
        return "\r\x1b[K" if self._line_open else ""

    def _write(self, text: str) -> None:
        # A closed terminal must not end a run
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            self.enabled = False


class Progress(StatusLines):
    """Progress of a build and a run, for one rank to report.

    Parameters
    ----------
    duration_ms : float
        Model time at the end of the run [ms].
    stream : file, optional
        Where to write; standard error if left out.
    enabled : bool
        Whether anything is written.
    """

    def __init__(
        self, duration_ms: float, stream: TextIO | None = None, enabled: bool = True
    ) -> None:
        super().__init__(stream, enabled)
        self.duration = float(duration_ms)
        self._first: tuple[float, float] | None = None
        self._last = 0.0
        self._beat: Callable[[], None] = _nothing

    def listen(self, beat: Callable[[], None]) -> None:
        """Call a function at every report, whether it is written or not."""
        self._beat = beat

    def building(self, share: float) -> None:
        """Report the share of the build that is done, from 0 to 1."""
        self._beat()
        if self.enabled and self._is_due():
            self._show(share, "build", "building the network")

    def built(self, seconds: float, n_neurons: int, n_synapses: int) -> None:
        """Report the end of the build: its wall-clock time [s], and what was built."""
        self.message(
            f"built {n_neurons:,} neurons and {n_synapses:,} synapses in {duration(seconds)}"
        )
        self._due = -math.inf

    def running(self, model_ms: float) -> None:
        """Report the model time reached [ms]; cheap when a line is not due."""
        self._beat()
        self._last = model_ms
        if self._first is None:
            self._first = (perf_counter(), model_ms)
        if self.enabled and self._is_due():
            share = model_ms / self.duration if self.duration > 0.0 else 1.0
            self._show(share, "run", f"{model_ms:.10g} of {self.duration:.10g} ms{self._pace()}")

    def finished(self) -> None:
        """Report the end of the run."""
        if self._first is None:
            return
        begin, first = self._first
        wall, model = perf_counter() - begin, self._last - first
        factor = f", real-time factor {1e3 * wall / model:.3g}" if model > 0.0 else ""
        self.message(f"simulated {model:.10g} ms in {duration(wall)}{factor}")

    def _pace(self) -> str:
        begin, first = self._first or (0.0, 0.0)
        model, wall = self._last - first, perf_counter() - begin
        if model <= 0.0 or wall <= 0.0:
            return ""
        left = wall / model * max(0.0, self.duration - self._last)
        return f", real-time factor {1e3 * wall / model:.3g}, {duration(left)} left"


class TaskProgress(StatusLines):
    """Progress of work of which is known how much there is, such as reading a file.

    Nothing is written before it has taken as long as the time between two lines: what is done at
    once needs no report.

    Parameters
    ----------
    name : str
        One word, such as "read"; it stands before the bar on a terminal.
    total : int
        How much there is.
    unit : str
        Of what, such as "spikes".
    stream : file, optional
        Where to write; standard error if left out.
    enabled : bool
        Whether anything is written.
    """

    def __init__(
        self,
        name: str,
        total: int,
        unit: str,
        stream: TextIO | None = None,
        enabled: bool = True,
    ) -> None:
        super().__init__(stream, enabled)
        self.name = name
        self.total = total
        self.unit = unit
        self.done = 0
        self._begin = perf_counter()
        self._due = self._begin + self._interval

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Remove the line from the terminal
        if self._line_open:
            self._write(self._clear())
            self._line_open = False

    def advance(self, amount: int) -> None:
        """Report that so much more is done; cheap when a line is not due."""
        self.done += amount
        if self.enabled and self._is_due():
            wall = perf_counter() - self._begin
            left = wall / max(self.done, 1) * max(0, self.total - self.done)
            text = f"{self.done:,} of {self.total:,} {self.unit}, {duration(left)} left"
            self._show(self.done / max(self.total, 1), self.name, text)


def duration(seconds: float) -> str:
    """Return a time in words, such as ``"12.3 s"`` or ``"2:05:30 h"``."""
    if seconds < 60.0:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def _nothing() -> None:
    """Do nothing."""


def _is_terminal(stream: TextIO) -> bool:
    return bool(getattr(stream, "isatty", lambda: False)()) and os.environ.get("TERM") != "dumb"
