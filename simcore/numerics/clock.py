"""Time: whole steps inside, milliseconds at the border.

All that turns milliseconds into steps is here, so that a time means the same wherever it is given:

==================================== =====================================================
time                                 between two steps
==================================== =====================================================
duration, interval, width of a bin,  refused
time of a given spike
start and stop of a window           the step before: what happens after `start`, up to
                                     and with `stop`
delay                                the nearest step, from a half on the next, as in NEST
refractory time                      the next step, as in NEST
==================================== =====================================================

A time is compared as a number of steps. It counts as whole, or as a half, when it differs by no
more than `_SLACK` units of its last place, which sums and products of decimals may be off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.services.errors import ConfigError, ModelError, SimcoreError, require

# Steps of a run at most: numbers in float64 still tell them from their halves
MAX_STEPS = 2**46

# Later than any step
NEVER = 2**62

# Units of the last place that a number of steps may be off, and the most that this may come to
_SLACK, _MOST_SLACK = 1024, 2.0**-4

# Recorded times may come from files of other precision: by so much of a step they may be off
GRAIN = 1e-3


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
class Grid:
    """Times in equal steps.

    Step t covers the time from t*dt to (t + 1)*dt; a spike of step t carries the time of its end.

    Parameters
    ----------
    dt : float
        Time step [ms].
    """

    dt: float

    def steps(self, time: float, subject: str, error: type[SimcoreError] = ModelError) -> int:
        """Return a time [ms] as a number of steps; it must lie on the grid.

        Parameters
        ----------
        time : float
            The time [ms].
        subject : str
            What it is, for the message.
        error : type
            Class of the error.
        """
        number = isinstance(time, (int, float, np.integer, np.floating))
        finite = number and not isinstance(time, bool) and math.isfinite(time)
        require(finite, subject, time, "a finite number [ms]", error=error)
        count = float(self._in_steps(time))
        valid = f"below {MAX_STEPS:.3g} steps of dt = {self.dt!r} ms"
        require(abs(count) < MAX_STEPS, subject, time, valid, error=error)
        valid = f"a multiple of dt = {self.dt!r} ms"
        require(count.is_integer(), subject, time, valid, error=error)
        return int(count)

    def down(self, times: ArrayLike) -> NDArray[np.int64]:
        """Return the number of steps that end no later than each time [ms]."""
        return _whole(np.floor(self._in_steps(times)))

    def nearest(self, times: ArrayLike) -> NDArray[np.int64]:
        """Return the number of steps nearest to each time [ms], of two the larger."""
        return _whole(np.floor(self._in_steps(times) + 0.5))

    def up(self, times: ArrayLike) -> NDArray[np.int64]:
        """Return the number of steps that take no less than each time [ms]."""
        return _whole(np.ceil(self._in_steps(times)))

    def window(self, start: float, stop: float) -> tuple[int, int]:
        """Return the first step that ends after `start`, and the first after `stop` [ms]."""
        begin, end = self.down([start, stop]).tolist()
        return begin, end

    def off(self, times: ArrayLike) -> NDArray[np.bool_]:
        """Tell which times [ms] do not lie on the grid."""
        steps = self._in_steps(times)
        return steps != np.floor(steps)

    def recorded_until(self, time: float) -> float:
        """Return the latest that a recorded time may be to count as not after `time` [ms]."""
        on_grid = math.isfinite(time) and not self.off(time)
        return time + GRAIN * self.dt if on_grid else time

    def recorded_steps(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the step that each recorded time [ms] belongs to; it may be that of its end."""
        with np.errstate(over="ignore"):
            return _whole(np.ceil(times / self.dt - GRAIN)) - 1

    def times(self, steps: ArrayLike) -> NDArray[np.float64]:
        """Return numbers of steps as times [ms], exact decimals where dt is 1/n."""
        steps = np.asarray(steps, dtype=np.float64)
        per_ms = round(1.0 / self.dt)
        if per_ms >= 1 and abs(per_ms * self.dt - 1.0) < 1e-12:
            return steps / per_ms
        return steps * self.dt

    def _in_steps(self, times: ArrayLike) -> NDArray[np.float64]:
        """Return times [ms] in steps; those that are whole or half but for rounding are so."""
        with np.errstate(invalid="ignore", over="ignore"):
            steps = np.asarray(times, dtype=np.float64) / self.dt
            halves = np.rint(2.0 * steps) * 0.5
            slack = np.spacing(np.maximum(np.abs(steps), 1.0)) * _SLACK
            close = np.abs(steps - halves) <= np.minimum(slack, _MOST_SLACK)
        return np.where(close, halves, steps)


@dataclass(frozen=True)
class Clock(Grid):
    """The grid of a simulation.

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


def _whole(steps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return numbers of steps as integers; infinity, and what no run reaches, is `NEVER`."""
    with np.errstate(invalid="ignore"):
        return np.clip(steps, -float(NEVER), float(NEVER)).astype(np.int64)


def epochs(begin: int, end: int, length: int) -> Iterator[Epoch]:
    """Cut the steps `begin` to `end` - 1 into epochs of at most `length` steps."""
    for start in range(begin, end, length):
        yield Epoch(start, min(start + length, end))
