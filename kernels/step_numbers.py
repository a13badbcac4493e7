"""What is known of a step of neurons before the run, computed once, on the host, in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.description.drawing import parameters, pieces
from simcore.description.population import Population
from simcore.discretization.fixed_point import FixedPoint
from simcore.discretization.limits import refractory_steps
from simcore.language.expression import Expression, evaluate_all, symbols
from simcore.language.program import make_program, varying_numbers
from simcore.language.step import duration_of
from simcore.numerics.clock import Clock
from simcore.services.errors import require


def numbers_of(
    population: Population,
    points: FixedPoint,
    dt: float,
    changed: Mapping[str, float] | None = None,
    some: Sequence[int] | None = None,
) -> list[float]:
    """Return numbers of a step that the neurons of a population share.

    Parameters
    ----------
    population : Population
        One of neurons.
    points : FixedPoint
        Its quanta.
    dt : float
        Time step [ms].
    changed : mapping of str to float, optional
        Parameters that are not as the model says.
    some : sequence of int, optional
        Which numbers; all that are shared if left out.

    Raises
    ------
    ModelError
        When one is not finite.
    """
    neuron = population.neuron
    assert neuron is not None
    program = make_program(neuron)
    if some is None:
        varying = varying_numbers(neuron, neuron.varying)
        some = [k for k in range(len(program.numbers)) if k not in varying]
    values = {"h": dt, **neuron.values, **(changed or {}), **_quanta(population, points)}
    found = program.values(values, some)
    for k, value in zip(some, found, strict=True):
        _require_finite(population, program.numbers[k], values, value)
    return found


def varying_numbers_of(
    population: Population,
    points: FixedPoint,
    dt: float,
    gids: NDArray[np.int64],
    changed: Mapping[str, Any],
    some: Sequence[int],
) -> NDArray[np.float64]:
    """Return numbers of a step of each of some neurons.

    Parameters
    ----------
    population : Population
        One of neurons.
    points : FixedPoint
        Its quanta.
    dt : float
        Time step [ms].
    gids : ndarray of int64, shape (n,)
        Global ids of the neurons.
    changed : mapping of str to (float or ndarray)
        Parameters that are not as the model says.
    some : sequence of int
        Which numbers; the one after the last is the refractory time, as a step counts it.

    Returns
    -------
    ndarray of float64, shape (len(some), n)

    Raises
    ------
    ModelError
        When one is not finite.
    """
    neuron = population.neuron
    assert neuron is not None
    numbers, clock = make_program(neuron).numbers, Clock(dt)
    quanta = _quanta(population, points)
    found = np.empty((len(some), gids.size))
    for own, piece in pieces(gids) if some else ():
        values = {"h": dt, **parameters(population, piece), **quanta}
        values |= {n: v if np.ndim(v) == 0 else v[own] for n, v in changed.items()}
        known = evaluate_all([numbers[k] for k in some if k < len(numbers)], values)
        rows = iter(known)
        for row, k in enumerate(some):
            if k < len(numbers):
                found[row, own] = next(rows)
            else:
                steps = refractory_steps(population, clock, piece)
                found[row, own] = duration_of(neuron.definition, steps)
        for row, i in np.argwhere(~np.isfinite(found[:, own]))[:1]:
            one = {n: v if np.ndim(v) == 0 else v[i] for n, v in values.items()}
            _require_finite(population, numbers[some[row]], one, float(found[row, own][i]))
    return found


def _quanta(population: Population, points: FixedPoint) -> dict[str, float]:
    return {f"quantum{k}": q for k, q in enumerate(points.quantum[population.id])}


def _require_finite(
    population: Population, number: Expression, values: Mapping[str, Any], found: float
) -> None:
    """Raise `ModelError` if a number of a step is not finite, with the parameters it is made of."""
    if math.isfinite(found):
        return
    assert population.neuron is not None
    parts = sorted(symbols(number) & population.neuron.definition.declared.keys())
    made = ", ".join(f"{name} = {values[name]:.6g}" for name in parts)
    subject = "a number of its step" + (f" made of {made}" if made else "")
    require(
        False, f"population {population.name!r}: {subject}", found, "finite",
        "Check the units of the parameters of its neurons, and of its currents.",
    )  # fmt: skip
