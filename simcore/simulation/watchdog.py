"""The watchdog: a job that hangs says where, and ends."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from simcore.services.progress import duration

# How much longer than the watchdog a stuck interpreter is given: as a factor, and in addition [s]
_GRACE_FACTOR, _GRACE = 1.1, 5.0

# How long a launcher may take to pass on what was printed [s]
_PASSED_ON = 0.5


class Watchdog:
    """A context that ends the process when there is no progress for too long.

    What every thread is doing is printed before, on standard error. Ranks that wait for one that
    hangs do the same; the launcher ends the rest. A second watch, which does not need the
    interpreter, takes over where that is stuck.

    Parameters
    ----------
    seconds : float
        How long may pass between two calls of `beat`; 0 switches it off.
    rank : int
        What the message calls this process.
    """

    def __init__(self, seconds: float, rank: int) -> None:
        self.seconds = seconds
        self.rank = rank
        self._last = self._armed = time.monotonic()
        self._resting = False
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Watchdog:
        if self.seconds > 0.0:
            self._arm()
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            faulthandler.cancel_dump_traceback_later()

    def beat(self) -> None:
        """Say that there was progress; cheap."""
        self._last = time.monotonic()
        late = self._last > self._armed + 0.1 * self.seconds
        if self._thread is not None and late and not self._resting:
            self._arm()

    @contextmanager
    def rest(self) -> Iterator[None]:
        """Do not watch inside this context, where one rank works on a disk as long as it takes."""
        self._resting = True
        faulthandler.cancel_dump_traceback_later()
        try:
            yield
        finally:
            self._resting, self._last = False, time.monotonic()
            if self._thread is not None:
                self._arm()

    def _arm(self) -> None:
        self._armed = time.monotonic()
        later = _GRACE_FACTOR * self.seconds + _GRACE
        faulthandler.dump_traceback_later(later, exit=True, file=sys.__stderr__ or 2)

    def _watch(self) -> None:
        left = self.seconds
        while left > 0.0:
            if self._done.wait(left):
                return
            rested = time.monotonic() if self._resting else self._last
            left = rested + self.seconds - time.monotonic()
        print(
            f"simcore: error: rank {self.rank} made no progress for {duration(self.seconds)}. "
            "It or a rank that it waits for hangs; this is where (option --watchdog):",
            file=sys.__stderr__,
            flush=True,
        )
        faulthandler.dump_traceback(file=sys.__stderr__ or 2)
        time.sleep(_PASSED_ON)
        os._exit(1)
