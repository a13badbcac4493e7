"""Generalized integrate-and-fire with escape noise and exponential conductances."""

from simcore.library.gif_psc_exp import gif_psc_exp


class gif_cond_exp(gif_psc_exp):
    """Generalized integrate-and-fire neuron, which spikes at random, with conductances.

    As `gif_psc_exp`, but spikes that arrive open conductances, and their input acts from the next
    step on. Source: NEST's ``gif_cond_exp``; as that of `gif_psc_exp`.
    """

    parameters = (
        gif_psc_exp.parameters
        + """
        E_ex = 0   [mV]  excitatory reversal potential
        E_in = -85 [mV]  inhibitory reversal potential
    """
    )
    state = """
        V_m    = E_L [mV]  membrane potential
        g_ex   = 0   [nS]  excitatory conductance
        g_in   = 0   [nS]  inhibitory conductance
        sfa[k] = 0   [mV]  parts of the threshold
        stc[j] = 0   [pA]  currents of spikes
    """
    equations = """
        I_syn = g_ex*(E_ex - V_m) + g_in*(E_in - V_m)
        dV_m/dt = (g_L*(E_L - V_m) + I_syn + I_e - I_stc)/C_m
        dg_ex/dt = -g_ex/tau_syn_ex
        dg_in/dt = -g_in/tau_syn_in
        dsfa[k]/dt = -sfa[k]/tau_sfa[k]
        dstc[j]/dt = -stc[j]/tau_stc[j]
    """
    receptors = """
        ex [nS]: g_ex += weight
        in [nS]: g_in -= weight
    """
    input_first = False
    method = "rk4"
