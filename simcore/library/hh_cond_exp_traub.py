"""Hodgkin-Huxley neuron after Traub and Miles, with exponential conductances."""

from simcore.language.model import NeuronModel


class hh_cond_exp_traub(NeuronModel):
    """Hodgkin-Huxley neuron with the channels of Traub and Miles.

    A spike is a maximum of the potential above V_T + 30 mV. A Runge-Kutta scheme of fourth order
    with six substeps. Gates begin in the steady state at E_L; in NEST, as if V_T were 0. Source:
    NEST's ``hh_cond_exp_traub``; Brette et al., J. Comput. Neurosci. 23, 349-398 (2007), benchmark
    3.
    """

    parameters = """
        g_Na       = 20000 [nS]  sodium conductance
        g_K        = 6000  [nS]  potassium conductance
        g_L        = 10    [nS]  leak conductance
        C_m        = 200   [pF]  membrane capacitance
        E_Na       = 50    [mV]  sodium reversal potential
        E_K        = -90   [mV]  potassium reversal potential
        E_L        = -60   [mV]  leak reversal potential
        V_T        = -63   [mV]  voltage offset of the channels
        E_ex       = 0     [mV]  excitatory reversal potential
        E_in       = -80   [mV]  inhibitory reversal potential
        t_ref      = 2     [ms]  shortest time between two spikes
        tau_syn_ex = 5     [ms]  time constant of excitatory conductances
        tau_syn_in = 10    [ms]  time constant of inhibitory conductances
        I_e        = 0     [pA]  constant input current
    """
    valid = """
        C_m > 0
        g_Na >= 0
        g_K >= 0
        g_L >= 0
        t_ref >= 0
        tau_syn_ex > 0
        tau_syn_in > 0
    """
    constants = """
        U = (E_L - V_T)/mV
        y_n_0 = (15 - U)/5
        y_m_0 = (13 - U)/4
        z_m_0 = (U - 40)/5
        alpha_n_0 = 0.16*(1 if abs(y_n_0) < 1e-6 else y_n_0/(exp(y_n_0) - 1))
        beta_n_0 = 0.5*exp((10 - U)/40)
        alpha_m_0 = 1.28*(1 if abs(y_m_0) < 1e-6 else y_m_0/(exp(y_m_0) - 1))
        beta_m_0 = 1.4*(1 if abs(z_m_0) < 1e-6 else z_m_0/(exp(z_m_0) - 1))
        alpha_h_0 = 0.128*exp((17 - U)/18)
        beta_h_0 = 4/(1 + exp((40 - U)/5))
    """
    state = """
        V_m    = E_L [mV]  membrane potential
        V_last = E_L [mV]  potential a step before
        Act_m  = alpha_m_0/(alpha_m_0 + beta_m_0) [1]   sodium activation
        Inact_h = alpha_h_0/(alpha_h_0 + beta_h_0) [1]  sodium inactivation
        Act_n  = alpha_n_0/(alpha_n_0 + beta_n_0) [1]   potassium activation
        g_ex   = 0   [nS]  excitatory conductance
        g_in   = 0   [nS]  inhibitory conductance
    """
    before = "V_last = V_m"
    equations = """
        V = (V_m - V_T)/mV
        y_n = (15 - V)/5
        y_m = (13 - V)/4
        z_m = (V - 40)/5
        alpha_n = 0.16*(1 if abs(y_n) < 1e-6 else y_n/(exp(y_n) - 1))
        beta_n = 0.5*exp((10 - V)/40)
        alpha_m = 1.28*(1 if abs(y_m) < 1e-6 else y_m/(exp(y_m) - 1))
        beta_m = 1.4*(1 if abs(z_m) < 1e-6 else z_m/(exp(z_m) - 1))
        alpha_h = 0.128*exp((17 - V)/18)
        beta_h = 4/(1 + exp((40 - V)/5))
        I_Na = g_Na*Act_m**3*Inact_h*(E_Na - V_m)
        I_K = g_K*Act_n**4*(E_K - V_m)
        I_syn = g_ex*(E_ex - V_m) + g_in*(E_in - V_m)
        dV_m/dt = (I_Na + I_K + g_L*(E_L - V_m) + I_syn + I_e)/C_m
        dAct_m/dt = (alpha_m - (alpha_m + beta_m)*Act_m)/ms
        dInact_h/dt = (alpha_h - (alpha_h + beta_h)*Inact_h)/ms
        dAct_n/dt = (alpha_n - (alpha_n + beta_n)*Act_n)/ms
        dg_ex/dt = -g_ex/tau_syn_ex
        dg_in/dt = -g_in/tau_syn_in
    """
    receptors = """
        ex [nS]: g_ex += weight
        in [nS]: g_in -= weight
    """
    by_sign = True
    threshold = "V_m >= V_T + 30*mV and V_last > V_m and not refractory"
    refractory = "t_ref:"
    method = "rk4(6)"
