"""The statistics beside those of Elephant, on the same spikes.

Elephant bins from the first edge on, [a, b), and simcore up to and with the last one, (a, b]. So
Elephant gets all times half a step earlier, where no spike lies on an edge.
"""

import numpy as np
import pytest

import simcore as sc
from simcore import analysis
from simcore.io import RunWriter, open_run
from simcore.numerics.clock import Clock

pytestmark = [
    pytest.mark.peer("elephant", "neo"),
    pytest.mark.filterwarnings("ignore"),
]

CLOCK = Clock(0.1)
DURATION = 6000.0
N_STEPS = 60_000
SIZE = 20


@pytest.fixture(scope="module")
def selection(tmp_path_factory):
    """Neurons of 5 to 43 spikes per second, some of which share events."""
    rng = np.random.default_rng(7)
    chosen = rng.random((N_STEPS, SIZE)) < 1e-4 * (5 + 2 * np.arange(SIZE))
    chosen[:, :6] |= (rng.random(N_STEPS) < 5e-4)[:, None]
    steps, gids = np.nonzero(chosen)
    net = sc.Network()
    net.record(net.population("E", SIZE, sc.LIF()), "spikes")
    path = tmp_path_factory.mktemp("run") / "run.h5"
    with RunWriter(path, net, CLOCK, {"duration": DURATION}) as writer:
        writer.append(N_STEPS, steps, gids)
        writer.finish(np.array([steps.size]), {}, {})
    return open_run(path).select("E")


@pytest.fixture(scope="module")
def trains(selection):
    import neo
    import quantities as pq

    times, ids = selection.read()
    return [
        neo.SpikeTrain((times[ids == n] - 0.05) * pq.ms, t_stop=DURATION * pq.ms)
        for n in range(SIZE)
    ]


def test_rates(selection, trains):
    from elephant.statistics import mean_firing_rate

    expected = [float(mean_firing_rate(t).rescale("Hz")) for t in trains]
    assert analysis.rates_per_neuron(selection) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("width", [1.0, 20.0])
def test_population_rate(selection, trains, width):
    import quantities as pq
    from elephant.statistics import time_histogram

    expected = time_histogram(trains, width * pq.ms, output="mean")
    found = analysis.population_rate(selection, width).rates * width * 1e-3
    assert found == pytest.approx(expected.magnitude[:, 0], rel=1e-12)


def test_intervals(selection, trains):
    from elephant.statistics import cv, isi, lv

    intervals = [isi(t).rescale("ms").magnitude for t in trains]
    found = analysis.isi_statistics(selection)
    assert found.mean == pytest.approx([i.mean() for i in intervals], rel=1e-10)
    assert found.cv == pytest.approx([cv(i) for i in intervals], rel=1e-10)
    assert found.lv == pytest.approx([lv(i) for i in intervals], rel=1e-10)
    pooled = np.concatenate(intervals)
    assert np.array_equal(found.histogram, np.histogram(pooled, found.edges - 1e-6)[0])


def test_fano_factors(selection, trains):
    import quantities as pq
    from elephant.conversion import BinnedSpikeTrain
    from elephant.statistics import fanofactor

    found = analysis.fano_factors(selection, 100.0)
    binned = BinnedSpikeTrain(trains, 100.0 * pq.ms).to_array()
    assert found == pytest.approx(binned.var(axis=1) / binned.mean(axis=1), rel=1e-10)

    # Elephant's is that of the counts of many trains: here, of pieces of one
    pieces = [
        trains[3].time_slice(t * pq.ms, (t + 100.0) * pq.ms) for t in np.arange(0.0, DURATION, 100)
    ]
    assert found[3] == pytest.approx(fanofactor(pieces), rel=1e-10)


def test_correlations(selection, trains):
    import quantities as pq
    from elephant.conversion import BinnedSpikeTrain
    from elephant.spike_train_correlation import correlation_coefficient

    expected = correlation_coefficient(BinnedSpikeTrain(trains, 2.0 * pq.ms))
    found = analysis.count_correlations(selection, 2.0)
    assert found.matrix == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("pair", [(0, 1), (4, 17)])
def test_cross_correlogram(selection, trains, pair):
    import quantities as pq
    from elephant.conversion import BinnedSpikeTrain
    from elephant.spike_train_correlation import cross_correlation_histogram

    a, b = (BinnedSpikeTrain(trains[n], 1.0 * pq.ms) for n in pair)
    raw, lags = cross_correlation_histogram(a, b, window=[-20, 20], border_correction=False)
    scaled, _ = cross_correlation_histogram(
        a, b, window=[-20, 20], border_correction=False, cross_correlation_coefficient=True
    )
    run = open_run(selection.times.pieces[0].path)
    one, other = (run.select("E", neurons=[n]) for n in pair)
    found = analysis.cross_correlogram(one, other, 1.0, 20.0)
    assert found.lags.tolist() == lags.tolist()
    assert found.counts.tolist() == raw.magnitude[:, 0].tolist()
    assert found.coefficients == pytest.approx(scaled.magnitude[:, 0], rel=1e-9)


def test_spectrum(selection, trains):
    import quantities as pq
    from elephant.spectral import welch_psd
    from elephant.statistics import time_histogram

    rate = time_histogram(trains, 1.0 * pq.ms, output="rate").rescale("Hz")
    frequencies, power = welch_psd(rate, len_segment=500, overlap=0.5)
    found = analysis.power_spectrum(selection, 1.0, 500.0)
    assert found.frequencies == pytest.approx(frequencies.magnitude[1:])
    assert found.power == pytest.approx(power.magnitude[0, 1:], rel=1e-9)
