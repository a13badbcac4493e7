"""Weights as whole numbers: nothing overflows, nothing is rounded more than it says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simcore as sc
from simcore.discretization.fixed_point import MAX_SUM, WeightForm, fixed_point
from simcore.discretization.limits import largest_multiplicity, most_events
from simcore.discretization.tables import poisson_table, weight_table
from simcore.services.errors import CapacityError
from tests.networks import advance, build, every_feature, synapses

RULES = st.one_of(
    st.builds(sc.FixedIndegree, st.integers(0, 50)),
    st.builds(sc.FixedOutdegree, st.integers(0, 50)),
    st.builds(sc.FixedTotalNumber, st.integers(0, 500)),
    st.builds(sc.PairwiseBernoulli, st.floats(0.0, 1.0)),
    st.just(sc.AllToAll()),
)


def weights_about(size):
    """Return weights of one order of magnitude, so that no population drowns another."""
    return st.one_of(
        st.just(size),
        st.just(-0.7 * size),
        st.builds(sc.Normal, st.just(size), st.just(0.1 * size)),
        st.builds(sc.Lognormal, st.just(math.log(size)), st.just(0.5)),
        st.builds(sc.Uniform, st.just(-size), st.just(0.5 * size)),
    )


SOURCES = st.sampled_from(
    [
        sc.LIF(),
        sc.PoissonSource(rate=8000.0),
        sc.SpikeTrains([1.0, 1.0, 1.0, 2.0], [0, 0, 0, 1]),
    ]
)


@st.composite
def networks(draw):
    net = sc.Network(seed=draw(st.integers(0, 2**64 - 1)))
    size = draw(st.floats(1e-3, 1e6))
    target = net.population("target", 6, sc.LIF(tau_syn=draw(st.sampled_from([None, 1.0]))))
    for i in range(draw(st.integers(1, 4))):
        source = net.population(f"source {i}", 9, draw(SOURCES))
        net.connect(source, target, draw(RULES), weight=draw(weights_about(size)), delay=1.0)
    if draw(st.booleans()):
        net.drive(target, sc.Poisson(draw(st.floats(0.0, 1e5)), size))
    return net


def largest_sums(net, shard):
    """Return for each local neuron the sum of all its weights, were all active at once."""
    rows = synapses(shard)
    firsts = [p.first for p in net.populations]
    copies = np.array([largest_multiplicity(p, 0.1) for p in net.populations])
    source = np.searchsorted(firsts, rows["source"], side="right") - 1
    sums = np.zeros(net.n_neurons)
    np.add.at(sums, rows["target"], np.abs(rows["weight"]) * copies[source])
    for drive in net.drives:
        if isinstance(drive.stimulus, sc.Poisson):
            most = most_events(drive.stimulus.rate, 0.1)
            weight = shard.fixed_point.stimulus_weights[drive.id]
            sums[drive.target.gids()] += most * abs(weight)
    return sums


@settings(max_examples=60, deadline=None)
@given(networks())
def test_no_sum_overflows(net):
    assert largest_sums(net, build(net)).max() <= MAX_SUM


def test_no_sum_overflows_with_every_feature():
    net = every_feature()

    sums = largest_sums(net, build(net))

    # Far less would be a waste of bits
    assert 2**25 < sums.max() <= MAX_SUM


@settings(max_examples=60, deadline=None)
@given(networks())
def test_weights_are_rounded_no_more_than_told(net):
    points = fixed_point(net, 0.1)
    for projection, weights in zip(net.projections, points.weights, strict=True):
        constant = projection.weight.constant
        exact = projection.weight.quantile([0.5]) if constant else weight_table(projection.weight)
        error = np.abs(weights.values * weights.quantum - exact).max()
        largest = np.abs(exact).max()
        assert error <= weights.rounding * largest * (1 + 1e-12) + 1e-300
        assert weights.quantum == 2.0 ** round(math.log2(weights.quantum))
        if weights.form is WeightForm.DRAWN:
            assert (weights.values % 2**points.shift == 0).all()
            assert np.abs(weights.values >> points.shift).max() < 2**15
            assert weights.quantum * 2**points.shift <= max(weights.quantum, exact.std() / 64)
    assert points.rounding() == max(w.rounding for w in points.weights)


def test_rounding_of_the_microcircuit_is_small():
    from simcore.models import microcircuit

    points = fixed_point(microcircuit.build(), 0.1)

    assert {w.form for w in points.weights} == {WeightForm.DRAWN}
    # Beside a standard deviation of 0.1
    assert points.rounding() < 5e-4


@pytest.mark.parametrize("tau_syn", [None, 3.0, (1.0, 3.0)])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_all_synapses_active_at_once(tau_syn, backend):
    net = sc.Network()
    times, ids = np.full(600, 1.0), np.arange(600) % 200
    burst = net.population("burst", 200, sc.SpikeTrains(times, ids))
    neuron = sc.LIF(tau_syn=tau_syn, V_th=1e9, C_m=1.0, tau_m=1e9)
    target = net.population("target", 2, neuron)
    net.connect(burst, target[:1], sc.FixedIndegree(5000), weight=0.125, delay=0.5)
    net.connect(burst, target[1:], sc.FixedIndegree(5000), weight=-0.125, delay=0.5)
    shard = build(net)

    before, after = (advance(net, steps, backend, shard=shard).V_m[200:] for steps in (14, 600))

    assert largest_sums(net, shard)[200:].min() > MAX_SUM / 8
    assert before.tolist() == [0.0, 0.0]
    if tau_syn is None:
        reached = [1875.0, -1875.0]
    else:
        # The charge of a synaptic current, over C_m; what is left at the end has decayed
        charge = 1875.0 * np.array([np.min(tau_syn), -np.max(tau_syn)])
        left = np.exp(-(60.0 - 1.5) / np.array([np.min(tau_syn), np.max(tau_syn)]))
        reached = charge * (1 - left)
    np.testing.assert_allclose(after, reached, rtol=1e-7)


def test_forms():
    net = sc.Network()
    a, b = net.population("a", 10, sc.LIF()), net.population("b", 10, sc.LIF(tau_syn=1.0))
    net.connect(a, a, sc.FixedIndegree(3), weight=0.1, delay=1.0)
    net.connect(a, b, sc.FixedIndegree(3), weight=sc.Normal(1e5, 1e4), delay=1.0)
    net.connect(a, b, sc.FixedIndegree(3), weight=sc.Normal(1.0, 0.01), delay=1.0)
    net.connect(a, a, sc.Edges([1], [2], weights=[0.3]), delay=1.0)
    net.connect(a, b, sc.FixedIndegree(3), weight=sc.Uniform(-1000.0, 1000.0), delay=1.0)
    points = fixed_point(net, 0.1)

    # In 16 bits that also reach 1e5 the third would lose its spread, the last too much of itself
    forms = [w.form for w in points.weights]
    assert forms == [
        WeightForm.CONSTANT,
        WeightForm.DRAWN,
        WeightForm.EXACT,
        WeightForm.EXACT,
        WeightForm.EXACT,
    ]
    assert points.rounding() < 1e-3
    narrow = points.weights[2].values * points.quantum_of(b)
    assert narrow.std() == pytest.approx(0.01, rel=1e-2)


def test_many_constant_weights_are_kept_one_by_one():
    net = sc.Network()
    a = net.population("a", 10, sc.LIF())
    for i in range(257):
        net.connect(a, a, sc.OneToOne(), weight=0.1 + 0.001 * i, delay=1.0)
    shard = build(net)

    assert [t.form for t in shard.tables] == [WeightForm.EXACT]
    weights = np.unique(synapses(shard)["weight"]) * shard.fixed_point.quantum_of(a)
    np.testing.assert_allclose(weights, 0.1 + 0.001 * np.arange(257), atol=1e-6)


def test_quanta_are_chosen_for_each_population():
    net = sc.Network()
    a, b = net.population("a", 10, sc.LIF()), net.population("b", 10, sc.LIF(tau_syn=1.0))
    net.connect(a, a, sc.FixedIndegree(1000), weight=0.1, delay=1.0)
    net.connect(a, b, sc.FixedIndegree(1000), weight=100.0, delay=1.0)
    points = fixed_point(net, 0.1)

    # Half of the largest sum is left for rounding
    assert points.quantum_of(a) == 2.0**-23
    assert points.quantum_of(b) == 2.0**-13
    assert [w.quantum for w in points.weights] == [2.0**-23, 2.0**-13]
    assert points.indegree_bounds == (1000, 1000)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (sc.LIF(), 1),
        (sc.PoissonSource(0.0), 1),
        (sc.PoissonSource(20_000.0), poisson_table(2.0).last),
        (sc.PoissonSource(sc.Piecewise([0, 1], [20_000.0, 5.0])), poisson_table(2.0).last),
        (sc.GammaSource(10_000.0, 2), 1 + poisson_table(2.0).last // 2),
        (sc.SpikeTrains([]), 1),
        (sc.SpikeTrains([0.3, 0.1 + 0.2, 0.3, 0.4], [1, 1, 0, 1]), 2),
    ],
)
def test_spikes_of_one_neuron_in_one_step(model, expected):
    net = sc.Network()

    assert largest_multiplicity(net.population("a", 2, model), 0.1) == expected


@pytest.mark.parametrize("weight", [1e22, -1e22, 1e308, sc.Uniform(0.0, 1e30)])
def test_weights_that_are_too_large(weight):
    net = sc.Network()
    a = net.population("a", 10, sc.LIF())
    net.connect(a, a, sc.FixedIndegree(1000), weight=weight, delay=1.0)

    with pytest.raises(CapacityError, match=r"population 'a': the sum of all its weights.*unit"):
        fixed_point(net, 0.1)


def test_stimuli_that_are_too_large():
    net = sc.Network()
    net.drive(net.population("a", 10, sc.LIF()), sc.Poisson(1000.0, 1e22))

    with pytest.raises(CapacityError, match="population 'a': the sum of all its weights"):
        fixed_point(net, 0.1)


@pytest.mark.parametrize("small", [1e-6, -1e-6, sc.Uniform(0.0, 1e-6)])
def test_weights_that_are_lost_beside_others(small):
    net = sc.Network()
    a = net.population("a", 10, sc.LIF())
    net.connect(a, a, sc.FixedIndegree(10), weight=1e4, delay=1.0)
    net.connect(a, a, sc.FixedIndegree(10), weight=small, delay=1.0)

    with pytest.raises(CapacityError, match=r"projection 'a' to 'a': weight .* lost by rounding"):
        fixed_point(net, 0.1)


def test_stimuli_that_are_lost_beside_others():
    net = sc.Network()
    a = net.population("a", 10, sc.LIF())
    net.connect(a, a, sc.FixedIndegree(10), weight=1e4, delay=1.0)
    net.drive(a, sc.Poisson(1000.0, 1e-6))

    with pytest.raises(CapacityError, match=r"drive of 'a': weight .* lost by rounding"):
        fixed_point(net, 0.1)
