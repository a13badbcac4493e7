"""The description of a model, and one clear error for everything that is wrong with it."""

import json
import math

import numpy as np
import pytest

import simcore as sc
from simcore.io.schema import to_json
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, ModelError
from tests.networks import every_feature

NUMBER = "must be a finite number"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sc.LIF(V_reset=20.0), r"LIF: V_reset is 20\.0, must be below V_th = 20\.0"),
        (lambda: sc.LIF(V_reset=21.0), "LIF: V_reset is 21.0"),
        (lambda: sc.LIF(tau_m=0.0), r"LIF: tau_m is 0\.0, must be > 0 \[ms\]"),
        (lambda: sc.LIF(C_m=-250.0), r"LIF: C_m is -250\.0, must be > 0 \[pF\]"),
        (lambda: sc.LIF(t_ref=-0.1), r"LIF: t_ref is -0\.1, must be >= 0 \[ms\]"),
        (lambda: sc.LIF(tau_m=math.nan), f"LIF: tau_m is nan, {NUMBER}"),
        (lambda: sc.LIF(E_L="-65"), f"LIF: E_L is '-65', {NUMBER}"),
        (lambda: sc.LIF(I_e=True), f"LIF: I_e is True, {NUMBER}"),
        (lambda: sc.LIF(tau_syn=0.0), r"LIF: tau_syn is 0\.0, must be > 0 \[ms\]"),
        (lambda: sc.LIF(tau_syn=(1.0, -2.0)), r"LIF: tau_syn is \(1\.0, -2\.0\), must be > 0"),
        (lambda: sc.LIF(tau_syn=(1.0, 2.0, 3.0)), r"LIF: tau_syn.*must be one number or two"),
        (lambda: sc.LIF(tau_syn="fast"), f"LIF: tau_syn is 'fast', {NUMBER}"),
        (lambda: sc.PoissonSource(-1.0), r"PoissonSource: rate is -1\.0, must be >= 0"),
        (lambda: sc.PoissonSource(math.inf), f"PoissonSource: rate is inf, {NUMBER}"),
        (lambda: sc.PoissonSource(1.0, 5.0, 5.0), r"PoissonSource: stop is 5\.0, must be above"),
        (lambda: sc.Poisson(-1e-9, 1.0), "Poisson: rate is -1e-09, must be >= 0"),
        (lambda: sc.Poisson(1.0, math.inf), f"Poisson: weight is inf, {NUMBER}"),
        (lambda: sc.Poisson(1.0, 1.0, start=-1.0), r"Poisson: start is -1\.0, must be >= 0"),
        (lambda: sc.Current(math.nan), f"Current: amplitude is nan, {NUMBER}"),
        (lambda: sc.Current(1.0, start=3.0, stop=1.0), r"Current: stop is 1\.0, must be above"),
        (lambda: sc.Current(1.0, start="a"), f"Current: start is 'a', {NUMBER}"),
        (lambda: sc.Current(1.0, start=math.inf), f"Current: start is inf, {NUMBER}"),
        (lambda: sc.PoissonSource(1.0, stop="a"), "PoissonSource: stop is 'a', must be a number"),
        (lambda: sc.PoissonSource(1.0, stop=math.nan), "PoissonSource: stop is nan, must be a num"),
        (lambda: Clock(0.1).steps(math.inf, "delay"), f"delay is inf, {NUMBER}"),
        (lambda: Clock(0.1).steps(math.nan, "delay"), f"delay is nan, {NUMBER}"),
        (lambda: Clock(0.1).steps("a", "delay"), f"delay is 'a', {NUMBER}"),
        (
            lambda: sc.Network().population("S", 2, sc.PoissonSource(1.0), V_m=1.0),
            "population 'S': state is 'V_m', must be left out, the model has no state",
        ),
        (lambda: sc.SpikeTrains([0.0]), r"SpikeTrains: times is \[0\.0\], must be finite and > 0"),
        (lambda: sc.SpikeTrains([1.0, math.inf]), r"SpikeTrains: times is \[inf\]"),
        (lambda: sc.SpikeTrains([1.0], [-1]), "SpikeTrains: node_ids is -1, must be >= 0"),
        (lambda: sc.SpikeTrains([1.0], [0.5]), "SpikeTrains: node_ids: type is 'float64'"),
        (lambda: sc.SpikeTrains([1.0, 2.0], [0]), r"SpikeTrains: shape of node_ids is \(1,\)"),
        (lambda: sc.FixedIndegree(-1), "FixedIndegree: indegree is -1, must be a whole number"),
        (lambda: sc.FixedIndegree(1.5), "FixedIndegree: indegree is 1.5, must be a whole number"),
        (lambda: sc.FixedOutdegree("3"), "FixedOutdegree: outdegree is '3', must be a whole"),
        (lambda: sc.FixedTotalNumber(True), "FixedTotalNumber: n is True, must be a whole number"),
        (lambda: sc.PairwiseBernoulli(1.1), r"PairwiseBernoulli: p is 1\.1, must be in \[0, 1\]"),
        (lambda: sc.PairwiseBernoulli(math.nan), "PairwiseBernoulli: p is nan"),
        (lambda: sc.Edges([0, 1], [0]), r"Edges: shape of targets is \(1,\), must be that of sou"),
        (
            lambda: sc.Edges([0.0], [0]),
            "Edges: sources: type is 'float64', must be an integer type",
        ),
        (lambda: sc.Edges([0], [0], weights=[math.nan]), r"Edges: weights is \[nan\], must be fin"),
        (lambda: sc.Edges([0], [0], delays=[1.0, 2.0]), r"Edges: shape of delays is \(2,\)"),
        (
            lambda: sc.Network(seed=-1),
            r"Network: seed is -1, must be a whole number in \[0, 2\*\*64",
        ),
        (lambda: sc.Network(seed=2**64), "Network: seed is 18446744073709551616"),
        (lambda: sc.Network(seed=1.0), "Network: seed is 1.0, must be a whole number"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ModelError, match=message):
        make()


