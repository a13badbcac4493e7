"""Hypothesis strategies for networks of any kind, and how many examples they are asked for."""

from __future__ import annotations

import math
import os
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import HealthCheck, reject, settings
from hypothesis import strategies as st

import simcore as sc
from simcore import library
from simcore.discretization.fixed_point import fixed_point
from simcore.language.per_neuron import mean
from simcore.services.errors import CapacityError
from tests.varied import VARIED

WANTED = os.environ.get("SIMCORE_EXAMPLES")

LIMIT = pytest.mark.timeout(0 if WANTED else 300)
"""The time that a test with examples may take [s]; without end where a number is asked for."""

SHARE = st.floats(0.0, 1.0)

# The weight that moves a neuron of the library roughly to its threshold, by its unit
STRENGTH = {"pA": 500.0, "nS": 15.0, "mV": 12.0, "1": 1.0}

# The current that does [pA], and the same for models whose input has another scale
CURRENT = 600.0
CURRENTS = {
    "gif_cond_exp": 150.0, "gif_psc_exp": 150.0, "glif_psc": 250.0, "izhikevich": 10.0,
    "izhikevich_2003": 10.0,
}  # fmt: skip
STRENGTHS = {"gif_psc_exp": 200.0, "izhikevich_2003": 40.0}

# Parameters that differ from their defaults, so that all receptors differ, and all do something
GIF = {
    "tau_sfa": [5.0, 50.0], "q_sfa": [4.0, 2.0], "tau_stc": [10.0], "q_stc": [20.0],
    "lambda_0": 100.0, "Delta_V": 3.0,
}  # fmt: skip
GIVEN = {
    "gif_cond_exp": GIF,
    "gif_psc_exp": GIF,
    "glif_psc": {
        "spike_dependent_threshold": 1.0,
        "after_spike_currents": 1.0,
        "adapting_threshold": 1.0,
    },
    "iaf_psc_alpha_multisynapse": {"tau_syn": [0.5, 2.0]},
    "iaf_psc_exp_multisynapse": {"tau_syn": [0.5, 2.0]},
    "ignore_and_fire": {"rate": 300.0},
}

# Models that are drawn in single precision as well; others only where a number is asked for,
# because each is compiled anew
SINGLE = {
    "aeif_psc_exp", "gif_psc_exp", "hh_cond_exp_traub", "iaf_cond_exp", "iaf_psc_delta",
    "iaf_psc_exp", "izhikevich", "mat2_psc_exp", "parrot_neuron",
}  # fmt: skip


# Models that are drawn with parameters that differ
DIFFERING = {"iaf_psc_delta", "iaf_psc_exp", "iaf_psc_exp_multisynapse", "izhikevich"}


def examples(count):
    """Return the settings of a test: always the same examples, as many as `count`.

    With the variable SIMCORE_EXAMPLES they are that many, and new ones in every run.
    """
    return settings(
        max_examples=int(WANTED or count),
        derandomize=WANTED is None,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


@st.composite
def networks(draw, dt=0.1, names=None):
    """Draw a network of up to seven small populations, at least one of them neurons.

    Parameters
    ----------
    dt : float
        Time step [ms].
    names : list of str, optional
        Models of the library that may be drawn; all if left out.
    """
    net = sc.Network(seed=draw(st.integers(0, 2**64 - 1)))
    sizes = st.integers(1, 14)
    for k in range(draw(st.integers(1, 3))):
        model = draw(neurons(drives=(2.0, 4.0, 8.0) if k == 0 else (0.0, 2.0, 4.0)))
        V_m = draw(st.none() | _values(model.E_L, 0.9 * (model.V_th - model.E_L)))
        size = draw(sizes)
        net.population(f"neurons {k}", size, draw(differing(model, size)), V_m)
    for name in draw(
        st.lists(st.sampled_from(names or library.names()), min_size=1, max_size=2, unique=True)
    ):
        model = draw(models(name))
        size = draw(sizes)
        first = draw(starts(model))
        net.population(f"{name} {net.n_neurons}", size, draw(differing(model, size)), **first)
    targets = list(net.populations)
    for k in range(draw(st.integers(0, 2))):
        size = draw(sizes)
        net.population(f"sources {k}", size, draw(_sources(size, dt)))
    for _ in range(draw(st.integers(3, 8))):
        target = draw(st.sampled_from(targets))
        source = draw(st.just(target) | st.sampled_from(net.populations))
        if target.neuron.definition.cls.emit and source in targets:
            # Neurons that repeat what they hear would hear ever more of each other
            continue
        _connect(draw, net, source, target, dt)
    for _ in range(draw(st.integers(0, 3))):
        population = draw(st.sampled_from(targets))
        view = draw(_views(population))
        net.drive(view, draw(stimuli(population, view.size)))
    for population in targets:
        if population.neuron.layout.columns and draw(st.booleans()):
            _record(draw, net, population, dt)
    try:
        fixed_point(net, dt)
    except CapacityError:
        # Few have weights that are too small beside the others
        reject()
    return net


@st.composite
def neurons(draw, drives):
    """Draw neurons with delta synapses, one or two receptors.

    One of the drives is their constant current, where 1 just brings them to the threshold.
    """
    tau_m = draw(st.floats(3.0, 25.0))
    tau_syn = draw(st.none() | st.just(tau_m) | _times() | st.tuples(_times(), _times()))
    E_L = draw(st.sampled_from([0.0, -65.0]))
    theta, C_m = draw(st.floats(5.0, 20.0)), draw(st.floats(50.0, 300.0))
    return sc.LIF(
        tau_m=tau_m,
        V_th=E_L + theta,
        t_ref=draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])),
        E_L=E_L,
        V_reset=E_L - draw(st.sampled_from([0.0, 3.5])),
        C_m=C_m,
        I_e=draw(st.sampled_from(drives)) * theta * C_m / tau_m,
        tau_syn=tau_syn,
    )


