"""The constants of a step against the differential equations, and the tables of the plan."""

import math
from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import expm

import simcore as sc
import simcore.shards.shard
from simcore.kernels import BACKENDS
from simcore.kernels.neuron_tables import make_neuron_tables
from simcore.kernels.segments import SOURCE
from simcore.kernels.step_numbers import numbers_of
from simcore.language.linear import propagators
from simcore.language.program import dependent
from simcore.models import microcircuit
from simcore.services.errors import CapacityError, ModelError
from tests.networks import advance, build, every_feature

FLOAT64 = np.dtype(np.float64)

pytestmark = pytest.mark.usefixtures("emulated_gpu")


def propagator(tau_m, tau_syn, C_m, dt):
    """Return the matrix that advances potential, current and a constant current by a step."""
    rates = [[-1 / tau_m, 1 / C_m, 1 / C_m], [0.0, -1 / tau_syn, 0.0], [0.0, 0.0, 0.0]]
    return expm(np.array(rates) * dt)


def exact_propagator(tau_m, tau_syn, C_m, dt):
    """Return the upper rows of the same matrix, each number rounded once."""
    tau_m, tau_syn, C_m = (Fraction(float(x)) for x in (tau_m, tau_syn, C_m))
    none = Fraction(0)
    rows = ((-1 / tau_m, 1 / C_m, 1 / C_m), (none, -1 / tau_syn, none))
    return propagators(rows, Fraction(dt))


@pytest.mark.parametrize("dt", [0.01, 0.1, 1.0])
@pytest.mark.parametrize(
    ("tau_m", "tau_syn"),
    [(10.0, 0.5), (10.0, 10.0), (10.0, 10.0 + 1e-9), (10.0, 9.999), (5.0, 80.0), (20.0, 0.01)],
)
def test_response_to_a_current(tau_m, tau_syn, dt):
    exact = propagator(tau_m, tau_syn, 250.0, dt)[0, 1]

    assert exact_propagator(tau_m, tau_syn, 250.0, dt)[0][1] == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("dt", [1e-4, 0.1, 100.0])
@pytest.mark.parametrize("tau_m", [1e-300, 0.1, 7.0, 1000.0])
def test_constants_of_any_ratio_of_times_are_right(tau_m, dt):
    """The solution is a difference of exponentials; so many digits are left when it cancels."""
    for tau_syn in (1e-300, 1e-4, 0.1, np.nextafter(7.0, 8.0), 1000.0, 1e12):
        if tau_syn == tau_m:
            continue
        with localcontext(prec=120, Emin=MIN_EMIN, Emax=MAX_EMAX):
            step, one, other = Decimal(dt), Decimal(tau_m), Decimal(float(tau_syn))
            difference = (-step / one).exp() - (-step / other).exp()
            exact = float(difference / (1 / other - 1 / one) / 250)
            decays = float((-step / one).exp()), float((-step / other).exp())
            constant = float(one / 250 * (1 - (-step / one).exp()))
        potential, current = exact_propagator(tau_m, tau_syn, 250.0, dt)
        assert potential == (decays[0], exact, constant)
        assert current == (0.0, decays[1], 0.0)


def test_constants_of_equal_times():
    with localcontext(prec=60):
        exact = float((-Decimal("0.125") / 7).exp() * Decimal("0.125") / 250)
    assert exact_propagator(7.0, 7.0, 250.0, 0.125)[0][1] == exact


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"C_m": 1e-320, "tau_syn": 1.0},
            ModelError,
            r"'a': a number of its step.* is inf, must",
        ),
        (
            {"V_th": 1e308, "E_L": -1e308},
            ModelError,
            r"'a': a number of its step made of E_L = -1e\+308, V_th = 1e\+308 is inf, must",
        ),
        (
            {"I_e": 1e308, "C_m": 1e-3},
            ModelError,
            r"step made of .*I_e = 1e\+308.* is inf, must be "
            r"finite\. Check the units",
        ),
        ({"t_ref": 1e308}, CapacityError, r"'a': t_ref is 1e\+308, must be below 3276\.8 ms"),
    ],
)
def test_constants_that_no_step_can_use(given, error, message):
    net = sc.Network()
    net.population("a", 1, sc.LIF(**given))
    with pytest.raises(error, match=message):
        make_neuron_tables(build(net), FLOAT64)


