"""Reductions over the spikes of a population, in blocks that dask may take in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from simcore.errors import ConfigError, require

if TYPE_CHECKING:
    from simcore.io.access import Joined
    from simcore.io.reader import Run

T = TypeVar("T")

# Spikes of a block [B], in each of times and ids
_BLOCK_BYTES = 2**23


def reduce_spikes(
    run: Run,
    population: str,
    window: tuple[float, float],
    partial: Callable[[NDArray[np.float64], NDArray[np.int64]], T],
    combine: Callable[[T, T], T],
    scheduler: Any = None,
) -> T:
    """Return what `combine` makes of the partial results of neighbouring blocks of spikes.

    Results are combined in pairs, in a tree that depends on the number of blocks only. So they are
    the same to the last bit on any scheduler.

    Parameters
    ----------
    run : Run
        The run.
    population : str
        Name of a population whose spikes were recorded.
    window : (float, float)
        After the first, up to and with the second [ms].
    partial : callable
        Takes the times [ms] and the places among the recorded neurons of some spikes.
    combine : callable
        Takes the results of two neighbouring blocks, the earlier one first.
    scheduler : str or dask client, optional
        As `dask.compute` takes it; dask's own choice if left out.
    """
    from dask.base import compute
    from dask.delayed import delayed

    times, ids, rows = run.spike_rows(population, *window)
    recorded = run.recorded_ids(population)
    step = max(1, _BLOCK_BYTES // 8)
    begins = range(rows.start, max(rows.stop, rows.start + 1), step)
    blocks = [slice(begin, min(begin + step, rows.stop)) for begin in begins]
    task = delayed(_read)
    results = [task(times, ids, block, recorded, partial) for block in blocks]
    while len(results) > 1:
        pairs = [results[k : k + 2] for k in range(0, len(results), 2)]
        results = [delayed(combine)(*p) if len(p) == 2 else p[0] for p in pairs]
    (found,) = compute(results[0], scheduler=scheduler)
    return found


def _read(
    times: Joined,
    ids: Joined,
    rows: slice,
    recorded: range,
    partial: Callable[[NDArray[np.float64], NDArray[np.int64]], T],
) -> T:
    places = (ids[rows].astype(np.int64) - recorded.start) // recorded.step
    return partial(times[rows], places)


def window_of(run: Run, start: float | None, stop: float | None) -> tuple[float, float]:
    """Return a window of time, of all that is recorded where a border is left out [ms].

    Raises
    ------
    ConfigError
        When nothing recorded lies in it.
    """
    begin = run.record_from if start is None else max(float(start), run.record_from)
    end = run.end if stop is None else min(float(stop), run.end)
    valid = f"within what is recorded, {run.record_from:.10g} to {run.end:.10g} ms"
    require(begin < end, "window", (start, stop), valid, error=ConfigError)
    return begin, end