def one_population():
    net = sc.Network()
    return net, net.population("E", 10, sc.LIF())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", 5, sc.LIF()), "population: name is '', must be a text"),
        (("a/b", 5, sc.LIF()), "population: name is 'a/b', must be a text without \"/\""),
        (("a\0b", 5, sc.LIF()), r"name is .a\\x00b., must be a text without"),
        (("a\ud800", 5, sc.LIF()), "must be a text without"),
        (("E", 5, sc.LIF()), r"population: name is 'E', must be a new one; taken are \['E'\]"),
        (("F", 0, sc.LIF()), "population 'F': size is 0, must be a whole number of at least 1"),
        (("F", 2.0, sc.LIF()), "population 'F': size is 2.0, must be a whole number"),
        (("F", 2**47, sc.LIF()), "population 'F': neurons in all is 140737488355338, must be <="),
        (
            ("F", 5, sc.LIF),
            "'F': model is <class .*, must be an LIF, a model of the library, a Poi",
        ),
        (("F", 5, sc.SpikeTrains([1.0], [5])), "population 'F': node_ids is 5, must be below its"),
        (("F", 5, sc.LIF(), "rest"), "population 'F': V_m is 'rest', must be a number or a distr"),
        (("F", 5, sc.LIF(), math.nan), "population 'F': V_m is nan, must be finite"),
    ],
)
def test_bad_populations(arguments, message):
    net, _ = one_population()

    with pytest.raises(ModelError, match=message):
        net.population(*arguments)
    assert len(net.populations) == 1


ANY = {"weight": 1.0, "delay": 1.0}
SOME = sc.FixedIndegree(3)


