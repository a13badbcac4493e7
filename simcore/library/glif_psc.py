"""Generalized leaky integrate-and-fire of the Allen Institute."""

from simcore.language.model import NeuronModel


class glif_psc(NeuronModel):
    """Generalized leaky integrate-and-fire neuron with alpha-shaped currents, in five forms.

    The switches `spike_dependent_threshold`, `after_spike_currents` and `adapting_threshold`, 0 or
    1, choose the form: none is GLIF 1, the first alone 2, the second alone 3, both 4, all 5. The
    adapting part of the threshold follows the potential that synapses do not move in a step.
    Receptors have the names ``1``, ``2``, ... in the order of `tau_syn`. Integrated exactly.
    Source: NEST's ``glif_psc``; Teeter et al., Nat. Commun. 9, 709 (2018).
    """

    parameters = """
        V_th                   = -51.68 [mV]  threshold at rest
        g                      = 9.43   [nS]  membrane conductance
        E_L                    = -78.85 [mV]  resting potential
        C_m                    = 58.72  [pF]  membrane capacitance
        t_ref                  = 3.75   [ms]  refractory time
        V_reset                = -78.85 [mV]  potential after a spike, in forms 1 and 3
        th_spike_add           = 0.37   [mV]  what a spike adds to the threshold
        th_spike_decay         = 0.009  [1/ms]  rate at which that decays
        voltage_reset_fraction = 0.2    [1]   share of the potential after a spike, in other forms
        voltage_reset_add      = 18.51  [mV]  what is added to it
        th_voltage_index       = 0.005  [1/ms]  how the threshold follows the potential
        th_voltage_decay       = 0.09   [1/ms]  rate at which that decays
        asc_init[a]            = 0, 0   [pA]  after-spike currents at the begin
        asc_decay[a]           = 0.003, 0.1 [1/ms]  rates at which they decay
        asc_amps[a]            = -9.18, -198.94 [pA]  what a spike adds to them
        asc_r[a]               = 1, 1   [1]   share of them that is left after a spike
        tau_syn[k]             = 2      [ms]  time constant of the current of each receptor
        spike_dependent_threshold = 0   [1]   whether spikes raise the threshold
        after_spike_currents   = 0      [1]   whether there are after-spike currents
        adapting_threshold     = 0      [1]   whether the threshold follows the potential
        I_e                    = 0      [pA]  constant input current
    """
    valid = """
        g > 0
        C_m > 0
        t_ref >= 0
        V_reset < V_th
        th_spike_decay > 0
        th_voltage_decay > 0
        asc_decay[a] > 0
        asc_r[a] >= 0
        asc_r[a] <= 1
        voltage_reset_fraction >= 0
        voltage_reset_fraction <= 1
        tau_syn[k] > 0
        spike_dependent_threshold*(1 - spike_dependent_threshold) == 0
        after_spike_currents*(1 - after_spike_currents) == 0
        adapting_threshold*(1 - adapting_threshold) == 0
        adapting_threshold <= spike_dependent_threshold*after_spike_currents
    """
    state = """
        V_m       = E_L  [mV]     membrane potential
        V_free    = E_L  [mV]     where it would be without synapses in this step
        threshold_spike   = 0  [mV]  part of the threshold that spikes raise
        threshold_voltage = 0  [mV]  part of the threshold that follows the potential
        ASC[a]    = asc_init[a]*after_spike_currents  [pA]  after-spike currents
        I_syn[k]  = 0    [pA]     synaptic current of each receptor
        dI_syn[k] = 0    [pA/ms]  what raises it
    """
    before = """
        V_old = V_m
        V_free = V_m
        mean[a] = ASC[a]*((1 - exp(-asc_decay[a]*h))/(asc_decay[a]*h))
        I_ASC = sum(mean[a])
    """
    equations = """
        dV_m/dt = (g*(E_L - V_m) + sum(I_syn[k]) + I_ASC + I_e)/C_m
        dV_free/dt = (g*(E_L - V_free) + I_ASC + I_e)/C_m
        index = th_voltage_index*adapting_threshold
        dthreshold_voltage/dt = index*(V_free - E_L) - th_voltage_decay*threshold_voltage
        dthreshold_spike/dt = -th_spike_decay*threshold_spike
        dASC[a]/dt = -asc_decay[a]*ASC[a]
        dI_syn[k]/dt = dI_syn[k] - I_syn[k]/tau_syn[k]
        ddI_syn[k]/dt = -dI_syn[k]/tau_syn[k]
    """
    receptors = "[k] [pA]: dI_syn[k] += weight*exp(1)/tau_syn[k]"
    threshold = "V_m > V_th + threshold_spike + threshold_voltage and not refractory"
    reset = """
        ASC[a] = (asc_amps[a] + ASC[a]*asc_r[a]*exp(-asc_decay[a]*t_ref))*after_spike_currents
        if spike_dependent_threshold > 0:
            V_m = E_L + voltage_reset_fraction*(V_old - E_L) + voltage_reset_add
            threshold_spike = threshold_spike*exp(-th_spike_decay*t_ref) + th_spike_add
        else:
            V_m = V_reset
    """
    refractory = "t_ref: V_m, threshold_spike, threshold_voltage, ASC[a]"
