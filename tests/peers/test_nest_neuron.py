"""Single neurons against NEST: the same spikes, the same potentials.

NEST runs in a process of its own, once for all cases. It is given the weights that simcore uses
after rounding, so that rounding is no part of the comparison.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

import simcore as sc
from tests.networks import advance, build

pytestmark = pytest.mark.peer("nest")

DURATION = 1000.0  # [ms]

# Weights [pA] or [mV], and delays [ms], of the trains that a neuron receives
CURRENTS = [(210.0, 0.1), (90.0, 1.5), (35.5, 0.7), (400.0, 2.3), (-150.0, 0.1), (-333.3, 1.1)]
JUMPS = [(1.7, 0.1), (0.6, 1.5), (0.25, 0.7), (3.3, 2.3), (-0.9, 0.1), (-2.2, 1.1)]

BODY = {"E_L": -65.0, "V_th": -50.0, "V_reset": -67.5, "C_m": 250.0, "tau_m": 10.0, "t_ref": 2.0}
CASES = {
    "iaf_psc_exp, one time constant": (sc.LIF(**BODY, tau_syn=0.5, I_e=400.0), CURRENTS, 0.1),
    "iaf_psc_exp, two time constants": (
        sc.LIF(**BODY, tau_syn=(1.3, 6.0), I_e=1000.0),
        CURRENTS,
        0.1,
    ),
    "iaf_psc_exp, that of the membrane": (sc.LIF(**BODY, tau_syn=10.0, I_e=150.0), CURRENTS, 0.1),
    "iaf_psc_exp, short step": (sc.LIF(**BODY, tau_syn=(0.3, 2.0), I_e=650.0), CURRENTS, 0.05),
    "iaf_psc_delta": (sc.LIF(**BODY, I_e=300.0), JUMPS, 0.1),
    "iaf_psc_delta, long refractory time": (
        sc.LIF(tau_m=20.0, C_m=1.0, t_ref=7.3, I_e=0.9),
        JUMPS,
        0.1,
    ),
}

NEST = """
import json, sys
import nest

nest.verbosity = nest.VerbosityLevel.ERROR
answers = []
for case in json.loads(sys.stdin.read()):
    nest.ResetKernel()
    nest.set(resolution=case["dt"], print_time=False)
    cell = nest.Create(case["model"], params=case["params"])
    for times, weight, delay in case["trains"]:
        train = nest.Create("spike_generator", params={"spike_times": times})
        nest.Connect(train, cell, syn_spec={"weight": weight, "delay": delay})
    meter = nest.Create("multimeter", params={"record_from": ["V_m"], "interval": case["dt"]})
    recorder = nest.Create("spike_recorder")
    nest.Connect(meter, cell)
    nest.Connect(cell, recorder)
    nest.Simulate(case["duration"] + 10.0)
    keys = (recorder, "times"), (meter, "times"), (meter, "V_m")
    answers.append([node.events[key].tolist() for node, key in keys])
print(json.dumps(answers), file=sys.stderr)
"""


def describe(model, trains):
    """Return the network of one neuron and its input, and the times of the trains [ms]."""
    rng = np.random.default_rng(17)
    net = sc.Network()
    cell = net.population("cell", 1, model, V_m=model.E_L + 3.0)
    times = np.sort(rng.integers(1, int(10 * DURATION), (len(trains), 350))) / 10
    ids = np.arange(len(trains)).repeat(350)
    sources = net.population("trains", len(trains), sc.SpikeTrains(times.ravel(), ids))
    for i, (weight, delay) in enumerate(trains):
        net.connect(sources[i], cell, sc.OneToOne(), weight=weight, delay=delay)
    net.record(cell, "V_m", interval=0.1, dtype="float64")
    return net, times


def question(name):
    """Return a case as NEST needs it."""
    model, trains, dt = CASES[name]
    net, times = describe(model, trains)
    points = build(net, dt=dt).fixed_point
    params = {key: getattr(model, key) for key in (*BODY, "I_e")} | {"V_m": model.E_L + 3.0}
    if model.tau_syn is not None:
        taus = model.tau_receptors
        params |= {"tau_syn_ex": taus[0], "tau_syn_in": taus[-1]}
    weights = [float(w.values[0] * w.quantum) for w in points.weights]
    delays = [delay for _, delay in trains]
    return {
        "model": name.split(",")[0],
        "dt": dt,
        "duration": DURATION,
        "params": params,
        "trains": list(zip([t.tolist() for t in times], weights, delays, strict=True)),
    }


@pytest.fixture(scope="module")
def nest():
    """The answers of NEST by case: spike times, times of the samples, potentials."""
    done = subprocess.run(
        [sys.executable, "-c", NEST],
        input=json.dumps([question(name) for name in CASES]),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(zip(CASES, json.loads(done.stderr.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_neuron(nest, name):
    model, trains, dt = CASES[name]
    net, _ = describe(model, trains)

    result = advance(net, round(DURATION / dt), "cpu", dt=dt)
    spike_times = (result.steps[result.gids == 0] + 1) * dt
    V_m = result.samples[0][:, 0]
    expected, sample_times, potentials = (np.array(values) for values in nest[name])

    expected = expected[expected <= DURATION + 1e-6]
    assert expected.size > 20
    assert np.rint(spike_times / dt).tolist() == np.rint(expected / dt).tolist()
    # Every 0.1 ms up to the end
    tenths = np.rint(sample_times * 10)
    common = (np.abs(sample_times * 10 - tenths) < 1e-3) & (tenths <= 10 * DURATION)
    assert tenths[common].tolist() == list(range(1, V_m.size + 1))
    np.testing.assert_allclose(V_m, potentials[common], rtol=0, atol=1e-9)
