"""How often neurons are taken to spike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.description.network import Network
from simcore.description.neurons import GammaSource, PoissonSource, SpikeTrains
from simcore.description.population import Population
from simcore.description.rates import busiest, windows
from simcore.estimates.expected_synapses import Expectation
from simcore.language.per_neuron import mean
from simcore.services.errors import ConfigError, require


@dataclass(frozen=True)
class Rates:
    """The rate of every population.

    Parameters
    ----------
    values : ndarray of float64, shape (n_populations,)
        Mean over neurons and time [1/s]; NaN where nobody knows.
    origin : str
        Where they are from.
    """

    values: NDArray[np.float64]
    origin: str

    @property
    def known(self) -> bool:
        """Whether there is a rate of every population."""
        return bool(np.isfinite(self.values).all())


def choose_rates(
    network: Network,
    duration: float,
    given: Mapping[str, float],
    others: Mapping[str, Mapping[str, float]],
) -> Rates:
    """Return the rates to plan with.

    Those of sources follow from the description. Those of neurons are the ones given, or else
    those of the first of `others` that has all populations.

    Parameters
    ----------
    network : Network
        The model.
    duration : float
        Length of the run [ms].
    given : mapping of str to float
        Rates by population [1/s]; that of the empty text is for all others.
    others : mapping of str to (mapping of str to float)
        Further rates, by where they are from.

    Raises
    ------
    ConfigError
        When a rate is negative, or there is no such population.
    """
    names = [p.name for p in network.populations]
    for name, rate in given.items():
        valid = f"one of {', '.join(names)}"
        require(name in ("", *names), "rate: population", name, valid, error=ConfigError)
        ok = 0.0 <= rate < float("inf")
        require(ok, f"rate of {name or 'all'}", rate, ">= 0 [1/s]", error=ConfigError)
    neurons = [p.name for p in network.populations if not p.is_source]
    origin, found = "given", dict(given)
    if not all(name in given or "" in given for name in neurons):
        origin, more = next(
            ((text, r) for text, r in others.items() if set(neurons) <= set(r)), ("unknown", {})
        )
        found = {**more, **given}
        origin = f"{origin}, some given" if given and more else origin
    values = [_rate(p, duration, found) for p in network.populations]
    return Rates(np.array(values), origin if neurons else "the sources of the model")


def on_share(start: float, stop: float, duration: float) -> float:
    """Return the share of a run in which a process is on."""
    return max(0.0, min(stop, duration) - start) / duration


def segment_rates(expectation: Expectation, rates: Rates) -> NDArray[np.float64]:
    """Return the rate of the sources of each segment [1/s]."""
    return of_segments(expectation, rates.values)


def of_segments(expectation: Expectation, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each segment of sources the value of its population."""
    firsts = [p.first for p in expectation.network.populations]
    owner = np.searchsorted(firsts, expectation.segments[:-1], side="right") - 1
    return values[owner]


def most_spikes(network: Network, rates: Rates, window: float) -> NDArray[np.float64]:
    """Return how many spikes a neuron of each population emits in the busiest window.

    Sources are as busy as their description says, also where that is only for a moment. Neurons
    are taken to spike steadily.

    Parameters
    ----------
    network : Network
        The model.
    rates : Rates
        How often its neurons spike.
    window : float
        Length of the window [ms].

    Returns
    -------
    ndarray of float64, shape (n_populations,)
    """
    found = 1e-3 * window * rates.values
    for population in network.populations:
        model = population.model
        if isinstance(model, (PoissonSource, GammaSource)):
            length = min(window, max(0.0, model.stop - model.start))
            busy = 1e-3 * length * busiest(model.rate)
            found[population.id] = max(found[population.id], busy)
        elif isinstance(model, SpikeTrains):
            times = np.sort(model.arrays()[0])
            inside = np.searchsorted(times, times + window) - np.arange(times.size)
            found[population.id] = int(inside.max(initial=0)) / population.size
    return found


def _rate(population: Population, duration: float, found: Mapping[str, float]) -> float:
    model = population.model
    if isinstance(model, (PoissonSource, GammaSource)):
        parts = windows(model.rate, model.start, model.stop)
        return sum(mean(rate) * on_share(start, stop, duration) for rate, start, stop in parts)
    if isinstance(model, SpikeTrains):
        times, _ = model.arrays()
        return 1e3 * int((times <= duration).sum()) / population.size / duration
    return float(found.get(population.name, found.get("", float("nan"))))
