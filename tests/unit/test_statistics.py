"""Statistics of spikes: by their definitions, in any blocks, on any scheduler."""

from itertools import pairwise

import dask
import numpy as np
import pytest

import simcore as sc
from simcore import analysis
from simcore.analysis import reduction
from simcore.io import RunWriter, open_run
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, ModelError

CLOCK = Clock(0.1)
DURATION = 5000.0
N_STEPS = 50_000
SIZE = 30


def written(path, steps, gids, duration=DURATION, size=SIZE, view=slice(None)):
    """Return a run with given spikes of a population."""
    net = sc.Network()
    group = net.population("E", size, sc.LIF())
    net.record(group[view], "spikes")
    with RunWriter(path, net, CLOCK, {"duration": duration}) as writer:
        writer.append(round(duration * 10), steps, gids)
        writer.finish(np.array([steps.size]), {}, {})
    return open_run(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Poisson spikes of 0 to 29 per second, with the refractory time of one step."""
    rates = np.arange(SIZE)
    chosen = np.random.default_rng(3).random((N_STEPS, SIZE)) < rates * 1e-4
    steps, gids = np.nonzero(chosen)
    return written(tmp_path_factory.mktemp("run") / "run.h5", steps, gids)


@pytest.fixture(params=[10**9, 999, 7], ids=lambda n: f"blocks of {n}")
def blocks(request, monkeypatch):
    monkeypatch.setattr(reduction, "_BLOCK_SPIKES", request.param)
    monkeypatch.setattr(reduction, "_SPIKES_PER_NEURON", 0)


def trains(run, start=0.0, stop=DURATION):
    times, ids = run.spikes("E", start, stop)
    return [times[ids == n] for n in range(SIZE)]


@pytest.mark.parametrize("window", [(None, None), (1000.0, 3000.05), (4990.0, None)])
def test_rates(run, blocks, window):
    found = analysis.rates_per_neuron(run.select("E", *window))
    start, stop = window[0] or 0.0, window[1] or DURATION
    expected = [t.size / (stop - start) * 1e3 for t in trains(run, start, stop)]
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("start", "stop", "width"), [(0.0, DURATION, 5.0), (100.0, 777.7, 0.3)])
def test_population_rate(run, blocks, start, stop, width):
    edges, rates = analysis.population_rate(run.select("E", start, stop), width)
    assert edges.size == rates.size + 1 == int((stop - start) / width + 1e-9) + 1
    assert edges[0] == pytest.approx(start)
    times = run.spikes("E").times
    half = 0.05
    counts = [np.sum((times > a + half) & (times < b + half)) for a, b in pairwise(edges)]
    assert rates * SIZE * width * 1e-3 == pytest.approx(counts, abs=1e-9)


def test_intervals(run, blocks):
    found = analysis.isi_statistics(run.select("E"))
    for n, times in enumerate(trains(run)):
        intervals = np.diff(times)
        assert found.n[n] == intervals.size
        if intervals.size == 0:
            assert np.isnan([found.mean[n], found.cv[n], found.lv[n]]).all()
            continue
        assert found.mean[n] == pytest.approx(intervals.mean(), rel=1e-9)
        assert found.cv[n] == pytest.approx(intervals.std() / intervals.mean(), rel=1e-9)
        a, b = intervals[:-1], intervals[1:]
        assert found.lv[n] == pytest.approx(np.mean(3 * ((a - b) / (a + b)) ** 2), rel=1e-9)


@pytest.mark.parametrize(("width", "start"), [(50.0, None), (0.1, 4000.0), (333.3, 12.3)])
def test_fano_factors(run, blocks, width, start):
    found = analysis.fano_factors(run.select("E", start), width)
    edges = np.arange(start or 0.0, DURATION + 1e-6, width) + 0.05
    for n, times in enumerate(trains(run, start or 0.0)):
        counts = np.histogram(times, edges)[0]
        expected = counts.var() / counts.mean() if counts.any() else np.nan
        assert found[n] == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_poisson_process(tmp_path):
    """CV, LV and Fano factor of a Poisson process are 1, up to its grain."""
    chosen = np.random.default_rng(4).random((N_STEPS, 200)) < 2e-3
    steps, gids = np.nonzero(chosen)
    run = written(tmp_path / "run.h5", steps, gids, size=200)
    found = analysis.isi_statistics(run.select("E"))
    # A sample of 100 intervals varies 2 % less than the process
    assert np.mean(found.cv) == pytest.approx(0.98, abs=0.01)
    assert np.mean(found.lv) == pytest.approx(1.0, abs=0.02)
    assert np.mean(analysis.fano_factors(run.select("E"), 100.0)) == pytest.approx(1.0, abs=0.04)
    assert np.mean(analysis.rates_per_neuron(run.select("E"))) == pytest.approx(20.0, rel=0.01)


def test_regular_trains(tmp_path, blocks):
    steps = np.repeat(np.arange(99, N_STEPS, 100), 3)
    gids = np.tile(np.arange(3), steps.size // 3)
    run = written(tmp_path / "run.h5", steps, gids, size=3)
    found = analysis.isi_statistics(run.select("E"))
    assert found.mean == pytest.approx(10.0)
    assert found.cv == pytest.approx(0.0, abs=1e-9)
    assert found.lv == pytest.approx(0.0, abs=1e-9)
    assert analysis.fano_factors(run.select("E"), 20.0) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_schedulers_agree_to_the_last_bit(run, monkeypatch, scheduler):
    monkeypatch.setattr(reduction, "_BLOCK_SPIKES", 5000)
    with dask.config.set(scheduler="synchronous"):
        one = analysis.isi_statistics(run.select("E"))
    with dask.config.set(scheduler=scheduler):
        other = analysis.isi_statistics(run.select("E"))
    for name in ("n", "mean", "cv", "lv", "histogram"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_view_of_a_population(tmp_path):
    steps = np.arange(100)
    run = written(tmp_path / "run.h5", steps, np.full(100, 8), view=slice(2, 20, 3))
    rates = analysis.rates_per_neuron(run.select("E"))
    assert rates.tolist() == [0.0, 0.0, 20.0, 0.0, 0.0, 0.0]


def test_silent_population(tmp_path):
    none = np.zeros(0, dtype=np.int64)
    run = written(tmp_path / "run.h5", none, none)
    assert (analysis.rates_per_neuron(run.select("E")) == 0.0).all()
    assert (analysis.population_rate(run.select("E"), 10.0)[1] == 0.0).all()
    assert np.isnan(analysis.isi_statistics(run.select("E")).cv).all()
    assert np.isnan(analysis.fano_factors(run.select("E"), 10.0)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.select("E", 6000.0), "window is .*within what is recor"),
        (lambda r: r.select("E", 300.0, 200.0), "window is"),
        (
            lambda r: analysis.population_rate(r.select("E"), 0.25),
            "width is 0.25, must be a multiple",
        ),
        (
            lambda r: analysis.population_rate(r.select("E"), 0.0),
            "width is 0.0, must be a multiple",
        ),
        (
            lambda r: analysis.fano_factors(r.select("E"), 9000.0),
            "width is 9000.0, must be at most",
        ),
    ],
)
def test_bad_arguments(run, call, message):
    with pytest.raises(ConfigError, match=message):
        call(run)


def test_unknown_population(run):
    with pytest.raises(ModelError, match="no population 'X'"):
        run.select("X")


def test_statistics_of_a_run_ask_for_a_selection(tmp_path):
    """A whole run, a name or nothing is told what to do instead."""
    net = sc.Network(seed=1)
    net.record(net.population("first", 5, sc.PoissonSource(rate=20.0)))
    run = sc.simulate(net, 50.0, output=tmp_path / "run.h5", backend="reference")
    wanted = r"rates_per_neuron: selection is of type Run, must be .* run.select\('first'\)"
    with pytest.raises(ConfigError, match=wanted):
        analysis.rates_per_neuron(run)
    with pytest.raises(ConfigError, match="fano_factors: selection is of type str"):
        analysis.fano_factors(selection="first", width=5.0)
    with pytest.raises(ConfigError, match="cross_correlogram: other is of type Run"):
        analysis.cross_correlogram(run.select("first"), run)
    with pytest.raises(TypeError, match=r"isi_statistics\(\) missing"):
        analysis.isi_statistics()
