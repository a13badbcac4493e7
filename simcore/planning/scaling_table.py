"""The numbers of a scaling study: as a table to read, and as CSV."""

from __future__ import annotations

import csv
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simcore.planning.scaling import PHASES, Point, Scaling, Timing
from simcore.services.errors import unwritable

_HEAD = (
    "ranks", "cores", "neurons", "synapses", "build", "factor", "spread", "speed-up", "effic.",
    "imbal.", "waiting", "exchange", "memory", "predicted", "error",
)  # fmt: skip
_UNITS = (
    "", "", "", "", "[s]", "", "min-max", "", "", "", "", "", "[GB]", "factor", "",
)  # fmt: skip

_LEGEND = """\
factor    wall-clock time over model time, without the build; the median of the runs
speed-up  over one rank, if the fewest ranks measured were ideal; effic. is the efficiency
imbal.    how much more than the mean the busiest rank has to do, in update and delivery
waiting   share of the time in which ranks wait for the slowest; exchange is transport alone
memory    peak of the rank that takes most
predicted from the runs on other numbers of ranks only, and how far it is from the measurement"""


def table(scaling: Scaling) -> str:
    """Return the study as text."""
    rows = [_HEAD, _UNITS, *(_row(scaling, point) for point in scaling.points)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = ["  ".join(t.rjust(w) for t, w in zip(row, widths, strict=True)) for row in rows]
    study = scaling.study
    runs = f"medians of {study.repetitions} runs" if study.repetitions > 1 else "single runs"
    call = shlex.join(["simcore", "run", *study.arguments(scaling.base.ranks)])
    title = f"{study.kind} scaling of {study.model}, {runs}; on {scaling.base.ranks} ranks: {call}"
    unmeasured = [str(point.ranks) for point in scaling.points if not point.timings]
    notes = list(scaling.notes)
    if unmeasured:
        notes.append(
            f"* on {', '.join(unmeasured)} ranks everything is predicted, nothing measured"
        )
    beyond = _beyond(scaling.points)
    if beyond:
        notes.append(f"beyond what the fit has seen: {beyond}")
    return "\n".join([title, "", *lines, "", _LEGEND, "", *notes]).rstrip()


def write_tables(scaling: Scaling, folder: Path) -> list[Path]:
    """Write scaling.txt, scaling.csv with a row for each number of ranks, and runs.csv.

    Returns
    -------
    list of Path
        The files.
    """
    paths = [folder / name for name in ("scaling.txt", "scaling.csv", "runs.csv")]
    points = [_point_values(scaling, point) for point in scaling.points]
    timings = [t for point in scaling.points for t in point.timings]
    try:
        paths[0].write_text(table(scaling) + "\n", encoding="utf-8")
        _write_csv(paths[1], points)
        _write_csv(paths[2], [_timing_values(timing) for timing in timings])
    except OSError as error:
        raise unwritable(f"tables in {str(folder)!r}", error) from error
    return paths


def _row(scaling: Scaling, point: Point) -> tuple[str, ...]:
    phases, total = point.phases, point.total
    whole = sum(phases.values())
    measured = point.typical
    plan = point.plan
    n_neurons = n_synapses = ""
    if measured is not None:
        n_neurons, n_synapses = f"{measured.n_neurons:,}", f"{measured.n_synapses:,}"
    elif plan is not None:
        n_neurons = f"{plan.neurons.mean * point.ranks:,.0f}"
        n_synapses = f"{plan.synapses.mean * point.ranks:,.0f}"
    speed_up = scaling.speed_up(total) if scaling.study.kind == "strong" else math.nan
    error = point.predicted_total / total - 1.0 if measured is not None else math.nan
    return (
        f"{point.ranks}{'' if measured else '*'}",
        str(point.ranks * point.threads),
        n_neurons,
        n_synapses,
        _number(point.build),
        _number(total),
        "-".join(map(_number, point.spread)) if measured else "",
        _number(speed_up),
        _share(scaling.efficiency(point.ranks, total)),
        _share(measured.imbalance) if measured else "",
        _share(phases.get("waiting", math.nan) / whole) if whole else "",
        _share(phases.get("exchange", math.nan) / whole) if whole else "",
        _number(point.memory / 1e9),
        _number(point.predicted_total),
        f"{error:+.0%}" if error == error else "",
    )


def _point_values(scaling: Scaling, point: Point) -> dict[str, Any]:
    measured = point.typical
    low, high = point.spread
    predicted = point.predicted_total
    return {
        "study": scaling.study.kind,
        "origin": "measured" if measured else "predicted",
        "ranks": point.ranks,
        "threads": point.threads,
        "runs": len(point.timings),
        "n_neurons": measured.n_neurons if measured else "",
        "n_synapses": measured.n_synapses if measured else "",
        "build_s": point.build,
        "real_time_factor": point.total,
        "real_time_factor_min": low,
        "real_time_factor_max": high,
        "speed_up": scaling.speed_up(point.total) if scaling.study.kind == "strong" else "",
        "efficiency": scaling.efficiency(point.ranks, point.total),
        "imbalance": measured.imbalance if measured else "",
        **{name: point.phases.get(name, "") for name in PHASES},
        "memory_of_a_rank_bytes": point.memory,
        "predicted_real_time_factor": predicted,
    }


def _timing_values(timing: Timing) -> dict[str, Any]:
    return {
        "file": timing.trial.output.name,
        "ranks": timing.trial.ranks,
        "threads": timing.threads,
        "repetition": timing.trial.repetition,
        "n_neurons": timing.n_neurons,
        "n_synapses": timing.n_synapses,
        "mean_rate_hz": timing.rate,
        "model_time_s": timing.model_time,
        "build_s": timing.build,
        "real_time_factor": timing.total,
        **timing.phases,
        "imbalance": timing.imbalance,
        "memory_of_a_rank_bytes": timing.memory,
        "memory_of_all_bytes": timing.all_memory,
    }


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([{k: "" if v != v else v for k, v in row.items()} for row in rows])


def _beyond(points: Sequence[Point]) -> str:
    texts = [
        f"{point.ranks} ranks ({point.predicted.extrapolated[0]})"
        for point in points
        if not point.timings and point.predicted is not None and point.predicted.extrapolated
    ]
    return "; ".join(texts)


def _number(value: float) -> str:
    return f"{value:.3g}" if value == value else ""


def _share(value: float) -> str:
    return f"{value:.0%}" if value == value else ""
