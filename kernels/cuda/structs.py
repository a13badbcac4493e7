"""A shard as the kernels see it: arrays on the device, and structs of 8 bytes a field.

The names and the order of fields are those of structs.cuh and synapse_draws.cuh; whoever compiles
the kernels has them checked, see `agreement`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.kernels.columns import Places
from simcore.kernels.cuda.models import ModelSet
from simcore.kernels.neuron_tables import NeuronTables
from simcore.kernels.segments import SOURCE
from simcore.shards.shard_spec import ShardSpec

SEGMENT = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kind", "duration", "begin", "size", "first_state", "first_number", "first_value",
            "first_group", "n_groups",
        )
    ]
)  # fmt: skip

GROUP_FIELDS = (
    "stream", "emits", "weight", "receptor", "start", "stop", "smallest", "first_threshold",
    "n_thresholds", "members",
)  # fmt: skip

TABLE_FIELDS = (
    "form", "shift", "origin", "target_bits", "wide", "wide_weights", "n_channels", "channels",
    "sources", "rows", "low", "high", "weights", "high_weights",
)  # fmt: skip

SHARD_FIELDS = (
    "n_neurons", "n_receptors", "n_slots", "n_tables", "seed", "n_parts", "part_size",
    "n_thresholds", "n_numbers", "n_changes", "n_probes", "n_entries", "n_left", "n_words",
    "most_spikes", "interval", "room", "most_segments", "most_groups", "most_columns",
    "most_numbers", "gids", "segment_of", "segments", "first_segments", "first_groups",
    "first_columns", "first_numbers", "first_values", "groups", "thresholds", "members", "columns",
    "numbers", "values", "refractory", "ring", "tables", "entries", "left", "change_steps",
    "change_places", "change_values", "first_trains", "train_steps", "train_lids", "probe_columns",
    "probe_bounds", "probe_intervals", "probe_places", "probe_resting", "samples", "cursors",
    "control", "posts", "mail",
)  # fmt: skip

DRAWING_FIELDS = (
    "choice", "seed", "stream", "origin", "step", "n_sources", "listed", "excludes",
    "first_target", "n_targets", "targets", "n_thresholds", "n_weights", "indegrees", "thresholds",
    "weights", "channel_of", "n_slots", "slots",
)  # fmt: skip

LISTING_FIELDS = ("n_synapses", "sources", "targets", "channels", "weights")

FILING_FIELDS = (
    "tables", "section_size", "n_sources", "n_parts", "part_size", "n_neurons", "gids", "counts",
    "shortest",
)  # fmt: skip

# What a group of all neurons from one to another has in place of its members
ALL_MEMBERS = -(2**62)

CURSOR_FIELDS = ("train", "trains", "change", "due", "drawn")

CONTROL_FIELDS = ("barrier", "step", "stopped", "meetings")
CONTROL_SIZE = len(CONTROL_FIELDS) + 8

REPORT_FIELDS = ("step", "n_spikes", "update_cycles", "deliver_cycles")

ENTRY_WORDS, SPIKE_WORDS = 4, 2

# Spikes that a block of a team lists at a time; the struct BlockScratch without the list
LISTED = 1024
BLOCK_SCRATCH_BYTES = 48

HEADER = "agreement.cuh"


def agreement() -> str:
    """Return a header that compiles if the structs of the kernels are as this module says.

    Names, places and sizes of all fields are compared, and the sizes of the structs.
    """
    structs = {
        "Segment": SEGMENT.names, "Group": GROUP_FIELDS, "DeviceTable": TABLE_FIELDS,
        "DeviceShard": SHARD_FIELDS, "Drawing": DRAWING_FIELDS, "Listing": LISTING_FIELDS,
        "Filing": FILING_FIELDS, "Cursor": CURSOR_FIELDS, "Control": CONTROL_FIELDS,
        "Report": REPORT_FIELDS,
    }  # fmt: skip
    sizes = {name: 8 * len(fields or ()) for name, fields in structs.items()} | {
        "Control": 8 * CONTROL_SIZE, "Entry": 8 * ENTRY_WORDS, "Spike": 8 * SPIKE_WORDS,
        "BlockScratch": BLOCK_SCRATCH_BYTES + 8 * LISTED,
    }  # fmt: skip
    equal = [
        text
        for struct, fields in structs.items()
        for k, name in enumerate(fields or ())
        for text in (
            f"__builtin_offsetof({struct}, {name}) == {8 * k}",
            f"sizeof({struct}::{name}) == 8",
        )
    ]
    equal += [f"sizeof({struct}) == {size}" for struct, size in sizes.items()]
    equal.append(f"LISTED == {LISTED}")
    return "#pragma once\n" + "".join(f'static_assert({t}, "{t}");\n' for t in equal)


def struct_of(fields: tuple[str, ...], values: dict[str, int]) -> NDArray[np.int64]:
    """Return a struct as whole numbers; addresses and seeds may need all 64 bits."""
    words = [values[name] & 0xFFFFFFFFFFFFFFFF for name in fields]
    return np.array(words, dtype=np.uint64).view(np.int64)


def n_slots(shard: ShardSpec) -> int:
    """Return for how many steps the ring has input: a power of two beyond the longest delay."""
    return 1 << int(shard.max_delay).bit_length()


@dataclass(frozen=True)
class Parts:
    """Neighbouring neurons that one block advances, or all blocks together if there is one part.

    Parameters
    ----------
    n_neurons : int
        Neurons of the shard.
    size : int
        Neurons of a part; the last may have fewer.
    """

    n_neurons: int
    size: int

    @property
    def n(self) -> int:
        """Number of parts, at least one."""
        return max(1, -(-self.n_neurons // self.size))

    @property
    def bounds(self) -> NDArray[np.int64]:
        """Bounds of the parts, in lids."""
        return np.minimum(np.arange(self.n + 1, dtype=np.int64) * self.size, self.n_neurons)


def one_part(n_neurons: int) -> Parts:
    """Return a single part with all neurons."""
    return Parts(n_neurons, max(1, n_neurons))


@dataclass(frozen=True)
class Pieces:
    """The segments of a plan, cut at the borders of parts and Poisson groups.

    Parameters
    ----------
    segments : ndarray of SEGMENT
        All pieces, one part after the other; all places count from the first of the part.
    places : Places
        Where the columns of the pieces lie in one array, one part after the other.
    segment_of : ndarray of int32, shape (n_local,)
        The piece of each neuron, which counts from the first of the part.
    groups : ndarray of int64, shape (n, len(GROUP_FIELDS))
        The groups of all pieces, one piece after the other.
    members : ndarray of uint32
        A bit for each neuron from the begin to the end of a group with gaps, one group after the
        other; `members` of a group tells where the bit of lid 0 would be, or is `ALL_MEMBERS`.
    first_segments, first_groups, first_columns, first_numbers, first_values : ndarray of int64
        Where those of each part begin, and where the last ends, shape (n_parts + 1,).
    numbers : ndarray
        The numbers of all pieces, one piece after the other.
    values : ndarray
        Those of them that differ from neuron to neuron; in each piece one column after the other.
    changes : (ndarray of int64, ndarray of int64, ndarray)
        Step, place among `numbers`, and `values` behind them, and new value, ordered by step.
    """

    segments: NDArray[np.void]
    places: Places
    segment_of: NDArray[np.int32]
    groups: NDArray[np.int64]
    members: NDArray[np.uint32]
    first_segments: NDArray[np.int64]
    first_groups: NDArray[np.int64]
    first_columns: NDArray[np.int64]
    first_numbers: NDArray[np.int64]
    first_values: NDArray[np.int64]
    numbers: NDArray[np.floating]
    values: NDArray[np.floating]
    changes: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]

    def most(self, what: str) -> int:
        """Return the most segments, groups, columns or numbers of a part."""
        return int(np.diff(getattr(self, f"first_{what}")).max())


def make_pieces(neuron_tables: NeuronTables, parts: Parts, models: ModelSet) -> Pieces:
    """Cut the segments of a plan at the borders of parts and Poisson groups."""
    whole, groups = neuron_tables.segments, neuron_tables.groups
    cuts = [whole["begin"], whole["end"], groups["begin"], groups["end"], parts.bounds]
    borders = np.unique(np.concatenate(cuts))
    begins, sizes = borders[:-1], np.diff(borders)
    origins = np.searchsorted(whole["begin"], begins, side="right") - 1
    kinds = whole["kind"][origins]
    first_segments = np.searchsorted(begins, parts.bounds)
    part = np.repeat(np.arange(parts.n), np.diff(first_segments))
    segments = np.zeros(begins.size, dtype=SEGMENT)
    segments["duration"], segments["size"] = whole["duration"][origins], sizes
    segments["begin"] = begins - parts.bounds[part]
    in_use = list(zip(neuron_tables.programs, neuron_tables.varying, strict=True))
    known = np.array([*map(models.number_of, in_use), SOURCE], dtype=np.int64)
    segments["kind"] = known[kinds]

    # Lay out columns, numbers and groups piece by piece
    widths = np.array([*(len(p.states) for p in neuron_tables.programs), 0], dtype=np.int64)
    firsts = _firsts(widths[kinds] * sizes)
    counts = np.array([*(len(p.numbers) for p in neuron_tables.programs), 0], dtype=np.int64)
    first_numbers = _firsts(counts[kinds])
    over, segments["n_groups"] = _groups_of(begins, groups)
    members, bits_of = _member_bits(neuron_tables)
    listed, which = np.unique(groups["first_member"], return_inverse=True)
    bits = np.array([bits_of[k] for k in listed.tolist()], dtype=np.int64)
    fields = [*(groups[name] for name in GROUP_FIELDS[:-1]), bits[which]]
    first_groups = _firsts(segments["n_groups"])
    rows = np.array([*map(len, neuron_tables.varying), 0], dtype=np.int64)[kinds]
    first_values = _firsts(rows * sizes)
    for name, places in (
        ("first_state", firsts), ("first_number", first_numbers), ("first_group", first_groups),
        ("first_value", first_values),
    ):  # fmt: skip
        segments[name] = places[:-1] - places[first_segments][part]

    flat = np.zeros(begins.size, dtype=whole.dtype)
    flat["begin"], flat["end"] = begins, borders[1:]
    flat["kind"], flat["first_state"] = kinds, firsts[:-1]
    taken = _spread(whole["first_number"][origins], counts[kinds])
    taken_values = _values_of(begins, sizes, rows, whole[origins])
    local = (np.arange(begins.size) - first_segments[part]).astype(np.int32)
    return Pieces(
        segments=segments,
        places=Places(flat, neuron_tables),
        segment_of=np.repeat(local, sizes),
        groups=np.stack([values[over] for values in fields], axis=1),
        members=members,
        first_segments=first_segments.astype(np.int64),
        first_groups=first_groups[first_segments],
        first_columns=firsts[first_segments],
        first_numbers=first_numbers[first_segments],
        first_values=first_values[first_segments],
        numbers=neuron_tables.numbers[taken],
        values=neuron_tables.numbers[taken_values],
        changes=_changes(neuron_tables, taken, taken_values),
    )


def _member_bits(neuron_tables: NeuronTables) -> tuple[NDArray[np.uint32], dict[int, int]]:
    """Return a bit for each neuron of groups with gaps, and where that of lid 0 would be.

    That is told for each `first_member` of a group, and may lie before the first bit of all.
    """
    firsts, which = np.unique(neuron_tables.groups["first_member"], return_index=True)
    bits, places, n = [np.zeros(0, np.uint8)], {-1: ALL_MEMBERS}, 0
    for first, group in zip(firsts.tolist(), neuron_tables.groups[which], strict=True):
        if first < 0:
            continue
        begin, end = int(group["begin"]), int(group["end"])
        own = np.zeros(-(-(end - begin) // 32) * 32, dtype=np.uint8)
        own[neuron_tables.members[first : first + int(group["n_members"])] - begin] = 1
        bits.append(np.packbits(own, bitorder="little"))
        places[first], n = n - begin, n + own.size
    return np.concatenate(bits).view(np.uint32), places


def _groups_of(
    begins: NDArray[np.int64], groups: NDArray[np.void]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the groups of each piece, one piece after the other, and how many they are.

    Parameters
    ----------
    begins : ndarray of int64
        First neuron of each piece; no group begins or ends within one.
    groups : structured ndarray
        The groups.
    """
    first, end = (np.searchsorted(begins, groups[name]) for name in ("begin", "end"))
    piece = _spread(first, end - first)
    order = np.argsort(piece, kind="stable")
    which = np.repeat(np.arange(groups.size), end - first)
    return which[order], np.bincount(piece, minlength=begins.size)


