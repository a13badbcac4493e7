"""The network of Vogels and Abbott with conductances in NEST, as a peer to compare with.

The network of `simcore/models/coba.py`; output as that of ``microcircuit_nest.py``::

    python coba_nest.py --threads 1 --json coba.json

Needs ``nest-simulator`` and NumPy only.
"""

import argparse

from microcircuit_nest import (
    add_run_options,
    describe,
    simulate,
    start_nest,
    timed,
    write_result,
)

# Time step [ms], sizes, connection probability, delay [ms]
RESOLUTION = 0.1
SIZES = {"E": 3200, "I": 800}
PROBABILITY = 0.02
DELAY = 0.1

# Weights of what leaves each population [nS]
WEIGHTS = {"E": 6.0, "I": -67.0}

# In mV, pF, nS and ms
NEURON = {
    "E_L": -60.0,
    "V_m": -60.0,
    "V_th": -50.0,
    "V_reset": -60.0,
    "C_m": 200.0,
    "g_L": 10.0,
    "t_ref": 5.0,
    "E_ex": 0.0,
    "E_in": -80.0,
    "tau_syn_ex": 5.0,
    "tau_syn_in": 10.0,
}

# Neurons that are stimulated, at this rate [1/s] between two times [ms]
N_STIMULUS = 50
STIMULUS = {"rate": 300.0, "start": 1.0, "stop": 51.0}


def main() -> None:
    """Build, simulate and write the network."""
    parser = argparse.ArgumentParser(description="COBA network in NEST")
    add_run_options(parser, presim=200.0, duration=2000.0)
    options = parser.parse_args()
    nest = start_nest(options.seed, options.threads, RESOLUTION)
    times: dict[str, float] = {}

    with timed(times, "create"):
        populations = {
            name: nest.Create("iaf_cond_exp", size, NEURON) for name, size in SIZES.items()
        }
    with timed(times, "connect"):
        everyone = populations["E"] + populations["I"]
        rule = {"rule": "pairwise_bernoulli", "p": PROBABILITY}
        for name, sources in populations.items():
            nest.Connect(sources, everyone, rule, {"weight": WEIGHTS[name], "delay": DELAY})
        synapses = int(nest.num_connections)
        generator = nest.Create("poisson_generator", params=STIMULUS)
        synapse = {"weight": WEIGHTS["E"], "delay": DELAY}
        nest.Connect(generator, populations["E"][:N_STIMULUS], syn_spec=synapse)

    neurons = sum(SIZES.values())
    measured = simulate(nest, times, neurons, options.presim, options.duration)
    header = describe(nest, options, neurons, synapses)
    write_result(options.json, {**header, "times_s": times, **measured}, {})


if __name__ == "__main__":
    main()
