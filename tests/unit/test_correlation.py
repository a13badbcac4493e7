"""Statistics of many neurons together: by their definitions, and of processes that are known."""

import dask
import numpy as np
import pytest
from scipy import signal

import simcore as sc
from simcore import analysis
from simcore.analysis import correlation, reduction
from simcore.analysis.summary import Widths
from simcore.io import RunWriter, open_run
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError

CLOCK = Clock(0.1)
DURATION = 4000.0
N_STEPS = 40_000
SIZES = {"E": 40, "I": 10}


def spikes(rng):
    """Return steps and gids of spikes: neurons 0 to 9 share events, I follows E after 2 ms."""
    chosen = rng.random((N_STEPS, 50)) < 1e-3
    chosen[:, :10] |= (rng.random(N_STEPS) < 1e-3)[:, None]
    chosen[20:, 40] = chosen[:-20, 0]
    chosen[:, 39] = False
    return np.nonzero(chosen)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    net = sc.Network()
    for name, size in SIZES.items():
        net.record(net.population(name, size, sc.LIF()), "spikes")
    net.record(net.populations[0][:5], "V_m", interval=0.5)
    path = tmp_path_factory.mktemp("run") / "run.h5"
    samples = np.random.default_rng(5).normal(-60.0, 3.0, (8000, 5))
    steps, gids = spikes(np.random.default_rng(6))
    with RunWriter(path, net, CLOCK, {"duration": DURATION}) as writer:
        writer.append(N_STEPS, steps, gids, [samples])
        writer.finish(np.bincount(gids >= 40), {}, {})
    return open_run(path)


@pytest.fixture(params=[10**9, 999, 61], ids=lambda n: f"blocks of {n}")
def blocks(request, monkeypatch):
    monkeypatch.setattr(reduction, "_BLOCK_SPIKES", request.param)
    monkeypatch.setattr(reduction, "_SPIKES_PER_NEURON", 0)


def counts(run, name, width, start=0.0, stop=DURATION):
    """Return the spikes of each neuron in bins, shape (n_neurons, n_bins)."""
    times, ids = run.spikes(name)
    edges = np.arange(start, stop + 1e-6, width) + 0.05
    return np.array([np.histogram(times[ids == n], edges)[0] for n in range(SIZES[name])])


@pytest.mark.parametrize("width", [2.0, 7.7])
def test_count_correlations(run, blocks, width):
    found = analysis.count_correlations(run.select("E", 100.0), width)
    with np.errstate(invalid="ignore"):
        expected = np.corrcoef(counts(run, "E", width, 100.0))
    assert found.neurons.tolist() == list(range(40))
    assert found.matrix == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)
    assert found.pairs.size == 39 * 38 // 2
    assert np.mean(found.matrix[:10, :10]) > 0.4
    assert abs(np.mean(found.matrix[10:39, :10])) < 0.02


def test_correlations_of_few_counts_are_the_same(run, monkeypatch):
    found = []
    for dense in (0, 10**9):
        monkeypatch.setattr(correlation, "_DENSE", dense)
        found.append(analysis.count_correlations(run.select("E")).matrix)
    assert np.array_equal(*found, equal_nan=True)


def test_correlations_of_some_neurons(run):
    all_ = analysis.count_correlations(run.select("E"))
    some = analysis.count_correlations(run.select("E"), max_neurons=8)
    chosen = run.select("E", neurons=range(0, 40, 5))
    assert some.neurons.tolist() == list(range(0, 40, 5))
    assert np.array_equal(some.matrix, all_.matrix[::5, ::5], equal_nan=True)
    assert np.array_equal(analysis.count_correlations(chosen).matrix, some.matrix, equal_nan=True)


@pytest.mark.parametrize(("width", "max_lag"), [(1.0, 10.0), (0.1, 3.0), (250.0, 0.0)])
def test_cross_correlogram(run, blocks, width, max_lag):
    found = analysis.cross_correlogram(run.select("E"), run.select("I"), width, max_lag)
    a, b = (counts(run, name, width).sum(axis=0) for name in ("E", "I"))
    n = round(max_lag / width)
    assert found.lags == pytest.approx(width * np.arange(-n, n + 1))
    for lag, value in zip(range(-n, n + 1), found.counts, strict=True):
        pairs = [(t, t + lag) for t in range(a.size) if 0 <= t + lag < a.size]
        assert value == sum(a[t] * b[u] for t, u in pairs)
    middle = np.corrcoef(a, b)[0, 1]
    assert found.coefficients[n] == pytest.approx(middle, rel=1e-9)


