"""Runs as users start them: what the file holds, known solutions, errors, ranks that fail."""

import gc
import math
import pickle
import tempfile

import numpy as np
import pytest

import simcore as sc
from simcore.services.comm import SerialComm
from simcore.services.errors import CapacityError, ConfigError, ModelError, OutputError, StateError
from tests.networks import advance, every_feature, same_bits, serial
from tests.unit.test_comm import needs_mpi, run_program

STEPS = 400
NETWORK = every_feature()


@pytest.fixture(scope="module")
def direct():
    """What the backend does when it is called directly."""
    return advance(NETWORK, STEPS, "cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run.h5"
    return sc.simulate(NETWORK, 40.0, output=path, backend="cpu", comm=SerialComm())


def test_file_holds_all_spikes(run, direct):
    for population in NETWORK.populations:
        times, ids = run.spikes(population.name)
        kept = population.first + np.array(run.recorded_ids(population.name))
        own = np.isin(direct.gids, kept)
        assert times.tolist() == ((direct.steps[own] + 1) / 10).tolist()
        assert (ids + population.first).tolist() == direct.gids[own].tolist()
    assert list(run.spike_counts.values()) == direct.counts(NETWORK)


def test_file_holds_all_samples(run, direct):
    assert len(run.reports) == len(NETWORK.sampled)
    for record, expected in zip(NETWORK.sampled, direct.samples, strict=True):
        which = record.target.population.name, record.variable
        data = run.samples(*which, interval=record.interval)
        assert same_bits(data.values, expected.astype(record.dtype))
        assert data.node_ids.tolist() == list(record.target.indices)
        assert run.report(*which, record.interval).unit == record.column.unit
    assert run.V_m("jumps").times.tolist() == [2.0 * k for k in range(1, 21)]
    assert run.V_m("one").node_ids.tolist() == list(range(0, 40, 3))


def test_windows_hold_nothing_after_their_end(run):
    times = run.spikes("one").times

    assert run.samples("two", stop=7.77, interval=0.1).times[-1] == pytest.approx(7.7)
    assert run.samples("two", start=7.77, stop=7.86, interval=0.1).times.tolist() == pytest.approx(
        [7.8]
    )
    assert run.spikes("one", stop=times[9] - 5e-5).times.max() < times[9]
    assert run.spikes("one", stop=times[9] * (1 + 1e-15)).times.max() == times[9]
    assert run.select("one", 7.72, 9.99).window == (7.72, 9.99)
    with pytest.raises(ConfigError, match=r"window is \(10\.02, 10\.08\), must be within"):
        run.select("one", 10.02, 10.08)


def test_samples_are_the_potentials_of_their_time(direct):
    for steps in (5, 200):
        V_m = advance(NETWORK, steps, "cpu").V_m
        assert same_bits(V_m[40 + 2 : 40 + 9], direct.samples[1][steps - 1])


def test_recording_from_a_time_on(direct, tmp_path):
    run = sc.simulate(
        NETWORK, 40.0, output=tmp_path / "late.h5", record_from=17.3, comm=SerialComm()
    )
    times = run.spikes("one").times
    late = direct.steps >= 173

    assert times.min() > 17.3
    assert times.size == np.isin(direct.gids[late], np.arange(40)).sum()
    assert same_bits(run.samples("two", interval=0.1).values, direct.samples[1][173:])


def test_temporary_file_if_none_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    options = {"backend": "reference", "comm": SerialComm()}
    first, second = (sc.simulate(NETWORK, 1.0, **options) for _ in range(2))

    assert first.path != second.path
    assert first.status == "complete"
    assert first.digest("one") == second.digest("one")

    # Nothing stays when nobody can read it any more, nor after an error; a copy is no owner
    del second
    times, kept = first.dask_spikes("one").times, first.path
    copy = pickle.loads(pickle.dumps(first))
    del first
    with pytest.raises(StateError, match="rate"):
        sc.simulate(NETWORK, 110.0, max_rate=1e-9, **options)
    gc.collect()
    assert [str(path) for path in tmp_path.rglob("*.h5")] == [kept]
    assert times.compute().size == copy.spikes("one").times.size
    del times
    gc.collect()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pieces", [[0.1, 0.1, 39.8], [13.0, 27.0], [1.7] * 23 + [0.9]])
def test_running_in_pieces(direct, pieces):
    simulation, kept = serial(NETWORK, backend="cpu"), Kept()

    for duration in pieces:
        simulation.run(duration, kept)

    assert simulation.step == STEPS
    assert same_bits(np.concatenate(kept.steps), direct.steps)
    assert same_bits(np.concatenate(kept.gids), direct.gids)
    assert same_bits(simulation.backend.potentials(), direct.V_m)


class Kept:
    """A recorder that keeps everything."""

    def __init__(self):
        self.steps, self.gids, self.epochs = [], [], []

    def record(self, epoch, spikes, emitted=0):
        self.epochs.append(epoch)
        self.steps.append(spikes.steps)
        self.gids.append(spikes.gids)


def test_lone_rank_does_not_stop_for_delays():
    simulation, kept = serial(NETWORK, backend="cpu"), Kept()

    simulation.run(40.0, kept)

    assert [(e.begin, e.end) for e in kept.epochs] == [(0, STEPS)]


@pytest.mark.parametrize("dt", [0.1, 0.125, 0.05])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_rate_of_a_driven_neuron(backend, dt):
    net = sc.Network()
    neuron = sc.LIF(
        tau_m=10.0, C_m=250.0, E_L=-65.0, V_th=-50.0, V_reset=-68.0, t_ref=2.0, I_e=500.0
    )
    net.record(net.population("cell", 1, neuron))

    times = sc.simulate(net, 150.0, dt=dt, backend=backend, comm=SerialComm()).spikes("cell").times

    # V approaches 20 mV above rest; the threshold is 15 mV, the reset -3 mV
    first = math.ceil(10.0 / dt * math.log(20.0 / 5.0))
    again = math.ceil(10.0 / dt * math.log(23.0 / 5.0)) + round(2.0 / dt)
    expected = (first + again * np.arange(times.size)) * dt
    np.testing.assert_allclose(times, expected, rtol=1e-12)
    assert times.size == 1 + int((150.0 / dt - first) // again)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_threshold_itself_is_enough(backend):
    net = sc.Network()
    train = net.population("train", 1, sc.SpikeTrains([1.0]))
    cell = net.population("cell", 2, sc.LIF(V_th=16.0))
    net.connect(train, cell[0], sc.OneToOne(), weight=16.0, delay=0.1)
    net.connect(train, cell[1], sc.OneToOne(), weight=15.875, delay=0.1)

    result = advance(net, 20, backend)

    assert result.gids.tolist() == [0, 1]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_jumps_in_the_refractory_time_are_lost(backend):
    net = sc.Network()
    trains = net.population("trains", 2, sc.SpikeTrains([1.0, 3.9, 4.0, 4.1], [0, 1, 1, 1]))
    cell = net.population("cell", 2, sc.LIF(t_ref=3.0, tau_m=1e9))
    net.connect(trains[0], cell[0], sc.OneToOne(), weight=1000.0, delay=0.1)
    net.connect(trains[1], cell, sc.AllToAll(), weight=4.0, delay=0.1)

    result = advance(net, 200, backend)

    # It fires at 1.1 ms and holds still until 4.1 ms; the jumps come at 4.0, 4.1 and 4.2 ms
    assert result.gids[result.gids >= 2].tolist() == [2]
    np.testing.assert_allclose(result.V_m[2:], [4.0, 12.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"backend": "gpu2"},
            ConfigError,
            "backend is 'gpu2', must be one of auto, cpu, cuda, reference",
        ),
        ({"partitioner": "metis"}, ConfigError, "partitioner is 'metis', must be one of balanced"),
        ({"precision": "half"}, ConfigError, "precision is 'half', must be float64 or float32"),
        ({"dt": 0.0}, ConfigError, r"dt is 0\.0, must be in \[0\.0001, 100\] ms"),
        ({"dt": "0.1"}, ConfigError, "dt is '0.1', must be in"),
        ({"dt": 0.3}, (ConfigError, ModelError), r"is 10\.0, must be a multiple of dt = 0\.3 ms"),
        (
            {"dt": 0.5},
            ModelError,
            r"projection .*: delay \[ms\] is 0\.2.*, must be at least one time",
        ),
        ({"record_from": 10.0}, ConfigError, r"record_from is 10\.0, must be in \[0, 10\.0\) ms"),
        ({"record_from": -1.0}, ConfigError, r"record_from is -1\.0"),
    ],
)
def test_bad_options(options, error, message):
    net = sc.Network()
    E = net.population("E", 5, sc.LIF())
    net.connect(E, E, sc.OneToOne(), weight=1.0, delay=0.2)

    with pytest.raises(error, match=message):
        sc.simulate(net, 10.0, comm=SerialComm(), **options)


