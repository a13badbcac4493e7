"""Plans, against shards that were really built and runs that really ran."""

import math
import tracemalloc

import numpy as np
import pytest

import simcore as sc
import simcore.planning.ranks
import simcore.shards.shard
from simcore.construction.build import build_shards
from simcore.models import brunel, microcircuit
from simcore.numerics.clock import Clock
from simcore.partition import PARTITIONERS, partition
from simcore.planning import Planner, Rates, Setup, Workload, choose_rates
from simcore.planning.crossing import epoch_steps, ranks_reached
from simcore.planning.ranks import Ranks
from simcore.planning.rates import most_spikes
from simcore.planning.workload import expected_workload
from simcore.services.errors import ConfigError, ModelError
from simcore.shards.recording_buffers import longest_epoch
from simcore.simulation.work_counts import delivery_work
from tests.networks import build, every_feature, synapses

SETUPS = [Setup(n, partitioner=name) for name in PARTITIONERS for n in (1, 2, 5)]
SETUPS += [Setup(2, threads=3), Setup(2, threads=2, partitioner="round_robin")]


def ids(setup):
    return f"{setup.partitioner}-{setup.n_ranks}x{setup.threads}"


def flat(network, rate=10.0):
    """Return one rate for all populations."""
    return Rates(np.full(len(network.populations), rate), "a test")


def shards_of(network, setup, rank):
    parts = range(rank * setup.threads, (rank + 1) * setup.threads)
    n = setup.n_ranks * setup.threads
    return [build(network, part, n, setup.partitioner) for part in parts]


def pair(rule, n=400, **options):
    net = sc.Network(seed=3)
    P = net.population("P", n, sc.LIF())
    Q = net.population("Q", n, sc.LIF())
    net.connect(P, Q, rule, **{"weight": 1.0, "delay": 1.0, **options})
    return net


RULES = {
    "fixed_indegree": lambda: pair(sc.FixedIndegree(5)),
    "distinct": lambda: pair(sc.FixedIndegree(300, allow_multapses=False), delay=sc.Uniform(1, 3)),
    "fixed_outdegree": lambda: pair(sc.FixedOutdegree(3), delay=sc.Uniform(1.0, 2.0)),
    "fixed_total_number": lambda: pair(sc.FixedTotalNumber(2000), weight=sc.Normal(80.0, 24.0)),
    "bernoulli": lambda: pair(sc.PairwiseBernoulli(0.02)),
    "one_to_one": lambda: pair(sc.OneToOne()),
    "all_to_all": lambda: pair(sc.AllToAll(), delay=sc.Uniform(1.0, 4.0)),
    "edges": lambda: pair(sc.Edges(*np.random.default_rng(1).integers(0, 400, (2, 3000)))),
    "every feature": every_feature,
    "microcircuit": lambda: microcircuit.build(N_scaling=0.02, K_scaling=0.05),
}


@pytest.mark.parametrize("setup", SETUPS, ids=ids)
def test_neurons_and_synapses_of_every_rank(setup):
    network = every_feature()
    ranks = Ranks(network, setup)
    for rank in range(setup.n_ranks):
        shards = shards_of(network, setup, rank)
        assert ranks.n_neurons[rank] == sum(s.neurons.size for s in shards)
        found, expected = sum(s.n_synapses for s in shards), ranks.n_synapses[rank]
        # Small networks of edges, chance and views: within five standard deviations
        assert abs(found - expected) < 5.0 * math.sqrt(expected) + 1.0
    assert ranks.n_synapses.sum() == pytest.approx(Ranks(network, Setup()).n_synapses[0])


@pytest.mark.parametrize("name", RULES)
def test_synapses_of_every_rule_are_within_chance(name):
    network = RULES[name]()
    for setup in (Setup(3), Setup(3, partitioner="block")):
        ranks = Ranks(network, setup)
        built = [build(network, r, 3, setup.partitioner).n_synapses for r in range(3)]
        assert np.abs(built - ranks.n_synapses).max() < 5.0 * math.sqrt(max(built)) + 1.0


@pytest.mark.parametrize("largest", [simcore.shards.shard.MAX_BLOCK, 64])
@pytest.mark.parametrize("name", RULES)
def test_deliveries_of_every_rule(monkeypatch, name, largest):
    monkeypatch.setattr(simcore.shards.shard, "MAX_BLOCK", largest)
    network = RULES[name]()
    rates = flat(network)
    emitted = np.array([10 * p.size for p in network.populations])
    planner = Planner(network, rates)
    for setup in (Setup(2), Setup(2, partitioner="block"), Setup(1, threads=2)):
        ranks = Ranks(network, setup)
        for rank in range(setup.n_ranks):
            shards = shards_of(network, setup, rank)
            load = expected_workload(planner.expectation, ranks, np.array([rank]), rates, 1)
            found = delivery_work(network, [s.inventory() for s in shards], emitted)
            assert load.events[0] == pytest.approx(found["events"], rel=0.12, abs=10.0)
            assert load.runs[0] == pytest.approx(found["runs"], rel=0.12, abs=10.0)
            assert load.lookups[0] == found["lookups"]
            expected = planner.of_rank(setup, rank)
            assert expected.table_bytes == pytest.approx(sum(s.nbytes for s in shards), rel=0.12)


