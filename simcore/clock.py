"""Time: whole steps inside, milliseconds at the border."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.errors import ConfigError, ModelError, require


@dataclass(frozen=True)
class Epoch:
    """The steps `begin` to `end` - 1, which a rank advances without hearing from others."""

    begin: int
    end: int

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self.end - self.begin


@dataclass(frozen=True)
class Clock:
    """The grid of time.

    Step t covers the time from t*dt to (t + 1)*dt; a spike of step t carries the time of its end.

    Parameters
    ----------
    dt : float
        Time step [ms].
    """

    dt: float = 0.1

    def __post_init__(self) -> None:
        number = isinstance(self.dt, (int, float)) and not isinstance(self.dt, bool)
        ok = number and math.isfinite(self.dt) and 1e-4 <= self.dt <= 100.0
        require(ok, "dt", self.dt, "in [0.0001, 100] ms", error=ConfigError)

    def steps(self, time: float, subject: str) -> int:
        """Return a time [ms] as a number of steps; it must lie on the grid."""
        number = isinstance(time, (int, float, np.integer, np.floating))
        finite = number and not isinstance(time, bool) and math.isfinite(time)
        require(finite, subject, time, "a finite number [ms]")
        longest = f"below {2.0**62 * self.dt:.3g} ms"
        require(abs(time / self.dt) < 2.0**62, subject, time, longest)
        count = round(time / self.dt)
        on_grid = abs(time / self.dt - count) <= 1e-6 * max(1.0, abs(count))
        require(on_grid, subject, time, f"a multiple of dt = {self.dt!r} ms")
        return count

    def steps_rounded(self, time: float) -> int:
        """Return the number of steps nearest to a time [ms]; 2**62 for any above."""
        return math.floor(min(time / self.dt, 2.0**62) + 0.5)

    def times(self, steps: ArrayLike) -> NDArray[np.float64]:
        """Return numbers of steps as times [ms], exact decimals where dt is 1/n."""
        steps = np.asarray(steps, dtype=np.float64)
        per_ms = round(1.0 / self.dt)
        if per_ms >= 1 and abs(per_ms * self.dt - 1.0) < 1e-12:
            return steps / per_ms
        return steps * self.dt

    def train_steps(self, times: NDArray[np.float64], subject: str) -> NDArray[np.int64]:
        """Return the steps in which given spikes are emitted, one before the step they start."""
        with np.errstate(over="ignore"):
            exact = times / self.dt
        steps = np.rint(exact)
        late = steps >= 2.0**62
        if late.any():
            raise ModelError(
                f"{subject} contains {float(times[late][0])!r} ms, must be below "
                f"{2.0**62 * self.dt:.3g} ms"
            )
        off = np.abs(exact - steps) > 1e-6 * np.maximum(1.0, steps)
        if off.any():
            raise ModelError(
                f"{subject} contains {float(times[off][0])!r} ms, must be multiples of "
                f"dt = {self.dt!r} ms. Round the times."
            )
        early = steps < 1
        if early.any():
            raise ModelError(f"{subject} contains {float(times[early][0])!r} ms, must be >= dt")
        return steps.astype(np.int64) - 1


def epochs(begin: int, end: int, length: int) -> Iterator[Epoch]:
    """Cut the steps `begin` to `end` - 1 into epochs of at most `length` steps."""
    for start in range(begin, end, length):
        yield Epoch(start, min(start + length, end))
