"""Views with gaps: a step, a list or a mask chooses neurons as a slice does."""

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore.analysis import isi_statistics
from simcore.description.ids import Ids, evenly_spaced
from simcore.discretization.fixed_point import fixed_point
from simcore.estimates.expected_synapses import Expectation
from simcore.io import export_run
from simcore.kernels.neuron_tables import make_neuron_tables
from simcore.planning.crossing import _crossing
from simcore.planning.ranks import Ranks, Setup
from simcore.services.comm import SerialComm
from simcore.services.errors import ModelError, OutputError
from simcore.simulation.work_counts import neuron_work
from tests.networks import advance, build, differences, of_projection, specify, synapses
from tests.unit.test_synapses import draw, drawn

ANY = {"weight": 1.0, "delay": 1.0}


def population(size=40, **options):
    net = sc.Network(seed=3)
    net.population("before", 7, sc.LIF())
    return net, net.population("P", size, sc.LIF(**options))


def test_an_index_chooses_as_in_numpy():
    _, P = population()
    all_of_them = np.arange(7, 47)
    mask = np.random.default_rng(1).random(40) < 0.3
    for index in (
        slice(None, None, 2), slice(5, 100, 3), slice(None, None, -1), [1, 5, 7], [0, -1], [4], [],
        np.array([2, 3, 5], dtype=np.uint8), mask, list(mask), np.flatnonzero(mask), -3,
    ):  # fmt: skip
        assert P[index].gids().tolist() == np.atleast_1d(all_of_them[index]).tolist()
    every = all_of_them[::3][[0, 1, 4, 5]]
    assert P[::3][[0, 1, 4, 5]].gids().tolist() == every.tolist()
    assert P[::3][[0, 1, 4, 5]][1:][[True, False, True]].gids().tolist() == every[[1, 3]].tolist()
    assert P[mask][::2].gids().tolist() == all_of_them[mask][::2].tolist()
    assert P[::-1][[1, 3]].gids().tolist() == [45, 43]


def test_a_list_that_is_a_slice_needs_no_memory():
    _, P = population()

    assert P[[4, 5, 6]].indices == P[4:7].indices
    assert P[np.arange(40) % 4 == 1].indices == P[1::4].indices
    assert (P[[4, 5, 6]].name, P[list(range(40))].name) == ("P[4:7]", "P")


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([1, 40], r"population 'P': index is \[40\], must be in \[-40, 40\)"),
        ([-41, 3], r"population 'P': index is \[-41\]"),
        ([1, 5, 5], "population 'P': index has 5 after 5, must ascend .* np.unique"),
        ([1, 7, 5], "population 'P': index has 5 after 7"),
        ([1, -40], "population 'P': index has 0 after 1"),
        ([1.0, 2.0], r"index is \[1.0, 2.0\], must be a slice or a whole number in \[0, 40\), a l"),
        ([[1], [2]], r"index is \[\[1\], \[2\]\], must be"),
        ([[1], [2, 3]], r"index is \[\[1\], \[2, 3\]\], must be"),
        ([True] * 39, r"population 'P': mask of is \(39,\), must be \(40,\), one boolean for each"),
        (np.bool_(True), "index is np.True_, must be"),
        ("abc", "index is 'abc', must be"),
        (list(range(99)) * 9, r"index is \[40\]"),
    ],
)
def test_bad_indices(index, message):
    _, P = population()

    with pytest.raises(ModelError, match=message):
        P[index]
    with pytest.raises(ModelError, match="descending order"):
        P[::-1][[0, 1, 3]]


def test_views_have_names_of_their_own():
    net, P = population()
    names = [P[::-1].name, P[::2].name, P[[1, 5, 7]].name]
    assert names == ["P[39::-1]", "P[0:40:2]", "P[[1, 5, 7]]"]
    for last in (38, 39):
        net.drive(P[[1, 2, 3, 5, 8, 9, last]], sc.Current(1.0))
    one, other = (d["target"] for d in net.describe()["drives"])
    assert one != other
    assert one.startswith("P[[1, 2, 3, 5, ... 38; 7 in all, ")


def some_ids():
    """Return ids of every kind, some of which have few or none in common."""
    rng = np.random.default_rng(5)
    ranges = [range(3, 50), range(0, 60, 7), range(2, 60, 4), range(1, 50, 4), range(8, 9)]
    lists = [np.unique(rng.integers(0, 60, n)) for n in (3, 20, 30)]
    return [Ids(k % 3, evenly_spaced(np.array(i))) for k, i in enumerate([*ranges, *lists])]


