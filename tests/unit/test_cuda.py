"""The CUDA backend: its kernels on the CPU give the reference's results, and all compile."""

import ctypes
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import simcore as sc
import simcore.shards.recording_buffers
from simcore.analysis.verification import compare_bits
from simcore.io.recorder import Recorder, probes
from simcore.kernels import Probe
from simcore.kernels.cuda import backend as module
from simcore.kernels.cuda import device_shard, launch_queue
from simcore.kernels.cuda.backend import CudaBackend
from simcore.numerics.clock import Clock, Epoch
from simcore.numerics.spikes import NO_SPIKES, Spikes
from simcore.partition import partition
from simcore.services.comm import SerialComm
from simcore.simulation import supervisor
from tests.emulation.gpu import compile_kernels
from tests.networks import Result, advance, differences, every_feature, make_run, same_bits, specify
from tests.side_by_side import Ranks, on_ranks
from tests.unit.test_state import recent_of

pytestmark = pytest.mark.usefixtures("emulated_gpu")

NETWORK = every_feature()
STEPS = 400


@pytest.fixture(scope="module")
def expected():
    return advance(NETWORK, STEPS, "reference")


@pytest.fixture(params=["grid", "team"])
def way(request, emulated_gpu, monkeypatch):
    """Let blocks share all neurons, or have neurons of their own; it has to be so in the end."""
    monkeypatch.setattr(emulated_gpu, "shared", 0 if request.param == "grid" else 200_000)
    emulated_gpu.launches.clear()
    yield request.param
    assert set(emulated_gpu.launches) == {f"advance_{request.param}"}


@pytest.fixture
def on_grid(emulated_gpu, monkeypatch):
    """Let blocks share all neurons."""
    monkeypatch.setattr(emulated_gpu, "shared", 0)


def make(network=NETWORK, precision="float64"):
    shard = specify(network)
    sampled = tuple(Probe(*p) for p in probes(network, shard.neurons, Clock(0.1)))
    return CudaBackend(shard, sampled, precision)


def result_of(run, bounds):
    spikes, samples = [], []
    for begin, end in pairwise(bounds):
        spikes.append(run.advance(Epoch(begin, end), NO_SPIKES))
        samples.append(run.samples())
    return Result(
        np.concatenate([s.steps for s in spikes]),
        np.concatenate([s.gids for s in spikes]),
        run.potentials(),
        [np.concatenate(rows) for rows in zip(*samples, strict=True)],
    )


@pytest.mark.parametrize("shape", [(1, 32), (2, 64), (3, 96)])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_equal_to_the_reference(way, shape, precision, emulated_gpu, monkeypatch):
    monkeypatch.setattr(emulated_gpu, "shape", shape)
    wanted = advance(NETWORK, STEPS, "reference", precision)
    found = result_of(make(precision=precision), [0, 123, 124, STEPS])

    assert found.steps.size > 1000
    assert differences(found, wanted) == []


@pytest.mark.parametrize("entries", [1, 4, 20])
@pytest.mark.usefixtures("on_grid")
def test_spikes_that_find_no_room_take_another_round(expected, monkeypatch, entries):
    monkeypatch.setattr(device_shard, "n_entries", lambda n, sections: max(sections, entries))
    assert differences(result_of(make(), [0, STEPS]), expected) == []


@pytest.mark.parametrize("steps", [1, 7, 250])
def test_launches_of_any_length(way, expected, monkeypatch, steps):
    monkeypatch.setattr(module, "LAUNCH_STEPS", steps)
    assert differences(result_of(make(), [0, 123, STEPS]), expected) == []


