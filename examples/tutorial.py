# %% [markdown]
# # From a run to its statistics
#
# Open this file as a notebook (VS Code, Spyder and jupytext know the cells) or run it:
#
#     python examples/tutorial.py
#
# It needs `pip install 'simcore[analysis]'`.

# %% A network to look at: Brunel's, 12 500 neurons
import numpy as np
from matplotlib.figure import Figure

import simcore as sc
from simcore import analysis
from simcore.models import brunel

net = brunel.build(record_V_m=20)
sc.simulate(net, 1000.0, output="tutorial.h5", overwrite=True)

# %% Open the file: nothing is read but its description
run = sc.open_run("tutorial.h5")
print(run)
print(run.config["n_ranks"], "rank,", run.end, "ms recorded")

# %% Spikes of a window of time, found by the order of time and not by a scan
times, node_ids = run.spikes("E", start=500.0, stop=600.0)
print(f"{times.size} spikes, the first of neuron {node_ids[0]} at {times[0]:.1f} ms")

# The same as dask arrays, which are read in blocks when something is computed
lazy = run.dask_spikes("E")
print("mean time of all spikes:", float(lazy.times.mean().compute()), "ms")

# %% Statistics take a selection: a population, a window of time, perhaps some neurons
E = run.select("E", start=200.0)
I = run.select("I", start=200.0)  # noqa: E741

rates = analysis.rates_per_neuron(E)
isi = analysis.isi_statistics(E)
print(f"rate {rates.mean():.2f} /s, CV {np.nanmean(isi.cv):.2f}, LV {np.nanmean(isi.lv):.2f}")

# %% How neurons go together
pairs = analysis.count_correlations(E, width=2.0, max_neurons=100).pairs
print(f"correlation of counts {pairs.mean():.4f}, synchrony {analysis.synchrony(E):.2f}")

correlogram = analysis.cross_correlogram(E, I, width=0.5, max_lag=20.0)
spectrum = analysis.power_spectrum(E, width=1.0, segment=256.0)
peak = spectrum.frequencies[np.argmax(spectrum.power)]
print(f"the spectrum has its peak at {peak:.0f} Hz")

# %% Membrane potentials
V = analysis.potential_statistics(run, "E", start=200.0)
print(f"V_m {V.neuron_mean.mean():.2f} mV, fluctuations of {V.neuron_sd.mean():.2f} mV")

# %% All statistics of all populations, for which the spikes are read once
early = analysis.summarize(run, start=200.0, stop=600.0)
late = analysis.summarize(run, start=600.0)
for name, distance in analysis.compare(early, late).items():
    print(f"{name}: distance of the rates of two halves of the run {distance.rate:.3f}")

# %% A picture
figure = Figure(figsize=(8.0, 6.0), layout="constrained")
(a, b), (c, d) = figure.subplots(2, 2)
a.hist(rates, bins=12)
a.set(xlabel="rate (1/s)", ylabel="neurons")
b.stairs(isi.histogram, isi.edges)
b.set(xscale="log", xlim=(5.0, 200.0), xlabel="interval (ms)", ylabel="intervals")
c.plot(correlogram.lags, correlogram.coefficients)
c.set(xlabel="lag of I after E (ms)", ylabel="correlation")
d.loglog(*spectrum)
d.set(xlabel="frequency (Hz)", ylabel="power ((1/s)²/Hz)")
figure.savefig("tutorial.png", dpi=100)

# %% [markdown]
# `simcore analyze tutorial.h5` makes a report of all this, with pictures and tables.
