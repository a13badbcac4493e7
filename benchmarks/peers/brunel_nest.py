"""The random balanced network of Brunel (2000) in NEST, as a peer to compare with.

Delta synapses and the parameters of NEST's own example, at any size; output as that of
``microcircuit_nest.py``::

    python brunel_nest.py --order 2500 --threads 2 --record --json brunel.json

Needs ``nest-simulator`` and NumPy only.
"""

import argparse
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from microcircuit_nest import (
    add_recorder,
    add_run_options,
    describe,
    population_statistics,
    simulate,
    start_nest,
    timed,
    write_result,
)

POPULATIONS = ("E", "I")

# Neuron and time step [ms, mV, pF]; the voltage is a sum of jumps, so C_m plays no part
RESOLUTION = 0.1
NEURON = {
    "E_L": 0.0,
    "V_m": 0.0,
    "V_th": 20.0,
    "V_reset": 0.0,
    "C_m": 1.0,
    "tau_m": 20.0,
    "t_ref": 2.0,
}

# Neurons in units of the order, and inputs per neuron: constant, or fractions of the neurons
NEURONS_PER_ORDER = {"E": 4, "I": 1}
IN_DEGREE = {"E": 1000, "I": 250}
EXCITATORY = 0.8
IN_FRACTION = 0.1

# Synapses: jump of the voltage [mV], delay [ms], relative inhibition and external input
JUMP = 0.1
DELAY = 1.5
G = 5.0
ETA = 2.0


@dataclass(frozen=True)
class Network:
    """Sizes and inputs of one Brunel network.

    Attributes
    ----------
    num_neurons : dict of int
        Neurons of each population.
    in_degree : dict of int
        Inputs that every neuron has from each population.
    weights : dict of float
        Weight [mV] of the synapses that leave each population.
    rate_ext : float
        Poisson input of each neuron [1/s].
    """

    num_neurons: dict[str, int]
    in_degree: dict[str, int]
    weights: dict[str, float]
    rate_ext: float


def size_network(
    order: int, scale_in_degree: bool, g: float = G, eta: float = ETA, inputs: int | None = None
) -> Network:
    """Choose the sizes and the external input of a network.

    Parameters
    ----------
    order : int
        A fifth of the number of neurons; 2500 in the original.
    scale_in_degree : bool
        Whether neurons receive from a tenth of each population, or from as many as in the
        original.
    g, eta : float
        Relative strength of inhibition, and external input relative to the threshold.
    inputs : int, optional
        Inputs per neuron, four fifths of them excitatory, in place of what `scale_in_degree` says.

    Returns
    -------
    Network
        Sizes, weights and external rate.
    """
    num_neurons = {name: factor * order for name, factor in NEURONS_PER_ORDER.items()}
    scaled = {name: round(IN_FRACTION * size) for name, size in num_neurons.items()}
    in_degree = scaled if scale_in_degree else IN_DEGREE
    if inputs is not None:
        excitatory = round(EXCITATORY * inputs)
        in_degree = {"E": excitatory, "I": inputs - excitatory}
    return Network(
        num_neurons=num_neurons,
        in_degree=in_degree,
        weights={"E": JUMP, "I": -g * JUMP},
        # What holds a neuron at the threshold on average, times eta
        rate_ext=1000.0 * eta * NEURON["V_th"] / (JUMP * NEURON["tau_m"]),
    )


def connect(nest: ModuleType, network: Network, populations: list[Any]) -> int:
    """Connect the populations and their background, and return the recurrent synapses made."""
    everyone = populations[0] + populations[1]
    for name, sources in zip(POPULATIONS, populations, strict=True):
        rule = {"rule": "fixed_indegree", "indegree": network.in_degree[name]}
        synapse = {"weight": network.weights[name], "delay": DELAY}
        nest.Connect(sources, everyone, rule, synapse)
    synapses = int(nest.num_connections)

    generator = nest.Create("poisson_generator", params={"rate": network.rate_ext})
    nest.Connect(generator, everyone, syn_spec={"weight": JUMP, "delay": DELAY})
    return synapses


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="Brunel's random balanced network in NEST")
    parser.add_argument("--order", type=int, default=2500, help="a fifth of the neurons")
    parser.add_argument(
        "--in-degree",
        choices=("constant", "scaled"),
        default="constant",
        help="1250 inputs per neuron, or a tenth of the neurons",
    )
    parser.add_argument("--inputs", type=int, help="inputs per neuron, instead of --in-degree")
    parser.add_argument("--g", type=float, default=G, help="relative inhibition")
    parser.add_argument("--eta", type=float, default=ETA, help="relative external input")
    parser.add_argument("--v-reset", type=float, default=NEURON["V_reset"], metavar="MV")
    add_run_options(parser, presim=100.0, duration=1000.0)
    return parser.parse_args()


def main() -> None:
    """Build, simulate, evaluate and write the Brunel network."""
    options = parse_arguments()
    scaled = options.in_degree == "scaled"
    network = size_network(options.order, scaled, options.g, options.eta, options.inputs)
    nest = start_nest(options.seed, options.threads, RESOLUTION)
    times: dict[str, float] = {}

    with timed(times, "create"):
        neuron = {**NEURON, "V_reset": options.v_reset}
        sizes = [network.num_neurons[name] for name in POPULATIONS]
        populations = [nest.Create("iaf_psc_delta", size, neuron) for size in sizes]
    with timed(times, "connect"):
        synapses = connect(nest, network, populations)
        recorder = add_recorder(nest, populations, options.presim) if options.record else None

    measured = simulate(nest, times, sum(sizes), options.presim, options.duration)
    header = describe(nest, options, sum(sizes), synapses)
    summary, neurons = population_statistics(recorder, POPULATIONS, populations, options.duration)
    write_result(options.json, {**header, "times_s": times, **measured, **summary}, neurons)


if __name__ == "__main__":
    main()
