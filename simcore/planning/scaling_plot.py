"""Pictures of a scaling study: what was measured filled, what is predicted hollow or hatched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simcore.analysis.raster import COLOURS
from simcore.planning.scaling import PHASES, Point, Scaling
from simcore.services.errors import ConfigError, unwritable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOUR = dict(zip(PHASES, (*COLOURS[:6], "#999999"), strict=True))
_MEASURED, _PREDICTED, _IDEAL = COLOURS[0], COLOURS[1], "0.6"

_LABELS = {"exchange": "exchange (transport)", "waiting": "waiting for other ranks"}

# Formats of each picture: one for the eye, one for print
_FORMATS = ("png", "pdf")

_SIZE, _ALL_SIZE, _DPI = (4.6, 3.6), (13.8, 7.6), 150


def draw(scaling: Scaling, folder: Path) -> list[Path]:
    """Draw each panel to a file of its own, and all of them to one.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ConfigError
        When matplotlib is missing.
    OutputError
        When a picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            'scale: matplotlib is not installed. Install it with pip install "simcore[plot]".'
        ) from error
    panels = _panels(scaling)
    whole = Figure(figsize=_ALL_SIZE, layout="constrained")
    whole.suptitle(_title(scaling))
    for axes, panel in zip(whole.subplots(2, 3).flat, panels.values(), strict=True):
        panel(axes, scaling)
    figures = {"scaling": whole}
    for name, panel in panels.items():
        figures[name] = Figure(figsize=_SIZE, layout="constrained")
        panel(figures[name].subplots(), scaling)
    paths = []
    for name, figure in figures.items():
        for ending in _FORMATS:
            path = folder / f"{name}.{ending}"
            try:
                figure.savefig(path, dpi=_DPI)
            except OSError as error:
                raise unwritable(f"picture {str(path)!r}", error) from error
            paths.append(path)
    return paths


def _panels(scaling: Scaling) -> dict[str, Callable[[Axes, Scaling], None]]:
    speed = {"speedup": _speed_up} if scaling.study.kind == "strong" else {"factor": _factor}
    return {
        "time": _time,
        **speed,
        "efficiency": _efficiency,
        "waiting": _waiting,
        "memory": _memory,
        "build": _build,
    }


def _title(scaling: Scaling) -> str:
    study, base = scaling.study, scaling.base.typical
    threads = f", {study.threads} threads each" if study.threads > 1 else ""
    size = ""
    if base is not None:
        each = "" if study.kind == "strong" else f" on {base.trial.ranks} ranks"
        size = f", {base.n_neurons:,} neurons and {base.n_synapses:,} synapses{each}"
    return f"{study.kind} scaling of {study.model}{size}{threads}"


def _time(axes: Axes, scaling: Scaling) -> None:
    """Stack the phases of the typical run, with the spread of all, beside the prediction."""
    for x, point in enumerate(scaling.points):
        hatch = None if point.timings else "///"
        bottom = 0.0
        for name in PHASES:
            value = point.phases.get(name, 0.0)
            axes.bar(x, value, 0.6, bottom, color=_COLOUR[name], hatch=hatch, edgecolor="white",
                     linewidth=0.0 if hatch is None else 0.5)  # fmt: skip
            bottom += value
        low, high = point.spread
        if low < high:
            axes.plot([x, x], [low, high], color="black", linewidth=1.2)
        if point.timings and point.predicted is not None:
            axes.plot(x, point.predicted_total, "D", mfc="white", mec=_PREDICTED, mew=1.5)
    shown = [name for name in PHASES if any(p.phases.get(name, 0.0) > 0 for p in scaling.points)]
    handles = [_patch(_COLOUR[name], _LABELS.get(name, name)) for name in reversed(shown)]
    axes.legend(handles=[*handles, *_marks(scaling)], fontsize="x-small", loc="best")
    axes.set_xticks(range(len(scaling.points)), [str(p.ranks) for p in scaling.points])
    axes.margins(y=0.12)
    axes.set_xlabel("ranks")
    axes.set_ylabel("wall-clock time / model time")
    axes.set_title("time by phase", fontsize="medium")
    _strip(axes)


def _speed_up(axes: Axes, scaling: Scaling) -> None:
    ranks = np.array([point.ranks for point in scaling.points], dtype=float)
    axes.plot(ranks, ranks, "--", color=_IDEAL, label="ideal")
    _lines(axes, scaling, scaling.speed_up)
    _logarithmic(axes, scaling)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel("speed-up")
    axes.set_title("speed-up", fontsize="medium")


def _factor(axes: Axes, scaling: Scaling) -> None:
    axes.axhline(scaling.base.total, linestyle="--", color=_IDEAL, label="ideal")
    _lines(axes, scaling, lambda total: total)
    _logarithmic(axes, scaling)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("wall-clock time / model time")
    axes.set_title("real-time factor", fontsize="medium")