@pytest.mark.parametrize("name", RULES)
def test_ranks_that_a_spike_reaches(name):
    network = RULES[name]()
    rates = flat(network, 0.0)
    for setup in (Setup(4), Setup(4, partitioner="block"), Setup(2, threads=2)):
        expectation = Planner(network, rates).expectation
        found = ranks_reached(expectation, Ranks(network, setup), rates)
        sources = [
            np.unique(np.concatenate([synapses(s)["source"] for s in shards_of(network, setup, r)]))
            for r in range(setup.n_ranks)
        ]
        true = sum(s.size for s in sources) / network.n_neurons
        assert found == pytest.approx(true, rel=0.08)


@pytest.mark.parametrize("setup", [SETUPS[k] for k in (0, 1, 5, -2, -1)], ids=ids)
@pytest.mark.parametrize("name", RULES)
def test_epochs_are_those_of_a_simulation(name, setup):
    network = RULES[name]()
    found = epoch_steps(Planner(network, flat(network)).expectation, Ranks(network, setup))
    shards = [s for r in range(setup.n_ranks) for s in _together(network, setup, r)]
    shortest = min(s.min_remote_delay for s in shards)
    longest = longest_epoch(network, Clock(0.1), unbounded=shortest == 2**62)
    assert found == min(longest, shortest)


def _together(network, setup, rank):
    division = partition(network, setup.n_ranks * setup.threads, setup.partitioner)
    parts = range(rank * setup.threads, (rank + 1) * setup.threads)
    return build_shards(network, division, parts, 0.1)


def test_a_given_delay_counts_where_its_edge_crosses_ranks():
    edges = sc.Edges([0, 1, 399], [0, 1, 0], delays=[0.2, 0.3, 0.9])
    network = pair(edges, delay=None)
    expectation = Planner(network, flat(network)).expectation
    assert epoch_steps(expectation, Ranks(network, Setup(2))) == 9
    assert epoch_steps(expectation, Ranks(network, Setup(2, partitioner="block"))) == 2


