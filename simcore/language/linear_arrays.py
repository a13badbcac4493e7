"""Propagators of many neurons at once, each the same number as `propagators` gives for one.

They are computed in `DoubleDouble`, which tells how far they may be off. The few that this leaves
between two float64 are computed with 50 digits instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.language.expression import ZERO, Expression, evaluate
from simcore.numerics.double_double import DoubleDouble

# The series is taken of a matrix with rows of at most this sum, up to this power
_SMALL, _TERMS = 2.0**-6, 13

_INVERSE = [DoubleDouble.of(Fraction(1, math.factorial(k))) for k in range(_TERMS + 1)]
_ONE = _INVERSE[0]

Matrix = dict[tuple[int, int], DoubleDouble]
"""Entries by row and column; those that are not there are 0."""

Bounds = dict[tuple[int, int], Any]
"""The same of float64."""


def propagators_of_arrays(
    rows: Sequence[Sequence[Expression]],
    entry: tuple[int, int],
    values: Mapping[str, Any],
    time: Fraction,
    alone: Callable[[Mapping[str, Any]], float],
) -> NDArray[np.float64]:
    """Return an entry of exp(M time) for many matrices M.

    Parameters
    ----------
    rows : sequence of sequence of Expression, shape (n_states, n_columns)
        The upper rows of M, whose other rows are zero.
    entry : (int, int)
        Row and column that are wanted.
    values : mapping of str to float or ndarray
        Parameters; arrays are of one shape (n,).
    time : Fraction
        The time.
    alone : callable
        Returns the entry for the values of a single neuron.
    """
    n = len(rows)
    span = DoubleDouble.of(time)
    M = {
        (i, j): coefficient(x, values) * span
        for i, row in enumerate(rows)
        for j, x in enumerate(row)
        if x is not ZERO
    }
    with np.errstate(all="ignore"):
        halvings = _halvings(M, n)
        P = _series({place: x.halved(halvings) for place, x in M.items()}, n)
        for _ in range(halvings):
            P = _square(P, n)
        found, certain = P[entry].rounded()
    shape = np.broadcast_shapes(*(np.shape(x.high) for x in M.values()))
    found, certain = np.array(np.broadcast_to(found, shape)), np.broadcast_to(certain, shape)
    for k in np.flatnonzero(~certain):
        found[k] = alone({name: v if np.ndim(v) == 0 else v[k] for name, v in values.items()})
    return found


def coefficient(x: Expression, values: Mapping[str, Any]) -> DoubleDouble:
    """Return the value of a fixed expression; that of a function is rounded, as in `exactly`."""
    if x.op in ("number", "symbol"):
        value = x.args[0] if x.op == "number" else values[x.args[0]]
        return DoubleDouble(np.asarray(value, dtype=np.float64)[()])
    if x.op not in ("+", "-", "*", "/", "neg"):
        return DoubleDouble(evaluate(x, values))
    with np.errstate(all="ignore"):
        first, *others = (coefficient(a, values) for a in x.operands)
        if x.op == "neg":
            return -first
        (second,) = others
        if x.op in "+-":
            return first + second if x.op == "+" else first - second
        return first * second if x.op == "*" else first / second


def _halvings(M: Matrix, n: int) -> int:
    """Return how often all matrices are halved to be small."""
    sums = [
        sum((abs(x.high) for (i, j), x in M.items() if i == k and j < n), 0.0) for k in range(n)
    ]
    norm = max((float(np.max(s)) for s in sums if np.size(s)), default=0.0)
    if not math.isfinite(norm):
        return 0
    return max(0, math.frexp(norm / _SMALL)[1])


def _series(M: Matrix, n: int) -> Matrix:
    """Return the exponential of small matrices, with what the rest of the series may add."""
    P: Matrix = {(i, i): _INVERSE[_TERMS] for i in range(n)}
    rest: Bounds = {place: abs(x.high) for place, x in M.items()}
    small = dict(rest)
    for k in range(_TERMS - 1, -1, -1):
        P = _product(P, M)
        for i in range(n):
            P[i, i] = P[i, i] + _INVERSE[k] if (i, i) in P else _INVERSE[k]
    for k in range(2, _TERMS + 2):
        rest = {place: x * (1.0 / k) for place, x in _times(rest, small).items()}
    return {
        place: DoubleDouble(x.high, x.low, x.error + 2.0 * rest[place]) if place in rest else x
        for place, x in P.items()
    }


def _square(P: Matrix, n: int) -> Matrix:
    """Return the square of matrices whose rows that are not there are those of the identity."""
    found = _product(P, P)
    for (i, j), x in P.items():
        if j >= n:
            found[i, j] = found[i, j] + x if (i, j) in found else x
    return found


def _product(X: Matrix, Y: Matrix) -> Matrix:
    found: Matrix = {}
    for (i, k), x in X.items():
        for (row, j), y in Y.items():
            if row == k:
                term = x * y
                found[i, j] = found[i, j] + term if (i, j) in found else term
    return found


def _times(X: Bounds, Y: Bounds) -> Bounds:
    found: Bounds = {}
    for (i, k), x in X.items():
        for (row, j), y in Y.items():
            if row == k:
                found[i, j] = found.get((i, j), 0.0) + x * y
    return found
