"""A shard as the kernels see it: arrays on the device, and structs of 8 bytes a field.

The names and the order of fields are those of machine.cuh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.kernels.plan import Plan

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
    "form", "shift", "origin", "target_bits", "wide", "channels", "sources", "rows", "low", "high",
    "weights",
)  # fmt: skip

MACHINE_FIELDS = (
    "n_neurons", "n_receptors", "n_slots", "n_tables", "seed", "n_changes", "n_trains", "n_probes",
    "n_entries", "n_left", "n_words", "most_spikes", "gids", "span_of", "spans", "segments",
    "groups", "thresholds", "resting", "V", "currents", "waiting", "ring", "tables", "entries",
    "left", "change_steps", "change_segments", "change_values", "train_steps", "train_lids",
    "probe_lids", "probe_bounds", "probe_intervals", "probe_places", "samples", "control",
)  # fmt: skip

CONTROL_FIELDS = ("barrier", "step", "stopped", "train", "trains", "change")
CONTROL_SIZE = len(CONTROL_FIELDS) + 8

REPORT_FIELDS = ("step", "n_spikes", "update_cycles", "deliver_cycles")

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
