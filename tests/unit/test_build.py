"""The build: connectivity depends on the target alone, and the tables hold what they say."""

from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import simcore as sc
import simcore.shards.shard
from simcore.construction import binomial
from simcore.construction.build import build_shard
from simcore.description.degrees import n_synapses
from simcore.description.ids import Ids
from simcore.discretization.fixed_point import WeightForm
from simcore.models import microcircuit
from simcore.partition import PARTITIONERS, RangePartition, partition
from simcore.services.errors import CapacityError, ModelError
from simcore.shards.local_neurons import LocalNeurons
from simcore.shards.shard import block_bounds
from tests.networks import build, every_feature, of_projection, synapses

NETWORK = every_feature()


@cache
def whole():
    """Return the synapses of the network that has every feature."""
    return synapses(build(NETWORK))


def union(division):
    """Return the synapses of all ranks of a division, sorted."""
    shards = [build_shard(NETWORK, division, rank, 0.1) for rank in range(division.n_ranks)]
    return np.sort(np.concatenate([synapses(shard) for shard in shards]))


@pytest.mark.parametrize("name", PARTITIONERS)
@pytest.mark.parametrize("n_ranks", [2, 3, 5])
def test_any_number_of_ranks_builds_the_same_synapses(name, n_ranks):
    np.testing.assert_array_equal(union(partition(NETWORK, n_ranks, name)), whole())


@st.composite
def divisions(draw):
    """Return a division of the network at random, with ranks that own nothing."""
    n_ranks = draw(st.integers(1, 5))
    n_ranges = draw(st.integers(1, 9))
    inner = st.integers(0, NETWORK.n_neurons)
    bounds = sorted(draw(st.lists(inner, min_size=n_ranges - 1, max_size=n_ranges - 1)))
    owners = draw(st.lists(st.integers(0, n_ranks - 1), min_size=n_ranges, max_size=n_ranges))
    return RangePartition([0, *bounds, NETWORK.n_neurons], owners, n_ranks)


@settings(max_examples=40, deadline=None)
@given(divisions())
def test_any_division_builds_the_same_synapses(division):
    np.testing.assert_array_equal(union(division), whole())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(divisions())
def test_shortest_remote_delay(division):
    for rank in range(division.n_ranks):
        shard = build_shard(NETWORK, division, rank, 0.1)
        rows = synapses(shard)
        remote = rows["delay"][division.owner(rows["source"]) != rank]

        assert shard.min_remote_delay == remote.min(initial=2**62)


def test_single_rank_has_no_remote_synapses():
    assert build(NETWORK).min_remote_delay == 2**62


def test_longest_delay_is_that_of_the_whole_network():
    shards = [build(NETWORK, rank, 3) for rank in range(3)]

    assert {s.max_delay for s in shards} == {35}
    assert whole()["delay"].max() == 35