@st.composite
def models(draw, name):
    """Draw a model of the library, often with a constant current."""
    kind = library.load(name)
    names = {d.name for d in kind.declared_parameters()}
    given = dict(GIVEN.get(name, {}))
    if "t_ref" in names:
        given["t_ref"] = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    if kind.input_current in names:
        share = draw(st.sampled_from([0.0, 1.0, 2.0]))
        given[kind.input_current] = share * CURRENTS.get(name, CURRENT)
    for tau in sorted(names & {"tau_syn_ex", "tau_syn_in"}):
        given[tau] = draw(_times())
    return kind(**given)


@st.composite
def starts(draw, model):
    """Draw first values of some states of a model of the library."""
    found = {}
    columns = [c.name for c in model.layout.reals]
    if "V_m" in columns and draw(st.booleans()):
        found["V_m"] = draw(_values(-61.0, 8.0))
    others = [name for name in columns if name != "V_m"]
    if others and draw(st.booleans()):
        found[draw(st.sampled_from(others))] = sc.Uniform(0.0, draw(st.floats(0.01, 1.0)))
    return found


@st.composite
def differing(draw, model, size):
    """Draw the same model, or one with parameters of `VARIED` that differ from neuron to neuron.

    They are few models, and all of these parameters or none, because each set is compiled anew.
    """
    of_lif = isinstance(model, sc.LIF)
    name = model.neuron().name if of_lif else model.name
    if name not in DIFFERING or draw(st.booleans()):
        return model
    names = VARIED[name]
    given = asdict(model) if of_lif else dict(model.given)
    each = {name: draw(_each(given[name], size)) for name in names}
    return type(model)(**{**given, **each})


@st.composite
def _each(draw, value, size):
    """Draw values about a number, one by one or as a distribution."""
    spread = min(0.1 * abs(value), 100.0) or 0.3
    low = value if value == 0.0 else value - spread
    if draw(st.booleans()):
        return sc.Uniform(low, value + spread)
    return _generator(draw).uniform(low, value + spread, size)


@st.composite
def receptors(draw, population):
    """Draw the name of an input of a population, None to leave it to the sign of weights."""
    neuron = population.neuron
    if neuron.receptors_by_sign is not None:
        return None
    return draw(st.sampled_from([r.name for r in neuron.definition.receptors]))


def _times():
    return st.floats(0.3, 6.0)


@st.composite
def _sources(draw, size, dt):
    kind = draw(st.sampled_from(["Poisson", "gamma", "given"]))
    if kind == "Poisson":
        return sc.PoissonSource(draw(rates(6000.0)), *draw(_windows()))
    if kind == "gamma":
        shape = draw(st.sampled_from([1, 2, 5]))
        return sc.GammaSource(draw(rates(3000.0)), shape, *draw(_windows()))
    rng = _generator(draw)
    count = draw(st.integers(0, 40))
    return sc.SpikeTrains(rng.integers(1, 150, count) * dt, rng.integers(0, size, count))


