"""The CUDA backend on a GPU; everything else that is known of it is tested without one."""

import numpy as np
import pytest

from simcore.kernels.cuda import backend as module
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import NO_SPIKES
from simcore.partition import partition
from tests.emulation.gpu import shared_models
from tests.networks import advance, build, differences, every_feature, make_run, same_bits
from tests.side_by_side import Ranks
from tests.unit.test_models import CASES, advanced, network
from tests.unit.test_state import recent_of

pytestmark = pytest.mark.gpu

NETWORK = every_feature()
STEPS = 400


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("steps", [1, 7, 250])
def test_equal_to_the_reference(monkeypatch, precision, steps):
    monkeypatch.setattr(module, "LAUNCH_STEPS", steps)
    wanted = advance(NETWORK, STEPS, "reference", precision)
    assert differences(advance(NETWORK, STEPS, "cuda", precision), wanted) == []


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_ranks(n_ranks):
    wanted = advance(NETWORK, STEPS, "reference")
    ranks = Ranks(NETWORK, partition(NETWORK, n_ranks, "round_robin"), "cuda")
    assert differences(ranks.advance(STEPS), wanted) == []


@pytest.mark.parametrize(("first", "second"), [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
def test_changes_of_backend(first, second):
    expected = advance(NETWORK, STEPS, "reference")
    before = make_run(NETWORK, first)
    spikes = before.advance(Epoch(0, 150), NO_SPIKES)
    after = make_run(NETWORK, second)
    recent = recent_of(spikes.steps, spikes.gids, 150, build(NETWORK).max_delay)
    after.restore(before.state(), 150, recent)
    rest = after.advance(Epoch(150, STEPS), NO_SPIKES)
    assert same_bits(np.append(spikes.gids, rest.gids), expected.gids)
    assert same_bits(after.potentials(), expected.V_m)


def test_phases_are_told_apart():
    run = make_run(NETWORK, "cuda")
    run.advance(Epoch(0, 100), NO_SPIKES)
    assert min(run.phase_seconds().values()) > 0.0


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_models(monkeypatch, name, precision):
    """Every model of the library, with kernels that have all of them."""
    monkeypatch.setattr(module, "model_set", shared_models)
    net = network(name)
    words, samples, state = advanced(net, "cuda", precision)
    own_words, own_samples, own_state = advanced(net, "cpu", precision)
    assert words.size > 10
    assert same_bits(words, own_words)
    assert all(same_bits(a, b) for a, b in zip(samples, own_samples, strict=True))
    assert state.keys() == own_state.keys()
    assert all(same_bits(values, own_state[column]) for column, values in state.items())
