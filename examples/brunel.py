"""Brunel's network: asynchronous irregular activity of 12 500 neurons.

N. Brunel, Journal of Computational Neuroscience 8, 183-208 (2000), with the parameters of NEST's
example brunel_delta. Run it as it is, or on four ranks:

    python examples/brunel.py
    mpiexec -n 4 python examples/brunel.py
"""

import simcore as sc
from simcore.services.comm import world

# Neurons
NE, NI = 10_000, 2_500
neuron = sc.LIF(tau_m=20.0, V_th=20.0, t_ref=2.0, E_L=0.0, V_reset=0.0)  # [ms], [mV]

# Synapses: excitatory and inhibitory ones per neuron
CE, CI = NE // 10, NI // 10
J, g, delay = 0.1, 5.0, 1.5  # [mV], 1, [ms]

# External input, relative to the rate that just reaches the threshold
eta = 2.0
nu_th = 20.0 / (J * CE * 20.0)  # [1/ms]

net = sc.Network(seed=1)
E = net.population("E", NE, neuron)
I = net.population("I", NI, neuron)  # noqa: E741

net.connect(E, [E, I], sc.FixedIndegree(CE), weight=J, delay=delay)
net.connect(I, [E, I], sc.FixedIndegree(CI), weight=-g * J, delay=delay)
net.drive([E, I], sc.Poisson(rate=1000.0 * CE * eta * nu_th, weight=J))
net.record([E, I], "spikes")

run = sc.simulate(net, 300.0, output="brunel.h5", overwrite=True, record_from=100.0, progress=True)

if world().rank == 0:
    print(run.rates())
