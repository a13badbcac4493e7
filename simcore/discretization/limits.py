"""What a description becomes on the grid of time and in whole numbers, known before any build.

State, tables, spikes and checkpoints hold integers of certain widths. What does not fit them is
refused here, on all ranks and for all backends alike, whoever owns the neurons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.description import rates
from simcore.description.connectivity import Edges
from simcore.description.degrees import indegree_bound
from simcore.description.neurons import GammaSource, PoissonSource, SpikeTrains
from simcore.description.stimulus import Current, Poisson
from simcore.discretization.tables import poisson_table
from simcore.language.stiffness import fastest_state
from simcore.numerics.clock import Clock, Grid
from simcore.services.errors import CapacityError, ModelError, require

if TYPE_CHECKING:
    from simcore.description.network import Network
    from simcore.description.population import Population
    from simcore.discretization.fixed_point import FixedPoint

# Refractory times [steps] are kept as int16, see `simcore.shards.neuron_state`; spikes in a step as
# uint8
MAX_REFRACTORY = 2**15
MAX_MULTIPLICITY = 2**8

# Mean of the events of a process in a step
MAX_EVENTS = 10_000.0

# Given delays that are looked at together
_BLOCK = 2**20

# Share of a rate or a weight from which on the user is told that it was rounded
_TOLD = 1e-3, 1e-4

# Values of a kind that are told one by one
_MOST_TOLD = 3


def check_limits(network: Network, clock: Clock) -> None:
    """Raise an error for a time or a number that no backend can keep.

    Delays are checked where their tables are made, see `simcore.discretization.tables.delay_table`.

    Parameters
    ----------
    network : Network
        The model.
    clock : Clock
        The grid of time.

    Raises
    ------
    CapacityError
        When a number does not fit.
    ModelError
        When a window of time has no step, or a given spike lies between two.
    """
    for population in network.populations:
        model, subject = population.model, f"population {population.name!r}"
        if population.neuron is not None:
            refractory_steps(population, clock)
        if isinstance(model, PoissonSource):
            active_steps(model, clock, subject)
            _check_events(rates.largest(model.rate), clock, f"{subject}: rate")
        if isinstance(model, SpikeTrains):
            train_steps(population, clock)
        copies = largest_multiplicity(population, clock.dt)
        require(
            copies < MAX_MULTIPLICITY, f"{subject}: spikes of a source in one step", copies,
            f"below {MAX_MULTIPLICITY}", "Lower its rate, or shorten the time step.",
            CapacityError,
        )  # fmt: skip
    for drive in network.drives:
        subject = f"drive of {drive.target.name!r}"
        active_steps(drive.stimulus, clock, subject)
        if isinstance(drive.stimulus, Poisson):
            _check_events(rates.largest(drive.stimulus.rate), clock, f"{subject}: rate")


def refractory_steps(population: Population, clock: Clock) -> int:
    """Return the refractory time of a population of neurons in steps, rounded up.

    Raises
    ------
    CapacityError
        When it is longer than the state can hold.
    """
    name, time = _refractory_time(population)
    steps = int(clock.up(time))
    assert population.neuron is not None

    # Where spikes fall within a step, one more is kept
    longest = MAX_REFRACTORY - int(population.neuron.definition.cls.spikes_within)
    require(
        steps < longest, f"population {population.name!r}: {name}", time,
        f"below {float(clock.times(longest)):.10g} ms, {longest} steps of dt = "
        f"{clock.dt!r} ms", "Shorten it, or lengthen the time step.", CapacityError,
    )  # fmt: skip
    return steps


def _refractory_time(population: Population) -> tuple[str, float]:
    """Return the parameter that is the refractory time, and its value [ms]; 0 without one."""
    assert population.neuron is not None
    name = population.neuron.definition.duration
    return name or "t_ref", population.neuron.values.get(name, 0.0)


def active_steps(
    process: Poisson | PoissonSource | Current, clock: Clock, subject: str = ""
) -> tuple[int, int]:
    """Return the first step in which a process is on, and the one after the last.

    Raises
    ------
    ModelError
        When there is none.
    """
    start, stop = clock.window(process.start, process.stop)
    require(
        start < stop, f"{subject or type(process).__name__}: start and stop",
        (process.start, process.stop), f"times [ms] between which a step of dt = {clock.dt!r} ms "
        "ends", "Widen the window, or shorten the time step.",
    )  # fmt: skip
    return start, stop


def pieces(process: Poisson | PoissonSource, clock: Clock) -> list[tuple[float, int, int]]:
    """Return each rate of a process [1/s], the first step that has it, and the one after the last.

    Rates that last for no step are left out.
    """
    found = []
    for rate, start, stop in rates.windows(process.rate, process.start, process.stop):
        begin, end = clock.window(start, stop)
        if begin < end:
            found.append((rate, begin, end))
    return found


def train_steps(population: Population, clock: Clock) -> NDArray[np.int64]:
    """Return the steps in which given spikes are emitted, one before the step they start.

    Raises
    ------
    ModelError
        When a spike lies before the end of the first step, or between two steps.
    """
    assert isinstance(population.model, SpikeTrains)
    times, _ = population.model.arrays()
    subject = f"population {population.name!r}: times"
    steps = clock.nearest(times)
    early, off = times[steps < 1], times[clock.off(times)]
    if early.size:
        raise ModelError(f"{subject} contains {float(early[0])!r} ms, must be >= dt")
    if off.size:
        raise ModelError(
            f"{subject} contains {float(off[0])!r} ms, must be multiples of "
            f"dt = {clock.dt!r} ms. Round the times."
        )
    if times.size:
        clock.steps(float(times[-1]), subject)
    return steps - 1


def largest_multiplicity(population: Population, dt: float) -> int:
    """Return how many spikes one neuron of the population may emit in one step."""
    model = population.model
    if isinstance(model, PoissonSource):
        return max(1, most_events(model.rate, dt))
    if isinstance(model, SpikeTrains):
        times, ids = model.arrays()
        if times.size == 0:
            return 1
        steps = Grid(dt).nearest(times)
        order = np.lexsort((ids, steps))
        differ = (np.diff(steps[order]) != 0) | (np.diff(ids[order]) != 0)
        ends = np.flatnonzero(np.append(differ, True))
        return int(np.diff(ends, prepend=-1).max())
    neuron = population.neuron
    assert neuron is not None
    d = neuron.definition
    if isinstance(model, GammaSource):
        return 1 + _arriving(population, dt) // model.shape
    if d.cls.emit:
        return max(1, min(_arriving(population, dt), MAX_MULTIPLICITY))
    if d.cls.spikes_within and neuron.values.get(d.duration, 0.0) == 0.0:
        return max(d.substeps, d.refine[1] if d.refine else 1)
    return 1


def _arriving(population: Population, dt: float) -> int:
    """Return how many spikes may arrive at a neuron in one step; many where relays form a loop."""
    network = population.network
    assert network is not None
    found = 0
    for p in network.projections:
        if p.target.population is population:
            source = p.source.population
            relay = source.neuron is not None and bool(source.neuron.definition.cls.emit)
            in_loop = relay and source.id >= population.id
            copies = MAX_MULTIPLICITY if in_loop else largest_multiplicity(source, dt)
            found += max(1, indegree_bound(p)) * copies
    for drive in network.drives:
        if drive.target.population is population and isinstance(drive.stimulus, Poisson):
            found += most_events(drive.stimulus.rate, dt)
    return found


def most_events(rate: rates.Rate, dt: float) -> int:
    """Return how many events a Poisson process may have in one step."""
    return poisson_table(rates.largest(rate) * dt * 1e-3).last


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
            what, time = _refractory_time(population)
            yield from moved(name, what, time, clock.up(time))
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


def _long_steps(network: Network, clock: Clock) -> Iterator[_Note]:
    """Yield the models whose substeps are longer than half a time constant of their own."""
    for population in network.populations:
        neuron = population.neuron
        if neuron is None:
            continue
        n = neuron.definition.substeps
        state, tau = fastest_state(neuron)
        if clock.dt / n > 0.5 * tau:
            text = (
                f"{clock.dt!r} ms is long for {state}, which decays in {tau:.3g} ms: spikes may be "
                f"wrong above {0.5 * n * tau:.2g} ms"
            )
            yield f"population {population.name!r}", "dt", text


def _coarse_rates(network: Network, clock: Clock) -> Iterator[_Note]:
    """Yield the rates that are small beside the words that events are drawn from."""
    processes: list[tuple[str, object]] = [
        (f"population {p.name!r}", p.model) for p in network.populations
    ]
    processes += [(f"drive of {d.target.name!r}", d.stimulus) for d in network.drives]
    for name, process in processes:
        if not isinstance(process, (Poisson, PoissonSource)):
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


def _check_events(rate: float, clock: Clock, subject: str) -> None:
    mean = rate * clock.dt * 1e-3
    require(
        mean <= MAX_EVENTS, subject, rate,
        f"at most {1e3 * MAX_EVENTS / clock.dt:.4g} 1/s, {MAX_EVENTS:g} events a step of dt = "
        f"{clock.dt!r} ms", "Lower it, or shorten the time step.", CapacityError,
    )  # fmt: skip
