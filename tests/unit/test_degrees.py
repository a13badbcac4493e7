"""Numbers of synapses are known before they are drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simcore as sc
from simcore.description.degrees import indegree_bound, mean_indegree, n_synapses
from tests.networks import build, synapses


def projection(rule, views=(slice(None), slice(None)), size=40, seed=1):
    net = sc.Network(seed=seed)
    E = net.population("E", size, sc.LIF())
    net.connect(E[views[0]], E[views[1]], rule, weight=0.1, delay=1.0)
    return net.projections[0]


OVERLAP = (slice(0, 30), slice(20, 40))
EXACT = {
    "indegree": (sc.FixedIndegree(7), OVERLAP, 140),
    "outdegree": (sc.FixedOutdegree(7), OVERLAP, 210),
    "total": (sc.FixedTotalNumber(999), OVERLAP, 999),
    "none": (sc.FixedTotalNumber(0), OVERLAP, 0),
    "one": (sc.OneToOne(), (slice(0, 20), slice(20, 40)), 20),
    "all": (sc.AllToAll(), OVERLAP, 600),
    "all others": (sc.AllToAll(allow_autapses=False), OVERLAP, 590),
    "edges": (sc.Edges([0, 1, 1, 2], [3, 3, 3, 0]), OVERLAP, 4),
    "every pair": (sc.PairwiseBernoulli(1.0, allow_autapses=False), OVERLAP, 590),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_numbers(name):
    rule, views, number = EXACT[name]
    chosen = projection(rule, views)
    shard = build(chosen.target.population.network)

    assert n_synapses(chosen) == number
    assert mean_indegree(chosen) == number / chosen.target.size
    assert shard.n_synapses == number


def test_expected_number_of_pairs():
    allowed, others = sc.PairwiseBernoulli(0.25), sc.PairwiseBernoulli(0.25, allow_autapses=False)

    assert n_synapses(projection(allowed, OVERLAP)) == 150.0
    assert n_synapses(projection(others, OVERLAP)) == 0.25 * 590


RULES = st.one_of(
    st.builds(sc.FixedIndegree, st.integers(0, 60)),
    st.builds(sc.FixedOutdegree, st.integers(0, 60)),
    st.builds(sc.FixedTotalNumber, st.integers(0, 3000), st.booleans()),
    st.builds(sc.PairwiseBernoulli, st.floats(0.0, 1.0), st.booleans()),
    st.builds(sc.AllToAll, st.booleans()),
    st.builds(
        lambda pairs: sc.Edges(*np.array(pairs, dtype=int).reshape(-1, 2).T),
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30),
    ),
)


@settings(max_examples=60, deadline=None)
@given(RULES, st.integers(10, 30), st.integers(0, 2**64 - 1))
def test_no_target_exceeds_the_bound(rule, size, seed):
    chosen = projection(rule, size=size, seed=seed)
    rows = synapses(build(chosen.target.population.network))
    indegrees = np.bincount(rows["target"], minlength=size)

    assert indegrees.max() <= indegree_bound(chosen)
    assert indegree_bound(chosen) <= max(n_synapses(chosen), mean_indegree(chosen) * 15 + 180)


@pytest.mark.parametrize("mean", [0.1, 1.0, 100.0, 10_000.0])
def test_bounds_of_random_indegrees_are_far_out_but_not_wasteful(mean):
    rule = sc.FixedTotalNumber(round(mean * 1000))
    chosen = projection(rule, size=1000)

    # 12 standard deviations: the neurons of a brain would not reach it
    assert mean + 12 * np.sqrt(mean) < indegree_bound(chosen) < mean + 12 * np.sqrt(mean) + 34