@pytest.mark.parametrize("partitioner", PARTITIONERS)
def test_a_plan_is_what_a_run_does(tmp_path, partitioner):
    network = every_feature()
    run = sc.simulate(network, 40.0, output=tmp_path / "run.h5", partitioner=partitioner)
    rates = choose_rates(network, 40.0, {}, {"the run": dict(run.rates())})
    assert rates.origin == "the run"
    plan = Planner(network, rates)(Setup(duration=40.0, partitioner=partitioner))
    done, planned = Workload.of(run), plan.workload
    assert planned.updates == pytest.approx(done.updates)
    assert planned.draws == pytest.approx(done.draws)
    assert planned.sent == pytest.approx(done.sent, rel=0.01)
    assert planned.events == pytest.approx(done.events, rel=0.1)
    assert planned.lookups == pytest.approx(done.lookups, rel=0.01)
    assert (planned.meetings, planned.epochs) == (0.0, done.epochs)
    assert planned.recorded == pytest.approx(done.recorded, rel=0.05)
    samples = sum(run.dataset(report.place)[:].nbytes for report in run.reports)
    assert plan.files["samples"] == pytest.approx(samples / 0.04, rel=0.02)


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_more_ranks_than_neurons(n):
    net = sc.Network(seed=1)
    net.population("P", 2, sc.LIF())
    plan = Planner(net, flat(net))(Setup(n))
    assert plan.neurons.mean == pytest.approx(2 / n)
    assert plan.neurons.min == (0 if n > 2 else 2 // n)
    assert (plan.synapses.max, plan.reached) == (0.0, 0.0)
    assert plan.epoch_steps == 1000
    assert plan.stands_for.sum() == n


def test_one_neuron_that_is_silent():
    net = sc.Network(seed=1)
    P = net.population("P", 1, sc.LIF())
    net.connect(P, P, sc.AllToAll(), weight=1.0, delay=1.0)
    net.record(P, "spikes")
    plan = Planner(net, flat(net, 0.0))(Setup())
    assert (plan.neurons.max, plan.synapses.max, plan.spikes.max) == (1, 1, 0)
    assert (plan.workload.events[0], plan.files["spikes"]) == (0.0, 0.0)
    assert plan.reached == pytest.approx(1.0, rel=1e-5)


def test_without_rates_everything_else_is_planned():
    network = brunel.build(order=30)
    rates = choose_rates(network, 1000.0, {"E": 5.0}, {})
    assert not rates.known
    plan = Planner(network, rates)(Setup(2))
    assert math.isnan(plan.spikes.mean)
    assert plan.peak == plan.memory["peak"].max > 0.0
    assert plan.reached == pytest.approx(2.0, rel=0.01)


def test_rates_are_given_then_known():
    network = brunel.build(order=30)
    others = {"first": {"E": 1.0}, "second": {"E": 2.0, "I": 3.0}}
    assert choose_rates(network, 1e3, {}, others).values.tolist() == [2.0, 3.0]
    mixed = choose_rates(network, 1e3, {"I": 7.0}, others)
    assert mixed.values.tolist() == [2.0, 7.0]
    assert mixed.origin == "second, some given"
    given = choose_rates(network, 1e3, {"": 4.0, "I": 7.0}, others)
    assert (given.values.tolist(), given.origin) == ([4.0, 7.0], "given")


def test_rates_of_sources_are_those_of_the_model():
    net = sc.Network(seed=1)
    net.population("poisson", 5, sc.PoissonSource(rate=40.0, start=100.0, stop=300.0))
    net.population("trains", 4, sc.SpikeTrains([1.0, 2.0, 900.0], [0, 1, 3]))
    pulse = sc.Piecewise([100.0, 150.0], [80.0, 20.0])
    net.population("changing", 2, sc.PoissonSource(rate=pulse, stop=350.0))
    net.population("gamma", 2, sc.GammaSource(rate=pulse, shape=3))
    rates = choose_rates(net, 400.0, {}, {})
    assert rates.values.tolist() == [20.0, 2 / 4 / 0.4, 20.0, 22.5]
    assert rates.origin == "the sources of the model"
    assert most_spikes(net, rates, 100.0).tolist() == [4.0, 0.5, 8.0, 8.0]


@pytest.mark.parametrize("given", [{"X": 1.0}, {"E": -1.0}, {"": math.inf}, {"": math.nan}])
def test_wrong_rates_are_refused(given):
    with pytest.raises(ConfigError, match="rate"):
        choose_rates(brunel.build(order=30), 1e3, given, {})


def test_no_rank_and_a_rank_that_is_not_there_are_refused():
    network = brunel.build(order=30)
    planner = Planner(network, flat(network))
    with pytest.raises(ConfigError, match="ranks is 0, must be a whole number of at least 1"):
        planner(Setup(0))
    for rank in (-1, 4):
        with pytest.raises(ConfigError, match=r"rank is -?\d, must be in \[0, 4\)"):
            planner.of_rank(Setup(4), rank)


def test_a_delay_below_a_step_is_refused():
    network = pair(sc.FixedIndegree(1), delay=0.01)
    with pytest.raises(ModelError, match="at least one time step"):
        Planner(network, flat(network))


def test_kinds_of_ranks_stand_for_all_of_them(monkeypatch):
    monkeypatch.setattr(simcore.planning.ranks, "MOST_KINDS", 5)
    network = every_feature()
    ranks = Ranks(network, Setup(30))
    chosen, stands_for = ranks.kinds
    assert chosen.size == 5
    assert stands_for.sum() == 30
    found = ranks.n_synapses[chosen]
    assert (found.min(), found.max()) == (ranks.n_synapses.min(), ranks.n_synapses.max())
    mean = np.average(found, weights=stands_for)
    assert mean == pytest.approx(ranks.n_synapses.mean(), rel=0.05)


def test_as_many_ranks_as_it_takes():
    network = brunel.build(order=20_000, epsilon=0.01)
    planner = Planner(network, flat(network))
    one = planner(Setup())
    n = planner.fewest_ranks(one, memory=300e6)
    assert planner(Setup(n)).peak <= 300e6 < planner(Setup(n - 1)).peak
    assert planner.fewest_ranks(one, memory=1e12) == 1
    assert planner.fewest_ranks(one, memory=1e6) is None


def test_as_many_gpus_as_it_takes():
    network = brunel.build(order=2_000_000, epsilon=1e-3)
    planner = Planner(network, flat(network))
    plan = planner(Setup(8, backend="cuda"))
    n = planner.fewest_ranks(plan, gpu_memory=8e9)
    peaks = [planner(Setup(k, backend="cuda")).gpu_memory["peak"].max for k in (n - 1, n)]
    assert peaks[1] <= 8e9 < peaks[0]


@pytest.mark.parametrize("n_ranks", [500, 100_003])
def test_a_plan_holds_nothing_as_large_as_the_network(n_ranks):
    # What is imported and compiled for the first plan is no part of it
    small = brunel.build(order=50)
    Planner(small, flat(small))(Setup(2))
    tracemalloc.start()
    network = brunel.build(order=200_000_000, epsilon=1e-5)
    plan = Planner(network, flat(network))(Setup(n_ranks))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert plan.synapses.mean * n_ranks == pytest.approx(1e13)
    assert most < 4e6 + 300 * n_ranks


def test_the_memory_of_a_rank_counts_its_spikes():
    network = brunel.build(order=2000)
    quiet, loud = (Planner(network, flat(network, rate))(Setup(64)) for rate in (1.0, 1000.0))
    assert quiet.memory["spikes"].max < loud.memory["spikes"].max
    spikes = loud.spikes.max * 1.5e-3
    room = 1.5 * (spikes + 5.0 * math.sqrt(spikes))
    assert loud.memory["spikes"].max > 8.0 * 2 * 64 * room
