"""What does not fit the grid of time or a width of integers: refused, or told."""

import numpy as np
import pytest

import simcore as sc
from simcore.description import network as network_module
from simcore.description.degrees import indegree_bound
from simcore.discretization.fixed_point import fixed_point
from simcore.discretization.notes import notes_on
from simcore.io.run_summary import run_summary
from simcore.kernels.neuron_tables import make_neuron_tables
from simcore.library import load, names
from simcore.models import brunel
from simcore.numerics.clock import Clock
from simcore.partition import partition
from simcore.services.errors import CapacityError, ModelError
from tests.networks import build, every_feature, serial

BETWEEN = r"start and stop is \(10\.02, 10\.08\), must be times \[ms\] between which a step"


def notes(net, dt=0.1):
    return notes_on(net, Clock(dt), fixed_point(net, dt))


def test_short_windows_do_what_they_say():
    net = sc.Network()
    E = net.population("E", 2, sc.LIF())
    net.population("S", 2, sc.PoissonSource(1000.0, start=10.06, stop=10.14))
    net.population("T", 2, sc.PoissonSource(1000.0, stop=7.77))
    net.drive(E, sc.Current(100.0, start=10.06, stop=10.14))
    net.drive(E, sc.Poisson(1000.0, 1.0, start=7.77, stop=7.86))
    plan = make_neuron_tables(build(net), np.dtype(np.float64))

    assert plan.groups[["start", "stop"]].tolist() == [(77, 78), (100, 101), (0, 77)]
    steps, _, values = plan.changes
    assert steps.tolist() == [100, 101]
    assert (values != 0.0).tolist() == [True, False]


def test_a_step_that_is_long_beside_a_time_constant_is_told():
    net = sc.Network()
    net.population("fast", 2, load("iaf_cond_exp")(C_m=1.0))
    for name in names():
        net.population(name, 2, load(name)())
    net.population("linear", 2, sc.LIF(tau_m=0.01, tau_syn=0.02))

    (told,) = [note for note in notes(net) if ": dt " in note]

    assert told == (
        "population 'fast': dt 0.1 ms is long for V_m, which decays in 0.06 ms: spikes may be "
        "wrong above 0.06 ms"
    )
    # At its peak sodium is far faster than at rest
    assert any("Act_m" in note for note in notes(net, dt=1.0))


@pytest.mark.parametrize(
    ("model", "stimulus", "message"),
    [
        (sc.LIF(t_ref=4000.0), None, r"population 'a': t_ref is 4000\.0, must be below 3276\.8 ms"),
        (sc.LIF(t_ref=3276.75), None, r"'a': t_ref is 3276\.75, .*Shorten it, or lengthen the"),
        (sc.LIF(t_ref=1e300), None, r"'a': t_ref is 1e\+300, must be below"),
        (sc.SpikeTrains(np.full(256, 1.0)), None, "'a': spikes of a source in one step is 256, mu"),
        (sc.SpikeTrains([1e300]), None, r"'a': times is 1e\+300, must be below"),
        (sc.PoissonSource(2e9), None, r"'a': rate is 2000000000\.0, must be at most 1e\+08 1/s"),
        (sc.PoissonSource(1.0, 10.02, 10.08), None, f"population 'a': {BETWEEN}"),
        (sc.LIF(), sc.Poisson(2e9, 1.0), r"drive of 'a': rate is 2000000000\.0, must be at most"),
        (sc.LIF(), sc.Poisson(1.0, 1.0, 10.02, 10.08), f"drive of 'a': {BETWEEN}"),
        (
            sc.LIF(),
            sc.Poisson(sc.Piecewise([0.0, 1.0], [2e9, 1.0]), 1.0),
            r"drive of 'a': rate is 2000000000\.0, must be at most",
        ),
        (sc.LIF(), sc.Current(1.0, 10.02, 10.08), f"drive of 'a': {BETWEEN}"),
    ],
)
def test_what_fits_no_backend_is_refused_by_all(model, stimulus, message):
    net = sc.Network()
    a = net.population("a", 2, model)
    if stimulus is not None:
        net.drive(a, stimulus)

    # On a rank without a neuron, too
    for refuses in (lambda: serial(net, backend="reference"), lambda: build(net, 2, 3)):
        with pytest.raises((CapacityError, ModelError), match=message):
            refuses()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (sc.FixedIndegree(1), r"'a' to 'b': sources is 4294967296, must be below 2\*\*32\. Divide"),
        (sc.FixedTotalNumber(1), "'a' to 'b': sources is 4294967296"),
        (sc.PairwiseBernoulli(1e-12), "'a' to 'b': sources is 4294967296"),
    ],
)
def test_more_sources_than_a_draw_tells_apart(rule, message):
    net = sc.Network()
    a, b = net.population("a", 2**32, sc.PoissonSource(1.0)), net.population("b", 3, sc.LIF())
    weights = {"weight": 1.0, "delay": 1.0}

    with pytest.raises(CapacityError, match=message):
        net.connect(a, b, rule, **weights)
    net.connect(a[1:], b, rule, **weights)


def test_more_targets_than_a_draw_tells_apart():
    net = sc.Network()
    a = net.population("a", 2**32, sc.LIF())

    with pytest.raises(CapacityError, match="targets is 4294967296, must be below"):
        net.connect(a[:1], a, sc.FixedOutdegree(1), weight=1.0, delay=1.0)