def test_launch_ends_where_there_is_no_room_for_spikes(way, expected, emulated_gpu):
    found = result_of(make(), [0, STEPS])
    assert differences(found, expected) == []
    # More than there would be with room
    assert emulated_gpu.launches.total() > -(-STEPS // module.LAUNCH_STEPS)


@pytest.mark.parametrize("fewest", [0, 1, 1000])
def test_more_spikes_than_usual_are_fetched_afterwards(expected, monkeypatch, fewest):
    monkeypatch.setattr(launch_queue, "_FEWEST", fewest)
    assert differences(result_of(make(), [0, 3, 50, STEPS]), expected) == []


def test_phases_are_told_apart():
    run = make()
    result_of(run, [0, 100])
    seconds = run.phase_seconds()
    assert list(seconds) == ["update", "deliver", "copy"]
    assert min(seconds.values()) > 0.0


def test_results_come_back_while_the_device_works():
    run = make()
    run.start(Epoch(0, STEPS), NO_SPIKES)
    assert run._launches.under_way == launch_queue.DEPTH
    assert run.finish().size > 1000
    assert run._launches.under_way == 0


@pytest.mark.parametrize("n_ranks", [2, 3, 7])
def test_ranks(expected, emulated_gpu, n_ranks):
    ranks = Ranks(NETWORK, partition(NETWORK, n_ranks, "round_robin"), "cuda")
    assert differences(ranks.advance(STEPS), expected) == []


@pytest.mark.parametrize("first", ["cpu", "cuda", "reference"])
@pytest.mark.parametrize("second", ["cpu", "cuda"])
@pytest.mark.parametrize("cut", [1, 150, 399])
def test_changes_of_backend(expected, emulated_gpu, first, second, cut):
    before = make_run(NETWORK, first)
    spikes = before.advance(Epoch(0, cut), NO_SPIKES)
    after = make_run(NETWORK, second)
    recent = recent_of(spikes.steps, spikes.gids, cut, specify(NETWORK).max_delay)
    after.restore(before.state(), cut, recent)
    rest = after.advance(Epoch(cut, STEPS), NO_SPIKES)

    assert same_bits(np.append(spikes.gids, rest.gids), expected.gids)
    assert same_bits(after.potentials(), expected.V_m)


def test_state_is_that_of_the_cpu(emulated_gpu):
    states = []
    for backend in ("cpu", "cuda"):
        run = make_run(NETWORK, backend)
        run.advance(Epoch(0, 250), NO_SPIKES)
        states.append(run.state())
    cpu, cuda = states
    assert same_bits(cpu.gids, cuda.gids)
    assert same_bits(cpu.borders, cuda.borders)
    for population, own, other in zip(NETWORK.populations, cpu.columns, cuda.columns, strict=True):
        assert own.keys() == other.keys()
        neuron = population.neuron
        assert list(own) == ([c.name for c in neuron.layout.columns] if neuron else [])
        for name, values in own.items():
            assert same_bits(values, other[name]), (population.name, name)


def test_whole_run_and_resumption(emulated_gpu, tmp_path):
    options = {"comm": SerialComm()}
    whole = sc.simulate(every_feature(), 60.0, output=tmp_path / "cpu.h5", backend="cpu", **options)
    path = tmp_path / "run.h5"
    sc.simulate(
        every_feature(), 30.0, output=path, backend="cuda", checkpoint_every=30.0, **options
    )
    run = sc.resume(path, every_feature(), until=60.0, backend="cuda", **options)
    found = compare_bits(whole, run)
    assert found.identical, found.differences
    assert found.spikes > 400


def test_network_without_synapses_or_neurons(emulated_gpu, way):
    net = sc.Network(seed=1)
    group = net.population("a", 40, sc.LIF(I_e=700.0), V_m=sc.Uniform(0.0, 15.0))
    wanted, found = (advance(net, 300, backend) for backend in ("reference", "cuda"))
    assert found.steps.size > 10
    assert differences(found, wanted) == []
    empty = sc.Network(seed=1)
    empty.population("one", 1, sc.LIF())
    ranks = Ranks(empty, partition(empty, 3), "cuda")
    assert ranks.advance(50).steps.size == 0
    assert group.size == 40


def test_spikes_from_elsewhere_beyond_the_room(way):
    """More remote spikes than neurons, all at once."""
    net = sc.Network(seed=3)
    source = net.population("source", 60, sc.LIF())
    target = net.population("target", 4, sc.LIF(tau_syn=1.0))
    net.connect(source, target, sc.AllToAll(), weight=5.0, delay=1.0)
    remote = Spikes(0, np.repeat(np.arange(3), 100))
    found = []
    for backend in ("reference", "cuda"):
        run = make_run(net, backend)
        run.advance(Epoch(0, 10), NO_SPIKES)
        run.advance(Epoch(10, 40), Spikes(5, remote.words))
        found.append(run.potentials())
    assert same_bits(*found)
    assert abs(found[0][60]) > 0.05


def test_kernels_that_differ_are_found_out(expected, emulated_gpu, monkeypatch):
    """Fused multiply-add, which rounds once less, changes potentials."""
    fused = ("-O2", "-ffp-contract=fast", "-mfma")
    if " fma " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("needs a processor with fused multiply-add")
    library = ctypes.CDLL(str(compile_kernels("float64", *fused)))
    monkeypatch.setattr(emulated_gpu, "library", lambda precision, header: library)
    assert "V_m" in differences(result_of(make(), [0, STEPS]), expected)


def on_threads(n_ranks, network, backend, longer=1):
    """Run a network on ranks that are threads.

    Returns the spikes of all; the epochs of one rank and the number of their steps; and how many
    launches were under way whenever it met the others.
    """

    def work(comm):
        given = {"backend": backend, "partitioner": "round_robin"}
        simulation = sc.Simulation(network(), comm=comm, **given)
        simulation.epoch_steps *= longer
        taken, met, exchange = [], [], simulation.exchange
        wait = exchange.wait

        def watched():
            launches = getattr(simulation.backend, "_launches", None)
            met.append(launches is not None and launches.under_way)
            return wait()

        exchange.wait = watched
        recorder = SimpleNamespace(record=lambda *given: taken.append(given[:2]))
        for duration in (10.0, 0.3, 29.7):
            simulation.run(duration, recorder)
        spikes = np.concatenate([(s.origin << 48) + s.words for _, s in taken])
        return spikes, [epoch for epoch, _ in taken], simulation.epoch_steps, met

    found = on_ranks(n_ranks, work)
    spikes = np.sort(np.concatenate([spikes for spikes, *_ in found]))
    return spikes, found[0][1], found[0][2], found[0][3]


def slow_network():
    """Describe a network whose synapses take 1.1 ms at least."""
    net = sc.Network(seed=4)
    one = net.population("one", 30, sc.LIF(tau_syn=2.0, I_e=700.0), V_m=sc.Uniform(0.0, 15.0))
    net.connect(one, one, sc.FixedIndegree(9), weight=60.0, delay=sc.Uniform(1.1, 3.0))
    return net


@pytest.mark.parametrize(
    ("network", "shortest", "n_ranks"),
    [(slow_network, 11, 1), (slow_network, 11, 3), (every_feature, 2, 2)],
    ids=["alone", "slow", "features"],
)
def test_spikes_travel_while_the_device_works(network, shortest, n_ranks):
    wanted, bounds, steps, _ = on_threads(n_ranks, network, "cpu")
    assert steps == (shortest if n_ranks > 1 else 1000)
    found, epochs, steps, met = on_threads(n_ranks, network, "cuda")
    assert steps == (shortest // 2 if n_ranks > 1 else 1000)
    assert wanted.size > 80
    assert same_bits(found, wanted)
    assert min(met) > 0
    assert [e.begin for e in epochs[1:]] == [e.end for e in epochs[:-1]]
    assert (epochs[0].begin, epochs[-1].end) == (0, 400) == (bounds[0].begin, bounds[-1].end)


@pytest.mark.parametrize("room", [1, 10_000])
@pytest.mark.parametrize("steps", [7, 50])
def test_a_lone_rank_runs_ahead(monkeypatch, way, room, steps):
    """The device has the next epoch to work on while spikes are recorded, and when it ends."""
    monkeypatch.setattr(device_shard, "n_words", lambda most: most + room)
    monkeypatch.setattr(module, "LAUNCH_STEPS", 20)

    def run(backend):
        simulation = sc.Simulation(slow_network(), backend=backend, comm=SerialComm())
        simulation.epoch_steps = steps
        taken, busy = [], []

        def record(epoch, spikes, emitted=0):
            taken.append(Spikes(0, spikes.words + (spikes.origin << 48)))
            assert (epoch.begin <= taken[-1].steps).all()
            assert (taken[-1].steps < epoch.end).all()
            busy.append(simulation.backend._launches.under_way if backend == "cuda" else 0)

        for duration in (10.0, 0.3, 29.7):
            simulation.run(duration, SimpleNamespace(record=record))
        assert (simulation.step, sum(busy[-1:])) == (400, 0)
        return np.concatenate([spikes.words for spikes in taken]), busy, simulation

    wanted, _, cpu = run("cpu")
    found, busy, gpu = run("cuda")
    assert wanted.size > 80
    assert same_bits(found, wanted)
    assert same_bits(gpu.backend.potentials(), cpu.backend.potentials())
    assert gpu.n_epochs == cpu.n_epochs

    # All but the last of each of three runs; without room a launch may end anywhere
    assert sum(n == 0 for n in busy) == 3 or room == 1


def test_a_run_is_looked_at_seldom_where_a_device_would_stop(monkeypatch, tmp_path):
    """Pieces of a run grow beyond an epoch, so that the device has the next one in sight."""
    monkeypatch.setattr(simcore.shards.recording_buffers, "LONGEST_EPOCH", 100)
    busy, record = [], Recorder.record

    def watched(self, epoch, spikes, emitted):
        busy.append(self._backend._launches.under_way)
        record(self, epoch, spikes, emitted)

    monkeypatch.setattr(Recorder, "record", watched)
    given = {"backend": "cuda", "comm": SerialComm()}
    monkeypatch.setattr(supervisor, "_SHORT", 1e9)
    run = sc.simulate(slow_network(), 300.0, output=tmp_path / "run.h5", **given)
    busy_at_first, busy = busy, []
    assert sum(n == 0 for n in busy_at_first) == len(PIECES)
    rates = run.rates()
    sc.simulate(slow_network(), 300.0, output=tmp_path / "guarded.h5", max_rate=1e5, **given)
    assert rates["one"] > 1.0
    assert sum(n == 0 for n in busy) == len(GUARDED)


# Model time of the pieces of 300 ms [ms]: the first has 20, then they double; and where rates are
# looked at, which takes 100
PIECES = (20, 40, 80, 160)
GUARDED = (20, 40, 80, 100, 60)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_restored_far_on(backend):
    """Steps do not fit the offset of a spike for long."""
    network, begin, steps = slow_network(), 10**6, 200
    runs = [make_run(network, name) for name in (backend, "cuda")]
    state, recent = (
        make_run(network).state(),
        Spikes(begin - 30, np.array([5 << 48 | 3, 20 << 48 | 7])),
    )
    found = []
    for run in runs:
        run.warm_up()
        run.restore(state, begin, recent)
        spikes = run.advance(Epoch(begin, begin + steps), NO_SPIKES)
        found.append((spikes.origin, spikes.words.tolist(), run.potentials().tolist()))
    assert len(found[0][1]) > 40
    assert found[0] == found[1]


def test_a_run_that_was_interrupted_does_not_go_on():
    def interrupt(*given):
        raise KeyboardInterrupt

    simulation = sc.Simulation(slow_network(), backend="cuda", comm=SerialComm())
    simulation.epoch_steps = 20
    with pytest.raises(KeyboardInterrupt):
        simulation.run(20.0, SimpleNamespace(record=interrupt))
    with pytest.raises(RuntimeError, match="interrupted, and cannot go on"):
        simulation.run(20.0)


def test_epochs_that_are_too_long_are_found_out():
    wanted, *_ = on_threads(2, slow_network, "cpu")
    found, *_ = on_threads(2, slow_network, "cuda", longer=3)
    assert not same_bits(found, wanted)


def test_spikes_do_not_travel_where_they_are_due_at_once():
    def network():
        net = sc.Network(seed=4)
        one = net.population("one", 30, sc.LIF(tau_syn=2.0, I_e=700.0), V_m=sc.Uniform(0.0, 15.0))
        net.connect(one, one, sc.FixedIndegree(9), weight=60.0, delay=sc.Uniform(0.1, 3.0))
        return net

    wanted, *_ = on_threads(2, network, "cpu")
    found, _, steps, met = on_threads(2, network, "cuda")
    assert steps == 1
    assert same_bits(found, wanted)
    assert max(met) == 0


def test_ranks_of_both_kinds_agree(monkeypatch):
    """A rank without a GPU meets the others as often as they do."""
    wanted, *_ = on_threads(2, slow_network, "cpu")
    owns_first = property(lambda self: 0 in self.shard.neurons.gids)
    monkeypatch.setattr(CudaBackend, "runs_beside_host", owns_first)
    found, _, steps, _ = on_threads(2, slow_network, "cuda")
    assert steps == 11
    assert same_bits(found, wanted)


@pytest.mark.parametrize("indegree", [1, 3, 40])
@pytest.mark.usefixtures("on_grid")
def test_rows_of_few_synapses(indegree):
    """Many spikes at once with short rows, and some with long ones among them."""
    net = sc.Network(seed=8)
    source = net.population("source", 200, sc.SpikeTrains(np.full(200, 1.0), np.arange(200)))
    hub = net.population("hub", 3, sc.SpikeTrains([1.0, 1.0, 1.1], [0, 2, 1]))
    target = net.population("target", 150, sc.LIF(tau_syn=2.0))
    net.connect(source, target, sc.FixedOutdegree(indegree), weight=3.0, delay=sc.Uniform(0.1, 1.0))
    net.connect(hub, target, sc.AllToAll(), weight=sc.Normal(9.0, 1.0), delay=0.3)
    wanted, found = (advance(net, 40, backend) for backend in ("reference", "cuda"))
    assert found.steps.size == 203
    assert differences(found, wanted) == []


@pytest.mark.parametrize("n", [1100, 2500])
def test_more_spikes_than_a_block_lists_at_a_time(emulated_gpu, n):
    net = sc.Network(seed=8)
    source = net.population("source", n, sc.SpikeTrains(np.full(n, 1.0), np.arange(n)))
    target = net.population("target", 50, sc.LIF(tau_syn=2.0))
    net.connect(source, target, sc.FixedOutdegree(20), weight=3.0, delay=sc.Uniform(0.3, 1.0))
    emulated_gpu.launches.clear()
    wanted, found = (advance(net, 40, backend) for backend in ("reference", "cuda"))
    assert set(emulated_gpu.launches) == {"advance_team"}
    assert np.count_nonzero(found.steps == 9) == n
    assert differences(found, wanted) == []
