"""The constants by which a step advances a neuron: the exact solution over one time step.

They are computed in decimal numbers of 50 digits, which are made of integers, from the parameters
as they are, and rounded once: so they are the same on every processor, and no ratio of time
constants is a special case.

S. Rotter and M. Diesmann, Biological Cybernetics 81, 381-402 (1999).
"""

from __future__ import annotations

import functools
import math
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext

from simcore.errors import require
from simcore.neurons import LIF
from simcore.population import Population

ONE_CURRENT, TWO_CURRENTS, DELTA, SOURCE = 0, 1, 2, 3

_DIGITS = 50


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
        Those of `simcore.kernels.plan.segment_dtype`, and how far a constant current of 1 pA moves
        the potential in one step, ``per_pA`` [mV/pA].

    Raises
    ------
    ModelError
        When one is not finite.
    """
    model = population.model
    assert isinstance(model, LIF)
    subject = f"population {population.name!r}"
    tau_m, C_m = float(model.tau_m), float(model.C_m)
    found = {
        "kind": DELTA,
        "decay_V": decay(tau_m, dt),
        "per_pA": constant_response(tau_m, C_m, dt),
        "threshold": model.V_th - model.E_L,
        "reset": model.V_reset - model.E_L,
        "quantum": quantum,
    }
    taus = [float(tau) for tau in model.tau_receptors]
    if taus:
        found |= {
            "kind": ONE_CURRENT if len(taus) == 1 else TWO_CURRENTS,
            "decay_ex": decay(taus[0], dt),
            "decay_in": decay(taus[-1], dt),
            "ex_to_V": current_response(tau_m, taus[0], C_m, dt),
            "in_to_V": current_response(tau_m, taus[-1], C_m, dt),
        }
    for name, value in found.items():
        require(
            math.isfinite(value), f"{subject}: constant {name!r} of a step", value, "finite",
            "Check the units of the parameters of its neurons.",
        )  # fmt: skip
    return found


@functools.lru_cache(maxsize=4096)
def decay(tau: float, dt: float) -> float:
    """Return what is left after one step of what decays with a time constant [ms]."""
    with localcontext(_context()):
        return float((-Decimal(dt) / Decimal(tau)).exp())


@functools.lru_cache(maxsize=4096)
def constant_response(tau_m: float, C_m: float, dt: float) -> float:
    """Return how far a constant current of 1 pA moves the potential in one step [mV/pA]."""
    with localcontext(_context()):
        tau = Decimal(tau_m)
        return float(tau / Decimal(C_m) * _rise(Decimal(dt) / tau))


@functools.lru_cache(maxsize=4096)
def current_response(tau_m: float, tau_syn: float, C_m: float, dt: float) -> float:
    """Return how far a decaying current of 1 pA moves the potential in one step [mV/pA].

    The time constants may be exchanged. What decays slower is taken out of the difference of two
    exponentials, so that nothing overflows.
    """
    with localcontext(_context()):
        fast, slow = sorted((Decimal(tau_m), Decimal(tau_syn)))
        step = Decimal(dt)
        difference = (slow - fast) / (slow * fast)
        span = _rise(step * difference) / difference if difference else step
        return float((-step / slow).exp() / Decimal(C_m) * span)


def _context() -> Context:
    """Return the arithmetic: exponents have room for any quotient, and nothing is an error."""
    return Context(prec=_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])


def _rise(x: Decimal) -> Decimal:
    """Return 1 - exp(-x), for x of at least 0, without cancellation."""
    if x > Decimal("0.1"):
        return 1 - (-x).exp()
    term = total = x
    n = 1
    while abs(term) > total.scaleb(-_DIGITS):
        n += 1
        term = -term * x / n
        total += term
    return total
