"""Build the tables of a shard: every synapse that arrives at its neurons, sorted by source.

Synapses are drawn twice: once to count, once to keep.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.construction import synapse_draws
from simcore.construction.buckets import put_each, rows_per_bucket, shortest_remote, sort_buckets
from simcore.construction.specification import specify_shards
from simcore.description.ids import as_array, as_key, places_within
from simcore.description.network import Network
from simcore.discretization.fixed_point import FixedPoint, WeightForm
from simcore.partition.partition import Partition
from simcore.services.progress import ShareCallback
from simcore.shards.shard import Shard, SynapseTable
from simcore.shards.shard_spec import ExplicitSynapses, ProceduralSynapses, ShardSpec, TableSpec

# Cursors of the buckets, words, exact weights, keys
Arrays = tuple[NDArray[Any], NDArray[Any], NDArray[np.int32], NDArray[np.uint16]]


def build_shards(
    network: Network,
    partition: Partition,
    parts: range,
    dt: float,
    report: ShareCallback = lambda share: None,
    points: FixedPoint | None = None,
) -> tuple[Shard, ...]:
    """Build the shards of one rank, each in a thread of its own.

    Parameters
    ----------
    network, partition, dt, report, points
        See `build_shard`.
    parts : range
        Whose shards.

    Returns
    -------
    tuple of Shard

    Raises
    ------
    ModelError, CapacityError
        When the description cannot be built.
    """
    specs = specify_shards(network, partition, parts, dt, points)
    together = np.sort(np.concatenate([spec.neurons.gids for spec in specs]))
    stop = Event()

    def build(spec: ShardSpec) -> Shard:
        def told(share: float) -> None:
            if stop.is_set():
                raise RuntimeError("another thread could not build its shard")
            if spec is specs[0]:
                report(share)

        return _build_shard(spec, together, told)

    if len(specs) == 1:
        return (build(specs[0]),)
    with ThreadPoolExecutor(len(specs)) as pool:
        try:
            return tuple(pool.map(build, specs))
        except BaseException:
            # An interrupt too must not wait for all that was begun
            stop.set()
            raise


def build_shard(
    network: Network,
    partition: Partition,
    rank: int,
    dt: float,
    report: ShareCallback = lambda share: None,
    points: FixedPoint | None = None,
) -> Shard:
    """Build the shard of one rank.

    Parameters
    ----------
    network : Network
        The model.
    partition : Partition
        Who owns which neuron.
    rank : int
        Whose shard.
    dt : float
        Time step [ms].
    report : callable, optional
        Called now and then with the share that is done, from 0 to 1.
    points : FixedPoint, optional
        The weights of the network as whole numbers, where they are at hand.

    Returns
    -------
    Shard

    Raises
    ------
    ModelError, CapacityError
        When the description cannot be built.
    """
    return build_shards(network, partition, range(rank, rank + 1), dt, report, points)[0]


def _build_shard(spec: ShardSpec, together: NDArray[np.int64], report: ShareCallback) -> Shard:
    """Build the shard of some of the neurons `together` that a rank has."""
    tables = []
    for number, table in enumerate(spec.table_specs):
        share = 1.0 / len(spec.table_specs)
        step = _Steps(report, number * share, share, 2 * len(table.projections))
        tables.append(_table(spec, table, step))
    gids = spec.neurons.gids
    other = _shortest(tables, gids)
    alone = gids.size == together.size
    return Shard(
        **{field.name: getattr(spec.built(), field.name) for field in fields(ShardSpec)},
        tables=tuple(tables),
        min_remote_delay=other if alone else _shortest(tables, together),
        min_other_delay=other,
    )


def _table(spec: ShardSpec, table: TableSpec, step: _Steps) -> SynapseTable:
    form, blocks, seed = table.form, spec.blocks, spec.network.seed
    n_sources, n_blocks = spec.network.n_neurons, blocks.size - 1
    n_channels = table.n_channels
    bits = rows_per_bucket(n_sources, n_channels, table.expected / n_blocks)
    n_buckets = (n_sources - 1 >> bits) + 1
    buckets = bits, n_channels, table.shift
    gids = spec.neurons.gids
    draws = [Draws(seed, gids, projection, buckets) for projection in table.projections]

    # Count the synapses of every bucket
    dtype = np.uint32 if form is WeightForm.DRAWN else np.uint16
    nothing = np.zeros(0, dtype), np.zeros(0, np.int32), np.zeros(0, np.uint16)
    counts = np.zeros((n_blocks, n_buckets), dtype=np.int64)
    for projection in draws:
        for b in range(n_blocks):
            projection.visit(-1, blocks[b : b + 2], (counts[b], *nothing))
        step()
    bounds = np.concatenate([[0], np.cumsum(counts)])

    # Put them there, and sort
    words = np.empty(bounds[-1], dtype=dtype)
    exact = np.empty(words.size if form is WeightForm.EXACT else 0, dtype=np.int32)
    keys = np.empty(counts.sum(axis=1).max(), dtype=np.uint16)
    found = []
    row_type = np.uint32 if words.size < 2**32 else np.int64
    no_rows = np.zeros((0, 2), row_type)
    n_rows = n_runs = 0
    for b in range(n_blocks):
        own = bounds[b * n_buckets : (b + 1) * n_buckets + 1]
        offset, end = own[0], own[-1]
        arrays = own[:-1] - offset, words[offset:end], exact[offset:end], keys
        for projection in draws:
            projection.visit(int(form), blocks[b : b + 2], arrays)
            step(1.0 / n_blocks)
        at, rows, runs = sort_buckets(
            own, offset, n_sources, bits, n_channels, words, exact, keys, no_rows
        )
        at[:, 1] += np.uint64(n_rows)
        rows[:, 0] += row_type(n_runs)
        found.append((at, rows, runs))
        n_rows, n_runs = n_rows + len(rows), n_runs + runs.size
    del keys, arrays
    last = np.array([[n_runs, words.size]], dtype=row_type)
    return SynapseTable(
        form=form,
        delays=table.delays,
        receptors=table.receptors,
        weights=table.weights,
        sources=np.stack([at for at, _, _ in found]),
        rows=np.concatenate([*(rows for _, rows, _ in found), last]),
        runs=np.concatenate([runs for _, _, runs in found]),
        words=words,
        exact=exact,
        shift=table.shift,
    )


class Draws:
    """The synapses of one projection at the neurons of a rank, ready to be put into buckets.

    Parameters
    ----------
    seed : int
        Seed of the model.
    gids : ndarray of int64
        Global ids of the neurons.
    projection : ProceduralSynapses or ExplicitSynapses
        The projection.
    buckets : (int, int, int)
        Rows in a bucket, as a power of two; number of channels; shift of the weights.
    """

    def __init__(
        self,
        seed: int,
        gids: NDArray[np.int64],
        projection: ProceduralSynapses | ExplicitSynapses,
        buckets: tuple[int, int, int],
    ) -> None:
        self.seed, self.gids, self.projection, self.buckets = seed, gids, projection, buckets
        if isinstance(projection, ProceduralSynapses):
            self.indegrees = projection.indegrees()

    def visit(self, form: int, block: NDArray[np.int64], arrays: Arrays) -> None:
        """Draw the synapses of a block, and count them (form -1) or put them into buckets.

        Parameters
        ----------
        form : int
            The `WeightForm` of the table, or -1.
        block : ndarray of int64, shape (2,)
            First lid, and the one after the last.
        arrays : tuple of ndarray
            Cursors of the buckets, words, exact weights, keys.
        """
        if isinstance(self.projection, ProceduralSynapses):
            self._visit_drawn(self.projection, form, block, arrays)
            return
        origin = int(block[0])
        first, stop = self.projection.lids
        begin = min(max(first, origin), int(block[1]))
        end = max(begin, min(stop, int(block[1])))
        if begin < end:
            for rows, targets, channels, weights in self.projection.synapses(begin, end):
                places = begin - origin + targets
                put_each(form, places, rows, channels, weights, self.buckets, arrays)

    def _visit_drawn(
        self,
        drawn: ProceduralSynapses,
        form: int,
        block: NDArray[np.int64],
        arrays: Arrays,
    ) -> None:
        begin, end = int(block[0]), int(block[1])
        some = places_within(drawn.lids, begin, end)
        lids = drawn.lids[some]
        if not len(lids):
            return
        synapse_draws.visit_targets(
            form,
            int(drawn.choice),
            (np.uint64(self.seed), np.uint64(drawn.stream)),
            (self.gids[as_key(lids)], as_array(lids) - begin),
            self.indegrees[some],
            drawn.sources.packed,
            drawn.excludes,
            (drawn.thresholds, drawn.guide, drawn.weights, drawn.channel_of),
            self.buckets,
            arrays,
        )


def _shortest(tables: list[SynapseTable], gids: NDArray[np.int64]) -> int:
    """Return the shortest delay of a synapse whose source is not in the sorted `gids`."""
    found = [shortest_remote(t.sources, t.rows, t.runs, gids, t.delays) for t in tables]
    return min(map(int, found), default=2**62)


@dataclass
class _Steps:
    """Counts finished steps and reports the share of the whole."""

    report: ShareCallback
    offset: float
    scale: float
    total: int
    done: float = 0.0

    def __call__(self, share: float = 1.0) -> None:
        self.done += share
        self.report(self.offset + self.scale * self.done / max(1, self.total))
