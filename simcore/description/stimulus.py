"""Stimuli: input that reaches neurons without a presynaptic neuron."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from simcore.description.neurons import (
    GammaSource,
    _keep_value,
    _require_number,
    described,
    keep_numbers,
    require_window,
)
from simcore.description.population import PopulationView
from simcore.language.per_neuron import Varying, is_varying, require_size
from simcore.services.errors import require

# Runs of neighbours in a view, up to which a current cuts its neurons at their ends
_MOST_RUNS = 8


@dataclass(frozen=True)
class Poisson:
    """Poisson input, independent for every neuron.

    Parameters
    ----------
    rate : float, Piecewise, Distribution or array_like of float
        Events per second and neuron [1/s], of all driven neurons or of each.
    weight : float
        Weight of an event, in the unit of the target: pA, or mV for delta synapses.
    start, stop : float
        Events arrive in steps that end after `start` and no later than `stop` [ms].
    receptor : str, optional
        Which input of the target; by the sign of the weight if left out.
    """

    rate: Any
    weight: float
    start: float = 0.0
    stop: float = math.inf
    receptor: str | None = None

    def __post_init__(self) -> None:
        _keep_value(self, "rate")
        keep_numbers(self, "weight", "start", "stop")
        _require_number("Poisson: weight", self.weight)
        require_window("Poisson", self.start, self.stop)

    def describe(self) -> dict[str, Any]:
        """Return name and parameters as plain values."""
        return {
            "stimulus": "Poisson",
            "rate": described(self.rate),
            "weight": self.weight,
            "start": self.start,
            "stop": self.stop,
            "receptor": self.receptor,
        }


@dataclass(frozen=True)
class Current:
    """Direct current.

    Parameters
    ----------
    amplitude : float, Distribution or array_like of float
        The current [pA], of all driven neurons or of each.
    start, stop : float
        It flows in steps that end after `start` and no later than `stop` [ms].
    """

    amplitude: Any
    start: float = 0.0
    stop: float = math.inf

    def __post_init__(self) -> None:
        _keep_value(self, "amplitude")
        keep_numbers(self, "start", "stop")
        require_window("Current", self.start, self.stop)

    def describe(self) -> dict[str, Any]:
        """Return name and parameters as plain values."""
        window = {"start": self.start, "stop": self.stop}
        return {"stimulus": "Current", "amplitude": described(self.amplitude), **window}


Stimulus = Poisson | Current


@dataclass(frozen=True, eq=False)
class Drive:
    """One stimulus applied to one view.

    Parameters
    ----------
    id : int
        Its place in the order of `drive` calls; part of the key of its random numbers.
    target : PopulationView
        Which neurons receive it.
    stimulus : Poisson or Current
        What they receive.
    """

    id: int
    target: PopulationView
    stimulus: Stimulus

    @property
    def receptor(self) -> int:
        """The input of the target that Poisson events go to."""
        stimulus, target = self.stimulus, self.target
        assert isinstance(stimulus, Poisson)
        pair = target.population.receptor_pair(stimulus.receptor, f"drive of {target.name!r}")
        return pair[stimulus.weight < 0.0]

    @property
    def varying(self) -> dict[str, Varying]:
        """What of the stimulus differs from neuron to neuron, by name."""
        name = "rate" if isinstance(self.stimulus, Poisson) else "amplitude"
        value = getattr(self.stimulus, name)
        return {name: value} if is_varying(value) else {}

    @property
    def scattered(self) -> bool:
        """Whether it is a current for so many runs of neighbours that each neuron has its own."""
        return isinstance(self.stimulus, Current) and self.target.ids.n_runs > _MOST_RUNS

    def describe(self) -> dict[str, Any]:
        """Return the drive as plain values."""
        return {"target": self.target.name, **self.stimulus.describe()}


def events_of(source: GammaSource) -> Poisson:
    """Return the events of a source, of which every `shape`-th is a spike."""
    rate = source.shape * source.rate
    return Poisson(rate, 1.0, source.start, source.stop, receptor="events")


def check_drive(drive: Drive) -> None:
    """Raise `ModelError` when the target cannot receive the stimulus."""
    population = drive.target.population
    require(
        not population.is_source,
        f"drive: target {population.name!r}",
        type(population.model).__name__,
        "a population of neurons",
    )
    for name, value in drive.varying.items():
        subject = f"drive of {drive.target.name!r}: {name}"
        require_size(value, drive.target.size, subject, "the driven view")
    if isinstance(drive.stimulus, Poisson):
        assert drive.receptor >= 0
    else:
        neuron = population.neuron
        assert neuron is not None
        current = neuron.definition.cls.input_current
        require(
            current in neuron.definition.declared,
            f"drive: target {population.name!r}",
            neuron.name,
            "a model with an input current, to receive a Current",
        )