@pytest.mark.parametrize("largest", [1, 8, 24, 64])
def test_blocks_do_not_change_synapses(largest, monkeypatch):
    monkeypatch.setattr(simcore.shards.shard, "MAX_BLOCK", 2 * largest)

    shard = build(NETWORK)

    assert shard.blocks.size - 1 == -(-NETWORK.n_neurons // largest)
    np.testing.assert_array_equal(synapses(shard), whole())


@pytest.mark.parametrize("n_local", [0, 1, 2**15, 2**15 + 1, 10**6])
@pytest.mark.parametrize("n_receptors", [1, 2])
def test_blocks_are_equal_and_fit_an_index(n_local, n_receptors):
    bounds = block_bounds(n_local, n_receptors)
    sizes = np.diff(bounds)

    assert (bounds[0], bounds[-1]) == (0, n_local)
    assert sizes.max() <= 2**16 // n_receptors
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("largest", [2**16, 16])
def test_tables_are_sorted(largest, monkeypatch):
    monkeypatch.setattr(simcore.shards.shard, "MAX_BLOCK", largest)
    shard = build(NETWORK)

    assert [t.form for t in shard.tables] == [
        WeightForm.CONSTANT,
        WeightForm.DRAWN,
        WeightForm.EXACT,
    ]
    assert shard.n_synapses == sum(t.n_synapses for t in shard.tables) == whole().size
    for table in shard.tables:
        assert (np.diff(table.delays) >= 0).all()
        channels = np.stack([table.delays, table.receptors, table.weights])
        assert np.unique(channels, axis=1).shape == (3, table.n_channels)
        for block in range(shard.blocks.size - 1):
            for source in range(NETWORK.n_neurons):
                row = [channel for channel, _, _ in table.runs_of(block, source)]
                assert row == sorted(set(row))


def test_weights_of_one_projection_are_sorted_by_target():
    net = sc.Network(seed=3)
    a, b = net.population("a", 20, sc.PoissonSource(1.0)), net.population("b", 50, sc.LIF())
    net.connect(a, b, sc.FixedIndegree(30), weight=sc.Uniform(1.0, 2.0), delay=0.1)
    (table,) = build(net).tables

    targets = (table.words & 0xFFFF).astype(int)
    runs = [targets[i:j] for source in range(70) for _, i, j in table.runs_of(0, source)]
    assert sum(run.size for run in runs) == table.n_synapses
    assert all((np.diff(run) >= 0).all() for run in runs)


def test_very_many_synapses_of_one_pair():
    net = sc.Network(seed=3)
    a, b = net.population("a", 1, sc.PoissonSource(1.0)), net.population("b", 2, sc.LIF())
    net.connect(a, b, sc.FixedIndegree(100_000), weight=1e-3, delay=0.1)
    (table,) = build(net).tables

    lengths = [end - begin for channel, begin, end in table.runs_of(0, 0) if channel == 0]
    assert lengths == [65_535, 65_535, 65_535, 200_000 - 3 * 65_535]


def test_sources_without_synapses_take_two_bits():
    net = sc.Network(seed=3)
    a = net.population("a", 64_000, sc.PoissonSource(1.0))
    b = net.population("b", 1, sc.LIF())
    net.connect(a[63_000:], b, sc.AllToAll(), weight=1.0, delay=0.1)
    (table,) = build(net).tables

    assert table.rows.shape == (1001, 2)
    assert table.runs.size == 1000
    assert table.sources.nbytes == pytest.approx(64_000 / 4, rel=0.01)
    assert [list(table.runs_of(0, source)) for source in (62_999, 63_000, 63_999, 64_000)] == [
        [], [(0, 0, 1)], [(0, 999, 1000)], []
    ]  # fmt: skip


def test_progress_is_reported():
    shares = []

    build_shard(NETWORK, partition(NETWORK, 2), 0, 0.1, shares.append)

    assert (np.diff(shares) >= 0).all()
    assert shares[-1] == pytest.approx(1.0)
    assert len(shares) >= 2 * len(NETWORK.projections)


def test_rank_without_neurons():
    shard = build_shard(NETWORK, RangePartition([0, 107], [1], 3), 0, 0.1)

    assert (shard.neurons.size, shard.n_synapses, shard.min_remote_delay) == (0, 0, 2**62)


def test_network_without_synapses():
    net = sc.Network()
    net.population("lonely", 4, sc.LIF())
    shard = build(net)

    assert (shard.n_synapses, shard.max_delay, shard.tables) == (0, 1, ())


def test_local_ids():
    neurons = LocalNeurons(np.array([2, 3, 5, 8, 9]))

    assert neurons.lid_range((3, 9)) == (1, 4)
    assert neurons.lid_range((6, 8)) == (3, 3)
    assert neurons.lid_range((10, 20)) == (5, 5)


def test_delays_follow_the_time_step():
    net = sc.Network()
    a = net.population("a", 4, sc.LIF())
    net.connect(a, a, sc.OneToOne(), weight=1.0, delay=1.5)

    delays = {dt: set(synapses(build(net, dt=dt))["delay"].tolist()) for dt in (0.1, 0.25, 1.0)}

    assert delays == {0.1: {15}, 0.25: {6}, 1.0: {2}}
    with pytest.raises(ModelError, match=r"projection 'a' to 'a': delay \[ms\] is 1\.5"):
        build(net, dt=4.0)


@pytest.mark.parametrize(
    ("delay", "error", "valid"),
    [(0.04, ModelError, "at least one time step"), (4000.0, CapacityError, r"below 3276\.8 ms")],
)
def test_bad_delay_of_an_edge(delay, error, valid):
    net = sc.Network()
    a = net.population("a", 4, sc.LIF())
    net.connect(a, a, sc.Edges([0, 1], [1, 2], delays=[1.0, delay]), weight=1.0)

    with pytest.raises(
        error, match=rf"projection 'a' to 'a': delay \[ms\] is \[{delay}\].*{valid}"
    ):
        build(net)


def test_indegree_beyond_its_bound(monkeypatch):
    net = sc.Network()
    a = net.population("a", 10, sc.LIF())
    net.connect(a, a, sc.FixedTotalNumber(500), weight=1.0, delay=1.0)
    monkeypatch.setattr("simcore.discretization.fixed_point.indegree_bound", lambda projection: 51)

    with pytest.raises(CapacityError, match=r"'a' to 'a': a target received \d+ synapses.*for 51"):
        build(net)


# Synapses of the cortical microcircuit, row target, column source; reference/networks.md
MICROCIRCUIT = """
45499805 22323577 20253647  9670918 3293578       0 2271404        0
17443694  5018763  4105338  1690074 2221213       0  353461        0
 3503670   756561 24482849 17413576  714524    7003 14624432       0
 8114254    92832  9933538  5223272   87836       0 8810905        0
10613575  1817058  5507804   151900 2040738 2407889 1438969        0
 1241436   169424   607667    12851  319602  430444  132414        0
 4681225   556108  6727570  1320234 4112225  305029 8372649 10827677
 2260836    17207   220033     8078  401638   25218 2888426  1354320
"""


def microcircuit_matrix(net):
    matrix = np.zeros((8, 8), dtype=int)
    for projection in net.projections:
        place = projection.target.population.id, projection.source.population.id
        matrix[place] += int(n_synapses(projection))
    return matrix


def test_microcircuit_has_the_published_numbers():
    net = microcircuit.build()
    published = np.array([row.split() for row in MICROCIRCUIT.strip().splitlines()], dtype=int)

    assert net.n_neurons == 77_169
    np.testing.assert_array_equal(microcircuit_matrix(net), published)
    assert published.sum() == 298_880_968


def test_microcircuit_indegrees_sum_to_the_published_numbers():
    net = microcircuit.build(seed=55)
    total, nobody = 0, Ids(0, range(0)).packed
    for p in net.projections:
        numbers = p.rule.n, p.source.size, nobody, p.target.size, np.arange(p.target.size)
        indegrees = binomial.split_total(np.uint64(55), np.uint64(p.id), *numbers)
        spread = indegrees.var() / (p.rule.n / p.target.size)
        assert abs(spread - 1.0) < 5 * np.sqrt(2.0 / p.target.size)
        total += int(indegrees.sum())

    assert total == 298_880_968


@pytest.mark.parametrize(("rank", "n_ranks"), [(17, 400)])
def test_rank_of_the_full_microcircuit_alone(rank, n_ranks):
    net = microcircuit.build()
    shard = build(net, rank, n_ranks)
    rows = synapses(shard)

    mean = 298_880_968 / n_ranks
    assert abs(shard.n_synapses - mean) < 0.01 * mean
    assert abs(shard.neurons.size - 77_169 / n_ranks) < 8
    for p in net.projections:
        expected = n_synapses(p) / n_ranks
        share = (
            np.sum(
                (shard.neurons.gids >= p.target.gid_range[0])
                & (shard.neurons.gids < p.target.gid_range[1])
            )
            / p.target.size
        )
        found = of_projection(rows, p).size
        assert abs(found - n_synapses(p) * share) < 5 * np.sqrt(expected) + 5


def test_small_microcircuit_is_built_to_the_last_synapse():
    net = microcircuit.build(N_scaling=0.04, K_scaling=0.04)
    rows = np.concatenate([synapses(build(net, rank, 3)) for rank in range(3)])

    assert rows.size == microcircuit_matrix(net).sum()
    for p in net.projections:
        assert of_projection(rows, p).size == p.rule.n
