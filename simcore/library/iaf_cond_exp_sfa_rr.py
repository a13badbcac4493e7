"""Leaky integrate-and-fire with conductances, adaptation and relative refractoriness."""

from simcore.library.iaf_cond_exp import iaf_cond_exp


class iaf_cond_exp_sfa_rr(iaf_cond_exp):
    """Leaky integrate-and-fire neuron with two more conductances that each spike raises.

    Else as `iaf_cond_exp`. Source: NEST's ``iaf_cond_exp_sfa_rr``; Dayan and Abbott, Theoretical
    Neuroscience, MIT Press 2001, chapter 5.
    """

    parameters = """
        V_th       = -57   [mV]  threshold
        V_reset    = -70   [mV]  potential after a spike
        t_ref      = 0.5   [ms]  refractory time
        g_L        = 28.95 [nS]  leak conductance
        C_m        = 289.5 [pF]  membrane capacitance
        E_ex       = 0     [mV]  excitatory reversal potential
        E_in       = -75   [mV]  inhibitory reversal potential
        E_L        = -70   [mV]  leak reversal potential
        tau_syn_ex = 1.5   [ms]  time constant of excitatory conductances
        tau_syn_in = 10    [ms]  time constant of inhibitory conductances
        q_sfa      = 14.48 [nS]  adaptation conductance of a spike
        q_rr       = 3214  [nS]  refractory conductance of a spike
        tau_sfa    = 110   [ms]  time constant of adaptation
        tau_rr     = 1.97  [ms]  time constant of relative refractoriness
        E_sfa      = -70   [mV]  adaptation reversal potential
        E_rr       = -70   [mV]  refractory reversal potential
        I_e        = 0     [pA]  constant input current
    """
    valid = (
        iaf_cond_exp.valid
        + """
        tau_sfa > 0
        tau_rr > 0
    """
    )
    state = (
        iaf_cond_exp.state
        + """
        g_sfa = 0 [nS]  adaptation conductance
        g_rr  = 0 [nS]  refractory conductance
    """
    )
    equations = """
        V = min(V_m, V_th)
        I_syn = g_ex*(E_ex - V) + g_in*(E_in - V)
        I_spikes = g_sfa*(E_sfa - V) + g_rr*(E_rr - V)
        dV_m/dt = (g_L*(E_L - V) + I_syn + I_spikes + I_e)/C_m
        dg_ex/dt = -g_ex/tau_syn_ex
        dg_in/dt = -g_in/tau_syn_in
        dg_sfa/dt = -g_sfa/tau_sfa
        dg_rr/dt = -g_rr/tau_rr
    """
    reset = "V_m = V_reset; g_sfa += q_sfa; g_rr += q_rr"