@pytest.mark.parametrize("duration", [0.0, -5.0, 0.05, 50_000.05, math.nan, math.inf, 1e300])
def test_bad_durations(duration):
    with pytest.raises(ConfigError, match="duration is"):
        sc.simulate(NETWORK, duration, comm=SerialComm())


def test_empty_network():
    with pytest.raises(ModelError, match="Network: populations is 0, must be at least one"):
        serial(sc.Network())


def test_weights_beyond_all_measure():
    net = sc.Network()
    a = net.population("a", 10, sc.LIF())
    net.connect(a, a, sc.FixedIndegree(1000), weight=1e30, delay=1.0)

    with pytest.raises(CapacityError, match="population 'a': the sum of all its weights"):
        serial(net)


def test_existing_file_is_kept(tmp_path):
    path = tmp_path / "run.h5"
    path.write_text("mine")

    with pytest.raises(OutputError, match="overwrite"):
        sc.simulate(NETWORK, 1.0, output=path, comm=SerialComm())
    assert path.read_text() == "mine"


# Rank 1 fails while the others wait for its spikes
FAILING = """
import sys
import simcore as sc
from simcore.services.comm import world
net = sc.Network()
E = net.population("E", 30, sc.LIF(I_e=600.0))
net.connect(E, E, sc.FixedIndegree(5), weight=0.1, delay=1.0)
net.record(E)

class Broken:
    epochs = 0
    def record(self, epoch, spikes, emitted=0):
        Broken.epochs += 1
        if world().rank == 1 and Broken.epochs == 5:
            raise RuntimeError("rank 1 is out of order")

simulation = sc.Simulation(net, backend="reference")
simulation.run(20.0, Broken())
print("survived")
"""

