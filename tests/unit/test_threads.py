"""Threads inside a rank: the same spikes, potentials and samples as on one."""

import time

import numpy as np
import pytest

import simcore as sc
from simcore.construction.build import Draws, build_shards
from simcore.kernels import check_backend
from simcore.kernels.cpu import team, threads
from simcore.kernels.cpu.backend import CpuBackend
from simcore.models import brunel
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import GID_BITS, NO_SPIKES, Spikes
from simcore.partition import PARTITIONERS, RangePartition, partition
from simcore.services.comm import SerialComm
from simcore.services.errors import ConfigError
from tests.networks import advance, build, differences, every_feature, make_run, same_bits

NETWORK = every_feature()
STEPS = 400


@pytest.fixture(scope="module")
def expected():
    return advance(NETWORK, STEPS, "reference")


@pytest.mark.parametrize("n_threads", [2, 3, 7])
def test_every_feature(expected, n_threads):
    assert expected.gids.size > 1000
    assert differences(advance(NETWORK, STEPS, threads=n_threads), expected) == []


@pytest.mark.parametrize("epochs", [[1] * 50 + [350], [7] * 57 + [1], [399, 1]])
def test_epochs_of_any_length(expected, epochs):
    assert differences(advance(NETWORK, STEPS, threads=2, epochs=epochs), expected) == []


def test_single_precision():
    alone, both = (advance(NETWORK, STEPS, precision="float32", threads=n) for n in (1, 2))
    assert alone.V_m.dtype == np.float32
    assert differences(alone, both) == []


def test_difference_is_found(expected):
    """The comparison of these tests fails where there is something to find."""
    other = advance(every_feature(seed=13), STEPS, threads=2)
    assert differences(other, expected)


@pytest.mark.parametrize("name", PARTITIONERS)
def test_partitioners(expected, name):
    shards = build_shards(NETWORK, partition(NETWORK, 3, name), range(3), 0.1)
    run = make_run(NETWORK, shards=shards)
    spikes = run.advance(Epoch(0, STEPS), NO_SPIKES)
    assert same_bits(spikes.steps, expected.steps)
    assert same_bits(spikes.gids, expected.gids)
    assert same_bits(run.potentials(), expected.V_m)


def test_thread_without_neurons(expected):
    shards = build_shards(NETWORK, RangePartition([0, NETWORK.n_neurons], [1], 3), range(3), 0.1)
    run = make_run(NETWORK, shards=shards)
    assert same_bits(run.advance(Epoch(0, STEPS), NO_SPIKES).gids, expected.gids)


def test_meetings_follow_the_shortest_delay_between_threads():
    net = sc.Network(seed=1)
    a, b = (net.population(name, 10, sc.LIF()) for name in "ab")
    for group in (a, b):
        net.connect(group, group, sc.FixedIndegree(3), weight=1.0, delay=0.1)
    net.connect(a, b, sc.FixedIndegree(3), weight=1.0, delay=2.0)
    net.connect(b, a, sc.FixedIndegree(3), weight=1.0, delay=0.7)
    shards = build_shards(net, RangePartition([0, 10, 20], [0, 1], 2), range(2), 0.1)

    assert [shard.min_other_delay for shard in shards] == [7, 20]
    assert [shard.min_remote_delay for shard in shards] == [2**62, 2**62]
    assert make_run(net, shards=shards)._parts[1].team.interval == 7


def test_remote_spikes_reach_all_threads():
    net = sc.Network()
    far = net.population("far", 20_000, sc.LIF())
    E = net.population("E", 4, sc.LIF(tau_m=1e9, V_th=1e9))
    net.connect(far, E, sc.FixedIndegree(500), weight=1.0, delay=2.0)
    division = RangePartition([0, 20_000, 20_002, 20_004], [2, 0, 1], 3)
    shards = build_shards(net, division, range(2), 0.1)
    run = make_run(net, shards=shards)
    words = np.concatenate([np.arange(20_000) | k << GID_BITS for k in range(3)])

    assert [shard.min_remote_delay for shard in shards] == [20, 20]
    run.advance(Epoch(0, 10), NO_SPIKES)
    run.advance(Epoch(10, 30), Spikes(0, words))

    np.testing.assert_allclose(run.potentials(), 1500.0, rtol=1e-6)


def test_full_buffers(monkeypatch, expected):
    calls, call = [], team.call
    monkeypatch.setattr(threads, "_CROWDED_STEPS", 1)
    monkeypatch.setattr(threads, "call", lambda *given: calls.append(1) or call(*given))
    assert differences(advance(NETWORK, STEPS, threads=2), expected) == []
    assert len(calls) > 2


