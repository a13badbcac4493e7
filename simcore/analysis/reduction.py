"""One pass over spikes, in blocks that dask may take in any order, for any number of statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.engine import compute

if TYPE_CHECKING:
    from simcore.io.selection import Selection

# Spikes of a block: at least so many, and so many for each neuron, whose results are as large
_BLOCK_SPIKES = 2**20
_SPIKES_PER_NEURON = 4


class Reduction(Protocol):
    """How a statistic is made of blocks of spikes."""

    def partial(self, times: NDArray[np.float64], places: NDArray[np.int64]) -> Any:
        """Return what a block tells.

        Parameters
        ----------
        times : ndarray of float64, shape (n_spikes,)
            Ascending [ms].
        places : ndarray of int64, shape (n_spikes,)
            Which of the chosen neurons, in [0, n_neurons).
        """

    def combine(self, one: Any, other: Any) -> Any:
        """Return what two neighbouring stretches tell together, the earlier one first."""

    def finish(self, total: Any) -> Any:
        """Return the statistic."""


def reduce_spikes(selection: Selection, *reductions: Reduction) -> list[Any]:
    """Return some statistics of a selection, for which its spikes are read once."""
    return reduce_all([(selection, reductions)])[0]


def reduce_all(passes: Sequence[tuple[Selection, Sequence[Reduction]]]) -> list[list[Any]]:
    """Return some statistics of several selections, each of which is read once.

    Results are combined in pairs, in a tree that depends on the number of blocks only. So they are
    the same to the last bit on any scheduler. The scheduler is dask's: threads, or the cluster of
    the current `distributed.Client`, or what ``dask.config.set(scheduler=...)`` says.

    Parameters
    ----------
    passes : sequence of (Selection, sequence of Reduction)
        What to compute of which spikes.

    Returns
    -------
    list of list
        The statistics, in the order of `passes`.
    """
    totals = compute(*(_tree(selection, tuple(reductions)) for selection, reductions in passes))
    return [
        [reduction.finish(part) for reduction, part in zip(reductions, total, strict=True)]
        for (_, reductions), total in zip(passes, totals, strict=True)
    ]


class _Pass:
    """What to compute of which spikes: one object, in which dask does not look for lazy values."""

    def __init__(self, selection: Selection, reductions: tuple[Reduction, ...]) -> None:
        self.selection = selection
        self.reductions = reductions

    def partials(self, rows: slice) -> tuple[Any, ...]:
        """Return what a block tells."""
        times, ids = self.selection.read_all(rows)
        places = self.selection.places(ids)
        if not self.selection.whole:
            chosen = places >= 0
            times, places = times[chosen], places[chosen]
        return tuple(reduction.partial(times, places) for reduction in self.reductions)

    def combine(self, one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what neighbouring stretches tell together."""
        return tuple(r.combine(a, b) for r, a, b in zip(self.reductions, one, other, strict=True))


def _tree(selection: Selection, reductions: tuple[Reduction, ...]) -> Any:
    """Return a task that reads all blocks and combines them in pairs."""
    from dask.delayed import delayed

    size = max(_BLOCK_SPIKES, _SPIKES_PER_NEURON * selection.n_neurons)
    work = _Pass(selection, reductions)
    read, join = delayed(_Pass.partials), delayed(_Pass.combine)
    results = [read(work, rows) for rows in selection.blocks(size)]
    while len(results) > 1:
        pairs = [results[k : k + 2] for k in range(0, len(results), 2)]
        results = [join(work, *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return results[0]
