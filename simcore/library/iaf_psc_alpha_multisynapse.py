"""Leaky integrate-and-fire with any number of currents that rise and fall."""

from simcore.library.iaf_psc_exp_multisynapse import iaf_psc_exp_multisynapse


class iaf_psc_alpha_multisynapse(iaf_psc_exp_multisynapse):
    """Leaky integrate-and-fire neuron with an alpha-shaped current for each of its receptors.

    Receptors have the names ``1``, ``2``, ... in the order of `tau_syn`; the sign of a weight does
    not choose one. Integrated exactly. Source: NEST's ``iaf_psc_alpha_multisynapse``.
    """

    state = """
        V_m       = E_L [mV]     membrane potential
        I_syn[k]  = 0   [pA]     synaptic current of each receptor
        dI_syn[k] = 0   [pA/ms]  what raises it
    """
    equations = """
        dV_m/dt = (E_L - V_m)/tau_m + (sum(I_syn[k]) + I_e)/C_m
        dI_syn[k]/dt = dI_syn[k] - I_syn[k]/tau_syn[k]
        ddI_syn[k]/dt = -dI_syn[k]/tau_syn[k]
    """
    receptors = "[k] [pA]: dI_syn[k] += weight*exp(1)/tau_syn[k]"
