"""Leaky integrate-and-fire with any number of exponential currents."""

from simcore.language.model import NeuronModel


class iaf_psc_exp_multisynapse(NeuronModel):
    """Leaky integrate-and-fire neuron with an exponential current for each of its receptors.

    Receptors have the names ``1``, ``2``, ... in the order of `tau_syn`; the sign of a weight does
    not choose one. Integrated exactly. Source: NEST's ``iaf_psc_exp_multisynapse``.
    """

    parameters = """
        C_m        = 250 [pF]  membrane capacitance
        tau_m      = 10  [ms]  membrane time constant
        t_ref      = 2   [ms]  refractory time
        E_L        = -70 [mV]  resting potential
        I_e        = 0   [pA]  constant input current
        V_th       = -55 [mV]  threshold
        V_reset    = -70 [mV]  potential after a spike
        tau_syn[k] = 2   [ms]  time constant of the current of each receptor
    """
    valid = """
        C_m > 0
        tau_m > 0
        t_ref >= 0
        V_reset < V_th
        tau_syn[k] > 0
    """
    state = """
        V_m      = E_L [mV]  membrane potential
        I_syn[k] = 0   [pA]  synaptic current of each receptor
    """
    equations = """
        dV_m/dt = (E_L - V_m)/tau_m + (sum(I_syn[k]) + I_e)/C_m
        dI_syn[k]/dt = -I_syn[k]/tau_syn[k]
    """
    receptors = "[k] [pA]: I_syn[k] += weight"
    threshold = "V_m >= V_th"
    reset = "V_m = V_reset"
    refractory = "t_ref: V_m"
    relative_to = "E_L"
