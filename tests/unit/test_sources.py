"""Processes whose rate changes, and gamma processes, against constant ones and theory."""

import numpy as np
import pytest

import simcore as sc
from simcore.discretization.limits import pieces
from simcore.kernels import make_backend
from simcore.numerics.clock import Clock, Epoch
from simcore.numerics.spikes import NO_SPIKES
from simcore.services.comm import SerialComm
from simcore.services.errors import ModelError
from tests.networks import advance, build

SIZE = 30


def sources(rate, **window):
    net = sc.Network(seed=8)
    net.population("S", SIZE, sc.PoissonSource(rate, **window))
    return net


def driven(rate, **window):
    net = sc.Network(seed=8)
    S = net.population("S", SIZE, sc.parrot_neuron())
    net.drive(S, sc.Poisson(rate, 1.0, **window, receptor="spikes"))
    return net


def pairs(result, begin, end):
    """Return step and neuron of the spikes in some steps, sorted."""
    inside = (begin <= result.steps) & (result.steps < end)
    return sorted(zip(result.steps[inside].tolist(), result.gids[inside].tolist(), strict=True))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("network", [sources, driven])
def test_a_rate_that_changes_is_that_of_constant_processes_one_after_the_other(network, backend):
    """Its events are theirs, one by one; it changes within four steps that share their words."""
    rate = sc.Piecewise([0.9, 5.0, 9.04], [3000.0, 700.0, 3000.0])
    own = advance(network(rate, stop=12.0), 150, backend, epochs=[7, 143])
    for value, begin, end in [(3000.0, 9, 50), (700.0, 50, 90), (3000.0, 90, 120)]:
        constant = advance(network(value), 150, backend)
        assert len(pairs(constant, begin, end)) > 50
        assert pairs(own, begin, end) == pairs(constant, begin, end)
    assert pairs(own, 0, 9) == pairs(own, 120, 150) == []


def test_all_values_of_a_rate_share_their_memory():
    for rate in (1.0, sc.Piecewise(np.arange(100.0), np.arange(100.0))):
        run = make_backend("cpu", build(driven(rate)))
        assert run._state.counts.shape == (4, SIZE)
        assert run.advance(Epoch(0, 5), NO_SPIKES).words.size < 10


def test_values_that_last_for_no_step_are_left_out():
    rate = sc.Piecewise([0.0, 1.02, 1.08, 3.0, 9.0], [1.0, 2.0, 3.0, 4.0, 5.0])
    process = sc.PoissonSource(rate, start=0.5, stop=4.0)
    assert pieces(process, Clock(0.1)) == [(1.0, 5, 10), (3.0, 10, 30), (4.0, 30, 40)]


def gamma_trains(source, size, steps):
    """Return step and number of the spikes of some sources, one source after the other."""
    net = sc.Network(seed=5)
    net.population("before", 3, sc.PoissonSource(1.0))
    net.population("S", size, source)
    result = advance(net, steps)
    own = result.gids >= 3
    order = np.lexsort((result.steps[own], result.gids[own]))
    return result.steps[own][order], result.gids[own][order] - 3


@pytest.mark.parametrize("shape", [1, 3, 20])
def test_intervals_of_a_gamma_source(shape):
    size, rate, n = 400, 200.0, 60
    steps, ids = gamma_trains(sc.GammaSource(rate, shape), size, 6000)
    first = np.searchsorted(ids, np.arange(size))
    assert np.bincount(ids).min() > n
    intervals = np.diff(steps[first[:, None] + np.arange(n + 1)], axis=1) * 0.1

    # Of the first intervals of each source long ones are not missing
    mean, spread = 1e3 / rate, 1e3 / rate / np.sqrt(shape)
    error = 1.0 / np.sqrt(intervals.size)
    assert intervals.mean() == pytest.approx(mean, abs=4.0 * spread * error)
    kurtosis = 3.0 + 6.0 / shape
    assert intervals.std() == pytest.approx(
        spread, abs=2.0 * spread * np.sqrt(kurtosis - 1.0) * error + 0.01
    )
    correlation = np.corrcoef(intervals[:, :-1].ravel(), intervals[:, 1:].ravel())[0, 1]
    assert abs(correlation) < 4.0 * error

    # It is in its steady state from the begin on
    early = size * rate * 2e-3
    assert (steps < 20).sum() == pytest.approx(early, abs=4.0 * np.sqrt(early))


