"""A formula as a graph of single operations.

Each node is one operation that IEEE 754 fixes to the last bit (+ - * / sqrt, comparisons, choices)
or one of the functions of `simcore.numerics.portable`, which are made of these. All backends carry
out the operations of a graph in the same order, so they have the same results. Equal operations of
equal operands are one node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from weakref import WeakValueDictionary

import numpy as np

Kind = Literal["real", "bool", "int"]

COMPARISONS = {"<", "<=", ">", ">=", "=="}
LOGIC = {"and", "or", "not"}

_known: WeakValueDictionary[tuple[Any, ...], Expression] = WeakValueDictionary()


class Expression:
    """One operation of a formula.

    Attributes
    ----------
    op : str
        "number", "symbol", "host" (see `host`), an operator, "where", the name of a function,
        "uniform" (see `uniform`), or "decrement" of a whole number.
    args : tuple
        Operands; for "number" its value, for "symbol" its name, whether it is fixed, its kind.
    kind : {"real", "bool", "int"}
        What it gives.
    fixed : bool
        Whether it is known before a run: made of numbers and parameters alone.
    """

    __slots__ = ("__weakref__", "args", "fixed", "kind", "op")

    op: str
    args: tuple[Any, ...]
    kind: Kind
    fixed: bool

    def __new__(cls, op: str, *args: Any) -> Expression:
        """Return the node of an operation, the same for the same operands."""
        named = (a for a in args if isinstance(a, Expression) or not callable(a))
        key = (op, *(a if isinstance(a, Expression) else repr(a) for a in named))
        node = _known.get(key)
        if node is None:
            node = object.__new__(cls)
            node.op, node.args = op, args
            node.kind = _kind(op, args)
            node.fixed = args[1] if op == "symbol" else all(a.fixed for a in node.operands)
            node.fixed = node.fixed and op != "uniform"
            _known[key] = node
        return node

    @property
    def operands(self) -> tuple[Expression, ...]:
        """The operands that are expressions."""
        return tuple(a for a in self.args if isinstance(a, Expression))

    def __add__(self, other: Expression) -> Expression:
        return Expression("+", self, other)

    def __sub__(self, other: Expression) -> Expression:
        return Expression("-", self, other)

    def __mul__(self, other: Expression) -> Expression:
        return Expression("*", self, other)

    def __truediv__(self, other: Expression) -> Expression:
        # A product with a number of the host takes a fifth of the time
        if other.fixed and not self.fixed:
            return self * Expression("/", ONE, other)
        return Expression("/", self, other)

    def __neg__(self) -> Expression:
        return Expression("neg", self)

    def __repr__(self) -> str:
        return f"Expression({self.op}, {', '.join(map(str, self.args))})"


def _kind(op: str, args: tuple[Any, ...]) -> Kind:
    if op == "symbol":
        return args[2]
    if op == "where":
        return args[1].kind
    if op == "decrement":
        return "int"
    return "bool" if op in COMPARISONS | LOGIC else "real"


def number(value: float) -> Expression:
    """Return a number."""
    return Expression("number", float(value))


def symbol(name: str, fixed: bool = False, kind: Kind = "real") -> Expression:
    """Return a variable, or with `fixed` what is known before the run."""
    return Expression("symbol", name, fixed, kind)


def where(condition: Expression, yes: Expression, no: Expression) -> Expression:
    """Return a choice."""
    return yes if yes is no else Expression("where", condition, yes, no)


def uniform(place: str) -> Expression:
    """Return a random number in (0, 1), drawn once for each neuron and step.

    Parameters
    ----------
    place : str
        Where it stands in the texts of a model, part first; at each place there is another.
    """
    return Expression("uniform", place)


ZERO, ONE, TWO, HALF = number(0.0), number(1.0), number(2.0), number(0.5)


def host(name: str, compute: Callable[[Mapping[str, Any]], Any], *given: Expression) -> Expression:
    """Return a number that a function computes from the values of the parameters.

    Parameters
    ----------
    name : str
        Tells it from others: functions of the same name compute the same.
    compute : callable
        Takes values by name, numbers or arrays.
    *given : Expression
        What it depends on, beside the time step.
    """
    return Expression("host", name, compute, *given)


def substitute(x: Expression, values: Mapping[Expression, Expression]) -> Expression:
    """Return an expression with some nodes replaced by others."""
    done: dict[Expression, Expression] = dict(values)

    def replaced(node: Expression) -> Expression:
        if node not in done:
            args = [replaced(a) if isinstance(a, Expression) else a for a in node.args]
            done[node] = Expression(node.op, *args)
        return done[node]

    return replaced(x)


def symbols(x: Expression) -> set[str]:
    """Return the names in an expression."""
    return _leaves(x, "symbol")


def places(x: Expression) -> set[str]:
    """Return the places of the random numbers in an expression, see `uniform`."""
    return _leaves(x, "uniform")


def _leaves(x: Expression, op: str) -> set[str]:
    """Return the names of the nodes of an operation without operands."""
    found: set[str] = set()
    seen: set[Expression] = set()

    def visit(node: Expression) -> None:
        if node in seen:
            return
        seen.add(node)
        if node.op == op:
            found.add(node.args[0])
        for operand in node.operands:
            visit(operand)

    visit(x)
    return found


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "neg": lambda a: -a,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "where": np.where,
    "sqrt": np.sqrt,
    "rint": np.rint,
}


def evaluate(x: Expression, values: Mapping[str, Any]) -> Any:
    """Return the value of an expression of float64 numbers or arrays; random ones are 1/2.

    Parameters
    ----------
    x : Expression
        What to evaluate.
    values : mapping of str to float or ndarray
        Values of the symbols.
    """
    return evaluate_all([x], values)[0]


def evaluate_all(xs: Sequence[Expression], values: Mapping[str, Any]) -> list[Any]:
    """Return the values of some expressions, of which what they share is evaluated once."""
    from simcore.numerics import portable

    functions = {"exp": portable.exp, "log": portable.log}
    done: dict[Expression, Any] = {}

    def value(node: Expression) -> Any:
        if node not in done:
            found: Any
            if node.op == "number":
                found = np.float64(node.args[0])
            elif node.op == "symbol":
                found = np.asarray(values[node.args[0]], dtype=np.float64)[()]
            elif node.op == "host":
                found = node.args[1](values)
            elif node.op == "uniform":
                found = np.float64(0.5)
            else:
                operation = functions.get(node.op) or _OPERATIONS[node.op]
                found = operation(*(value(a) for a in node.operands))
            done[node] = found
        return done[node]

    with np.errstate(all="ignore"):
        return [value(x) for x in xs]