def _values_of(
    begins: NDArray[np.int64],
    sizes: NDArray[np.int64],
    rows: NDArray[np.int64],
    origins: NDArray[np.void],
) -> NDArray[np.int64]:
    """Return where the values of pieces lie in the plan.

    Parameters
    ----------
    begins, sizes : ndarray of int64, shape (n,)
        The neurons of each piece.
    rows : ndarray of int64, shape (n,)
        How many values each of its neurons has.
    origins : structured ndarray, shape (n,)
        The segment that it is part of.
    """
    row = _spread(np.zeros(rows.size, dtype=np.int64), rows)
    place = origins["first_value"] + begins - origins["begin"]
    whole = np.repeat(origins["end"] - origins["begin"], rows)
    return _spread(np.repeat(place, rows) + row * whole, np.repeat(sizes, rows))


def _firsts(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where items of these sizes begin, and where the last ends."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _spread(firsts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of all items of ranges, one range after the other."""
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(firsts, sizes) + within


def _changes(
    neuron_tables: NeuronTables, taken: NDArray[np.int64], taken_values: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]:
    """Return the changes of the numbers of pieces, in ascending order of steps.

    Parameters
    ----------
    neuron_tables : NeuronTables
        The shard.
    taken, taken_values : ndarray of int64
        For each number and each value of a piece its place among those of the plan.
    """
    steps, which, values = neuron_tables.changes
    if which.size == 0:
        return neuron_tables.changes
    taken = np.concatenate([taken, taken_values])
    order = np.argsort(taken, kind="stable")
    first, end = (np.searchsorted(taken[order], which, side=side) for side in ("left", "right"))
    times = end - first
    return np.repeat(steps, times), order[_spread(first, times)], np.repeat(values, times)
