"""The cortical microcircuit of Potjans and Diesmann (2014) in GeNN, as a peer to compare with.

The network of ``microcircuit_nest.py`` on GeNN's single-threaded CPU backend, in single precision,
compiled for this processor. A synapse takes 9 bytes, with ``--narrow`` 7. The compilation is timed
apart from the build::

    python microcircuit_genn.py --n-scaling 0.5 --k-scaling 0.5 --drive dc --json genn.json

Needs ``pygenn`` 5, a C++ compiler and make.
"""

import argparse
import os
import tempfile
from typing import Any

import numpy as np
import pygenn
from counted_run import common_parser, network_of, report
from microcircuit_nest import (
    DELAY_EXC,
    DELAY_INH,
    DELAY_REL_SD,
    NEURON,
    POPULATIONS,
    RESOLUTION,
    TAU_SYN,
    V_INIT_MEAN,
    V_INIT_SD,
    WEIGHT_REL_SD,
    IntArray,
    Network,
    peak_memory,
    timed,
)

# Delays of one synapse in 2e10 would be longer, they are drawn again [steps]
DELAY_STEPS = 64

# Exact integration as in NEST, with V relative to the resting potential
LIF = pygenn.create_neuron_model(
    "lif",
    params=["P22", "P21", "P20", "I_e", "V_th", "V_reset", ("rest_steps", "int")],
    vars=[("V", "scalar"), ("resting", "int"), ("spikes", "unsigned int")],
    sim_code="""
    if (resting > 0) {
        resting--;
    }
    else {
        V = P22 * V + P21 * Isyn + P20 * I_e;
    }
    """,
    threshold_condition_code="V >= V_th",
    reset_code="""
    V = V_reset;
    resting = rest_steps;
    spikes++;
    """,
    auto_refractory_required=False,
)

# The neuron takes the current at the begin of a step, then the current decays
EXPONENTIAL = pygenn.create_postsynaptic_model(
    "exponential",
    params=["P11"],
    sim_code="""
    injectCurrent(inSyn);
    inSyn *= P11;
    """,
)

# Poisson numbers by products of uniform ones, with a current of their own
POISSON = pygenn.create_current_source_model(
    "poisson",
    params=["P11", "weight", "silence"],
    vars=[("I", "scalar")],
    injection_code="""
    scalar product = gennrand_uniform();
    while (product > silence) {
        I += weight;
        product *= gennrand_uniform();
    }
    injectCurrent(I);
    I *= P11;
    """,
)

DELAY = pygenn.create_var_init_snippet(
    "redrawn_delay",
    params=["mean", "sd", "low", "high"],
    var_init_code="""
    scalar delay;
    do {
        delay = mean + (gennrand_normal() * sd);
    } while (delay < low || delay > high);
    value = (uint8_t)rint(delay);
    """,
)


def propagators() -> dict[str, float]:
    """Return the coefficients of one step, as in NEST's ``iaf_psc_exp``."""
    tau_m, tau_s, capacity = NEURON["tau_m"], TAU_SYN, NEURON["C_m"]
    P11, P22 = np.exp(-RESOLUTION / tau_s), np.exp(-RESOLUTION / tau_m)
    return {
        "P11": float(P11),
        "P22": float(P22),
        "P21": float(tau_s * tau_m / (capacity * (tau_m - tau_s)) * (P22 - P11)),
        "P20": float(tau_m / capacity * (1.0 - P22)),
    }


def create_model(seed: int, narrow: bool) -> pygenn.GeNNModel:
    """Return an empty model; `narrow` indices take 2 bytes."""
    # The backend's makefile has no other place for a flag
    os.environ["CXX"] = f"{os.environ.get('CXX', 'g++')} -march=native"
    backend = "single_threaded_cpu"
    model = pygenn.GeNNModel("float", "microcircuit", backend=backend, optimize_code=True)
    model.dt = RESOLUTION
    model.seed = seed
    model.fuse_postsynaptic_models = True
    model.default_narrow_sparse_ind_enabled = narrow
    return model


