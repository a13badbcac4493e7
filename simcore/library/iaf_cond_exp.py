"""Leaky integrate-and-fire with exponential conductances."""

from simcore.language.model import NeuronModel


class iaf_cond_exp(NeuronModel):
    """Leaky integrate-and-fire neuron with conductances that decay exponentially.

    Positive weights go to the receptor ``ex``, negative ones to ``in``, as positive conductances.
    The potential is integrated by a Runge-Kutta scheme of fourth order, in which conductances have
    their exact values. Source: NEST's ``iaf_cond_exp``; Meffin, Burkitt and Grayden, J. Comput.
    Neurosci. 16, 159-175 (2004).
    """

    parameters = """
        V_th       = -55     [mV]  threshold
        V_reset    = -60     [mV]  potential after a spike
        t_ref      = 2       [ms]  refractory time
        g_L        = 16.6667 [nS]  leak conductance
        C_m        = 250     [pF]  membrane capacitance
        E_ex       = 0       [mV]  excitatory reversal potential
        E_in       = -85     [mV]  inhibitory reversal potential
        E_L        = -70     [mV]  leak reversal potential
        tau_syn_ex = 0.2     [ms]  time constant of excitatory conductances
        tau_syn_in = 2       [ms]  time constant of inhibitory conductances
        I_e        = 0       [pA]  constant input current
    """
    valid = """
        C_m > 0
        t_ref >= 0
        V_reset < V_th
        tau_syn_ex > 0
        tau_syn_in > 0
    """
    state = """
        V_m  = E_L [mV]  membrane potential
        g_ex = 0   [nS]  excitatory conductance
        g_in = 0   [nS]  inhibitory conductance
    """
    equations = """
        V = min(V_m, V_th)
        dV_m/dt = (g_L*(E_L - V) + g_ex*(E_ex - V) + g_in*(E_in - V) + I_e)/C_m
        dg_ex/dt = -g_ex/tau_syn_ex
        dg_in/dt = -g_in/tau_syn_in
    """
    receptors = """
        ex [nS]: g_ex += weight
        in [nS]: g_in -= weight
    """
    by_sign = True
    threshold = "V_m >= V_th"
    reset = "V_m = V_reset"
    refractory = "t_ref: V_m"
    # One substep loses a spike in 400 where time constants are 0.2 ms
    method = """
        tau_syn_ex >= 2*ms and tau_syn_in >= 2*ms: rk4
        rk4(2)
    """
