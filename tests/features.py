"""What a model can be made of, found in the package itself, and what a network is made of."""

from __future__ import annotations

import inspect
import math
from dataclasses import MISSING, fields
from typing import get_args

from simcore.description import neurons, stimulus
from simcore.description.connectivity import Rule
from simcore.description.distributions import Distribution, Scaled
from simcore.description.rates import Piecewise
from simcore.language.model import NeuronModel
from simcore.language.per_neuron import PerNeuron
from simcore.language.program import make_program

ROLES = ("weight", "delay", "V_m")

# Where a view occurs, and what it may be
VIEWS = ("source", "target", "drive", "record")
FORMS = ("neighbours", "step", "list")


def kinds(base):
    """Return the public classes of a kind, exported or not."""
    found = {base}
    for kind in base.__subclasses__():
        found |= kinds(kind)
    return {
        kind
        for kind in found
        if kind.__module__.startswith("simcore.")
        and not kind.__name__.startswith("_")
        and not inspect.isabstract(kind)
        and kind is not Rule
    }


def defaults(kind):
    """Return the fields of a dataclass that may be left out, and what they are then."""
    return {f.name: f.default for f in fields(kind) if f.default is not MISSING}


def wanted():
    """Yield everything that a model can be made of."""
    for rule in kinds(Rule):
        yield rule.__name__
        for name, default in defaults(rule).items():
            yield from ((rule.__name__, name, choice) for choice in choices(default))
    for kind in kinds(Distribution):
        yield from ((role, kind.__name__) for role in ROLES)
        if "outside" in defaults(kind):
            yield from ((kind.__name__, outside) for outside in ("redraw", "clip"))
    for kind in get_args(stimulus.Stimulus):
        yield from ((kind.__name__, windowed) for windowed in (False, True))
    yield from (kind.__name__ for kind in get_args(neurons.Model))
    yield from (("receptors", n) for n in range(3))
    yield "random numbers in a step"
    yield from (("rate that changes", kind) for kind in ("Poisson", "GammaSource"))
    yield from ((place, form) for place in VIEWS for form in FORMS)


def choices(default):
    """Return what a field is tested with: both values, or whether it is given."""
    if isinstance(default, bool):
        return (True, False)
    assert default is None, "say here how to test such a field"
    return ("given", "left out")


def used(net):
    """Yield what a network is made of."""
    for p in net.projections:
        yield type(p.rule).__name__
        for name, default in defaults(type(p.rule)).items():
            value = getattr(p.rule, name)
            if default is None:
                yield type(p.rule).__name__, name, "left out" if value is None else "given"
            elif name != "allow_autapses" or p.autapses_possible:
                yield type(p.rule).__name__, name, value
    for place, view in views(net):
        listed = not isinstance(view.indices, range)
        yield place, "list" if listed else "neighbours" if view.contiguous else "step"
    for role, value in distributions(net):
        yield role, type(value).__name__
        if hasattr(value, "outside"):
            yield type(value).__name__, value.outside
    for drive in net.drives:
        windowed = drive.stimulus.start > 0.0 or drive.stimulus.stop < math.inf
        yield type(drive.stimulus).__name__, windowed
        if isinstance(getattr(drive.stimulus, "rate", None), Piecewise):
            yield "rate that changes", "Poisson"
    for population in net.populations:
        if isinstance(getattr(population.model, "rate", None), Piecewise):
            yield "rate that changes", type(population.model).__name__
        library = isinstance(population.model, NeuronModel)
        yield NeuronModel.__name__ if library else type(population.model).__name__
        if population.neuron is not None and make_program(population.neuron).n_draws > 0:
            yield "random numbers in a step"
        if isinstance(population.model, neurons.LIF):
            yield "receptors", len(population.model.tau_receptors)


def views(net):
    """Yield each view of a network, and where it occurs."""
    for p in net.projections:
        yield from (("source", p.source), ("target", p.target))
    yield from (("drive", drive.target) for drive in net.drives)
    yield from (("record", record.target) for record in net.records)


def distributions(net):
    """Yield the role of each distribution of a network, and the distribution; so for multiples."""
    found = [(role, getattr(p, role)) for p in net.projections for role in ("weight", "delay")]
    found += [("V_m", value) for p in net.populations for value in p.start.values()]
    for role, value in found:
        yield role, value
        if isinstance(value, Scaled):
            yield role, value.of


def differing(net):
    """Yield what differs from neuron to neuron, and whether it is given or drawn."""
    found = [
        ("parameter", v) for p in net.populations if p.neuron for v in p.neuron.varying.values()
    ]
    found += [(name, v) for d in net.drives for name, v in d.varying.items()]
    for name, value in found:
        yield name, isinstance(value, PerNeuron)


def missing(net):
    """Return what a network does not use of all there is."""
    return set(wanted()) - set(used(net))
