"""Every model of the library: the same bits in NumPy, in compiled code, and in CUDA's."""

import numpy as np
import pytest

import simcore as sc
from simcore import library
from simcore.kernels import make_backend
from simcore.kernels.backend import Probe
from simcore.language.program import make_program
from simcore.numerics import random
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import NO_SPIKES
from tests.networks import same_bits, shard_for

# Mean input in a step that lets a neuron spike, by unit of its weights
DRIVE = {"nS": 16.0, "pA": 120.0, "mV": 0.8, "1": 1.0}

# Parameters of models that would not spike within so few steps
GIF = {
    "tau_sfa": [5.0, 50.0], "q_sfa": [4.0, 2.0], "tau_stc": [10.0], "q_stc": [20.0],
    "lambda_0": 100.0, "Delta_V": 3.0, "t_ref": 1.0,
}  # fmt: skip
GIVEN = {
    "gif_cond_exp": GIF,
    "gif_psc_exp": GIF,
    "ignore_and_fire": {"rate": 300.0},
}

# Models that together have all operations; these are compared in both precisions
IN_BOTH = (
    "aeif_psc_exp", "gif_psc_exp", "hh_cond_exp_traub", "iaf_cond_exp", "iaf_psc_delta",
    "izhikevich", "mat2_psc_exp", "parrot_neuron",
)  # fmt: skip
CASES = [(name, "float64") for name in library.names()] + [(name, "float32") for name in IN_BOTH]


def network(name):
    """Return a network of a model, each of whose receptors is driven and connected.

    Neurons that repeat what they hear do not hear each other.
    """
    net = sc.Network(seed=3)
    kind = library.load(name)
    slow = {"tau_syn_ex": 2.0} if "tau_syn_ex" in kind().values else {}
    model = kind(**(slow | GIVEN.get(name, {})))
    E = net.population("E", 40, model)
    receptors = model.definition.receptors
    for k, receptor in enumerate(receptors):
        sign = -0.03 if k == 1 and model.receptors_by_sign is not None else 1.0
        weight = sign * DRIVE[receptor.unit]
        net.drive(E, sc.Poisson(9000.0, weight, receptor=receptor.name))
        if not receptor.counts:
            rule = sc.FixedIndegree(2)
            net.connect(E, E, rule, weight=0.1 * weight, delay=1.5, receptor=receptor.name)
    if "I_e" in model.values:
        net.drive(E[10:20], sc.Current(50.0, start=5.0, stop=20.0))
    return net


def advanced(net, backend, precision, steps=300):
    """Return spikes and all columns after some steps."""
    shard = shard_for(backend, net)
    columns = [c.name for c in net.populations[0].neuron.layout.reals]
    probes = tuple(Probe(np.arange(0, 40, 3), 1, name) for name in columns)
    run = make_backend(backend, shard, probes, precision)
    spikes = run.advance(Epoch(0, steps), NO_SPIKES)
    (state,) = run.state().columns
    return spikes.words, run.samples(), state


def operations(names):
    """Return what the programs of some models consist of."""
    programs = [make_program(library.load(name)()) for name in names]
    bodies = [body for p in programs for body in (*p.bodies, *p.finer, p.condition) if body]
    lines = {(line.op, line.kind) for body in bodies for line in body.lines}
    finer, often = any(p.finer for p in programs), any(body.times > 1 for body in bodies)
    draws = any(body.draws for body in bodies)
    return lines, finer, often, draws, any(body.counts for body in bodies)


def test_models_in_both_precisions_have_all_operations():
    assert operations(IN_BOTH) == operations(library.names())


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_backends_agree(name, precision, emulated_gpu):
    net = network(name)
    words, samples, state = advanced(net, "reference", precision)
    assert words.size > 10
    for backend in ("cpu", "cuda"):
        own_words, own_samples, own_state = advanced(net, backend, precision)
        np.testing.assert_array_equal(own_words, words, err_msg=backend)
        for one, other in zip(own_samples, samples, strict=True):
            assert same_bits(one, other), backend
        assert own_state.keys() == state.keys()
        for column, values in state.items():
            assert same_bits(own_state[column], values), (backend, column)
            assert np.isfinite(values).all()


class seven_numbers(sc.NeuronModel):
    """Keeps most of what it draws; many of its neurons take finer steps."""

    state = """
        a = 0 [1]
        b = 0 [1]
        c = 0 [1]
        d = 0 [1]
        e = 0 [1]
        x = 0 [1]
    """
    before = "a = uniform()"
    equations = "dx/dt = (0.5 - x*x)/ms"
    update = """
        b = uniform(); c = uniform()
        if uniform() < 0.5:
            d = uniform()
        else:
            d = 2*b
    """
    threshold = "uniform() < 0.3 and x > 0.1"
    reset = "e = uniform()"
    method = "rk4"
    refine = "x > 0.3: 2"


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_random_numbers_are_those_of_gid_step_and_place(precision, emulated_gpu):
    net, real = sc.Network(seed=2**40 + 5), np.dtype(precision)
    net.population("before", 3, sc.LIF())
    E = net.population("E", 40, seven_numbers(), x=sc.Uniform(0.0, 0.6))
    for backend in ("reference", "cpu", "cuda"):
        run = make_backend(backend, shard_for(backend, net), (), precision)
        run.advance(Epoch(0, 2), NO_SPIKES)
        before = run.state().columns[1]
        spikes = run.advance(Epoch(2, 3), NO_SPIKES)
        after = run.state().columns[1]

        words = random.draw_step(net.seed, E.first + np.arange(E.size), 2, 7)
        u = [random.uniform_of_word(w, real) for w in words]
        spiked = (u[5] < 0.3) & (after["x"] > 0.1)
        assert 0 < spiked.sum() < E.size
        assert (spikes.gids - E.first).tolist() == np.flatnonzero(spiked).tolist()
        expected = {
            "a": u[0],
            "b": u[1],
            "c": u[2],
            "d": np.where(u[3] < 0.5, u[4], real.type(2.0) * u[1]),
            "e": np.where(spiked, u[6], before["e"]),
        }
        for name, values in expected.items():
            assert same_bits(values, after[name]), (backend, name)
        # Some take finer steps, others do not
        assert 0 < (before["x"] > 0.3).sum() < E.size