def test_ids_do_what_sets_do():
    gids = np.arange(-5, 75)
    for one in [*some_ids(), Ids(2, range(40, 5, -3))]:
        own = one.at(np.arange(one.size))
        among = {int(gid): k for k, gid in enumerate(own)}
        assert one.position(gids).tolist() == [among.get(int(g), -1) for g in gids]
        assert one.below(gids).tolist() == [int((own < g).sum()) for g in gids]
        assert one.span == (own.min(), own.max() + 1)
        assert one.contiguous == (one.size == np.ptp(own) + 1)
        for first, stride in ((0, 3), (9, 5), (1, 1)):
            thin = one.thinned(first, stride)
            wanted = np.sort(own[(own - first) % stride == 0])
            assert thin.at(np.arange(thin.size)).tolist() == wanted.tolist()
        for other in some_ids():
            both = np.intersect1d(own, other.at(np.arange(other.size)))
            assert one.n_common(other) == both.size
            if own[0] <= own[-1]:
                places = one.common(other)
                assert one.at(places.at(np.arange(places.size))).tolist() == both.tolist()


def views(P):
    """Return views that share some neurons: a step and lists, also one that is all but a slice."""
    rng = np.random.default_rng(9)
    listed = np.flatnonzero(rng.random(40) < 0.5)
    return [(P[::3], P[listed]), (P[listed], P[1:31:2]), (P[::2], P[::3]), (P[listed], P[5:20])]


def checked(rule, source, target, counts):
    """Check the numbers of synapses of all pairs against what a rule promises."""
    shared = target.gids()[:, None] == source.gids()
    if not getattr(rule, "allow_autapses", True):
        assert not counts[shared].any()
    if not getattr(rule, "allow_multapses", True) or isinstance(rule, sc.PairwiseBernoulli):
        assert counts.max() == 1
    if isinstance(rule, sc.FixedIndegree):
        assert (counts.sum(axis=1) == rule.indegree).all()
    elif isinstance(rule, sc.FixedOutdegree):
        assert (counts.sum(axis=0) == rule.outdegree).all()
    elif isinstance(rule, sc.FixedTotalNumber):
        assert counts.sum() == rule.n
    elif isinstance(rule, sc.AllToAll):
        assert (counts == (1 - shared if not rule.allow_autapses else 1)).all()
    # All sources and all targets are drawn
    assert counts.any(axis=0).all()
    assert counts.any(axis=1).all()


RULES = [
    sc.FixedIndegree(60, allow_autapses=False),
    sc.FixedIndegree(6, allow_autapses=False, allow_multapses=False),
    sc.FixedIndegree(9, allow_multapses=False),
    sc.FixedOutdegree(60, allow_autapses=False),
    sc.FixedOutdegree(7, allow_autapses=False, allow_multapses=False),
    sc.FixedTotalNumber(2000, allow_autapses=False),
    sc.PairwiseBernoulli(0.5, allow_autapses=False),
    sc.AllToAll(allow_autapses=False),
    sc.AllToAll(),
]


def calls(which):
    """Return source, target and rule of projections that have every rule between two views."""
    net, P = population(tau_syn=(1.0, 2.0))
    source, target = views(P)[which]
    size = min(source.size, target.size)
    last = size - 1
    ends = sc.Edges([0, 3, 3, last, 4], [2, 0, 0, last, 1])
    turned = target[::-1] if isinstance(target.indices, range) else target
    return net, [
        *((source, target, rule) for rule in RULES),
        (source[:size], target[:size], sc.OneToOne()),
        (source[:size], turned[:size], sc.OneToOne()),
        (source, turned, ends),
    ]


@pytest.mark.parametrize("which", range(4))
def test_rules_connect_the_neurons_of_views_and_no_others(which):
    net, projections = calls(which)
    for source, target, rule in projections:
        net.projections.clear()
        net.connect(source, target, rule, **ANY)
        rows = synapses(build(net))
        assert of_projection(rows, net.projections[0]).size == rows.size
        places = target.ids.position(rows["target"]), source.ids.position(rows["source"])
        counts = np.zeros((target.size, source.size), dtype=int)
        np.add.at(counts, places, 1)
        if isinstance(rule, sc.OneToOne):
            assert (counts == np.eye(target.size)).all()
        elif isinstance(rule, sc.Edges):
            pairs = zip(*rule.pairs(), strict=True)
            assert sorted(zip(*places[::-1], strict=True)) == sorted(pairs)
        else:
            checked(rule, source, target, counts)


