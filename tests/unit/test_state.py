"""State: a run goes on from it as if nothing had happened, on any backend and division."""

from itertools import pairwise

import numpy as np
import pytest

import simcore as sc
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import GID_BITS, NO_SPIKES, Spikes
from simcore.shards.neuron_state import NeuronState, join_states
from tests.networks import advance, build, every_feature, make_run, same_bits

NETWORK = every_feature()
STEPS = 400
KINDS = {"reference": ("reference", 1), "cpu": ("cpu", 1), "threads": ("cpu", 3)}


@pytest.fixture(scope="module")
def expected():
    return advance(NETWORK, STEPS, "reference")


def recent_of(steps, gids, step, max_delay):
    """Return the spikes of the last steps before one, in no particular order."""
    chosen = (steps < step) & (steps >= step - max_delay)
    words = (steps[chosen] - (step - max_delay)) << GID_BITS | gids[chosen]
    return Spikes(step - max_delay, np.random.default_rng(1).permutation(words))


def in_pieces(kinds, cuts, precision="float64"):
    """Advance with another backend after each cut, from the state of the one before."""
    max_delay = build(NETWORK).max_delay
    steps, gids = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    run = None
    for kind, (begin, end) in zip(kinds, pairwise(cuts), strict=True):
        backend, threads = KINDS[kind]
        following = make_run(NETWORK, backend, precision, threads=threads)
        if run is not None:
            following.restore(run.state(), begin, recent_of(steps, gids, begin, max_delay))
        run = following
        spikes = run.advance(Epoch(begin, end), NO_SPIKES)
        steps, gids = np.append(steps, spikes.steps), np.append(gids, spikes.gids)
    return steps, gids, run


@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("cut", [1, 150, 399])
def test_from_any_backend_to_any(expected, first, second, cut):
    steps, gids, run = in_pieces([first, second], [0, cut, STEPS])

    assert same_bits(steps, expected.steps)
    assert same_bits(gids, expected.gids)
    assert same_bits(run.potentials(), expected.V_m)


def test_many_times(expected):
    cuts = [0, 3, 4, 40, 41, 77, 200, 203, 210, 333, STEPS]
    kinds = [list(KINDS)[k % 3] for k in range(len(cuts) - 1)]
    _, gids, run = in_pieces(kinds, cuts)

    assert same_bits(gids, expected.gids)
    assert same_bits(run.potentials(), expected.V_m)


def test_single_precision():
    whole = advance(NETWORK, STEPS, precision="float32")
    _, gids, run = in_pieces(["cpu", "threads"], [0, 123, STEPS], "float32")

    assert same_bits(gids, whole.gids)
    assert same_bits(run.potentials(), whole.V_m)


def test_states_of_all_backends_are_equal():
    states = []
    for backend, threads in KINDS.values():
        run = make_run(NETWORK, backend, threads=threads)
        run.advance(Epoch(0, 250), NO_SPIKES)
        states.append(run.state())

    for state in states[1:]:
        assert same_bits(state.gids, states[0].gids)
        pairs = zip(state.columns, states[0].columns, NETWORK.populations, strict=True)
        for found, wanted, population in pairs:
            assert list(found) == list(wanted)
            for name, values in found.items():
                assert same_bits(values, wanted[name]), (population.name, name)


@pytest.mark.parametrize("missing", ["spike", "state"])
def test_what_is_missing_is_found_out(expected, missing):
    """A spike under way, or the state of one neuron, makes a difference."""
    run = make_run(NETWORK)
    run.advance(Epoch(0, 150), NO_SPIKES)
    state = run.state()
    recent = recent_of(expected.steps, expected.gids, 150, build(NETWORK).max_delay)
    if missing == "spike":
        # The shortest delay is two steps, so that what comes in the last step is under way
        last = recent.words[recent.steps == 149]
        assert last.size
        recent = Spikes(recent.origin, recent.words[recent.steps != 149])
    else:
        # A neuron that never fires, whose potential would forget what it was
        state.columns[5]["V_m"][-1] += 1e-9
    other = make_run(NETWORK)
    other.restore(state, 150, recent)
    other.advance(Epoch(150, STEPS), NO_SPIKES)

    assert not same_bits(other.potentials(), expected.V_m)


def state_of(*gids):
    """Return a state of some neurons of two populations, of which the second begins with 4."""
    numbers = np.array(gids, dtype=np.int64)
    first, second = numbers[numbers < 4], numbers[numbers >= 4]
    columns = {"V_m": first * 1.5, "refractory": first.astype(np.int16)}, {"w": second * 2.0}
    return NeuronState(numbers, np.array([0, 4, 20]), columns)


def test_join_and_choose():
    joined = join_states([state_of(1, 4), state_of(0, 2, 9)])
    assert joined.gids.tolist() == [0, 1, 2, 4, 9]
    first, second = joined.columns
    assert first["V_m"].tolist() == [0.0, 1.5, 3.0]
    assert first["refractory"].dtype == np.int16
    assert second["w"].tolist() == [8.0, 18.0]
    chosen = joined.of(np.array([1, 9]))
    assert [next(iter(c.values())).tolist() for c in chosen.columns] == [[1.5], [18.0]]


@pytest.mark.parametrize("gid", [-1, 3, 10])
def test_unknown_neuron(gid):
    with pytest.raises(KeyError, match=f"no state of neuron {gid}"):
        state_of(0, 2, 9).of(np.array([gid]))


def test_stimuli_that_begin_and_end():
    net = sc.Network(seed=4)
    group = net.population("n", 20, sc.LIF(tau_syn=0.5), V_m=sc.Uniform(-1.0, 1.0))
    net.drive(group, sc.Current(100.0, start=1.0, stop=3.0))
    net.drive(group[:5], sc.Current(50.0, start=2.0))
    net.drive(group, sc.Poisson(rate=9000.0, weight=10.0, start=0.5, stop=4.0))
    whole = make_run(net)
    whole.advance(Epoch(0, 60), NO_SPIKES)
    for backend in ("cpu", "reference"):
        for cut in (7, 10, 15, 20, 25, 30, 45):
            first, second = make_run(net, backend), make_run(net, backend)
            first.advance(Epoch(0, cut), NO_SPIKES)
            second.restore(first.state(), cut, NO_SPIKES)
            second.advance(Epoch(cut, 60), NO_SPIKES)
            assert same_bits(second.potentials(), whole.potentials()), (backend, cut)
