"""What a scaling study found: from the timers in the files of its runs, never from what they print.

Times are per second of model time, so that they add up to the real-time factor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.planning.costs import CostModel, Prediction, phases_of
from simcore.planning.plan import Plan
from simcore.planning.study import Study, Trial
from simcore.planning.workload import Workload
from simcore.services.digest import digest_json
from simcore.services.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from simcore.io.reader import Run

# Parts of a run, in the order of tables and pictures. "exchange" is transport alone
PHASES = ("update", "deliver", "exchange", "waiting", "record", "checkpoint", "other")

# Parts that depend on what a rank owns
_OWN = ("update", "deliver")


@dataclass(frozen=True)
class Timing:
    """What the file of one run tells.

    Parameters
    ----------
    trial : Trial
        Which run.
    threads : int
        Of each rank.
    n_neurons, n_synapses : int
        In all.
    rate : float
        Mean over all neurons [1/s].
    model_time : float
        What the timers are for [s].
    build : float
        Of the slowest rank [s].
    total : float
        Wall-clock time of the slowest rank for a second of model time: the real-time factor.
    phases : mapping of str to float
        The parts of it, means over ranks.
    imbalance : float
        How much more the busiest rank has to do than the mean, in update and delivery.
    memory, all_memory : float
        Peak memory of the rank that takes most, and of all [B].
    digest : str
        Of all spikes; empty where some were not recorded.
    """

    trial: Trial
    threads: int
    n_neurons: int
    n_synapses: int
    rate: float
    model_time: float
    build: float
    total: float
    phases: Mapping[str, float]
    imbalance: float
    memory: float
    all_memory: float
    digest: str

    @classmethod
    def of(cls, trial: Trial, run: Run) -> Timing:
        """Return what the file of a complete run tells."""
        seconds = run.timed / 1e3
        parts = phases_of(run)
        total = run.timers["run"] / seconds
        own = np.sum([parts[name] for name in _OWN], axis=0)
        recorded = set(run.recorded) == set(run.populations)
        length = (run.duration - run.record_from) / 1e3
        return cls(
            trial=trial,
            threads=int(run.session.get("threads", 1)),
            n_neurons=run.n_neurons,
            n_synapses=int(run.shards["n_synapses"].sum()),
            rate=sum(run.spike_counts.values()) / run.n_neurons / length,
            model_time=seconds,
            build=float(run.timers["build"].max()),
            total=float(total.max()),
            phases={name: float(values.mean()) for name, values in parts.items()},
            imbalance=_imbalance(own),
            memory=float(run.shards["peak_bytes"].max()),
            all_memory=float(run.shards["peak_bytes"].sum()),
            digest=digest_json(run.digests) if recorded else "",
        )


@dataclass(frozen=True)
class Point:
    """One number of ranks, measured, predicted, or both.

    Parameters
    ----------
    ranks, threads : int
        Ranks, and threads of each.
    timings : tuple of Timing
        Its runs, the fastest first; empty where nothing was measured.
    predicted : Prediction or None
        From runs on other numbers of ranks only; None where costs are unknown.
    plan : Plan or None
        What is expected of a number of ranks that was not measured.
    """

    ranks: int
    threads: int
    timings: tuple[Timing, ...] = ()
    predicted: Prediction | None = None
    plan: Plan | None = None

    @property
    def typical(self) -> Timing | None:
        """The run whose time is the median, of two in the middle the faster."""
        return self.timings[(len(self.timings) - 1) // 2] if self.timings else None

    @property
    def total(self) -> float:
        """Real-time factor: measured, else predicted; NaN where neither is there."""
        return self.predicted_total if self.typical is None else self.typical.total

    @property
    def predicted_total(self) -> float:
        """Real-time factor as predicted; NaN without a prediction."""
        return math.nan if self.predicted is None else self.predicted.real_time_factor

    @property
    def spread(self) -> tuple[float, float]:
        """Real-time factor of the fastest and of the slowest run."""
        return (self.timings[0].total, self.timings[-1].total) if self.timings else (math.nan,) * 2

    @property
    def phases(self) -> dict[str, float]:
        """Time of each phase, as measured, else as predicted; empty where neither is there."""
        if self.typical is not None:
            return dict(self.typical.phases)
        return {} if self.predicted is None else _mean_phases(self.predicted)

    @property
    def build(self) -> float:
        """Median time of the build [s], measured, else predicted."""
        if self.timings:
            return float(np.median([timing.build for timing in self.timings]))
        return math.nan if self.predicted is None else float(self.predicted.build.max())

    @property
    def memory(self) -> float:
        """Peak memory of the rank that takes most [B], measured, else predicted."""
        if self.timings:
            return float(np.median([timing.memory for timing in self.timings]))
        return math.nan if self.plan is None else self.plan.peak


@dataclass(frozen=True)
class Scaling:
    """What a study found.

    Parameters
    ----------
    study : Study
        What was run.
    points : tuple of Point
        By ascending number of ranks.
    notes : tuple of str
        What a reader should know: runs that are missing, predictions that there are not.
    """

    study: Study
    points: tuple[Point, ...]
    notes: tuple[str, ...]

    @cached_property
    def base(self) -> Point:
        """The fewest ranks that were measured, which others are compared with."""
        return next(point for point in self.points if point.timings)

    def speed_up(self, total: float) -> float:
        """Return how much faster the network runs than on one rank, if the base were ideal."""
        return self.base.ranks * self.base.total / total

    def efficiency(self, ranks: int, total: float) -> float:
        """Return the efficiency of a number of ranks, given its real-time factor."""
        if self.study.kind == "weak":
            return self.base.total / total
        return self.speed_up(total) / ranks


def collect(study: Study, folder: Path) -> Scaling:
    """Read the files of a study.

    Raises
    ------
    ConfigError
        When no run is complete.
    """
    runs, notes = _complete_runs(study, folder)
    if not runs:
        raise ConfigError(
            f"{str(folder)!r}: no run of the study is complete, must be at least one. "
            "Wait for them, or look at what they printed, beside the files."
        )
    timings = [Timing.of(trial, run) for trial, run in runs.items()]
    notes += _spike_notes(study, timings)
    points = []
    for ranks in study.ranks:
        own = [timing for timing in timings if timing.trial.ranks == ranks]
        own.sort(key=lambda timing: timing.total)
        if own:
            points.append(Point(ranks, study.threads, tuple(own)))
    points, more = _predicted(points, runs)
    return Scaling(study, tuple(points), (*notes, *more))


def extended(scaling: Scaling, plans: Sequence[Plan]) -> Scaling:
    """Return a study with plans for numbers of ranks that were not measured."""
    points = {point.ranks: point for point in scaling.points}
    for plan in plans:
        setup = plan.setup
        new = Point(setup.n_ranks, setup.threads, predicted=plan.time, plan=plan)
        points.setdefault(setup.n_ranks, new)
    return replace(scaling, points=tuple(points[ranks] for ranks in sorted(points)))


def complete_runs(study: Study, folder: Path) -> dict[Trial, Run]:
    """Return the runs of a study that are complete."""
    return _complete_runs(study, folder)[0]


def _complete_runs(study: Study, folder: Path) -> tuple[dict[Trial, Run], list[str]]:
    from simcore.io.reader import open_run

    runs, notes = {}, []
    for trial in study.trials(folder):
        try:
            run = open_run(trial.output)
            state = run.status
            if state == "complete":
                runs[trial] = run
                continue
        except OutputError:
            state = "not readable" if trial.output.exists() else "missing"
        notes.append(f"{trial.output.name} is {state}, and left out")
    return runs, notes


def _spike_notes(study: Study, timings: Sequence[Timing]) -> list[str]:
    """Say whether all runs of one network have the same spikes."""
    groups: dict[int, set[str]] = {}
    for timing in timings:
        key = 0 if study.kind == "strong" else timing.trial.ranks
        groups.setdefault(key, set()).add(timing.digest)
    if any("" in digests for digests in groups.values()):
        return []
    if all(len(digests) == 1 for digests in groups.values()):
        where = "all runs" if study.kind == "strong" else "all runs of one size"
        return [f"the spikes of {where} are identical"] if len(timings) > len(groups) else []
    return ["THE SPIKES DIFFER between runs of one network: find out why before using the times"]


def _predicted(
    points: Sequence[Point], runs: Mapping[Trial, Run]
) -> tuple[list[Point], tuple[str, ...]]:
    """Predict every number of ranks from the runs on the others."""
    found = []
    for point in points:
        others = [run for trial, run in runs.items() if trial.ranks != point.ranks]
        if not others or point.typical is None:
            return list(points), (
                "nothing is predicted: runs on other numbers of ranks are needed",
            )
        try:
            load = Workload.of(runs[point.typical.trial])
            found.append(replace(point, predicted=CostModel.fit(others).predict(load)))
        except ConfigError as error:
            return list(points), (f"nothing is predicted: {error}",)
    return found, ()


def _mean_phases(predicted: Prediction) -> dict[str, float]:
    """Return the phases of a prediction by the names of measured ones, means over ranks."""
    means = {name: float(values.mean()) for name, values in predicted.phases.items()}
    waiting = means.pop("imbalance", 0.0) + means.pop("waiting", 0.0)
    return {name: {**means, "waiting": waiting}.get(name, 0.0) for name in PHASES}


def _imbalance(own: NDArray[np.float64]) -> float:
    mean = float(own.mean())
    return float(own.max()) / mean - 1.0 if mean > 0.0 else 0.0
