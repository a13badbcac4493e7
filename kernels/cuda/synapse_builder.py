"""The synapses of a shard drawn on the device, so that the host has none: synapse_draws.cuh.

All are drawn twice. First those of each source at each section, and at each part of the neurons,
are counted. These numbers become the index. Then each synapse is put into its row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.kernels.cuda.device import WARP, Buffer, Device, Kernel
from simcore.kernels.cuda.structs import (
    DRAWING_FIELDS,
    FILING_FIELDS,
    LISTING_FIELDS,
    Parts,
    struct_of,
)
from simcore.kernels.cuda.synapses import DeviceTable, Section
from simcore.services.errors import CapacityError, require
from simcore.shards.gpu_synapse_layout import SCRATCH_BYTES
from simcore.shards.shard import SOURCES_PER_GROUP
from simcore.shards.shard_spec import (
    ExplicitSynapses,
    ProceduralSynapses,
    ShardSpec,
    SourceChoice,
    TableSpec,
)

# Groups of 64 numbers that the host adds up at a time
CHUNK = 2**18

# Tables of weights and delays that are kept for other projections, at most: 16 MB
SHARED = 64

_NONE = 2**62


class SynapseBuilder:
    """Draws the synapses of a shard.

    Parameters
    ----------
    device : Device
        Where.
    spec : ShardSpec
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
        spec: ShardSpec,
        parts: Parts,
        gids: Buffer,
        report: Callable[[float], None],
    ) -> None:
        self._device, self._spec, self._parts, self._gids = device, spec, parts, gids
        self._shortest = device.upload(np.array([_NONE], dtype=np.uint64))
        self._indegrees: dict[int, NDArray[np.int64]] = {}
        self._shared: dict[int, tuple[NDArray[Any], Buffer]] = {}
        self._report, self._done = report, 0.0
        self._all = 2.0 * sum(table.expected for table in spec.table_specs)

    @property
    def shortest(self) -> int:
        """Shortest delay of a synapse from elsewhere [steps]; 2**62 without any."""
        return int(self._shortest.read()[0])

    def count(self, sections: list[Section]) -> list[DeviceTable]:
        """Count the synapses of all sections.

        Parameters
        ----------
        sections : list of Section
            Those of the shard.

        Returns
        -------
        list of DeviceTable
            With an index, but without synapses.

        Raises
        ------
        CapacityError
            When a source has more synapses than the index can number, or a target more than its
            input allows for.
        """
        tables = []
        for spec in self._spec.table_specs:
            own = [self._table(section) for section in sections if section.spec is spec]
            n = own[0].section.n_sources * self._parts.n
            counts = self._device.zeros(len(own) * n, np.uint32)
            n_drawn = self._file("count", spec, own, _structs(self._device, own), counts)
            for number, table in enumerate(own):
                self._index(table, counts, number * n)
            n_counted = sum(table.n_synapses for table in own)
            valid = f"{n_drawn}, as many as were drawn"
            remedy = "A source may not have 2**32 at the neurons of a GPU: use more GPUs."
            require(
                n_counted == n_drawn, "synapses counted", n_counted, valid, remedy, CapacityError
            )
            tables += own
            del counts
        return tables

    def _table(self, section: Section) -> DeviceTable:
        """Return a table that has no index yet."""
        channels = self._device.upload(section.channels().view(np.int32))
        return DeviceTable(section, self._parts, {"channels": channels})

    def put(self, tables: list[DeviceTable]) -> Buffer:
        """Draw all synapses again, into their rows; return the structs `DeviceTable`."""
        for table in tables:
            arrays = table.section.arrays(table.n_synapses)
            table.buffers |= {name: self._device.zeros(*array) for name, array in arrays.items()}
        for spec in self._spec.table_specs:
            own = [table for table in tables if table.section.spec is spec]
            self._file("put", spec, own, _structs(self._device, own), None)
        return _structs(self._device, tables)

    def _index(self, table: DeviceTable, counts: Buffer, first: int) -> None:
        """Write the index of a table whose numbers of synapses begin at `first`."""
        device, several = self._device, self._parts.n > 1
        n = table.section.n_sources * self._parts.n
        n_groups, place = n // SOURCES_PER_GROUP, counts.address + first * counts.dtype.itemsize
        groups = device.zeros(3 * n_groups, np.uint64)
        self._launch(device.plain("sum_groups"), (), place, groups.address, n_groups)
        before = self._add_up(groups, counts, first)
        table.fan_out = np.diff(before, axis=0)
        table.n_rows, table.n_synapses = (int(total) for total in before[-1])
        if several:
            require(
                table.n_synapses < 2**32, "synapses of a team", table.n_synapses, "below 2**32",
                "Use more GPUs.", CapacityError,
            )  # fmt: skip
        else:
            table.buffers["sources"] = groups
        rows = device.zeros((n if several else table.n_rows) + 1, np.uint32)
        table.buffers["rows"] = rows
        given = place, groups.address, n_groups, rows.address, int(several)
        self._launch(device.plain("begin_rows"), (), *given)

    def _add_up(self, groups: Buffer, counts: Buffer, first: int) -> NDArray[np.int64]:
        """Let each group have the rows and synapses before it, in place of its own.

        Returns
        -------
        ndarray of int64, shape (n_populations + 1, 2)
            Rows and synapses that come from before each population, and of all.
        """
        borders = self._parts.n * np.array([p.first for p in self._spec.network.populations])
        before = np.zeros((borders.size + 1, 2), dtype=np.int64)
        for begin in range(0, groups.size // 3, CHUNK):
            own = groups.read(min(3 * CHUNK, groups.size - 3 * begin), 3 * begin).reshape(-1, 3)
            numbers = own[:, 1:].astype(np.int64)
            largest = int(numbers[:, 1].max())
            require(
                largest < 2**32, "synapses of 64 sources", largest, "below 2**32",
                "Use more GPUs.", CapacityError,
            )  # fmt: skip
            ends = before[-1] + np.cumsum(numbers, axis=0)
            own[:, 1:] = ends - numbers
            groups.write(own.reshape(-1), 3 * begin)
            before[-1] = ends[-1]

            # A population may begin within a group
            at, rest = np.divmod(borders - begin * SOURCES_PER_GROUP, SOURCES_PER_GROUP)
            for k in np.flatnonzero((at >= 0) & (at < len(own))):
                bits, rows, synapses = (int(word) for word in own[at[k]])
                of_group = counts.read(int(rest[k]), first + int(borders[k] - rest[k]))
                rows += (bits & (1 << int(rest[k])) - 1).bit_count()
                before[k] = rows, synapses + int(of_group.sum(dtype=np.int64))
        return before

    def _file(
        self,
        verb: str,
        spec: TableSpec,
        own: list[DeviceTable],
        structs: Buffer,
        counts: Buffer | None,
    ) -> int:
        """Draw the synapses of a table to count or put them; return how many there were."""
        first, end = own[0].section.lids
        looks = counts is not None and self._spec.earliest < _NONE
        values = {
            "tables": structs.address,
            "section_size": end - first,
            "n_sources": own[0].section.n_sources,
            "n_parts": self._parts.n,
            "part_size": self._parts.size,
            "n_neurons": self._spec.neurons.size,
            "gids": self._gids.address,
            "counts": 0 if counts is None else counts.address,
            "shortest": self._shortest.address if looks else 0,
        }
        filing = struct_of(FILING_FIELDS, values)
        n = 0
        for projection in spec.projections:
            if isinstance(projection, ProceduralSynapses):
                n += self._draw(verb, projection, filing)
            else:
                n += self._list(verb, projection, filing)
            self._done += spec.expected / len(spec.projections)
            self._tell()
        return n

    def _draw(self, verb: str, drawn: ProceduralSynapses, filing: NDArray[np.int64]) -> int:
        """Let the device draw the synapses of a projection."""
        device = self._device
        origin, step, n_sources, listed = drawn.sources.packed
        if id(drawn) not in self._indegrees:
            self._indegrees[id(drawn)] = drawn.indegrees()
        indegrees = self._indegrees[id(drawn)]
        kernel, n_slots = device.plain(f"{verb}_drawn"), 0
        buffers = {
            "indegrees": device.upload(indegrees),
            "channel_of": device.upload(drawn.channel_of),
            "thresholds": self._share(drawn.thresholds),
            "weights": self._share(drawn.weights),
        }
        if listed.size:
            buffers["listed"] = self._share(listed)
        first = 0
        if isinstance(drawn.lids, range):
            first = drawn.lids.start
        else:
            buffers["targets"] = device.upload(drawn.lids)
        if drawn.choice is SourceChoice.DISTINCT:
            n_slots = _slots(indegrees, n_sources)
            kernel = self._fewer(kernel, SCRATCH_BYTES // (4 * n_slots))
            buffers["slots"] = device.zeros(n_slots * kernel.n_warps, np.uint32)
        values = dict.fromkeys(DRAWING_FIELDS, 0) | {
            "choice": int(drawn.choice),
            "seed": self._spec.network.seed,
            "stream": drawn.stream,
            "origin": origin,
            "step": step,
            "n_sources": n_sources,
            "excludes": int(drawn.excludes),
            "first_target": first,
            "n_targets": len(drawn.lids),
            "n_thresholds": drawn.thresholds.size,
            "n_weights": drawn.weights.size,
            "n_slots": n_slots,
        }
        values |= {name: buffer.address for name, buffer in buffers.items()}
        self._launch(kernel, (struct_of(DRAWING_FIELDS, values), filing))
        return int(indegrees.sum())

    def _list(self, verb: str, listed: ExplicitSynapses, filing: NDArray[np.int64]) -> int:
        """Hand the synapses of a projection to the device."""
        kernel, n = self._device.plain(f"{verb}_listed"), 0
        for sources, targets, channels, weights in listed.synapses(*listed.lids):
            arrays: dict[str, NDArray[Any]] = {
                "sources": sources.astype(np.int64),
                "targets": (listed.lids[0] + targets).astype(np.int32),
                "channels": channels.astype(np.int32),
                "weights": weights.astype(np.int32),
            }
            buffers = {name: self._device.upload(array) for name, array in arrays.items()}
            values = {name: buffer.address for name, buffer in buffers.items()}
            values["n_synapses"] = sources.size
            self._launch(kernel, (struct_of(LISTING_FIELDS, values), filing))
            n += sources.size
            self._tell()
        return n

    def _fewer(self, kernel: Kernel, n_warps: int) -> Kernel:
        """Return a kernel with no more than so many warps, but one, on all multiprocessors."""
        per_block = min(max(1, n_warps // self._device.n_units), kernel.n_threads // WARP)
        n_blocks = min(kernel.n_blocks, max(1, n_warps // per_block))
        return replace(kernel, n_blocks=n_blocks, n_threads=WARP * per_block)

    def _share(self, array: NDArray[Any]) -> Buffer:
        """Return a buffer with a table that several projections may have in common."""
        if id(array) not in self._shared:
            if len(self._shared) >= SHARED:
                self._shared.clear()
            self._shared[id(array)] = array, self._device.upload(array)
        return self._shared[id(array)][1]

    def _launch(
        self, kernel: Kernel, structs: tuple[NDArray[np.int64], ...], *arguments: int
    ) -> None:
        """Launch a kernel, and wait for its end: then nobody needs the buffers."""
        self._device.launch(kernel, structs, *arguments)
        self._device.stream.synchronize()

    def _tell(self) -> None:
        self._report(min(1.0, self._done / max(self._all, 1.0)))


def _structs(device: Device, tables: list[DeviceTable]) -> Buffer:
    """Upload the structs `DeviceTable`."""
    return device.upload(np.concatenate([np.zeros(0, np.int64), *(t.struct() for t in tables)]))


def _slots(indegrees: NDArray[np.int64], n_sources: int) -> int:
    """Return the slots of a table with room for twice the sources that a target draws."""
    drawn = np.minimum(indegrees, n_sources - indegrees)
    return 1 << int(2 * max(int(drawn.max(initial=0)), 1) + 1).bit_length()
