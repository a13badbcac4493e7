"""What the synapses of a shard are drawn from: tables and numbers, the same for every backend.

Connectivity is a function of the target, so a rank needs nothing from the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from simcore.construction import binomial
from simcore.construction.buckets import KEYS
from simcore.construction.explicit import explicit_synapses
from simcore.construction.projection_tables import (
    ProjectionTables,
    all_channels,
    make_projection_tables,
)
from simcore.description.connectivity import (
    AllToAll,
    Edges,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    OneToOne,
    PairwiseBernoulli,
)
from simcore.description.degrees import n_synapses
from simcore.description.ids import Ids, Indices, as_key
from simcore.description.network import Network
from simcore.discretization.fixed_point import FixedPoint, WeightForm, fixed_point
from simcore.numerics import random
from simcore.partition.partition import Partition
from simcore.services.errors import CapacityError, require
from simcore.shards.local_neurons import LocalNeurons
from simcore.shards.shard import block_bounds
from simcore.shards.shard_spec import (
    ExplicitSynapses,
    ProceduralSynapses,
    ShardSpec,
    SourceChoice,
    SynapseChunk,
    TableSpec,
)


def specify_shards(
    network: Network,
    partition: Partition,
    parts: range,
    dt: float,
    points: FixedPoint | None = None,
) -> tuple[ShardSpec, ...]:
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
    projections = [make_projection_tables(p, points, dt) for p in network.projections]
    return tuple(_specify(network, points, projections, partition.gids(part), dt) for part in parts)


def _specify(
    network: Network,
    points: FixedPoint,
    projections: list[ProjectionTables],
    gids: NDArray[np.int64],
    dt: float,
) -> ShardSpec:
    neurons = LocalNeurons(gids)
    receptors = max((p.n_receptors for p in network.populations), default=1)

    # Edges without entries have no weights
    used = [r for r in projections if r.weights.size and neurons.count(r.projection.target.ids)]
    forms = sorted({r.form for r in used})
    outside = [r.delays.first for r in used if _reaches_outside(neurons, r)]
    return ShardSpec(
        network=network,
        fixed_point=points,
        dt=dt,
        neurons=neurons,
        blocks=block_bounds(neurons.size, receptors),
        table_specs=tuple(
            _table(network, form, [r for r in used if r.form is form], neurons, points.shift)
            for form in forms
        ),
        max_delay=max((r.delays.last for r in projections), default=1),
        earliest=min(outside, default=2**62),
    )


def _table(
    network: Network,
    form: WeightForm,
    projections: list[ProjectionTables],
    neurons: LocalNeurons,
    shift: int,
) -> TableSpec:
    channels = all_channels(projections)
    valid = f"at most {KEYS}, pairs of a delay and a constant weight"
    remedy = "Narrow the delays, or use fewer different weights."
    subject = "synapses: channels"
    require(len(channels) <= KEYS, subject, len(channels), valid, remedy, CapacityError)
    index = {channel: i for i, channel in enumerate(channels)}
    known: dict[object, NDArray[np.int32]] = {}

    def channel_of(tables: ProjectionTables) -> NDArray[np.int32]:
        """Return the channels of a recipe, the same array for those that have the same."""
        key = id(tables.delays), id(tables.weights), tables.receptors
        if key not in known:
            known[key] = tables.channel_of(index)
        return known[key]

    delays, receptors, weights = (
        np.array([c[k] for c in channels], dtype=np.int32) for k in range(3)
    )
    return TableSpec(
        form=form,
        delays=delays,
        receptors=receptors,
        weights=weights,
        shift=shift if form is WeightForm.DRAWN else 0,
        expected=sum(n_synapses(r.projection) * _share(neurons, r) for r in projections),
        projections=tuple(
            _projection(network.seed, r, neurons, channel_of(r)) for r in projections
        ),
    )


def _projection(
    seed: int, tables: ProjectionTables, neurons: LocalNeurons, channel_of: NDArray[np.int32]
) -> ProceduralSynapses | ExplicitSynapses:
    projection = tables.projection
    if isinstance(projection.rule, (Edges, OneToOne, FixedOutdegree)):
        span = neurons.lid_range(projection.target.ids.span)
        return ExplicitSynapses(span, partial(_listed, seed, tables, neurons, channel_of))
    lids = neurons.lids(projection.target.ids)
    return ProceduralSynapses(
        choice=_choice(projection.rule),
        stream=random.stream(random.CONNECT, projection.id),
        lids=lids,
        indegrees=partial(_indegrees, seed, tables, neurons, lids),
        sources=projection.source.ids.ascending,
        excludes=projection.excludes_autapses,
        thresholds=tables.delays.thresholds,
        guide=tables.delays.guide,
        weights=tables.weights,
        channel_of=channel_of,
    )


def _listed(
    seed: int,
    tables: ProjectionTables,
    neurons: LocalNeurons,
    channel_of: NDArray[np.int32],
    begin: int,
    end: int,
) -> Iterator[SynapseChunk]:
    """Yield the synapses at the targets from one lid to another; count them all the same."""
    gids = neurons.gids[begin:end]
    received = np.zeros(gids.size, dtype=np.int64)
    for sources, targets, delays, weights in explicit_synapses(seed, tables, gids):
        received += np.bincount(targets, minlength=gids.size)
        yield sources, targets, channel_of[2 * delays + (weights < 0)], weights
    _check_indegrees(tables, received)


def _choice(rule: object) -> SourceChoice:
    if isinstance(rule, AllToAll):
        return SourceChoice.ALL
    if isinstance(rule, PairwiseBernoulli):
        return SourceChoice.DISTINCT
    if isinstance(rule, FixedIndegree) and not rule.allow_multapses:
        return SourceChoice.DISTINCT
    return SourceChoice.UNIFORM


def _indegrees(
    seed: int, tables: ProjectionTables, neurons: LocalNeurons, lids: Indices
) -> NDArray[np.int64]:
    """Return the number of synapses at each of some targets."""
    found = _drawn_indegrees(seed, tables, neurons.gids[as_key(lids)])
    _check_indegrees(tables, found)
    return found


def _drawn_indegrees(
    seed: int, tables: ProjectionTables, gids: NDArray[np.int64]
) -> NDArray[np.int64]:
    projection, rule = tables.projection, tables.projection.rule
    sources, targets = projection.source.ids.ascending, projection.target.ids.ascending
    excludes = projection.excludes_autapses
    stream = np.uint64(random.stream(random.INDEGREE, projection.id))
    if isinstance(rule, FixedIndegree):
        return np.full(gids.size, rule.indegree, dtype=np.int64)
    if isinstance(rule, FixedTotalNumber):
        fewer = targets.common(sources) if excludes else Ids(0, range(0))
        return binomial.split_total(
            np.uint64(seed), stream, rule.n, sources.size, fewer.packed, targets.size,
            targets.position(gids),
        )  # fmt: skip
    partners = np.full(gids.size, sources.size, dtype=np.int64)
    if excludes:
        partners -= sources.contains(gids)
    if isinstance(rule, AllToAll):
        return partners
    if isinstance(rule, PairwiseBernoulli):
        return binomial.bernoulli_indegrees(np.uint64(seed), stream, gids, partners, float(rule.p))
    raise TypeError(f"unknown rule {rule!r}")


def _check_indegrees(tables: ProjectionTables, indegrees: NDArray[np.int64]) -> None:
    largest = int(indegrees.max(initial=0))
    if largest > tables.indegree_bound:
        raise CapacityError(
            f"{tables.projection.name}: a target received {largest} synapses, the fixed-point sum "
            f"allows for {tables.indegree_bound}. Use another seed."
        )


def _reaches_outside(neurons: LocalNeurons, tables: ProjectionTables) -> bool:
    source = tables.projection.source
    return neurons.count(source.ids) < source.size


def _share(neurons: LocalNeurons, tables: ProjectionTables) -> float:
    target = tables.projection.target
    return neurons.count(target.ids) / target.size
