"""A program carried out by NumPy, operation by operation: what all other backends must equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.language.program import Body, Program
from simcore.numerics import portable, random

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "neg": np.negative,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "where": np.where,
    "sqrt": np.sqrt,
    "rint": np.rint,
    "exp": lambda x: portable.exp32(x) if x.dtype == np.float32 else portable.exp(x),
    "decrement": lambda waiting: waiting - np.int16(1),
}

Values = dict[str, Any]


@dataclass(frozen=True)
class Moment:
    """What random numbers of a step are drawn for.

    Parameters
    ----------
    seed : int
        Seed of the network.
    gids : ndarray of int64, shape (n,)
        Global ids of the neurons.
    step : int
        The step.
    """

    seed: int
    gids: NDArray[np.int64]
    step: int


def advance(
    program: Program,
    numbers: NDArray[np.floating],
    states: list[NDArray[np.floating]],
    waiting: NDArray[np.int16],
    duration: int | NDArray[np.integer],
    arrived: list[NDArray[np.int32]],
    moment: Moment | None = None,
    varying: Mapping[int, NDArray[np.floating]] | None = None,
) -> NDArray[np.uint8]:
    """Advance some neurons by a step; return how often each spikes.

    Parameters
    ----------
    program : Program
        Their model.
    numbers : ndarray
        Its numbers.
    states : list of ndarray, shape (n,)
        Its columns, changed in place.
    waiting : ndarray of int16, shape (n,)
        Steps left of the refractory time, changed in place.
    duration : int or ndarray of int, shape (n,)
        Steps of the refractory time.
    arrived : list of ndarray of int32, shape (n,)
        Input of the step for each receptor [quanta].
    moment : Moment, optional
        Needed by models with random numbers.
    varying : mapping of int to ndarray, shape (n,)
        By place, the numbers that differ from neuron to neuron.
    """
    real = states[0].dtype if states else numbers.dtype
    names: Values = {f"n{k}": value for k, value in enumerate(numbers)}
    names |= {f"n{k}": values for k, values in (varying or {}).items()}
    names |= {f"c{k}": real.type(value) for k, value in enumerate(program.constants)}
    names |= {f"in{r}": values.astype(real) for r, values in enumerate(arrived)}
    if program.n_draws:
        assert moment is not None
        words = random.draw_step(moment.seed, moment.gids, moment.step, program.n_draws)
        names |= {f"draw{k}": random.uniform_of_word(w, real) for k, w in enumerate(words)}
    names |= dict(zip(program.states, (s.copy() for s in states), strict=True))
    steps = np.asarray(duration).astype(np.int16)[()]
    names |= {"none": np.int16(0), "duration": steps, "waiting": waiting.copy()}
    names["spikes"] = np.zeros(waiting.size, dtype=real)
    with np.errstate(all="ignore"):
        after = _carried_out(program.bodies, names)
        if program.condition is not None:
            fine = _results(program.condition, dict(names))[program.condition.spikes or ""]
            if np.any(fine):
                other = _carried_out(program.finer, names)
                wanted = (*program.states, "waiting", "spikes")
                after = {n: np.where(fine, other[n], after[n]) for n in wanted}
    for name, column in zip(program.states, states, strict=True):
        column[:] = after[name]
    waiting[:] = after["waiting"]
    return after["spikes"].astype(np.uint8)


def _carried_out(bodies: tuple[Body, ...], names: Values) -> Values:
    """Return states, refractory steps and spikes after some bodies."""
    kept = dict(names)
    for body in bodies:
        for _ in range(body.times):
            found = _results(body, dict(kept))
            new = {name: found[value] for name, value in body.states.items()}
            if body.waiting is not None:
                new["waiting"] = found[body.waiting]
            if body.spikes is not None:
                new["spikes"] = found[body.spikes]
            kept |= new
    return kept


def _results(body: Body, names: Values) -> Values:
    """Return all that the lines of a body give, by name."""
    for line in body.lines:
        names[line.name] = _OPERATIONS[line.op](*(names[a] for a in line.args))
    return names
