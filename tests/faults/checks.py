"""What must hold of the files of a run at any moment, and in the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simcore.analysis.verification import compare_bits
from simcore.io import open_run
from simcore.io.reader import Run
from simcore.io.reports import Report
from tests.networks import same_bits


def broken_promises(path: Path, whole: Run) -> list[str]:
    """Return what is wrong with the files of a run that was killed; an empty list if nothing is.

    They must have exactly what the undisturbed run has up to some time.
    """
    run = open_run(path)
    found = [f"recorded are {run.recorded}"] if run.recorded != whole.recorded else []
    for name in whole.recorded:
        found += _compare_spikes(run, whole, name)
    for report in whole.reports:
        found += _compare_samples(run, whole, report)
    return found


def _compare_spikes(run: Run, whole: Run, name: str) -> list[str]:
    one, other = run.spikes(name), whole.spikes(name)
    n = int(np.searchsorted(other.times, run.end + 0.5 * run.dt))
    if one.times.size != n:
        return [f"{name}: {one.times.size} spikes up to {run.end} ms, not {n}"]
    same = same_bits(one.times, other.times[:n]) and same_bits(one.node_ids, other.node_ids[:n])
    return [] if same else [f"{name}: other spikes"]


def _compare_samples(run: Run, whole: Run, report: Report) -> list[str]:
    name, which = report.label, (report.population, report.variable)
    one, other = (r.samples(*which, interval=report.interval) for r in (run, whole))
    n = int(np.searchsorted(other.times, run.end + 0.5 * run.dt))
    if len(one.values) != n:
        return [f"{name}: {len(one.values)} samples up to {run.end} ms, not {n}"]
    return [] if same_bits(one.values, other.values[:n]) else [f"{name}: other samples"]


def differences(path: Path, whole: Run) -> list[str]:
    """Return what distinguishes a finished run from the undisturbed one, and what was left over."""
    run = open_run(path)
    found = [str(difference) for difference in compare_bits(whole, run).differences]
    if run.status != "complete":
        found.append(f"its status is {run.status}")
    for name in ("digests", "spike_counts", "end", "duration"):
        if getattr(run, name) != getattr(whole, name):
            found.append(f"its {name} differ")
    return found + [f"{place} is left over" for place in leftovers(path)]


def leftovers(path: Path) -> list[Path]:
    """Return what a finished run must not leave beside its file and its checkpoints."""
    beside = [p for p in path.parent.iterdir() if p.name.startswith(path.name)]
    kept = {path, path.with_name(f"{path.name}.checkpoints")}
    inside = list(path.parent.rglob(f"{path.name}*/*.tmp"))
    return [p for p in beside if p not in kept] + inside
