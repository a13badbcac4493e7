"""Neuron models as their equations.

A model is a class whose attributes are texts, as in the paper that describes it. From these follow
the arithmetic of all backends, what a checkpoint holds, what can be recorded, what it takes in
memory, and the checks of parameters.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from simcore.language.definition import Definition, source_of
from simcore.language.expression import evaluate
from simcore.language.layout import Layout
from simcore.language.parser import Declaration, Subject, declarations, lines
from simcore.services.errors import ModelError, require

_PARTS = (
    "parameters", "constants", "state", "before", "equations", "update", "receptors", "by_sign",
    "threshold", "emit", "reset", "refractory", "method", "refine", "spikes_within", "input_first",
    "relative_to", "input_current",
)  # fmt: skip


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
    input_first
        Whether they do so before the equations are integrated, instead of after.
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
    input_first: ClassVar[bool] = False
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
        return declarations(source_of(cls.parameters), Subject(cls.__name__, "parameters"))

    @classmethod
    def text_of(cls, part: str) -> str:
        """Return one of the texts of the model, without indentation."""
        return textwrap.dedent(source_of(getattr(cls, part))).strip()

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
            text = value if isinstance(value, bool) else "\n".join(lines(source_of(value)))
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