FAILING_IN_SIMULATE = """
import simcore as sc
from simcore.services.comm import world
from simcore.kernels.reference import ReferenceBackend
net = sc.Network()
E = net.population("E", 30, sc.LIF(I_e=600.0))
net.connect(E, E, sc.FixedIndegree(5), weight=0.1, delay=1.0)
net.record(E)
advance = ReferenceBackend.advance

def broken(self, epoch, remote):
    if world().rank == 1 and epoch.begin >= 100:
        raise RuntimeError("rank 1 is out of order")
    return advance(self, epoch, remote)

ReferenceBackend.advance = broken
sc.simulate(net, 50.0, backend="reference")
print("survived")
"""

FAILING_BUILD = """
import simcore as sc
import simcore.construction.build
from simcore.services.comm import world
build = simcore.construction.build.build_shards

def broken(*arguments):
    if world().rank == 1:
        raise MemoryError("rank 1 has no room")
    return build(*arguments)

simcore.construction.build.build_shards = broken
net = sc.Network()
net.population("E", 30, sc.LIF())
sc.simulate(net, 50.0)
print("survived")
"""


@needs_mpi
@pytest.mark.parametrize(
    ("program", "message"),
    [
        (FAILING, "RuntimeError: rank 1 is out of order"),
        (FAILING_IN_SIMULATE, "RuntimeError: rank 1 is out of order"),
        (FAILING_BUILD, "MemoryError: rank 1 has no room"),
    ],
    ids=["recording", "advancing", "building"],
)
def test_rank_that_fails_ends_all(program, message):
    done = run_program(program, ranks=3)

    assert done.returncode != 0
    assert "survived" not in done.stdout
    assert done.stderr.count(message) == 1


@needs_mpi
def test_wrong_model_is_one_error():
    program = """
import simcore as sc
net = sc.Network()
E = net.population("E", 30, sc.LIF())
net.connect(E, E, sc.FixedIndegree(5), weight=0.1, delay=0.01)
sc.simulate(net, 50.0)
"""
    done = run_program(program, ranks=3)

    assert done.returncode == 1
    assert done.stderr.count("ModelError: projection 'E' to 'E': delay [ms] is 0.01") == 1
    assert "rank 0" not in done.stderr


def test_compilation_is_announced_once_for_each_kind_of_run(monkeypatch, capsys):
    kept = {}
    monkeypatch.setattr("simcore.services.cache.store", kept.__setitem__)
    monkeypatch.setattr("simcore.services.cache.is_kept", kept.__contains__)
    told = []
    for threads in (1, 1, 2, 2):
        net = sc.Network()
        net.population("n", 3, sc.LIF())
        sc.simulate(net, 1.0, threads=threads, comm=SerialComm(), progress=True)
        told.append("compiling kernels, once" in capsys.readouterr().err)
    assert told == [True, False, True, False]
