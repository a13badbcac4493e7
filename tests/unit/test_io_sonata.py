"""The output as libsonata, the reader of the SONATA project, sees it."""

import numpy as np
import pytest

import simcore as sc
from simcore.io import RunWriter, open_run
from simcore.numerics.clock import Clock

pytestmark = pytest.mark.peer("libsonata")


@pytest.fixture
def path(tmp_path):
    net = sc.Network(seed=7)
    e = net.population("E", 80, sc.LIF())
    i = net.population("I", 20, sc.LIF())
    net.record([e, i], "spikes")
    net.record(e[:4], "V_m", interval=1.0)
    net.record(i, "V_m", interval=0.5)
    steps = np.repeat(np.arange(1000), 20)
    gids = np.tile(np.arange(0, 100, 5), 1000)
    with RunWriter(tmp_path / "run.h5", net, Clock(0.1), {"duration": 100.0}) as writer:
        samples = [np.arange(400.0).reshape(100, 4), np.full((200, 20), -65.0)]
        writer.append(1000, steps, gids, samples)
        writer.finish(np.array([16_000, 4000]), {}, {})
    return tmp_path / "run.h5"


def test_spikes(path):
    import libsonata

    reader = libsonata.SpikeReader(str(path))
    assert sorted(reader.get_population_names()) == ["E", "I"]
    for name in ("E", "I"):
        population = reader[name]
        assert population.sorting == "by_time"
        assert population.time_units == "ms"
        ids, times = zip(*population.get(), strict=True)
        ours = open_run(path).spikes(name)
        assert np.array_equal(ours.times, times)
        assert np.array_equal(ours.node_ids, ids)
    window = reader["E"].get(node_ids=[5], tstart=10.0, tstop=20.0)
    assert len(window) == 101


def test_report(path):
    import libsonata

    reader = libsonata.ElementReportReader(str(path))
    for name, interval in (("E", 1.0), ("I", 0.5)):
        population = reader[name]
        assert population.data_units == "mV"
        assert population.time_units == "ms"
        assert population.sorted
        frame = population.get()
        ours = open_run(path).V_m(name)
        assert population.times == (interval, 100.0 + interval, interval)
        assert np.allclose(frame.times, ours.times)
        assert np.array_equal(frame.data, ours.values.astype(np.float32))
        assert np.array_equal(frame.ids[:, 0], ours.node_ids)
        assert len(population.get(tstart=10.0, tstop=20.0).times) == round(10.0 / interval) + 1
