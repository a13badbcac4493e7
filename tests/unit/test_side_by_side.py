"""Ranks side by side in one process: their spikes and potentials are those of a lone shard."""

import numpy as np
import pytest

import simcore as sc
from simcore.library import load
from simcore.numerics.spikes import GID_BITS, Spikes
from simcore.partition import PARTITIONERS, partition
from tests import mutants
from tests.networks import Result, advance, differences, every_feature
from tests.side_by_side import Ranks, divide, nearly_all

NETWORK = every_feature()
STEPS = 400
SIZE = NETWORK.n_neurons


@pytest.fixture(scope="module")
def expected():
    return advance(NETWORK, STEPS, "reference")


@pytest.mark.parametrize("partitioner", PARTITIONERS)
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n_ranks", [1, 2, 3, 4, 7])
def test_ranks_and_threads(expected, n_ranks, threads, partitioner):
    division = partition(NETWORK, n_ranks * threads, partitioner)
    ranks = Ranks(NETWORK, division, threads=threads)

    found = ranks.advance(STEPS)
    ranks.close()

    assert len(ranks.runs) == n_ranks
    assert ranks.longest == (1000 if n_ranks == 1 else 2)
    assert differences(found, expected) == []


@pytest.mark.parametrize(
    ("n_ranks", "partitioner"), [(2, "round_robin"), (3, "block"), (7, "balanced")]
)
def test_reference(expected, n_ranks, partitioner):
    ranks = Ranks(NETWORK, partition(NETWORK, n_ranks, partitioner), "reference")

    assert differences(ranks.advance(STEPS), expected) == []


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_single_precision(backend):
    expected = advance(NETWORK, STEPS, "reference", "float32")
    ranks = Ranks(NETWORK, partition(NETWORK, 3), backend, "float32")

    assert differences(ranks.advance(STEPS), expected) == []


@pytest.mark.parametrize("one_part", [0, 3, 6])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_one_rank_with_nearly_everything(expected, backend, one_part):
    ranks = Ranks(NETWORK, nearly_all(SIZE, one_part, 7), backend)

    assert sorted(run.shard.neurons.size for run in ranks.runs) == [1] * 6 + [SIZE - 6]
    assert differences(ranks.advance(STEPS), expected) == []


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("owner", [0, 2])
def test_ranks_without_neurons(expected, owner, threads):
    parts = np.arange(SIZE) % threads + owner * threads
    ranks = Ranks(NETWORK, divide(parts, 4 * threads), threads=threads)

    assert ranks.longest == 1000
    assert differences(ranks.advance(STEPS), expected) == []


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_ranks_that_never_spike(expected, backend):
    # What spikes is dealt out to two ranks, the others only listen
    loud = np.isin(np.arange(SIZE), expected.gids)
    owners = np.where(loud, np.arange(SIZE) % 2, 2 + np.arange(SIZE) % 3)
    ranks = Ranks(NETWORK, divide(owners, 5), backend)

    assert min(run.shard.neurons.size for run in ranks.runs) > 0
    assert differences(ranks.advance(STEPS), expected) == []


@pytest.mark.parametrize("cut", [2, 123, 250])
def test_state_on_another_division(expected, cut):
    before = Ranks(NETWORK, partition(NETWORK, 6), threads=2)
    early = before.advance(cut)
    step = max(0, cut - before.runs[0].shard.max_delay)
    recent = early.steps >= step
    words = (early.steps[recent] - step) << GID_BITS | early.gids[recent]
    after = Ranks(NETWORK, partition(NETWORK, 4, "round_robin"))
    after.restore(before.state(), cut, Spikes(step, words))
    late = after.advance(STEPS - cut)

    steps, gids = np.append(early.steps, late.steps), np.append(early.gids, late.gids)
    samples = [np.concatenate(pair) for pair in zip(early.samples, late.samples, strict=True)]
    assert differences(Result(steps, gids, late.V_m, samples), expected) == []


def only_drawn():
    """Describe a network in which all that is random is drawn target by target.

    Its neurons spike by a threshold, and others by chance.
    """
    net = sc.Network(seed=6)
    E = net.population("E", 40, sc.LIF(tau_syn=2.0, I_e=700.0), V_m=sc.Uniform(0.0, 19.0))
    for weight in (sc.Normal(0.0, 60.0), 61.3, -70.7):
        net.connect(E, E, sc.FixedIndegree(8), weight=weight, delay=sc.Uniform(0.2, 2.0))
    net.drive(E, sc.Poisson(rate=8000.0, weight=25.1))
    noisy = net.population("noisy", 9, load("gif_psc_exp")(Delta_V=5.0, lambda_0=9e3))
    net.connect(noisy, E, sc.FixedIndegree(1), weight=40.3, delay=1.0)
    return net


@pytest.mark.parametrize(
    ("breach", "backend", "threads"),
    [
        (mutants.initial_V_by_local_id, "reference", 1),
        (mutants.initial_V_by_local_id, "cpu", 1),
        (mutants.stimulus_by_local_id, "reference", 1),
        (mutants.noise_by_local_id, "reference", 1),
        (mutants.synapses_by_local_id, "reference", 1),
        (mutants.synapses_by_local_id, "cpu", 3),
        (mutants.sums_in_order_of_arrival, "reference", 1),
        (mutants.epochs_too_long, "reference", 1),
        (mutants.epochs_too_long, "cpu", 1),
        (mutants.meetings_too_rare, "cpu", 3),
    ],
)
def test_breach_is_found(monkeypatch, breach, backend, threads):
    """What breaks the promise does not stop a run, but its results differ."""
    net = only_drawn()
    division = partition(net, 3, "round_robin")

    def differing():
        ranks = Ranks(net, division, backend, threads=threads)
        return differences(ranks.advance(STEPS), advance(net, STEPS, backend))

    assert differing() == []
    breach(monkeypatch)
    assert "V_m" in differing()
