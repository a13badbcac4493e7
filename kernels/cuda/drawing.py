"""The synapses of a shard drawn on the device, so that the host has none of them; see draw.cuh.

All are drawn twice. First those of each row are counted. The host turns the numbers into the
index, some sources at a time. Then each synapse is put into its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.draft import Draft, Drawn, Kind, Listed
from simcore.errors import CapacityError, require
from simcore.kernels.cuda import machine as layout
from simcore.kernels.cuda.device import Buffer, Device, Kernel
from simcore.kernels.cuda.machine import Parts
from simcore.kernels.cuda.synapses import Section, Table
from simcore.places import SCRATCH_BYTES
from simcore.shard import SOURCES_PER_GROUP

# Numbers of synapses that the host turns into an index at a time
CHUNK = 2**20

# The kind of drawing in draw.cuh where the host lists the synapses
_GIVEN = len(Kind)

_NONE = 2**62


class Drawer:
    """Draws the synapses of a shard.

    Parameters
    ----------
    device : Device
        Where.
    draft : Draft
        What the rank owns.
    parts : Parts
        Who advances which neurons.
    gids : Buffer
        Global ids of the neurons.
    report : callable
        Called now and then with the share that is done, from 0 to 1.
    """

    def __init__(
        self,
        device: Device,
        draft: Draft,
        parts: Parts,
        gids: Buffer,
        report: Callable[[float], None],
    ) -> None:
        self._device, self._draft, self._parts, self._gids = device, draft, parts, gids
        self._own = device.upload(_bits(draft.neurons.gids, draft.network.n_neurons))
        self._shortest = device.upload(np.array([_NONE], dtype=np.uint64))
        self._indegrees: dict[int, NDArray[np.int64]] = {}
        self._report, self._done = report, 0.0
        self._all = 2.0 * sum(table.expected for table in draft.drafts)

    @property
    def shortest(self) -> int:
        """Shortest delay of a synapse from elsewhere [steps]; 2**62 without any."""
        return int(self._shortest.read()[0])

    def count(self, section: Section) -> Table:
        """Count the synapses of a section; return a table that has an index, but no synapses."""
        device, n_parts = self._device, self._parts.n
        buffers = {"channels": device.upload(section.channels().view(np.int32))}
        table = Table(section, self._parts, buffers)
        n = section.n_sources * n_parts
        if n_parts > 1:
            # Where a part begins is written over the number of its synapses
            rows = buffers["rows"] = device.zeros(n + 1, np.uint32)
            self._draw(device.counting(), table, rows.address + rows.dtype.itemsize)
            self._index_parts(table)
        else:
            counts = device.zeros(n, np.uint32)
            self._draw(device.counting(), table, counts.address)
            self._index_rows(table, counts)
        return table

    def put(self, table: Table) -> None:
        """Draw the synapses of a table again, and put them there."""
        given = table.section.arrays(table.n_synapses)
        table.buffers |= {name: self._device.zeros(*array) for name, array in given.items()}
        self._draw(self._device.putting(), table, 0)

    def _index_parts(self, table: Table) -> None:
        """Write where the synapses of each source in each part begin, one behind its place."""
        n_parts, rows = self._parts.n, table.buffers["rows"]
        per_chunk = SOURCES_PER_GROUP * max(1, CHUNK // (SOURCES_PER_GROUP * n_parts))
        met = _Met(self._draft)
        for first in range(0, table.section.n_sources, per_chunk):
            n = min(per_chunk, table.section.n_sources - first)
            counts = rows.read(n * n_parts, first * n_parts + 1).astype(np.int64)
            ends = met.n_synapses + np.cumsum(counts)
            met.add(first, counts.reshape(n, n_parts).sum(axis=1))
            rows.write((ends - counts).astype(np.uint32), first * n_parts + 1)
        valid, remedy = "below 2**32", "Use more GPUs."
        subject = "synapses of a table that blocks share"
        require(met.n_synapses < 2**32, subject, met.n_synapses, valid, remedy, CapacityError)
        table.n_rows, table.n_synapses, table.met = met.n_rows, met.n_synapses, met.populations

    def _index_rows(self, table: Table, counts: Buffer) -> None:
        """Write which sources have rows, and where each begins, one behind its place."""
        device, n_groups = self._device, table.section.n_groups
        met = _Met(self._draft)
        sources = device.zeros(3 * n_groups, np.uint64)
        for first, found in self._chunks(counts):
            groups = np.empty((found.size // SOURCES_PER_GROUP, 3), dtype=np.uint64)
            groups[:, 0] = np.packbits(found > 0, bitorder="little").view(np.uint64)
            sizes = found.reshape(-1, SOURCES_PER_GROUP).sum(axis=1)
            largest = int(sizes.max(initial=0))
            require(
                largest < 2**32, "synapses of 64 sources", largest, "below 2**32",
                error=CapacityError,
            )  # fmt: skip
            groups[:, 1] = met.n_rows + _before(np.bitwise_count(groups[:, 0]))
            groups[:, 2] = met.n_synapses + _before(sizes)
            sources.write(groups.reshape(-1), 3 * (first // SOURCES_PER_GROUP))
            met.add(first, found)
        rows, at, before = device.zeros(met.n_rows + 1, np.uint32), 1, 0
        for _, found in self._chunks(counts):
            begins = (before + _before(found))[found > 0]
            rows.write((begins & 0xFFFFFFFF).astype(np.uint32), at)
            at, before = at + begins.size, before + int(found.sum())
        table.buffers |= {"sources": sources, "rows": rows}
        table.n_rows, table.n_synapses, table.met = met.n_rows, met.n_synapses, met.populations

    def _chunks(self, counts: Buffer) -> Iterator[tuple[int, NDArray[np.int64]]]:
        for first in range(0, counts.size, CHUNK):
            n = min(CHUNK, counts.size - first)
            yield first, counts.read(n, first).astype(np.int64)

    def _draw(self, kernel: Kernel, table: Table, counts: int) -> None:
        """Draw the synapses of a table, to count them or to put them there."""
        filing = {
            "n_parts": self._parts.n,
            "part_size": self._parts.size,
            "counts": counts,
            "own": self._own.address,
            "shortest": self._shortest.address,
        }
        rest = layout.struct_of(layout.FILING_FIELDS, filing)
        where = np.concatenate([table.struct(), rest])
        projections = table.section.draft.projections
        for projection in projections:
            begin = max(projection.lids[0], table.section.lids[0])
            end = min(projection.lids[1], table.section.lids[1])
            if begin < end:
                if isinstance(projection, Drawn):
                    self._draw_targets(kernel, projection, begin, end, where)
                else:
                    self._take_listed(kernel, projection, begin, end, where)
            self._done += table.section.expected / len(projections)
            self._report(min(1.0, self._done / max(self._all, 1.0)))

    def _draw_targets(
        self, kernel: Kernel, drawn: Drawn, begin: int, end: int, where: NDArray[np.int64]
    ) -> None:
        """Let the device draw the synapses of some targets."""
        device = self._device
        n_sources = drawn.sources[1]
        require(n_sources < 2**32, "sources of a projection", n_sources, "below 2**32",
                error=CapacityError)  # fmt: skip
        if id(drawn) not in self._indegrees:
            self._indegrees[id(drawn)] = drawn.indegrees()
        first = drawn.lids[0]
        indegrees = self._indegrees[id(drawn)][begin - first : end - first]
        n_slots = 0
        if drawn.kind is Kind.DISTINCT:
            n_slots = _slots(indegrees, n_sources)
            kernel = _fewer(kernel, SCRATCH_BYTES // (4 * n_slots))
        values = {
            "kind": int(drawn.kind),
            "seed": self._draft.network.seed,
            "stream": drawn.stream,
            "first_source": drawn.sources[0],
            "n_sources": n_sources,
            "excluded_begin": drawn.excluded[0],
            "excluded_end": drawn.excluded[1],
            "first_target": begin,
            "n_targets": end - begin,
            "n_thresholds": drawn.thresholds.size,
            "n_weights": drawn.weights.size,
            "gids": self._gids.address,
            "n_slots": n_slots,
        }
        arrays: dict[str, NDArray[Any]] = {
            "indegrees": indegrees,
            "thresholds": drawn.thresholds,
            "values": drawn.weights,
            "channel_of": drawn.channel_of,
        }
        buffers = {name: device.upload(array) for name, array in arrays.items()}
        if n_slots:
            buffers["slots"] = device.zeros(n_slots * kernel.n_warps, np.uint32)
        self._launch(kernel, values, buffers, where)

    def _take_listed(
        self, kernel: Kernel, listed: Listed, begin: int, end: int, where: NDArray[np.int64]
    ) -> None:
        """Hand the synapses of some targets to the device."""
        for sources, targets, channels, weights in listed.synapses(begin, end):
            arrays: dict[str, NDArray[Any]] = {
                "sources": sources.astype(np.int64),
                "targets": (begin + targets).astype(np.int32),
                "channels": channels.astype(np.int32),
                "weights": weights.astype(np.int32),
            }
            buffers = {name: self._device.upload(array) for name, array in arrays.items()}
            self._launch(kernel, {"kind": _GIVEN, "n_targets": sources.size}, buffers, where)

    def _launch(
        self,
        kernel: Kernel,
        values: dict[str, int],
        buffers: dict[str, Buffer],
        where: NDArray[np.int64],
    ) -> None:
        """Launch a kernel, and wait for its end: then nobody needs the buffers."""
        addresses = {name: buffer.address for name, buffer in buffers.items()}
        fields = dict.fromkeys(layout.DRAWING_FIELDS, 0) | values | addresses
        self._device.launch(kernel, (layout.struct_of(layout.DRAWING_FIELDS, fields), where))
        self._device.stream.synchronize()


class _Met:
    """Rows and synapses so far, and those that come from each population."""

    def __init__(self, draft: Draft) -> None:
        populations = draft.network.populations
        self._bounds = np.array([*(p.first for p in populations), draft.network.n_neurons])
        self.populations = np.zeros((len(populations), 2), dtype=np.int64)
        self.n_rows = self.n_synapses = 0

    def add(self, first: int, counts: NDArray[np.int64]) -> None:
        """Take the synapses of neighbouring sources."""
        places = np.clip(self._bounds - first, 0, counts.size)
        for column, numbers in enumerate((counts > 0, counts)):
            sums = np.concatenate([[0], np.cumsum(numbers, dtype=np.int64)])
            self.populations[:, column] += np.diff(sums[places])
        self.n_rows += int(np.count_nonzero(counts))
        self.n_synapses += int(counts.sum())


def _fewer(kernel: Kernel, n_warps: int) -> Kernel:
    """Return a kernel with no more than so many warps, but one block at least."""
    per_block = kernel.n_warps // kernel.n_blocks
    return replace(kernel, n_blocks=max(1, min(kernel.n_blocks, n_warps // per_block)))


def _before(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each number the sum of those before it."""
    ends = np.cumsum(numbers, dtype=np.int64)
    return ends - numbers


def _bits(gids: NDArray[np.int64], n_neurons: int) -> NDArray[np.uint64]:
    """Return a bit for each neuron of the network that is among some."""
    bits = np.zeros(-(-n_neurons // SOURCES_PER_GROUP), dtype=np.uint64)
    places = (gids % SOURCES_PER_GROUP).astype(np.uint64)
    np.bitwise_or.at(bits, gids // SOURCES_PER_GROUP, np.uint64(1) << places)
    return bits


def _slots(indegrees: NDArray[np.int64], n_sources: int) -> int:
    """Return the slots of a table with room for twice the sources that a target draws."""
    drawn = np.minimum(indegrees, n_sources - indegrees)
    return 1 << int(2 * max(int(drawn.max(initial=0)), 1) + 1).bit_length()