def add_neurons(model: pygenn.GeNNModel, network: Network, silent: bool) -> list[Any]:
    """Add the populations, with Poisson input unless `silent`."""
    P, rest = propagators(), NEURON["E_L"]
    populations = []
    for p, name in enumerate(POPULATIONS):
        params = {key: P[key] for key in ("P22", "P21", "P20")}
        params |= {"I_e": float(network.current[p]), "V_th": NEURON["V_th"] - rest}
        params |= {"V_reset": NEURON["V_reset"] - rest}
        params |= {"rest_steps": round(NEURON["t_ref"] / RESOLUTION)}
        normal = {"mean": float(V_INIT_MEAN[p]) - rest, "sd": float(V_INIT_SD[p])}
        initial = {"V": pygenn.init_var("Normal", normal), "resting": 0, "spikes": 0}
        neurons = model.add_neuron_population(name, network.num_neurons[p], LIF, params, initial)
        populations.append(neurons)
        if not silent:
            silence = np.exp(-0.001 * RESOLUTION * network.rate_ext[p])
            source = {"P11": P["P11"], "weight": network.weight_ext, "silence": float(silence)}
            model.add_current_source(f"to_{name}", POISSON, neurons, source, {"I": 0.0})
    return populations


def connect(model: pygenn.GeNNModel, network: Network, populations: list[Any]) -> None:
    """Connect the populations; ten deviations from zero, no weight changes its sign."""
    for target, source in np.argwhere(network.num_synapses):
        mean = float(network.weights[target, source])
        weight = {"mean": mean, "sd": WEIGHT_REL_SD * abs(mean)}
        steps = (DELAY_EXC if mean > 0 else DELAY_INH) / RESOLUTION
        delay = {"mean": steps, "sd": DELAY_REL_SD * steps, "low": 0.5, "high": DELAY_STEPS - 1.5}
        group = model.add_synapse_population(
            f"{POPULATIONS[source]}_{POPULATIONS[target]}",
            "SPARSE",
            populations[source],
            populations[target],
            pygenn.init_weight_update(
                "StaticPulseDendriticDelay",
                {},
                {"g": pygenn.init_var("Normal", weight), "d": pygenn.init_var(DELAY, delay)},
            ),
            pygenn.init_postsynaptic(EXPONENTIAL, {"P11": propagators()["P11"]}),
            pygenn.init_sparse_connectivity(
                "FixedNumberTotalWithReplacement",
                {"num": int(network.num_synapses[target, source])},
            ),
        )
        group.max_dendritic_delay_timesteps = DELAY_STEPS


def count_spikes(populations: list[Any]) -> IntArray:
    """Return the spikes of every neuron so far."""
    return np.concatenate([p.vars["spikes"].current_values for p in populations]).astype(np.int64)


def advance(model: pygenn.GeNNModel, duration: float) -> None:
    """Take the steps of a duration [ms]."""
    for _ in range(round(duration / RESOLUTION)):
        model.step_time()


def run(options: argparse.Namespace, network: Network, times: dict[str, float]) -> IntArray:
    """Build and simulate; return the spikes of every neuron in the measured phase."""
    model = create_model(options.seed, options.narrow)
    populations = add_neurons(model, network, silent=options.drive == "dc")
    connect(model, network, populations)
    with tempfile.TemporaryDirectory() as folder:
        with timed(times, "compile"):
            model.build(folder)
        with timed(times, "build"):
            model.load()
        with timed(times, "presim"):
            advance(model, options.presim)
        before = count_spikes(populations)
        with timed(times, "simulate"):
            advance(model, options.duration)
        return count_spikes(populations) - before


def main() -> None:
    """Build, simulate, evaluate and write the microcircuit."""
    parser = common_parser("PD14 cortical microcircuit in GeNN")
    parser.add_argument("--narrow", action="store_true", help="indices of 2 bytes, not of 4")
    options = parser.parse_args()
    network, times = network_of(options), {}
    counts = run(options, network, times)
    version = {"pygenn": pygenn.__version__}
    report(options, version, network, counts, times, peak_memory())


if __name__ == "__main__":
    main()
