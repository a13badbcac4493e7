"""Partitions own every neuron once; partitioners divide the work evenly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simcore as sc
from simcore.description.degrees import mean_indegree
from simcore.description.ids import Ids
from simcore.partition import PARTITIONERS, CyclicPartition, RangePartition, partition
from simcore.services.errors import ConfigError, ModelError
from simcore.shards.local_neurons import LocalNeurons
from tests.networks import build, every_feature


def check(division, n_neurons, n_ranks):
    """Assert that every neuron has one owner, and that both views of the division agree."""
    parts = [division.gids(rank) for rank in range(n_ranks)]
    everyone = np.arange(n_neurons)

    assert (division.n_neurons, division.n_ranks) == (n_neurons, n_ranks)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), everyone)
    for rank, part in enumerate(parts):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
        assert (division.owner(part) == rank).all()
    assert division.owner(everyone).shape == everyone.shape


@st.composite
def divisions(draw):
    """Return bounds, owners and number of ranks; with empty ranges and idle ranks."""
    n_ranks = draw(st.integers(1, 6))
    sizes = draw(st.lists(st.integers(0, 9), min_size=1, max_size=12))
    owners = draw(st.lists(st.integers(0, n_ranks - 1), min_size=len(sizes), max_size=len(sizes)))
    return np.cumsum([0, *sizes]), owners, n_ranks


@given(divisions())
def test_any_ranges_are_a_partition(division):
    bounds, owners, n_ranks = division

    check(RangePartition(bounds, owners, n_ranks), int(bounds[-1]), n_ranks)


@given(st.integers(1, 60), st.integers(1, 9))
def test_cards_are_a_partition(n_neurons, n_ranks):
    check(CyclicPartition(n_neurons, n_ranks), n_neurons, n_ranks)


@pytest.mark.parametrize("name", PARTITIONERS)
@pytest.mark.parametrize("n_ranks", [1, 2, 3, 7, 119, 120, 200])
def test_partitioners(name, n_ranks):
    net = every_feature()
    check(partition(net, n_ranks, name), net.n_neurons, n_ranks)


@pytest.mark.parametrize("name", PARTITIONERS)
@pytest.mark.parametrize("n_ranks", [2, 5])
def test_neurons_are_shared_evenly(name, n_ranks):
    division = partition(every_feature(), n_ranks, name)
    sizes = [division.gids(rank).size for rank in range(n_ranks)]

    # Balanced counts synapses, too
    assert max(sizes) - min(sizes) <= (1 if name != "balanced" else 3)


@pytest.mark.parametrize("n_ranks", [2, 3, 8])
def test_balanced_ranks_carry_equal_numbers_of_synapses(n_ranks):
    net = sc.Network()
    rich, poor = net.population("rich", 1001, sc.LIF()), net.population("poor", 4003, sc.LIF())
    net.connect(poor, rich, sc.FixedIndegree(300), weight=0.1, delay=1.0)
    net.connect(rich, poor, sc.FixedIndegree(10), weight=0.1, delay=1.0)
    shards = [build(net, rank, n_ranks) for rank in range(n_ranks)]

    neurons = [s.neurons.size for s in shards]
    synapses = [s.n_synapses for s in shards]
    assert max(neurons) - min(neurons) <= 1
    assert max(synapses) - min(synapses) <= max(mean_indegree(p) for p in net.projections)


def test_balanced_ranks_own_neighbours_of_every_population():
    net = every_feature()
    division = partition(net, 4)

    for population in net.populations:
        owners = division.owner(population.view().gids())
        shares = np.bincount(owners, minlength=4)
        assert shares.max() - shares.min() <= 1
        assert (np.diff(owners) >= 0).all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RangePartition([0, 4], [0], 0), ModelError, "n_ranks is 0, must be >= 1"),
        (lambda: CyclicPartition(4, 0), ModelError, "n_ranks is 0, must be >= 1"),
        (lambda: RangePartition([0, 4], [0, 1], 2), ModelError, "number of bounds is 2"),
        (lambda: RangePartition([1, 4], [0], 1), ModelError, "must ascend from 0"),
        (lambda: RangePartition([0, 4, 2], [0, 1], 2), ModelError, "must ascend from 0"),
        (lambda: RangePartition([0, 2, 4], [0, 2], 2), ModelError, r"owner is \[2\], must be in"),
        (lambda: RangePartition([0, 2, 4], [-1, 0], 2), ModelError, r"owner is \[-1\]"),
        (
            lambda: partition(every_feature(), 2, "metis"),
            ConfigError,
            "partitioner is 'metis', must be one of balanced, block, round_robin",
        ),
    ],
)
def test_bad_partitions(make, error, message):
    with pytest.raises(error, match=message):
        make()


# Of every class, with empty parts and uneven ranges
DIVISIONS = [
    *(partition(every_feature(), n, name) for n in (1, 3, 8, 200) for name in PARTITIONERS),
    RangePartition([0, 4, 4, 9, 30, 31, 107], [2, 0, 1, 2, 0, 2], 4),
]


@pytest.mark.parametrize("division", DIVISIONS)
def test_owned_is_what_the_gids_say_without_them(division):
    rng = np.random.default_rng(1)
    n = division.n_neurons
    ranges = [(0, n), *np.sort(rng.integers(0, n + 1, (20, 2)))]
    views = [Ids(0, range(2, n)), Ids(1, range(3, n - 1, 4)), Ids(0, range(n - 1, 5, -3))]
    views += [Ids(0, np.unique(rng.integers(0, n, 20)))]
    for rank in range(division.n_ranks):
        true, owned = LocalNeurons(division.gids(rank)), division.owned(rank)
        assert owned.size == true.size
        assert all(owned.lid_range(r) == true.lid_range(r) for r in ranges)
        lids = np.unique([0, true.size, *rng.integers(0, true.size + 1, 5)])
        for ids in views:
            own = np.flatnonzero(np.isin(true.gids, ids.at(np.arange(ids.size))))
            assert list(true.lids(ids)) == own.tolist()
            assert division.n_inside(ids)[rank] == own.size
            for some in (true, owned):
                assert some.n_below(ids, lids).tolist() == np.searchsorted(own, lids).tolist()


@pytest.mark.parametrize("division", DIVISIONS)
def test_counts_are_those_of_the_gids(division):
    bounds = np.array([0, 3, 3, 40, 41, 95, division.n_neurons])
    found = division.counts(bounds)
    for rank in range(division.n_ranks):
        assert found[rank].tolist() == np.histogram(division.gids(rank), bounds)[0].tolist()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("division", DIVISIONS)
def test_partners_on_the_same_rank(division, threads):
    spans = ((0, 0, 50), (3, 40, 31), (60, 7, 40), (5, 6, 1))
    pairs = [(range(a, a + n), range(b, b + n)) for a, b, n in spans]
    pairs += [(range(1, 96, 5), range(60, 22, -2)), (range(3, 8), np.array([0, 1, 9, 40, 94]))]
    for pair in pairs:
        one, other = (Ids(0, indices) for indices in pair)
        owners = [division.owner(np.array(indices)) // threads for indices in pair]
        assert division.n_together(one, other, threads) == (owners[0] == owners[1]).sum()
