"""Adaptive exponential integrate-and-fire with conductances that rise and fall."""

from simcore.library.aeif_cond_exp import aeif_cond_exp
from simcore.library.iaf_cond_alpha import iaf_cond_alpha


class aeif_cond_alpha(aeif_cond_exp):
    """Adaptive exponential integrate-and-fire neuron with conductances of alpha functions.

    A spike of weight w gives a conductance that peaks at w after tau_syn; else as `aeif_cond_exp`.
    Source: NEST's ``aeif_cond_alpha``.
    """

    state = (
        iaf_cond_alpha.state
        + """
        w = 0 [pA]  adaptation current
    """
    )
    equations = """
        V = min(V_m, V_peak)
        I_spike = g_L*Delta_T*exp((V - V_th)/Delta_T)
        I_syn = g_ex*(E_ex - V) + g_in*(E_in - V)
        dV_m/dt = (g_L*(E_L - V) + I_spike + I_syn - w + I_e)/C_m
        dw/dt = (a*(V - E_L) - w)/tau_w
        dg_ex/dt = dg_ex - g_ex/tau_syn_ex
        ddg_ex/dt = -dg_ex/tau_syn_ex
        dg_in/dt = dg_in - g_in/tau_syn_in
        ddg_in/dt = -dg_in/tau_syn_in
    """
    receptors = iaf_cond_alpha.receptors
