"""One time step of a model as straight lines of operations.

The order within a step is

0. the statements of `before` are carried out, with `input_first` the input is added,
1. the equations are integrated, in one or several substeps; states that are held do not move,
2. the statements of `update` are carried out,
3. the input of the step is added,
4. states that are held are what they were,
5. the threshold is compared, and what spiked is reset.

With `spikes_within` 5 follows each substep, and several spikes in a step are possible. A random
number is drawn once a step, so it is for what happens once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from simcore.language.definition import Definition
from simcore.language.expression import (
    HALF,
    TWO,
    ZERO,
    Expression,
    number,
    places,
    substitute,
    symbol,
    where,
)
from simcore.language.linear import LinearSystem, linear_part
from simcore.language.model import NeuronModel
from simcore.language.parser import Quantity, Subject, parse_unit
from simcore.language.units import Unit

WAITING = symbol("waiting", kind="int")
NONE = symbol("none", kind="int")
DURATION = symbol("duration", kind="int")
SPIKES = symbol("spikes")
HELD = Expression(">", WAITING, NONE)

_SIXTH = number(1.0 / 6.0)

Values = dict[str, Expression]


@dataclass(frozen=True)
class Phase:
    """Operations that are carried out some times.

    Parameters
    ----------
    times : int
        How often.
    states : dict of str to Expression
        States after, of those before.
    waiting : Expression or None
        Steps of the refractory time after; None where they do not change.
    spikes : Expression or None
        Number of spikes after; None where it does not change.
    """

    times: int
    states: Values
    waiting: Expression | None = None
    spikes: Expression | None = None


@dataclass(frozen=True)
class Step:
    """One time step of a model.

    Parameters
    ----------
    definition : Definition
        The model.
    phases : tuple of Phase
        One after the other.
    finer : tuple of Phase
        Those that take their place where `condition` holds at the begin of the step; none without.
    condition : Expression or None
        When they do.
    """

    definition: Definition
    phases: tuple[Phase, ...]
    finer: tuple[Phase, ...] = ()
    condition: Expression | None = None


def make_step(model: NeuronModel) -> Step:
    """Return one time step of a model."""
    d = model.definition
    builder = _Builder(d)
    phases = builder.phases(d.substeps)
    _check_draws(d, phases)
    if d.refine is None:
        return Step(d, phases)
    condition, n = d.refine
    finer = builder.phases(n)
    _check_draws(d, finer)
    return Step(d, phases, finer, builder.kept(condition))


def _check_draws(d: Definition, phases: tuple[Phase, ...]) -> None:
    """Raise `ModelError` where a random number is for what happens several times in a step."""
    for phase in phases:
        results = [*phase.states.values(), phase.waiting, phase.spikes]
        found = sorted(p for x in results if x is not None for p in places(x))
        if found and phase.times > 1:
            raise Subject(d.name, found[0].split()[0]).error(
                f"uniform() is drawn once a step, but this is done in each of {phase.times} "
                "substeps. Draw in before, and keep the number in a state"
            )


def duration_of(d: Definition, steps: Any) -> Any:
    """Return what neurons wait after a spike, as their step counts it."""
    return steps + (steps > 0) if d.cls.spikes_within else steps


def stepped_states(d: Definition) -> list[str]:
    """Return the states that are not integrated exactly."""
    return _Builder(d).others


class _Builder:
    """Makes the phases of a model."""

    def __init__(self, definition: Definition) -> None:
        self.d = definition
        self.states: Values = {name: symbol(name) for name in definition.states}
        inputs = [definition.cls.input_current]
        inputs = [name for name in inputs if name in definition.declared]
        inputs += definition.locals
        rows = linear_part(definition.slopes, inputs)
        self.linear = LinearSystem(tuple(rows), tuple(inputs), tuple(rows.values()))
        self.others = [name for name in definition.slopes if name not in rows]
        if definition.method == "exact" and self.others:
            subject = Subject(definition.name, "method", "exact")
            raise subject.error(
                f"the equation of {self.others[0]} is not linear in the states with constant "
                "coefficients. Take rk4, or euler"
            )
        if definition.method == "euler":
            self.linear, self.others = LinearSystem((), (), ()), list(definition.slopes)

    def phases(self, n: int) -> tuple[Phase, ...]:
        """Return the phases for a number of substeps."""
        once = n == 1 and not self.d.cls.spikes_within
        begin = self.begun() if self.d.cls.before else dict(self.states)
        if self.d.cls.input_first:
            begin = self.with_input(begin, begin=True)
        first: tuple[Phase, ...] = ()
        if not once and (self.d.cls.before or self.d.cls.input_first):
            if self.d.locals:
                subject = Subject(self.d.name, "before", ", ".join(self.d.locals))
                raise subject.error("with substeps, make what lasts for a step a state")
            first, begin = (Phase(1, begin),), dict(self.states)
        moved = self.integrated(begin, Fraction(1, n))
        if not self.d.cls.spikes_within:
            if n == 1:
                return (*first, self.finished(moved))
            return (*first, Phase(n, moved), self.finished(dict(self.states)))
        states, waiting, spikes = self.spiking(moved, WAITING, SPIKES)
        last = Phase(1, self.with_input(dict(self.states)), self.waited(_decremented(WAITING)))
        return (*first, Phase(n, states, waiting, spikes), last)

    def begun(self) -> Values:
        """Return the states after the statements at the begin of a step."""
        return self.states_of(self.d.run("before", self.named(self.states)))

    def integrated(self, begin: Values, share: Fraction) -> Values:
        """Return the states after a substep from some states."""
        found = dict(begin)
        found |= self.exact(begin, share)
        if self.others:
            found |= self.stepped(begin, share)
        return found

    def exact(self, begin: Values, share: Fraction) -> Values:
        """Return the states of the linear part after a share of a step."""
        parameters = {n: q.value for n, q in self.d.parameters.items()}
        inputs = {n: (parameters | self.d.locals)[n] for n in self.linear.inputs}
        values = begin | inputs
        moved = self.linear.advanced(values, share)
        held = set(self.d.held) & set(self.linear.states)
        if not held:
            return moved

        # While some are held, others move as if those were constant
        alone = self.linear.holding(held)
        for name in self.linear.states:
            if name not in held and held & set(self.linear.reaches(name)):
                other = alone._advanced(name, values, share)
                moved[name] = where(HELD, other, moved[name])
        return moved

    def stepped(self, begin: Values, share: Fraction) -> Values:
        """Return the other states after a substep."""
        h = self.d.parameters["h"].value * number(float(share))
        if self.d.method == "euler":
            slopes = self.slopes(begin)
            return {n: begin[n] + slopes[n] * h for n in self.others}
        half = begin | self.exact(begin, share / 2)
        end = begin | self.exact(begin, share)
        k1 = self.slopes(begin)
        k2 = self.slopes(half | {n: begin[n] + k1[n] * (h * HALF) for n in self.others})
        k3 = self.slopes(half | {n: begin[n] + k2[n] * (h * HALF) for n in self.others})
        k4 = self.slopes(end | {n: begin[n] + k3[n] * h for n in self.others})
        return {
            n: begin[n] + ((k1[n] + k4[n]) + (k2[n] + k3[n]) * TWO) * (h * _SIXTH)
            for n in self.others
        }

    def slopes(self, values: Values) -> Values:
        """Return the right-hand sides for some states; 0 for what is held."""
        swapped = {symbol(n): v for n, v in (self.d.locals | values).items()}
        found = {}
        for name in self.others:
            slope = substitute(self.d.slopes[name], swapped)
            found[name] = where(HELD, ZERO, slope) if name in self.d.held else slope
        return found

    def finished(self, moved: Values) -> Phase:
        """Return the phase after the integration, or with it."""
        states = self.with_input(moved)
        for name in self.d.held:
            states[name] = where(HELD, self.states[name], states[name])
        states, waiting, spikes = self.spiking(states, _decremented(WAITING), ZERO)
        return Phase(1, states, waiting, spikes)

    def with_input(self, moved: Values, begin: bool = False) -> Values:
        """Return the states after the input of the step, and after `update` at its end.

        Parameters
        ----------
        moved : dict of str to Expression
            The states so far.
        begin : bool
            Whether this is the begin of the step.
        """
        d = self.d
        names = self.named(moved)
        arrived = {
            r.name: Quantity(
                symbol(f"in{k}")
                if r.counts
                else symbol(f"in{k}") * symbol(f"quantum{k}", fixed=True),
                None if r.counts else formula_unit(d, r.unit),
            )
            for k, r in enumerate(d.receptors)
        }
        if d.cls.update and not begin:
            names = d.run("update", names | arrived)
        for r in d.receptors if begin == d.cls.input_first else ():
            if r.actions.strip() not in ("", "pass"):
                weight = {"weight": Quantity(symbol("weight"), formula_unit(d, r.unit))}
                names = d.run("receptors", names | weight, r.actions)
                names = _with_weights(names, arrived[r.name].value, moved)
        return self.states_of(names)

    def spiking(
        self, states: Values, waiting: Expression, spikes: Expression
    ) -> tuple[Values, Expression | None, Expression | None]:
        """Return states, refractory steps and spikes after the threshold."""
        d = self.d
        names = self.named(states)
        if d.cls.emit:
            return states, self.waited(waiting), d.read("emit", self.named_inputs(names)).value
        if not d.cls.threshold:
            return states, self.waited(waiting), ZERO
        spiked = self.kept(d.read("threshold", names).value, states)
        if d.cls.spikes_within and d.duration:
            spiked = Expression("and", spiked, Expression("not", HELD))
        after = self.states_of(d.run("reset", names)) if d.cls.reset else states
        reset = {n: where(spiked, after[n], states[n]) for n in states}
        once = where(spiked, number(1.0), ZERO)
        count = once if spikes is ZERO else spikes + once
        new = where(spiked, DURATION, waiting) if d.duration else None
        return reset, new, count

    def waited(self, waiting: Expression) -> Expression | None:
        return waiting if self.d.duration else None

    def named(self, states: Values) -> dict[str, Quantity]:
        """Return what the names of a text stand for, with the states at hand."""
        names = dict(self.d.names)
        for name, value in self.d.locals.items():
            names[name] = Quantity(value, names[name].unit)
        for name, value in states.items():
            rest = self.d.relative.get(name)
            value = value if rest is None else value + rest
            names[name] = Quantity(value, self.d.names[name].unit)
        return names

    def named_inputs(self, names: dict[str, Quantity]) -> dict[str, Quantity]:
        """Return the same with the input of the step by receptor."""
        arrived = {r.name: Quantity(symbol(f"in{k}"), None) for k, r in enumerate(self.d.receptors)}
        return names | arrived

    def states_of(self, names: Mapping[str, Quantity]) -> Values:
        """Return the states as they are kept, of their names in a text."""
        return {name: self.kept_state(name, names[name].value) for name in self.states}

    def kept_state(self, name: str, value: Expression) -> Expression:
        """Return a state as it is kept, relative to a parameter or not."""
        rest = self.d.relative.get(name)
        if rest is None:
            return value
        if value.op == "+" and value.args[1] is rest:
            return value.args[0]
        if value.op == "+" and value.args[0].op == "+" and value.args[0].args[1] is rest:
            return value.args[0].args[0] + value.args[1]
        return value - rest

    def kept(self, condition: Expression, states: Values | None = None) -> Expression:
        """Return a comparison with what is kept relative to a parameter alone on its side."""
        if condition.op not in ("<", "<=", ">", ">="):
            return condition
        left, right = condition.args
        for name, rest in self.d.relative.items():
            own = self.states[name] if states is None else states[name]
            if left is own + rest and right.fixed:
                return Expression(condition.op, own, right - rest)
        return condition


def _decremented(waiting: Expression) -> Expression:
    return where(HELD, Expression("decrement", waiting), waiting)


def formula_unit(d: Definition, text: str) -> Unit:
    """Return the unit of the weights of a receptor."""
    return Unit(parse_unit(text, Subject(d.name, "receptors", text)).exponents)


def _with_weights(
    names: dict[str, Quantity], arrived: Expression, moved: Values
) -> dict[str, Quantity]:
    """Put the input of a step in the place of `weight`, times what it is multiplied by."""
    weight = symbol("weight")
    found = {}
    for name, quantity in names.items():
        found[name] = Quantity(_weighted(quantity.value, weight, arrived), quantity.unit)
    found.pop("weight", None)
    return found


def _weighted(x: Expression, weight: Expression, arrived: Expression) -> Expression:
    """Replace a product of `weight` and fixed factors by one of the input and one number."""
    if x.op in ("+", "-") and _fixed_but(x.args[1], weight):
        factor = substitute(
            x.args[1], {weight: arrived.args[1] if arrived.op == "*" else number(1.0)}
        )
        raw = arrived.args[0] if arrived.op == "*" else arrived
        return Expression(x.op, _weighted(x.args[0], weight, arrived), raw * factor)
    return substitute(x, {weight: arrived})


def _fixed_but(x: Expression, weight: Expression) -> bool:
    """Return whether an expression is a product of `weight` and fixed factors."""
    if x is weight:
        return True
    if x.op == "*":
        a, b = x.args
        return (_fixed_but(a, weight) and b.fixed) or (a.fixed and _fixed_but(b, weight))
    if x.op == "/":
        return _fixed_but(x.args[0], weight) and x.args[1].fixed
    return x.op == "neg" and _fixed_but(x.args[0], weight)