def test_constants_of_a_step():
    net = sc.Network()
    common = {"tau_m": 12.0, "C_m": 200.0, "E_L": -60.0, "V_th": -45.0, "V_reset": -62.0}
    net.population("one", 2, sc.LIF(**common, tau_syn=2.0, I_e=30.0, t_ref=1.21))
    net.population("two", 2, sc.LIF(**common, tau_syn=(2.0, 7.0)))
    net.population("jumps", 2, sc.LIF(**common, I_e=-5.0, t_ref=0.04))
    net.population("source", 2, sc.PoissonSource(1.0))
    shard = build(net)
    neuron_tables = make_neuron_tables(shard, FLOAT64)
    ex, in_ = (propagator(12.0, tau, 200.0, 0.1) for tau in (2.0, 7.0))
    quanta = [shard.fixed_point.quantum_of(p) for p in net.populations[:3]]

    # In the order in which the steps use them
    expected = [
        [ex[0, 0], ex[0, 1], 30.0 * ex[0, 2], 15.0, -2.0, ex[1, 1], quanta[0]],
        [ex[0, 0], ex[0, 1], in_[0, 1], 0.0, 15.0, -2.0, ex[1, 1], quanta[1], in_[1, 1], quanta[1]],
        [ex[0, 0], -5.0 * ex[0, 2], quanta[2], 15.0, -2.0],
    ]
    for population, numbers in zip(net.populations[:3], expected, strict=True):
        found = numbers_of(population, shard.fixed_point, 0.1)
        assert found == pytest.approx(numbers, rel=1e-12, abs=0.0)
    names = ["iaf_psc_exp_multisynapse", "iaf_psc_exp", "iaf_psc_delta"]
    assert [p.name for p in neuron_tables.programs] == names
    assert neuron_tables.segments["kind"].tolist() == [0, 1, 2, SOURCE]
    assert neuron_tables.segments["duration"].tolist() == [13, 20, 1, 0]
    assert neuron_tables.segments["first_number"].tolist() == [0, 7, 17, 22]
    assert neuron_tables.numbers == pytest.approx(np.concatenate(expected), rel=1e-12, abs=0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_postsynaptic_potential_of_the_microcircuit(backend):
    net = sc.Network()
    spike = net.population("spike", 1, sc.SpikeTrains([1.0]))
    cell = net.population("cell", 1, sc.LIF(tau_m=10.0, C_m=250.0, tau_syn=0.5))
    weight = microcircuit.psc(0.15)
    net.connect(spike, cell, sc.OneToOne(), weight=weight, delay=1.5)
    net.record(cell, "V_m", interval=0.1, dtype="float64")

    (V,) = advance(net, 500, backend).samples
    # The spike of 1 ms arrives at 2.5 ms, at the end of the step
    t = np.maximum(0.1 * np.arange(1, 501) - 2.5, 0.0)
    exact = weight / 250.0 / (1 / 0.5 - 1 / 10.0) * (np.exp(-t / 10.0) - np.exp(-t / 0.5))

    assert weight == pytest.approx(87.8085, rel=1e-5)
    np.testing.assert_allclose(V[:, 0], exact, atol=1e-9)
    assert V.max() == pytest.approx(0.15, rel=2e-3)


@pytest.mark.parametrize("largest", [2**16, 20])
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_segments_cover_every_neuron_once(rank, largest, monkeypatch):
    monkeypatch.setattr(simcore.shards.shard, "MAX_BLOCK", largest)
    shard = build(every_feature(), rank, 3)
    segments = make_neuron_tables(shard, FLOAT64).segments

    np.testing.assert_array_equal(segments["begin"], [0, *segments["end"][:-1]])
    assert segments["end"][-1] == shard.neurons.size
    assert (segments["end"] > segments["begin"]).all()
    assert (shard.blocks[segments["block"]] <= segments["begin"]).all()
    assert (segments["end"] <= shard.blocks[segments["block"] + 1]).all()


def test_currents_add_up_in_their_windows():
    net = sc.Network()
    E = net.population("E", 10, sc.LIF(I_e=7.0, tau_m=10.0, C_m=250.0))
    windows = [
        (E, 100.0, 0.0, 2.0), (E[3:], 20.0, 1.0, np.inf), (E[3:6], -300.0, 1.04, 3.0),
        (E[9], 5.0, 0.5, 0.6), (E[:4], 1.0, 2.0, 2.96),
    ]  # fmt: skip
    for view, *window in windows:
        net.drive(view, sc.Current(*window))
    neuron_tables = make_neuron_tables(build(net), FLOAT64)
    per_pA = propagator(10.0, 1.0, 250.0, 0.1)[0, 2]

    # The one number of a segment that depends on the current
    (place,) = dependent(neuron_tables.programs[0], "I_e")
    places = neuron_tables.segments["first_number"] + place
    for step in range(40):
        now = neuron_tables.changes[0] == step
        neuron_tables.numbers[neuron_tables.changes[1][now]] = neuron_tables.changes[2][now]
        sizes = neuron_tables.segments["end"] - neuron_tables.segments["begin"]
        constant = np.repeat(neuron_tables.numbers[places], sizes)
        expected = np.full(10, 7.0)
        for view, amplitude, start, stop in windows:
            lids = (view.view() if hasattr(view, "view") else view).gids()
            first, last = math.floor(10 * start), math.floor(10 * min(stop, 99))
            expected[lids] += amplitude if first <= step < last else 0.0
        np.testing.assert_allclose(constant, per_pA * expected, rtol=1e-12, err_msg=str(step))


def test_poisson_groups():
    net = sc.Network()
    E = net.population("E", 10, sc.LIF(tau_syn=(1.0, 2.0)))
    S = net.population("S", 6, sc.PoissonSource(500.0, start=2.0))
    net.drive(E[2:], sc.Poisson(1000.0, 3.0, start=1.0, stop=4.0))
    net.drive(E, sc.Poisson(0.0, 3.0))
    net.drive(E[:5], sc.Poisson(2000.0, -3.0))
    neuron_tables = make_neuron_tables(build(net), FLOAT64)
    unit = build(net).fixed_point.quantum_of(E)

    columns = ["begin", "end", "emits", "receptor", "start", "stop", "smallest"]
    assert neuron_tables.groups[columns].tolist() == [
        (2, 10, 0, 0, 10, 40, 0),
        (0, 5, 0, 1, 0, 2**62, 0),
        (10, 16, 1, 0, 20, 2**62, 0),
    ]
    assert (neuron_tables.groups["weight"] * unit).tolist() == [3.0, -3.0, 0.0]
    assert len(set(neuron_tables.groups["stream"].tolist())) == 3
    assert S.is_source


def test_trains_are_split_among_ranks():
    net = sc.Network()
    net.population("E", 3, sc.LIF())
    net.population("S", 4, sc.SpikeTrains([0.3, 0.1, 0.3, 0.3, 2.0], [2, 3, 0, 2, 1]))

    whole = make_neuron_tables(build(net), FLOAT64).trains
    parts = [build(net, rank, 2, "round_robin") for rank in range(2)]
    steps, lids = zip(*(make_neuron_tables(p, FLOAT64).trains for p in parts), strict=True)
    gids = np.concatenate([p.neurons.gids[lid] for p, lid in zip(parts, lids, strict=True)])

    assert [w.tolist() for w in whole] == [[0, 2, 2, 2, 19], [6, 3, 5, 5, 4]]
    spikes = sorted(zip(np.concatenate(steps).tolist(), gids.tolist(), strict=True))
    assert spikes == sorted(zip(*(w.tolist() for w in whole), strict=True))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (
            [1.0, 1.05],
            r"population 'S': times contains 1\.05 ms, must be multiples of dt = 0\.1 ms",
        ),
        ([0.1, 2.0, 1e-9], r"population 'S': times contains 1e-09 ms, must be >= dt"),
    ],
)
def test_trains_off_the_grid(times, message):
    net = sc.Network()
    net.population("S", 1, sc.SpikeTrains(times))

    with pytest.raises(ModelError, match=message):
        make_neuron_tables(build(net), FLOAT64)


