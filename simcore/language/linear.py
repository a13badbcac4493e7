"""Which part of a model is linear, and how it moves in a step.

The largest set of states whose equations are linear in themselves, with coefficients that are
known before the run, is integrated exactly: Rotter and Diesmann, Biological Cybernetics 81,
381-402 (1999). The matrix exponential is computed with 50 digits of whole-number arithmetic and
rounded once, so it is the same on every machine, and equal time constants are no special case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from simcore.language.expression import ONE, ZERO, Expression, evaluate, host, symbols
from simcore.language.linear_arrays import propagators_of_arrays

_DIGITS = 50

Coefficients = dict[str | None, Expression]
"""Of each state in a linear formula; that of None is what is added."""

Exact = tuple[tuple[Fraction, ...], ...]


def coefficients(x: Expression, states: set[str]) -> Coefficients | None:
    """Return a formula as a linear one of some states; None if it is not.

    Parameters
    ----------
    x : Expression
        The formula.
    states : set of str
        Whose coefficients are wanted; all others must not occur.
    """
    if x.op == "symbol" and x.args[0] in states:
        return {x.args[0]: ONE}
    if x.op in ("+", "-", "*", "/", "neg"):
        parts = [coefficients(a, states) for a in x.operands]
        if any(part is None for part in parts):
            return None
        return _combined(x, *parts)  # type: ignore[arg-type]
    return {None: x} if x.fixed and not _mentions(x, states) else None


def _mentions(x: Expression, states: set[str]) -> bool:
    if x.op == "symbol":
        return x.args[0] in states
    return any(_mentions(a, states) for a in x.operands)


def _combined(x: Expression, left: Coefficients, *others: Coefficients) -> Coefficients | None:
    if x.op == "neg":
        return {name: -value for name, value in left.items()}
    (right,) = others
    if x.op in "+-":
        found = dict(left)
        for name, value in right.items():
            signed = value if x.op == "+" else -value

            # What is kept relative to a parameter leaves nothing of it
            gone = x.op == "-" and found.get(name) is value
            added = ZERO if gone else found[name] + signed if name in found else signed
            found[name] = added
        return found
    if set(right) <= {None}:
        by = right.get(None, ZERO)
        return {n: (v * by if x.op == "*" else v / by) for n, v in left.items()}
    if x.op == "*" and set(left) <= {None}:
        by = left.get(None, ZERO)
        return {n: by * v for n, v in right.items()}
    return None


def linear_part(slopes: Mapping[str, Expression], inputs: Sequence[str]) -> dict[str, Coefficients]:
    """Return the largest set of states that is linear in itself, with its coefficients.

    Parameters
    ----------
    slopes : mapping of str to Expression
        Right-hand side of the equation of each state.
    inputs : sequence of str
        Parameters whose coefficients are wanted apart, such as the input current.
    """
    states = set(slopes)
    while True:
        variables = states | set(inputs)
        found = {name: coefficients(slopes[name], variables) for name in slopes if name in states}
        left = {name for name, value in found.items() if value is not None}
        if left == states:
            return {name: value for name, value in found.items() if value is not None}
        states = left


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """States x and constant inputs u with dx/dt = A x + B u + b.

    Parameters
    ----------
    states, inputs : tuple of str
        Names of the components of x and of u.
    rows : tuple of dict
        For each state its coefficients: those of A by state, of B by input, and b by None.
    """

    states: tuple[str, ...]
    inputs: tuple[str, ...]
    rows: tuple[Coefficients, ...]

    def holding(self, held: set[str]) -> LinearSystem:
        """Return the system while some of its states do not move."""
        pairs = zip(self.states, self.rows, strict=True)
        return LinearSystem(
            self.states, self.inputs, tuple({} if name in held else row for name, row in pairs)
        )

    def reaches(self, name: str) -> list[str | None]:
        """Return on which states, inputs, and whether on b (None), the change of one depends."""
        rows = dict(zip(self.states, self.rows, strict=True))
        found: list[str | None] = [name]
        for node in found:
            found += [n for n in rows.get(node or "", {}) if n not in found]
        order: list[str | None] = [*self.states, *self.inputs, None]
        return [name, *(n for n in order if n in found and n != name)]

    def advanced(self, values: Mapping[str, Expression], share: Fraction) -> dict[str, Expression]:
        """Return the states after a share of a time step.

        Parameters
        ----------
        values : mapping of str to Expression
            States before it, and inputs.
        share : Fraction
            Of the time step.
        """
        return {name: self._advanced(name, values, share) for name in self.states}

    def _advanced(self, name: str, values: Mapping[str, Expression], share: Fraction) -> Expression:
        moved: Expression | None = None
        constant: Expression | None = None
        for other in self.reaches(name):
            factor = self._propagator(name, other, share)
            if other in self.states:
                term = values[str(other)] * factor
                moved = term if moved is None else moved + term
            else:
                term = factor if other is None else factor * values[str(other)]
                constant = term if constant is None else constant + term
        assert moved is not None
        return moved if constant is None else moved + constant

    def _propagator(self, name: str, other: str | None, share: Fraction) -> Expression:
        """Return a number of the matrix exponential, of what leads from one state to the other."""
        order: list[str | None] = [*self.states, *self.inputs, None]
        path = [n for n in order if n in self.reaches(name) and self._leads(n, other)]
        rows = {n: row for n, row in zip(self.states, self.rows, strict=True) if n in path}
        if not rows[name] and name == other:
            return ONE
        matrix = tuple(tuple(row.get(n, ZERO) for n in path) for row in rows.values())
        entry = list(rows).index(name), path.index(other)

        def alone(values: Mapping[str, Any]) -> float:
            exact = tuple(tuple(exactly(x, values) for x in row) for row in matrix)
            return propagators(exact, Fraction(float(values["h"])) * share)[entry[0]][entry[1]]

        def compute(values: Mapping[str, Any]) -> Any:
            own = {n: values[n] for row in matrix for x in row for n in symbols(x)}
            own["h"] = values["h"]
            if all(np.ndim(v) == 0 for v in own.values()):
                return np.float64(alone(own))
            time = Fraction(float(own["h"])) * share
            return propagators_of_arrays(matrix, entry, own, time, alone)

        given = [x for row in matrix for x in row]
        return host(f"P{entry}, {len(path)}, {share}", compute, *given)

    def _leads(self, name: str | None, other: str | None) -> bool:
        """Return whether a state, or an input, is another or depends on it."""
        return name == other or (name in self.states and other in self.reaches(str(name)))


def exactly(x: Expression, values: Mapping[str, Any]) -> Fraction:
    """Return the value of a fixed expression without rounding; that of a function is rounded."""
    if x.op in ("number", "symbol"):
        return Fraction(float(x.args[0] if x.op == "number" else values[x.args[0]]))
    if x.op not in ("+", "-", "*", "/", "neg"):
        return Fraction(float(evaluate(x, values)))
    first, *others = (exactly(a, values) for a in x.operands)
    if x.op == "neg":
        return -first
    (second,) = others
    if x.op == "+":
        return first + second
    if x.op == "-":
        return first - second
    return first * second if x.op == "*" else first / second


@lru_cache(maxsize=4096)
def propagators(rows: Exact, time: Fraction) -> tuple[tuple[float, ...], ...]:
    """Return the upper rows of exp(M time), each number rounded once.

    Parameters
    ----------
    rows : tuple of tuple of Fraction, shape (n_states, n_columns)
        The upper rows of M, whose other rows are zero.
    time : Fraction
        The time.
    """
    n, size = len(rows), len(rows[0])
    with localcontext() as context:
        context.prec = _DIGITS
        scaled = [[v * time for v in row] for row in rows]
        norm = max((sum(abs(v) for v in row) for row in scaled), default=Fraction(0))
        halvings = max(0, int(norm).bit_length() + 8)
        context.prec += halvings // 3 + 5
        M = [[_decimal(v / 2**halvings) for v in row] for row in scaled]
        term = total = [[Decimal(int(i == j)) for j in range(size)] for i in range(n)]
        for k in range(1, 24):
            term = [[v / k for v in row] for row in _product(term, M)]
            total = [
                [a + b for a, b in zip(r, s, strict=True)] for r, s in zip(total, term, strict=True)
            ]
        for _ in range(halvings):
            total = _square(total)
        return tuple(tuple(float(v) for v in row) for row in total)


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _product(X: list[list[Decimal]], M: list[list[Decimal]]) -> list[list[Decimal]]:
    """Return X M, where the rows of M that are not given are zero."""
    columns = range(len(M[0]) if M else 0)
    return [[sum((r[k] * M[k][j] for k in range(len(M))), Decimal(0)) for j in columns] for r in X]


def _square(P: list[list[Decimal]]) -> list[list[Decimal]]:
    """Return the square of a matrix whose rows that are not given are those of the identity."""
    n = len(P)
    found = _product(P, P)
    return [
        [v + (row[j] if j >= n else 0) for j, v in enumerate(new)]
        for row, new in zip(P, found, strict=True)
    ]
