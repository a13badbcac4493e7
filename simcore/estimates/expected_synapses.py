"""How many synapses, rows and runs a shard will have: expected from the description alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.construction.projection_tables import (
    Channel,
    ProjectionTables,
    all_channels,
    make_projection_tables,
)
from simcore.description.connectivity import (
    AllToAll,
    FixedIndegree,
    FixedOutdegree,
    OneToOne,
    PairwiseBernoulli,
)
from simcore.description.degrees import mean_indegree
from simcore.description.network import Network
from simcore.discretization.fixed_point import FixedPoint, WeightForm
from simcore.shards.local_neurons import Lids
from simcore.shards.shard import block_bounds


@dataclass(frozen=True)
class TableCounts:
    """What is expected of one `SynapseTable`.

    Sources are taken together in segments of neighbours that have the same projections, but for
    views with gaps.

    Parameters
    ----------
    form : WeightForm
        How its weights are kept.
    n_channels : int
        Delays and receptors together.
    n_blocks : int
        Blocks of targets.
    synapses, rows, runs : ndarray of float64, shape (n_segments,)
        From all sources of a segment.
    fullest : float
        Synapses of the block that has most.
    indegrees : int
        In-degrees that the build keeps, one per projection and target; the lids of targets with
        gaps count as well.
    """

    form: WeightForm
    n_channels: int
    n_blocks: int
    synapses: NDArray[np.float64]
    rows: NDArray[np.float64]
    runs: NDArray[np.float64]
    fullest: float
    indegrees: int


class Expectation:
    """What is expected of any shard of a network.

    Parameters
    ----------
    network : Network
        The model.
    points : FixedPoint
        Its weights; they tell in which form each synapse is kept.
    dt : float
        Time step [ms].

    Attributes
    ----------
    segments : ndarray of int64, shape (n_segments + 1,)
        Bounds of the segments of sources, in global ids; none reaches beyond a population.
    projections : list of ProjectionTables
        One per projection.
    max_delay : int
        Longest delay [steps], at least 1.

    Raises
    ------
    ModelError, CapacityError
        When a delay does not fit the time step.
    """

    def __init__(self, network: Network, points: FixedPoint, dt: float) -> None:
        self.network, self.points, self.dt = network, points, dt
        self.projections = [make_projection_tables(p, points, dt) for p in network.projections]
        self.max_delay = max((r.delays.last for r in self.projections), default=1)
        self.receptors = max((p.n_receptors for p in network.populations), default=1)
        firsts = [p.first for p in network.populations]
        ranges = [r.projection.source.gid_range for r in self.projections]
        self.segments = np.unique([*firsts, *(g for pair in ranges for g in pair), self._n])
        used = [r for r in self.projections if r.weights.size]
        forms = sorted({r.form for r in used})
        targets = [r.projection.target.ids for r in self.projections]
        self._targets = sorted({ids.span for ids in targets if ids.contiguous})
        self._scattered = list({ids.key: ids for ids in targets if not ids.contiguous}.values())
        self._known: dict[tuple[object, ...], list[TableCounts]] = {}
        self._tables = [_Sources(f, [r for r in used if r.form is f], self.segments) for f in forms]

    @property
    def _n(self) -> int:
        return self.network.n_neurons

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of sources in each segment."""
        return np.diff(self.segments)

    @property
    def longest_delays(self) -> NDArray[np.int64]:
        """Longest delay of the synapses from each segment [steps]; 0 without any."""
        found = np.zeros(self.sizes.size, dtype=np.int64)
        for r in self.projections:
            begin, end = np.searchsorted(self.segments, r.projection.source.gid_range)
            found[begin:end] = np.maximum(found[begin:end], r.delays.last)
        return found

    def blocks(self, neurons: Lids) -> NDArray[np.int64]:
        """Return the bounds of the blocks of targets of a shard, shape (n_blocks + 1,)."""
        return block_bounds(neurons.size, self.receptors)

    def tables(self, neurons: Lids, bounds: NDArray[np.int64] | None = None) -> list[TableCounts]:
        """Return what is expected of the tables of a shard.

        Parameters
        ----------
        neurons : Lids
            Those of the shard.
        bounds : ndarray of int64, shape (n_blocks + 1,), optional
            Bounds of blocks of targets, in lids; those of `blocks` if left out.
        """
        if neurons.size == 0:
            return []
        # Many ranks and threads own the same
        blocks = self.blocks(neurons) if bounds is None else bounds
        owned = (neurons.lid_range(target) for target in self._targets)
        among = (neurons.n_below(ids, blocks).tobytes() for ids in self._scattered)
        key = neurons.size, None if bounds is None else bounds.tobytes(), *owned, *among
        if key not in self._known:
            counts = [table.counts(neurons, blocks) for table in self._tables]
            self._known[key] = [found for found in counts if found.synapses.any()]
        return self._known[key]

    def reached(self, shards: Sequence[Lids]) -> NDArray[np.float64]:
        """Return the probability that a source has a target on a rank.

        Parameters
        ----------
        shards : sequence of Lids
            Neurons of the rank, for each of its threads.

        Returns
        -------
        ndarray of float64, shape (n_segments,)
        """
        missed = np.ones(self.sizes.size)
        for table in self._tables:
            inside = [table.inside(own, np.array([0, own.size]))[:, 0] for own in shards]
            missed *= 1.0 - table.presence(np.sum(inside, axis=0))[0]
        return 1.0 - missed