def test_lag_of_a_neuron_that_follows(run):
    one = run.select("E", neurons=[0])
    other = run.select("I", neurons=[0])
    found = analysis.cross_correlogram(one, other, 1.0, 5.0)
    assert found.lags[np.argmax(found.counts)] == 2.0
    assert found.coefficients.max() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("width", [3.0, 10.0])
def test_synchrony(run, blocks, width):
    summed = counts(run, "E", width).sum(axis=0)
    found = analysis.synchrony(run.select("E"), width)
    assert found == pytest.approx(summed.var() / summed.mean(), rel=1e-12)
    independent = analysis.synchrony(run.select("E", neurons=range(10, 39)), width)
    assert independent == pytest.approx(1.0, abs=0.15)
    assert found > 2.0


def test_spectrum_of_a_poisson_process_is_flat(run):
    found = analysis.power_spectrum(run.select("E", neurons=range(10, 39)), segment=100.0)
    assert found.frequencies[0] == pytest.approx(10.0)
    assert found.frequencies[-1] == pytest.approx(500.0)
    # Two-sided r/n, one-sided twice that
    assert np.mean(found.power[:-1]) == pytest.approx(2.0 * 10.0 / 29, rel=0.05)


@pytest.mark.parametrize("segment", [2.0, 3.0, 100.0, 333.0, 1024.0, 1e6])
def test_spectrum_is_that_of_scipy(run, segment):
    selection = run.select("E")
    rates = counts(run, "E", 1.0).sum(axis=0) / (1e-3 * selection.n_neurons)
    length = min(round(segment), rates.size)
    frequencies, power = signal.welch(rates, 1000.0, nperseg=length)
    found = analysis.power_spectrum(selection, 1.0, segment)
    assert found.frequencies == pytest.approx(frequencies[1:], rel=1e-12)
    assert found.power == pytest.approx(power[1:], rel=1e-9, abs=1e-12 * power.max())


def test_spectrum_of_a_regular_rate_has_one_peak(tmp_path):
    net = sc.Network()
    net.record(net.population("E", 4, sc.LIF()), "spikes")
    steps = np.repeat(np.arange(199, N_STEPS, 250), 4)
    with RunWriter(tmp_path / "run.h5", net, CLOCK, {"duration": DURATION}) as writer:
        writer.append(N_STEPS, steps, np.tile(np.arange(4), steps.size // 4))
        writer.finish(np.array([steps.size]), {}, {})
    found = analysis.power_spectrum(open_run(tmp_path / "run.h5").select("E"), segment=1000.0)
    peaks = found.frequencies[found.power > 0.3 * found.power.max()]
    assert set(np.round(peaks / 40.0)) == set(range(1, 13))
    assert np.abs(peaks - 40.0 * np.round(peaks / 40.0)).max() <= 1.0


def test_potentials(run):
    values = run.V_m("E", 1000.0).values.astype(np.float64)
    found = analysis.potential_statistics(run, "E", 1000.0)
    assert found.times.tolist() == run.V_m("E", 1000.0).times.tolist()
    assert found.mean == pytest.approx(values.mean(axis=1))
    assert found.sd == pytest.approx(values.std(axis=1))
    assert found.neuron_mean == pytest.approx(values.mean(axis=0))
    assert found.neuron_sd == pytest.approx(values.std(axis=0))
    assert found.histogram.sum() == values.size
    assert np.array_equal(found.histogram, np.histogram(values, found.edges)[0])


def test_distances():
    a, b = np.arange(100.0), np.arange(50.0, 150.0)
    assert analysis.ks_distance(a, b) == pytest.approx(0.5)
    assert analysis.ks_distance(a, [*a, np.nan]) == 0.0
    assert np.isnan(analysis.ks_distance(a, [np.nan]))


def test_summary_is_what_the_functions_return(run, blocks):
    widths = Widths(rate=2.0, fano=50.0)
    found = analysis.summarize(run, start=50.0, widths=widths)
    assert list(found) == ["E", "I"]
    for name, summary in found.items():
        s = run.select(name, 50.0)
        isi = analysis.isi_statistics(s)
        assert summary.n_spikes == run.spikes(name, 50.0).times.size
        assert np.array_equal(summary.rates, analysis.rates_per_neuron(s))
        assert np.array_equal(summary.isi.cv, isi.cv, equal_nan=True)
        assert np.array_equal(summary.isi.histogram, isi.histogram)
        assert np.array_equal(summary.fano, analysis.fano_factors(s, 50.0), equal_nan=True)
        matrix = analysis.count_correlations(s).matrix
        assert np.array_equal(summary.correlations.matrix, matrix, equal_nan=True)
        assert np.array_equal(summary.population_rate.rates, analysis.population_rate(s, 2.0).rates)
        assert summary.synchrony == analysis.synchrony(s)
        assert np.array_equal(summary.spectrum.power, analysis.power_spectrum(s, 2.0).power)


def test_two_runs_are_compared(run):
    early, late = (analysis.summarize(run, ["E"], *w) for w in ((0.0, 2000.0), (2000.0, 4000.0)))
    same = analysis.compare(early, early)["E"]
    assert (same.rate, same.cv, same.correlation) == (0.0, 0.0, 0.0)
    other = analysis.compare(early, late)["E"]
    assert 0.0 < other.rate < 0.5
    assert 0.0 < other.cv < 0.5
    assert 0.0 < other.correlation < 0.2


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_schedulers_agree_to_the_last_bit(run, monkeypatch, scheduler):
    monkeypatch.setattr(reduction, "_BLOCK_SPIKES", 500)
    monkeypatch.setattr(reduction, "_SPIKES_PER_NEURON", 0)
    found = []
    for chosen in ("synchronous", scheduler):
        with dask.config.set(scheduler=chosen):
            summary = analysis.summarize(run)["E"]
            potentials = analysis.potential_statistics(run, "E")
        found.append(
            [
                *(array.tobytes() for array in vars(summary.isi).values()),
                summary.fano.tobytes(),
                summary.correlations.matrix.tobytes(),
                summary.spectrum.power.tobytes(),
                *(array.tobytes() for array in vars(potentials).values()),
            ]
        )
    assert found[0] == found[1]


@pytest.mark.parametrize("window", [(0.0, 0.1), (0.0, 1.0), (1234.5, 1240.0)])
def test_summary_of_a_short_window(run, window):
    found = analysis.summarize(run, start=window[0], stop=window[1])
    assert found["E"].rates.size == 40
    assert found["E"].population_rate.rates.size >= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: analysis.count_correlations(s, max_neurons=1), "max_neurons is 1, must be >= 2"),
        (lambda s: analysis.cross_correlogram(s, s, 1.0, 5000.0), "max_lag is 5000.0, must be"),
        (lambda s: analysis.power_spectrum(s, 1.0, 1.0), "segment is 1.0, must be at least two"),
        (lambda s: analysis.isi_statistics(s, [1.0, 1.0]), "edges is .*must be ascending borders"),
        (lambda s: analysis.synchrony(s, 0.07), "width is 0.07, must be a multiple of dt"),
    ],
)
def test_bad_arguments(run, call, message):
    with pytest.raises(ConfigError, match=message):
        call(run.select("E"))


