"""Neuron models as their equations.

A model is a class whose attributes are texts, as in the paper that describes it. From these follow
the arithmetic of all backends, what a checkpoint holds, what can be recorded, what it takes in
memory, and the checks of parameters.
"""

from __future__ import annotations

import inspect
import keyword
import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from simcore.language.expression import Expression, evaluate, symbol
from simcore.language.parser import (
    Declaration,
    Quantity,
    Subject,
    declarations,
    derivatives,
    formula,
    lines,
    require_unit,
    statements,
)
from simcore.language.units import NUMBER, UNITS, Unit
from simcore.services.errors import ModelError, require

# What the text of a backend uses itself
_RESERVED = re.compile(r"[acnstvq]\d+|qt\d+|in\d+|old_.*")
_TAKEN = {
    "advance", "arrived", "begin", "bool", "chosen", "const", "double", "duration", "end", "first",
    "flags", "float", "h", "i", "int", "int16", "int32", "k", "last", "none", "np", "numbers",
    "pause", "pauses", "portable_exp", "range", "real", "short", "size", "slow", "spiked",
    "spikes", "states", "update", "values", "waiting", "weight",
}  # fmt: skip

# What texts and descriptions use beside the names of parameters
_TAKEN_BY_PARAMETERS = {
    "definition", "first_gid", "h", "model", "name", "refractory", "size", "start", "weight",
}  # fmt: skip

_PARTS = (
    "parameters", "constants", "state", "before", "equations", "update", "receptors", "by_sign",
    "threshold", "emit", "reset", "refractory", "method", "refine", "spikes_within", "relative_to",
    "input_current",
)  # fmt: skip

_INDEXED = re.compile(r"(\w+)\[([a-z])\]")
_SUM = re.compile(r"sum\(((?:[^()]|\([^()]*\))*)\)")


@dataclass(frozen=True)
class Column:
    """What is kept for each neuron.

    Parameters
    ----------
    name : str
        Its name, also for records and in checkpoints.
    kind : {"real", "steps"}
        Numbers of the type of the state, or whole steps in 16 bits.
    unit, meaning : str
        For people.
    start : str
        Its first value, a formula of parameters.
    relative_to : str or None
        Parameter that it is kept relative to.
    """

    name: str
    kind: str
    unit: str
    meaning: str
    start: str = "0"
    relative_to: str | None = None


@dataclass(frozen=True)
class Receptor:
    """One input of a neuron.

    Parameters
    ----------
    name : str
        Its name.
    actions : str
        Statements that add `weight` to states.
    unit : str
        Unit of the weights.
    counts : bool
        Whether it takes the number of spikes instead of their weights.
    """

    name: str
    actions: str
    unit: str
    counts: bool = False


@dataclass(frozen=True)
class Layout:
    """The columns of a model, in order.

    Parameters
    ----------
    columns : tuple of Column
        First those of reals.
    """

    columns: tuple[Column, ...]

    @property
    def reals(self) -> tuple[Column, ...]:
        """The columns of the type of the state."""
        return tuple(c for c in self.columns if c.kind == "real")

    @property
    def has_refractory(self) -> bool:
        """Whether there is a column of steps until the neuron integrates again."""
        return any(c.kind == "steps" for c in self.columns)

    def nbytes(self, real: int = 8) -> int:
        """Return what they take for a neuron [B]."""
        return sum(real if c.kind == "real" else 2 for c in self.columns)

    def find(self, name: str) -> Column | None:
        """Return the column of reals of a name; None if there is none."""
        return next((c for c in self.reals if c.name == name), None)


REFRACTORY = Column("refractory", "steps", "steps", "until the neuron integrates again")