class _Sources:
    """The projections of one form, and how their synapses spread over sources and channels."""

    def __init__(
        self, form: WeightForm, projections: list[ProjectionTables], segments: NDArray[np.int64]
    ) -> None:
        self.form, self.projections = form, projections
        channels = {c: i for i, c in enumerate(all_channels(projections))}
        self._n_channels = len(channels)
        self._places, self._parts = _places_and_parts(projections, channels)
        sources = [r.projection.source.ids for r in projections]
        self._spans = np.searchsorted(segments, np.array([ids.span for ids in sources]))
        self._n_sources = np.array([ids.size for ids in sources])
        self._sizes = np.diff(segments).astype(np.float64)
        gaps = {ids.key: ids for ids in sources if not ids.contiguous}
        self._shares = {k: np.diff(ids.below(segments)) / self._sizes for k, ids in gaps.items()}
        self._gaps = [None if ids.contiguous else ids.key for ids in sources]
        self._listed = [not r.projection.target.contiguous for r in projections]

    def inside(self, neurons: Lids, blocks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the targets that each projection has in each block, shape (n, n_blocks)."""
        targets = [r.projection.target.ids for r in self.projections]
        lids = np.array([neurons.lid_range(ids.span) for ids in targets])
        begin = np.maximum(lids[:, :1], blocks[:-1])
        found = np.maximum(np.minimum(lids[:, 1:], blocks[1:]) - begin, 0).astype(np.float64)
        known: dict[object, NDArray[np.int64]] = {}
        for k, ids in enumerate(targets):
            if not ids.contiguous:
                if ids.key not in known:
                    known[ids.key] = np.diff(neurons.n_below(ids, blocks))
                found[k] = known[ids.key]
        return found

    def counts(self, neurons: Lids, blocks: NDArray[np.int64]) -> TableCounts:
        """Return what is expected of the table of a shard."""
        inside = self.inside(neurons, blocks)
        indegree = np.array([mean_indegree(r.projection) for r in self.projections])
        each = indegree * inside.sum(axis=1) / self._n_sources
        synapses = np.zeros(self._sizes.size)
        for k in np.flatnonzero(each):
            span, key = slice(*self._spans[k]), self._gaps[k]
            synapses[span] += each[k] * (1.0 if key is None else self._shares[key][span])
        rows, runs = np.zeros((2, self._sizes.size))

        # Blocks inside of one population are alike
        alike, times = np.unique(inside, axis=1, return_counts=True)
        for targets, n in zip(alike.T, times, strict=True):
            row, run = self.presence(targets)
            rows += n * row
            runs += n * run
        return TableCounts(
            form=self.form,
            n_channels=self._n_channels,
            n_blocks=blocks.size - 1,
            synapses=self._sizes * synapses,
            rows=self._sizes * rows,
            runs=self._sizes * runs,
            fullest=float((indegree @ inside).max()),
            indegrees=int(inside.sum() + inside[self._listed].sum()),
        )

    def presence(
        self, targets: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the chance that a source has a row in a block, and its expected number of runs.

        A source with m expected synapses has none with the probability exp(-m), as if synapses
        were independent, or (1 - m/n)^n where it has n chances of one. Views with gaps are taken
        to share no source with one another: at most so many have a row.

        Parameters
        ----------
        targets : ndarray of float64, shape (n_projections,)
            Targets of each projection in the block.
        """
        rows = np.zeros(self._sizes.size)
        runs = np.zeros((self._sizes.size, self._n_channels))
        some: dict[tuple[Any, ...], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        for k in np.flatnonzero(targets):
            projection, span = self.projections[k].projection, slice(*self._spans[k])
            each = mean_indegree(projection) * targets[k] / self._n_sources[k]
            chances = _chances(projection.rule, targets[k])
            key, to = self._gaps[k], (rows, runs)
            if key is not None:
                to = some.setdefault(key, (np.zeros_like(rows), np.zeros_like(runs)))
            to[0][span] += _exponent(each, chances)
            to[1][span, self._places[k]] += _exponent(each * self._parts[k], chances)
        if not some:
            return -np.expm1(-rows), -np.expm1(-runs).sum(axis=1)
        row, run = np.zeros_like(rows), np.zeros_like(runs)
        for gap, (of_rows, of_runs) in some.items():
            row -= self._shares[gap] * np.expm1(-of_rows)
            run -= self._shares[gap][:, None] * np.expm1(-of_runs)
        row, run = np.minimum(row, 1.0), np.minimum(run, 1.0)
        return 1.0 - np.exp(-rows) * (1.0 - row), (1.0 - np.exp(-runs) * (1.0 - run)).sum(axis=1)


def _exponent(expected: NDArray[np.float64] | float, chances: float) -> NDArray[np.float64]:
    """Return the x for which exp(-x) is the probability of no synapse."""
    if math.isinf(chances):
        return np.asarray(expected)
    return -chances * np.log1p(-np.minimum(np.asarray(expected) / chances, 0.999999))


def _chances(rule: object, targets: float) -> float:
    """Return how many synapses a source can have in a block; infinity if they are Poisson."""
    if isinstance(rule, FixedOutdegree):
        return max(rule.outdegree, 1)
    if isinstance(rule, OneToOne):
        return 1.0
    distinct = isinstance(rule, FixedIndegree) and not rule.allow_multapses
    if distinct or isinstance(rule, (AllToAll, PairwiseBernoulli)):
        return targets
    return math.inf


def _places_and_parts(
    projections: Sequence[ProjectionTables], channels: dict[Channel, int]
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float64]]]:
    """Return the channels of each projection, and the share of its synapses in each of them."""
    known: dict[tuple[object, ...], tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    found = []
    for r in projections:
        key = (id(r.delays), id(r.weights), r.receptors)
        if key not in known:
            shares = r.shares()
            places = np.array([channels[c] for c in shares], dtype=np.int64)
            known[key] = places, np.array(list(shares.values()))
        found.append(known[key])
    return [places for places, _ in found], [parts for _, parts in found]