def test_a_gamma_source_follows_its_rate():
    rate = sc.Piecewise([0.0, 50.0, 80.0], [40.0, 400.0, 40.0])
    steps, _ = gamma_trains(sc.GammaSource(rate, 5, start=10.0, stop=150.0), 500, 2000)
    for begin, end, value in [(0, 100, 0.0), (100, 500, 40.0), (500, 800, 400.0),
                              (800, 1500, 40.0), (1500, 2000, 0.0)]:  # fmt: skip
        expected = 500 * value * (end - begin) * 1e-4
        found = ((begin <= steps) & (steps < end)).sum()
        assert found == pytest.approx(expected, abs=4.0 * np.sqrt(expected / 2))


def test_errors():
    net = sc.Network()
    E, S = net.population("E", 3, sc.LIF()), net.population("S", 3, sc.GammaSource(5.0, 2))
    number = "must be a list of finite numbers"
    for make, message in [
        (lambda: sc.Piecewise([], []), "Piecewise: number of times is 0, must be at least 1"),
        (lambda: sc.Piecewise([0.0, 1.0], [1.0]), "number of values is 1, must be that of tim"),
        (lambda: sc.Piecewise([1.0, 1.0], [1.0, 2.0]), r"times is \[1\.0\], must be above the"),
        (lambda: sc.Piecewise([-1.0], [1.0]), r"times is \[-1\.0\], must be >= 0 \[ms\]"),
        (lambda: sc.Piecewise([0.0], [-1.0]), r"values is \[-1\.0\], must be >= 0 \[1/s\]"),
        (lambda: sc.Piecewise([0.0], [np.inf]), rf"values is \[inf\], {number}"),
        (lambda: sc.Piecewise("now", [1.0]), f"times is 'now', {number}"),
        (lambda: sc.Piecewise(range(5000), range(5000)), "is 5000, must be at most 4096. Take "),
        (lambda: sc.PoissonSource("fast"), "rate is 'fast', must be a finite number, a Piecew"),
        (lambda: sc.GammaSource(1.0, 1.5), r"shape is 1\.5, must be a whole number in \[1, 1000"),
        (lambda: sc.GammaSource(-1.0, 1), r"GammaSource: rate is -1\.0, must be >= 0"),
        (lambda: sc.GammaSource(1.0, 1, 5.0, 5.0), r"GammaSource: stop is 5\.0, must be above"),
        (lambda: net.connect(E, S, sc.AllToAll(), 1.0, 1.0), "target is 'GammaSource', must be "),
        (lambda: net.drive(S, sc.Poisson(1.0, 1.0)), "target 'S' is 'GammaSource', must be a pop"),
    ]:  # fmt: skip
        with pytest.raises(sc.SimcoreError, match=message):
            make()


@pytest.mark.parametrize("first", ["source", "copy"])
def test_gamma_sources_may_come_after_those_that_repeat_them(first):
    net = sc.Network(seed=1)
    models = {"source": sc.GammaSource(10.0, 2), "copy": sc.parrot_neuron()}
    names = [first, *(set(models) - {first})]
    found = {name: net.population(name, 10, models[name]) for name in names}
    net.connect(found["source"], found["copy"], sc.OneToOne(), weight=1.0, delay=1.0)
    sc.Simulation(net, comm=SerialComm(), backend="reference")


def test_numbers_of_numpy_are_numbers():
    one, two = np.float32(2.0), np.int64(10)
    net = sc.Network(seed=1)
    P = net.population("P", 3, sc.LIF(tau_m=one, tau_syn=(one, np.float64(3.0))))
    net.population("S", 3, sc.PoissonSource(two, stop=two))
    net.drive(P, sc.Poisson(two, np.float32(0.5), start=np.int64(1)))
    net.drive(P, sc.Current(two, stop=two))
    kinds = {type(v) for d in net.drives for v in vars(d.stimulus).values()}
    assert kinds <= {int, float, type(None), str}
    sc.Simulation(net, comm=SerialComm(), backend="reference")


def test_what_is_refused_leaves_nothing_behind():
    net = sc.Network(seed=1)
    A, B = net.population("A", 3, sc.LIF()), net.population("B", 4, sc.LIF())
    with pytest.raises(ModelError):
        net.drive([A, B], sc.Current([1.0, 2.0, 3.0]))
    with pytest.raises(ModelError):
        net.connect(A, [A, B], sc.OneToOne(), weight=1.0, delay=1.0)
    assert not net.drives
    assert not net.projections
    with pytest.raises(ModelError, match="V_th"):
        sc.LIF(V_th=np.ma.array([20.0, 21.0], mask=[0, 1]))
