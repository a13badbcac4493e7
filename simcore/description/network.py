"""The description of a model: populations, projections, stimuli, records.

A description is a few small objects whatever the size of the network. It knows neither ranks nor
devices; neurons and synapses come into being in the build.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from simcore.description.connectivity import (
    Projection,
    Rule,
    check_projection,
    describe_projections,
)
from simcore.description.distributions import Distribution, Uniform, as_distribution
from simcore.description.neurons import GammaSource, Model, SpikeTrains, require_sizes
from simcore.description.population import (
    NAMES,
    Population,
    PopulationView,
    Start,
    as_views,
    is_name,
)
from simcore.description.records import Record, make_records, require_new
from simcore.description.stimulus import (
    Current,
    Drive,
    Poisson,
    Stimulus,
    check_drive,
    events_of,
)
from simcore.language.model import NeuronModel
from simcore.language.per_neuron import PerNeuron, as_value, require_size
from simcore.services.errors import CapacityError, ModelError, require

Where = Population | PopulationView | Sequence[Population | PopulationView]

MAX_NEURONS = 2**47

# Populations, projections and drives: each has a stream of random numbers, see
# `simcore.numerics.random`
MAX_OBJECTS = 2**24


class Network:
    """A model, described once for any number of ranks.

    Parameters
    ----------
    seed : int
        Seed of all random numbers, in [0, 2**64).

    Examples
    --------
    >>> import simcore as sc
    >>> net = sc.Network(seed=1)
    >>> E = net.population("E", 800, sc.LIF(tau_m=20.0))
    >>> net.connect(E, E, sc.FixedIndegree(80), weight=0.1, delay=1.5)
    >>> net.drive(E, sc.Poisson(rate=10_000.0, weight=0.1))
    >>> net.record(E, "spikes")
    """

    def __init__(self, seed: int = 1) -> None:
        whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
        require(whole and 0 <= seed < 2**64, "Network: seed", seed, "a whole number in [0, 2**64)")
        self.seed = int(seed)
        self.populations: list[Population] = []
        self.projections: list[Projection] = []
        self.drives: list[Drive] = []
        self.records: list[Record] = []

    @property
    def n_neurons(self) -> int:
        """Number of neurons and sources in all."""
        return sum(p.size for p in self.populations)

    def population(
        self,
        name: str,
        size: int,
        model: Model,
        V_m: float | Distribution | ArrayLike | None = None,
        **start: float | Distribution | ArrayLike,
    ) -> Population:
        """Add a population.

        Parameters
        ----------
        name : str
            Its name; letters, digits and any other characters but "/".
        size : int
            Number of neurons, at least 1.
        model : LIF, NeuronModel, PoissonSource, GammaSource or SpikeTrains
            The neurons' model.
        V_m : float, Distribution or array_like of float, optional
            First membrane potential [mV], of all neurons or of each; that of the model if left out,
            as it must be for sources.
        **start : float, Distribution or array_like of float
            First values of other states by name, in the unit of the state.

        Returns
        -------
        Population

        Raises
        ------
        ModelError
            When the name is taken or a value is out of range.
        """
        taken = [p.name for p in self.populations]
        require(is_name(name), "population: name", name, NAMES)
        require(name not in taken, "population: name", name, f"a new one; taken are {taken}")
        subject = f"population {name!r}"
        whole = isinstance(size, (int, np.integer)) and not isinstance(size, bool)
        require(whole and size >= 1, f"{subject}: size", size, "a whole number of at least 1")
        total = self.n_neurons + int(size)
        require(total <= MAX_NEURONS, f"{subject}: neurons in all", total, f"<= {MAX_NEURONS}")
        if isinstance(model, type) and issubclass(model, NeuronModel):
            model = model()
        if not isinstance(model, get_args(Model)):
            raise ModelError(
                f"{subject}: model is {model!r}, must be an LIF, a model of the library, "
                "a PoissonSource, a GammaSource or SpikeTrains"
            )
        if isinstance(model, SpikeTrains):
            _, ids = model.arrays()
            largest = int(ids.max(initial=0))
            require(largest < size, f"{subject}: node_ids", largest, f"below its size, {size}")
        require_sizes(model, int(size), subject)
        first = {
            name: _start(value, int(size), f"{subject}: {name}")
            for name, value in {"V_m": V_m, **start}.items()
            if value is not None
        }
        if isinstance(model, GammaSource):
            # As if the process had gone on for ever
            first.setdefault("stage", Uniform(0.0, float(model.shape)))
        count = len(self.populations) + 1
        require(count < MAX_OBJECTS, "populations", count, "< 2**24", error=CapacityError)
        new = Population(len(self.populations), name, int(size), model, self.n_neurons, first, self)
        states = [] if new.neuron is None else [c.name for c in new.neuron.layout.reals]
        for state in first:
            valid = f"one of {', '.join(states)}" if states else "left out, the model has no state"
            require(state in states, f"{subject}: state", state, valid)
        self.populations.append(new)
        if isinstance(model, GammaSource):
            self._add_drive(new.view(), events_of(model))
        return new

    def connect(
        self,
        sources: Where,
        targets: Where,
        rule: Rule,
        weight: float | Distribution | None = None,
        delay: float | Distribution | None = None,
        receptor: str | None = None,
    ) -> None:
        """Connect sources to targets.

        With lists, every source is connected to every target in turn, as by calls of its own: a
        `FixedTotalNumber` counts for each pair of populations.

        Parameters
        ----------
        sources, targets : Population, PopulationView or list of these
            Where the synapses start and end.
        rule : Rule
            The connection rule, such as ``FixedIndegree(1000)``.
        weight : float or Distribution
            In pA, or in mV for targets with delta synapses. A distribution may be multiplied:
            ``-sc.Lognormal(3.0, 0.5)`` has weights of inhibitory synapses.
        delay : float or Distribution
            Delay [ms], at least one time step; rounded to the nearest step, a half up.
        receptor : str, optional
            Which input of the targets; by the sign of each weight if left out, where the model
            says so.

        Raises
        ------
        ModelError
            When a value is out of range or the rule cannot be met.
        """
        if not isinstance(rule, Rule):
            raise ModelError(f"connect: rule is {rule!r}, must be a rule like FixedIndegree(100)")
        target_views = self._views(targets, "connect: targets")
        # All or none, so that a call can be repeated after an error
        made: list[Projection] = []
        for source in self._views(sources, "connect: sources"):
            for target in target_views:
                name = f"projection {source.name!r} to {target.name!r}"
                require(
                    not target.population.is_source,
                    f"{name}: target",
                    type(target.population.model).__name__,
                    "a population of neurons",
                )
                projection = Projection(
                    len(self.projections) + len(made),
                    source,
                    target,
                    rule,
                    _or_carried(weight, getattr(rule, "weights", None), f"{name}: weight"),
                    _or_carried(delay, getattr(rule, "delays", None), f"{name}: delay"),
                    receptor,
                )
                target.population.receptor_pair(receptor, name)
                check_projection(projection)
                count = projection.id + 1
                require(count < MAX_OBJECTS, "projections", count, "< 2**24", error=CapacityError)
                made.append(projection)
        self.projections += made

    def drive(self, targets: Where, stimulus: Stimulus) -> None:
        """Apply a stimulus to neurons.

        Parameters
        ----------
        targets : Population, PopulationView or list of these
            Which neurons receive it.
        stimulus : Poisson or Current
            What they receive.
        """
        if not isinstance(stimulus, (Poisson, Current)):
            raise ModelError(f"drive: stimulus is {stimulus!r}, must be a Poisson or a Current")
        views = self._views(targets, "drive: targets")
        for view in views:
            check_drive(Drive(len(self.drives), view, stimulus))
        for view in views:
            self._add_drive(view, stimulus)

    def record(
        self,
        targets: Where,
        variable: str | Sequence[str] = "spikes",
        interval: float | None = None,
        dtype: str = "float32",
    ) -> None:
        """Record spikes, or columns of a model such as potentials, currents and conductances.

        A population may have several records, also of one column at intervals that differ.

        Parameters
        ----------
        targets : Population, PopulationView or list of these
            Which neurons.
        variable : str or list of str
            What to record: "spikes", or columns of the neurons' model in their units, such as
            ``["V_m", "g_ex"]``; ``simcore models NAME`` lists them. "refractory" is the number of
            steps until a neuron integrates again.
        interval : float, optional
            Time between two samples of a column [ms]; 1 ms if left out.
        dtype : {"float32", "float64"}
            Type of the samples in the file. SONATA asks for float32.

        Raises
        ------
        ModelError
            When the model lacks a column, or a value is out of range.
        """
        views = self._views(targets, "record: targets")
        new = make_records(views, variable, interval, dtype)
        require_new(new, self.records)
        self.records += new

    @property
    def sampled(self) -> list[Record]:
        """The records of columns."""
        return [r for r in self.records if r.is_sampled]

    def describe(self) -> dict[str, Any]:
        """Return the whole description as plain values, for the output file."""
        return {
            "seed": self.seed,
            "populations": [p.describe() for p in self.populations],
            "projections": describe_projections(self.projections),
            "drives": [d.describe() for d in self.drives],
            "records": [r.describe() for r in self.records],
        }

    def _add_drive(self, view: PopulationView, stimulus: Stimulus) -> None:
        count = len(self.drives) + 1
        require(count < MAX_OBJECTS, "drives", count, "< 2**24", error=CapacityError)
        self.drives.append(Drive(len(self.drives), view, stimulus))

    def _views(self, value: Where, subject: str) -> list[PopulationView]:
        views = as_views(value, subject)
        for view in views:
            require(
                view.population.network is self,
                subject,
                view.population.name,
                "a population of this network",
            )
            require(view.size > 0, subject, view.name, "a view of at least one neuron")
        return views


def _start(value: Any, size: int, subject: str) -> Start:
    """Return first values as a distribution, or one by one."""
    if isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value) > 0:
        found = as_value(value, subject)
        require_size(found, size, subject, "the population")
        assert isinstance(found, PerNeuron)
        return found
    return as_distribution(value, subject)


def _or_carried(
    value: float | Distribution | None, carried: Any, subject: str
) -> Distribution | None:
    if carried is not None:
        require(value is None, subject, value, "left out, because the edges carry their own")
        return None
    require(value is not None, subject, value, "a number or a distribution")
    return as_distribution(value, subject)
