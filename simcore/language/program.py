"""A step as numbered lines, the same for all backends.

What is known before a run is taken out, and computed by the host: the numbers of a program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simcore.language.expression import ONE, ZERO, Expression, evaluate, symbols
from simcore.language.model import NeuronModel
from simcore.language.step import Phase, Step, make_step


@dataclass(frozen=True)
class Line:
    """One operation.

    Parameters
    ----------
    name, kind, op : str
        Name of the result, its kind, and the operation.
    args : tuple of str
        Names of the operands.
    """

    name: str
    kind: str
    op: str
    args: tuple[str, ...]


@dataclass(frozen=True)
class Body:
    """The lines of a phase.

    Parameters
    ----------
    times : int
        How often they are carried out.
    lines : tuple of Line
        One after the other.
    states : dict of str to str
        Of each state that changes, the name of its new value.
    waiting, spikes : str or None
        The same for the refractory steps and the number of spikes; None where they do not change.
    counts : bool
        Whether `spikes` is a number, and not a condition.
    inputs : tuple of int
        Receptors whose input is used.
    draws : tuple of int
        Random numbers that are used.
    """

    times: int
    lines: tuple[Line, ...]
    states: dict[str, str]
    waiting: str | None
    spikes: str | None
    counts: bool
    inputs: tuple[int, ...]
    draws: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Program:
    """A model as lines of operations; there is one for each model and length of its lists.

    Parameters
    ----------
    name : str
        Name of the model.
    states : tuple of str
        Columns of reals, in order.
    n_receptors : int
        Inputs.
    has_refractory : bool
        Whether there is a column of refractory steps.
    numbers : tuple of Expression
        What the host computes.
    constants : tuple of float
        Numbers of the text.
    bodies, finer : tuple of Body
        The phases, and those of finer substeps.
    condition : Body or None
        When finer ones are taken; its `spikes` is the condition.
    n_draws : int
        Random numbers of a neuron and step.
    """

    name: str
    states: tuple[str, ...]
    n_receptors: int
    has_refractory: bool
    numbers: tuple[Expression, ...]
    constants: tuple[float, ...]
    bodies: tuple[Body, ...]
    finer: tuple[Body, ...] = ()
    condition: Body | None = None
    n_draws: int = 0

    def values(self, values: Mapping[str, Any], some: Sequence[int] | None = None) -> list[float]:
        """Return the numbers, or some of them, in float64.

        Parameters
        ----------
        values : mapping of str to float
            Parameters in mV, ms and pA, the time step `h`, and the quantum of each receptor.
        some : sequence of int, optional
            Which; all if left out.
        """
        which = range(len(self.numbers)) if some is None else some
        return [float(evaluate(self.numbers[k], values)) for k in which]


def make_program(model: NeuronModel) -> Program:
    """Return the lines of a model; those of equal definitions are the same."""
    definition = model.definition
    known = definition.__dict__.get("program")
    if known is None:
        known = definition.__dict__["program"] = _Lister(make_step(model)).program()
    return known


def dependent(program: Program, *names: str) -> list[int]:
    """Return which numbers of a program depend on some parameters."""
    return [k for k, x in enumerate(program.numbers) if not symbols(x).isdisjoint(names)]


def varying_numbers(model: NeuronModel, names: Iterable[str]) -> frozenset[int]:
    """Return which numbers of a model differ from neuron to neuron.

    Parameters
    ----------
    model : NeuronModel
        The model.
    names : iterable of str
        The parameters that do.

    Returns
    -------
    frozenset of int
        Places among the numbers of its program; the one after the last stands for the refractory
        time in steps.
    """
    program, names = make_program(model), set(names)
    waits = [len(program.numbers)] if model.definition.duration in names else []
    return frozenset([*dependent(program, *names), *waits])


@dataclass
class _Lister:
    """Puts the operations of a step in order."""

    step: Step
    numbers: dict[Expression, str] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)
    draws: dict[Expression, str] = field(default_factory=dict)

    def program(self) -> Program:
        """Return the program."""
        d = self.step.definition
        bodies = tuple(self.body(phase) for phase in self.step.phases)
        finer = tuple(self.body(phase) for phase in self.step.finer)
        condition = None
        if self.step.condition is not None:
            condition = self.body(Phase(1, {}, None, self.step.condition))
        return Program(
            d.name, tuple(d.states), len(d.receptors), bool(d.duration), tuple(self.numbers),
            tuple(self.constants.values()), bodies, finer, condition, len(self.draws),
        )  # fmt: skip

    def body(self, phase: Phase) -> Body:
        """Return the lines of a phase."""
        names: dict[Expression, str] = {}
        lines: list[Line] = []

        def name_of(x: Expression) -> str:
            if x not in names:
                names[x] = self._leaf(x) or listed(x)
            return names[x]

        def listed(x: Expression) -> str:
            args = tuple(name_of(a) for a in x.operands)
            name = f"t{len(lines)}"
            lines.append(Line(name, x.kind, x.op, args))
            return name

        states = {n: name_of(x) for n, x in phase.states.items()}
        states = {n: x for n, x in states.items() if x != n}
        waiting = None if phase.waiting is None else name_of(phase.waiting)
        spikes, counts = phase.spikes, False
        if spikes is not None:
            once = spikes.op == "where" and spikes.args[1] is ONE and spikes.args[2] is ZERO
            counts = spikes.kind == "real" and not once
            spikes = spikes.args[0] if once else spikes
        flag = None if spikes is None else name_of(spikes)
        inputs = sorted(int(n[2:]) for n in names.values() if n.startswith("in"))
        draws = sorted(int(n[4:]) for n in names.values() if n.startswith("draw"))
        return Body(
            phase.times, tuple(lines), states, waiting, flag, counts, tuple(inputs), tuple(draws)
        )

    def _leaf(self, x: Expression) -> str | None:
        """Return the name of what needs no line."""
        if x.op == "symbol" and not x.fixed:
            return str(x.args[0])
        if x.op == "uniform":
            return self.draws.setdefault(x, f"draw{len(self.draws)}")
        if not x.fixed:
            return None
        if x.op == "number":
            return self._constant(float(x.args[0]))
        if not _named(x):
            return self._constant(float(evaluate(x, {})))
        return self.numbers.setdefault(x, f"n{len(self.numbers)}")

    def _constant(self, value: float) -> str:
        for name, known in self.constants.items():
            if repr(known) == repr(value):
                return name
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name


def _named(x: Expression) -> bool:
    """Return whether an expression needs parameters."""
    return x.op in ("symbol", "host") or any(_named(a) for a in x.operands)
