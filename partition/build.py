"""Build the shard of one rank: every synapse that arrives at its neurons.

Connectivity is a function of the target, so a rank needs nothing from the others. Synapses are
drawn twice: once to count, once to keep.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore import random
from simcore.connectivity import (
    AllToAll,
    Edges,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    OneToOne,
    PairwiseBernoulli,
)
from simcore.degrees import n_synapses
from simcore.errors import CapacityError, require
from simcore.fixed_point import FixedPoint, Form, fixed_point
from simcore.network import Network
from simcore.partition import binomial, draw
from simcore.partition.buckets import KEYS, put_each, rows_per_bucket, shortest_remote, sort_buckets
from simcore.partition.explicit import explicit_synapses
from simcore.partition.partition import Partition
from simcore.partition.recipe import Channel, Recipe, all_channels, make_recipe
from simcore.shard import LocalNeurons, Shard, SynapseTable, block_bounds

Report = Callable[[float], None]

# Cursors of the buckets, words, exact weights, keys
Arrays = tuple[NDArray[Any], NDArray[Any], NDArray[np.int32], NDArray[np.uint16]]


def build_shards(
    network: Network,
    partition: Partition,
    parts: range,
    dt: float,
    report: Report = lambda share: None,
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
    points = points or fixed_point(network, dt)
    together = np.sort(np.concatenate([partition.gids(part) for part in parts]))
    recipes = [make_recipe(p, points, dt) for p in network.projections]

    stop = Event()

    def build(part: int) -> Shard:
        def told(share: float) -> None:
            if stop.is_set():
                raise RuntimeError("another thread could not build its shard")
            if part == parts[0]:
                report(share)

        return _build(network, points, recipes, partition.gids(part), together, dt, told)

    if len(parts) == 1:
        return (build(parts[0]),)
    with ThreadPoolExecutor(len(parts)) as pool:
        try:
            return tuple(pool.map(build, parts))
        except BaseException:
            # An interrupt too must not wait for all that was begun
            stop.set()
            raise


def build_shard(
    network: Network,
    partition: Partition,
    rank: int,
    dt: float,
    report: Report = lambda share: None,
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


def _build(
    network: Network,
    points: FixedPoint,
    recipes: list[Recipe],
    gids: NDArray[np.int64],
    together: NDArray[np.int64],
    dt: float,
    report: Report,
) -> Shard:
    """Build the shard of some of the neurons `together` that a rank has."""
    neurons = LocalNeurons(gids)
    receptors = max((p.n_receptors for p in network.populations), default=1)
    blocks = block_bounds(neurons.size, receptors)

    # Edges without entries have no weights
    used = [r for r in recipes if r.weights.size and _size(neurons, r.projection.target.gid_range)]
    forms = sorted({r.form for r in used})
    tables = []
    for number, form in enumerate(forms):
        chosen = [r for r in used if r.form is form]
        step = _Steps(report, number / len(forms), 1.0 / len(forms), 2 * len(chosen))
        tables.append(_table(network, form, chosen, neurons, blocks, points.shift, step))
    other = _shortest(tables, gids)
    alone = gids.size == together.size
    return Shard(
        network=network,
        fixed_point=points,
        dt=dt,
        neurons=neurons,
        blocks=blocks,
        tables=tuple(tables),
        min_remote_delay=other if alone else _shortest(tables, together),
        min_other_delay=other,
        max_delay=max((r.delays.last for r in recipes), default=1),
    )


def _table(
    network: Network,
    form: Form,
    recipes: list[Recipe],
    neurons: LocalNeurons,
    blocks: NDArray[np.int64],
    shift: int,
    step: _Steps,
) -> SynapseTable:
    channels = all_channels(recipes)
    valid = f"at most {KEYS}, pairs of a delay and a constant weight"
    remedy = "Narrow the delays, or use fewer different weights."
    subject = "synapses: channels"
    require(len(channels) <= KEYS, subject, len(channels), valid, remedy, CapacityError)
    index = {channel: i for i, channel in enumerate(channels)}
    delays, receptors, weights = (
        np.array([c[k] for c in channels], dtype=np.int32) for k in range(3)
    )
    n_sources, n_blocks, n_channels = network.n_neurons, blocks.size - 1, len(channels)
    expected = sum(n_synapses(r.projection) * _share(neurons, r) for r in recipes)
    bits = rows_per_bucket(n_sources, n_channels, expected / n_blocks)
    n_buckets = (n_sources - 1 >> bits) + 1
    draws = [Draws(network.seed, r, neurons, index, (bits, n_channels, shift)) for r in recipes]

    # Count the synapses of every bucket
    dtype = np.uint32 if form is Form.DRAWN else np.uint16
    nothing = np.zeros(0, dtype), np.zeros(0, np.int32), np.zeros(0, np.uint16)
    counts = np.zeros((n_blocks, n_buckets), dtype=np.int64)
    for projection in draws:
        for b in range(n_blocks):
            projection.visit(-1, blocks[b : b + 2], (counts[b], *nothing))
        step()
    bounds = np.concatenate([[0], np.cumsum(counts)])

    # Put them there, and sort
    words = np.empty(bounds[-1], dtype=dtype)
    exact = np.empty(words.size if form is Form.EXACT else 0, dtype=np.int32)
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
        delays=delays,
        receptors=receptors,
        weights=weights,
        sources=np.stack([at for at, _, _ in found]),
        rows=np.concatenate([*(rows for _, rows, _ in found), last]),
        runs=np.concatenate([runs for _, _, runs in found]),
        words=words,
        exact=exact,
        shift=shift if form is Form.DRAWN else 0,
    )


def _share(neurons: LocalNeurons, recipe: Recipe) -> float:
    begin, end = neurons.lid_range(recipe.projection.target.gid_range)
    return (end - begin) / recipe.projection.target.size


class Draws:
    """The synapses of one projection at the neurons of a rank, ready to be drawn.

    Parameters
    ----------
    seed : int
        Seed of the model.
    recipe : Recipe
        The projection.
    neurons : LocalNeurons
        The neurons of the rank.
    index : dict
        Number of each channel.
    buckets : (int, int, int)
        Rows in a bucket, as a power of two; number of channels; shift of the weights.
    """

    def __init__(
        self,
        seed: int,
        recipe: Recipe,
        neurons: LocalNeurons,
        index: dict[Channel, int],
        buckets: tuple[int, int, int],
    ) -> None:
        self.seed, self.recipe, self.neurons, self.buckets = seed, recipe, neurons, buckets
        self.channel_of = recipe.channel_of(index)
        self.lids = neurons.lid_range(recipe.projection.target.gid_range)
        self.explicit = isinstance(recipe.projection.rule, (Edges, OneToOne, FixedOutdegree))
        if not self.explicit:
            self.indegrees = _indegrees(seed, recipe, neurons.gids[slice(*self.lids)])
            _check_indegrees(recipe, self.indegrees)

    def visit(self, form: int, block: NDArray[np.int64], arrays: Arrays) -> None:
        """Draw the synapses of a block, and count them (form -1) or put them into buckets.

        Parameters
        ----------
        form : int
            The `Form` of the table, or -1.
        block : ndarray of int64, shape (2,)
            First lid, and the one after the last.
        arrays : tuple of ndarray
            Cursors of the buckets, words, exact weights, keys.
        """
        origin = int(block[0])
        begin = min(max(self.lids[0], origin), int(block[1]))
        end = max(begin, min(self.lids[1], int(block[1])))
        if begin == end:
            return
        if self.explicit:
            self._visit_explicit(form, begin, end, origin, arrays)
        else:
            self._visit_drawn(form, begin, end, origin, arrays)

    def _visit_drawn(self, form: int, begin: int, end: int, origin: int, arrays: Arrays) -> None:
        projection, delays = self.recipe.projection, self.recipe.delays
        first, stop = projection.source.gid_range
        excluded = (first, stop) if projection.excludes_autapses else (-1, -1)
        stream = random.stream(random.CONNECT, projection.id)
        draw.visit_targets(
            form,
            _kind(projection.rule),
            (np.uint64(self.seed), np.uint64(stream)),
            (self.neurons.gids[begin:end], np.arange(begin - origin, end - origin)),
            self.indegrees[begin - self.lids[0] : end - self.lids[0]],
            (first, projection.source.size, *excluded),
            (delays.thresholds, delays.guide, self.recipe.weights, self.channel_of),
            self.buckets,
            arrays,
        )

    def _visit_explicit(self, form: int, begin: int, end: int, origin: int, arrays: Arrays) -> None:
        gids = self.neurons.gids[begin:end]
        received = np.zeros(gids.size, dtype=np.int64)
        for rows, found, delays, weights in explicit_synapses(self.seed, self.recipe, gids):
            received += np.bincount(found, minlength=gids.size)
            channels = self.channel_of[2 * delays + (weights < 0)]
            targets = begin - origin + found
            put_each(form, targets, rows, channels, weights, self.buckets, arrays)
        _check_indegrees(self.recipe, received)


def _kind(rule: object) -> int:
    if isinstance(rule, AllToAll):
        return draw.ALL
    if isinstance(rule, PairwiseBernoulli):
        return draw.DISTINCT
    if isinstance(rule, FixedIndegree) and not rule.allow_multapses:
        return draw.DISTINCT
    return draw.UNIFORM


def _indegrees(seed: int, recipe: Recipe, gids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of synapses at each of the targets `gids`."""
    projection, rule = recipe.projection, recipe.projection.rule
    n_sources = projection.source.size
    first, stop = projection.source.gid_range if projection.excludes_autapses else (-1, -1)
    stream = np.uint64(random.stream(random.INDEGREE, projection.id))
    if isinstance(rule, FixedIndegree):
        return np.full(gids.size, rule.indegree, dtype=np.int64)
    if isinstance(rule, AllToAll):
        return n_sources - ((gids >= first) & (gids < stop)).astype(np.int64)
    if isinstance(rule, PairwiseBernoulli):
        return binomial.bernoulli_indegrees(
            np.uint64(seed), stream, gids, n_sources, first, stop, float(rule.p)
        )
    if isinstance(rule, FixedTotalNumber):
        origin = projection.target.gid_range[0]
        return binomial.split_total(
            np.uint64(seed), stream, rule.n, n_sources, first - origin, stop - origin,
            projection.target.size, gids - origin,
        )  # fmt: skip
    raise TypeError(f"unknown rule {rule!r}")


def _check_indegrees(recipe: Recipe, indegrees: NDArray[np.int64]) -> None:
    largest = int(indegrees.max(initial=0))
    if largest > recipe.indegree_bound:
        raise CapacityError(
            f"{recipe.projection.name}: a target received {largest} synapses, the fixed-point sum "
            f"allows for {recipe.indegree_bound}. Use another seed."
        )


def _size(neurons: LocalNeurons, gid_range: tuple[int, int]) -> int:
    begin, end = neurons.lid_range(gid_range)
    return end - begin


def _shortest(tables: list[SynapseTable], gids: NDArray[np.int64]) -> int:
    """Return the shortest delay of a synapse whose source is not in the sorted `gids`."""
    found = [shortest_remote(t.sources, t.rows, t.runs, gids, t.delays) for t in tables]
    return min(map(int, found), default=2**62)


@dataclass
class _Steps:
    """Counts finished steps and reports the share of the whole."""

    report: Report
    offset: float
    scale: float
    total: int
    done: float = 0.0

    def __call__(self, share: float = 1.0) -> None:
        self.done += share
        self.report(self.offset + self.scale * self.done / max(1, self.total))
