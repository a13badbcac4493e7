"""The values that differ from neuron to neuron, of any neurons that are asked for.

A drawn value is a function of the seed, of what has it, of its name and of the neuron's global id.
So it does not matter which rank asks, nor for how many neurons at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.description.ids import Ids
from simcore.description.neurons import PoissonSource
from simcore.description.population import Population
from simcore.description.stimulus import Drive
from simcore.language.per_neuron import PerNeuron, Value, is_number
from simcore.language.program import varying_numbers
from simcore.numerics import random
from simcore.services.errors import ModelError

# Neurons whose values are looked at together
PIECE = 2**13

# Neurons of a population that stand for all of them
_SAMPLE = 256


def pieces(gids: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Yield global ids in pieces that bound the memory of what is computed of them."""
    for first in range(0, gids.size, PIECE):
        some = slice(first, first + PIECE)
        yield some, gids[some]


def sample(population: Population) -> NDArray[np.int64]:
    """Return some neurons of a population, the same on all ranks."""
    n = min(population.size, _SAMPLE)
    return population.first + np.arange(n, dtype=np.int64) * population.size // n


def parameters(population: Population, gids: NDArray[np.int64]) -> dict[str, Any]:
    """Return all parameters of some neurons of a population, in mV, ms and pA.

    Parameters
    ----------
    population : Population
        One of neurons.
    gids : ndarray of int64
        Global ids.

    Returns
    -------
    dict of str to float or ndarray
        Numbers of all neurons, and arrays of those that differ.

    Raises
    ------
    ModelError
        When drawn values are not valid.
    """
    neuron = population.neuron
    assert neuron is not None
    found: dict[str, Any] = dict(neuron.values)
    for name in neuron.varying:
        found[name] = parameter(population, name, gids)
    if any(not isinstance(v, PerNeuron) for v in neuron.varying.values()):
        subject = f"population {population.name!r}"
        neuron.require_valid(found, subject, gids - population.first)
    return found


def parameter(population: Population, name: str, gids: NDArray[np.int64]) -> Any:
    """Return one parameter of some neurons of a population, see `parameters`; unchecked."""
    neuron = population.neuron
    assert neuron is not None
    if name in neuron.values:
        return neuron.values[name]
    found = _values(population, neuron.varying[name], name, gids)
    return neuron.in_base_units(name, found)


def varying_numbers_under(population: Population, currents: Sequence[Drive]) -> frozenset[int]:
    """Return which numbers of a step differ among neurons of a population under some currents.

    Parameters
    ----------
    population : Population
        One of neurons.
    currents : sequence of Drive
        Stimuli of type Current.
    """
    neuron = population.neuron
    assert neuron is not None
    names = set(neuron.varying)
    if any(drive.varying or drive.scattered for drive in currents):
        names.add(neuron.definition.cls.input_current)
    return varying_numbers(neuron, names)


def rates_of_sources(population: Population, gids: NDArray[np.int64]) -> Any:
    """Return the rate of all Poisson sources of a population, or those of some [1/s]."""
    model = population.model
    assert isinstance(model, PoissonSource)
    found = _values(population, model.rate, "rate", gids)
    return _required_rates(found, f"population {population.name!r}: rate", gids - population.first)


def rates_of_drive(drive: Drive, gids: NDArray[np.int64]) -> Any:
    """Return the rate of Poisson input of all driven neurons, or of some of them [1/s]."""
    found = driven(drive, "rate", gids)
    neurons = gids - drive.target.population.first
    return _required_rates(found, f"drive of {drive.target.name!r}: rate", neurons)


def driven(drive: Drive, name: str, gids: NDArray[np.int64]) -> Any:
    """Return a value of a stimulus for all driven neurons, or for some of them."""
    value, population = getattr(drive.stimulus, name), drive.target.population
    stream = random.stream(random.DRIVEN, drive.id)
    subject = f"drive of {drive.target.name!r}: {name}"
    return _of_neurons(value, population, drive.target.ids, stream, name, gids, subject)


def _values(population: Population, value: Value, name: str, gids: NDArray[np.int64]) -> Any:
    stream = random.stream(random.PARAMETER, population.id)
    subject = f"population {population.name!r}: {name}"
    return _of_neurons(value, population, population.view().ids, stream, name, gids, subject)


def _of_neurons(
    value: Value,
    population: Population,
    ids: Ids,
    stream: int,
    name: str,
    gids: NDArray[np.int64],
    subject: str,
) -> Any:
    """Return a value of some neurons; an array has one for each of `ids`."""
    if is_number(value):
        return float(value)  # type: ignore[arg-type]
    if isinstance(value, PerNeuron):
        return value.values[ids.position(gids)]
    assert population.network is not None
    seed = population.network.seed
    found, index = np.empty(gids.size), _index(name)
    for some, own in pieces(gids):
        words = random.draw(seed, stream, own, index)
        found[some] = value.quantile(random.uniform(words))  # type: ignore[union-attr]
    bad = np.flatnonzero(~np.isfinite(found))
    if bad.size:
        k = int(bad[0])
        raise ModelError(
            f"{subject} of neuron {int(gids[k]) - population.first} is drawn as "
            f"{float(found[k])!r}, must be finite. Give its distribution bounds, low= and high="
        )
    return found


def _index(name: str) -> int:
    """Return the number of 48 bits that tells draws for a name from those for others."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "little")


def _required_rates(rates: Any, subject: str, neurons: NDArray[np.int64]) -> Any:
    bad = np.flatnonzero(np.atleast_1d(rates) < 0.0)
    if bad.size:
        k = int(bad[0])
        found = float(np.atleast_1d(rates)[k])
        raise ModelError(
            f"{subject} of neuron {int(neurons[k])} is drawn as {found!r}, must be >= 0 [1/s]. "
            "Give its distribution a bound, low=0.0"
        )
    return rates
