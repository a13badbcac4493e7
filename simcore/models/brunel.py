"""Sparsely connected excitatory and inhibitory neurons with delta synapses.

N. Brunel, Dynamics of sparsely connected networks of excitatory and inhibitory spiking neurons,
Journal of Computational Neuroscience 8, 183-208 (2000), model A. Defaults as in NEST's example
brunel_delta: the asynchronous irregular state, reset to 0 mV where the paper has 10 mV.
"""

from __future__ import annotations

import simcore as sc
from simcore.services.errors import require


def build(
    order: int = 2500,
    g: float = 5.0,
    eta: float = 2.0,
    J: float = 0.1,
    delay: float = 1.5,
    epsilon: float = 0.1,
    tau_m: float = 20.0,
    theta: float = 20.0,
    V_reset: float = 0.0,
    t_ref: float = 2.0,
    record_V_m: int = 0,
    seed: int = 1,
) -> sc.Network:
    """Describe Brunel's network.

    Parameters
    ----------
    order : int
        Number of inhibitory neurons; there are four times as many excitatory ones.
    g : float
        Strength of inhibitory synapses relative to excitatory ones.
    eta : float
        Rate of the external input relative to the rate that just reaches the threshold.
    J : float
        Jump of the potential by an excitatory spike [mV].
    delay : float
        Delay of all synapses [ms].
    epsilon : float
        Synapses per neuron relative to the number of sources, in (0, 1].
    tau_m : float
        Membrane time constant [ms].
    theta : float
        Threshold [mV].
    V_reset : float
        Potential after a spike [mV].
    t_ref : float
        Refractory time [ms].
    record_V_m : int
        Number of neurons per population whose potential is recorded each millisecond.
    seed : int
        Seed of all random numbers.

    Returns
    -------
    Network
    """
    require(order >= 1, "brunel: order", order, ">= 1")
    require(0.0 < epsilon <= 1.0, "brunel: epsilon", epsilon, "in (0, 1]")
    require(J > 0.0, "brunel: J", J, "> 0 [mV]")
    NE, NI = 4 * order, order
    CE, CI = max(1, round(epsilon * NE)), max(1, round(epsilon * NI))

    net = sc.Network(seed=seed)
    neuron = sc.LIF(tau_m=tau_m, V_th=theta, t_ref=t_ref, E_L=0.0, V_reset=V_reset, C_m=1.0)
    E = net.population("E", NE, neuron)
    I = net.population("I", NI, neuron)  # noqa: E741

    net.connect(E, [E, I], sc.FixedIndegree(CE), weight=J, delay=delay)
    net.connect(I, [E, I], sc.FixedIndegree(CI), weight=-g * J, delay=delay)
    net.drive([E, I], sc.Poisson(rate=external_rate(eta, J, CE, tau_m, theta), weight=J))

    net.record([E, I], "spikes")
    if record_V_m > 0:
        net.record([E[:record_V_m], I[:record_V_m]], "V_m", interval=1.0)
    return net


def external_rate(eta: float, J: float, CE: int, tau_m: float, theta: float) -> float:
    """Return the rate of all external input to a neuron [1/s].

    It is eta times the rate whose mean input alone, without the network, reaches the threshold.
    """
    nu_th = theta / (J * CE * tau_m)
    return 1000.0 * CE * eta * nu_th
