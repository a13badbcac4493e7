"""What a description becomes on the grid of time and in whole numbers, known before any build.

State, tables, spikes and checkpoints hold integers of certain widths. What does not fit them is
refused here, on all ranks and for all backends alike, whoever owns the neurons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.description import rates
from simcore.description.degrees import indegree_bound
from simcore.description.drawing import parameter
from simcore.description.neurons import GammaSource, PoissonSource, SpikeTrains
from simcore.description.stimulus import Current, Poisson
from simcore.discretization.tables import poisson_table
from simcore.language.per_neuron import PerNeuron, Value, bounds
from simcore.numerics.clock import Clock, Grid
from simcore.services.errors import CapacityError, ModelError, require

if TYPE_CHECKING:
    from simcore.description.network import Network
    from simcore.description.population import Population
    from simcore.language.model import NeuronModel

# Refractory times [steps] are kept as int16, see `simcore.shards.neuron_state`; spikes in a step as
# uint8
MAX_REFRACTORY = 2**15
MAX_MULTIPLICITY = 2**8

# Mean of the events of a process in a step
MAX_EVENTS = 10_000.0


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
            _check_refractory_times(population, clock)
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


def _check_refractory_times(population: Population, clock: Clock) -> None:
    """Raise `CapacityError` for times that are too long; those that are drawn are checked then."""
    assert population.neuron is not None
    given = population.neuron.varying.get(population.neuron.definition.duration)
    if isinstance(given, PerNeuron):
        refractory_steps(population, clock, population.view().gids())
    elif given is None:
        refractory_steps(population, clock)


def refractory_steps(
    population: Population, clock: Clock, gids: NDArray[np.int64] | None = None
) -> Any:
    """Return the refractory time of a population of neurons in steps, rounded up.

    Parameters
    ----------
    population : Population
        One of neurons.
    clock : Clock
        The grid of time.
    gids : ndarray of int64, optional
        Global ids of the neurons, where the time differs from neuron to neuron.

    Returns
    -------
    int or ndarray of int64

    Raises
    ------
    CapacityError
        When it is longer than the state can hold.
    """
    neuron = population.neuron
    assert neuron is not None
    name = neuron.definition.duration
    times = 0.0
    if name:
        none = np.zeros(0, dtype=np.int64)
        times = parameter(population, name, none if gids is None else gids)
    steps = clock.up(times)

    # Where spikes fall within a step, one more is kept
    longest = MAX_REFRACTORY - int(neuron.definition.cls.spikes_within)
    bad = np.flatnonzero(np.atleast_1d(steps) >= longest)
    subject = f"population {population.name!r}: {name or 't_ref'}"
    if bad.size and gids is not None:
        subject += f" of neuron {int(gids[bad[0]]) - population.first}"
    require(
        bad.size == 0, subject, float(np.atleast_1d(times)[bad[0]]) if bad.size else 0.0,
        f"below {float(clock.times(longest)):.10g} ms, {longest} steps of dt = "
        f"{clock.dt!r} ms", "Shorten it, or lengthen the time step.", CapacityError,
    )  # fmt: skip
    return int(steps) if np.ndim(steps) == 0 else steps


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


def pieces(process: Poisson | PoissonSource, clock: Clock) -> list[tuple[Value, int, int]]:
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
    if d.cls.spikes_within and _shortest_refractory_time(neuron) <= 0.0:
        return max(d.substeps, d.refine[1] if d.refine else 1)
    return 1


def _shortest_refractory_time(neuron: NeuronModel) -> float:
    """Return the shortest refractory time that a neuron may have; 0 without one."""
    name = neuron.definition.duration
    if name in neuron.varying:
        return bounds(neuron.varying[name])[0]
    return neuron.values.get(name, 0.0)


def most_events(rate: rates.Rate, dt: float) -> int:
    """Return how many events a Poisson process may have in one step."""
    return poisson_table(rates.largest(rate) * dt * 1e-3).last


def _arriving(population: Population, dt: float) -> int:
    """Return how many spikes may arrive at a neuron in one step; many where relays form a loop."""
    network = population.network
    assert network is not None
    found = 0
    for p in network.projections:
        if p.target.population is population:
            source = p.source.population
            neuron = None if source.is_source else source.neuron
            relay = neuron is not None and bool(neuron.definition.cls.emit)
            in_loop = relay and source.id >= population.id
            copies = MAX_MULTIPLICITY if in_loop else largest_multiplicity(source, dt)
            found += max(1, indegree_bound(p)) * copies
    for drive in network.drives:
        if drive.target.population is population and isinstance(drive.stimulus, Poisson):
            found += most_events(drive.stimulus.rate, dt)
    return found


def _check_events(rate: float, clock: Clock, subject: str) -> None:
    mean = rate * clock.dt * 1e-3
    require(
        mean <= MAX_EVENTS, subject, rate,
        f"at most {1e3 * MAX_EVENTS / clock.dt:.4g} 1/s, {MAX_EVENTS:g} events a step of dt = "
        f"{clock.dt!r} ms", "Lower it, if drawn by a bound, high=, or shorten the time step.",
        CapacityError,
    )  # fmt: skip
