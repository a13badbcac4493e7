"""The Poisson input and the Poisson sources of a shard as flat tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.description.drawing import rates_of_drive, rates_of_sources
from simcore.description.ids import Ids, Indices, as_array, places_within
from simcore.description.neurons import PoissonSource
from simcore.description.stimulus import Poisson
from simcore.discretization.limits import pieces
from simcore.discretization.tables import poisson_tables
from simcore.language.per_neuron import is_varying
from simcore.numerics import random
from simcore.numerics.clock import Clock
from simcore.shards.shard_spec import ShardSpec

WORDS_PER_DRAW = 4

POISSON_GROUP = np.dtype(
    [
        (name, np.int64)
        for name in (
            "begin",
            "end",
            "block",
            "stream",
            "emits",
            "weight",
            "receptor",
            "start",
            "stop",
            "smallest",
            "first_threshold",
            "n_thresholds",
            "first_member",
            "n_members",
        )
    ]
)
"""Neurons of one block with equal Poisson input, or sources that emit it.

They are all from `begin` to `end`; or, where `first_member` is not -1, those that are listed.
Where the rate changes there is a group for each of its values, one after the other in time.
"""

# What tells which neurons a group has
_OF_NEURONS = ("begin", "end", "block", "first_member", "n_members")

_Tables = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def poisson_groups(
    shard: ShardSpec,
) -> tuple[NDArray[np.void], NDArray[np.uint32], NDArray[np.int64]]:
    """Return the groups of Poisson input and Poisson sources, their thresholds and members.

    Returns
    -------
    groups : structured ndarray
        See `POISSON_GROUP`; ordered by block.
    thresholds : ndarray of uint32
        Those of all tables, one after the other.
    members : ndarray of int64
        Lids of groups with gaps, ascending in each, one group after the other.
    """
    found = _Groups(shard)
    for drive in shard.network.drives:
        if isinstance(drive.stimulus, Poisson):
            found.add(
                drive.target.ids, drive.stimulus, partial(rates_of_drive, drive),
                stream=random.stream(random.STIMULUS, drive.id), emits=0,
                weight=shard.fixed_point.stimulus_weights[drive.id], receptor=drive.receptor,
            )  # fmt: skip
    for population in shard.network.populations:
        if isinstance(population.model, PoissonSource):
            found.add(
                population.view().ids, population.model, partial(rates_of_sources, population),
                stream=random.stream(random.SOURCE, population.id), emits=1,
            )  # fmt: skip
    return found.tables()


class _Groups:
    """Collects groups, thresholds and members."""

    def __init__(self, shard: ShardSpec) -> None:
        self._shard, self._clock = shard, Clock(shard.dt)
        self._groups = [np.zeros(0, dtype=POISSON_GROUP)]
        self._thresholds = [np.zeros(0, dtype=np.uint32)]
        self._members = [np.zeros(0, dtype=np.int64)]
        self._n_thresholds = self._n_members = 0
        self._known: dict[float, _Tables] = {}

    def add(
        self,
        ids: Ids,
        process: Poisson | PoissonSource,
        rates_of: Callable[[NDArray[np.int64]], Any],
        **same: int,
    ) -> None:
        """Add the groups of some neurons.

        Parameters
        ----------
        ids : Ids
            Their global ids.
        process : Poisson or PoissonSource
            What they have.
        rates_of : callable
            Returns the rate of each of some global ids, where it differs [1/s].
        **same : int
            Fields that all groups share.
        """
        lids = self._shard.neurons.lids(ids)
        if not len(lids):
            return
        shared = None
        for value, start, stop in pieces(process, self._clock):
            if is_varying(value):
                own = as_array(lids)
                rates, which = np.unique(
                    rates_of(self._shard.neurons.gids[own]), return_inverse=True
                )
                groups, which = self._cut(own, which)
            else:
                rates, which = np.array([value]), np.zeros(1, dtype=np.int64)
                groups = shared = self._by_block(lids) if shared is None else shared
            smallest, sizes, firsts = (column[which] for column in self._tables(rates))
            groups = groups.copy()
            groups["smallest"], groups["n_thresholds"] = smallest, sizes
            groups["first_threshold"] = firsts
            for name, field in {"start": start, "stop": stop, **same}.items():
                groups[name] = field

            # Where nothing ever happens nothing is drawn
            self._groups.append(groups[(groups["smallest"] > 0) | (groups["n_thresholds"] > 0)])

    def _by_block(self, lids: Indices) -> NDArray[np.void]:
        """Return the groups of neurons with one rate, with their members where they have gaps."""
        rows = []
        for b in range(self._shard.blocks.size - 1):
            borders = int(self._shard.blocks[b]), int(self._shard.blocks[b + 1])
            inside = lids[places_within(lids, *borders)]
            if not len(inside):
                continue
            listed = -1, 0
            if not isinstance(inside, range):
                listed = self._n_members, inside.size
                self._members.append(inside)
                self._n_members += inside.size
            rows.append((int(inside[0]), int(inside[-1]) + 1, b, *listed))
        found = np.zeros(len(rows), dtype=POISSON_GROUP)
        for name, column in zip(_OF_NEURONS, zip(*rows, strict=True), strict=True):
            found[name] = column
        return found

    def _cut(
        self, lids: NDArray[np.int64], which: NDArray[np.int64]
    ) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """Return the groups of neighbours with equal rates, and which rate each of them has."""
        apart = 1 + np.flatnonzero((np.diff(which) != 0) | (np.diff(lids) != 1))
        blocks = np.searchsorted(lids, self._shard.blocks)
        bounds = np.unique(np.concatenate([[0, lids.size], apart, blocks])).astype(np.int64)
        found = np.zeros(bounds.size - 1, dtype=POISSON_GROUP)
        found["begin"], found["end"] = lids[bounds[:-1]], lids[bounds[1:] - 1] + 1
        found["block"] = np.searchsorted(self._shard.blocks, found["begin"], side="right") - 1
        found["first_member"] = -1
        return found, which[bounds[:-1]]

    def _tables(self, rates: NDArray[Any]) -> _Tables:
        """Return smallest value, number of thresholds and the first of them for each rate."""
        if rates.size == 1 and rates[0] in self._known:
            return self._known[rates[0]]
        smallest, thresholds, bounds = poisson_tables(rates * self._shard.dt * 1e-3)
        found = smallest, np.diff(bounds), bounds[:-1] + self._n_thresholds
        self._thresholds.append(thresholds)
        self._n_thresholds += thresholds.size
        if rates.size == 1:
            self._known[rates[0]] = found
        return found

    def tables(self) -> tuple[NDArray[np.void], NDArray[np.uint32], NDArray[np.int64]]:
        """Return groups, thresholds and members."""
        groups = np.concatenate(self._groups)
        order = np.argsort(groups["block"], kind="stable")
        return groups[order], np.concatenate(self._thresholds), np.concatenate(self._members)
