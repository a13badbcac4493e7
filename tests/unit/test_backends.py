"""Every backend agrees with the reference to the last bit."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simcore as sc
import simcore.shards.shard
from simcore.construction.build import build_shards
from simcore.construction.specification import specify_shards
from simcore.discretization.fixed_point import WeightForm
from simcore.kernels import BACKENDS, Probe, make_backend
from simcore.kernels.cpu import backend as cpu
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import GID_BITS, NO_SPIKES, Spikes
from simcore.partition import RangePartition
from simcore.services.errors import ConfigError
from tests.networks import advance, build, differences, every_feature, same_bits, shard_for

STEPS = 400
NETWORK = every_feature()
FAST = [name for name in BACKENDS if name != "reference"]

pytestmark = pytest.mark.usefixtures("emulated_gpu")


@cache
def shard(backend="cpu"):
    return shard_for(backend, NETWORK)


@cache
def expected(precision="float64"):
    """Return what the reference does with the network that has every feature."""
    return advance(NETWORK, STEPS, "reference", precision, shard=shard())


def test_the_network_is_a_demanding_one():
    counts = dict(
        zip([p.name for p in NETWORK.populations], expected().counts(NETWORK), strict=True)
    )
    multiple = np.unique(np.stack([expected().steps, expected().gids]), axis=1, return_counts=True)[
        1
    ]

    assert {t.form for t in shard().tables} == set(WeightForm)
    assert min(counts[n] for n in ("one", "two", "jumps", "bursts", "trains")) >= 40
    assert counts["still"] == 0
    assert multiple.max() >= 2
    assert len(expected().samples) == len(NETWORK.sampled) == 10
    assert all(np.ptp(rows) > 1.0 for rows in expected().samples)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("backend", FAST)
def test_equal_to_the_last_bit(backend, precision):
    result = advance(NETWORK, STEPS, backend, precision, shard=shard(backend))

    assert differences(result, expected(precision)) == []
    assert result.V_m.dtype == precision


def test_single_and_double_precision_differ():
    assert "V_m" in differences(expected("float32"), expected("float64"))
    first = expected("float32").steps[:200], expected("float64").steps[:200]
    assert (first[0] == first[1]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_changed_seed_is_seen(backend):
    other = advance(every_feature(seed=13), STEPS, backend)

    assert {"steps", "V_m", "samples 0"} <= set(differences(other, expected()))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 250), min_size=1, max_size=30), st.sampled_from(FAST))
def test_any_division_into_epochs(lengths, backend):
    borders = np.minimum(np.cumsum(lengths), STEPS)
    epochs = np.diff([0, *np.unique([*borders, STEPS])])

    result = advance(NETWORK, STEPS, backend, epochs=epochs, shard=shard(backend))
    assert differences(result, expected()) == []


def test_epochs_of_one_step_in_the_reference():
    result = advance(NETWORK, STEPS, "reference", epochs=[1] * STEPS, shard=shard())

    assert differences(result, expected()) == []


@pytest.mark.parametrize(
    ("backend", "largest"), [*((b, n) for b in FAST for n in (8, 13, 50)), ("reference", 30)]
)
def test_any_division_into_blocks(backend, largest, monkeypatch):
    monkeypatch.setattr(simcore.shards.shard, "MAX_BLOCK", 2 * largest)
    blocks = shard_for(backend, NETWORK)

    assert blocks.blocks.size - 1 == -(-NETWORK.n_neurons // largest)
    assert differences(advance(NETWORK, STEPS, backend, shard=blocks), expected()) == []


@pytest.mark.parametrize("dt", [0.05, 0.25])
@pytest.mark.parametrize("backend", FAST)
def test_other_time_steps(backend, dt):
    net = coarse_network()
    results = [advance(net, round(60.0 / dt), name, dt=dt) for name in (backend, "reference")]

    assert differences(*results) == []
    assert results[0].counts(net)[0] > 20


def coarse_network():
    net = sc.Network(seed=4)
    E = net.population("E", 20, sc.LIF(tau_syn=(0.7, 3.0)), V_m=sc.Uniform(0.0, 19.0))
    net.connect(E[:15], E, sc.FixedIndegree(5), weight=90.0, delay=sc.Normal(2.0, 1.0, low=0.2))
    net.connect(E[15:], E, sc.FixedIndegree(3), weight=sc.Normal(-90.0, 9.0), delay=1.5)
    net.drive(E, sc.Poisson(9000.0, 150.0))
    return net


def _counting(method, calls):
    """Return a method that also notes each of its calls."""
    return lambda *given: calls.append(1) or method(*given)


class TestGrowth:
    """Buffers that are too small are enlarged, and nothing is lost."""

    @pytest.mark.parametrize("period", [0.1, 0.7, 14.0])
    def test_bursts(self, period):
        # All neurons fire at once and again: far more than the buffers hold at first
        net = sc.Network()
        times = np.arange(1, 30 / period) * period
        burst = net.population("burst", 3, sc.SpikeTrains(*every(3, times.round(1))))
        E = net.population("E", 80, sc.LIF(t_ref=0.0, tau_m=5.0), V_m=sc.Uniform(0.0, 15.0))
        net.connect(burst, E, sc.AllToAll(), weight=9.0, delay=0.5)
        net.connect(E, E, sc.FixedIndegree(5), weight=0.2, delay=sc.Uniform(0.1, 6.0))
        built = build(net)

        long, cut, plain = (
            advance(net, 300, name, epochs=epochs, shard=built)
            for name, epochs in (("cpu", [300]), ("cpu", [7] * 42 + [6]), ("reference", None))
        )

        assert long.gids.size > (3000 if period < 1.0 else 150)
        assert differences(long, plain) == []
        assert differences(cut, plain) == []

    def test_buffers_start_small(self, monkeypatch):
        calendar, teams, made = cpu.make_calendar, cpu.make_teams, []
        monkeypatch.setattr(cpu, "make_calendar", lambda room, *given: calendar(1, *given))
        monkeypatch.setattr(cpu, "make_teams", lambda n, k, room: teams(n, k, room // 2 - 30))
        monkeypatch.setattr(cpu.CpuBackend, "run", _counting(cpu.CpuBackend.run, made))
        result = advance(NETWORK, STEPS, "cpu", shard=shard())

        assert differences(result, expected()) == []
        assert len(made) > 2

    def test_many_samples_between_two_readings(self):
        net = sc.Network(seed=2)
        E = net.population("E", 5, sc.LIF(tau_m=20.0), V_m=sc.Uniform(0.0, 10.0))
        F = net.population("F", 3, sc.LIF(tau_m=5.0), V_m=7.0)
        net.record(E[1::2], "V_m", interval=0.1)
        net.record(F, "V_m", interval=0.3)

        for epochs in ([500], [499, 1], [3] * 150 + [50]):
            results = [advance(net, 500, name, epochs=epochs) for name in ("cpu", "reference")]
            assert differences(*results) == []
            assert [rows.shape for rows in results[0].samples] == [(500, 2), (166, 3)]

    def test_samples_wait_over_several_epochs(self):
        net = sc.Network(seed=2)
        net.population("E", 5, sc.LIF(tau_m=20.0), V_m=sc.Uniform(0.0, 10.0))
        taken = []
        for name in BACKENDS:
            run = make_backend(name, shard_for(name, net), (Probe(np.array([1, 4]), 2),))
            for begin in range(0, 400, 20):
                run.advance(Epoch(begin, begin + 20), NO_SPIKES)
            taken.append(run.samples()[0])
            assert run.samples()[0].shape == (0, 2)

        assert taken[0].shape == (200, 2)
        assert all(same_bits(rows, taken[0]) for rows in taken)


def every(n, times):
    """Return times and ids of `n` sources that all fire at all times."""
    return np.repeat(times, n), np.tile(np.arange(n), times.size)


class TestRemoteSpikes:
    """Spikes of other ranks are delivered like those of the shard."""

    @pytest.mark.parametrize("order", [1, -1])
    @pytest.mark.parametrize("backend", BACKENDS)
    def test_halves_of_a_network(self, backend, order):
        # Two ranks in one process hand each other their spikes after each epoch of two steps
        ranks = [
            make_backend(backend, shard_for(backend, NETWORK, r, 2, "block")) for r in range(2)
        ]
        steps, gids = [], []
        pending = [NO_SPIKES, NO_SPIKES]
        for begin in range(0, STEPS, 2):
            emitted = [
                run.advance(Epoch(begin, begin + 2), remote)
                for run, remote in zip(ranks, pending, strict=True)
            ]
            # The order in which spikes arrive must not matter
            pending = [Spikes(begin, emitted[1 - r].words[::order].copy()) for r in range(2)]
            words = np.sort(np.concatenate([s.words for s in emitted]))
            steps.append(begin + (words >> GID_BITS))
            gids.append(words & (2**GID_BITS - 1))

        assert min(own.min_remote_delay for r in ranks for own in r.inventory()) == 2
        np.testing.assert_array_equal(np.concatenate(steps), expected().steps)
        np.testing.assert_array_equal(np.concatenate(gids), expected().gids)
        together = np.concatenate([run.potentials() for run in ranks])
        assert same_bits(together, expected().V_m)

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_more_than_the_calendar_holds(self, backend):
        net = sc.Network()
        net.population("far", 20_000, sc.LIF())
        E = net.population("E", 4, sc.LIF(tau_m=1e9, V_th=1e9))
        net.connect(net.populations[0], E, sc.FixedIndegree(500), weight=1.0, delay=2.0)
        run = make_backend(backend, alone(backend, net))
        far = np.arange(20_000)
        words = np.concatenate([far | k << GID_BITS for k in range(3)])

        run.advance(Epoch(0, 10), NO_SPIKES)
        run.advance(Epoch(10, 30), Spikes(0, words))

        np.testing.assert_allclose(run.potentials(), 1500.0, rtol=1e-6)


def alone(backend, net):
    """Return the shard of a rank that owns the second population only."""
    first = net.populations[0].size
    return of_division(backend, net, RangePartition([0, first, net.n_neurons], [1, 0], 2))


def of_division(backend, net, division):
    """Return the first shard of a division, as a backend takes it."""
    make = specify_shards if backend == "cuda" else build_shards
    return make(net, division, range(1), 0.1)[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_rank_without_neurons(backend):
    empty = of_division(backend, NETWORK, RangePartition([0, NETWORK.n_neurons], [1], 2))
    probes = tuple(Probe(np.zeros(0, dtype=np.int64), k) for k in (1, 5))
    run = make_backend(backend, empty, probes)

    spikes = run.advance(Epoch(0, 20), NO_SPIKES)
    later = run.advance(Epoch(20, 40), Spikes(0, np.arange(50)))

    assert (spikes.size, later.size, run.potentials().shape) == (0, 0, (0,))
    assert [rows.shape for rows in run.samples()] == [(40, 0), (8, 0)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_rules_without_synapses(backend):
    net = sc.Network()
    a = net.population("a", 3, sc.LIF(I_e=600.0))
    none = np.zeros(0, dtype=int)
    net.connect(a, a, sc.Edges(none, none, weights=[], delays=[]))
    net.connect(a, a, sc.FixedIndegree(0), weight=1.0, delay=1.0)

    assert advance(net, 200, backend).gids.size == 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_warming_up_changes_nothing(backend):
    cold, warm = (make_backend(backend, shard(backend)) for _ in range(2))
    warm.warm_up()

    words = [run.advance(Epoch(0, 50), NO_SPIKES).words for run in (cold, warm)]
    assert same_bits(*words)
    assert same_bits(cold.potentials(), warm.potentials())
    assert {"deliver", "update"} <= set(warm.phase_seconds())


def test_auto_is_the_fastest():
    assert make_backend("auto", shard("cuda")).name in FAST


@pytest.mark.parametrize(
    ("name", "precision", "message"),
    [
        ("gpu2", "float64", "backend is 'gpu2', must be one of auto, cpu, cuda, reference"),
        ("cpu", "float16", "precision is 'float16', must be float64 or float32"),
    ],
)
def test_unknown_backend(name, precision, message):
    with pytest.raises(ConfigError, match=message):
        make_backend(name, shard(), (), precision)


def test_longest_refractory_time_that_fits():
    net = sc.Network()
    net.population("a", 2, sc.LIF(t_ref=3276.7, I_e=1e6))

    result = advance(net, 33_000, "cpu")

    # One step reaches the threshold
    assert result.steps.tolist() == [0, 0, 32_768, 32_768]
