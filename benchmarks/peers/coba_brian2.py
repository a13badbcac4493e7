"""The network of Vogels and Abbott with conductances in Brian 2, as a peer to compare with.

The network of ``coba_nest.py``, as a C++ program made by Brian 2 (standalone mode) with one thread.
Compilation is timed apart from the build::

    python coba_brian2.py --json coba.json

Needs ``brian2``, a C++ compiler and make.
"""

import argparse
import tempfile
from pathlib import Path

import brian2 as b2
from coba_nest import (
    DELAY,
    N_STIMULUS,
    NEURON,
    PROBABILITY,
    RESOLUTION,
    SIZES,
    STIMULUS,
    WEIGHTS,
)
from microcircuit_brian2 import mark, simulate
from microcircuit_nest import write_result

EQUATIONS = """
dV/dt = (g_L*(E_L - V) + g_ex*(E_ex - V) + g_in*(E_in - V)) / C_m : volt (unless refractory)
dg_ex/dt = -g_ex / tau_syn_ex : siemens
dg_in/dt = -g_in / tau_syn_in : siemens
"""

UNITS = {
    **dict.fromkeys(("E_L", "V_th", "V_reset", "E_ex", "E_in"), b2.mV),
    **dict.fromkeys(("tau_syn_ex", "tau_syn_in"), b2.ms),
    "C_m": b2.pF,
    "g_L": b2.nS,
}


def create_neurons() -> b2.NeuronGroup:
    """Create both populations as one group, the excitatory neurons first."""
    # A neuron rests for t_ref after the step of its spike, which Brian 2 counts too
    neurons = b2.NeuronGroup(
        sum(SIZES.values()),
        EQUATIONS,
        method="exponential_euler",
        threshold="V >= V_th",
        reset="V = V_reset",
        refractory=(NEURON["t_ref"] + RESOLUTION) * b2.ms,
        namespace={name: NEURON[name] * unit for name, unit in UNITS.items()},
        name="neurons",
    )
    neurons.V = NEURON["V_m"] * b2.mV
    return neurons


def create_inputs(neurons: b2.NeuronGroup) -> list[b2.BrianObject]:
    """Return the synapses, and the stimulus of the first excitatory neurons."""
    sources = {"E": neurons[: SIZES["E"]], "I": neurons[SIZES["E"] :]}
    found = []
    for name, conductance in (("E", "g_ex"), ("I", "g_in")):
        weight = abs(WEIGHTS[name]) * b2.nS
        synapses = b2.Synapses(
            sources[name],
            neurons,
            on_pre=f"{conductance}_post += weight",
            delay=DELAY * b2.ms,
            namespace={"weight": weight},
        )
        synapses.connect(p=PROBABILITY)
        found.append(synapses)
    on = f"{STIMULUS['rate']}*Hz * int(t > {STIMULUS['start']}*ms and t <= {STIMULUS['stop']}*ms)"
    poisson = b2.PoissonGroup(N_STIMULUS, rates=on)
    stimulus = b2.Synapses(
        poisson, neurons, on_pre="g_ex_post += weight", namespace={"weight": WEIGHTS["E"] * b2.nS}
    )
    stimulus.connect(j="i")
    return [*found, poisson, stimulus]


def mark_cpu() -> None:
    """Let the program write the processor time it has taken so far."""
    taken = "double(std::clock()) / CLOCKS_PER_SEC"
    b2.device.insert_code(
        "main", f'std::ofstream("cpu.txt", std::ios::app) << {taken} << std::endl;'
    )


def main() -> None:
    """Build, simulate and write the network."""
    parser = argparse.ArgumentParser(description="COBA network in Brian 2")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--presim", type=float, default=200.0, metavar="MS")
    parser.add_argument("--duration", type=float, default=2000.0, metavar="MS")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    options = parser.parse_args()
    times: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        b2.set_device("cpp_standalone", directory=folder, build_on_run=False)
        b2.prefs.codegen.cpp.headers += ["<chrono>", "<ctime>"]
        b2.defaultclock.dt = RESOLUTION * b2.ms
        b2.seed(options.seed)
        mark("begin")
        neurons = create_neurons()
        parts = [neurons, *create_inputs(neurons)]
        counter = b2.SpikeMonitor(neurons, record=False)
        network = b2.Network(parts, counter)
        mark("built")
        counter.active = False
        network.run(options.presim * b2.ms)
        mark("settled")
        mark_cpu()
        counter.active = True
        network.run(options.duration * b2.ms)
        mark("end")
        mark_cpu()
        peak = simulate(folder, times)
        begin, end = map(float, (Path(folder) / "cpu.txt").read_text().split())
        times["simulate_cpu"] = end - begin
        spikes = int(counter.count[:].sum())
        n_synapses = sum(len(part.i[:]) for part in parts[1:3])
    seconds = options.duration / 1000.0
    result = {
        "options": {key: value for key, value in vars(options).items() if key != "json"},
        "brian2": b2.__version__,
        "neurons": sum(SIZES.values()),
        "synapses": n_synapses,
        "times_s": times,
        "rtf": times["simulate"] / seconds,
        "mean_rate": spikes / sum(SIZES.values()) / seconds,
        "peak_rss_gb": peak,
    }
    write_result(options.json, result, {})


if __name__ == "__main__":
    main()
