"""How much memory a rank will take: known from the description, before anything is allocated."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.connectivity import AllToAll, FixedOutdegree, OneToOne, Projection
from simcore.degrees import n_synapses
from simcore.fixed_point import FixedPoint, Form
from simcore.network import Network
from simcore.partition.recipe import Channel, Recipe, all_channels, make_recipe
from simcore.shard import block_bounds

# Interpreter, libraries and kernels, measured with 100 neurons: 169 MB alone, 187 MB under MPICH;
# compiling takes 0.1 GB more, but after the build, when its buffers are free again [B]
_RANK = 190e6

# State of a neuron, as the CPU backend allocates it in float64: potential 8, resting potential 8,
# two currents 16, waiting 2, spiked 1, global id 8, Poisson counts 8, found 8, spikes of an epoch
# 16; the rest for cursors of spikes under way and what a flush collects [B]
_NEURON = 128

# In-degree of a target, and given delay of an edge on any rank: int64, during the build [B]
_INDEGREE = 8
_EDGE_DELAY = 8

# Words and exact weights of a synapse, see `simcore.shard.SynapseTable` [B]
_SYNAPSE = {Form.CONSTANT: 2, Form.DRAWN: 4, Form.EXACT: 6}

# A source in the index, a row, and a run, see `simcore.shard.SynapseTable` [B]
_SOURCE, _ROW, _RUN = 0.25, 8, 4

# Key of a synapse in the sort, see `simcore.partition.buckets` [B]
_KEY = 2


@dataclass(frozen=True)
class Estimate:
    """The memory of one rank by what takes it, all in bytes.

    Parameters
    ----------
    rank : float
        What a rank needs without a network.
    neurons : float
        State and buffers of its neurons.
    synapses : float
        Words and exact weights.
    index : float
        What finds the synapses: bits of sources, rows and runs.
    sorting : float
        What lives during the build alone: in-degrees, given delays and the keys of one block.
    ring : float
        Input of the steps to come; the reference backend alone has it.
    """

    rank: float
    neurons: float
    synapses: float
    index: float
    sorting: float
    ring: float

    @property
    def total(self) -> float:
        """The sum of the parts [B]."""
        return self.rank + self.neurons + self.synapses + self.index + self.sorting + self.ring


def estimate(
    network: Network,
    points: FixedPoint,
    n_local: int,
    dt: float,
    backend: str = "cpu",
    threads: int = 1,
) -> Estimate:
    """Estimate the memory that a rank needs at its peak.

    The description and its `points` are not counted: they are there already, and so are missing
    from what is available.

    Parameters
    ----------
    network : Network
        The model.
    points : FixedPoint
        Its weights; they tell in which form each synapse is kept.
    n_local : int
        Neurons of the rank, assumed to be an equal share of every population.
    dt : float
        Time step [ms].
    backend : {"auto", "cpu", "cuda", "reference"}
        The arithmetic.
    threads : int
        Threads of the rank; each has a shard of its own.

    Returns
    -------
    Estimate

    Raises
    ------
    ModelError, CapacityError
        When a delay does not fit the time step.
    """
    if threads > 1:
        part = estimate(network, points, -(-n_local // threads), dt, backend)
        grown = (threads * getattr(part, f.name) for f in dataclasses.fields(part)[1:])
        return Estimate(part.rank, *grown)
    if n_local == 0:
        return Estimate(_RANK, 0.0, 0.0, 0.0, 0.0, 0.0)
    receptors = max((p.n_receptors for p in network.populations), default=1)
    blocks = block_bounds(n_local, receptors) * (network.n_neurons / n_local)
    recipes = [make_recipe(p, points, dt) for p in network.projections]
    max_delay = max((r.delays.last for r in recipes), default=1)
    share = n_local / network.n_neurons

    given = sum(n_synapses(p) for p in network.projections if p.delay is None)
    synapses, index, buffers = 0.0, 0.0, [0.0]
    for form in {r.form for r in recipes}:
        chosen = [r for r in recipes if r.form is form and r.weights.size]
        if not chosen:
            continue
        per_block = share * np.array([_per_block(r.projection, blocks) for r in chosen])
        expected = per_block.sum()
        rows, runs = _rows_and_runs(chosen, per_block)
        synapses += expected * _SYNAPSE[form]
        own = (blocks.size - 1) * network.n_neurons * _SOURCE
        own += rows * (_ROW if expected < 2**32 else 2 * _ROW) + runs * _RUN
        index += own
        indegrees = _INDEGREE * share * sum(r.projection.target.size for r in chosen)
        keys = _KEY * per_block.sum(axis=0).max()
        # The blocks of the index are joined when the keys are gone
        buffers.append(_EDGE_DELAY * given + indegrees + max(keys, own))
    return Estimate(
        rank=_RANK,
        neurons=n_local * _NEURON,
        synapses=synapses,
        index=index,
        sorting=max(buffers),
        ring=(max_delay + 1) * 2 * n_local * 8.0 if backend == "reference" else 0.0,
    )


def _per_block(projection: Projection, blocks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the synapses that a projection would have in each block, were all neurons local."""
    begin, end = projection.target.gid_range
    inside = np.minimum(end, blocks[1:]) - np.maximum(begin, blocks[:-1])
    return n_synapses(projection) / projection.target.size * np.maximum(inside, 0.0)


def _rows_and_runs(recipes: list[Recipe], per_block: NDArray[np.float64]) -> tuple[float, float]:
    """Return the expected number of rows and of runs.

    A row with m expected synapses is there with the probability 1 - exp(-m), and so is a run, as
    if synapses were independent.

    Parameters
    ----------
    recipes : list of Recipe
        Those of one table.
    per_block : ndarray, shape (n_recipes, n_blocks)
        Expected synapses of each.
    """
    channels = {c: i for i, c in enumerate(all_channels(recipes))}
    places, parts = _places_and_parts(recipes, channels)
    ranges = np.array([r.projection.source.gid_range for r in recipes])

    # Neighbouring sources with the same projections have equal rows
    cuts = np.unique(ranges)
    sizes, pieces = np.diff(cuts), np.searchsorted(cuts, ranges)
    rows = runs = 0.0
    for inside in per_block.T:
        expected = np.zeros((sizes.size, len(channels)))
        for k in np.flatnonzero(inside):
            first, stop = pieces[k]
            each = inside[k] / (ranges[k, 1] - ranges[k, 0])
            found = each * parts[k]
            if isinstance(recipes[k].projection.rule, (AllToAll, FixedOutdegree, OneToOne)):
                # Sources have equal numbers of synapses: a row is there with the probability m
                found = -np.log1p(-np.minimum(found, 0.999999))
            expected[first:stop, places[k]] += found
        rows += float(sizes @ -np.expm1(-expected.sum(axis=1)))
        runs += float(sizes @ -np.expm1(-expected).sum(axis=1))
    return rows, runs


def _places_and_parts(
    recipes: list[Recipe], channels: dict[Channel, int]
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float64]]]:
    """Return the channels of each recipe, and the share of its synapses in each of them."""
    known: dict[tuple[object, ...], tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
    found = []
    for r in recipes:
        key = (id(r.delays), id(r.weights), r.n_receptors)
        if key not in known:
            shares = r.shares()
            places = np.array([channels[c] for c in shares], dtype=np.int64)
            known[key] = places, np.array(list(shares.values()))
        found.append(known[key])
    return [places for places, _ in found], [parts for _, parts in found]
