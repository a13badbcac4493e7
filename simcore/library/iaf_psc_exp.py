"""Leaky integrate-and-fire with exponential currents."""

from simcore.language.model import NeuronModel


class iaf_psc_exp(NeuronModel):
    """Leaky integrate-and-fire neuron with exponentially decaying synaptic currents.

    Positive weights go to the receptor ``ex``, negative ones to ``in``. Integrated exactly.
    Source: NEST's ``iaf_psc_exp``; Tsodyks, Uziel and Markram, J. Neurosci. 20, RC50 (2000).
    """

    parameters = """
        C_m        = 250 [pF]  membrane capacitance
        tau_m      = 10  [ms]  membrane time constant
        t_ref      = 2   [ms]  refractory time
        E_L        = -70 [mV]  resting potential
        I_e        = 0   [pA]  constant input current
        V_th       = -55 [mV]  threshold
        V_reset    = -70 [mV]  potential after a spike
        tau_syn_ex = 2   [ms]  time constant of excitatory currents
        tau_syn_in = 2   [ms]  time constant of inhibitory currents
    """
    valid = """
        C_m > 0
        tau_m > 0
        t_ref >= 0
        V_reset < V_th
        tau_syn_ex > 0
        tau_syn_in > 0
    """
    state = """
        V_m  = E_L [mV]  membrane potential
        I_ex = 0   [pA]  excitatory synaptic current
        I_in = 0   [pA]  inhibitory synaptic current
    """
    equations = """
        dV_m/dt = (E_L - V_m)/tau_m + (I_ex + I_in + I_e)/C_m
        dI_ex/dt = -I_ex/tau_syn_ex
        dI_in/dt = -I_in/tau_syn_in
    """
    receptors = """
        ex [pA]: I_ex += weight
        in [pA]: I_in += weight
    """
    by_sign = True
    threshold = "V_m >= V_th"
    reset = "V_m = V_reset"
    refractory = "t_ref: V_m"
    relative_to = "E_L"
