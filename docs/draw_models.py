"""Draw what the models of the library do: `python docs/draw_models.py` writes docs/models.png.

A current, or spikes where a model takes no current, come between 20 and 180 ms.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import simcore as sc
from simcore import library

DURATION, START, STOP = 200.0, 20.0, 180.0  # [ms]

# What brings a model well above its threshold [pA]; parameters without which it would do little
CURRENT = {
    "gif_cond_exp": 200.0, "gif_psc_exp": 200.0, "glif_psc": 300.0, "hh_cond_exp_traub": 500.0,
    "izhikevich": 10.0, "izhikevich_2003": 10.0, "mat2_psc_exp": 1000.0,
}  # fmt: skip
OTHERS = 700.0
GIVEN = {
    "gif_cond_exp": {"tau_sfa": [80.0], "q_sfa": [5.0]},
    "gif_psc_exp": {"tau_sfa": [80.0], "q_sfa": [5.0]},
    "ignore_and_fire": {"rate": 30.0},
}


def trace(name):
    """Return times and a state of one neuron of a model, the name of the state, and its spikes."""
    net = sc.Network(seed=1)
    model = library.load(name)(**GIVEN.get(name, {}))
    cell = net.population("cell", 1, model)
    if model.definition.cls.input_current in model.values:
        net.drive(cell, sc.Current(CURRENT.get(name, OTHERS), start=START, stop=STOP))
    elif name == "parrot_neuron":
        source = net.population("source", 1, sc.SpikeTrains(np.arange(30.0, STOP, 30.0)))
        net.connect(source, cell, sc.OneToOne(), weight=1.0, delay=1.0)
    net.record(cell, "spikes")
    columns = [c.name for c in model.layout.reals]
    shown = "V_m" if "V_m" in columns else columns[0] if columns else None
    if shown:
        net.record(cell, shown, interval=0.1)
    run = sc.simulate(net, DURATION)
    spikes = run.spikes("cell").times
    if shown is None:
        return None, None, None, spikes
    times, _, values = run.samples("cell", shown)
    unit = model.layout.find(shown).unit
    return times, values[:, 0], f"{shown} [{unit}]", spikes


def main():
    """Draw all models as small panels."""
    names = library.names()
    rows = -(-len(names) // 4)
    figure, axes = plt.subplots(rows, 4, figsize=(12, 1.6 * rows), sharex=True)
    for axis, name in zip(axes.flat, names, strict=False):
        times, values, label, spikes = trace(name)
        axis.axvspan(START, STOP, color="0.93", lw=0)
        top = 1.0
        if times is not None:
            axis.plot(times, values, lw=0.8, color="C0")
            axis.set_ylabel(label, fontsize=7)
            top = axis.get_ylim()[1]
        axis.plot(spikes, np.full(spikes.size, top), "|", color="C3", ms=6)
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_xlim(0.0, DURATION)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis in axes[-1]:
        axis.set_xlabel("time [ms]", fontsize=7)
    figure.tight_layout()
    figure.savefig(Path(__file__).with_name("models.png"), dpi=80)


if __name__ == "__main__":
    main()
