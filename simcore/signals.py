"""Requests from outside: signals that ask a run for a checkpoint, or to stop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

CHECKPOINT, STOP = signal.SIGUSR1, signal.SIGTERM


class Signals:
    """A context in which SIGUSR1 and SIGTERM are noted instead of ending the process.

    A run looks at what was noted between its pieces. Python handles signals in the main thread
    only; elsewhere the context does nothing.

    Parameters
    ----------
    enabled : bool
        Whether it does anything.

    Attributes
    ----------
    checkpoint, stop : bool
        Whether a checkpoint is wanted, and whether the run shall stop after it.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.checkpoint = self.stop = False
        self._enabled = enabled and threading.current_thread() is threading.main_thread()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        if self._enabled:
            self._before = {s: signal.signal(s, self._note) for s in (CHECKPOINT, STOP)}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == STOP:
            self.stop = True
        else:
            self.checkpoint = True


@contextmanager
def orderly_end(enabled: bool = True) -> Iterator[None]:
    """Let SIGTERM end the process by an exception inside this context, so that it cleans up.

    Without it temporary files would stay. A shell sees the same exit code, 143.

    Parameters
    ----------
    enabled : bool
        Whether it does anything; it cannot outside the main thread.
    """
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: FrameType | None) -> None:
    # A second one ends the process at once
    signal.signal(number, signal.SIG_DFL)
    sys.exit(128 + number)
