"""Two populations of neurons that fire regularly, whatever arrives.

The rate of a network changes with its size, and so does the work of its neurons. These ignore
their input, which arrives all the same, so that the work is exactly proportional to their number:
a network to measure weak scaling and communication with. Sizes, rates and weights are those of the
network of two populations of NEST's neuron of this name, there with synapses that learn and a time
step of 0.125 ms.
"""

from __future__ import annotations

import simcore as sc
from simcore.models import Activity
from simcore.services.errors import require

# Neurons at scale 1, and inputs of each neuron at any scale
N_E, N_I = 10_000, 2500
K_E, K_I = 1000, 250

# Weight of excitatory synapses [pA], relative inhibition, delay [ms]; nothing depends on the weight
J, G, DELAY = 31.777, 10.0, 1.5

EXPECTED = (
    Activity(
        {
            "rate of E [1/s]": (0.98, 1.02),
            "rate of I [1/s]": (0.97, 1.03),
            "CV": (0.0, 0.001),
            "synapses": (15_625_000, 15_625_000),
        },
        "NEST 3.10: 1.00 /s, CV 0",
        stop=10_000.0,
        dt=0.125,
    ),
)


def build(
    scale: float = 1.0, slowest: float = 0.5, fastest: float = 1.5, seed: int = 1
) -> sc.Network:
    """Describe a network of neurons that ignore their input.

    Parameters
    ----------
    scale : float
        Number of neurons in units of 12 500. Inputs per neuron, 1250, stay the same.
    slowest, fastest : float
        Range of the rates of the neurons [1/s].
    seed : int
        Seed of all random numbers.

    Returns
    -------
    Network
    """
    require(scale > 0.0, "ignore_and_fire_network: scale", scale, "> 0")
    require(slowest > 0.0, "ignore_and_fire_network: slowest", slowest, "> 0 [1/s]")
    neuron = sc.ignore_and_fire(rate=sc.Uniform(slowest, fastest), phase=sc.Uniform(0.01, 1.0))
    net = sc.Network(seed=seed)
    E = net.population("E", max(2, round(N_E * scale)), neuron)
    I = net.population("I", max(2, round(N_I * scale)), neuron)  # noqa: E741

    from_E = sc.FixedIndegree(K_E, allow_autapses=False)
    from_I = sc.FixedIndegree(K_I, allow_autapses=False)
    net.connect(E, [E, I], from_E, weight=J, delay=DELAY)
    net.connect(I, [E, I], from_I, weight=-G * J, delay=DELAY)

    net.record([E, I], "spikes")
    return net
