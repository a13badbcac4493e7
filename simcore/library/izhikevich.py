"""Izhikevich's neuron."""

from simcore.language.model import NeuronModel


class izhikevich(NeuronModel):
    """Izhikevich's neuron, one step of Euler's method with the values at its begin.

    Weights let the potential jump. Source: NEST's ``izhikevich``; Izhikevich, IEEE Trans. Neural
    Netw. 14, 1569-1572 (2003), whose own numerics are `izhikevich_2003`.
    """

    parameters = """
        a    = 0.02 [1/ms]     rate of recovery
        b    = 0.2  [1]        sensitivity of recovery
        c    = -65  [mV]       potential after a spike
        d    = 8    [mV]       what a spike adds to recovery
        V_th = 30   [mV]       threshold
        I_e  = 0    [pA]       constant input, a mV/ms each pA
    """
    valid = "c < V_th"
    state = """
        V_m = -65*mV [mV]  membrane potential
        U_m = -13*mV [mV]  recovery
    """
    equations = """
        slope = 0.04/mV*V_m*V_m + 5*V_m + 140*mV - U_m + I_e*mV/pA
        dV_m/dt = slope/ms
        dU_m/dt = a*(b*V_m - U_m)
    """
    receptors = "in [mV]: V_m += weight"
    threshold = "V_m >= V_th"
    reset = "V_m = c; U_m += d"
    method = "euler"
