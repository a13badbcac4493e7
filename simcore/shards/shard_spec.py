"""A shard before its synapses are drawn: which ones there will be, and where they come from.

Each table of a shard comes from some projections. The synapses of a projection are drawn target
by target (`ProceduralSynapses`), which a backend may do itself, or are listed by the host
(`ExplicitSynapses`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from simcore.description.ids import Ids, Indices
from simcore.description.network import Network
from simcore.discretization.fixed_point import FixedPoint, WeightForm
from simcore.shards.local_neurons import LocalNeurons

# Global id of the source, target as an index into those asked for, channel, weight in quanta
SynapseChunk = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]


class SourceChoice(IntEnum):
    """How the sources of a target are chosen."""

    UNIFORM = 0
    DISTINCT = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class ProceduralSynapses:
    """The synapses of a projection at the neurons of a rank, each target's drawn for itself.

    Parameters
    ----------
    choice : SourceChoice
        With repetition, without, or every source once.
    stream : int
        Stream of the draws.
    lids : range or ndarray of int64, shape (n_targets,)
        The targets, ascending.
    indegrees : callable
        Returns the number of synapses of each target, ndarray of int64.
    sources : Ids
        The sources, ascending.
    excludes : bool
        Whether a target that is a source as well must not connect to itself.
    thresholds, guide : ndarray of uint32, ndarray of int32
        Of the table of delays, see `simcore.discretization.tables.DiscreteTable`.
    weights : ndarray of int32, shape (65536,) or (1,)
        Equally likely weights in quanta.
    channel_of : ndarray of int32, shape (2 * n_delays,)
        Channel by delay and sign of the weight.
    """

    choice: SourceChoice
    stream: int
    lids: Indices
    indegrees: Callable[[], NDArray[np.int64]]
    sources: Ids
    excludes: bool
    thresholds: NDArray[np.uint32]
    guide: NDArray[np.int32]
    weights: NDArray[np.int32]
    channel_of: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ExplicitSynapses:
    """The synapses of a projection at the neurons of a rank, which the host lists.

    Parameters
    ----------
    lids : (int, int)
        The first target, and the one after the last; there may be others between.
    synapses : callable
        Yields those that arrive at the targets from one lid to another, in chunks; targets count
        from the first of these.
    """

    lids: tuple[int, int]
    synapses: Callable[[int, int], Iterator[SynapseChunk]]


@dataclass(frozen=True)
class TableSpec:
    """One table of synapses before they are drawn.

    Parameters
    ----------
    form : WeightForm
        How weights are kept.
    delays, receptors, weights : ndarray of int32, shape (n_channels,)
        See `simcore.shards.shard.SynapseTable`.
    shift : int
        See there.
    expected : float
        Expected number of synapses.
    projections : tuple of ProceduralSynapses or ExplicitSynapses
        Where they come from.
    """

    form: WeightForm
    delays: NDArray[np.int32]
    receptors: NDArray[np.int32]
    weights: NDArray[np.int32]
    shift: int
    expected: float
    projections: tuple[ProceduralSynapses | ExplicitSynapses, ...]

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.delays.size


@dataclass(frozen=True)
class ShardSpec:
    """The part of a network that one rank, or a thread of it, owns.

    Parameters
    ----------
    network : Network
        The description of the whole.
    fixed_point : FixedPoint
        Its weights as whole numbers.
    dt : float
        Time step [ms].
    neurons : LocalNeurons
        The neurons.
    blocks : ndarray of int64, shape (n_blocks + 1,)
        Bounds of the blocks, in lids.
    table_specs : tuple of TableSpec
        The tables, one per form in use; none in what is built.
    max_delay : int
        Longest delay in the whole network [steps], at least 1.
    earliest : int
        Shortest delay that a synapse from outside may have [steps]; 2**62 where there is none.
    """

    network: Network
    fixed_point: FixedPoint
    dt: float
    neurons: LocalNeurons
    blocks: NDArray[np.int64]
    table_specs: tuple[TableSpec, ...]
    max_delay: int
    earliest: int

    def built(self) -> Self:
        """Return the same without what the synapses are drawn from, which may be large."""
        return replace(self, table_specs=())


@dataclass(frozen=True)
class Inventory:
    """The synapses of a shard in numbers.

    Parameters
    ----------
    n_synapses, nbytes : int
        How many there are, and what they take in memory [B].
    min_remote_delay : int
        Shortest delay of a synapse from another rank [steps]; 2**62 without any.
    lookups : int
        Places in which a spike is looked up.
    fan_out : ndarray of int64, shape (n_populations, 2)
        Runs, or rows on a GPU, and synapses that come from each population.
    """

    n_synapses: int
    nbytes: int
    min_remote_delay: int
    lookups: int
    fan_out: NDArray[np.int64]