@pytest.mark.parametrize(
    ("connect", "message"),
    [
        (lambda n, E, S: n.connect(E, E, "all", **ANY), "connect: rule is 'all', must be a rule"),
        (
            lambda n, E, S: n.connect(E, S, SOME, **ANY),
            "'E' to 'S': target is 'PoissonSource', must",
        ),
        (
            lambda n, E, S: n.connect(E, E, SOME, delay=1.0),
            "'E' to 'E': weight is None, must be a n",
        ),
        (lambda n, E, S: n.connect(E, E, SOME, weight=1.0), "'E' to 'E': delay is None, must be a"),
        (
            lambda n, E, S: n.connect(E, E, sc.Edges([0], [0], weights=[1.0]), **ANY),
            r"'E' to 'E': weight is 1\.0, must be left out, because the edges carry their own",
        ),
        (
            lambda n, E, S: n.connect(E, E, sc.FixedIndegree(11, allow_multapses=False), **ANY),
            "'E' to 'E': indegree is 11, must be at most 10, the number of partners. Allow multap",
        ),
        (
            lambda n, E, S: n.connect(
                E, E, sc.FixedOutdegree(10, allow_autapses=False, allow_multapses=False), **ANY
            ),
            "'E' to 'E': outdegree is 10, must be at most 9",
        ),
        (
            lambda n, E, S: n.connect(E[2], E[2], sc.FixedIndegree(1, allow_autapses=False), **ANY),
            r"'E\[2:3\]' to 'E\[2:3\]': indegree is 1, must be 0, because there are no partners",
        ),
        (
            lambda n, E, S: n.connect(E[2], E[2], sc.FixedTotalNumber(1, False), **ANY),
            r"'E\[2:3\]' to 'E\[2:3\]': sources is 1, must be more than 1",
        ),
        (
            lambda n, E, S: n.connect(E, E[:9], sc.OneToOne(), **ANY),
            r"number of sources is 10, must be the number of targets, 9, for OneToOne",
        ),
        (
            lambda n, E, S: n.connect(E, E, sc.Edges([0, 10], [0, 0]), **ANY),
            r"'E' to 'E': sources is \[10\], must be in \[0, 10\)",
        ),
        (
            lambda n, E, S: n.connect(E, E[:4], sc.Edges([0], [-1]), **ANY),
            r"'E' to 'E\[0:4\]': targets is \[-1\], must be in \[0, 4\)",
        ),
        (lambda n, E, S: n.connect(E[3:3], E, SOME, **ANY), "connect: sources is .* at least one"),
        (
            lambda n, E, S: n.connect("E", E, SOME, **ANY),
            "connect: sources is 'E', must be a popul",
        ),
        (
            lambda n, E, S: n.connect(one_population()[1], E, SOME, **ANY),
            "a population of this netw",
        ),
        (lambda n, E, S: n.drive(S, sc.Poisson(1.0, 1.0)), "drive: target 'S' is 'PoissonSource'"),
        (
            lambda n, E, S: n.drive(E, 5.0),
            r"drive: stimulus is 5\.0, must be a Poisson or a Current",
        ),
        (
            lambda n, E, S: n.record(E, "g_ex"),
            r"record: variable of population 'E' is 'g_ex', must be 'spikes', or a column of LIF: "
            r"V_m \[mV\], refractory \[steps\]$",
        ),
        (
            lambda n, E, S: n.record(S, "V_m"),
            "population 'S' is 'V_m', must be 'spikes': PoissonSource has no columns",
        ),
        (
            lambda n, E, S: n.record(n.population("P", 2, sc.parrot_neuron()), "V_m"),
            "population 'P' is 'V_m', must be 'spikes': parrot_neuron has no columns",
        ),
        (
            lambda n, E, S: n.record(E, "spikes", interval=1.0),
            "record: interval is 1.0, must be None",
        ),
        (
            lambda n, E, S: n.record(E, "V_m", dtype="int"),
            "record: dtype is 'int', must be 'float32'",
        ),
        (lambda n, E, S: n.record([E, E]), "spikes of population 'E' are recorded already"),
        (
            lambda n, E, S: n.record([E[:2], E[5:]], "V_m"),
            "record: V_m of population 'E' is recorded every 1 ms already. Record all wanted",
        ),
        (
            lambda n, E, S: n.record(E, ["V_m", 3]),
            r"record: variable is \['V_m', 3\], must be a na",
        ),
        (lambda n, E, S: n.record(E, []), r"record: variable is \[\], must be a name, or a list"),
        (
            lambda n, E, S: n.record(E, "V_m", interval="1 ms"),
            r"record: interval is '1 ms', must be a time \[ms\]",
        ),
        (
            lambda n, E, S: E[10],
            r"population 'E': index is 10, must be a slice or a whole number in",
        ),
        (lambda n, E, S: E["a"], "population 'E': index is 'a'"),
    ],
)
def test_bad_use_of_populations(connect, message):
    net, E = one_population()
    S = net.population("S", 5, sc.PoissonSource(1.0))

    with pytest.raises(ModelError, match=message):
        connect(net, E, S)
    assert net.projections == net.drives == []


@pytest.mark.parametrize("interval", [0.15, 0.0, -1.0])
def test_bad_interval_of_samples(interval):
    net, E = one_population()
    net.record(E, "V_m", interval=interval)

    with pytest.raises((ModelError, ConfigError), match="record: interval of 'E'"):
        sc.Simulation(net)


def test_lists_are_connected_pair_by_pair():
    net = sc.Network()
    E, I = net.population("E", 8, sc.LIF()), net.population("I", 2, sc.LIF())  # noqa: E741

    net.connect([E, I], [E, I[1]], sc.FixedTotalNumber(5), **ANY)

    names = [(p.source.name, p.target.name) for p in net.projections]
    assert names == [("E", "E"), ("E", "I[1:2]"), ("I", "E"), ("I", "I[1:2]")]
    assert [p.id for p in net.projections] == [0, 1, 2, 3]


