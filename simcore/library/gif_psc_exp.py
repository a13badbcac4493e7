"""Generalized integrate-and-fire with escape noise and exponential currents."""

from simcore.language.model import NeuronModel


class gif_psc_exp(NeuronModel):
    """Generalized integrate-and-fire neuron, which spikes at random, with exponential currents.

    It spikes in a step with the probability 1 - exp(-h lambda), where the intensity lambda is
    lambda_0 exp((V_m - V_T)/Delta_V). A spike moves the threshold V_T by `q_sfa`, and adds currents
    `q_stc` that hyperpolarise; each decays with its own time constant, of which there may be any
    number. The potential is reset in the step after a spike, if `t_ref` is not 0. The input of a
    step acts from its begin. Positive weights go to the receptor ``ex``, negative ones to ``in``.
    Integrated exactly. Source: NEST's ``gif_psc_exp``; Mensi et al., J. Neurophysiol. 107, 1756
    (2012); Pozzorini et al., PLoS Comput. Biol. 11, e1004275 (2015).
    """

    parameters = """
        g_L        = 4    [nS]  leak conductance
        E_L        = -70  [mV]  resting potential
        C_m        = 80   [pF]  membrane capacitance
        V_reset    = -55  [mV]  potential while refractory
        t_ref      = 4    [ms]  refractory time
        Delta_V    = 0.5  [mV]  how sharp the threshold is
        V_T_star   = -35  [mV]  threshold at rest
        lambda_0   = 1    [Hz]  intensity at the threshold
        tau_sfa[k] = none [ms]  time constants of the threshold
        q_sfa[k]   = none [mV]  what a spike adds to it
        tau_stc[j] = none [ms]  time constants of the currents of a spike
        q_stc[j]   = none [pA]  these currents
        tau_syn_ex = 2    [ms]  time constant of excitatory currents
        tau_syn_in = 2    [ms]  time constant of inhibitory currents
        I_e        = 0    [pA]  constant input current
    """
    valid = """
        g_L > 0
        C_m > 0
        t_ref >= 0
        Delta_V > 0
        lambda_0 >= 0
        tau_sfa[k] > 0
        tau_stc[j] > 0
        tau_syn_ex > 0
        tau_syn_in > 0
    """
    state = """
        V_m    = E_L [mV]  membrane potential
        I_ex   = 0   [pA]  excitatory synaptic current
        I_in   = 0   [pA]  inhibitory synaptic current
        sfa[k] = 0   [mV]  parts of the threshold
        stc[j] = 0   [pA]  currents of spikes
    """
    before = """
        V_T = V_T_star + sum(sfa[k])
        I_stc = sum(stc[j])
    """
    equations = """
        dV_m/dt = (g_L*(E_L - V_m) + I_ex + I_in + I_e - I_stc)/C_m
        dI_ex/dt = -I_ex/tau_syn_ex
        dI_in/dt = -I_in/tau_syn_in
        dsfa[k]/dt = -sfa[k]/tau_sfa[k]
        dstc[j]/dt = -stc[j]/tau_stc[j]
    """
    receptors = """
        ex [pA]: I_ex += weight
        in [pA]: I_in += weight
    """
    by_sign = True
    input_first = True
    update = """
        if refractory:
            V_m = V_reset
    """
    threshold = """
        uniform() < 1 - exp(-(lambda_0*h)*exp((V_m - V_T)/Delta_V)) and not refractory
    """
    reset = """
        sfa[k] += q_sfa[k]
        stc[j] += q_stc[j]
    """
    refractory = "t_ref:"