@pytest.mark.parametrize("rule", [sc.FixedIndegree, sc.FixedOutdegree, sc.FixedTotalNumber])
def test_more_synapses_than_a_draw_counts(rule):
    with pytest.raises(ModelError, match=r"is 281474976710656, must be .* below 2\*\*48"):
        rule(2**48)


def test_more_objects_than_there_are_streams(monkeypatch):
    monkeypatch.setattr(network_module, "MAX_OBJECTS", 3)
    net = sc.Network()
    E = net.population("E", 2, sc.LIF())
    net.population("F", 2, sc.LIF())
    net.drive([E, E], sc.Current(1.0))

    with pytest.raises(CapacityError, match="populations is 3, must be <"):
        net.population("G", 2, sc.LIF())
    with pytest.raises(CapacityError, match="drives is 3, must be <"):
        net.drive(E, sc.Current(1.0))


@pytest.mark.parametrize("partitioner", ["balanced", "block", "round_robin"])
def test_no_memory_is_taken_for_what_is_refused(partitioner):
    net = sc.Network()
    E = net.population("E", 2**46, sc.LIF())
    net.connect(E, E, sc.Edges([0, 5, 2**45], [2**45, 2**46 - 1, 2**45]), weight=1.0, delay=1.0)

    assert indegree_bound(net.projections[0]) == 2
    with pytest.raises(CapacityError, match=r"memory on host .* need about \d\.\d+e\+06 GB"):
        serial(net, partitioner=partitioner)


def test_bounds_of_many_ranks():
    net = sc.Network()
    net.population("E", 2**46 + 5, sc.LIF())
    bounds = partition(net, 2**20, "block").bounds

    assert bounds[-1] == net.n_neurons
    assert bounds[777_777] == 777_777 * net.n_neurons // 2**20


def test_nothing_to_tell_of_values_on_the_grid():
    for net in (every_feature(), brunel.build(order=50)):
        assert notes(net) == []


def test_moved_times_are_told_once_and_kept(capsys, tmp_path):
    net = sc.Network()
    E = net.population("E", 3, sc.LIF(t_ref=0.04))
    F = net.population("F", 3, sc.LIF(t_ref=0.04))
    net.population("S", 2, sc.PoissonSource(10.0, start=1.06))
    net.connect([E, F], E, sc.OneToOne(), weight=1.0, delay=0.25)
    net.connect(E, F, sc.Edges([0, 1, 2], [1, 1, 1], delays=[0.1, 0.11, 0.25]), weight=1.0)
    net.connect(E, F, sc.OneToOne(), weight=1.0, delay=sc.Normal(1.0, 0.1, low=0.1))
    net.drive(E, sc.Current(1.0, stop=7.77))
    net.drive(E, sc.Poisson(sc.Piecewise([0.0, 0.42], [9.0, 5.0]), 0.0))
    run = sc.simulate(net, 1.0, backend="reference", output=tmp_path / "run.h5")
    expected = [
        "population 'E' and 1 more: t_ref 0.04 ms is taken as 0.1 ms",
        "population 'S': start 1.06 ms is taken as 1 ms",
        "drive of 'E': stop 7.77 ms is taken as 7.7 ms",
        "drive of 'E': change of the rate 0.42 ms is taken as 0.4 ms",
        "projection 'E' to 'E' and 1 more: delay 0.25 ms is taken as 0.3 ms",
        "projection 'E' to 'F': delays of 2 synapses are taken as the nearest steps",
    ]

    assert run.config["notes"] == expected
    assert capsys.readouterr().err.splitlines() == [f"note: {text}" for text in expected]
    assert run_summary(run)["notes"] == "; ".join(expected)


def test_many_moved_values_are_told_in_few_lines():
    net = sc.Network()
    E = net.population("E", 2, sc.LIF())
    for k in range(50):
        net.connect(E, E, sc.OneToOne(), weight=1.0, delay=1.01 + k)

    assert len(notes(net)) == 4
    assert notes(net)[-1] == "delay: 47 other values are taken otherwise, too"


def test_rates_and_weights_that_are_too_coarse_are_told():
    net = sc.Network()
    E = net.population("E", 1000, sc.LIF())
    net.population("S", 2, sc.PoissonSource(1e-6))
    net.connect(E, E, sc.FixedIndegree(3_000_000), weight=0.1, delay=1.0)
    net.drive(E, sc.Poisson(1e-6, 0.125))
    net.drive(E, sc.Poisson(2e-6, 0.125))
    net.drive(E, sc.Poisson(0.0, 0.125))
    net.drive(E, sc.Poisson(5e-324, 0.125))
    net.drive(E, sc.Poisson(1.0, 0.125))

    assert notes(net) == [
        "population 'S' and 1 more: rate 1e-06 1/s becomes none at all, because 1e-10 events a "
        "step are few beside 2**-32",
        "drive of 'E': rate 2e-06 1/s becomes 2.328e-06 1/s, because 2e-10 events a step are few "
        "beside 2**-32",
        "projection 'E' to 'E': weight 0.1 becomes 0.100098 (+0.098 %), the finest beside the sum "
        "of all weights of a target",
    ]
