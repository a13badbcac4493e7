"""Neurons with synaptic conductances that keep each other active without input (COBA).

T. P. Vogels and L. F. Abbott, Signal propagation and logic gating in networks of
integrate-and-fire neurons, Journal of Neuroscience 25, 10786-10795 (2005); as benchmark 1 of
R. Brette et al., Simulation of networks of spiking neurons, Journal of Computational Neuroscience
23, 349-398 (2007), in the version of NEST's examples. The network fires in bursts.

Brian's version has no delay, and potentials and conductances that start at random.
"""

from __future__ import annotations

import simcore as sc
from simcore.models import Activity
from simcore.services.errors import require

EXPECTED = (
    Activity(
        {
            "rate of E [1/s]": (16.0, 20.5),
            "rate of I [1/s]": (17.2, 20.0),
            "CV": (1.70, 1.85),
            "spikes in the last 10 ms": (1, float("inf")),
            "synapses": (317_000, 323_000),
        },
        "NEST 3.10, 3 seeds: E 16.7 to 19.5, I 18.0 to 19.1 /s, CV 1.74 to 1.79",
        start=1000.0,
        stop=10_000.0,
    ),
)


def build(
    N_E: int = 3200,
    N_I: int = 800,
    p: float = 0.02,
    J_E: float = 6.0,
    J_I: float = -67.0,
    delay: float = 0.1,
    N_stimulus: int = 50,
    stimulus_rate: float = 300.0,
    seed: int = 1,
) -> sc.Network:
    """Describe the network of Vogels and Abbott with conductances.

    Parameters
    ----------
    N_E, N_I : int
        Number of excitatory and of inhibitory neurons.
    p : float
        Probability of a synapse between each two neurons.
    J_E, J_I : float
        Weights of excitatory and of inhibitory synapses [nS], the latter below 0.
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
    require(1 <= N_stimulus <= N_E, "coba: N_stimulus", N_stimulus, f"in [1, {N_E}]")
    neuron = sc.iaf_cond_exp(
        E_L=-60.0, V_th=-50.0, V_reset=-60.0, C_m=200.0, g_L=10.0, t_ref=5.0,
        E_ex=0.0, E_in=-80.0, tau_syn_ex=5.0, tau_syn_in=10.0,
    )  # fmt: skip
    net = sc.Network(seed=seed)
    E = net.population("E", N_E, neuron)
    I = net.population("I", N_I, neuron)  # noqa: E741

    net.connect(E, [E, I], sc.PairwiseBernoulli(p), weight=J_E, delay=delay)
    net.connect(I, [E, I], sc.PairwiseBernoulli(p), weight=J_I, delay=delay)
    net.drive(E[:N_stimulus], sc.Poisson(stimulus_rate, J_E, start=1.0, stop=51.0))

    net.record([E, I], "spikes")
    return net
