"""Leaky integrate-and-fire whose potential jumps."""

from simcore.language.model import NeuronModel


class iaf_psc_delta(NeuronModel):
    """Leaky integrate-and-fire neuron whose potential jumps by the weight of a spike.

    Input while refractory is lost. Integrated exactly. Source: NEST's ``iaf_psc_delta``.
    """

    parameters = """
        tau_m   = 10  [ms]  membrane time constant
        C_m     = 250 [pF]  membrane capacitance
        t_ref   = 2   [ms]  refractory time
        E_L     = -70 [mV]  resting potential
        I_e     = 0   [pA]  constant input current
        V_th    = -55 [mV]  threshold
        V_reset = -70 [mV]  potential after a spike
    """
    valid = """
        C_m > 0
        tau_m > 0
        t_ref >= 0
        V_reset < V_th
    """
    state = "V_m = E_L [mV]  membrane potential"
    equations = "dV_m/dt = (E_L - V_m)/tau_m + I_e/C_m"
    receptors = "in [mV]: V_m += weight"
    threshold = "V_m >= V_th"
    reset = "V_m = V_reset"
    refractory = "t_ref: V_m"
    relative_to = "E_L"
