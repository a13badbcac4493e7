"""The cost model: fitted to times that obey it, and to runs."""

import dataclasses

import numpy as np
import pytest

import simcore as sc
from simcore.models import brunel
from simcore.planning import CostModel, Workload
from simcore.planning.costs import TYPICAL, measured, phases_of, work
from simcore.services.errors import ConfigError


def workload(n_ranks=1, threads=1, **values):
    """Return the load of some ranks, not all equal."""
    rng = np.random.default_rng(n_ranks + 10 * threads + sum(map(int, values.values())))
    names = (
        "n_neurons",
        "n_synapses",
        "updates",
        "draws",
        "events",
        "runs",
        "lookups",
        "sent",
        "received",
    )
    given = {name: rng.uniform(1e5, 1e6, n_ranks) for name in names}
    whole = {"steps": 1e4, "meetings": 1e3 * (n_ranks > 1), "epochs": 1e3, "recorded": 1e6}
    return Workload(n_ranks, threads, **{**given, **whole, **values})


class FakeRun:
    """A complete run whose times are sums of costs."""

    def __init__(self, load, costs, arithmetic="cpu", duration=2000.0, status="complete"):
        self.path, self.status, self.timed, self.dt = "run.h5", status, duration, 0.1
        self.n_ranks = load.n_ranks
        self.session = {"threads": load.threads, "arithmetic": arithmetic}
        seconds = duration / 1e3
        self.shards = {"n_neurons": load.n_neurons, "n_synapses": load.n_synapses}
        for name in ("updates", "draws", "events", "runs", "lookups", "sent", "received"):
            self.shards[name] = seconds * getattr(load, name)
        for name in ("meetings", "epochs", "recorded"):
            share = load.n_ranks if name == "recorded" else 1
            self.shards[name] = np.full(load.n_ranks, seconds * getattr(load, name) / share)
        table = work(load)
        self.timers = {
            phase: sum(cost * table[name] for name, cost in prices.items()) * seconds
            for phase, prices in costs.items()
        }
        self.timers["build"] = self.timers["build"] / seconds
        other = self.timers.pop("other")
        own = self.timers["update"] + self.timers.get("deliver", 0.0) + other
        self.timers["waiting"] = self.timers["waiting"] + own.max() - own
        parts = [v for k, v in self.timers.items() if k != "build"]
        self.timers["run"] = np.sum([*parts, other], axis=0)


def scaled(factor):
    return {
        phase: {name: factor * cost * (1 + i) for i, (name, cost) in enumerate(prices.items())}
        for phase, prices in TYPICAL["cpu"].items()
    }


LOADS = [
    workload(),
    workload(2),
    workload(1, 2),
    workload(3, 2),
    workload(7),
    workload(2, meetings=5e3, epochs=5e3, recorded=5e7),
]


def test_costs_that_made_the_times_are_found():
    costs = {p: dict(c) for p, c in scaled(3.0).items()}
    costs["deliver"]["runs"] *= 4.0
    model = CostModel.fit([FakeRun(load, costs) for load in LOADS])
    assert model.costs["update"] == pytest.approx(costs["update"], rel=0.15)
    dear = {k: model.costs["deliver"][k] / v for k, v in TYPICAL["cpu"]["deliver"].items()}
    assert dear["runs"] > 1.2 * max(dear["events"], dear["lookups"])
    assert max(model.residuals.values()) < 0.2


def test_a_prediction_is_the_time_of_a_run_that_was_not_in_the_fit():
    costs = scaled(2.0)
    model = CostModel.fit([FakeRun(load, costs) for load in LOADS])
    assert model.error < 0.02
    load = workload(5)
    found, true = model.predict(load), FakeRun(load, costs)
    assert found.real_time_factor == pytest.approx(true.timers["run"].max() / 2.0, rel=0.05)
    assert found.build == pytest.approx(true.timers["build"], rel=0.05)
    assert found.phases["imbalance"].min() == 0.0 < found.phases["imbalance"].max()
    waiting = found.phases["waiting"] + found.phases["imbalance"]
    assert waiting == pytest.approx(true.timers["waiting"] / 2.0, rel=0.05)


