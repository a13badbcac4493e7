"""The CUDA backend: one launch advances a shard by many steps."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.clock import Epoch
from simcore.kernels.backend import Backend, Probe
from simcore.kernels.cuda import machine as layout
from simcore.kernels.cuda.device import Buffer, CupyDevice, Device
from simcore.kernels.cuda.lack import require_gpu_memory
from simcore.kernels.plan import Plan, make_plan, most_spikes
from simcore.shard import Shard, SynapseTable
from simcore.spikes import GID_BITS, NO_SPIKES, Spikes
from simcore.state import State

# Rows of synapses for which there is room at a time, unless a single spike has more
_ENTRIES = 2**16

# What a launch needs whatever the shard is [B]
_FIXED_BYTES = 2**24


class CudaBackend(Backend):
    """See `Backend`.

    Parameters
    ----------
    shard, probes, precision
        See `Backend`.
    device : Device, optional
        Where to; the GPU of this rank if left out.
    """

    name = "cuda"

    def __init__(
        self,
        shard: Shard,
        probes: tuple[Probe, ...] = (),
        precision: str = "float64",
        device: Device | None = None,
    ) -> None:
        super().__init__(shard, probes, precision)
        self._device = CupyDevice(precision) if device is None else device
        self._seconds = 0.0
        self._sampled: list[list[NDArray[np.floating]]] = [[] for _ in probes]
        self._n_slots = 1 << int(shard.max_delay).bit_length()
        plan = make_plan(shard, self.dtype)
        self._require_memory(plan)
        self._n_receptors = plan.n_receptors
        self._resting = plan.resting
        self._buffers: dict[str, Buffer] = {}
        self._values: dict[str, int] = {}
        self._upload_plan(plan)
        self._upload_probes()
        self._upload_synapses()
        self._make_room(plan)
        self._write_machine()

    def advance(self, epoch: Epoch, remote: Spikes) -> Spikes:
        """Advance the shard by an epoch."""
        start = time.perf_counter()
        pieces = []
        step = epoch.begin
        while step < epoch.end:
            begin = step
            step, words = self._launch(begin, epoch.end, remote)
            pieces.append(words + ((begin - epoch.begin) << GID_BITS))
            remote = NO_SPIKES
        self._seconds += time.perf_counter() - start
        empty = np.zeros(0, dtype=np.int64)
        return Spikes(epoch.begin, np.concatenate(pieces) if pieces else empty)

    def samples(self) -> list[NDArray[np.floating]]:
        """Return and forget what was sampled."""
        sampled, self._sampled = self._sampled, [[] for _ in self.probes]
        return [
            np.concatenate([np.zeros((0, probe.lids.size), dtype=self.dtype), *rows])
            for probe, rows in zip(self.probes, sampled, strict=True)
        ]

    def potentials(self) -> NDArray[np.floating]:
        """Return the membrane potential of every neuron [mV]."""
        return self._buffers["V"].read() + self._resting

    def state(self) -> State:
        """Return the state of all neurons."""
        gids = self.shard.neurons.gids
        currents = self._buffers["currents"].read().reshape(self._n_receptors, gids.size)
        return State(gids, self._buffers["V"].read(), currents, self._buffers["waiting"].read())

    def restore(self, state: State, step: int, recent: Spikes) -> None:
        """Go on from a state."""
        own = state.of(self.shard.neurons.gids)
        self._buffers["V"].write(own.V)
        self._buffers["currents"].write(np.ascontiguousarray(own.currents).reshape(-1))
        self._buffers["waiting"].write(own.refractory)
        self._launch(step, step, recent)

    def phase_seconds(self) -> dict[str, float]:
        """Return the time spent so far; what is delivery and what update is not told apart."""
        return {"deliver": 0.0, "update": self._seconds}

    def warm_up(self) -> None:
        """Load the kernels."""
        self._launch(0, 0, NO_SPIKES)

    def _launch(self, begin: int, end: int, remote: Spikes) -> tuple[int, NDArray[np.int64]]:
        """Advance as far as there is room; return where it stopped, and the spikes, sorted."""
        self._make_samples(begin, end)
        self._write_remote(remote)
        control = dict(zip(layout.CONTROL_FIELDS, self._control(), strict=False))
        kept = {name: int(control[name]) for name in layout.KEPT}
        none = dict.fromkeys(layout.CONTROL_FIELDS, 0)
        first = layout.struct_of(layout.CONTROL_FIELDS, none | kept)
        self._buffers["control"].write(np.append(first, np.zeros(8, dtype=np.int64)))
        self._device.advance(
            self._machine.address, begin, end, remote.origin, self._remote.address, remote.size
        )
        found = dict(zip(layout.CONTROL_FIELDS, self._control().tolist(), strict=False))
        self._take_samples(begin, found["step"])
        return found["step"], np.sort(self._buffers["words"].read(found["n_spikes"]))

    def _control(self) -> NDArray[np.int64]:
        return self._buffers["control"].read()[: len(layout.CONTROL_FIELDS)]

    def _keep(self, **arrays: NDArray[Any]) -> None:
        """Upload arrays, and keep them under their names."""
        for name, array in arrays.items():
            self._buffers[name] = self._device.upload(_not_empty(array))

    def _require_memory(self, plan: Plan) -> None:
        """Raise `CapacityError` when the shard does not fit, before anything is allocated."""
        shard, free = self.shard, self._device.free_bytes()
        cells = self._n_slots * plan.n_receptors * 4
        state = shard.neurons.size * (cells + 64 + 8 * plan.n_receptors)
        synapses = sum(t.words.nbytes + t.exact.nbytes + t.sources.nbytes for t in shard.tables)
        pieces = sum(layout.count_pieces(t) * layout.PIECE.itemsize for t in shard.tables)
        rows = sum(4 * len(t.rows) for t in shard.tables)
        require_gpu_memory(state + synapses + pieces + rows + _FIXED_BYTES, free)

    def _upload_plan(self, plan: Plan) -> None:
        spans = layout.make_spans(plan)
        shard = self.shard
        n = shard.neurons.size
        self._keep(
            gids=shard.neurons.gids,
            blocks=shard.blocks,
            span_of=spans.span_of,
            spans=spans.spans,
            segments=layout.make_segments(plan).view(np.int64),
            groups=spans.groups,
            thresholds=plan.thresholds,
            resting=plan.resting,
            V=plan.potentials,
            currents=np.zeros(plan.n_receptors * n, dtype=self.dtype),
            waiting=np.zeros(n, dtype=np.int16),
            change_steps=plan.changes[0],
            change_segments=plan.changes[1],
            change_values=plan.changes[2].astype(np.float64),
            train_steps=plan.trains[0],
            train_lids=plan.trains[1],
        )
        self._values |= {
            "n_neurons": n,
            "n_blocks": shard.blocks.size - 1,
            "n_receptors": plan.n_receptors,
            "n_slots": self._n_slots,
            "seed": shard.network.seed,
            "n_changes": plan.changes[0].size,
            "n_trains": plan.trains[0].size,
        }

    def _upload_probes(self) -> None:
        sizes = [probe.lids.size for probe in self.probes]
        self._keep(
            probe_lids=np.concatenate([np.zeros(0, np.int64), *[p.lids for p in self.probes]]),
            probe_bounds=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            probe_intervals=np.array([p.interval for p in self.probes], dtype=np.int64),
            probe_places=np.zeros(len(sizes), dtype=np.int64),
            samples=np.zeros(1, dtype=self.dtype),
        )
        self._values["n_probes"] = len(sizes)

    def _upload_synapses(self) -> None:
        tables = [self._upload_table(table) for table in self.shard.tables]
        self._keep(tables=np.concatenate([np.zeros(0, np.int64), *tables]))
        self._values["n_tables"] = len(tables)
        groups = [table.sources.shape[1] for table in self.shard.tables]
        self._values["n_source_groups"] = groups[0] if groups else 0

    def _upload_table(self, table: SynapseTable) -> NDArray[np.int64]:
        """Upload the synapses of one form; return the struct that names them."""
        pieces, rows = layout.make_pieces(table)
        arrays: dict[str, NDArray[Any]] = {
            "delays": table.delays,
            "receptors": table.receptors,
            "weights": table.weights,
            "sources": table.sources,
            "rows": rows,
            "pieces": pieces.view(np.int64),
            "words": table.words,
            "exact": table.exact,
        }
        self._keep(**{f"{name} {table.form.name}": array for name, array in arrays.items()})
        places = {name: self._buffers[f"{name} {table.form.name}"].address for name in arrays}
        values = {"form": int(table.form), "shift": table.shift, **places}
        return layout.struct_of(layout.TABLE_FIELDS, values)

    def _make_room(self, plan: Plan) -> None:
        """Make the ring, and room for spikes."""
        shard = self.shard
        most = most_spikes(shard)
        rows = len(shard.tables) * (shard.blocks.size - 1)
        self._values |= {
            "n_entries": max(rows, _ENTRIES),
            "n_words": 2 * most + 64,
            "most_spikes": most,
        }
        entries, words = self._values["n_entries"], self._values["n_words"]
        cells = self._n_slots * plan.n_receptors * shard.neurons.size
        self._buffers["ring"] = self._device.zeros(max(cells, 1), np.int32)
        self._buffers["entries"] = self._device.zeros(layout.ENTRY_WORDS * entries, np.int64)
        self._buffers["words"] = self._device.zeros(words, np.int64)
        self._buffers["control"] = self._device.zeros(layout.CONTROL_SIZE, np.int64)
        self._make_remote(max(64, most))

    def _make_remote(self, n_spikes: int) -> None:
        """Make room for so many spikes that come from elsewhere, or wait for another round."""
        self._remote = self._device.zeros(n_spikes, np.int64)
        self._buffers["left"] = self._device.zeros(2 * layout.SPIKE_WORDS * n_spikes, np.int64)
        self._values["n_left"] = n_spikes

    def _write_remote(self, remote: Spikes) -> None:
        if remote.size > self._remote.size:
            self._make_remote(2 * remote.size)
            self._write_machine()
        if remote.size:
            self._remote.write(remote.words)

    def _write_machine(self) -> None:
        addresses = {name: buffer.address for name, buffer in self._buffers.items()}
        struct = layout.struct_of(layout.MACHINE_FIELDS, {**addresses, **self._values})
        self._machine = self._device.upload(struct)

    def _make_samples(self, begin: int, end: int) -> None:
        """Make room for the samples of some steps."""
        if not self.probes:
            return
        rows = [end // p.interval - begin // p.interval for p in self.probes]
        sizes = [n * p.lids.size for n, p in zip(rows, self.probes, strict=True)]
        self._places = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._buffers["probe_places"].write(self._places[:-1])
        if self._places[-1] > self._buffers["samples"].size:
            self._buffers["samples"] = self._device.zeros(2 * int(self._places[-1]), self.dtype)
            self._write_machine()

    def _take_samples(self, begin: int, end: int) -> None:
        """Keep the samples of the steps that were taken."""
        if not self.probes:
            return
        values = self._buffers["samples"].read(int(self._places[-1]))
        for probe, first, kept in zip(self.probes, self._places, self._sampled, strict=False):
            rows = end // probe.interval - begin // probe.interval
            size = probe.lids.size
            kept.append(values[first : first + rows * size].reshape(rows, size))


def _not_empty(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array, or one of a single zero in place of an empty one, so that it has a place."""
    return array if array.size else np.zeros(1, dtype=array.dtype)
