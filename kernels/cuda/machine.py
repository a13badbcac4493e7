"""A shard as the kernels see it: arrays on the device, and structs of 8 bytes a field.

The names and the order of fields are those of machine.cuh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.errors import CapacityError, require
from simcore.kernels.plan import Plan
from simcore.shard import SynapseTable

# Synapses that one warp delivers at most before it looks for other work
PIECE_LENGTH = 512

PIECE = np.dtype([("begin", np.uint64), ("channel", np.uint32), ("length", np.uint32)])

SEGMENT = np.dtype(
    [("kind", np.int64), ("refractory", np.int64)]
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
    "form", "shift", "delays", "receptors", "weights", "sources", "rows", "pieces", "words",
    "exact",
)  # fmt: skip

MACHINE_FIELDS = (
    "n_neurons", "n_blocks", "n_receptors", "n_slots", "n_source_groups", "n_tables", "seed",
    "n_changes", "n_trains", "n_probes", "n_entries", "n_left", "n_words", "most_spikes", "gids",
    "blocks", "span_of", "spans", "segments", "groups", "thresholds", "resting", "V", "currents",
    "waiting", "ring", "tables", "entries", "left", "words", "change_steps", "change_segments",
    "change_values", "train_steps", "train_lids", "probe_lids", "probe_bounds", "probe_intervals",
    "probe_places", "samples", "control",
)  # fmt: skip

CONTROL_FIELDS = ("arrived", "n_spikes", "stopped", "step", "train", "trains", "change")
CONTROL_SIZE = len(CONTROL_FIELDS) + 8
KEPT = ("train", "trains", "change")

ENTRY_WORDS, SPIKE_WORDS = 4, 2


def struct_of(fields: tuple[str, ...], values: dict[str, int]) -> NDArray[np.int64]:
    """Return a struct as whole numbers; addresses and seeds may need all 64 bits."""
    words = [values[name] & 0xFFFFFFFFFFFFFFFF for name in fields]
    return np.array(words, dtype=np.uint64).view(np.int64)


@dataclass(frozen=True)
class Spans:
    """Neighbouring neurons of one segment with the same Poisson groups.

    Parameters
    ----------
    spans : ndarray of int64, shape (n_spans, 3)
        Segment, first group, number of groups.
    span_of : ndarray of int32, shape (n_local,)
        The span of each neuron.
    groups : ndarray of int64, shape (n, len(GROUP_FIELDS))
        The groups of all spans, one span after the other.
    """

    spans: NDArray[np.int64]
    span_of: NDArray[np.int32]
    groups: NDArray[np.int64]


def make_spans(plan: Plan) -> Spans:
    """Cut the segments of a plan at the borders of Poisson groups."""
    segments, groups = plan.segments, plan.groups
    cuts = [segments["begin"], segments["end"], groups["begin"], groups["end"]]
    borders = np.unique(np.concatenate(cuts))
    rows: list[list[int]] = []
    spans: list[tuple[int, int, int]] = []
    for begin in borders[:-1]:
        segment = int(np.searchsorted(segments["begin"], begin, side="right")) - 1
        over = groups[(groups["begin"] <= begin) & (begin < groups["end"])]
        spans.append((segment, len(rows), over.size))
        rows += [[int(group[name]) for name in GROUP_FIELDS] for group in over]
    return Spans(
        np.array(spans, dtype=np.int64).reshape(-1, 3),
        np.repeat(np.arange(len(spans), dtype=np.int32), np.diff(borders)),
        np.array(rows, dtype=np.int64).reshape(-1, len(GROUP_FIELDS)),
    )


def make_segments(plan: Plan) -> NDArray[np.void]:
    """Return the segments of a plan with numbers of 8 bytes, as the state's type has them."""
    segments = np.zeros(plan.segments.size, dtype=SEGMENT)
    for name in SEGMENT.names or ():
        segments[name] = plan.segments[name]
    return segments


def count_pieces(table: SynapseTable) -> int:
    """Return the number of pieces of a table, see `make_pieces`."""
    return int((-(-(table.runs & 0xFFFF).astype(np.int64) // PIECE_LENGTH)).sum())


def make_pieces(table: SynapseTable) -> tuple[NDArray[np.void], NDArray[np.uint32]]:
    """Cut the runs of a table into pieces.

    Returns
    -------
    pieces : structured ndarray
        See `PIECE`.
    rows : ndarray of uint32, shape (n_rows + 1,)
        The first piece of each row, and the number of pieces.
    """
    lengths = (table.runs & 0xFFFF).astype(np.int64)
    numbers = -(-lengths // PIECE_LENGTH)
    first = np.concatenate([[0], np.cumsum(numbers)])
    valid = "below 2**32"
    require(first[-1] < 2**32, "pieces of synapses", int(first[-1]), valid, error=CapacityError)
    within = np.arange(first[-1]) - np.repeat(first[:-1], numbers)
    begins = np.cumsum(lengths) - lengths
    pieces = np.empty(int(first[-1]), dtype=PIECE)
    pieces["begin"] = np.repeat(begins, numbers) + PIECE_LENGTH * within
    pieces["channel"] = np.repeat(table.runs >> 16, numbers)
    left = np.repeat(lengths, numbers) - PIECE_LENGTH * within
    pieces["length"] = np.minimum(left, PIECE_LENGTH)
    return pieces, first[table.rows[:, 0].astype(np.int64)].astype(np.uint32)
