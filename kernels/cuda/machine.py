"""A shard as the kernels see it: arrays on the device, and structs of 8 bytes a field.

The names and the order of fields are those of machine.cuh and draw.cuh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.draft import Draft
from simcore.kernels.plan import Plan

SEGMENT = np.dtype(
    [(name, np.int64) for name in ("kind", "refractory", "first_group", "n_groups")]
    + [
        (name, np.float64)
        for name in (
            "decay_V", "ex_to_V", "in_to_V", "decay_ex", "decay_in", "constant", "threshold",
            "reset", "quantum",
        )
    ]
)  # fmt: skip

GROUP_FIELDS = (
    "stream", "emits", "weight", "receptor", "start", "stop", "smallest", "first_threshold",
    "n_thresholds",
)  # fmt: skip

TABLE_FIELDS = (
    "form", "shift", "origin", "target_bits", "wide", "wide_weights", "n_channels", "channels",
    "sources", "rows", "low", "high", "weights", "high_weights",
)  # fmt: skip

MACHINE_FIELDS = (
    "n_neurons", "n_receptors", "n_slots", "n_tables", "seed", "n_parts", "part_size",
    "n_thresholds", "n_changes", "n_probes", "n_entries", "n_left", "n_words", "most_spikes",
    "interval", "room", "most_segments", "most_groups", "gids", "segment_of", "segments",
    "first_segments", "first_groups", "groups", "thresholds", "resting", "V", "currents",
    "waiting", "ring", "tables", "entries", "left", "change_steps", "change_segments",
    "change_values", "first_trains", "train_steps", "train_lids", "probe_lids", "probe_bounds",
    "probe_intervals", "probe_places", "samples", "cursors", "control", "posts", "mail",
)  # fmt: skip

DRAWING_FIELDS = (
    "choice", "seed", "stream", "first_source", "n_sources", "excluded_begin", "excluded_end",
    "first_target", "n_targets", "n_thresholds", "n_weights", "indegrees", "thresholds", "weights",
    "channel_of", "n_slots", "slots",
)  # fmt: skip

LISTING_FIELDS = ("n_synapses", "sources", "targets", "channels", "weights")

FILING_FIELDS = (
    "tables", "section_size", "n_sources", "n_parts", "part_size", "n_neurons", "gids", "counts",
    "shortest",
)  # fmt: skip

CURSOR_FIELDS = ("train", "trains", "change", "due", "drawn")

CONTROL_FIELDS = ("barrier", "step", "stopped", "meetings")
CONTROL_SIZE = len(CONTROL_FIELDS) + 8

REPORT_FIELDS = ("step", "n_spikes", "update_cycles", "deliver_cycles")

ENTRY_WORDS, SPIKE_WORDS = 4, 2

# The struct Desk of team.cuh, without the list
DESK_BYTES = 48


def struct_of(fields: tuple[str, ...], values: dict[str, int]) -> NDArray[np.int64]:
    """Return a struct as whole numbers; addresses and seeds may need all 64 bits."""
    words = [values[name] & 0xFFFFFFFFFFFFFFFF for name in fields]
    return np.array(words, dtype=np.uint64).view(np.int64)


def n_slots(shard: Draft) -> int:
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
        All pieces, one part after the other; groups count from the first of the part.
    segment_of : ndarray of int32, shape (n_local,)
        The piece of each neuron, which counts from the first of the part.
    groups : ndarray of int64, shape (n, len(GROUP_FIELDS))
        The groups of all pieces, one piece after the other.
    first_segments, first_groups : ndarray of int64, shape (n_parts + 1,)
        Where those of each part begin.
    changes : (ndarray of int64, ndarray of int64, ndarray of float64)
        Step, piece and new value of `constant`, ordered by step.
    """

    segments: NDArray[np.void]
    segment_of: NDArray[np.int32]
    groups: NDArray[np.int64]
    first_segments: NDArray[np.int64]
    first_groups: NDArray[np.int64]
    changes: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

    @property
    def most_segments(self) -> int:
        """Segments of a part at most."""
        return int(np.diff(self.first_segments).max())

    @property
    def most_groups(self) -> int:
        """Groups of a part at most."""
        return int(np.diff(self.first_groups).max())


def make_pieces(plan: Plan, parts: Parts) -> Pieces:
    """Cut the segments of a plan at the borders of parts and Poisson groups."""
    whole, groups = plan.segments, plan.groups
    cuts = [whole["begin"], whole["end"], groups["begin"], groups["end"], parts.bounds]
    borders = np.unique(np.concatenate(cuts))
    begins = borders[:-1]
    origins = np.searchsorted(whole["begin"], begins, side="right") - 1
    segments = np.zeros(begins.size, dtype=SEGMENT)
    for name in set(SEGMENT.names or ()) & set(whole.dtype.names or ()):
        segments[name] = whole[name][origins]

    over = [groups[(groups["begin"] <= b) & (b < groups["end"])] for b in begins]
    segments["n_groups"] = [found.size for found in over]
    rows = [[int(group[name]) for name in GROUP_FIELDS] for found in over for group in found]
    firsts = np.concatenate([[0], np.cumsum(segments["n_groups"])])
    first_segments = np.searchsorted(begins, parts.bounds)
    part = np.repeat(np.arange(parts.n), np.diff(first_segments))
    first_groups = firsts[first_segments]
    segments["first_group"] = firsts[:-1] - first_groups[part]
    local = (np.arange(begins.size) - first_segments[part]).astype(np.int32)
    return Pieces(
        segments=segments,
        segment_of=np.repeat(local, np.diff(borders)),
        groups=np.array(rows, dtype=np.int64).reshape(-1, len(GROUP_FIELDS)),
        first_segments=first_segments.astype(np.int64),
        first_groups=first_groups.astype(np.int64),
        changes=_changes(plan, origins),
    )


def _changes(
    plan: Plan, origins: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the changes of the pieces whose segments are given, in ascending order."""
    steps, which, values = plan.changes
    first, end = (np.searchsorted(origins, which, side=side) for side in ("left", "right"))
    times = end - first
    place = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    pieces = np.repeat(first, times) + place
    return np.repeat(steps, times), pieces, np.repeat(values, times).astype(np.float64)