def test_views_count_as_python_does():
    net, E = one_population()
    F = net.population("F", 6, sc.LIF())

    assert F.first == 10
    assert F[-2:].gid_range == (14, 16)
    assert F[-1].gids().tolist() == [15]
    assert F[1::2].gids().tolist() == [11, 13, 15]
    assert (F[::2].contiguous, F[2:5].contiguous) == (False, True)
    assert E[5:].overlaps(E[:6])
    assert not E[5:].overlaps(E[:5])
    assert not E.view().overlaps(F.view())
    assert (len(F), F[1:3].name, F.view().name) == (6, "F[1:3]", "F")


def test_views_of_views():
    net = sc.Network()
    P = net.population("P", 40, sc.LIF())

    assert P[10:20][2:4].gids().tolist() == [12, 13]
    assert P[10:20][-1].gids().tolist() == [19]
    assert P[::2][5:9:3].gids().tolist() == [10, 16]
    assert P[::-1][3:][0].gids().tolist() == [36]
    assert (len(P[10:20][2:]), P[10:20][2:4].name) == (8, "P[12:14]")
    for wrong in (10, "a", slice(0, 5, 0)):
        with pytest.raises(ModelError, match="must be a slice or a whole number"):
            P[10:20][wrong]


def test_equal_time_constants_are_one_receptor():
    assert sc.LIF(tau_syn=(2.0, 2.0)).neuron().n_receptors == 1
    assert sc.LIF(tau_syn=(2.0, 3.0)).neuron().n_receptors == 2
    assert (sc.LIF().weight_unit, sc.LIF(tau_syn=2.0).weight_unit) == ("mV", "pA")


def test_spike_trains_are_sorted():
    times, ids = sc.SpikeTrains([3.0, 1.0, 3.0], [0, 2, 1]).arrays()

    assert (times.tolist(), ids.tolist()) == ([1.0, 3.0, 3.0], [2, 0, 1])


def test_description_is_plain_and_complete():
    first, again, other = (json.loads(to_json(every_feature(s).describe())) for s in (1, 1, 2))

    assert first == again
    assert first["seed"] == 1
    assert [len(first[k]) for k in ("populations", "projections", "drives", "records")] == [
        10, 31, 14, 20,
    ]  # fmt: skip
    # Given spikes and edges differ, so their digests must
    for kind in ("populations", "projections"):
        one, two = ([x["digest"] for x in d[kind] if "digest" in x] for d in (first, other))
        assert one[0] != two[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (sc.PoissonSource(9.0, start=1.0), sc.PoissonSource(9.0, start=2.0)),
        (sc.PoissonSource(9.0, stop=1.0), sc.PoissonSource(9.0, stop=2.0)),
        (sc.GammaSource(9.0, 2, start=1.0), sc.GammaSource(9.0, 2, start=2.0)),
    ],
)
def test_sources_that_differ_are_described_differently(one, other):
    def described(model):
        net = sc.Network()
        net.population("A", 3, model)
        return net.describe()

    assert described(one) != described(other)


def test_projections_that_differ_in_their_ends_alone_are_described_together():
    net = sc.Network()
    A, B, C = (net.population(name, 3, sc.LIF()) for name in "ABC")
    net.connect([A, B], [A, B, C], sc.FixedIndegree(2), weight=1.0, delay=1.0)
    net.connect(C, [A, B, C], sc.FixedIndegree(2), weight=2.0, delay=1.0)
    for target in (A, B, C):
        net.connect(B, target, sc.FixedIndegree(2), weight=2.0, delay=1.0)
    net.connect(B, C, sc.AllToAll(), weight=2.0, delay=1.0)

    found = [(p["source"], p["target"], p["rule"]) for p in net.describe()["projections"]]
    every = ["A", "B", "C"]
    assert found == [
        (["A", "B"], every, "FixedIndegree"),
        (["C", "B"], every, "FixedIndegree"),
        ("B", "C", "AllToAll"),
    ]


def test_a_description_of_many_projections_is_short():
    net = sc.Network()
    every = [net.population(f"P{k}", 1, sc.LIF()) for k in range(60)]
    net.connect(every, every, sc.FixedIndegree(2), weight=1.0, delay=1.0)
    assert len(net.projections) == 3600
    assert len(to_json(net.describe()["projections"])) < 2000


@pytest.mark.parametrize("seed", [0, 2**64 - 1, np.int64(5), np.uint64(2**63)])
def test_seeds(seed):
    assert sc.Network(seed=seed).seed == int(seed)
