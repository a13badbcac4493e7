"""The recorder: the same file for any division of the neurons over ranks."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

import simcore as sc
import simcore.io.recorder
from simcore.io import Recorder, RunWriter, open_run, probes
from simcore.numerics.clock import Clock, epochs
from simcore.numerics.spikes import GID_BITS, NO_SPIKES, Spikes
from simcore.services.comm import SerialComm
from simcore.services.errors import ModelError, OutputError
from simcore.shards.local_neurons import LocalNeurons

CLOCK = Clock(0.1)
STEPS = 600
SIZES = {"E": 80, "I": 20, "noise": 5}
RATE = 0.02


class ThreadWorld:
    """Ranks that are threads of this process."""

    def __init__(self, size):
        self.size = size
        self.slots = [None] * size
        self.barrier = threading.Barrier(size, timeout=20)

    def exchange(self, rank, value):
        self.slots[rank] = value
        self.barrier.wait()
        values = list(self.slots)
        self.barrier.wait()
        return values


class ThreadComm:
    """One of them."""

    def __init__(self, world, rank):
        self.world, self.rank, self.size = world, rank, world.size

    def gather_array(self, array):
        values = self.world.exchange(self.rank, np.array(array))
        return values if self.rank == 0 else None

    def bcast(self, value):
        return self.world.exchange(self.rank, value)[0]

    def allreduce_sum(self, array):
        return sum(self.world.exchange(self.rank, np.array(array)))


class FakeBackend:
    """Spikes and potentials that are functions of step and global id."""

    def __init__(self, gids, sampled, matrix):
        self.gids, self.sampled, self.matrix = gids, sampled, matrix
        self.step = self.taken = 0

    def advance(self, epoch):
        self.step = epoch.end
        if not self.gids.size:
            return NO_SPIKES
        offsets, lids = np.nonzero(self.matrix[epoch.begin : epoch.end, self.gids])
        return Spikes(epoch.begin, offsets.astype(np.int64) << GID_BITS | self.gids[lids])

    def samples(self):
        begin, self.taken = self.taken, self.step
        rows = []
        for lids, interval, _ in self.sampled:
            at = (np.arange(begin // interval, self.step // interval) + 1) * interval
            rows.append(potential(at[:, None], self.gids[lids][None, :]))
        return rows


def potential(steps, gids):
    return -70.0 + gids + 1e-3 * steps


def network():
    net = sc.Network(seed=3)
    e, i, noise = (
        net.population("E", SIZES["E"], sc.LIF()),
        net.population("I", SIZES["I"], sc.LIF()),
        net.population("noise", SIZES["noise"], sc.PoissonSource(rate=5.0)),
    )
    net.record(e[::-3], "spikes")
    net.record(noise, "spikes")
    net.record(i[2:9], "V_m", interval=0.4)
    net.record(e[5:70:6], "V_m", interval=1.0, dtype="float64")
    return net


def matrix():
    return np.random.default_rng(5).random((STEPS, sum(SIZES.values()))) < RATE


def owners(size, how):
    gids = np.arange(sum(SIZES.values()))
    if how == "round robin":
        return gids % size
    if how == "one empty":
        return gids % max(1, size - 1)
    return np.random.default_rng(size).integers(0, size, gids.size)


def run_rank(comm, owner, path, epoch_steps, record_from, flush_every):
    net = network()
    neurons = LocalNeurons(np.flatnonzero(owner == comm.rank))
    backend = FakeBackend(neurons.gids, probes(net, neurons, CLOCK), matrix())
    config = {"duration": STEPS / 10, "record_from": record_from / 10, "n_ranks": comm.size}
    writer = RunWriter(path, net, CLOCK, config) if comm.rank == 0 else None
    recorder = Recorder(net, CLOCK, neurons, comm, writer, backend, record_from, flush_every)
    for epoch in epochs(0, STEPS, epoch_steps):
        recorder.record(epoch, backend.advance(epoch))
    recorder.close()
    if writer is not None:
        with writer:
            writer.finish(recorder.spike_counts, {}, {})
    return recorder


def run_ranks(size, target):
    """Call target(comm) on every rank; return results and errors by rank."""
    world = ThreadWorld(size)
    results = [None] * size

    def work(rank):
        try:
            results[rank] = target(ThreadComm(world, rank))
        except Exception as error:
            results[rank] = error

    threads = [threading.Thread(target=work, args=(r,)) for r in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize(
    ("epoch_steps", "flush_every", "record_from"),
    [(1, 37, 0), (15, 10**6, 103), (15, 1, 103), (600, 50, 0)],
)
@pytest.mark.parametrize(
    ("size", "how"), [(1, "random"), (2, "round robin"), (3, "random"), (4, "one empty")]
)
def test_division_does_not_matter(tmp_path, size, how, epoch_steps, flush_every, record_from):
    path = tmp_path / "run.h5"
    owner = owners(size, how)
    results = run_ranks(
        size, lambda c: run_rank(c, owner, path, epoch_steps, record_from, flush_every)
    )
    expected = matrix()
    expected[:record_from] = False
    run = open_run(path)
    counts = [int(x.sum()) for x in np.split(expected, [80, 100], axis=1)]
    for result in results:
        assert result.spike_counts.tolist() == counts
    assert list(run.spike_counts.values()) == counts
    for name, first, ids in (("E", 0, np.arange(1, 80, 3)), ("noise", 100, np.arange(5))):
        steps, chosen = np.nonzero(expected[:, first + ids])
        times, node_ids = run.spikes(name)
        assert np.array_equal(times, CLOCK.times(steps + 1))
        assert np.array_equal(node_ids, ids[chosen])
    for name, first, ids, interval, dtype in (
        ("I", 80, np.arange(2, 9), 4, np.float32),
        ("E", 0, np.arange(5, 70, 6), 10, np.float64),
    ):
        at = np.arange(interval, STEPS + 1, interval)
        at = at[at > record_from]
        times, node_ids, values = run.V_m(name)
        assert times == pytest.approx(CLOCK.times(at))
        assert np.array_equal(node_ids, ids)
        assert values.dtype == dtype
        assert np.array_equal(values, potential(at[:, None], first + ids).astype(dtype))


def test_recording_can_begin_late(tmp_path):
    """A resumed run has epochs that do not begin at 0."""
    written = []
    writer = SimpleNamespace(append=lambda *given: written.append(given))
    net = network()
    neurons = LocalNeurons(np.arange(net.n_neurons))
    backend = SimpleNamespace(samples=lambda: [np.zeros((5, 7)), np.zeros((2, 11))])
    begin = 10**9
    recorder = Recorder(net, CLOCK, neurons, SerialComm(), writer, backend, 0, 20)
    for epoch in epochs(begin, begin + 20, 5):
        recorder.record(epoch, Spikes(epoch.begin, np.array([1 + (3 << GID_BITS)])))
    ((end, steps, gids, samples),) = written
    assert end == begin + 20
    assert steps.tolist() == [begin + 3, begin + 8, begin + 13, begin + 18]
    assert gids.tolist() == [1] * 4
    assert [s.shape for s in samples] == [(5, 7), (2, 11)]


@pytest.mark.parametrize("write_from", [0, 100, 103, 120, 299, STEPS])
def test_what_is_in_the_file_is_counted_but_not_written_again(write_from):
    written = []
    writer = SimpleNamespace(append=lambda *given: written.append(given))
    net = network()
    neurons = LocalNeurons(np.arange(net.n_neurons))
    backend = FakeBackend(neurons.gids, probes(net, neurons, CLOCK), matrix())
    recorder = Recorder(net, CLOCK, neurons, SerialComm(), writer, backend, 100, 50, write_from)
    for epoch in epochs(0, STEPS, 7):
        recorder.record(epoch, backend.advance(epoch))
    recorder.close()
    first = max(write_from, 100)
    steps = np.concatenate([w[1] for w in written])
    ids = np.concatenate([np.arange(1, 80, 3), 100 + np.arange(5)])
    assert np.array_equal(steps, np.nonzero(matrix()[first:, ids])[0] + first)
    assert recorder.spike_counts.sum() == matrix()[100:].sum()
    for k, interval in enumerate((4, 10)):
        rows = sum(len(w[3][k]) for w in written)
        assert rows == STEPS // interval - first // interval


@pytest.mark.parametrize(
    ("emitted", "interval", "ends"),
    [(0, None, [90, 100]), (1, None, [63, 100]), (7, None, [9, 18, 27]), (0, 0.1, [7, 14, 21])],
)
def test_a_flush_is_due_when_many_bytes_wait(monkeypatch, emitted, interval, ends):
    """Spikes of all ranks and samples count, 8 bytes each; and at the latest the time does."""
    monkeypatch.setattr(simcore.io.recorder, "FLUSH_BYTES", 500)
    written = []
    writer = SimpleNamespace(append=lambda end, *_: written.append(end))
    net = sc.Network()
    P = net.population("P", 10, sc.LIF())
    net.record(P, "spikes")
    if interval:
        net.record(P, "V_m", interval=interval)
    neurons = LocalNeurons(np.arange(10))
    backend = SimpleNamespace(samples=lambda: [np.zeros((1, 10))])
    recorder = Recorder(net, CLOCK, neurons, SerialComm(), writer, backend, 0, 90)
    for epoch in epochs(0, 100, 1):
        recorder.record(epoch, Spikes(epoch.begin, np.array([3])), emitted * epoch.end)
    recorder.close()
    assert written[: len(ends)] == ends
    assert recorder.spike_counts.sum() == 100


def test_error_of_the_writer_reaches_all_ranks():
    def work(comm):
        net = network()
        neurons = LocalNeurons(np.arange(comm.rank, net.n_neurons, comm.size))
        backend = FakeBackend(neurons.gids, probes(net, neurons, CLOCK), matrix())

        def fail(*_):
            raise OutputError("output 'x' cannot be written: No space left on device")

        writer = SimpleNamespace(append=fail) if comm.rank == 0 else None
        recorder = Recorder(net, CLOCK, neurons, comm, writer, backend, 0, 50)
        for epoch in epochs(0, STEPS, 5):
            recorder.record(epoch, backend.advance(epoch))

    for error in run_ranks(3, work):
        assert isinstance(error, OutputError)
        assert "No space left on device" in str(error)


def test_any_error_of_the_writer_reaches_all_ranks():
    def work(comm):
        net = network()
        neurons = LocalNeurons(np.arange(comm.rank, net.n_neurons, comm.size))
        backend = FakeBackend(neurons.gids, probes(net, neurons, CLOCK), matrix())
        writer = SimpleNamespace(append=None) if comm.rank == 0 else None
        recorder = Recorder(net, CLOCK, neurons, comm, writer, backend, 0, 50)
        recorder.record(epochs(0, 50, 50).__next__(), Spikes(0, np.array([1])))

    for error in run_ranks(2, work):
        assert isinstance(error, OutputError)
        assert "NoneType" in str(error)


def test_without_a_writer_only_counts():
    net = network()
    neurons = LocalNeurons(np.arange(net.n_neurons))
    backend = FakeBackend(neurons.gids, probes(net, neurons, CLOCK), matrix())
    recorder = Recorder(net, CLOCK, neurons, SerialComm(), None, backend, 0, 50)
    for epoch in epochs(0, STEPS, 7):
        recorder.record(epoch, backend.advance(epoch))
    recorder.close()
    assert recorder.spike_counts.sum() == matrix().sum()


def test_probes_of_a_rank():
    net = network()
    found = probes(net, LocalNeurons(np.arange(0, 105, 2)), CLOCK)
    gids = [2 * lids for lids, _, _ in found]
    assert gids[0].tolist() == [82, 84, 86, 88]
    assert gids[1].tolist() == [x for x in range(5, 70, 6) if x % 2 == 0]
    assert [rest for _, *rest in found] == [[4, "V_m"], [10, "V_m"]]


@pytest.mark.parametrize(("interval", "valid"), [(0.25, "multiple of dt"), (0.0, "at least dt")])
def test_interval_off_the_grid(interval, valid):
    net = sc.Network()
    net.record(net.population("E", 3, sc.LIF()), "V_m", interval=interval)
    with pytest.raises(ModelError, match=rf"interval of 'E' is {interval}.*{valid}"):
        probes(net, LocalNeurons(np.arange(3)), CLOCK)