@st.composite
def rates(draw, most):
    """Draw a rate, often one that changes, also twice within a step."""
    if draw(st.booleans()):
        return draw(st.floats(0.0, most))
    times = draw(st.lists(st.floats(0.0, 15.0), min_size=1, max_size=6, unique=True))
    values = draw(st.lists(st.floats(0.0, most), min_size=len(times), max_size=len(times)))
    return sc.Piecewise(sorted(times), values)


@st.composite
def stimuli(draw, population, size):
    """Draw a stimulus for some neurons of a population."""
    neuron, window = population.neuron, draw(_windows())
    current = neuron.definition.cls.input_current
    if current in neuron.definition.declared and draw(st.booleans()):
        amplitude = (4.0 * draw(SHARE) - 1.0) * _unit(population, current=True)
        if current in neuron.varying and draw(st.sampled_from([True, True, True, False])):
            amplitude = draw(_each(amplitude, size))
        return sc.Current(amplitude, *window)
    weight = draw(st.sampled_from([-0.4, 0.1, 0.3, 0.7])) * _unit(population)
    rate = draw(rates(12_000.0))
    if isinstance(rate, float) and draw(st.booleans()):
        rate = draw(_each(rate, size))
    return sc.Poisson(rate, weight, *window, receptor=draw(receptors(population)))


def _unit(population, current=False):
    """Return the weight, or the current, that brings a neuron roughly to its threshold."""
    model = population.model
    if not isinstance(model, sc.LIF):
        if current:
            return CURRENTS.get(model.name, CURRENT)
        (unit,) = {r.unit for r in model.definition.receptors}
        return STRENGTHS.get(model.name, STRENGTH[unit])
    theta = model.V_th - mean(model.E_L)
    if current:
        return theta * model.C_m / mean(model.tau_m)
    return theta * model.C_m / model.tau_receptors[0] if model.tau_receptors else theta


@st.composite
def _windows(draw):
    start = draw(st.just(0.0) | st.floats(0.0, 12.0))
    return start, start + draw(st.just(math.inf) | st.floats(0.5, 12.0))


