"""Adaptive exponential integrate-and-fire with currents that rise and fall."""

from simcore.library.aeif_psc_exp import aeif_psc_exp
from simcore.library.iaf_psc_alpha import iaf_psc_alpha


class aeif_psc_alpha(aeif_psc_exp):
    """Adaptive exponential integrate-and-fire neuron with currents of alpha functions.

    A spike of weight w gives a current that peaks at w after tau_syn; else as `aeif_psc_exp`.
    Source: NEST's ``aeif_psc_alpha``.
    """

    state = (
        iaf_psc_alpha.state
        + """
        w = 0 [pA]  adaptation current
    """
    )
    equations = """
        V = min(V_m, V_peak)
        I_spike = g_L*Delta_T*exp((V - V_th)/Delta_T)
        dV_m/dt = (g_L*(E_L - V) + I_spike + I_ex + I_in - w + I_e)/C_m
        dw/dt = (a*(V - E_L) - w)/tau_w
        dI_ex/dt = dI_ex - I_ex/tau_syn_ex
        ddI_ex/dt = -dI_ex/tau_syn_ex
        dI_in/dt = dI_in - I_in/tau_syn_in
        ddI_in/dt = -dI_in/tau_syn_in
    """
    receptors = iaf_psc_alpha.receptors
    method = """
        tau_syn_ex >= 2*ms and tau_syn_in >= 2*ms: rk4
        rk4(4)
    """
