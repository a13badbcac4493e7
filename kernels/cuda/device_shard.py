"""A shard on the device: its arrays, and the struct that names them to the kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.kernels.backend import Probe
from simcore.kernels.columns import refractory_of, resting_values
from simcore.kernels.cuda import structs
from simcore.kernels.cuda.availability import require_gpu_memory
from simcore.kernels.cuda.device import Device
from simcore.kernels.cuda.launch_queue import LaunchQueue
from simcore.kernels.cuda.structs import Parts, Pieces, make_pieces, n_slots, one_part
from simcore.kernels.cuda.synapse_builder import SynapseBuilder
from simcore.kernels.cuda.synapses import DeviceTable, Section, make_sections
from simcore.kernels.cuda.team import BlockTeam, make_team, team_parts
from simcore.kernels.neuron_tables import NeuronTables, most_spikes
from simcore.shards.gpu_synapse_layout import LAUNCH_BYTES, n_entries, n_words
from simcore.shards.shard_spec import Inventory, ShardSpec


class DeviceShard:
    """The arrays of one shard, in the memory of one device.

    Parameters
    ----------
    device : Device
        Where.
    shard : ShardSpec
        What the rank owns.
    neuron_tables : NeuronTables
        The same as flat tables.
    probes : tuple of Probe
        What is sampled.
    report : callable, optional
        Called now and then with the share of the build that is done, from 0 to 1.

    Attributes
    ----------
    buffers : dict of str to Buffer
        The arrays that `struct` names.
    struct : ndarray of int64
        The struct `DeviceShard`.
    n_words : int
        Spikes for which a launch has room.
    n_parts : int
        Parts of the neurons.
    inventory : Inventory
        The synapses in numbers.
    places : Places
        Where the columns of neurons lie in the buffer `columns`.
    team : BlockTeam or None
        What a team of as many blocks needs; without one, all blocks share one part.

    Raises
    ------
    CapacityError
        When the shard does not fit: before anything is allocated, or, where its index takes more
        than it does at least, when synapses are counted.
    """

    def __init__(
        self,
        device: Device,
        shard: ShardSpec,
        neuron_tables: NeuronTables,
        probes: tuple[Probe, ...],
        report: Callable[[float], None] = lambda share: None,
    ) -> None:
        self._device = device
        sections = make_sections(shard)
        parts, pieces, self.team = _divide(device, shard, neuron_tables, sections)
        interval, room = (self.team.interval, self.team.room) if self.team else (1, 0)
        most = most_spikes(shard)
        self.n_parts, self.n_words = parts.n, n_words(most * interval)
        self.places = pieces.places
        arrays = _state(shard, neuron_tables, parts, pieces) | _probes(
            shard, probes, neuron_tables, parts, pieces
        )
        zeros = _rooms(shard, neuron_tables, len(sections), parts, room)
        self._values = {
            "n_neurons": shard.neurons.size,
            "n_receptors": neuron_tables.n_receptors,
            "n_slots": n_slots(shard),
            "n_tables": len(sections),
            "seed": shard.network.seed,
            "n_parts": parts.n,
            "part_size": parts.size,
            "n_thresholds": neuron_tables.thresholds.size,
            "n_numbers": pieces.numbers.size,
            "n_changes": pieces.changes[0].size,
            "n_probes": len(probes),
            "n_entries": zeros["entries"][0] // structs.ENTRY_WORDS,
            "n_left": most,
            "n_words": self.n_words,
            "most_spikes": most,
            "interval": interval,
            "room": room,
            "most_segments": pieces.most("segments"),
            "most_groups": pieces.most("groups"),
            "most_columns": pieces.most("columns"),
            "most_numbers": pieces.most("numbers"),
        }
        needed = LaunchQueue.n_bytes(self.n_words) + LAUNCH_BYTES
        needed += sum(array.nbytes for array in arrays.values())
        needed += sum(n * np.dtype(dtype).itemsize for n, dtype in zeros.values())
        expected = sum(section.expected_nbytes(parts.n) for section in sections)
        require_gpu_memory(needed + expected, free := device.free_bytes())
        self.buffers = {name: device.upload(array) for name, array in arrays.items()}
        self.buffers |= {name: device.zeros(n, dtype) for name, (n, dtype) in zeros.items()}
        builder = SynapseBuilder(device, shard, parts, self.buffers["gids"], report)
        tables = builder.count(sections)
        require_gpu_memory(needed + sum(table.nbytes for table in tables), free)
        self.buffers["tables"] = builder.put(tables)
        self._synapses = [table.buffers for table in tables]
        self.inventory = _inventory(shard, tables, builder.shortest)
        self._name()

    def replace(self, name: str, n: int, dtype: Any) -> None:
        """Put a buffer of `n` zeros in the place of another; no launch may be under way."""
        self.buffers[name] = self._device.zeros(n, dtype)
        self._name()

    def make_left(self, n_spikes: int) -> None:
        """Make room for so many spikes that have to wait for another round."""
        if n_spikes > self._values["n_left"]:
            self._values["n_left"] = n_spikes
            self.replace("left", 2 * structs.SPIKE_WORDS * n_spikes, np.int64)

    def _name(self) -> None:
        """Write down the struct."""
        addresses = {name: buffer.address for name, buffer in self.buffers.items()}
        self.struct = structs.struct_of(structs.SHARD_FIELDS, addresses | self._values)


def _inventory(shard: ShardSpec, tables: list[DeviceTable], shortest: int) -> Inventory:
    """Return the synapses in numbers."""
    none = np.zeros((len(shard.network.populations), 2), dtype=np.int64)
    return Inventory(
        n_synapses=sum(table.n_synapses for table in tables),
        nbytes=sum(table.nbytes for table in tables),
        min_remote_delay=shortest,
        lookups=len(tables),
        fan_out=sum((table.fan_out for table in tables), none),
    )


def _divide(
    device: Device, shard: ShardSpec, neuron_tables: NeuronTables, sections: list[Section]
) -> tuple[Parts, Pieces, BlockTeam | None]:
    """Return the parts of a team if there can be one, else one for all blocks."""
    if parts := team_parts(shard, sections, device.n_units):
        pieces = make_pieces(neuron_tables, parts, device.models)
        team = make_team(shard, neuron_tables, parts, pieces, sections)
        if team.shared_bytes <= device.shared_bytes:
            return parts, pieces, team
    whole = one_part(shard.neurons.size)
    return whole, make_pieces(neuron_tables, whole, device.models), None


def _rooms(
    shard: ShardSpec, neuron_tables: NeuronTables, n_tables: int, parts: Parts, room: int
) -> dict[str, tuple[int, Any]]:
    """Return number and type of the items of arrays that are zeros at first."""
    n = shard.neurons.size

    # Only a grid enters the rows of spikes, and has some that wait for another round
    entries, waiting = (1, 1) if room else (n_entries(n, n_tables), most_spikes(shard))
    return {
        "ring": (n_slots(shard) * neuron_tables.n_receptors * n, np.int32),
        "entries": (structs.ENTRY_WORDS * entries, np.int64),
        "left": (2 * structs.SPIKE_WORDS * waiting, np.int64),
        "control": (structs.CONTROL_SIZE, np.int64),
        "posts": (2 * parts.n, np.uint64),
        "mail": (2 * parts.n * room, np.int64),
    }


def _state(
    shard: ShardSpec, neuron_tables: NeuronTables, parts: Parts, pieces: Pieces
) -> dict[str, NDArray[Any]]:
    """Return the arrays of neurons, stimuli and sources."""
    steps, lids = neuron_tables.trains
    order = np.lexsort((lids, steps, lids // parts.size))
    first_trains = np.searchsorted(lids[order] // parts.size, np.arange(parts.n + 1))
    cursors = np.zeros((parts.n, len(structs.CURSOR_FIELDS)), dtype=np.int64)
    cursors[:, structs.CURSOR_FIELDS.index("train")] = first_trains[:-1]
    cursors[:, structs.CURSOR_FIELDS.index("trains")] = first_trains[:-1]
    return {
        "gids": shard.neurons.gids,
        "segment_of": pieces.segment_of,
        "segments": pieces.segments.view(np.int64),
        "first_segments": pieces.first_segments,
        "first_groups": pieces.first_groups,
        "groups": pieces.groups.reshape(-1),
        "thresholds": neuron_tables.thresholds,
        "members": pieces.members,
        "first_columns": pieces.first_columns,
        "first_numbers": pieces.first_numbers,
        "first_values": pieces.first_values,
        "columns": pieces.places.flat(neuron_tables.start, neuron_tables.numbers.dtype),
        "numbers": pieces.numbers,
        "values": pieces.values,
        "refractory": refractory_of(neuron_tables.start),
        "change_steps": pieces.changes[0],
        "change_places": pieces.changes[1],
        "change_values": pieces.changes[2],
        "first_trains": first_trains,
        "train_steps": steps[order],
        "train_lids": lids[order],
        "cursors": cursors.reshape(-1),
    }


def _probes(
    shard: ShardSpec,
    probes: tuple[Probe, ...],
    neuron_tables: NeuronTables,
    parts: Parts,
    pieces: Pieces,
) -> dict[str, NDArray[Any]]:
    """Return the arrays that tell what is sampled."""
    real = neuron_tables.numbers.dtype
    sizes = [probe.lids.size for probe in probes]
    firsts = np.cumsum([0, *sizes])[:-1]
    bounds = [
        first + np.searchsorted(probe.lids, parts.bounds)
        for first, probe in zip(firsts, probes, strict=True)
    ]
    columns = [_places_in_parts(p, parts, pieces) for p in probes]
    return {
        "probe_columns": np.concatenate([np.zeros(0, np.int64), *columns]),
        "probe_bounds": np.concatenate([np.zeros(0, np.int64), *bounds]),
        "probe_intervals": np.array([p.interval for p in probes], dtype=np.int64),
        "probe_places": np.zeros(len(sizes), dtype=np.int64),
        "probe_resting": np.concatenate(
            [np.zeros(0, real), *[resting_values(shard, p, real) for p in probes]]
        ),
        "samples": np.zeros(1, dtype=real),
    }


def _places_in_parts(probe: Probe, parts: Parts, pieces: Pieces) -> NDArray[np.int64]:
    """Return where the values of a probe lie in the arrays of their parts, see `Places`."""
    places, part = pieces.places.of_column(probe.lids, probe.column), probe.lids // parts.size
    first = np.where(places < 0, -part * parts.size, pieces.first_columns[part])
    return places - first
