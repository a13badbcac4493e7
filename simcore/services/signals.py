"""Requests from outside: signals that ask a run for a checkpoint, or to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

CHECKPOINT = signal.SIGUSR1

# The signals that ask a run to stop, and how a message calls them
STOPS = {signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP", signal.SIGINT: "Ctrl-C"}

_STOPPING = (
    "\nsimcore: Ctrl-C: a checkpoint is written, then the run stops. Press it again to end the run "
    "at once.\n"
)


class Signals:
    """A context in which signals are noted instead of ending the process.

    SIGUSR1 asks for a checkpoint; SIGTERM, SIGHUP and Ctrl-C (SIGINT) ask to stop. A run looks at
    what was noted between its pieces. A second Ctrl-C raises `KeyboardInterrupt` at once. A signal
    that the process ignores, as SIGHUP under nohup, stays ignored. Python handles signals in the
    main thread only; elsewhere the context does nothing.

    Parameters
    ----------
    enabled : bool
        Whether it does anything.
    way : str
        How to go on with the run, for the message of a second Ctrl-C.
    speaks : bool
        Whether the first Ctrl-C is answered on standard error.

    Attributes
    ----------
    checkpoint : bool
        Whether a checkpoint is wanted.
    stops : set of signal.Signals
        Who asked to stop the run after a checkpoint.
    """

    def __init__(self, enabled: bool = True, way: str = "", speaks: bool = False) -> None:
        self.checkpoint = False
        self.stops: set[int] = set()
        self._way, self._speaks = way, speaks
        self._enabled = enabled and threading.current_thread() is threading.main_thread()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        if self._enabled:
            self._before = _handle((CHECKPOINT, *STOPS), self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _give_back(self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == CHECKPOINT:
            self.checkpoint = True
            return
        if number == signal.SIGINT and number in self.stops:
            raise KeyboardInterrupt(f"ended at once by a second Ctrl-C. {self._way}".strip())
        self.stops.add(number)
        if number == signal.SIGINT and self._speaks:
            # The stream of Python may be in use where the signal came
            with suppress(OSError):
                os.write(2, _STOPPING.encode())


def in_session() -> bool:
    """Tell whether somebody types commands into this Python, or runs cells of a notebook."""
    return hasattr(sys, "ps1") or bool(sys.flags.interactive)


@contextmanager
def orderly_end(enabled: bool = True) -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the process by an exception inside this context, to clean up.

    Without it temporary files would stay. A shell sees the same exit code, 143 or 129.

    Parameters
    ----------
    enabled : bool
        Whether it does anything; it cannot outside the main thread.
    """
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = _handle((signal.SIGTERM, signal.SIGHUP), _leave)
    try:
        yield
    finally:
        _give_back(before)


def _leave(number: int, frame: FrameType | None) -> None:
    # A second one ends the process at once
    signal.signal(number, signal.SIG_DFL)
    sys.exit(128 + number)


def _handle(numbers: Iterable[signal.Signals], handler: Any) -> dict[signal.Signals, Any]:
    """Handle signals but those that are ignored; return who handled them before."""
    # None is a handler that Python does not know
    before = {number: signal.getsignal(number) for number in numbers}
    kept = {n: h for n, h in before.items() if h not in (signal.SIG_IGN, None)}
    for number in kept:
        signal.signal(number, handler)
    return kept


def _give_back(before: dict[signal.Signals, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
