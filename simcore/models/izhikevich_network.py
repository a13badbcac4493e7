"""Izhikevich's network of 1000 neurons of different kinds with random input from the thalamus.

E. M. Izhikevich, Simple model of spiking neurons, IEEE Transactions on Neural Networks 14,
1569-1572 (2003). Excitatory neurons range from regular spiking to chattering, inhibitory ones from
fast spiking to low-threshold spiking. All are connected to all. Run it with the time step of the
paper, 1 ms.

The input of a neuron in a step is a normal number in the paper. Here it is a number of positive
events less one of negative events of a Poisson process, a hundred each on the average, which has
the same mean and variance and is normal but for an excess of 1/200.
"""

from __future__ import annotations

import math

import numpy as np

import simcore as sc
from simcore.models import Activity
from simcore.services.errors import require

# Events of each sign that make up the thalamic input of a millisecond, on the average
EVENTS = 100

EXPECTED = (
    Activity(
        {
            "rate of E [1/s]": (7.0, 7.6),
            "rate of I [1/s]": (6.3, 7.0),
            "peak from 2 to 20 Hz [Hz]": (6.0, 10.0),
            "peak from 20 to 50 Hz [Hz]": (28.0, 37.0),
            "synapses": (1_000_000, 1_000_000),
        },
        "the paper's equations in NumPy, 3 seeds: E 7.24 to 7.32, I 6.57 to 6.75 /s, peaks at 7.4 "
        "to 8 and 29 to 36 Hz",
        start=1000.0,
        stop=10_000.0,
        dt=1.0,
    ),
)


def build(
    N_E: int = 800,
    N_I: int = 200,
    noise_E: float = 5.0,
    noise_I: float = 2.0,
    seed: int = 1,
) -> sc.Network:
    """Describe Izhikevich's network of 2003.

    Parameters
    ----------
    N_E, N_I : int
        Number of excitatory and of inhibitory neurons.
    noise_E, noise_I : float
        Standard deviation of the thalamic input of a neuron in a millisecond [pA].
    seed : int
        Seed of all random numbers.

    Returns
    -------
    Network
    """
    require(N_E >= 1, "izhikevich_network: N_E", N_E, ">= 1")
    require(N_I >= 1, "izhikevich_network: N_I", N_I, ">= 1")

    # How far a neuron is from the one end of its kind to the other
    draws = np.random.Generator(np.random.Philox(seed))
    r_E, r_I = draws.random(N_E), draws.random(N_I)
    regular = sc.izhikevich_2003(a=0.02, b=0.2, c=-65.0 + 15.0 * r_E**2, d=8.0 - 6.0 * r_E**2)
    fast = sc.izhikevich_2003(a=0.02 + 0.08 * r_I, b=0.25 - 0.05 * r_I, c=-65.0, d=2.0)

    net = sc.Network(seed=seed)
    E = net.population("E", N_E, regular, V_m=-65.0, U_m=0.2 * -65.0)
    I = net.population("I", N_I, fast, V_m=-65.0, U_m=-65.0 * (0.25 - 0.05 * r_I))  # noqa: E741

    net.connect(E, [E, I], sc.AllToAll(), weight=sc.Uniform(0.0, 0.5), delay=1.0)
    net.connect(I, [E, I], sc.AllToAll(), weight=sc.Uniform(-1.0, 0.0), delay=1.0)
    for population, sd in ((E, noise_E), (I, noise_I)):
        weight = sd / math.sqrt(2.0 * EVENTS)
        for sign in (1.0, -1.0):
            net.drive(population, sc.Poisson(1000.0 * EVENTS, sign * weight))

    net.record([E, I], "spikes")
    return net