def test_windows_must_be_equal(run):
    with pytest.raises(ConfigError, match="window and dt of the second selection"):
        analysis.cross_correlogram(run.select("E"), run.select("I", 100.0))


def test_potentials_outside_the_run(run):
    with pytest.raises(ConfigError, match="with a sample of population 'E'"):
        analysis.potential_statistics(run, "E", 9000.0)


def test_lazy_views_of_every_form(run, monkeypatch):
    monkeypatch.setattr("simcore.io.sampled._BLOCK_BYTES", 1000)
    lazy, values = run.dask_V_m("E", 10.0).values, run.V_m("E", 10.0).values
    for index in (np.s_[::10], np.s_[5:100:3, 1], np.s_[7], np.s_[-1], np.s_[7, 2], np.s_[:, ::2]):
        assert np.array_equal(lazy[index].compute(), values[index])
    times = run.dask_spikes("E").times
    assert np.array_equal(times[::2].compute(), run.spikes("E").times[::2])
    assert times[3].compute() == run.spikes("E").times[3]


def test_potentials_that_are_not_finite(tmp_path):
    net = sc.Network()
    net.record(net.population("E", 2, sc.LIF()), "V_m", interval=1.0)
    for value in (np.nan, 1e30):
        path = tmp_path / f"{value}.h5"
        with RunWriter(path, net, CLOCK, {"duration": 2.0}) as writer:
            none = np.zeros(0, dtype=np.int64)
            writer.append(20, none, none, [np.array([[-60.0, value], [-60.0, -60.0]])])
            writer.finish(np.zeros(1), {}, {})
        with pytest.raises(ConfigError, match=r"V_m of population 'E' is .*must be finite"):
            analysis.potential_statistics(open_run(path), "E")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_widths_that_are_no_numbers(run, value):
    selection = run.select("E")
    for call in (
        lambda: analysis.population_rate(selection, value),
        lambda: analysis.power_spectrum(selection, 1.0, value),
        lambda: analysis.cross_correlogram(selection, selection, 1.0, value),
    ):
        with pytest.raises(ConfigError, match=r"is (nan|inf), must be"):
            call()
