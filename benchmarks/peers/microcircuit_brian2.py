"""The cortical microcircuit of Potjans and Diesmann (2014) in Brian 2, as a peer to compare with.

The network of ``microcircuit_nest.py``, as a C++ program made by Brian 2 (standalone mode) that
uses OpenMP when there are several threads. Compilation is timed apart from the build::

    python microcircuit_brian2.py --n-scaling 0.5 --k-scaling 0.5 --threads 2 --json brian2.json

A synapse takes about 34 bytes: half the network (``--n-scaling 0.5 --k-scaling 0.5``) needs 2.6 GB,
all of it 10.3 GB. Needs ``brian2``, a C++ compiler and make.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import brian2 as b2
import numpy as np
from brian2.core.functions import DEFAULT_FUNCTIONS
from counted_run import common_parser, network_of, report
from microcircuit_nest import (
    DELAY_EXC,
    DELAY_INH,
    DELAY_REL_SD,
    K_EXT,
    L4E_TO_L23E,
    NEURON,
    POPULATIONS,
    RATE_EXT,
    RESOLUTION,
    TAU_SYN,
    V_INIT_MEAN,
    V_INIT_SD,
    WEIGHT_REL_SD,
    IntArray,
    Network,
    timed,
)

# Exact integration; spikes act on I at the end of a step, and on V in the next, as in NEST
EQUATIONS = """
dV/dt = (E_L - V) / tau_m + (I + I_e) / C_m : volt (unless refractory)
dI/dt = -I / tau_syn : amp
I_e : amp (constant)
weight : amp (constant)
delay_mean : second (constant)
is_L4E : boolean (constant)
is_L23E : boolean (constant)
""" + "\n".join(f"to_{name} : integer (constant)" for name in POPULATIONS)

# Normal numbers of mean 1, drawn again below `lowest`; `lowest` stands for half a step of time
REDRAW = """
static double redrawn_normal(double sd, double lowest, int _vectorisation_idx) {
    double x;
    do x = 1.0 + sd * _randn(_vectorisation_idx); while (x < lowest);
    return x;
}
"""


def constants() -> dict[str, Any]:
    """Return the values that the equations name."""
    return {
        "E_L": NEURON["E_L"] * b2.mV,
        "V_th": NEURON["V_th"] * b2.mV,
        "V_reset": NEURON["V_reset"] * b2.mV,
        "C_m": NEURON["C_m"] * b2.pF,
        "tau_m": NEURON["tau_m"] * b2.ms,
        "tau_syn": TAU_SYN * b2.ms,
        "redrawn_normal": redrawn_normal(),
    }


def redrawn_normal() -> b2.Function:
    """Return the function of that name, for use in expressions."""
    function = b2.Function(
        lambda sd, lowest, n: None,
        arg_units=[1, 1],
        return_unit=1,
        stateless=False,
        auto_vectorise=True,
    )
    function.implementations.add_implementation(
        "cpp",
        REDRAW,
        dependencies={"_randn": DEFAULT_FUNCTIONS["randn"]},
        name="redrawn_normal",
    )
    return function


def start_brian(options: argparse.Namespace, folder: str) -> None:
    """Choose the standalone mode, the time step, the threads and the seed."""
    b2.set_device("cpp_standalone", directory=folder, build_on_run=False)
    b2.prefs.devices.cpp_standalone.openmp_threads = options.threads if options.threads > 1 else 0
    b2.prefs.devices.cpp_standalone.extra_make_args_unix = [f"-j{os.cpu_count()}"]
    b2.prefs.codegen.cpp.headers += ["<chrono>"]
    b2.defaultclock.dt = RESOLUTION * b2.ms
    b2.seed(options.seed)


def create_neurons(network: Network) -> b2.NeuronGroup:
    """Create all populations as one group, so that one queue holds all synapses."""
    # A neuron rests for t_ref after the step of its spike, which Brian 2 counts too
    neurons = b2.NeuronGroup(
        int(network.num_neurons.sum()),
        EQUATIONS,
        method="exact",
        threshold="V >= V_th",
        reset="V = V_reset",
        refractory=(NEURON["t_ref"] + RESOLUTION) * b2.ms,
        namespace=constants(),
        name="neurons",
    )
    population = np.repeat(np.arange(8), network.num_neurons)
    inhibitory = population % 2 == 1
    neurons.I_e = network.current[population] * b2.pA
    neurons.weight = network.weights[1][population] * b2.pA
    neurons.delay_mean = np.where(inhibitory, DELAY_INH, DELAY_EXC) * b2.ms
    neurons.is_L4E = population == POPULATIONS.index("L4E")
    neurons.is_L23E = population == POPULATIONS.index("L23E")
    rng = np.random.default_rng(0)
    neurons.V = rng.normal(V_INIT_MEAN[population], V_INIT_SD[population]) * b2.mV
    return neurons


def connect(network: Network, neurons: b2.NeuronGroup, seed: int) -> b2.Synapses:
    """Connect the populations with the wanted numbers of synapses.

    The synapses of a projection are split over its sources by multinomial numbers, and each draws
    its target, which is the same as drawing both at random.
    """
    synapses = b2.Synapses(
        neurons, neurons, "w : amp (constant)", on_pre="I_post += w", namespace=constants()
    )
    rng = np.random.default_rng(seed)
    sizes = network.num_neurons
    firsts = np.cumsum(sizes) - sizes
    for target, name in enumerate(POPULATIONS):
        outdegree = np.concatenate(
            [
                rng.multinomial(number, np.full(size, 1.0 / size))
                for number, size in zip(network.num_synapses[target], sizes, strict=True)
            ]
        )
        setattr(neurons, f"to_{name}", outdegree)
        first, size = int(firsts[target]), int(sizes[target])
        synapses.connect(j=f"{first} + int(rand() * {size}) for _ in range(to_{name}_pre)")
    # Ten deviations from zero, no weight changes its sign
    doubled = f"(1 + {L4E_TO_L23E - 1.0} * int(is_L4E_pre and is_L23E_post))"
    synapses.w = f"weight_pre * {doubled} * (1 + {WEIGHT_REL_SD} * randn())"
    lowest = f"{0.5 * RESOLUTION}*ms / delay_mean_pre"
    synapses.delay = f"delay_mean_pre * redrawn_normal({DELAY_REL_SD}, {lowest})"
    return synapses


def drive(network: Network, neurons: b2.NeuronGroup, k_scaling: float) -> list[b2.PoissonInput]:
    """Return the Poisson inputs, none where the drive is a current."""
    if not network.rate_ext.any():
        return []
    inputs, first = [], 0
    for size, indegree in zip(network.num_neurons, np.round(K_EXT * k_scaling), strict=True):
        part = neurons[first : first + int(size)]
        weight = network.weight_ext * b2.pA
        inputs.append(b2.PoissonInput(part, "I", int(indegree), RATE_EXT * b2.Hz, weight))
        first += int(size)
    return inputs


def mark(name: str) -> None:
    """Let the program write the time at which it gets here."""
    now = "std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())"
    line = f'std::fixed << "{name} " << {now}.count() << std::endl'
    b2.device.insert_code("main", f'std::ofstream("marks.txt", std::ios::app) << {line};')


def simulate(folder: str, times: dict[str, float]) -> float:
    """Run the program; return its peak memory [GB] and store the times [s] between its marks."""
    b2.device.insert_code(
        "main", 'std::ofstream("status.txt") << std::ifstream("/proc/self/status").rdbuf();'
    )
    with timed(times, "compile"):
        b2.device.build(directory=folder, compile=True, run=False)
    b2.device.run(folder, with_output=False, run_args=[])
    lines = (Path(folder) / "marks.txt").read_text().split()
    at = dict(zip(lines[::2], map(float, lines[1::2]), strict=True))
    for phase, (begin, end) in {
        "build": ("begin", "built"),
        "presim": ("built", "settled"),
        "simulate": ("settled", "end"),
    }.items():
        times[phase] = at[end] - at[begin]
    status = (Path(folder) / "status.txt").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9


def main() -> None:
    """Build, simulate, evaluate and write the microcircuit."""
    parser = common_parser("PD14 cortical microcircuit in Brian 2")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    network = network_of(options)
    times: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        start_brian(options, folder)
        mark("begin")
        neurons = create_neurons(network)
        parts = [neurons, connect(network, neurons, options.seed)]
        parts += drive(network, neurons, options.k_scaling)
        counter = b2.SpikeMonitor(neurons, record=False)
        simulation = b2.Network(parts, counter)
        mark("built")
        counter.active = False
        simulation.run(options.presim * b2.ms)
        mark("settled")
        counter.active = True
        simulation.run(options.duration * b2.ms)
        mark("end")
        peak = simulate(folder, times)
        counts: IntArray = np.array(counter.count[:])
        report(options, {"brian2": b2.__version__}, network, counts, times, peak)


if __name__ == "__main__":
    main()