@pytest.mark.parametrize(
    ("V_m", "law"),
    [
        (sc.Normal(-58.0, 5.0), stats.norm(-58.0, 5.0)),
        (sc.Uniform(-70.0, -51.0), stats.uniform(-70.0, 19.0)),
    ],
)
def test_initial_potentials(V_m, law):
    net = sc.Network(seed=6)
    for name in ("a", "b"):
        net.population(name, 3000, sc.LIF(E_L=-65.0, V_th=-50.0, V_reset=-65.0), V_m=V_m)
    neuron_tables = make_neuron_tables(build(net), FLOAT64)
    V = np.concatenate([columns["V_m"] for columns in neuron_tables.start.columns]) - 65.0
    parts = [build(net, rank, 3, "round_robin") for rank in range(3)]
    plans = [make_neuron_tables(p, FLOAT64) for p in parts]

    assert stats.kstest(V, law.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(V[:3000], V[3000:])[0, 1]) < 0.07
    for part, own in zip(parts, plans, strict=True):
        found = np.concatenate([columns["V_m"] for columns in own.start.columns])
        np.testing.assert_array_equal(found - 65.0, V[part.neurons.gids])


def test_neurons_start_at_rest_unless_told():
    net = sc.Network()
    net.population("a", 2, sc.LIF(E_L=-65.0, V_th=-50.0, V_reset=-65.0))
    net.population("b", 2, sc.LIF(E_L=-65.0, V_th=-50.0, V_reset=-65.0), V_m=-55.0)

    neuron_tables = make_neuron_tables(build(net), FLOAT64)

    assert [c["V_m"].tolist() for c in neuron_tables.start.columns] == [[0.0, 0.0], [10.0, 10.0]]


