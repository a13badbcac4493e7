"""Multi-timescale adaptive threshold."""

from simcore.language.model import NeuronModel


class mat2_psc_exp(NeuronModel):
    """Integrate-and-fire neuron without reset, with a threshold of two time scales.

    Positive weights go to the receptor ``ex``, negative ones to ``in``. Integrated exactly.
    Source: NEST's ``mat2_psc_exp``; Kobayashi, Tsubo and Shinomoto, Front. Comput. Neurosci. 3, 9
    (2009).
    """

    parameters = """
        C_m        = 100 [pF]  membrane capacitance
        tau_m      = 5   [ms]  membrane time constant
        t_ref      = 2   [ms]  shortest time between two spikes
        E_L        = -70 [mV]  resting potential
        I_e        = 0   [pA]  constant input current
        tau_syn_ex = 1   [ms]  time constant of excitatory currents
        tau_syn_in = 3   [ms]  time constant of inhibitory currents
        tau_1      = 10  [ms]  short time constant of the threshold
        tau_2      = 200 [ms]  long time constant of the threshold
        alpha_1    = 37  [mV]  what a spike adds to the short part
        alpha_2    = 2   [mV]  what a spike adds to the long part
        omega      = -51 [mV]  threshold at rest
    """
    valid = """
        C_m > 0
        tau_m > 0
        t_ref >= 0
        tau_syn_ex > 0
        tau_syn_in > 0
        tau_1 > 0
        tau_2 > 0
    """
    state = """
        V_m        = E_L [mV]  membrane potential
        I_ex       = 0   [pA]  excitatory synaptic current
        I_in       = 0   [pA]  inhibitory synaptic current
        V_th_alpha_1 = 0 [mV]  short part of the threshold
        V_th_alpha_2 = 0 [mV]  long part of the threshold
    """
    equations = """
        dV_m/dt = (E_L - V_m)/tau_m + (I_ex + I_in + I_e)/C_m
        dI_ex/dt = -I_ex/tau_syn_ex
        dI_in/dt = -I_in/tau_syn_in
        dV_th_alpha_1/dt = -V_th_alpha_1/tau_1
        dV_th_alpha_2/dt = -V_th_alpha_2/tau_2
    """
    receptors = """
        ex [pA]: I_ex += weight
        in [pA]: I_in += weight
    """
    by_sign = True
    threshold = "V_m >= omega + V_th_alpha_1 + V_th_alpha_2 and not refractory"
    reset = "V_th_alpha_1 += alpha_1; V_th_alpha_2 += alpha_2"
    refractory = "t_ref:"
    relative_to = "E_L"
