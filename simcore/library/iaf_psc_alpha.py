"""Leaky integrate-and-fire with currents that rise and fall."""

from simcore.library.iaf_psc_exp import iaf_psc_exp


class iaf_psc_alpha(iaf_psc_exp):
    """Leaky integrate-and-fire neuron with synaptic currents of the form of an alpha function.

    A spike of weight w gives a current that peaks at w after tau_syn. Positive weights go to the
    receptor ``ex``, negative ones to ``in``. Integrated exactly. Source: NEST's ``iaf_psc_alpha``;
    Rotter and Diesmann, Biol. Cybern. 81, 381-402 (1999).
    """

    state = """
        V_m   = E_L [mV]     membrane potential
        I_ex  = 0   [pA]     excitatory synaptic current
        dI_ex = 0   [pA/ms]  what raises it
        I_in  = 0   [pA]     inhibitory synaptic current
        dI_in = 0   [pA/ms]  what raises it
    """
    equations = """
        dV_m/dt   = (E_L - V_m)/tau_m + (I_ex + I_in + I_e)/C_m
        dI_ex/dt  = dI_ex - I_ex/tau_syn_ex
        ddI_ex/dt = -dI_ex/tau_syn_ex
        dI_in/dt  = dI_in - I_in/tau_syn_in
        ddI_in/dt = -dI_in/tau_syn_in
    """
    receptors = """
        ex [pA]: dI_ex += weight*exp(1)/tau_syn_ex
        in [pA]: dI_in += weight*exp(1)/tau_syn_in
    """
