"""What one rank owns: neurons, and the synapses that arrive at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.description.network import Network
from simcore.discretization.fixed_point import WeightForm
from simcore.shards.shard_spec import Inventory, ShardSpec

MAX_BLOCK = 2**16
SOURCES_PER_GROUP = 64


@dataclass(frozen=True)
class SynapseTable:
    """All local synapses whose weights are kept in one form.

    Targets are cut into blocks of neighbouring lids, so that an index within a block fits 16 bits
    and the input of a block stays in the cache. Channels tell synapses of different delay,
    receptor or constant weight apart.

    What one source sends to one block is a row, and what it sends through one channel is a run of
    that row. Rows are sorted by block, then source; runs by channel. Only rows and runs that have
    synapses are kept. A bit for each source tells where there is a row, so that finding one
    takes 2 bits per source and block: the only thing here that grows with the network.

    Parameters
    ----------
    form : WeightForm
        How weights are kept.
    delays, receptors, weights : ndarray of int32, shape (n_channels,)
        Delay in steps, receptor, and weight in quanta (form CONSTANT, else 0); ascending delay.
    sources : ndarray of uint64, shape (n_blocks, n_groups, 2)
        For each group of 64 neighbouring sources: a bit for each that has a row, and the number
        of rows before.
    rows : ndarray of uint32 or int64, shape (n_rows + 1, 2)
        First run and first synapse of each row.
    runs : ndarray of uint32, shape (n_runs,)
        Channel in the high half, number of synapses in the low. Where there are more than 65 535
        the next run has the same channel.
    words : ndarray, shape (n_synapses,)
        uint16 target within its block (CONSTANT, EXACT), or uint32 with the target in the low and
        the weight, divided by ``2**shift``, in the high half (DRAWN).
    exact : ndarray of int32, shape (n_synapses,) or (0,)
        Weights in quanta (EXACT).
    shift : int
        See `words`.
    """

    form: WeightForm
    delays: NDArray[np.int32]
    receptors: NDArray[np.int32]
    weights: NDArray[np.int32]
    sources: NDArray[np.uint64]
    rows: NDArray[np.uint32] | NDArray[np.int64]
    runs: NDArray[np.uint32]
    words: NDArray[np.uint16] | NDArray[np.uint32]
    exact: NDArray[np.int32]
    shift: int

    @property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return self.words.size

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.delays.size

    @property
    def index_nbytes(self) -> int:
        """Size in memory of what finds the synapses [B]."""
        return self.sources.nbytes + self.rows.nbytes + self.runs.nbytes

    @property
    def nbytes(self) -> int:
        """Size in memory [B]."""
        return self.words.nbytes + self.exact.nbytes + self.index_nbytes

    def by_population(self, network: Network) -> NDArray[np.int64]:
        """Return the runs and synapses that come from each population, shape (n_populations, 2)."""
        firsts = np.array([p.first for p in network.populations], dtype=np.int64)
        group, place = firsts >> 6, (firsts & 63).astype(np.uint64)
        below = (np.uint64(1) << place) - np.uint64(1)
        words = self.sources[:, group]
        at = words[..., 1].astype(np.int64) + np.bitwise_count(words[..., 0] & below)
        edges = self.rows[np.append(at.ravel(), len(self.rows) - 1)].astype(np.int64)
        return np.diff(edges, axis=0).reshape(*at.shape, 2).sum(axis=0)

    def runs_of(self, block: int, source: int) -> Iterator[tuple[int, int, int]]:
        """Yield channel, first synapse and the one after the last of each run of a row.

        Parameters
        ----------
        block : int
            Number of the block.
        source : int
            Global id.
        """
        group, place = divmod(source, SOURCES_PER_GROUP)
        bits, before = (int(word) for word in self.sources[block, group])
        if not bits >> place & 1:
            return
        row = before + (bits & (1 << place) - 1).bit_count()
        begin = int(self.rows[row, 1])
        for run in self.runs[int(self.rows[row, 0]) : int(self.rows[row + 1, 0])]:
            end = begin + (int(run) & 0xFFFF)
            yield int(run) >> 16, begin, end
            begin = end


@dataclass(frozen=True)
class Shard(ShardSpec):
    """The part of a network that one rank, or a thread of it, owns, with its synapses.

    Parameters
    ----------
    network, fixed_point, dt, neurons, blocks, table_specs, max_delay, earliest
        See `ShardSpec`.
    tables : tuple of SynapseTable
        The synapses, one table per form in use.
    min_remote_delay : int
        Shortest delay of a synapse from another rank [steps]; 2**62 without any.
    min_other_delay : int
        Shortest delay of a synapse from outside the shard; less where the rank has other shards.
    """

    tables: tuple[SynapseTable, ...]
    min_remote_delay: int
    min_other_delay: int

    @property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return sum(t.n_synapses for t in self.tables)

    @property
    def nbytes(self) -> int:
        """Size of the synapses in memory [B]."""
        return sum(t.nbytes for t in self.tables)

    def inventory(self) -> Inventory:
        """Return the synapses in numbers."""
        fan_out = np.zeros((len(self.network.populations), 2), dtype=np.int64)
        for table in self.tables:
            fan_out += table.by_population(self.network)
        lookups = len(self.tables) * (self.blocks.size - 1)
        return Inventory(self.n_synapses, self.nbytes, self.min_remote_delay, lookups, fan_out)


def block_bounds(n_local: int, n_receptors: int) -> NDArray[np.int64]:
    """Return the bounds of equal blocks of neighbouring neurons, shape (n_blocks + 1,).

    A block's input, 4 bytes per neuron and receptor, fits a cache of 256 kB.
    """
    largest = MAX_BLOCK // n_receptors
    n_blocks = max(1, -(-n_local // largest))
    return np.arange(n_blocks + 1, dtype=np.int64) * n_local // n_blocks
