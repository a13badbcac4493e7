"""Where the time goes: seconds per named phase, a result of every run."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from simcore.services.comm import Comm

# The parts of "run", in the order of a table
PARTS = ("update", "deliver", "copy", "exchange", "waiting", "record", "checkpoint")


class Timers:
    """Wall-clock time of the phases of this rank.

    Examples
    --------
    >>> timers = Timers()
    >>> with timers("build"):
    ...     pass
    >>> timers.add("exchange", 0.5)
    >>> timers.seconds["exchange"]
    0.5
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, phase: str) -> Phase:
        """Return a context that adds the time spent in it to `phase`."""
        return Phase(self, phase)

    def add(self, phase: str, seconds: float) -> None:
        """Add seconds to a phase."""
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds

    def gather(self, comm: Comm) -> dict[str, NDArray[np.float64]] | None:
        """Return the seconds of each phase on every rank.

        Parameters
        ----------
        comm : Comm
            The ranks; all of them call this.

        Returns
        -------
        dict of str to ndarray of float64, shape (n_ranks,), or None
            By phase, in the order of first use [s]; None on ranks other than 0.
        """
        ranks = comm.gather(self.seconds)
        if ranks is None:
            return None
        phases = dict.fromkeys(phase for seconds in ranks for phase in seconds)
        return {p: np.array([seconds.get(p, 0.0) for seconds in ranks]) for p in phases}


class Phase:
    """A context that times one phase."""

    __slots__ = ("begin", "phase", "timers")

    def __init__(self, timers: Timers, phase: str) -> None:
        self.timers, self.phase, self.begin = timers, phase, 0.0

    def __enter__(self) -> None:
        self.begin = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.timers.add(self.phase, perf_counter() - self.begin)


def phase_table(seconds: Mapping[str, NDArray[np.float64]]) -> str:
    """Return the phases as text: shortest, mean and longest time over ranks.

    The parts of the run stand indented under it.

    Parameters
    ----------
    seconds : mapping of str to ndarray of float64, shape (n_ranks,)
        What `Timers.gather` returned [s].
    """
    if not seconds:
        return "no phase was timed"
    parts = [phase for phase in PARTS if phase in seconds]
    wholes = [phase for phase in seconds if phase not in PARTS]
    names = {**{phase: phase for phase in wholes}, **{phase: f"  {phase}" for phase in parts}}
    width = max(len("phase"), *map(len, names.values()))
    lines = [f"{'phase':<{width}} {'min':>10} {'mean':>10} {'max':>10}   [s]"]
    for phase, name in names.items():
        values = np.asarray(seconds[phase], dtype=np.float64)
        low, mean, high = values.min(), values.mean(), values.max()
        lines.append(f"{name:<{width}} {low:>10.3f} {mean:>10.3f} {high:>10.3f}")
    return "\n".join(lines)