def test_one_run_divides_its_time_as_typical_costs_would():
    model = CostModel.fit([FakeRun(workload(), {p: dict(c) for p, c in TYPICAL["cpu"].items()})])
    for phase in ("update", "deliver", "record", "other"):
        assert model.costs[phase] == pytest.approx(TYPICAL["cpu"][phase], rel=0.05)


def test_fewer_cores_than_threads_take_turns():
    model = CostModel.fit([FakeRun(load, scaled(1.0)) for load in LOADS])
    load = workload(4)
    one, half = model.predict(load), model.predict(load, cores=0.5)
    for phase in ("update", "deliver", "other"):
        assert half.phases[phase] == pytest.approx(2.0 * one.phases[phase])
    assert half.phases["exchange"] == pytest.approx(one.phases["exchange"])
    assert model.predict(load, cores=8).real_time_factor == one.real_time_factor


def test_what_lies_outside_the_fit_is_named():
    model = CostModel.fit([FakeRun(load, scaled(1.0)) for load in LOADS])
    assert model.predict(LOADS[4]).extrapolated == ()
    many = dataclasses.replace(LOADS[1], recorded=5e8, events=np.full(2, 1.0))
    far, near = model.predict(many).extrapolated
    assert near == "recorded: 10 times the largest of the fit"
    assert far.startswith("events: ")
    assert far.endswith("times the smallest of the fit")


def test_work_that_no_run_had_is_named():
    model = CostModel.fit([FakeRun(workload(), scaled(1.0))])
    assert "rounds: not in the fit" in model.predict(workload(2)).extrapolated


def test_a_fit_needs_runs_of_one_backend():
    with pytest.raises(ConfigError, match="runs is 0, must be at least one"):
        CostModel.fit([])
    run, other = (FakeRun(workload(), scaled(1.0), name) for name in ("cpu", "reference"))
    with pytest.raises(ConfigError, match="one of cpu, cuda"):
        CostModel.fit([other])
    other.path = "other.h5"
    with pytest.raises(ConfigError, match="Fit each backend on its own"):
        CostModel.fit([run, other])


def test_a_fit_needs_complete_runs_that_tell_their_work():
    with pytest.raises(ConfigError, match="status is 'stopped', must be complete"):
        CostModel.fit([FakeRun(workload(), scaled(1.0), status="stopped")])
    old = FakeRun(workload(), scaled(1.0))
    del old.shards["events"]
    with pytest.raises(ConfigError, match=r"does not tell events, .* run it again"):
        CostModel.fit([old])


def test_costs_of_the_gpu():
    load = workload(2)
    run = FakeRun(load, TYPICAL["cuda"], "cuda")
    found = CostModel.fit([run]).predict(load)
    assert found.phases["deliver"].max() > 0.0
    assert found.real_time_factor == pytest.approx(run.timers["run"].max() / 2.0, rel=0.05)


def test_what_the_host_did_beside_a_device_took_no_time():
    run = FakeRun(workload(2), TYPICAL["cuda"], "cuda")
    whole = run.timers["run"].copy()
    run.timers["record"] = run.timers["record"] + 0.5 * whole
    parts = phases_of(run)
    assert sum(parts.values()) == pytest.approx(whole / (run.timed / 1e3))


def test_scipy_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.optimize", None)
    with pytest.raises(ConfigError, match=r"pip install 'simcore\[plan\]'"):
        CostModel.fit([FakeRun(workload(), scaled(1.0))])


def test_real_runs_are_explained(tmp_path):
    runs = [
        sc.simulate(brunel.build(order=order), 200.0, output=tmp_path / f"{order}.h5")
        for order in (100, 400)
    ]
    model = CostModel.fit(runs)
    assert all(path in model.sources for path in (run.path for run in runs))
    for run in runs:
        parts = measured(run)
        found = model.predict(Workload.of(run))
        wall = run.timers["run"].max() / 0.2
        assert sum(parts[p] for p in parts if p != "build") == pytest.approx(wall, rel=0.01)
        assert 0.2 * wall < found.real_time_factor < 5.0 * wall
