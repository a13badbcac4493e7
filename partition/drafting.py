"""What the synapses of a shard are drawn from: tables and numbers, the same for every backend.

Connectivity is a function of the target, so a rank needs nothing from the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

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
from simcore.draft import Choice, Draft, Drawn, Listed, Synapses, TableDraft
from simcore.errors import CapacityError, require
from simcore.fixed_point import FixedPoint, Form, fixed_point
from simcore.local import LocalNeurons
from simcore.network import Network
from simcore.partition import binomial
from simcore.partition.buckets import KEYS
from simcore.partition.explicit import explicit_synapses
from simcore.partition.partition import Partition
from simcore.partition.recipe import Recipe, all_channels, make_recipe
from simcore.shard import block_bounds


def draft_shards(
    network: Network,
    partition: Partition,
    parts: range,
    dt: float,
    points: FixedPoint | None = None,
) -> tuple[Draft, ...]:
    """Return the shards of one rank before their synapses are drawn.

    Parameters
    ----------
    network : Network
        The model.
    partition : Partition
        Who owns which neuron.
    parts : range
        Whose shards.
    dt : float
        Time step [ms].
    points : FixedPoint, optional
        The weights of the network as whole numbers, where they are at hand.

    Raises
    ------
    ModelError, CapacityError
        When the description cannot be built.
    """
    points = points or fixed_point(network, dt)
    recipes = [make_recipe(p, points, dt) for p in network.projections]
    return tuple(_draft(network, points, recipes, partition.gids(part), dt) for part in parts)


def _draft(
    network: Network,
    points: FixedPoint,
    recipes: list[Recipe],
    gids: NDArray[np.int64],
    dt: float,
) -> Draft:
    neurons = LocalNeurons(gids)
    receptors = max((p.n_receptors for p in network.populations), default=1)

    # Edges without entries have no weights
    used = [r for r in recipes if r.weights.size and _size(neurons, r.projection.target.gid_range)]
    forms = sorted({r.form for r in used})
    outside = [r.delays.first for r in used if _reaches_outside(neurons, r)]
    return Draft(
        network=network,
        fixed_point=points,
        dt=dt,
        neurons=neurons,
        blocks=block_bounds(neurons.size, receptors),
        drafts=tuple(
            _table(network, form, [r for r in used if r.form is form], neurons, points.shift)
            for form in forms
        ),
        max_delay=max((r.delays.last for r in recipes), default=1),
        earliest=min(outside, default=2**62),
    )


def _table(
    network: Network, form: Form, recipes: list[Recipe], neurons: LocalNeurons, shift: int
) -> TableDraft:
    channels = all_channels(recipes)
    valid = f"at most {KEYS}, pairs of a delay and a constant weight"
    remedy = "Narrow the delays, or use fewer different weights."
    subject = "synapses: channels"
    require(len(channels) <= KEYS, subject, len(channels), valid, remedy, CapacityError)
    index = {channel: i for i, channel in enumerate(channels)}
    known: dict[object, NDArray[np.int32]] = {}

    def channel_of(recipe: Recipe) -> NDArray[np.int32]:
        """Return the channels of a recipe, the same array for those that have the same."""
        key = id(recipe.delays), id(recipe.weights), recipe.receptors
        if key not in known:
            known[key] = recipe.channel_of(index)
        return known[key]

    delays, receptors, weights = (
        np.array([c[k] for c in channels], dtype=np.int32) for k in range(3)
    )
    return TableDraft(
        form=form,
        delays=delays,
        receptors=receptors,
        weights=weights,
        shift=shift if form is Form.DRAWN else 0,
        expected=sum(n_synapses(r.projection) * _share(neurons, r) for r in recipes),
        projections=tuple(_projection(network.seed, r, neurons, channel_of(r)) for r in recipes),
    )


def _projection(
    seed: int, recipe: Recipe, neurons: LocalNeurons, channel_of: NDArray[np.int32]
) -> Drawn | Listed:
    projection = recipe.projection
    lids = neurons.lid_range(projection.target.gid_range)
    if isinstance(projection.rule, (Edges, OneToOne, FixedOutdegree)):
        return Listed(lids, partial(_listed, seed, recipe, neurons, channel_of))
    first, stop = projection.source.gid_range
    return Drawn(
        choice=_choice(projection.rule),
        stream=random.stream(random.CONNECT, projection.id),
        lids=lids,
        indegrees=partial(_indegrees, seed, recipe, neurons.gids[slice(*lids)]),
        sources=(first, stop - first),
        excluded=(first, stop) if projection.excludes_autapses else (-1, -1),
        thresholds=recipe.delays.thresholds,
        guide=recipe.delays.guide,
        weights=recipe.weights,
        channel_of=channel_of,
    )


def _listed(
    seed: int,
    recipe: Recipe,
    neurons: LocalNeurons,
    channel_of: NDArray[np.int32],
    begin: int,
    end: int,
) -> Iterator[Synapses]:
    """Yield the synapses at the targets from one lid to another; count them all the same."""
    gids = neurons.gids[begin:end]
    received = np.zeros(gids.size, dtype=np.int64)
    for sources, targets, delays, weights in explicit_synapses(seed, recipe, gids):
        received += np.bincount(targets, minlength=gids.size)
        yield sources, targets, channel_of[2 * delays + (weights < 0)], weights
    _check_indegrees(recipe, received)


def _choice(rule: object) -> Choice:
    if isinstance(rule, AllToAll):
        return Choice.ALL
    if isinstance(rule, PairwiseBernoulli):
        return Choice.DISTINCT
    if isinstance(rule, FixedIndegree) and not rule.allow_multapses:
        return Choice.DISTINCT
    return Choice.UNIFORM


def _indegrees(seed: int, recipe: Recipe, gids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of synapses at each of the targets `gids`."""
    found = _drawn_indegrees(seed, recipe, gids)
    _check_indegrees(recipe, found)
    return found


def _drawn_indegrees(seed: int, recipe: Recipe, gids: NDArray[np.int64]) -> NDArray[np.int64]:
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


def _reaches_outside(neurons: LocalNeurons, recipe: Recipe) -> bool:
    source = recipe.projection.source
    return _size(neurons, source.gid_range) < source.size


def _share(neurons: LocalNeurons, recipe: Recipe) -> float:
    target = recipe.projection.target
    return _size(neurons, target.gid_range) / target.size


def _size(neurons: LocalNeurons, gid_range: tuple[int, int]) -> int:
    begin, end = neurons.lid_range(gid_range)
    return end - begin
