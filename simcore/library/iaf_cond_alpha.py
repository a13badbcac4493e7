"""Leaky integrate-and-fire with conductances that rise and fall."""

from simcore.library.iaf_cond_exp import iaf_cond_exp


class iaf_cond_alpha(iaf_cond_exp):
    """Leaky integrate-and-fire neuron with conductances of the form of an alpha function.

    A spike of weight w gives a conductance that peaks at w after tau_syn; else as `iaf_cond_exp`.
    Source: NEST's ``iaf_cond_alpha``; Kuhn, Aertsen and Rotter, J. Neurosci. 24, 2345-2356 (2004).
    """

    state = """
        V_m   = E_L [mV]     membrane potential
        g_ex  = 0   [nS]     excitatory conductance
        dg_ex = 0   [nS/ms]  what raises it
        g_in  = 0   [nS]     inhibitory conductance
        dg_in = 0   [nS/ms]  what raises it
    """
    equations = """
        V = min(V_m, V_th)
        dV_m/dt = (g_L*(E_L - V) + g_ex*(E_ex - V) + g_in*(E_in - V) + I_e)/C_m
        dg_ex/dt = dg_ex - g_ex/tau_syn_ex
        ddg_ex/dt = -dg_ex/tau_syn_ex
        dg_in/dt = dg_in - g_in/tau_syn_in
        ddg_in/dt = -dg_in/tau_syn_in
    """
    receptors = """
        ex [nS]: dg_ex += weight*exp(1)/tau_syn_ex
        in [nS]: dg_in -= weight*exp(1)/tau_syn_in
    """
