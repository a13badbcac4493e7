"""Adaptive exponential integrate-and-fire with exponential currents."""

from simcore.library.aeif_cond_exp import aeif_cond_exp


class aeif_psc_exp(aeif_cond_exp):
    """Adaptive exponential integrate-and-fire neuron with currents that decay exponentially.

    Positive weights go to the receptor ``ex``, negative ones to ``in``; else as `aeif_cond_exp`.
    Source: NEST's ``aeif_psc_exp``.
    """

    parameters = """
        V_peak     = 0     [mV]  where a spike is cut off
        V_reset    = -60   [mV]  potential after a spike
        t_ref      = 0     [ms]  refractory time
        g_L        = 30    [nS]  leak conductance
        C_m        = 281   [pF]  membrane capacitance
        E_L        = -70.6 [mV]  leak reversal potential
        Delta_T    = 2     [mV]  slope of the upstroke
        tau_w      = 144   [ms]  time constant of adaptation
        a          = 4     [nS]  subthreshold adaptation
        b          = 80.5  [pA]  adaptation by a spike
        V_th       = -50.4 [mV]  threshold of the upstroke
        tau_syn_ex = 0.2   [ms]  time constant of excitatory currents
        tau_syn_in = 2     [ms]  time constant of inhibitory currents
        I_e        = 0     [pA]  constant input current
    """
    state = """
        V_m  = E_L [mV]  membrane potential
        I_ex = 0   [pA]  excitatory synaptic current
        I_in = 0   [pA]  inhibitory synaptic current
        w    = 0   [pA]  adaptation current
    """
    equations = """
        V = min(V_m, V_peak)
        I_spike = g_L*Delta_T*exp((V - V_th)/Delta_T)
        dV_m/dt = (g_L*(E_L - V) + I_spike + I_ex + I_in - w + I_e)/C_m
        dw/dt = (a*(V - E_L) - w)/tau_w
        dI_ex/dt = -I_ex/tau_syn_ex
        dI_in/dt = -I_in/tau_syn_in
    """
    receptors = """
        ex [pA]: I_ex += weight
        in [pA]: I_in += weight
    """