@pytest.mark.parametrize("which", range(4))
def test_ranks_and_gpus_draw_the_same_between_views(emulated_gpu, which):
    net, projections = calls(which)
    for source, target, rule in projections:
        net.connect(source, target, rule, sc.Normal(1.0, 0.9), sc.Uniform(0.1, 1.0))
    whole = synapses(build(net))
    assert whole.size == sum(of.n_synapses for of in [build(net)])

    for partitioner in ("balanced", "round_robin"):
        shards = [build(net, rank, 3, partitioner) for rank in range(3)]
        assert (np.sort(np.concatenate([synapses(shard) for shard in shards])) == whole).all()
    for rank, n_ranks in ((0, 1), (1, 3)):
        shard, own = build(net, rank, n_ranks), specify(net, rank, n_ranks)
        tables, builder = draw(own)
        assert (drawn(own, tables) == synapses(shard)).all()
        assert builder.shortest == shard.min_remote_delay


@pytest.mark.parametrize("rule", [*RULES, sc.OneToOne()])
def test_a_list_that_is_a_slice_has_its_bits(rule):
    found = []
    for part in (slice(5, 25), np.arange(5, 25), np.isin(np.arange(40), np.arange(5, 25))):
        net, P = population()
        net.connect(P[part], P[part], rule, **ANY)
        found.append(synapses(build(net)))

    assert found[0].size > 0
    assert all((other == found[0]).all() for other in found[1:])


def driven(choose, backend="reference"):
    """Return what neurons do of which some have input, and what is recorded of some."""
    net, P = population(V_th=15.0)
    choose(net, P)
    return advance(net, 60, backend)


@pytest.mark.parametrize("backend", ["reference", "cpu", "cuda"])
def test_a_view_is_driven_as_the_whole_is_and_nothing_else(emulated_gpu, backend):
    mask = np.random.default_rng(2).random(40) < 0.4
    poisson = sc.Poisson(2000.0, 0.5, start=0.5)
    whole = driven(lambda net, P: net.drive(P, poisson)).V_m[7:]
    assert (whole != 0.0).all()
    for index in (mask, slice(1, None, 3), [2, 3, 39]):
        found = driven(lambda net, P, index=index: net.drive(P[index], poisson), backend).V_m[7:]
        expected = np.zeros(40)
        expected[index] = whole[index]
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("backend", ["reference", "cpu", "cuda"])
def test_a_mask_is_driven_and_recorded_as_its_runs_are(emulated_gpu, backend):
    mask = np.random.default_rng(2).random(40) < 0.5
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask, [0]])))
    runs = [slice(*pair) for pair in edges.reshape(-1, 2)]
    assert len(runs) > 8

    def at_once(net, P):
        net.drive(P[mask], sc.Current(300.0, start=0.3, stop=4.0))
        assert net.drives[-1].scattered
        net.record(P[mask], "V_m", interval=0.2)

    def by_runs(net, P):
        net.drive([P[run] for run in runs], sc.Current(300.0, start=0.3, stop=4.0))
        net.record(P, "V_m", interval=0.2)

    found, expected = driven(at_once, backend), driven(by_runs)
    assert (found.V_m[7:] != 0.0).tolist() == mask.tolist()
    expected.samples = [rows[:, mask] for rows in expected.samples]
    assert differences(found, expected) == []


def test_poisson_input_of_a_view_takes_one_group():
    net, P = population(4000)
    net.drive(P[::2], sc.Poisson(1000.0, 0.1))
    net.drive(P[np.arange(4000) % 7 < 2], sc.Poisson(1000.0, 0.1))
    plan = make_neuron_tables(build(net), np.dtype(np.float64))

    assert len(plan.groups) == 2
    assert len(plan.segments) == 2


def test_current_of_a_view_takes_few_segments():
    net, P = population(4000)
    net.drive(P[::2], sc.Current(100.0))
    net.drive(P[np.arange(4000) % 7 < 2], sc.Current(50.0, start=1.0))
    net.drive(P[[5, 6, 9]], sc.Current(10.0))
    plan = make_neuron_tables(build(net), np.dtype(np.float64))

    assert len(plan.segments) < 12