class NeuronModel:
    """A model of neurons; a subclass declares it, an instance has values of its parameters.

    Attributes of a subclass, all of them text:

    Parameters
    ----------
        Lines ``name = default [unit] meaning``. With an index, as in ``tau_syn[k]``, it is a list.
    valid
        Lines of comparisons that hold for parameters, such as ``tau_m > 0``.
    state
        Lines ``name = start [unit] meaning``; the start is a formula of parameters.
    constants
        Lines ``name = formula`` of parameters.
    equations
        Lines ``dx/dt = ...``, and lines ``name = ...`` for what they share.
    before
        Statements at the begin of a step. Names that are no states are constants of the step, also
        in the equations.
    update
        Statements of one step instead of equations, or after them; or a function whose body they
        are. The input of a receptor has its name.
    receptors
        Lines ``name [unit]: statements`` that add `weight` to states when spikes arrive.
    threshold
        A comparison: the neuron spikes. With `emit` how often, a formula.
    reset
        Statements after a spike.
    refractory
        ``t_ref: x, y``, for how long, and which states do not move meanwhile.
    method
        "exact" for linear equations, else "euler" or "rk4", with a number of substeps in brackets.
    refine
        ``condition: n``, where n substeps are taken instead.
    relative_to
        Parameter that `V_m` is kept relative to, so that the equation has no constant.

    Parameters
    ----------
    **values
        Parameters that differ from their defaults.

    Raises
    ------
    ModelError
        For an unknown parameter, or a value that is not valid.
    """

    parameters: ClassVar[str] = ""
    valid: ClassVar[str] = ""
    constants: ClassVar[str] = ""
    state: ClassVar[str] = ""
    before: ClassVar[str | Callable[..., Any]] = ""
    equations: ClassVar[str] = ""
    update: ClassVar[str | Callable[..., Any]] = ""
    receptors: ClassVar[str] = ""
    by_sign: ClassVar[bool] = False
    threshold: ClassVar[str] = ""
    emit: ClassVar[str] = ""
    reset: ClassVar[str] = ""
    refractory: ClassVar[str] = ""
    method: ClassVar[str] = "exact"
    refine: ClassVar[str] = ""
    spikes_within: ClassVar[bool] = False
    relative_to: ClassVar[str] = ""
    input_current: ClassVar[str] = "I_e"

    _definitions: ClassVar[dict[tuple[int, ...], Definition]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        from simcore.language.program import make_program

        super().__init_subclass__(**kwargs)
        cls._definitions = {}
        if cls.state or cls.threshold or cls.emit:
            make_program(cls())

    def __init__(self, **values: Any) -> None:
        cls = type(self)
        declared = cls.declared_parameters()
        names = {d.name.partition("[")[0]: d for d in declared}
        unknown = sorted(set(values) - set(names))
        valid = f"one of {', '.join(names)}"
        require(not unknown, f"{cls.__name__}: parameter", ", ".join(unknown), valid)
        self.given: dict[str, float | tuple[float, ...]] = {}
        self.lengths: dict[str, int] = {}
        for name, d in names.items():
            subject, (_, is_list, index) = f"{cls.__name__}: {name}", d.name.partition("[")
            if is_list:
                own = _numbers(subject, values.get(name, _defaults(d.value)))
                size = self.lengths.setdefault(index[0], len(own))
                require(len(own) == size, subject, own, f"a list of {size} numbers")
                self.given[name] = own
            else:
                self.given[name] = _number(subject, values.get(name, float(d.value)))
        key = tuple(self.lengths.values())
        if key not in cls._definitions:
            cls._definitions[key] = Definition(cls, dict(self.lengths))
        self.definition = cls._definitions[key]
        self.values = self._plain_values()
        self._check_values()

    @classmethod
    def declared_parameters(cls) -> list[Declaration]:
        """Return the parameters as they are declared."""
        return declarations(_source(cls.parameters), Subject(cls.__name__, "parameters"))

    @classmethod
    def text_of(cls, part: str) -> str:
        """Return one of the texts of the model, without indentation."""
        return textwrap.dedent(_source(getattr(cls, part))).strip()

    def _plain_values(self) -> dict[str, float]:
        """Return every parameter by name, those of lists numbered from 1, in mV, ms and pA."""
        found = {}
        for name, given in self.given.items():
            is_list = isinstance(given, tuple)
            items = given if isinstance(given, tuple) else (given,)
            for k, item in enumerate(items, 1):
                key = f"{name}_{k}" if is_list else name
                factor = self.definition.declared[key].unit.factor
                found[key] = item if factor == 1 else item * float(factor)
        return found

    def _check_values(self) -> None:
        for text, condition in self.definition.conditions:
            if not bool(evaluate(condition, {**self.values, "h": math.nan})):
                name = re.split(r"\W", text, maxsplit=1)[0]
                raise ModelError(
                    f"{self.name}: {name} is {self.values.get(name)!r}, must satisfy {text}"
                )

    @property
    def name(self) -> str:
        """The name of the model."""
        return type(self).__name__

    @property
    def layout(self) -> Layout:
        """What is kept for each neuron."""
        return self.definition.layout

    @property
    def n_receptors(self) -> int:
        """Number of separate input sums per neuron."""
        return len(self.definition.receptors)

    @property
    def receptors_by_sign(self) -> tuple[int, int] | None:
        """Receptors of weights of at least 0, and of negative ones; None where a name is needed."""
        if self.n_receptors <= 1:
            return 0, 0
        return (0, 1) if self.definition.cls.by_sign else None

    def describe(self) -> dict[str, Any]:
        """Return name and parameters as plain values."""
        plain = {n: list(v) if isinstance(v, tuple) else v for n, v in self.given.items()}
        if type(self).__module__.startswith("simcore.library."):
            return {"model": self.name, **plain}
        return {"model": self.name, **plain, "definition": self._definition_text()}

    def _definition_text(self) -> dict[str, Any]:
        """Return the texts of the model, so that a run goes on with the same alone."""
        found: dict[str, Any] = {}
        for part in _PARTS:
            value = getattr(type(self), part)
            text = value if isinstance(value, bool) else "\n".join(lines(_source(value)))
            if text:
                found[part] = text
        return found

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{n}={v!r}' for n, v in self.given.items())})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NeuronModel) or type(self) is not type(other):
            return False
        return self.given == other.given

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.given.items())))