# An integrator: the potential counts the events
COUNTER = sc.LIF(tau_m=1e12, V_th=1e6, C_m=1.0)


@pytest.mark.parametrize("rate", [100.0, 9000.0, 600_000.0])
@pytest.mark.parametrize("backend", BACKENDS)
def test_poisson_input_has_its_law(backend, rate):
    net = sc.Network(seed=21)
    E = net.population("E", 300, COUNTER)
    net.drive(E, sc.Poisson(rate, 1.0))
    net.record(E, "V_m", interval=0.1, dtype="float64")

    (V,) = advance(net, 200, backend).samples
    counts = np.rint(np.diff(V, axis=0, prepend=0.0)).astype(int)

    mean, n = rate * 1e-4, counts.size
    assert abs(counts.mean() - mean) < 4 * np.sqrt(mean / n)
    assert counts.var() == pytest.approx(mean, rel=4 * np.sqrt((2 + 1 / mean) / n))
    totals = counts.sum(axis=0), counts.sum(axis=1)
    for total in totals:
        # Neurons, and steps, are independent
        assert stats.chi2(total.size - 1).sf(total.var() * total.size / total.mean()) > 1e-3
        assert stats.chi2(total.size - 1).cdf(total.var() * total.size / total.mean()) > 1e-3
    assert abs(np.corrcoef(counts[:-1].ravel(), counts[1:].ravel())[0, 1]) < 4 / np.sqrt(n)


@pytest.mark.parametrize("backend", BACKENDS)
def test_windows_of_poisson_input_and_sources(backend):
    net = sc.Network(seed=3)
    E = net.population("E", 50, COUNTER)
    S = net.population("S", 50, sc.PoissonSource(20_000.0, start=1.1, stop=2.3))
    net.drive(E, sc.Poisson(50_000.0, 1.0, start=0.5, stop=1.7))
    net.record(E, "V_m", interval=0.1, dtype="float64")

    result = advance(net, 40, backend)
    active = np.flatnonzero(np.rint(np.diff(result.samples[0].sum(axis=1), prepend=0.0)))

    # Step t ends at 0.1 * (t + 1) ms
    assert active.tolist() == list(range(5, 17))
    assert np.unique(result.steps).tolist() == list(range(11, 23))
    assert abs(result.gids.size - 50 * 12 * 2.0) < 4 * np.sqrt(1200)
    assert set(result.gids) <= set(S.view().gids())
    pairs = np.unique(np.stack([result.steps, result.gids]), axis=1, return_counts=True)[1]
    assert pairs.max() >= 4
