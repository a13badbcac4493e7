"""The synapses of a shard as the device keeps them, packed part by part on their way there.

The blocks of a table are joined to sections, and runs are given up: see `simcore.places`. Where
the blocks of a launch have neurons of their own, each row has the synapses at those of the first,
then at those of the second, and so on; and the index tells for every source where each of these
parts begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.errors import CapacityError, require
from simcore.fixed_point import FixedPoint, Form
from simcore.kernels.cuda.machine import Parts, one_part
from simcore.kernels.cuda.pack import pack_rows
from simcore.places import (
    HIGH_BYTES,
    blocks_together,
    high_weight_bytes,
    index_bytes,
    synapse_bytes,
)
from simcore.shard import SOURCES_PER_GROUP, Shard, SynapseTable

# Synapses that are packed at a time: 40 MB of host memory beside the shard
CHUNK = 2**22

HIGH_TYPES = {1: np.uint8, 2: np.uint16}
HIGH_WEIGHT_TYPES = {0: np.int8, 1: np.int8, 2: np.int16}

CHANNEL = np.dtype([(name, np.int32) for name in ("delay", "receptor", "weight", "unused")])
"""What a synapse does, apart from its target; as in machine.cuh."""


@dataclass(frozen=True)
class Section:
    """Some neighbouring blocks of a `SynapseTable`, which become a table of the device.

    Parameters
    ----------
    points : FixedPoint
        The weights of the network.
    table : SynapseTable
        The synapses.
    bounds : ndarray of int64, shape (n_blocks + 1,)
        Bounds of the blocks, in lids.
    first_block : int
        Number of the first of them in the table.
    high_bytes : {1, 2}
        Bytes of a place beside the low ones.
    n_rows, n_synapses : int
        Number of rows and of synapses.
    parts : Parts
        Who advances which neurons.
    """

    points: FixedPoint
    table: SynapseTable
    bounds: NDArray[np.int64]
    first_block: int
    high_bytes: int
    n_rows: int
    n_synapses: int
    parts: Parts

    @property
    def origin(self) -> int:
        """Lid of the first target."""
        return int(self.bounds[0])

    @property
    def target_bits(self) -> int:
        """Low bits of a place, which hold the target."""
        return int(self.bounds[-1] - self.bounds[0] - 1).bit_length()

    @property
    def n_sources(self) -> int:
        """Sources of the index, in whole groups."""
        return SOURCES_PER_GROUP * self._sources().shape[1]

    @property
    def n_row_words(self) -> int:
        """Numbers in the index of rows."""
        return self.parts.n * (self.n_rows if self.parts.n == 1 else self.n_sources) + 1

    @property
    def nbytes(self) -> int:
        """Size on the device [B]."""
        each = synapse_bytes(self.table.form, self.high_bytes, self.points)
        index = index_bytes(self.n_sources, self.n_rows, self.parts.n)
        return self.n_synapses * each + int(index) + CHANNEL.itemsize * self.table.n_channels

    def arrays(self, n: int) -> dict[str, tuple[int, Any]]:
        """Return size and type of the arrays that hold `n` synapses."""
        form = self.table.form
        high = high_weight_bytes(form, self.points)
        return {
            "low": (n, np.uint16),
            "high": (n, HIGH_TYPES[self.high_bytes]),
            "weights": (0 if form is Form.CONSTANT else n, np.uint16),
            "high_weights": (n if high else 0, HIGH_WEIGHT_TYPES[high]),
        }

    def channels(self) -> NDArray[np.void]:
        """Return what the channels of the table do, see `CHANNEL`."""
        channels = np.zeros(self.table.n_channels, dtype=CHANNEL)
        channels["delay"], channels["receptor"] = self.table.delays, self.table.receptors
        channels["weight"] = self.table.weights
        return channels

    def groups(self) -> NDArray[np.uint64]:
        """Return where the rows of each group of 64 neighbouring sources are.

        Returns
        -------
        ndarray of uint64, shape (n_groups, 3)
            A bit for each source that has a row, rows before, synapses before.
        """
        sources, rows = self._sources(), self.table.rows
        groups = np.zeros((sources.shape[1], 3), dtype=np.uint64)
        groups[:, 0] = _together(sources)
        groups[1:, 1] = np.cumsum(np.bitwise_count(groups[:-1, 0]), dtype=np.uint64)
        for block in sources:
            before = rows[block[:, 1].astype(np.int64), 1].astype(np.uint64)
            groups[:, 2] += before - before[0]
        return groups

    def chunks(self, groups: NDArray[np.uint64]) -> Iterator[Chunk]:
        """Yield the rows and synapses in the order of sources, about `CHUNK` at a time.

        Parameters
        ----------
        groups : ndarray of uint64
            What `groups` returned.
        """
        end = np.array([[0, self.n_rows, self.n_synapses]], dtype=np.uint64)
        bounds = np.concatenate([groups, end]).astype(np.int64)[:, 1:]
        first = 0
        while first < len(groups):
            last = int(np.searchsorted(bounds[:, 1], bounds[first, 1] + CHUNK, side="right")) - 1
            last = min(max(last, first + 1), len(groups))
            yield self._pack(groups[first:last], first, bounds[first], bounds[last])
            first = last

    def _pack(
        self,
        groups: NDArray[np.uint64],
        first: int,
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
    ) -> Chunk:
        """Pack some groups of sources, of which the first and the next ones' rows are given."""
        table = self.table
        n_rows, n_synapses = end - begin
        require(
            n_synapses < 2**32, "synapses of 64 sources", n_synapses, "< 2**32",
            error=CapacityError,
        )  # fmt: skip
        arrays = {name: np.empty(*given) for name, given in self.arrays(int(n_synapses)).items()}
        dense = self.parts.n > 1
        n_listed = SOURCES_PER_GROUP * len(groups) if dense else int(n_rows)
        rows = np.empty((n_listed, self.parts.n), dtype=np.uint32)
        pack_rows(
            int(table.form), self._sources()[:, first : first + len(groups)], groups, table.rows,
            table.runs, table.words, table.exact, self.bounds - self.origin, self.target_bits,
            self._part_of(), int(begin[1]), rows, *arrays.values(),
        )  # fmt: skip
        first_row = SOURCES_PER_GROUP * first if dense else int(begin[0])
        return Chunk(first_row, int(begin[1]), rows, arrays)

    def _part_of(self) -> NDArray[np.uint16]:
        """Return the part of each target; none if there is one part only."""
        if self.parts.n == 1:
            return np.zeros(0, dtype=np.uint16)
        return (np.arange(self.origin, self.bounds[-1]) // self.parts.size).astype(np.uint16)

    def _sources(self) -> NDArray[np.uint64]:
        return self.table.sources[self.first_block : self.first_block + self.bounds.size - 1]


@dataclass(frozen=True)
class Chunk:
    """Some rows of a section, ready for the device.

    Parameters
    ----------
    first_row, first_synapse : int
        Where they belong in the section.
    rows : ndarray of uint32, shape (n, n_parts)
        Low half of the number of the first synapse of each row, in one part; or of each source,
        with a row or without, in each of several parts.
    arrays : dict of str to ndarray
        Low and high bits of the synapses' places, and of their weights, which are divided by
        ``2**shift`` in the form DRAWN; see `Section.arrays`.
    """

    first_row: int
    first_synapse: int
    rows: NDArray[np.uint32]
    arrays: dict[str, NDArray[Any]]


def make_sections(shard: Shard) -> list[Section]:
    """Return the synapses of a shard in as few bytes as they take on a device.

    Parameters
    ----------
    shard : Shard
        What the rank owns.
    """
    return [
        section
        for table in shard.tables
        for section in min((_cut(shard, table, high) for high in HIGH_BYTES), key=_size)
    ]


def _size(sections: list[Section]) -> float:
    return sum(section.nbytes for section in sections) if sections else np.inf


def _cut(shard: Shard, table: SynapseTable, high_bytes: int) -> list[Section]:
    """Return the blocks of a table in as few sections as places allow; none if they do not."""
    together = blocks_together(int(np.diff(shard.blocks).max()), table.n_channels, high_bytes)
    if together == 0:
        return []
    n_blocks = shard.blocks.size - 1
    return [
        _section(shard, table, shard.blocks[first : first + together + 1], first, high_bytes)
        for first in range(0, n_blocks, together)
    ]


def _section(
    shard: Shard, table: SynapseTable, bounds: NDArray[np.int64], first: int, high_bytes: int
) -> Section:
    last = first + bounds.size - 1
    n_rows = int(np.bitwise_count(_together(table.sources[first:last])).sum(dtype=np.int64))
    begin, end = (_first_synapse(table, block) for block in (first, last))
    whole = one_part(shard.neurons.size)
    points = shard.fixed_point
    return Section(points, table, bounds, first, high_bytes, n_rows, end - begin, whole)


def _together(sources: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a bit for each source that has a row in any of some blocks."""
    return np.bitwise_or.reduce(sources[:, :, 0], axis=0)


def _first_synapse(table: SynapseTable, block: int) -> int:
    """Return the number of the first synapse in a block, or that of all beyond the last."""
    row = -1 if block == len(table.sources) else int(table.sources[block, 0, 1])
    return int(table.rows[row, 1])
