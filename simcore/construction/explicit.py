"""Synapses of the rules that are not drawn target by target: given one by one, or by source."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from simcore.construction.projection_tables import ProjectionTables
from simcore.construction.synapse_draws import draw_targets
from simcore.description.connectivity import Edges, FixedOutdegree, OneToOne
from simcore.numerics import random

# Global id of the source, target as an index into the asked-for gids, delay as an index into its
# table, weight in quanta
GivenSynapses = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]

_CHUNK = 2**18


def explicit_synapses(
    seed: int, tables: ProjectionTables, gids: NDArray[np.int64]
) -> Iterator[GivenSynapses]:
    """Yield the synapses that arrive at some targets, in chunks of bounded size.

    Parameters
    ----------
    seed : int
        Seed of the model.
    tables : ProjectionTables
        That of a projection with the rule `Edges`, `OneToOne` or `FixedOutdegree`.
    gids : ndarray of int64
        Ascending global ids of the targets.

    Yields
    ------
    sources : ndarray of int64
        Global ids.
    targets : ndarray of int64
        Indices into `gids`.
    delays : ndarray of int64
        Delay minus the shortest in the table.
    weights : ndarray of int32
        Weights in quanta.
    """
    rule = tables.projection.rule
    if isinstance(rule, Edges):
        yield from _edges(seed, tables, rule, gids)
    elif isinstance(rule, OneToOne):
        for begin in range(0, gids.size, _CHUNK):
            yield _one_to_one(seed, tables, gids, slice(begin, begin + _CHUNK))
    elif isinstance(rule, FixedOutdegree):
        yield from _outdegree(seed, tables, rule, gids)
    else:
        raise TypeError(f"unknown rule {rule!r}")


def _edges(
    seed: int, tables: ProjectionTables, rule: Edges, gids: NDArray[np.int64]
) -> Iterator[GivenSynapses]:
    source_ids, target_ids = tables.projection.source.ids, tables.projection.target.ids
    stream = random.stream(random.CONNECT, tables.projection.id)
    sources, targets = rule.pairs()
    for begin in range(0, sources.size, _CHUNK):
        chunk = target_ids.at(targets[begin : begin + _CHUNK])
        kept, found = _members(chunk, gids)
        edges = begin + kept
        words = random.draw(seed, stream, chunk[kept], edges)
        delays, weights = _values(tables, words)
        if tables.projection.weight is None:
            weights = tables.weights[edges]
        if tables.edge_delays is not None:
            delays = tables.edge_delays[edges] - tables.delays.first
        yield source_ids.at(sources[edges]), found, delays, weights


def _one_to_one(
    seed: int, tables: ProjectionTables, gids: NDArray[np.int64], part: slice
) -> GivenSynapses:
    stream = random.stream(random.CONNECT, tables.projection.id)
    source_ids, target_ids = tables.projection.source.ids, tables.projection.target.ids
    places = target_ids.position(gids[part])
    own = np.flatnonzero(places >= 0)
    words = random.draw(seed, stream, gids[part][own], 0)
    return source_ids.at(places[own]), part.start + own, *_values(tables, words)


def _outdegree(
    seed: int, tables: ProjectionTables, rule: FixedOutdegree, gids: NDArray[np.int64]
) -> Iterator[GivenSynapses]:
    """Draw the targets of every source, and keep those asked for.

    Memory is bounded, but every rank draws all synapses of the projection.
    """
    projection = tables.projection
    stream = random.stream(random.OUTDEGREE, projection.id)
    all_sources, others = projection.source.ids.ascending, projection.target.ids.ascending.packed
    degree = rule.outdegree
    if degree == 0 or gids.size == 0:
        return
    per_chunk = max(1, _CHUNK // degree)
    for begin in range(0, all_sources.size, per_chunk):
        sources = all_sources.at(np.arange(begin, min(begin + per_chunk, all_sources.size)))
        targets = draw_targets(
            np.uint64(seed), np.uint64(stream), sources, degree, rule.allow_multapses,
            others, projection.excludes_autapses,
        )  # fmt: skip
        flat = targets.ravel()
        # The targets of a hub are more than a chunk
        for first in range(0, flat.size, _CHUNK):
            kept, found = _members(flat[first : first + _CHUNK], gids)
            row, index = np.divmod(first + kept, degree)
            words = random.draw(seed, stream, sources[row], index)
            yield sources[row], found, *_values(tables, words)


def _members(
    values: NDArray[np.int64], gids: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which of `values` are among the sorted `gids`, and where."""
    if gids.size == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    found = np.minimum(np.searchsorted(gids, values), gids.size - 1)
    kept = np.flatnonzero(gids[found] == values)
    return kept, found[kept]


def _values(
    tables: ProjectionTables, words: NDArray[np.uint32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return delays and weights by the second and third word of each draw."""
    weights = tables.weights
    drawn = weights.size == 2**16 and tables.projection.weight is not None
    index = words[..., 2] >> 16 if drawn else np.zeros(words.shape[:-1], dtype=np.int64)
    chosen = weights[index] if weights.size else np.zeros(index.shape, dtype=np.int32)
    return tables.delays(words[..., 1]) - tables.delays.first, chosen
