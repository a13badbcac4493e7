"""One pass over spikes, in blocks that dask may take in any order, for any number of statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.engine import compute
from simcore.io.access import kept_open

if TYPE_CHECKING:
    from simcore.io.selection import Selection

# Spikes of a block: at least so many, and so many for each neuron, whose results are as large
_BLOCK_SPIKES = 2**20
_SPIKES_PER_NEURON = 4

# Spikes that a task reads of small populations together, and what each costs beside, in spikes
_TASK_SPIKES, _POPULATION_SPIKES = 2**17, 2**12


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
    found = compute(*(_tree(work) for work in _works(passes)))
    totals = [total for parts in found for total in parts]
    return [
        [reduction.finish(part) for reduction, part in zip(reductions, total, strict=True)]
        for (_, reductions), total in zip(passes, totals, strict=True)
    ]


_Passes: TypeAlias = "list[tuple[Selection, Sequence[Reduction], list[slice]]]"


class _Work:
    """What to compute of which spikes: one object, in which dask does not look for lazy values.

    Parameters
    ----------
    passes : list of (Selection, sequence of Reduction, list of slice)
        Selections that are cut into equally many blocks, and these.
    """

    def __init__(self, passes: _Passes) -> None:
        self.passes = passes

    @property
    def n_blocks(self) -> int:
        """Number of blocks of each selection."""
        return len(self.passes[0][2])

    def partials(self, k: int) -> list[list[Any]]:
        """Return what a block of each selection tells."""
        with kept_open():
            return [_partial(s, reductions, blocks[k]) for s, reductions, blocks in self.passes]

    def combine(self, one: list[list[Any]], other: list[list[Any]]) -> list[list[Any]]:
        """Return what neighbouring stretches tell together."""
        return [
            [r.combine(a, b) for r, a, b in zip(reductions, *pair, strict=True)]
            for (_, reductions, _), *pair in zip(self.passes, one, other, strict=True)
        ]


def _partial(selection: Selection, reductions: Sequence[Reduction], rows: slice) -> list[Any]:
    """Return what a block of a selection tells."""
    times, ids = selection.read_all(rows)
    places = selection.places(ids)
    if not selection.whole:
        chosen = places >= 0
        times, places = times[chosen], places[chosen]
    return [reduction.partial(times, places) for reduction in reductions]


def _works(passes: Sequence[tuple[Selection, Sequence[Reduction]]]) -> Iterator[_Work]:
    """Yield the work in its order; neighbouring selections of few spikes share a task."""
    waiting: _Passes = []
    cost = 0
    for selection, reductions in passes:
        size = max(_BLOCK_SPIKES, _SPIKES_PER_NEURON * selection.n_neurons)
        blocks = list(selection.blocks(size))
        more = selection.rows.stop - selection.rows.start + _POPULATION_SPIKES
        if waiting and (cost + more > _TASK_SPIKES or len(blocks) > 1):
            yield _Work(waiting)
            waiting, cost = [], 0
        waiting.append((selection, reductions, blocks))
        cost += more if len(blocks) == 1 else _TASK_SPIKES
    if waiting:
        yield _Work(waiting)


def _tree(work: _Work) -> Any:
    """Return a task that reads all blocks and combines them in pairs."""
    from dask.delayed import delayed

    read, join = delayed(_Work.partials), delayed(_Work.combine)
    results = [read(work, k) for k in range(work.n_blocks)]
    while len(results) > 1:
        pairs = [results[k : k + 2] for k in range(0, len(results), 2)]
        results = [join(work, *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return results[0]