def test_currents_of_other_neurons_change_nothing():
    net, P = population(4000)
    for k in range(20):
        some = np.sort(np.random.default_rng(k).permutation(4000)[:50])
        net.drive(P[some], sc.Current(100.0, start=10.0 * k, stop=10.0 * k + 5.0))
    plan = make_neuron_tables(build(net), np.dtype(np.float64))

    assert len(plan.segments) == 2
    assert 0 < plan.changes[0].size <= 20 * 2 * 50 * 2


def test_spikes_of_listed_neurons_are_in_the_file_and_in_its_export(tmp_path):
    rng = np.random.default_rng(4)
    mask = rng.random(40) < 0.5
    net, P = population()
    net.drive(P, sc.Poisson(12_000.0, 0.3))
    net.record(P, "spikes")
    whole = sc.simulate(
        net, 60.0, output=tmp_path / "all.h5", backend="reference", comm=SerialComm()
    )
    net.records.clear()
    net.record(P[mask], "spikes")
    run = sc.simulate(
        net, 60.0, output=tmp_path / "some.h5", backend="reference", comm=SerialComm()
    )

    times, ids = whole.spikes("P")
    wanted = np.isin(ids, np.flatnonzero(mask))
    assert 0 < wanted.sum() < wanted.size
    copy = tmp_path / "copy.h5"
    export_run(run, copy, "sonata")
    for found in (run, sc.open_run(copy)):
        assert found.spikes("P").node_ids.tolist() == ids[wanted].tolist()
        assert found.spikes("P").times.tolist() == times[wanted].tolist()
        assert found.recorded_ids("P").tolist() == np.flatnonzero(mask).tolist()
        assert found.sizes["P"] == 40
        one = int(np.flatnonzero(mask)[3])
        assert (found.spikes("P", neurons=[one]).node_ids == one).all()
        with pytest.raises(ModelError, match=f"one of the {mask.sum()} in the file"):
            found.spikes("P", neurons=np.flatnonzero(~mask)[:1])
    assert run.rates()["P"] == whole.rates()["P"]
    with h5py.File(copy, "r+") as file:
        file["spikes/P/node_ids"][5] = np.flatnonzero(~mask)[2]
    with pytest.raises(OutputError, match=r"must be of one of the \d+ recorded"):
        isi_statistics(sc.open_run(copy).select("P"))


@pytest.mark.parametrize("partitioner", ["balanced", "round_robin"])
def test_what_is_expected_of_views_comes_true(partitioner):
    net = sc.Network(seed=3)
    A, B = (net.population(name, 600, sc.LIF()) for name in "AB")
    some = np.random.default_rng(8).random(600) < 0.3
    for source, target in ((A[::2], B[some]), (A[1::2], A[1:300:3]), (B[some], A), (B[~some], B)):
        net.connect(source, target, sc.FixedIndegree(5), weight=0.1, delay=sc.Uniform(0.1, 0.4))
    net.connect(A[::5], B[::5], sc.OneToOne(), weight=0.1, delay=1.0)
    net.drive(A[some], sc.Poisson(100.0, 0.1))
    expectation = Expectation(net, fixed_point(net, 0.1), 0.1)
    setup = Setup(3, 1, partitioner=partitioner)
    ranks = Ranks(net, setup)
    shards = [build(net, rank, 3, partitioner) for rank in range(3)]

    assert ranks.n_synapses == pytest.approx([s.n_synapses for s in shards], rel=0.05)
    assert ranks.n_synapses.sum() == pytest.approx(sum(s.n_synapses for s in shards))
    owned = [int(np.isin(A[some].gids(), shard.neurons.gids).sum()) for shard in shards]
    assert ranks.inside(A[some]).tolist() == owned
    for rank, shard in enumerate(shards):
        counts = neuron_work(net, shard.neurons, 0.1, 0, 10)
        assert counts["draws"] == 10 * owned[rank]
        (found,), (table,) = expectation.tables(ranks.shards(rank)[0]), shard.tables
        assert found.synapses.sum() == pytest.approx(shard.n_synapses, rel=0.05)
        # Views that share sources count as if they did not
        assert 0.98 < found.rows.sum() / (len(table.rows) - 1) < 1.06
        assert 0.98 < found.runs.sum() / table.runs.size < 1.06
    owner, rows = ranks.division.owner, np.concatenate([synapses(shard) for shard in shards])
    apart = np.count_nonzero(owner(rows["source"]) != owner(rows["target"]))
    expected = sum(n for t in expectation.projections for _, n in _crossing(t, ranks))
    assert expected == pytest.approx(apart, rel=0.05)
