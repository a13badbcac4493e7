"""Every model of the library: the same bits in NumPy, in compiled code, and in CUDA's."""

import numpy as np
import pytest

import simcore as sc
from simcore import library
from simcore.kernels import make_backend
from simcore.kernels.backend import Probe
from simcore.language.program import make_program
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import NO_SPIKES
from tests.networks import same_bits, shard_for

# Mean input in a step that lets a neuron spike, by unit of its weights
DRIVE = {"nS": 16.0, "pA": 120.0, "mV": 0.8, "1": 1.0}

# Parameters of models that would not spike within so few steps
GIVEN = {"aeif_psc_exp": {"tau_syn_ex": 2.0}, "ignore_and_fire": {"rate": 300.0}}

# Models that together have all operations; these are compared in both precisions
IN_BOTH = (
    "aeif_psc_exp", "hh_cond_exp_traub", "iaf_cond_exp", "iaf_psc_delta", "izhikevich",
    "mat2_psc_exp", "parrot_neuron",
)  # fmt: skip
CASES = [(name, "float64") for name in library.names()] + [(name, "float32") for name in IN_BOTH]


def network(name):
    """Return a network of a model, each of whose receptors is driven and connected.

    Neurons that repeat what they hear do not hear each other.
    """
    net = sc.Network(seed=3)
    model = library.load(name)(**GIVEN.get(name, {}))
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
    return lines, finer, often, any(body.counts for body in bodies)


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
