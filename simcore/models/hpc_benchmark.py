"""Balanced network whose neurons have 11 250 inputs each at any size (NEST's hpc_benchmark).

A. Morrison, A. Aertsen and M. Diesmann, Spike-timing-dependent plasticity in balanced random
networks, Neural Computation 19, 1437-1467 (2007); S. Kunkel et al., Spiking network simulation
code for petascale computers, Frontiers in Neuroinformatics 8:78 (2014). Parameters as in NEST's
example, with static synapses: there those between excitatory neurons learn, which hardly changes
the activity.

Memory and work per neuron stay the same while it grows, 126.6 million synapses for each unit of
scale, so that it serves to measure weak scaling. At scale 1 any two neurons share most of their
inputs, and the rate wanders from 6 to 23 /s in windows of 50 ms, so that it takes a second to
measure it.
"""

from __future__ import annotations

import simcore as sc
from simcore.models import Activity
from simcore.services.errors import require

# Neurons at scale 1, which are also the inputs of each neuron at any scale
N_E, N_I = 9000, 2250

# Membrane [mV, pF, ms]; tau_syn is that of a potential that rises for 1.700759 ms
V_TH, C_M, TAU_M, T_REF = 20.0, 250.0, 10.0, 0.5
TAU_SYN = 0.32582722403722841

# Current of an excitatory synapse [pA], whose potential peaks at 0.14 mV; relative inhibition
J_E, G = 45.6096, 5.0
DELAY = 1.5

# Rate of external input, relative to the rate that just reaches the threshold
ETA = 1.685

EXPECTED = (
    Activity(
        {
            "rate of E [1/s]": (9.0, 15.0),
            "rate of I [1/s]": (9.0, 15.0),
            "synapses": (126_562_500, 126_562_500),
        },
        "NEST 3.10: E 10.78, I 10.45 /s (250 ms), E 11.94, I 11.85 /s (500 ms); "
        "11.8 and 13.5 /s in an issue of NEST, 1122",
        start=50.0,
        stop=1050.0,
    ),
)


def build(scale: float = 1.0, seed: int = 1) -> sc.Network:
    """Describe NEST's hpc_benchmark with static synapses.

    Parameters
    ----------
    scale : float
        Number of neurons in units of 11 250. Inputs per neuron stay the same.
    seed : int
        Seed of all random numbers.

    Returns
    -------
    Network
    """
    require(scale > 0.0, "hpc_benchmark: scale", scale, "> 0")
    neuron = sc.iaf_psc_alpha(
        E_L=0.0, V_th=V_TH, V_reset=0.0, C_m=C_M, tau_m=TAU_M, t_ref=T_REF,
        tau_syn_ex=TAU_SYN, tau_syn_in=TAU_SYN,
    )  # fmt: skip
    V_m = sc.Normal(5.7, 7.2)
    net = sc.Network(seed=seed)
    E = net.population("E", max(2, round(N_E * scale)), neuron, V_m=V_m)
    I = net.population("I", max(2, round(N_I * scale)), neuron, V_m=V_m)  # noqa: E741

    from_E = sc.FixedIndegree(N_E, allow_autapses=False)
    from_I = sc.FixedIndegree(N_I, allow_autapses=False)
    net.connect(E, [E, I], from_E, weight=J_E, delay=DELAY)
    net.connect(I, [E, I], from_I, weight=-G * J_E, delay=DELAY)
    net.drive([E, I], sc.Poisson(external_rate(), J_E))

    net.record([E, I], "spikes")
    return net


def external_rate() -> float:
    """Return the rate of all external input to a neuron [1/s].

    It is `ETA` times the rate whose mean input alone, without the network, reaches the threshold.
    """
    # Charge of a current of the form of an alpha function with a peak of 1 pA [pA ms]
    charge = 2.718281828459045 * TAU_SYN
    return 1000.0 * ETA * V_TH * C_M / (TAU_M * J_E * charge)