@st.composite
def _views(draw, population, size=None):
    """Draw a view of a population, often all; with a size, that many neurons."""
    form = draw(st.sampled_from(["neighbours", "neighbours", "step", "list", "mask"]))
    if size is None:
        most = population.size if form in ("neighbours", "step") else 2 * population.size // 3
        size = draw(st.just(max(1, most)) | st.integers(1, population.size))
    if form in ("list", "mask"):
        chosen = np.sort(_generator(draw).permutation(population.size)[:size])
        return population[chosen if form == "list" else np.isin(range(population.size), chosen)]
    longest = max(1, (population.size - 1) // max(1, size - 1))
    step = draw(st.integers(1, longest)) if form == "step" else 1
    first = draw(st.integers(0, population.size - 1 - (size - 1) * step))
    view = population[first::step][:size]
    return view[::-1] if draw(st.integers(0, 7)) == 0 else view


def _connect(draw, net, source, target, dt):
    source, target, rule = RULES[draw(st.sampled_from(sorted(RULES)))](draw, source, target, dt)
    unit = _unit(target.population)
    weight = delay = None
    if getattr(rule, "weights", None) is None:
        weight = draw(_weights(unit))
    if getattr(rule, "delays", None) is None:
        delay = draw(_delays(dt))
    receptor = draw(receptors(target.population))
    net.connect(source, target, rule, weight, delay, receptor=receptor)


def _weights(unit):
    centre = st.sampled_from([-0.6, 0.05, 0.15, 0.5, 1.2])
    return centre.flatmap(lambda c: _values(c * unit, 0.5 * abs(c) * unit))


@st.composite
def _delays(draw, dt):
    """Draw a delay of at least one step, often a short one."""
    shortest = draw(st.sampled_from([dt, 0.6 * dt, 3 * dt, 1.5]))
    return draw(_values(shortest + draw(st.sampled_from([0.0, 0.7, 4.0])), 0.9, low=shortest))


@st.composite
def _values(draw, centre, spread, low=None):
    """Draw a number or a distribution about a centre, with all its values above `low`."""
    kind = draw(st.sampled_from(sorted(DISTRIBUTIONS)))
    outside = draw(st.sampled_from(["redraw", "clip"]))
    spread *= draw(st.floats(0.1, 1.0))
    return DISTRIBUTIONS[kind](centre, spread, low, outside)


def _constant(centre, spread, low, outside):
    return sc.Constant(centre + spread)


def _uniform(centre, spread, low, outside):
    return sc.Uniform(centre if low is not None else centre - spread, centre + spread)


def _normal(centre, spread, low, outside):
    low = centre - 2.0 * spread if low is None else low
    return sc.Normal(centre, spread, low, centre + 3.0 * spread, outside)


def _lognormal(centre, spread, low, outside):
    # Its values are above 0, whatever the sign of the centre
    scale = abs(centre) or spread
    high = max(4.0 * scale, 2.0 * (low or 0.0))
    return sc.Lognormal(math.log(scale), 0.1 + 0.4 * min(1.0, spread / scale), low, high, outside)


def _scaled(centre, spread, low, outside):
    inner = _normal if outside == "clip" else _lognormal
    if low is not None:
        return 0.5 * inner(2.0 * centre, 2.0 * spread, 2.0 * low, outside)
    return -2.0 * inner(-0.5 * centre, 0.5 * spread, None, outside)


DISTRIBUTIONS = {
    "Constant": _constant,
    "Uniform": _uniform,
    "Normal": _normal,
    "Lognormal": _lognormal,
    "Scaled": _scaled,
}


def _record(draw, net, population, dt):
    interval = draw(st.integers(1, 20)) * dt
    dtype = draw(st.sampled_from(["float32", "float64"]))
    column = draw(st.sampled_from([c.name for c in population.neuron.layout.columns]))
    net.record(draw(_views(population)), column, interval, dtype)


def _generator(draw):
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


def _both(draw, source, target):
    """Draw a part of each side, autapses or not, and the number of partners that leaves out."""
    source, target = draw(_views(source)), draw(_views(target))
    autapses = draw(st.booleans())
    return source, target, autapses, int(source.overlaps(target) and not autapses)


def _degree(draw, partners, multapses=True):
    return draw(st.integers(min(1, partners), min(20, (2 if multapses else 1) * partners)))


def _fixed_indegree(draw, source, target, dt):
    source, target, autapses, less = _both(draw, source, target)
    multapses = draw(st.booleans())
    degree = _degree(draw, source.size - less, multapses)
    return source, target, sc.FixedIndegree(degree, autapses, multapses)


def _fixed_outdegree(draw, source, target, dt):
    source, target, autapses, less = _both(draw, source, target)
    multapses = draw(st.booleans())
    degree = _degree(draw, target.size - less, multapses)
    return source, target, sc.FixedOutdegree(degree, autapses, multapses)


def _fixed_total_number(draw, source, target, dt):
    source, target, autapses, less = _both(draw, source, target)
    count = draw(st.integers(0, 80)) if source.size > less else 0
    return source, target, sc.FixedTotalNumber(count, autapses)


def _pairwise_bernoulli(draw, source, target, dt):
    source, target, autapses, _ = _both(draw, source, target)
    return source, target, sc.PairwiseBernoulli(draw(SHARE), autapses)


def _all_to_all(draw, source, target, dt):
    source, target, autapses, _ = _both(draw, source, target)
    return source, target, sc.AllToAll(autapses)


def _one_to_one(draw, source, target, dt):
    size = draw(st.integers(1, min(source.size, target.size)))
    return draw(_views(source, size)), draw(_views(target, size)), sc.OneToOne()


def _edges(draw, source, target, dt):
    source, target = draw(_views(source)), draw(_views(target))
    rng, count = _generator(draw), draw(st.integers(0, 60))
    ends = rng.integers(0, source.size, count), rng.integers(0, target.size, count)
    weights = delays = None
    if draw(st.booleans()):
        weights = rng.normal(0.2, 0.4, count) * _unit(target.population)
    if draw(st.booleans()):
        delays = rng.integers(1, 60, count) * dt
    return source, target, sc.Edges(*ends, weights, delays)


RULES = {
    "AllToAll": _all_to_all,
    "Edges": _edges,
    "FixedIndegree": _fixed_indegree,
    "FixedOutdegree": _fixed_outdegree,
    "FixedTotalNumber": _fixed_total_number,
    "OneToOne": _one_to_one,
    "PairwiseBernoulli": _pairwise_bernoulli,
}
