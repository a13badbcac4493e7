"""Neurons with synaptic currents that keep each other active without input (CUBA).

T. P. Vogels and L. F. Abbott, Signal propagation and logic gating in networks of
integrate-and-fire neurons, Journal of Neuroscience 25, 10786-10795 (2005); as benchmark 2 of
R. Brette et al., Simulation of networks of spiking neurons, Journal of Computational Neuroscience
23, 349-398 (2007), in the version of NEST's examples.

At rest the neurons are above their threshold, so without inhibition each would fire. Brian's
version is another network: it has no delay, potentials that start anywhere between reset and
threshold, and currents of 1.62 and -9 mV in place of 1.62 and -13.95 mV.
"""

from __future__ import annotations

import simcore as sc
from simcore.models import Activity
from simcore.services.errors import require

EXPECTED = (
    Activity(
        {
            "rate of E [1/s]": (3.8, 4.7),
            "rate of I [1/s]": (4.2, 4.5),
            "CV": (0.80, 0.85),
            "spikes in the last 10 ms": (1, float("inf")),
            "synapses": (317_000, 323_000),
        },
        "NEST 3.10, 6 seeds: E 3.99 to 4.46, I 4.31 to 4.35 /s, CV 0.82 to 0.83",
        start=1000.0,
        stop=10_000.0,
    ),
)


def build(
    N_E: int = 3200,
    N_I: int = 800,
    p: float = 0.02,
    J_E: float = 16.2,
    J_I: float = -139.5,
    delay: float = 0.1,
    N_stimulus: int = 50,
    stimulus_rate: float = 300.0,
    seed: int = 1,
) -> sc.Network:
    """Describe the network of Vogels and Abbott with currents.

    Parameters
    ----------
    N_E, N_I : int
        Number of excitatory and of inhibitory neurons.
    p : float
        Probability of a synapse between each two neurons.
    J_E, J_I : float
        Weights of excitatory and of inhibitory synapses [pA].
    delay : float
        Delay of all synapses [ms].
    N_stimulus : int
        Number of excitatory neurons that are stimulated from 1 to 51 ms.
    stimulus_rate : float
        Rate of the Poisson spikes that each of them gets [1/s].
    seed : int
        Seed of all random numbers.

    Returns
    -------
    Network
    """
    require(1 <= N_stimulus <= N_E, "cuba: N_stimulus", N_stimulus, f"in [1, {N_E}]")
    neuron = sc.iaf_psc_exp(
        E_L=-49.0, V_th=-50.0, V_reset=-60.0, C_m=200.0, tau_m=20.0, t_ref=5.0,
        tau_syn_ex=5.0, tau_syn_in=10.0,
    )  # fmt: skip
    net = sc.Network(seed=seed)
    E = net.population("E", N_E, neuron)
    I = net.population("I", N_I, neuron)  # noqa: E741

    net.connect(E, [E, I], sc.PairwiseBernoulli(p), weight=J_E, delay=delay)
    net.connect(I, [E, I], sc.PairwiseBernoulli(p), weight=J_I, delay=delay)
    net.drive(E[:N_stimulus], sc.Poisson(stimulus_rate, J_E, start=1.0, stop=51.0))

    net.record([E, I], "spikes")
    return net
