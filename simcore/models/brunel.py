"""Sparsely connected excitatory and inhibitory neurons with delta synapses.

N. Brunel, Dynamics of sparsely connected networks of excitatory and inhibitory spiking neurons,
Journal of Computational Neuroscience 8, 183-208 (2000), model A. Defaults as in NEST's example
brunel_delta: the asynchronous irregular state, reset to 0 mV where the paper has 10 mV. The four
states of the paper, A to D, are at other values of g, eta (nu_ext over nu_thr) and V_reset.
"""

from __future__ import annotations

import simcore as sc
from simcore.models import Activity
from simcore.services.errors import require

# The states of the paper; in A the network splits into halves that take turns, each of which fires
# within a step
EXPECTED = (
    Activity(
        {
            "rate [1/s]": (330.0, 336.0),
            "CV": (0.0, 0.01),
            "peak of the spectrum [Hz]": (660.0, 676.0),
            "largest share in a step": (0.5, 0.55),
            "synapses": (15_625_000, 15_625_000),
        },
        "independent program: 332.5 and 333.8 /s, CV 0.001, 668 Hz, 51 % in a step",
        start=200.0,
        stop=700.0,
        parameters={"g": 3.0, "eta": 2.0, "V_reset": 10.0},
        name="A, synchronous regular",
    ),
    Activity(
        {
            "rate [1/s]": (58.0, 61.0),
            "CV": (0.75, 0.90),
            "peak of the spectrum [Hz]": (170.0, 190.0),
        },
        "the paper: 60.7 /s, 180 Hz; independent program: 59.2 to 60.0 /s, CV 0.81 to 0.83; "
        "NEST 3.10: 58.3 /s",
        start=200.0,
        stop=2200.0,
        parameters={"g": 6.0, "eta": 4.0, "V_reset": 10.0},
        name="B, fast oscillation",
    ),
    Activity(
        {
            "rate [1/s]": (37.2, 38.2),
            "CV": (0.40, 0.45),
            "peak of the spectrum [Hz]": (95.0, 135.0),
        },
        "the paper: 37.7 /s; independent program: 38.02 to 38.13 /s, CV 0.427; NEST 3.10: 37.5 "
        "and 37.8 /s",
        start=200.0,
        stop=3200.0,
        parameters={"g": 5.0, "eta": 2.0, "V_reset": 10.0},
        name="C, asynchronous irregular",
    ),
    Activity(
        {
            "rate [1/s]": (5.0, 6.5),
            "CV": (0.60, 0.78),
            "peak of the spectrum [Hz]": (18.0, 26.0),
        },
        "the paper: 5.5 /s, 22 Hz; independent program: 5.6 to 6.1 /s, CV 0.69, 21 to 24 Hz",
        start=200.0,
        stop=5200.0,
        parameters={"g": 4.5, "eta": 0.9, "V_reset": 10.0},
        name="D, slow oscillation",
    ),
)


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
