"""Text to expressions: declarations, formulas and statements, with units checked.

Python's own parser reads formulas, so they look and bind as in Python. Errors name the model, the
line and the symbol.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from simcore.language.expression import ZERO, Expression, number, uniform, where
from simcore.language.units import NUMBER, UNITS, Unit
from simcore.services.errors import ModelError

_DECLARATION = re.compile(r"(\w+(?:\[\w\])?)\s*=\s*(.+?)\s*\[([^\[\]]*)\]\s*(.*)")
_DERIVATIVE = re.compile(r"d(\w+)/dt\s*=\s*(.+)")

# What happens once in a step, and may draw random numbers
_DRAWING = ("before", "update", "threshold", "emit", "reset")

_COMPARED = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "=="}


@dataclass(frozen=True)
class Quantity:
    """An expression and its unit; None is that of a zero, which goes with any."""

    value: Expression
    unit: Unit | None = NUMBER


@dataclass(frozen=True)
class Declaration:
    """A line ``name = value [unit] meaning``.

    Parameters
    ----------
    name, value, meaning : str
        As written.
    unit : Unit
        The unit in the brackets.
    unit_text : str
        The same as written.
    """

    name: str
    value: str
    unit: Unit
    unit_text: str
    meaning: str


class Subject:
    """Where a text comes from, for messages.

    Parameters
    ----------
    model, part : str
        Names of the model and of the attribute that holds the text.
    line : str
        The line.
    """

    def __init__(self, model: str, part: str, line: str = "") -> None:
        self.model, self.part, self.line = model, part, line

    def at(self, line: str) -> Subject:
        """Return the same for a line."""
        return Subject(self.model, self.part, line)

    def error(self, problem: str) -> ModelError:
        """Return the error of the line."""
        where_ = f" in {self.line!r}" if self.line else ""
        return ModelError(f"model {self.model}: {self.part}: {problem}{where_}")


def lines(text: str) -> list[str]:
    """Return the lines of a text without comments and without empty ones."""
    stripped = (line.split("#")[0].strip() for line in text.splitlines())
    return [line for line in stripped if line]


def declarations(text: str, subject: Subject) -> list[Declaration]:
    """Return what a text declares, a line each."""
    found = []
    for line in lines(text):
        match = _DECLARATION.fullmatch(line)
        if match is None:
            raise subject.at(line).error("expected 'name = value [unit] meaning'")
        name, value, unit, meaning = match.groups()
        found.append(
            Declaration(name, value, parse_unit(unit, subject.at(line)), unit or "1", meaning)
        )
    return found


def parse_unit(text: str, subject: Subject) -> Unit:
    """Return the unit of a text such as ``pA/ms``; that of a number for an empty one."""
    try:
        return _unit_of(ast.parse(text.strip() or "1", mode="eval").body)
    except (SyntaxError, KeyError, TypeError):
        known = ", ".join(UNITS)
        raise subject.error(f"{text!r} is not a unit; known are {known}") from None


def _unit_of(node: ast.expr) -> Unit:
    if isinstance(node, ast.Name):
        return UNITS[node.id]
    if isinstance(node, ast.Constant) and node.value == 1:
        return NUMBER
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _unit_of(node.left) * _unit_of(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return _unit_of(node.left) / _unit_of(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _unit_of(node.left) ** Fraction(ast.literal_eval(node.right))
    raise TypeError


def derivatives(text: str, subject: Subject) -> tuple[list[str], dict[str, str]]:
    """Return the other lines of a text, and the right-hand sides of ``dx/dt = ...`` by name."""
    rest, found = [], {}
    for line in lines(text):
        match = _DERIVATIVE.fullmatch(line)
        if match is None:
            rest.append(line)
        elif match[1] in found:
            raise subject.at(line).error(f"there are two equations for {match[1]}")
        else:
            found[match[1]] = match[2]
    return rest, found


def formula(text: str, names: Mapping[str, Quantity], subject: Subject) -> Quantity:
    """Return the quantity that a formula stands for.

    Parameters
    ----------
    text : str
        The formula.
    names : mapping of str to Quantity
        What its symbols stand for, before units.
    subject : Subject
        For messages.
    """
    subject = subject if subject.line else subject.at(text)
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise subject.error(f"not a formula ({error.msg})") from None
    return _Reader(names, subject).read(tree.body)


def statements(text: str, names: Mapping[str, Quantity], subject: Subject) -> dict[str, Quantity]:
    """Return what names stand for after some statements.

    Statements are assignments and ``if``, both of whose branches are computed.

    Parameters
    ----------
    text, names, subject
        As in `formula`.
    """
    try:
        tree = ast.parse(textwrap.dedent(text).strip())
    except SyntaxError as error:
        raise subject.error(f"not statements ({error.msg}, line {error.lineno})") from None
    return _run(tree.body, dict(names), subject)


def _run(body: list[ast.stmt], names: dict[str, Quantity], subject: Subject) -> dict[str, Quantity]:
    for statement in body:
        here = subject.at(ast.unparse(statement).splitlines()[0])
        if isinstance(statement, ast.If):
            names = _branch(statement, names, here)
            continue
        if isinstance(statement, ast.AugAssign):
            value: ast.expr = ast.BinOp(statement.target, statement.op, statement.value)
            target: ast.expr = statement.target
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        else:
            raise here.error("expected 'name = formula' or 'if'")
        if not isinstance(target, ast.Name):
            raise here.error("expected a name on the left")
        found = _Reader(names, here).read(value)
        known = names.get(target.id)
        if known is not None:
            require_unit(found, known.unit, here, f"{target.id} is")
        names[target.id] = found
    return names


def _branch(statement: ast.If, names: dict[str, Quantity], subject: Subject) -> dict[str, Quantity]:
    condition = _Reader(names, subject).read(statement.test).value
    if condition.kind != "bool":
        raise subject.error("expected a comparison after 'if'")
    yes = _run(statement.body, dict(names), subject)
    no = _run(statement.orelse, dict(names), subject)
    merged = dict(names)
    for name in yes.keys() & no.keys():
        a, b = yes[name], no[name]
        merged[name] = Quantity(where(condition, a.value, b.value), a.unit or b.unit)
    return merged


def require_unit(found: Quantity, unit: Unit | None, subject: Subject, what: str) -> None:
    """Raise `ModelError` unless a quantity has a unit of the dimension of another."""
    if found.unit is None or unit is None:
        return
    if found.unit.dimension != unit.dimension:
        raise subject.error(f"units differ: {what} in {unit}, what it is given in {found.unit}")


class _Reader:
    """Reads Python's tree of a formula."""

    def __init__(self, names: Mapping[str, Quantity], subject: Subject) -> None:
        self._names, self._subject = names, subject

    def read(self, node: ast.expr) -> Quantity:
        """Return what a node stands for."""
        method: Callable[..., Quantity] | None = getattr(self, f"_{type(node).__name__}", None)
        if method is None:
            raise self._subject.error(f"{ast.unparse(node)!r} is not part of the language")
        return method(node)

    def _Constant(self, node: ast.Constant) -> Quantity:
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            raise self._subject.error(f"{node.value!r} is not a number")
        value = float(node.value)
        return Quantity(number(value), None if value == 0.0 else NUMBER)

    def _Name(self, node: ast.Name) -> Quantity:
        if node.id in self._names:
            return self._names[node.id]
        if node.id in UNITS:
            unit = UNITS[node.id]
            return Quantity(number(float(unit.factor)), Unit(unit.exponents))
        known = ", ".join(sorted(self._names))
        raise self._subject.error(f"unknown name {node.id!r}, known are {known}")

    def _UnaryOp(self, node: ast.UnaryOp) -> Quantity:
        operand = self.read(node.operand)
        if isinstance(node.op, ast.USub):
            if operand.value.op == "number":
                return Quantity(number(-operand.value.args[0]), operand.unit)
            return Quantity(-operand.value, operand.unit)
        if isinstance(node.op, ast.Not):
            return Quantity(Expression("not", operand.value))
        return operand

    def _BinOp(self, node: ast.BinOp) -> Quantity:
        if isinstance(node.op, ast.Pow):
            return self._power(self.read(node.left), node.right)
        a, b = self.read(node.left), self.read(node.right)
        if isinstance(node.op, (ast.Add, ast.Sub)):
            unit = self._same(a, b, ast.unparse(node))
            added = isinstance(node.op, ast.Add)
            return Quantity(a.value + b.value if added else a.value - b.value, unit)
        if isinstance(node.op, ast.Mult):
            return Quantity(a.value * b.value, (a.unit or NUMBER) * (b.unit or NUMBER))
        if isinstance(node.op, ast.Div):
            return Quantity(a.value / b.value, (a.unit or NUMBER) / (b.unit or NUMBER))
        raise self._subject.error(f"{ast.unparse(node)!r} is not part of the language")

    def _power(self, base: Quantity, exponent: ast.expr) -> Quantity:
        power = self.read(exponent)
        if power.value.op == "number" and power.value.args[0] in range(1, 9):
            times = int(power.value.args[0])
            value = base.value
            for _ in range(times - 1):
                value = value * base.value
            return Quantity(value, (base.unit or NUMBER) ** times)
        require_unit(base, NUMBER, self._subject, "the base of a power is")
        require_unit(power, NUMBER, self._subject, "an exponent is")
        self._require_fixed(base, "a power that is not a whole number from 1 to 8")
        return Quantity(Expression("exp", power.value * Expression("log", base.value)))

    def _Compare(self, node: ast.Compare) -> Quantity:
        left = self.read(node.left)
        found: Expression | None = None
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.read(comparator)
            self._same(left, right, ast.unparse(node))
            if type(op) not in _COMPARED:
                raise self._subject.error(f"{ast.unparse(node)!r} is not part of the language")
            one = Expression(_COMPARED[type(op)], left.value, right.value)
            found = one if found is None else Expression("and", found, one)
            left = right
        assert found is not None
        return Quantity(found)

    def _BoolOp(self, node: ast.BoolOp) -> Quantity:
        op = "and" if isinstance(node.op, ast.And) else "or"
        first, *others = (self.read(value).value for value in node.values)
        for other in others:
            first = Expression(op, first, other)
        return Quantity(first)

    def _IfExp(self, node: ast.IfExp) -> Quantity:
        condition, yes, no = (self.read(n) for n in (node.test, node.body, node.orelse))
        unit = self._same(yes, no, ast.unparse(node))
        return Quantity(where(condition.value, yes.value, no.value), unit)

    def _Call(self, node: ast.Call) -> Quantity:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        args = [self.read(a) for a in node.args]
        if name in ("exp", "log", "rint") and len(args) == 1:
            require_unit(args[0], NUMBER, self._subject, f"the argument of {name} is")
            if name == "log":
                self._require_fixed(args[0], "log")
            return Quantity(Expression(name, args[0].value))
        if name == "sqrt" and len(args) == 1:
            unit = args[0].unit or NUMBER
            return Quantity(Expression("sqrt", args[0].value), unit ** Fraction(1, 2))
        if name in ("min", "max") and len(args) == 2:
            same = self._same(args[0], args[1], ast.unparse(node))
            a, b = args[0].value, args[1].value
            less = Expression("<", a, b) if name == "min" else Expression("<", b, a)
            return Quantity(where(less, a, b), same)
        if name == "uniform" and not args:
            part = self._subject.part
            if part not in _DRAWING:
                known = ", ".join(_DRAWING)
                raise self._subject.error(f"uniform() is for {known}: it is drawn once a step")
            return Quantity(uniform(f"{part} {node.lineno} {node.col_offset}"))
        if name == "abs" and len(args) == 1:
            value = args[0].value
            return Quantity(where(Expression("<", value, ZERO), -value, value), args[0].unit)
        raise self._subject.error(
            f"unknown function {name!r} of {len(args)} arguments, "
            "known are exp, log, sqrt, rint, abs of one, min, max of two and uniform of none"
        )

    def _require_fixed(self, x: Quantity, what: str) -> None:
        if not x.value.fixed:
            raise self._subject.error(f"{what} is for parameters alone, and not for states")

    def _same(self, a: Quantity, b: Quantity, text: str) -> Unit | None:
        if a.unit and b.unit and a.unit.dimension != b.unit.dimension:
            raise self._subject.error(f"units differ in {text!r}: {a.unit} and {b.unit}")
        return a.unit or b.unit
