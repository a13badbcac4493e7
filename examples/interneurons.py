"""A model of one's own: fast-spiking interneurons that synchronise by inhibiting each other.

X.-J. Wang and G. Buzsaki, Journal of Neuroscience 16, 6402-6413 (1996): 100 neurons, each inhibited
by 60 of them on the average, find a common rhythm of about 40 Hz within half a second. Currents and
conductances are those of the article, for a membrane of 10 000 square micrometres; synapses jump
with a spike and decay, where the article's saturate.

    python examples/interneurons.py
    mpiexec -n 2 python examples/interneurons.py
    simcore run examples/interneurons.py --set current=150 --duration 1s --overwrite
    simcore resume interneurons.h5 --until 2s
"""

import simcore as sc
from simcore.analysis import synchrony
from simcore.services.comm import world


class wang_buzsaki(sc.NeuronModel):
    """Fast-spiking interneuron with a sodium and a potassium current (Wang and Buzsaki 1996)."""

    parameters = """
        C_m     = 100  [pF]  membrane capacitance
        g_L     = 10   [nS]  leak conductance
        g_Na    = 3500 [nS]  sodium conductance
        g_K     = 900  [nS]  potassium conductance
        E_L     = -65  [mV]  leak reversal potential
        E_Na    = 55   [mV]  sodium reversal potential
        E_K     = -90  [mV]  potassium reversal potential
        E_syn   = -75  [mV]  reversal potential of synapses
        tau_syn = 10   [ms]  time constant of synapses
        phi     = 5    [1]   how fast the gates are
        theta   = 0    [mV]  a spike passes it upwards
        I_e     = 0    [pA]  constant input current
    """
    state = """
        V_m    = E_L  [mV]  membrane potential
        V_last = E_L  [mV]  potential a step before
        h_Na   = 0.78 [1]   sodium inactivation
        n_K    = 0.09 [1]   potassium activation
        g_syn  = 0    [nS]  synaptic conductance
    """
    before = "V_last = V_m"
    equations = """
        V = V_m/mV
        y_m = -(V + 35)/10
        y_n = -(V + 34)/10
        alpha_m = 1 if abs(y_m) < 1e-6 else y_m/(exp(y_m) - 1)
        beta_m = 4*exp(-(V + 60)/18)
        alpha_h = 0.07*exp(-(V + 58)/20)
        beta_h = 1/(1 + exp(-(V + 28)/10))
        alpha_n = 0.1*(1 if abs(y_n) < 1e-6 else y_n/(exp(y_n) - 1))
        beta_n = 0.125*exp(-(V + 44)/80)
        m_Na = alpha_m/(alpha_m + beta_m)
        I_Na = g_Na*m_Na**3*h_Na*(E_Na - V_m)
        I_K = g_K*n_K**4*(E_K - V_m)
        dV_m/dt = (I_Na + I_K + g_L*(E_L - V_m) + g_syn*(E_syn - V_m) + I_e)/C_m
        dh_Na/dt = phi*(alpha_h*(1 - h_Na) - beta_h*h_Na)/ms
        dn_K/dt = phi*(alpha_n*(1 - n_K) - beta_n*n_K)/ms
        dg_syn/dt = -g_syn/tau_syn
    """
    receptors = "gaba [nS]: g_syn += weight"
    threshold = "V_m >= theta and V_last < theta"
    method = "rk4(2)"


def build(n=100, n_inputs=60, current=100.0, seed=1):
    """Return the network; the current is in pA."""
    net = sc.Network(seed=seed)
    cells = net.population("I", n, wang_buzsaki(I_e=current), V_m=sc.Uniform(-70.0, -50.0))
    inhibit = sc.PairwiseBernoulli(n_inputs / n)
    net.connect(cells, cells, inhibit, weight=10.0 / n_inputs, delay=0.5)
    net.record(cells, "spikes")
    net.record(cells[0], "V_m", interval=0.1)
    return net


if __name__ == "__main__":
    run = sc.simulate(build(), 1000.0, output="interneurons.h5", overwrite=True, record_from=500.0)
    if world().rank == 0:
        print(f"rate {run.rates()['I']:.1f}/s, synchrony {synchrony(run.select('I')):.2f}")
