"""Neuron models as their equations.

A model is a class whose attributes are texts, as in the paper that describes it. From these follow
the arithmetic of all backends, what a checkpoint holds, what can be recorded, what it takes in
memory, and the checks of parameters.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simcore.language.definition import Definition, source_of
from simcore.language.expression import evaluate, symbols
from simcore.language.layout import Layout
from simcore.language.parser import Declaration, Subject, declarations, lines
from simcore.language.per_neuron import (
    PerNeuron,
    Value,
    as_value,
    is_number,
    is_varying,
    require_size,
    short,
)
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
        Lines ``condition: method`` before it: the first whose condition holds for the parameters of
        all neurons is taken instead; one of drawn parameters does not.
    refine
        ``condition: n``, where n substeps are taken instead.
    relative_to
        Parameter that `V_m` is kept relative to, so that the equation has no constant.

    Parameters
    ----------
    **values
        Parameters that differ from their defaults: each a number, a distribution, or an array with
        a value for each neuron of the population. Those that are lists are equal for all neurons.

    Attributes
    ----------
    values : dict of str to float
        Parameters that all neurons share, in mV, ms and pA.
    varying : dict of str to (PerNeuron or Distribution)
        Those that differ from neuron to neuron, in their own units; see `in_base_units`.

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
        from simcore.language.program import make_program

        cls = type(self)
        declared = cls.declared_parameters()
        names = {d.name.partition("[")[0]: d for d in declared}
        unknown = sorted(set(values) - set(names))
        valid = f"one of {', '.join(names)}"
        require(not unknown, f"{cls.__name__}: parameter", ", ".join(unknown), valid)
        self.given: dict[str, Value | tuple[float, ...]] = {}
        self.lengths: dict[str, int] = {}
        for name, d in names.items():
            subject, (_, is_list, index) = f"{cls.__name__}: {name}", d.name.partition("[")
            if is_list:
                own = _numbers(subject, values.get(name, _defaults(d.value)))
                size = self.lengths.setdefault(index[0], len(own))
                require(len(own) == size, subject, own, f"a list of {size} numbers")
                self.given[name] = own
            else:
                self.given[name] = as_value(values.get(name, float(d.value)), subject)
        self.definition = self._definition(-1)
        self.values = self._plain_values()
        self.varying = {n: v for n, v in self.given.items() if is_varying(v)}
        listed = {n: v for n, v in self.varying.items() if isinstance(v, PerNeuron)}
        for name, value in listed.items():
            first = next(iter(listed))
            size = listed[first].size
            require_size(value, size, f"{cls.__name__}: {name}", f"a population, as of {first}")
        each = {name: self.in_base_units(name, value.values) for name, value in listed.items()}
        self.require_valid(self.values | each, self.name)
        known = self.values | each
        for k, conditions in enumerate(self.definition.choices):
            if all(symbols(c) <= known.keys() and np.all(evaluate(c, known)) for c in conditions):
                self.definition = self._definition(k)
                make_program(self)
                break

    def _definition(self, choice: int) -> Definition:
        """Return the definition with one of the methods; it is shared by all such models."""
        known, key = type(self)._definitions, (*self.lengths.values(), choice)
        if key not in known:
            known[key] = Definition(type(self), dict(self.lengths), choice)
        return known[key]

    @classmethod
    def declared_parameters(cls) -> list[Declaration]:
        """Return the parameters as they are declared."""
        return declarations(source_of(cls.parameters), Subject(cls.__name__, "parameters"))

    @classmethod
    def text_of(cls, part: str) -> str:
        """Return one of the texts of the model, without indentation."""
        return textwrap.dedent(source_of(getattr(cls, part))).strip()

    def _plain_values(self) -> dict[str, float]:
        """Return every shared parameter by name, those of lists numbered from 1, in base units."""
        found = {}
        for name, given in self.given.items():
            if is_varying(given):
                continue
            is_list = isinstance(given, tuple)
            items = given if isinstance(given, tuple) else (given,)
            for k, item in enumerate(items, 1):
                key = f"{name}_{k}" if is_list else name
                found[key] = self.in_base_units(key, item)
        return found

    def in_base_units(self, name: str, value: Any) -> Any:
        """Return values of a parameter in mV, ms and pA."""
        factor = self.definition.declared[name].unit.factor
        return value if factor == 1 else value * float(factor)

    def require_valid(
        self, values: Mapping[str, Any], subject: str, neurons: NDArray[np.int64] | None = None
    ) -> None:
        """Raise `ModelError` unless values of parameters satisfy what the model asks of them.

        Parameters
        ----------
        values : mapping of str to float or ndarray
            Parameters in mV, ms and pA; conditions of others are left out.
        subject : str
            Whose parameters, for the message.
        neurons : ndarray of int64, optional
            Which neurons, if the values were drawn; else they are the first ones of a population.
        """
        for text, condition in self.definition.conditions:
            names = symbols(condition)
            if not names <= {*values, "h"}:
                continue
            valid = np.asarray(evaluate(condition, {**values, "h": math.nan}))
            if valid.all():
                continue
            name = re.split(r"\W", text, maxsplit=1)[0]
            differ = [n for n in (name, *sorted(names)) if np.ndim(values.get(n, 0.0)) > 0]
            if not differ:
                found = values.get(name)
                raise ModelError(f"{subject}: {name} is {found!r}, must satisfy {text}")
            name, k = differ[0], int(np.flatnonzero(~valid)[0])
            found = float(values[name][k])
            if neurons is None:
                raise ModelError(f"{subject}: {name}[{k}] is {found!r}, must satisfy {text}")
            raise ModelError(
                f"{subject}: {name} of neuron {int(neurons[k])} is drawn as {found!r}, must "
                f"satisfy {text}. Give its distribution bounds, low= and high="
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
        plain = {n: _plain(v) for n, v in self.given.items()}
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


def _plain(value: Value | tuple[float, ...]) -> Any:
    if isinstance(value, (PerNeuron, float)):
        return value.describe() if isinstance(value, PerNeuron) else value
    return list(value) if isinstance(value, tuple) else value.describe()


def _numbers(subject: str, values: Any) -> tuple[float, ...]:
    """Return a list of numbers, which all neurons share."""
    items = list(values) if isinstance(values, (list, tuple, np.ndarray)) else [values]
    for item in items:
        if not is_number(item) or not math.isfinite(item):
            raise ModelError(
                f"{subject} is {short(item)}, must be a finite number, or a list of these that all "
                "neurons of a population share. Make populations of neurons with equal lists"
            )
    return tuple(map(float, items))


def _defaults(text: str) -> list[float]:
    """Return the default of a list, written with commas, or as ``none``."""
    return [] if text == "none" else [float(item) for item in text.split(",")]
