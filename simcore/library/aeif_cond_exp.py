"""Adaptive exponential integrate-and-fire with exponential conductances."""

from simcore.language.model import NeuronModel


class aeif_cond_exp(NeuronModel):
    """Adaptive exponential integrate-and-fire neuron with conductances that decay exponentially.

    Positive weights go to the receptor ``ex``, negative ones to ``in``, as positive conductances.
    A Runge-Kutta scheme of fourth order, with finer substeps in the upstroke of a spike, which is
    cut off at V_peak, or before, where what is left of it is shorter than a substep; a spike resets
    within the step. Source: NEST's ``aeif_cond_exp``; Brette and Gerstner, J. Neurophysiol.
    94, 3637-3642 (2005).
    """

    parameters = """
        V_peak     = 0     [mV]  where a spike is cut off
        V_reset    = -60   [mV]  potential after a spike
        t_ref      = 0     [ms]  refractory time
        g_L        = 30    [nS]  leak conductance
        C_m        = 281   [pF]  membrane capacitance
        E_ex       = 0     [mV]  excitatory reversal potential
        E_in       = -85   [mV]  inhibitory reversal potential
        E_L        = -70.6 [mV]  leak reversal potential
        Delta_T    = 2     [mV]  slope of the upstroke
        tau_w      = 144   [ms]  time constant of adaptation
        a          = 4     [nS]  subthreshold adaptation
        b          = 80.5  [pA]  adaptation by a spike
        V_th       = -50.4 [mV]  threshold of the upstroke
        tau_syn_ex = 0.2   [ms]  time constant of excitatory conductances
        tau_syn_in = 2     [ms]  time constant of inhibitory conductances
        I_e        = 0     [pA]  constant input current
    """
    valid = """
        C_m > 0
        g_L > 0
        t_ref >= 0
        V_reset < V_peak
        V_peak >= V_th
        Delta_T > 0
        tau_w > 0
        tau_syn_ex > 0
        tau_syn_in > 0
    """
    state = """
        V_m  = E_L [mV]  membrane potential
        g_ex = 0   [nS]  excitatory conductance
        g_in = 0   [nS]  inhibitory conductance
        w    = 0   [pA]  adaptation current
    """
    equations = """
        V = min(V_m, V_peak)
        I_spike = g_L*Delta_T*exp((V - V_th)/Delta_T)
        I_syn = g_ex*(E_ex - V) + g_in*(E_in - V)
        dV_m/dt = (g_L*(E_L - V) + I_spike + I_syn - w + I_e)/C_m
        dw/dt = (a*(V - E_L) - w)/tau_w
        dg_ex/dt = -g_ex/tau_syn_ex
        dg_in/dt = -g_in/tau_syn_in
    """
    receptors = """
        ex [nS]: g_ex += weight
        in [nS]: g_in -= weight
    """
    by_sign = True
    # By its exponential alone the potential diverges C_m/g_L*exp(-(V_m - V_th)/Delta_T) later: in
    # a quarter of a finer substep at the threshold, in three steps where these begin
    threshold = "V_m >= min(V_peak, V_th + Delta_T*log(4*32*C_m/(g_L*h)))"
    reset = "V_m = V_reset; w += b"
    refractory = "t_ref: V_m"
    method = """
        tau_syn_ex >= 2*ms and tau_syn_in >= 2*ms: rk4
        rk4(2)
    """
    refine = "V_m >= V_th + Delta_T*log(C_m/(3*g_L*h)): 32"
    spikes_within = True
