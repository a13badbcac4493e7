"""What the texts of a neuron model say: symbols, formulas, columns."""

from __future__ import annotations

import inspect
import keyword
import re
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simcore.language.expression import Expression, symbol, symbols
from simcore.language.layout import REFRACTORY, Column, Layout, Receptor
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

if TYPE_CHECKING:
    from simcore.language.model import NeuronModel

# What the text of a backend uses itself
_RESERVED = re.compile(r"[acnstvq]\d+|qt\d+|in\d+|old_.*|draw\d+|draw_.*")
_TAKEN = {
    "advance", "arrived", "begin", "bool", "chosen", "const", "double", "duration", "end", "first",
    "flags", "float", "h", "i", "int", "int16", "int32", "k", "last", "none", "np", "numbers",
    "pause", "pauses", "portable_exp", "range", "real", "short", "size", "slow", "spiked",
    "spikes", "states", "update", "values", "waiting", "weight",
}  # fmt: skip

# What texts and descriptions use beside the names of parameters
_TAKEN_BY_PARAMETERS = {
    "definition", "first_gid", "first_values", "h", "model", "name", "refractory", "size", "weight",
}  # fmt: skip

_INDEXED = re.compile(r"(\w+)\[([a-z])\]")
_SUM = re.compile(r"sum\(((?:[^()]|\([^()]*\))*)\)")


def source_of(update: str | Callable[..., Any]) -> str:
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
    choice : int
        Which of the methods is taken; the last one, which has no condition, if left out.

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
    choices : list of list of Expression
        When each of the methods but the last is taken: the first all of whose conditions hold.
    """

    def __init__(self, cls: type[NeuronModel], lengths: dict[str, int], choice: int = -1) -> None:
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
        *others, last = lines(source_of(cls.method))
        parts = [line.rpartition(":") for line in others]
        self.choices = [self._choice(condition) for condition, _, _ in parts]
        methods = [self._method(text) for text in (*(m for _, _, m in parts), last)]
        self.method, self.substeps = methods[choice]
        self.refine = self._refine()

    def _text(self, part: str) -> str:
        """Return an attribute with its indices written out."""
        text = source_of(getattr(self.cls, part))
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

    def _choice(self, text: str) -> list[Expression]:
        """Return the conditions of a method, one for each item of a list; all have to hold."""
        subject = Subject(self.name, "method", text)
        found = []
        for line in lines(_written_out(text, self._lengths, subject)):
            condition = self._formula("method", line, self.parameters).value
            if condition.kind != "bool" or "h" in symbols(condition):
                raise subject.error("expected a comparison of parameters, without the time step")
            found.append(condition)
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
