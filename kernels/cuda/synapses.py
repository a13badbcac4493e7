"""The synapses of a shard as the device keeps them.

The targets of a table are cut into sections, see `simcore.shards.gpu_synapse_layout`; each is a
table of the device. Where the blocks of a launch have neurons of their own, each row has the
synapses at those of the first, then at those of the second, and so on; and the index tells for
every source where each of these parts begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.discretization.fixed_point import FixedPoint, WeightForm
from simcore.kernels.cuda import structs
from simcore.kernels.cuda.device import Buffer
from simcore.kernels.cuda.structs import Parts
from simcore.shards.gpu_synapse_layout import (
    cut_targets,
    high_weight_bytes,
    index_bytes,
    synapse_bytes,
)
from simcore.shards.shard import SOURCES_PER_GROUP
from simcore.shards.shard_spec import ShardSpec, TableSpec

HIGH_TYPES = {1: np.uint8, 2: np.uint16}
HIGH_WEIGHT_TYPES = {0: np.int8, 1: np.int8, 2: np.int16}

CHANNEL = np.dtype([(name, np.int32) for name in ("delay", "receptor", "weight", "unused")])
"""What a synapse does, apart from its target; as in structs.cuh."""


@dataclass(frozen=True)
class Section:
    """Some neighbouring targets of a table, whose synapses become a table of the device.

    Parameters
    ----------
    points : FixedPoint
        The weights of the network.
    spec : TableSpec
        What the synapses are drawn from.
    lids : (int, int)
        First target, and the one after the last.
    high_bytes : {1, 2}
        Bytes of a place beside the low ones.
    target_bits : int
        Low bits of a place, which hold the target.
    n_groups : int
        Groups of 64 sources, those of the whole network.
    expected : float
        Expected number of synapses.
    """

    points: FixedPoint
    spec: TableSpec
    lids: tuple[int, int]
    high_bytes: int
    target_bits: int
    n_groups: int
    expected: float

    @property
    def n_sources(self) -> int:
        """Sources of the index, in whole groups."""
        return SOURCES_PER_GROUP * self.n_groups

    def arrays(self, n: int) -> dict[str, tuple[int, Any]]:
        """Return size and type of the arrays that hold `n` synapses."""
        form = self.spec.form
        high = high_weight_bytes(form, self.points)
        return {
            "low": (n, np.uint16),
            "high": (n, HIGH_TYPES[self.high_bytes]),
            "weights": (0 if form is WeightForm.CONSTANT else n, np.uint16),
            "high_weights": (n if high else 0, HIGH_WEIGHT_TYPES[high]),
        }

    def channels(self) -> NDArray[np.void]:
        """Return what the channels of the table do, see `CHANNEL`."""
        channels = np.zeros(self.spec.n_channels, dtype=CHANNEL)
        channels["delay"], channels["receptor"] = self.spec.delays, self.spec.receptors
        channels["weight"] = self.spec.weights
        return channels

    def nbytes(self, n_parts: int, n_rows: float, n_synapses: float) -> float:
        """Return what so many rows and synapses take on the device [B]."""
        each = synapse_bytes(self.spec.form, self.high_bytes, self.points)
        index = index_bytes(self.n_sources, n_rows, n_parts)
        return n_synapses * each + index + CHANNEL.itemsize * self.spec.n_channels

    def expected_nbytes(self, n_parts: int) -> float:
        """Return what the section is expected to take on the device at least [B].

        How many rows there are depends on how synapses are spread over the sources.
        """
        return self.nbytes(n_parts, 0.0, self.expected)


def make_sections(spec: ShardSpec) -> list[Section]:
    """Return the sections of a shard, with places that are expected to take the least memory.

    Parameters
    ----------
    spec : ShardSpec
        What the rank owns.
    """
    points, n_sources = spec.fixed_point, spec.network.n_neurons
    n_groups = -(-n_sources // SOURCES_PER_GROUP)
    sections = []
    for table in spec.table_specs:
        n, expected = spec.neurons.size, table.expected
        cut = cut_targets(table.form, points, table.n_channels, n, n_sources, expected)
        sections += [
            Section(
                points, table, (int(begin), int(end)), cut.high_bytes, cut.target_bits, n_groups,
                expected * float(end - begin) / max(n, 1),
            )
            for begin, end in pairwise(cut.bounds)
        ]  # fmt: skip
    return sections


@dataclass
class DeviceTable:
    """A section on the device.

    Parameters
    ----------
    section : Section
        What it is of.
    parts : Parts
        Who advances which neurons.
    buffers : dict of str to Buffer
        The arrays that the struct `DeviceTable` names.
    n_rows, n_synapses : int
        Number of rows and of synapses.
    fan_out : ndarray of int64, shape (n_populations, 2)
        Rows and synapses that come from each population.
    """

    section: Section
    parts: Parts
    buffers: dict[str, Buffer]
    n_rows: int = 0
    n_synapses: int = 0
    fan_out: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Size on the device [B]."""
        return round(self.section.nbytes(self.parts.n, self.n_rows, self.n_synapses))

    def struct(self) -> NDArray[np.int64]:
        """Return the struct `DeviceTable`."""
        section = self.section
        values = dict.fromkeys(structs.TABLE_FIELDS, 0) | {
            "form": int(section.spec.form),
            "shift": section.spec.shift,
            "origin": section.lids[0],
            "target_bits": section.target_bits,
            "wide": int(section.high_bytes == 2),
            "wide_weights": int(high_weight_bytes(section.spec.form, section.points) == 2),
            "n_channels": section.spec.n_channels,
        }
        addresses = {name: buffer.address for name, buffer in self.buffers.items()}
        return structs.struct_of(structs.TABLE_FIELDS, values | addresses)