def test_threads_leave_after_a_while_and_come_back(expected):
    run = make_run(NETWORK, threads=3)
    found = []
    for begin in range(0, STEPS, 100):
        found.append(run.advance(Epoch(begin, begin + 100), NO_SPIKES))
        deadline = time.monotonic() + 60.0
        while any(thread.is_alive() for thread in run._threads.values()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert same_bits(np.concatenate([s.gids for s in found]), expected.gids)
    assert same_bits(run.potentials(), expected.V_m)


def test_more_threads_than_cores():
    net = brunel.build(order=40)
    alone, many = (advance(net, 200, threads=n) for n in (1, 16))
    assert alone.gids.size > 50
    assert differences(alone, many) == []


def test_synapses_are_divided():
    shards = build_shards(NETWORK, partition(NETWORK, 3), range(3), 0.1)
    assert sum(shard.n_synapses for shard in shards) == build(NETWORK).n_synapses
    assert min(shard.n_synapses for shard in shards) > 0


def test_build_that_is_interrupted_ends_soon(monkeypatch):
    net = sc.Network(seed=1)
    P = net.population("P", 2000, sc.LIF())
    for _ in range(200):
        net.connect(P, P, sc.FixedIndegree(100), weight=1.0, delay=1.0)
    visits, visit = [], Draws.visit
    monkeypatch.setattr(Draws, "visit", lambda *given: visits.append(1) or visit(*given))

    def interrupt(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_shards(net, partition(net, 2), range(2), 0.1, interrupt)
    # To the end there would be 600 and more
    assert 1 <= len(visits) < 300


def test_simulation_has_all_neurons_and_time_spent_waiting(tmp_path):
    simulation = sc.Simulation(NETWORK, comm=SerialComm(), threads=2)
    simulation.warm_up()
    simulation.run(10.0)
    assert np.array_equal(simulation.neurons.gids, np.arange(NETWORK.n_neurons))
    assert set(simulation.backend.phase_seconds()) == {"deliver", "update", "waiting"}

    files = [
        sc.simulate(NETWORK, 40.0, output=tmp_path / f"{n}.h5", threads=n, comm=SerialComm())
        for n in (1, 2)
    ]
    assert files[1].config["threads"] == 2
    for population in NETWORK.populations:
        one, two = (f.spikes(population.name) for f in files)
        assert same_bits(one[0], two[0])
        assert same_bits(one[1], two[1])


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, True, 10**6])
def test_number_of_threads_is_checked(n_threads):
    with pytest.raises(ConfigError, match=r"threads is .*, must be a whole number from 1 to 1024"):
        check_backend("cpu", "float64", n_threads)
    with pytest.raises(ConfigError, match="threads is"):
        sc.Simulation(NETWORK, comm=SerialComm(), threads=n_threads)


def test_reference_has_one_thread():
    with pytest.raises(ConfigError, match="must be 1 with the backend 'reference'"):
        sc.simulate(NETWORK, 1.0, backend="reference", threads=2, comm=SerialComm())


def test_thread_that_fails_ends_the_run(monkeypatch):
    def broken(self, last):
        raise MemoryError("no room today")

    run = make_run(NETWORK, threads=3)
    monkeypatch.setattr(CpuBackend, "serve", broken)
    for _ in range(2):
        with pytest.raises(MemoryError, match="no room today"):
            run.advance(Epoch(0, 50), NO_SPIKES)
    for thread in run._threads.values():
        thread.join(10.0)
        assert not thread.is_alive()


def test_interrupt_leaves_no_thread_waiting(monkeypatch):
    def interrupted(self, *given):
        raise KeyboardInterrupt

    run = make_run(NETWORK, threads=3)
    run.advance(Epoch(0, 50), NO_SPIKES)
    monkeypatch.setattr(CpuBackend, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.advance(Epoch(50, 100), NO_SPIKES)
    for thread in run._threads.values():
        thread.join(10.0)
        assert not thread.is_alive()
    with pytest.raises(RuntimeError, match="was interrupted, and cannot go on"):
        run.advance(Epoch(50, 100), NO_SPIKES)


def test_too_many_threads_are_reported(capsys):
    sc.simulate(NETWORK, 1.0, threads=99, comm=SerialComm(), progress=True)
    assert "99 threads on" in capsys.readouterr().err
