"""Models some of whose parameters differ from neuron to neuron: few, since each is compiled."""

from __future__ import annotations

import numpy as np

import simcore as sc
from simcore.language.program import make_program, varying_numbers
from simcore.library import load

VARIED = {
    "aeif_cond_exp": ("t_ref", "E_L", "tau_w", "b", "I_e"),
    "glif_psc": ("g", "t_ref", "E_L", "I_e"),
    "iaf_psc_delta": ("tau_m", "t_ref", "E_L", "I_e"),
    "iaf_psc_exp": ("tau_m", "t_ref", "E_L", "I_e"),
    "iaf_psc_exp_multisynapse": ("tau_m", "t_ref", "E_L", "I_e"),
    "izhikevich": ("a", "I_e"),
}
"""Parameters that differ, by model."""


def varied_kind(name):
    """Return the program of a model, and which of its numbers differ."""
    model = load(name)()
    return make_program(model), varying_numbers(model, VARIED[name])


def network(value=lambda number, k: number, size=24, seed=5):
    """Return a network of all models of `VARIED`, sources and stimuli.

    Parameters
    ----------
    value : callable
        Takes a number, and which of all numbers it is, and returns the parameter.
    size : int
        Neurons of a population.
    """
    net = sc.Network(seed=seed)
    counted = iter(range(1000))

    def each(number):
        return value(number, next(counted))

    given = {
        "aeif_cond_exp": {"t_ref": 1.0, "E_L": -70.0, "tau_w": 100.0, "b": 60.0, "I_e": 600.0},
        "glif_psc": {"g": 9.0, "t_ref": 2.0, "E_L": -78.0, "I_e": 150.0},
        "iaf_psc_delta": {"tau_m": 11.0, "t_ref": 0.55, "E_L": -69.0, "I_e": 350.0},
        "iaf_psc_exp": {"tau_m": 12.0, "t_ref": 1.05, "E_L": -68.0, "I_e": 380.0},
        "iaf_psc_exp_multisynapse": {"tau_m": 9.0, "t_ref": 1.0, "E_L": -67.0, "I_e": 400.0},
        "izhikevich": {"a": 0.02, "I_e": 8.0},
    }
    sources = net.population("sources", size, sc.PoissonSource(each(500.0)))
    for name, parameters in given.items():
        assert set(parameters) == set(VARIED[name])
        model = load(name)(**{n: each(v) for n, v in parameters.items()})
        start = {"w": each(3.0)} if name == "aeif_cond_exp" else {"V_m": each(-66.0)}
        own = net.population(name, size, model, **start)
        small = name == "izhikevich"
        net.drive(own, sc.Current(each(2.0 if small else 60.0), start=3.0, stop=21.0))
        receptor = model.definition.receptors[0]
        weight = {"nS": 8.0, "pA": 120.0, "mV": 1.0}[receptor.unit]
        net.drive(own, sc.Poisson(each(4000.0), weight, receptor=receptor.name))
        rule = sc.FixedIndegree(4)
        net.connect(sources, own, rule, weight=weight, delay=1.5, receptor=receptor.name)
        net.record(own, "V_m", 0.5, "float64")
    return net


def equal(number, k, size=24):
    """Return a number once for each neuron."""
    return np.full(size, number)


def drawn(number, k):
    """Return a distribution about a number, or numbers about it, in turn."""
    if k % 3 == 2:
        return number * np.linspace(0.9, 1.1, 24)
    low, high = sorted((0.9 * number, 1.1 * number))
    return sc.Uniform(low, high) if k % 3 else sc.Normal(number, 0.05 * abs(number), low, high)