def _number(subject: str, value: Any) -> float:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(
        value, bool
    )
    if not number or not math.isfinite(value):
        raise ModelError(f"{subject} is {value!r}, must be a finite number")
    return float(value)


def _numbers(subject: str, values: Any) -> tuple[float, ...]:
    items = [values] if np.ndim(values) == 0 else list(values)
    return tuple(_number(subject, item) for item in items)


def _defaults(text: str) -> list[float]:
    """Return the default of a list, written with commas, or as ``none``."""
    return [] if text == "none" else [float(item) for item in text.split(",")]


def _source(update: str | Callable[..., Any]) -> str:
    """Return statements, those of a function's body if it is one."""
    if isinstance(update, str):
        return textwrap.dedent(update)
    text = textwrap.dedent(inspect.getsource(update))
    body = text.split("\n", 1)[1]
    return textwrap.dedent(body)


class Definition:
    """What the texts of a model say, for given lengths of its lists.

    Parameters
    ----------
    cls : type
        The model.
    lengths : dict of str to int
        Of each index.

    Attributes
    ----------
    declared : dict of str to Declaration
        Parameters.
    layout : Layout
        Columns.
    receptors : tuple of Receptor
        Inputs.
    slopes : dict of str to Expression
        Right-hand sides of the equations, of the symbols of states and parameters.
    conditions : list of (str, Expression)
        What holds for parameters.
    """

    def __init__(self, cls: type[NeuronModel], lengths: dict[str, int]) -> None:
        self.cls, self.name, self._lengths = cls, cls.__name__, lengths
        self.declared = {d.name: d for d in self._declared("parameters")}
        self.states = {d.name: d for d in self._declared("state")}
        self.parameters = {
            n: Quantity(symbol(n, fixed=True), _plain(d.unit)) for n, d in self.declared.items()
        }
        self.parameters["h"] = Quantity(symbol("h", fixed=True), UNITS["ms"])
        if cls.constants:
            self.parameters = self.run("constants", self.parameters)
        relative = {"V_m": cls.relative_to} if cls.relative_to else {}
        self.names = dict(self.parameters)
        for n, d in self.states.items():
            value = symbol(n)
            if n in relative:
                value = value + self.parameters[relative[n]].value
            self.names[n] = Quantity(value, _plain(d.unit))
        self.relative = {n: self.parameters[p].value for n, p in relative.items()}
        waiting, none = symbol("waiting", kind="int"), symbol("none", kind="int")
        self.names["refractory"] = Quantity(Expression(">", waiting, none))
        self._check_names()
        self.locals = self._read_before()
        self.starts = {n: self._start(d) for n, d in self.states.items()}
        self.conditions = [
            (text, self._formula("valid", text, self.parameters).value)
            for text in lines(self._text("valid"))
        ]
        self._read_refractory()
        self.receptors = self._receptors()
        self.slopes = self._slopes()
        columns = [
            Column(n, "real", d.unit_text, d.meaning, d.value, relative.get(n))
            for n, d in self.states.items()
        ]
        if self.duration:
            columns.append(REFRACTORY)
        self.layout = Layout(tuple(columns))
        self.method, self.substeps = self._method(cls.method)
        self.refine = self._refine()

    def _text(self, part: str) -> str:
        """Return an attribute with its indices written out."""
        text = _source(getattr(self.cls, part))
        return _written_out(text, self._lengths, Subject(self.name, part))

    def _declared(self, part: str) -> list[Declaration]:
        return declarations(self._text(part), Subject(self.name, part))

    def _formula(self, part: str, text: str, names: dict[str, Quantity]) -> Quantity:
        return formula(text, names, Subject(self.name, part, text))

    def _start(self, declared: Declaration) -> Expression:
        """Return the first value of a state, as it is kept."""
        found = self._formula("state", declared.value, self.parameters)
        if found.value.op == "number" and found.unit == NUMBER:
            found = Quantity(found.value, None)
        subject = Subject(self.name, "state", f"{declared.name} = {declared.value}")
        require_unit(found, declared.unit, subject, f"{declared.name} is")
        rest = self.relative.get(declared.name)
        return found.value if rest is None else found.value - rest

    def _check_names(self) -> None:
        for name in self.declared:
            if name in _TAKEN_BY_PARAMETERS or keyword.iskeyword(name):
                problem = f"{name!r} is taken, choose another name"
                raise Subject(self.name, "parameters").error(problem)
        for name in self.states:
            own = _RESERVED.fullmatch(name) or name in _TAKEN or keyword.iskeyword(name)
            if own or name in self.parameters:
                problem = f"{name!r} is taken, choose another name"
                raise Subject(self.name, "state").error(problem)

    def _read_before(self) -> dict[str, Expression]:
        """Return what names that are no states stand for, and let equations know them."""
        if not self.cls.before:
            return {}
        after = self.run("before", self.names)
        found = {n: q.value for n, q in after.items() if n not in self.names}
        for name in found:
            self.names[name] = Quantity(symbol(name), after[name].unit)
        return found

    def _read_refractory(self) -> None:
        text = self.cls.refractory
        subject = Subject(self.name, "refractory", text)
        duration, _, held = text.partition(":")
        self.duration = duration.strip()

        # Each name has a line, so that one with an index becomes several
        listed = _written_out("\n".join(held.split(",")), self._lengths, subject)
        self.held = [name.strip() for name in lines(listed)]
        if self.duration and self.duration not in self.declared:
            raise subject.error(f"unknown parameter {self.duration!r}")
        for name in self.held:
            if name not in self.states:
                raise subject.error(f"unknown state {name!r}")

    def _receptors(self) -> tuple[Receptor, ...]:
        found = []
        for line in lines(self._text("receptors")):
            match = re.fullmatch(r"(\w+)\s*\[(.*?)\]\s*(count)?\s*:\s*(.*)", line)
            if match is None:
                raise Subject(self.name, "receptors", line).error(
                    "expected 'name [unit]: statements'"
                )
            found.append(Receptor(match[1], match[4], match[2], bool(match[3])))
        return tuple(found)

    def _slopes(self) -> dict[str, Expression]:
        subject = Subject(self.name, "equations")
        shared, rates = derivatives(self._text("equations"), subject)
        names = statements("\n".join(shared), self.names, subject) if shared else self.names
        found = {}
        for name, text in rates.items():
            here = subject.at(f"d{name}/dt = {text}")
            if name not in self.states:
                raise here.error(f"unknown state {name!r}")
            slope = formula(text, names, here)
            unit = _plain(self.states[name].unit) / UNITS["ms"]
            require_unit(slope, unit, here, f"d{name}/dt is")
            found[name] = slope.value
        return found

    def _method(self, text: str) -> tuple[str, int]:
        match = re.fullmatch(r"(exact|euler|rk4)(?:\((\d+)\))?", text.strip())
        if match is None or match[2] == "0":
            raise Subject(self.name, "method", text).error("expected exact, euler, rk4 or rk4(n)")
        return match[1], int(match[2] or 1)

    def _refine(self) -> tuple[Expression, int] | None:
        condition, _, n = self._text("refine").rpartition(":")
        if not condition:
            return None
        return self._formula("refine", condition, self.names).value, int(n)

    def run(
        self, part: str, names: dict[str, Quantity], text: str | None = None
    ) -> dict[str, Quantity]:
        """Return what names stand for after the statements of an attribute."""
        text = self._text(part) if text is None else text
        return statements(re.sub(r";\s*", "\n", text), names, Subject(self.name, part))

    def read(self, part: str, names: dict[str, Quantity]) -> Quantity:
        """Return what the formula in an attribute stands for."""
        text = self._text(part).strip()
        return formula(text, names, Subject(self.name, part, text))


