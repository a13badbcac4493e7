"""A shard on the device: its arrays, and the struct that names them to the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.kernels.backend import Probe
from simcore.kernels.cuda import machine as layout
from simcore.kernels.cuda.device import Buffer, Device
from simcore.kernels.cuda.lack import require_gpu_memory
from simcore.kernels.cuda.launches import Launches
from simcore.kernels.cuda.synapses import HIGH_TYPES, WEIGHT_TYPES, Section, make_sections
from simcore.kernels.plan import Plan, most_spikes
from simcore.places import WEIGHT_BYTES, n_entries, n_words
from simcore.shard import Shard

# What the driver and the code of the kernels take, beyond what a device tells to be free [B]
_RESERVE = 2**24


class Residence:
    """The arrays of one shard, in the memory of one device.

    Parameters
    ----------
    device : Device
        Where.
    shard : Shard
        What the rank owns.
    plan : Plan
        The same as flat tables.
    probes : tuple of Probe
        What is sampled.

    Attributes
    ----------
    buffers : dict of str to Buffer
        The arrays that `struct` names.
    struct : ndarray of int64
        The struct `Machine`.
    n_words : int
        Spikes for which a launch has room.

    Raises
    ------
    CapacityError
        When the shard does not fit, before anything is allocated.
    """

    def __init__(self, device: Device, shard: Shard, plan: Plan, probes: tuple[Probe, ...]) -> None:
        self._device = device
        most = most_spikes(shard)
        sections = make_sections(shard)
        self.n_words = n_words(most)
        arrays = _state(shard, plan) | _probes(probes, plan)
        zeros = _rooms(shard, plan, len(sections))
        self._values = {
            "n_neurons": shard.neurons.size,
            "n_receptors": plan.n_receptors,
            "n_slots": n_slots(shard),
            "n_tables": len(sections),
            "seed": shard.network.seed,
            "n_changes": plan.changes[0].size,
            "n_trains": plan.trains[0].size,
            "n_probes": len(probes),
            "n_entries": zeros["entries"][0] // layout.ENTRY_WORDS,
            "n_left": most,
            "n_words": self.n_words,
            "most_spikes": most,
        }
        needed = sum(section.nbytes for section in sections) + Launches.n_bytes(self.n_words)
        needed += sum(array.nbytes for array in arrays.values())
        needed += sum(n * np.dtype(dtype).itemsize for n, dtype in zeros.values())
        require_gpu_memory(needed + _RESERVE, device.free_bytes())
        self.buffers = {name: device.upload(array) for name, array in arrays.items()}
        self.buffers |= {name: device.zeros(n, dtype) for name, (n, dtype) in zeros.items()}
        self._tables: list[Buffer] = []
        tables = [self._upload(section) for section in sections]
        self.buffers["tables"] = device.upload(np.concatenate([np.zeros(0, np.int64), *tables]))
        self._name()

    def replace(self, name: str, n: int, dtype: Any) -> None:
        """Put a buffer of `n` zeros in the place of another; no launch may be under way."""
        self.buffers[name] = self._device.zeros(n, dtype)
        self._name()

    def make_left(self, n_spikes: int) -> None:
        """Make room for so many spikes that have to wait for another round."""
        if n_spikes > self._values["n_left"]:
            self._values["n_left"] = n_spikes
            self.replace("left", 2 * layout.SPIKE_WORDS * n_spikes, np.int64)

    def _name(self) -> None:
        """Write down the struct."""
        addresses = {name: buffer.address for name, buffer in self.buffers.items()}
        self.struct = layout.struct_of(layout.MACHINE_FIELDS, addresses | self._values)

    def _upload(self, section: Section) -> NDArray[np.int64]:
        """Upload a section chunk by chunk; return the struct `Table`."""
        device, form = self._device, section.table.form
        groups = section.groups()
        n = section.n_synapses
        buffers = {
            "channels": device.upload(section.channels().view(np.int32)),
            "sources": device.upload(groups.reshape(-1)),
            "rows": device.zeros(section.n_rows + 1, np.uint32),
            "low": device.zeros(n, np.uint16),
            "high": device.zeros(n, HIGH_TYPES[section.high_bytes]),
            "weights": device.zeros(n if WEIGHT_BYTES[form] else 0, WEIGHT_TYPES[form]),
        }
        for chunk in section.chunks(groups):
            buffers["rows"].write(chunk.rows, chunk.first_row)
            for name in ("low", "high", "weights"):
                buffers[name].write(getattr(chunk, name), chunk.first_synapse)
        end = np.array([n & 0xFFFFFFFF], dtype=np.uint32)
        buffers["rows"].write(end, section.n_rows)
        self._tables += buffers.values()
        values = {
            "form": int(form),
            "shift": section.table.shift,
            "origin": section.origin,
            "target_bits": section.target_bits,
            "wide": int(section.high_bytes == 2),
        }
        addresses = {name: buffer.address for name, buffer in buffers.items()}
        return layout.struct_of(layout.TABLE_FIELDS, values | addresses)


def n_slots(shard: Shard) -> int:
    """Return for how many steps the ring has input: a power of two beyond the longest delay."""
    return 1 << int(shard.max_delay).bit_length()


def _rooms(shard: Shard, plan: Plan, n_tables: int) -> dict[str, tuple[int, Any]]:
    """Return number and type of the items of arrays that are zeros at first."""
    n, most = shard.neurons.size, most_spikes(shard)
    return {
        "currents": (plan.n_receptors * n, plan.potentials.dtype),
        "waiting": (n, np.int16),
        "ring": (n_slots(shard) * plan.n_receptors * n, np.int32),
        "entries": (layout.ENTRY_WORDS * n_entries(n, n_tables), np.int64),
        "left": (2 * layout.SPIKE_WORDS * most, np.int64),
        "control": (layout.CONTROL_SIZE, np.int64),
    }


def _state(shard: Shard, plan: Plan) -> dict[str, NDArray[Any]]:
    """Return the arrays of neurons, stimuli and sources."""
    spans = layout.make_spans(plan)
    return {
        "gids": shard.neurons.gids,
        "span_of": spans.span_of,
        "spans": spans.spans.reshape(-1),
        "segments": layout.make_segments(plan).view(np.int64),
        "groups": spans.groups.reshape(-1),
        "thresholds": plan.thresholds,
        "resting": plan.resting,
        "V": plan.potentials,
        "change_steps": plan.changes[0],
        "change_segments": plan.changes[1],
        "change_values": plan.changes[2].astype(np.float64),
        "train_steps": plan.trains[0],
        "train_lids": plan.trains[1],
    }


def _probes(probes: tuple[Probe, ...], plan: Plan) -> dict[str, NDArray[Any]]:
    """Return the arrays that tell what is sampled."""
    sizes = [probe.lids.size for probe in probes]
    return {
        "probe_lids": np.concatenate([np.zeros(0, np.int64), *[p.lids for p in probes]]),
        "probe_bounds": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        "probe_intervals": np.array([p.interval for p in probes], dtype=np.int64),
        "probe_places": np.zeros(len(sizes), dtype=np.int64),
        "samples": np.zeros(1, dtype=plan.potentials.dtype),
    }
