"""The counts of what a rank had to do, against the synapses and spikes themselves."""

import numpy as np
import pytest

import simcore as sc
import simcore.shards.shard
from simcore.shards.local_neurons import LocalNeurons
from simcore.simulation.work_counts import COUNTS, delivery_work, neuron_work
from tests.networks import build, every_feature, of_projection, synapses


@pytest.mark.parametrize("largest", [simcore.shards.shard.MAX_BLOCK, 32])
@pytest.mark.parametrize("n_ranks", [1, 3])
def test_synapses_by_population_are_those_in_the_tables(monkeypatch, n_ranks, largest):
    monkeypatch.setattr(simcore.shards.shard, "MAX_BLOCK", largest)
    network = every_feature()
    shard = build(network, n_ranks - 1, n_ranks)
    runs, found = shard.inventory().fan_out.T

    first = [p.first for p in network.populations]
    owners = np.searchsorted(first, synapses(shard)["source"], side="right") - 1
    assert found.tolist() == np.bincount(owners, minlength=len(first)).tolist()
    assert runs.sum() == sum(table.runs.size for table in shard.tables)


def test_each_population_has_its_own_runs():
    net = sc.Network(seed=1)
    P, Q = (net.population(name, 70, sc.LIF()) for name in "PQ")
    net.connect(P, Q, sc.AllToAll(), weight=1.0, delay=1.0)
    net.connect(Q, Q[:10], sc.AllToAll(), weight=1.0, delay=1.0)
    (table,) = build(net).tables
    assert table.by_population(net).tolist() == [[70, 4900], [70, 700]]


def test_events_are_spikes_times_synapses():
    net = sc.Network(seed=1)
    P = net.population("P", 10, sc.LIF())
    Q = net.population("Q", 5, sc.SpikeTrains([1.0, 2.0], [0, 3]))
    net.connect(Q, P, sc.AllToAll(), weight=1.0, delay=1.0)
    shard = build(net)
    assert of_projection(synapses(shard), net.projections[0]).size == 50
    found = delivery_work(net, [shard.inventory()], np.array([7, 2]))
    assert found == {"events": 20, "runs": 2, "lookups": 9}


def test_poisson_numbers_are_drawn_while_a_process_is_on():
    net = sc.Network(seed=1)
    P = net.population("P", 10, sc.LIF())
    net.population("S", 3, sc.PoissonSource(rate=5.0, start=1.0))
    net.drive(P[:4], sc.Poisson(rate=10.0, weight=1.0, start=0.5, stop=2.0))
    net.drive(P, sc.Poisson(rate=0.0, weight=1.0))
    changing = sc.Piecewise([0.0, 0.1, 0.2], [1.0, 0.0, 1.0])
    net.drive(P[:1], sc.Poisson(rate=changing, weight=1.0, stop=0.3))
    neurons = LocalNeurons(np.array([0, 2, 3, 7, 11, 12]))
    assert neuron_work(net, neurons, 0.1, 0, 30) == {
        "updates": 4 * 30,
        "draws": 3 * 15 + 2 * 20 + 2,
    }
    assert neuron_work(net, neurons, 0.1, 10, 30) == {"updates": 4 * 20, "draws": 3 * 10 + 2 * 20}


def test_a_run_tells_its_counts(tmp_path):
    run = sc.simulate(every_feature(), 40.0, output=tmp_path / "run.h5", backend="reference")
    counts = {name: int(run.shards[name][0]) for name in COUNTS}
    spikes = sum(run.spike_counts.values())
    samples = sum(run.dataset(report.place)[:].nbytes for report in run.reports)
    recorded = sum(run.spikes(name).times.size for name in run.recorded)
    assert counts["sent"] == spikes > 0
    assert counts["recorded"] == 16 * recorded + samples
    assert counts["updates"] == 400 * (40 + 24 + 31 + 3 + 9 + 4 + 7 + 6)
    assert counts["received"] == counts["meetings"] == 0
    # More where the machine is busy: a piece of a run ends after a second, too
    assert counts["epochs"] >= 2
    assert counts["events"] > counts["runs"] > counts["lookups"] > 0