def _plain(unit: Unit) -> Unit:
    """Return a unit in powers of mV, ms and pA, which values are converted to."""
    return Unit(unit.exponents)


def _written_out(text: str, lengths: dict[str, int], subject: Subject) -> str:
    """Return a text with each line that has an index ``[k]`` once for each item."""
    found = []
    for line in text.splitlines():
        line = _SUM.sub(lambda m: _summed(m[1], lengths, subject), line)
        letters = {m[2] for m in _INDEXED.finditer(line)}
        letters |= set(re.findall(r"(?<![\w\]])\[([a-z])\]", line)) & set(lengths)
        if not letters:
            found.append(line)
            continue
        if len(letters) > 1 or not letters <= set(lengths):
            raise subject.at(line.strip()).error("expected one index of a list in a line")
        letter = letters.pop()
        for k in range(1, lengths[letter] + 1):
            numbered = _INDEXED.sub(lambda m, k=k: f"{m[1]}_{k}", line)  # type: ignore[misc]
            found.append(re.sub(rf"\[{letter}\]", str(k), numbered))
    return "\n".join(found)


def _summed(text: str, lengths: dict[str, int], subject: Subject) -> str:
    letters = {m[2] for m in _INDEXED.finditer(text)}
    if len(letters) != 1 or not letters <= set(lengths):
        raise subject.at(f"sum({text})").error("expected one index of a list in a sum")
    letter = letters.pop()
    terms = [_INDEXED.sub(rf"\1_{k}", text) for k in range(1, lengths[letter] + 1)]
    return "(" + " + ".join(terms or ["0"]) + ")"
