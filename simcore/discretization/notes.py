"""What a simulation takes otherwise than it was described, as sentences for the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from simcore.description import rates
from simcore.description.connectivity import Edges
from simcore.description.drawing import parameters, sample
from simcore.description.network import Network
from simcore.description.neurons import PoissonSource
from simcore.description.population import Population
from simcore.description.stimulus import Current, Poisson
from simcore.discretization.fixed_point import FixedPoint
from simcore.discretization.tables import poisson_table
from simcore.language.per_neuron import PerNeuron, is_varying
from simcore.language.stiffness import fastest_state
from simcore.numerics.clock import Clock

# Given delays that are looked at together
_BLOCK = 2**20

# Share of a rate or a weight from which on the user is told that it was rounded
_TOLD = 1e-3, 1e-4

# Values of a kind that are told one by one
_MOST_TOLD = 3


def notes_on(network: Network, clock: Clock, points: FixedPoint) -> list[str]:
    """Return what a simulation takes otherwise than it was described, as sentences.

    Parameters
    ----------
    network : Network
        The model.
    clock : Clock
        The grid of time.
    points : FixedPoint
        Its weights as whole numbers.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name, what, text in (
        *_moved_times(network, clock),
        *_long_steps(network, clock),
        *_coarse_rates(network, clock),
        *_coarse_weights(network, points),
    ):
        found.setdefault((what, text), []).append(name)
    notes = []
    seen = Counter(what for what, _ in found)
    told: Counter[str] = Counter()
    for (what, text), names in found.items():
        told[what] += 1
        if told[what] <= _MOST_TOLD:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            notes.append(f"{names[0]}{others}: {what} {text}")
    rest = {what: n - _MOST_TOLD for what, n in seen.items() if n > _MOST_TOLD}
    return notes + [
        f"{what}: {n} other values are taken otherwise, too" for what, n in rest.items()
    ]


# Whose value, which value it is, and what became of it
_Note = tuple[str, str, str]


def _moved_times(network: Network, clock: Clock) -> Iterator[_Note]:
    """Yield the times that lie between two steps; those of distributions are rounded anyway."""

    def moved(name: str, what: str, time: float, steps: Any) -> Iterator[_Note]:
        if np.isfinite(time) and clock.off(time):
            yield name, what, f"{time!r} ms is taken as {float(clock.times(steps)):.10g} ms"

    for population in network.populations:
        name, model = f"population {population.name!r}", population.model
        if population.neuron is not None:
            yield from _moved_refractory_times(population, clock)
        if isinstance(model, PoissonSource):
            for border, time in _borders(model):
                yield from moved(name, border, time, clock.down(time))
    for drive in network.drives:
        for border, time in _borders(drive.stimulus):
            yield from moved(f"drive of {drive.target.name!r}", border, time, clock.down(time))
    for projection in network.projections:
        if projection.delay is None:
            assert isinstance(projection.rule, Edges)
            given = np.asarray(projection.rule.delays)
            blocks = (given[k : k + _BLOCK] for k in range(0, given.size, _BLOCK))
            n = sum(int(np.count_nonzero(clock.off(block))) for block in blocks)
            if n:
                yield projection.name, "delays", f"of {n} synapses are taken as the nearest steps"
        elif projection.delay.constant:
            time = float(projection.delay.quantile([0.5])[0])
            yield from moved(projection.name, "delay", time, clock.nearest(time))


def _borders(process: Poisson | PoissonSource | Current) -> Iterator[tuple[str, float]]:
    """Yield the times at which a process changes, and what they are called."""
    yield "start", process.start
    yield "stop", process.stop
    rate = getattr(process, "rate", None)
    if isinstance(rate, rates.Piecewise):
        yield from (("change of the rate", time) for time in rate.columns()[0])


def _moved_refractory_times(population: Population, clock: Clock) -> Iterator[_Note]:
    """Yield how refractory times are rounded; those of distributions are anyway."""
    neuron, subject = population.neuron, f"population {population.name!r}"
    assert neuron is not None
    name = neuron.definition.duration
    given = neuron.varying.get(name)
    if isinstance(given, PerNeuron):
        n = int(np.count_nonzero(clock.off(neuron.in_base_units(name, given.values))))
        if n:
            yield subject, name, f"of {n} neurons is taken as the next step"
    elif name in neuron.values and clock.off(neuron.values[name]):
        time = neuron.values[name]
        steps = float(clock.times(clock.up(time)))
        yield subject, name, f"{time!r} ms is taken as {steps:.10g} ms"


def _long_steps(network: Network, clock: Clock) -> Iterator[_Note]:
    """Yield the models whose substeps are longer than half a time constant of their own."""
    for population in network.populations:
        neuron = population.neuron
        if neuron is None:
            continue
        n = neuron.definition.substeps
        # Of what differs, the neurons of a sample stand for all
        values = parameters(population, sample(population)) if neuron.varying else neuron.values
        state, tau = fastest_state(neuron, values)
        if clock.dt / n > 0.5 * tau:
            text = (
                f"{clock.dt!r} ms is long for {state}, which decays in {tau:.3g} ms: spikes may be "
                f"wrong above {0.5 * n * tau:.2g} ms"
            )
            yield f"population {population.name!r}", "dt", text


def _coarse_rates(network: Network, clock: Clock) -> Iterator[_Note]:
    """Yield the rates that are small beside the words that events are drawn from.

    Those that differ from neuron to neuron are not looked at.
    """
    processes: list[tuple[str, object]] = [
        (f"population {p.name!r}", p.model) for p in network.populations
    ]
    processes += [(f"drive of {d.target.name!r}", d.stimulus) for d in network.drives]
    for name, process in processes:
        if not isinstance(process, (Poisson, PoissonSource)) or is_varying(process.rate):
            continue
        for rate in rates.values_of(process.rate):
            mean = rate * clock.dt * 1e-3
            table = poisson_table(mean)
            p = table.probabilities()
            drawn = float(p @ np.arange(table.first, table.last + 1))
            if abs(drawn - mean) > _TOLD[0] * mean:
                became = f"{drawn / clock.dt * 1e3:.4g} 1/s" if drawn else "none at all"
                reason = f"{mean:.3g} events a step are few beside 2**-32"
                yield name, "rate", f"{rate!r} 1/s becomes {became}, because {reason}"


def _coarse_weights(network: Network, points: FixedPoint) -> Iterator[_Note]:
    """Yield the constant weights whose rounding adds up, because it is the same for all."""
    reason = "beside the sum of all weights of a target"
    given: list[tuple[str, float, float]] = []
    for projection, weights in zip(network.projections, points.weights, strict=True):
        if projection.counts:
            continue
        if projection.weight is not None and projection.weight.constant:
            asked = float(projection.weight.quantile([0.5])[0])
            given.append((projection.name, asked, float(weights.values[0]) * weights.quantum))
    for drive in network.drives:
        if isinstance(drive.stimulus, Poisson):
            kept = points.stimulus_weights[drive.id] * points.quantum_of(
                drive.target.population, drive.receptor
            )
            given.append((f"drive of {drive.target.name!r}", drive.stimulus.weight, kept))
    for name, asked, kept in given:
        if abs(kept - asked) > _TOLD[1] * abs(asked):
            share = f"{100.0 * (kept / asked - 1.0):+.2g} %"
            yield name, "weight", f"{asked:.6g} becomes {kept:.6g} ({share}), the finest {reason}"
