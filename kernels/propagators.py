"""The numbers by which a step advances a neuron: the exact solution over one time step.

S. Rotter and M. Diesmann, Biological Cybernetics 81, 381-402 (1999).
"""

from __future__ import annotations

import math

from simcore.neurons import LIF
from simcore.population import Population

ONE_CURRENT, TWO_CURRENTS, DELTA, SOURCE = 0, 1, 2, 3


def constants(population: Population, dt: float, quantum: float) -> dict[str, float]:
    """Return the constants of a step of the neurons of a population.

    Parameters
    ----------
    population : Population
        One of LIF neurons.
    dt : float
        Time step [ms].
    quantum : float
        Unit of its weights.

    Returns
    -------
    dict of str to float
        See `simcore.kernels.plan.segment_dtype`, and how far a current of 1 pA moves the potential
        in one step, ``per_pA`` [mV/pA].
    """
    model = population.model
    assert isinstance(model, LIF)
    found = {
        "kind": DELTA,
        "refractory": math.floor(model.t_ref / dt + 0.5),
        "decay_V": math.exp(-dt / model.tau_m),
        "per_pA": model.tau_m / model.C_m * -math.expm1(-dt / model.tau_m),
        "threshold": model.V_th - model.E_L,
        "reset": model.V_reset - model.E_L,
        "quantum": quantum,
    }
    taus = model.tau_receptors
    if taus:
        excitatory, inhibitory = taus[0], taus[-1]
        found |= {
            "kind": ONE_CURRENT if len(taus) == 1 else TWO_CURRENTS,
            "decay_ex": math.exp(-dt / excitatory),
            "decay_in": math.exp(-dt / inhibitory),
            "ex_to_V": current_response(model.tau_m, excitatory, model.C_m, dt),
            "in_to_V": current_response(model.tau_m, inhibitory, model.C_m, dt),
        }
    return found


def current_response(tau_m: float, tau_syn: float, C_m: float, dt: float) -> float:
    """Return how far a decaying current of 1 pA moves the potential in one step [mV/pA].

    Rotter and Diesmann (1999), written so that equal time constants are no special case.
    """
    difference = 1.0 / tau_syn - 1.0 / tau_m
    span = dt if difference == 0.0 else -math.expm1(-dt * difference) / difference
    return math.exp(-dt / tau_m) / C_m * span
