"""Where the time of a run went, by phase and rank."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.reporting.style import WIDE, Picture, as_svg, new_figure
from simcore.services.timers import PARTS

if TYPE_CHECKING:
    from simcore.io.reader import Run

Floats = NDArray[np.floating]

# Ranks that get a bar each; of more, evenly spaced ones by the time they waited
_BARS = 24

# Colour and hatch of each part of the run
_LOOKS = {
    "update": ("#0072B2", ""),
    "deliver": ("#56B4E9", "///"),
    "exchange": ("#E69F00", ""),
    "waiting": ("#F0E442", "\\\\\\"),
    "record": ("#009E73", ""),
    "checkpoint": ("#CC79A7", "xx"),
    "rest": ("#BBBBBB", ""),
}

MEANINGS = {
    "build": "making the neurons and synapses of the rank",
    "run": "the whole simulation, the sum of the parts",
    "update": "integrating the neurons",
    "deliver": "adding the weights of spikes to the input of their targets",
    "exchange": "sending and receiving spikes",
    "waiting": "waiting for slower ranks",
    "record": "sorting and writing what is recorded",
    "checkpoint": "writing checkpoints",
    "rest": "what no timer covers",
}


def parts_of(run: Run) -> dict[str, Floats]:
    """Return the time in each part of the run on each rank, with the rest [s]."""
    found = {name: run.timers[name] for name in PARTS if name in run.timers}
    covered = sum(found.values(), np.zeros_like(run.timers["run"]))
    return {**found, "rest": np.maximum(run.timers["run"] - covered, 0.0)}


def imbalance(values: Floats) -> float:
    """Return the largest over the mean; NaN for zeros."""
    mean = float(values.mean())
    return float(values.max()) / mean if mean > 0.0 else math.nan


def real_time_factor(run: Run) -> float:
    """Return wall-clock over model time, without the build, on the slowest rank."""
    return 1e3 * float(run.timers["run"].max()) / run.timed if run.timed else math.nan


def phases(run: Run) -> Picture:
    """Return the picture of the parts of the run on each rank."""
    parts = parts_of(run)
    ranks = _chosen(parts)
    n_ranks = run.timers["run"].size
    figure = new_figure(WIDE, 1.6 + 0.3 * len(ranks))
    axes = figure.subplots()
    left = np.zeros(len(ranks))
    places = np.arange(len(ranks))
    for name, seconds in parts.items():
        shade, hatch = _LOOKS[name]
        axes.barh(
            places, seconds[ranks], left=left, height=0.75, color=shade, hatch=hatch,
            edgecolor="white", linewidth=0.5, label=name,
        )  # fmt: skip
        left += seconds[ranks]
    axes.set_yticks(places, [str(rank) for rank in ranks])
    axes.invert_yaxis()
    axes.set_ylabel("rank")
    axes.set_xlabel("wall-clock time (s)")
    figure.legend(loc="outside upper center", ncols=4)
    caption = (
        "Wall-clock time of each part of the simulation on each rank, without the build: "
        + "; ".join(f"{name}: {MEANINGS[name]}" for name in parts)
        + "."
    )
    if len(ranks) < n_ranks:
        caption += f" {len(ranks)} of {n_ranks} ranks, from the one that waited least to the most."
    means = ", ".join(f"{name} {seconds.mean():.3g}" for name, seconds in parts.items())
    alt = f"Stacked bars of the time in each part of the run; mean over ranks (s): {means}"
    return Picture("Time in each part of the simulation", alt, caption, as_svg(figure), wide=True)


def _chosen(parts: Mapping[str, Floats]) -> list[int]:
    """Return the ranks to show."""
    n = parts["rest"].size
    if n <= _BARS:
        return list(range(n))
    order = np.argsort(parts.get("waiting", parts["rest"]), kind="stable")
    return order[np.linspace(0, n - 1, _BARS).round().astype(int)].tolist()