def _efficiency(axes: Axes, scaling: Scaling) -> None:
    axes.axhline(1.0, linestyle="--", color=_IDEAL, label="ideal")
    measured = [p for p in scaling.points if p.timings]
    predicted = [p for p in scaling.points if p.predicted is not None]
    axes.plot([p.ranks for p in measured], [scaling.efficiency(p.ranks, p.total) for p in measured],
              "o-", color=_MEASURED, label="measured")  # fmt: skip
    if predicted:
        values = [scaling.efficiency(p.ranks, p.predicted_total) for p in predicted]
        axes.plot([p.ranks for p in predicted], values, "D:", mfc="white", color=_PREDICTED,
                  label="predicted")  # fmt: skip
    _logarithmic(axes, scaling)
    axes.set_ylim(0.0, max(1.15, axes.get_ylim()[1]))
    axes.set_ylabel("efficiency")
    axes.set_title("efficiency", fontsize="medium")


def _waiting(axes: Axes, scaling: Scaling) -> None:
    """Draw shares of the time: imbalance of the work, waiting, and transport."""
    measured = [p for p in scaling.points if p.typical is not None]
    ranks = [p.ranks for p in measured]
    for name in ("waiting", "exchange"):
        shares = [100.0 * p.phases[name] / sum(p.phases.values()) for p in measured]
        axes.plot(ranks, shares, "o-", color=_COLOUR[name], label=_LABELS[name])
    imbalance = [100.0 * p.typical.imbalance for p in measured if p.typical is not None]
    axes.plot(ranks, imbalance, "s--", color=COLOURS[6], label="imbalance (busiest over mean)")
    _logarithmic(axes, scaling, measured)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("% of the time (imbalance: of the work)")
    axes.set_title("waiting, transport, imbalance (measured)", fontsize="medium")


def _memory(axes: Axes, scaling: Scaling) -> None:
    measured = [p for p in scaling.points if p.timings]
    planned = [p for p in scaling.points if not p.timings and p.plan is not None]
    axes.plot([p.ranks for p in measured], [p.memory / 1e9 for p in measured], "o-",
              color=_MEASURED, label="measured peak")  # fmt: skip
    if planned:
        axes.plot([p.ranks for p in planned], [p.memory / 1e9 for p in planned], "D:", mfc="white",
                  color=_PREDICTED, label="predicted")  # fmt: skip
    _logarithmic(axes, scaling)
    axes.set_ylim(0.0, 1.15 * max(p.memory / 1e9 for p in [*measured, *planned]))
    axes.set_ylabel("GB, of the rank that takes most")
    axes.set_title("memory of a rank", fontsize="medium")


def _build(axes: Axes, scaling: Scaling) -> None:
    measured = [p for p in scaling.points if p.timings]
    predicted = [p for p in scaling.points if p.predicted is not None]
    axes.plot([p.ranks for p in measured], [p.build for p in measured], "o-", color=_MEASURED,
              label="measured")  # fmt: skip
    if predicted:
        builds = [float(p.predicted.build.max()) for p in predicted if p.predicted is not None]
        axes.plot([p.ranks for p in predicted], builds, "D:", mfc="white", color=_PREDICTED,
                  label="predicted")  # fmt: skip
    _logarithmic(axes, scaling)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("s, of the slowest rank")
    axes.set_title("time of the build", fontsize="medium")


def _lines(axes: Axes, scaling: Scaling, value: Callable[[float], float]) -> None:
    """Draw a value of the real-time factor: measured with its spread, and predicted."""
    measured = [p for p in scaling.points if p.timings]
    predicted = [p for p in scaling.points if p.predicted is not None]
    for p in measured:
        axes.plot([p.ranks] * 2, [value(total) for total in p.spread], color="black", linewidth=1.2)
    axes.plot([p.ranks for p in measured], [value(p.total) for p in measured], "o-",
              color=_MEASURED, label="measured")  # fmt: skip
    if predicted:
        axes.plot([p.ranks for p in predicted], [value(p.predicted_total) for p in predicted],
                  "D:", mfc="white", color=_PREDICTED, label="predicted")  # fmt: skip


def _logarithmic(axes: Axes, scaling: Scaling, points: list[Point] | None = None) -> None:
    """Give a panel an axis of ranks, in powers of two."""
    ranks = [point.ranks for point in points or scaling.points]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ranks, [str(n) for n in ranks])
    axes.minorticks_off()
    axes.set_xlim(min(ranks) / 1.25, max(ranks) * 1.25)
    axes.set_xlabel("ranks")
    axes.legend(fontsize="x-small", loc="best")
    _strip(axes)


def _marks(scaling: Scaling) -> list[object]:
    """Return the entries of a legend that tell measured from predicted."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[object] = []
    if any(p.timings and p.predicted is not None for p in scaling.points):
        marks.append(Line2D([], [], linestyle="none", marker="D", mfc="white", mec=_PREDICTED,
                            mew=1.5, label="predicted from other ranks"))  # fmt: skip
    if any(not p.timings for p in scaling.points):
        marks.append(Patch(fc="0.8", hatch="///", ec="white", label="predicted, not measured"))
    return marks


def _patch(colour: str, label: str) -> object:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=label)


def _strip(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
