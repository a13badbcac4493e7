"""What each piece of work costs, fitted to the timers of real runs.

The time of a phase is taken to be a sum over the work in it, each count times a cost that is not
negative and does not depend on the number of ranks. Costs are found by non-negative least squares
of relative errors (Lawson and Hanson, Solving Least Squares Problems, 1974).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.io.access import blaming
from simcore.planning.workload import CHECK, Workload
from simcore.services.errors import ConfigError, require

if TYPE_CHECKING:
    from simcore.io.reader import Run

_SHARED = {
    "build": {"synapses": 1e-8, "start": 0.3},
    "exchange": {"rounds": 3e-6, "ranks": 5e-8, "received": 2e-9},
    "waiting": {"rounds": 3e-6, "thread_steps": 5e-7},
    "record": {"recorded": 1e-8, "flushes": 1e-4},
    "other": {"epochs": 5e-6},
}

# The work in each phase, and about what it costs [s]. Where runs cannot tell two costs apart, it
# is the ratio of these that divides the time between them
TYPICAL: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "cpu": {
        "update": {"updates": 3e-10, "draws": 9e-10},
        "deliver": {"events": 7e-10, "runs": 4e-9, "lookups": 1e-8},
        **_SHARED,
    },
    # A step has a barrier after each
    "cuda": {
        "update": {"updates": 5e-12, "draws": 1e-11, "steps": 5e-6},
        "deliver": {"events": 1e-11, "lookups": 1e-10, "steps": 5e-6},
        **_SHARED,
        "build": {"synapses": 5e-10, "start": 0.5},
    },
}  # fmt: skip

# Weight of these ratios beside all measurements: as if times scattered by 2 % and ratios by all
_TIE = 0.02

# Phases in which a rank does not depend on others
_OWN = ("update", "deliver", "other")

# How far beyond the counts of the fit a prediction may go before it is called extrapolated
_MARGIN = 1.25


@dataclass(frozen=True)
class Prediction:
    """How long the ranks of a run would take. Everything here is predicted, nothing measured.

    Parameters
    ----------
    build : ndarray of float64, shape (n,)
        Time of the build of each rank of the workload [s].
    phases : mapping of str to ndarray of float64, shape (n,)
        Time of each phase in a second of model time [s]; "imbalance" is waiting for ranks that
        have more to do, "waiting" that for ranks that happen to be late.
    extrapolated : tuple of str
        Which counts lie outside those of the fit, and how far.
    """

    build: NDArray[np.float64]
    phases: Mapping[str, NDArray[np.float64]]
    extrapolated: tuple[str, ...]

    @property
    def real_time_factor(self) -> float:
        """Wall-clock time over model time."""
        return float(np.sum(list(self.phases.values()), axis=0).max())


@dataclass(frozen=True)
class CostModel:
    """What each piece of work costs.

    Parameters
    ----------
    arithmetic : str
        The backend that was timed.
    costs : mapping of str to (mapping of str to float)
        By phase and work [s].
    seen : mapping of str to (float, float)
        Smallest and largest count of each work among the runs of the fit.
    residuals : mapping of str to float
        Largest relative error of each phase in the fit, on any rank.
    error : float
        Largest relative error of the time of a whole run in the fit.
    sources : tuple of str
        Files of these runs.
    """

    arithmetic: str
    costs: Mapping[str, Mapping[str, float]]
    seen: Mapping[str, tuple[float, float]]
    residuals: Mapping[str, float]
    error: float
    sources: tuple[str, ...]

    @classmethod
    def fit(cls, runs: Iterable[Run]) -> CostModel:
        """Fit the costs to complete runs of one backend, of any models and numbers of ranks.

        Raises
        ------
        ConfigError
            When there is no run, one is not complete, or backends differ.
        """
        chosen = list(runs)
        require(bool(chosen), "runs", 0, "at least one", error=ConfigError)
        used = {run.path: str(run.session.get("arithmetic", "cpu")) for run in chosen}
        known = sorted(set(used.values()))
        remedy = "Fit each backend on its own."
        ok = len(known) == 1 and known[0] in TYPICAL
        valid = f"one of {', '.join(TYPICAL)}"
        require(ok, "runs: backends", known, valid, remedy, ConfigError)
        loads = [Workload.of(run) for run in chosen]
        times = [measured(run) for run in chosen]
        tables = [work(load) for load in loads]
        costs, residuals = {}, {}
        for phase, typical in TYPICAL[known[0]].items():
            rows = np.concatenate([_matrix(table, typical) for table in tables])
            seconds = np.concatenate([time[phase] for time in times])
            costs[phase], residuals[phase] = _fit(rows, seconds, typical)
        names = {name for table in tables for name in table}
        seen = {
            name: (
                float(min(table[name].min() for table in tables)),
                float(max(table[name].max() for table in tables)),
            )
            for name in sorted(names)
        }
        model = cls(known[0], costs, seen, residuals, 0.0, tuple(used))
        found = [model.predict(load).real_time_factor for load in loads]
        walls = [1e3 * float(run.timers["run"].max()) / run.timed for run in chosen]
        error = float(np.abs(np.array(found) / walls - 1.0).max())
        return replace(model, error=error)

    def predict(self, load: Workload, cores: float | None = None) -> Prediction:
        """Return how long ranks would take.

        Parameters
        ----------
        load : Workload
            What they have to do.
        cores : float, optional
            Cores that a rank has; as many as it has threads if left out. With fewer, its threads
            take turns.
        """
        table = work(load)
        crowding = 1.0 if cores is None else max(1.0, load.threads / cores)
        seconds = {
            phase: _matrix(table, costs) @ np.array(list(costs.values()))
            for phase, costs in self.costs.items()
        }
        for phase in set(seconds) & {"build", *_OWN}:
            seconds[phase] = seconds[phase] * crowding
        build = seconds.pop("build")
        own = np.sum([seconds[phase] for phase in _OWN if phase in seconds], axis=0)
        return Prediction(build, {**seconds, "imbalance": own.max() - own}, self._outside(table))

    def _outside(self, table: Mapping[str, NDArray[np.float64]]) -> tuple[str, ...]:
        """Return which counts lie outside those of the fit."""
        found = []
        for name, values in table.items():
            low, high = self.seen[name]
            if values.max() > 0.0 and high == 0.0:
                found.append(f"{name}: not in the fit")
            elif values.max() > _MARGIN * high:
                found.append(f"{name}: {values.max() / high:.3g} times the largest of the fit")
            elif values.min() * _MARGIN < low:
                found.append(f"{name}: {values.min() / low:.3g} times the smallest of the fit")
        return tuple(found)


def work(load: Workload) -> dict[str, NDArray[np.float64]]:
    """Return the counts that costs are for, by name, those of threads for one of them."""
    doublings = math.log2(load.n_ranks)
    own = {
        "synapses": load.n_synapses,
        "updates": load.updates,
        "draws": load.draws,
        "events": load.events,
        "runs": load.runs,
        "lookups": load.lookups,
    }
    whole = {
        "start": 1.0,
        "steps": load.steps,
        "rounds": load.meetings * doublings,
        "ranks": load.meetings * load.n_ranks,
        "thread_steps": load.steps if load.threads > 1 else 0.0,
        "recorded": load.recorded,
        "flushes": min(load.epochs, 1.0 / CHECK) * max(1.0, doublings),
        "epochs": load.epochs,
    }
    shape = load.n_neurons.shape
    return {
        **{name: values / load.threads for name, values in own.items()},
        "received": load.received,
        **{name: np.full(shape, value) for name, value in whole.items()},
    }


def phases_of(run: Run) -> dict[str, NDArray[np.float64]]:
    """Return the parts of a run, which add up to it, in a second of model time on every rank [s].

    What a host did while a device worked took no time of its own: of that, only what the run was
    longer than the work of the device is left.
    """
    seconds = run.timed / 1e3
    none = np.zeros(run.n_ranks)
    parts = {
        phase: run.timers.get(phase, none) / seconds
        for phase in ("update", "deliver", "exchange", "waiting", "record", "checkpoint")
    }
    total = run.timers["run"] / seconds
    host = parts["exchange"] + parts["waiting"] + parts["record"]
    room = total - parts["update"] - parts["deliver"] - parts["checkpoint"]
    share = np.minimum(1.0, np.maximum(0.0, room) / np.where(host > 0.0, host, 1.0))
    for phase in ("exchange", "waiting", "record"):
        parts[phase] = parts[phase] * share
    parts["other"] = np.maximum(0.0, total - np.sum(list(parts.values()), axis=0))
    return parts


def measured(run: Run) -> dict[str, NDArray[np.float64]]:
    """Return what costs are fitted to: the seconds of each phase in one of model time."""
    with blaming(run.path):
        parts = phases_of(run)
        del parts["checkpoint"]

        # A rank with less to do waits for the others: what is left came by chance
        own = np.sum([parts[phase] for phase in _OWN], axis=0)
        chance = np.maximum(0.0, parts["waiting"] - (own.max() - own))
        waiting = np.full(run.n_ranks, chance.mean())
        return {**parts, "waiting": waiting, "build": run.timers["build"]}


def _solver() -> Callable[..., tuple[NDArray[np.float64], float]]:
    try:
        from scipy.optimize import nnls
    except ImportError as error:
        raise ConfigError(
            "from: to fit costs needs SciPy, which is missing. "
            "Install it: pip install 'simcore[plan]'."
        ) from error
    return nnls


def _matrix(table: Mapping[str, NDArray[np.float64]], names: Iterable[str]) -> NDArray[np.float64]:
    return np.stack([table[name] for name in names], axis=1)


def _fit(
    rows: NDArray[np.float64], seconds: NDArray[np.float64], typical: Mapping[str, float]
) -> tuple[dict[str, float], float]:
    """Return the cost of each work, and the largest relative error of a time.

    Costs are found in units of typical ones. A further unknown, how fast the machine is, ties
    them together, so that those which the runs do not tell apart keep their ratio.
    """
    nnls = _solver()
    unit = np.array(list(typical.values()))
    used = (rows > 0.0).any(axis=1) & (seconds > 0.0)
    if not used.any():
        return dict.fromkeys(typical, 0.0), 0.0
    rows, seconds = rows[used], seconds[used]
    unit = unit * np.median(seconds / (rows @ unit))
    weight = 1.0 / math.sqrt(len(rows))
    scaled = weight * rows * unit / seconds[:, None]
    n = unit.size
    ties = _TIE * np.hstack([np.eye(n), np.full((n, 1), -1.0)])
    system = np.vstack([np.hstack([scaled, np.zeros((len(scaled), 1))]), ties])
    aim = np.concatenate([np.full(len(scaled), weight), np.zeros(n)])
    factors = nnls(system, aim)[0][:n]
    found = rows @ (factors * unit)
    error = float(np.abs(found / seconds - 1.0).max())
    return dict(zip(typical, (factors * unit).tolist(), strict=True)), error
