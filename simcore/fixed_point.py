"""Weights as whole numbers.

Synaptic input is summed in 32-bit integers, in units of a quantum: one power of two for currents
[pA], one for potentials [mV]. It is the smallest that lets no neuron's sum overflow, even if all
its synapses were active in one step. Integer sums do not depend on their order, so neither the
number of ranks nor threads nor devices can change a result.

A weight is kept in one of three forms, chosen here from the description alone:

======== =========================================== ==================
form     for                                         bytes per synapse
======== =========================================== ==================
CONSTANT one weight for the whole projection         2
DRAWN    weights from a distribution, rounded to 16  4
         bits, much finer than their spread
EXACT    weights given one by one                    6
======== =========================================== ==================
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.connectivity import Edges, Projection
from simcore.degrees import indegree_bound
from simcore.errors import CapacityError
from simcore.network import Network
from simcore.neurons import LIF, PoissonSource, SpikeTrains
from simcore.population import Population
from simcore.stimulus import Poisson
from simcore.tables import poisson_table, weight_table

MAX_SUM = 2**31 - 1
MAX_CONSTANT_CHANNELS = 256
_FINEST, _COARSEST = -40, 40
_SPREAD = 64


class Form(enum.IntEnum):
    """How the weights of a projection are kept."""

    CONSTANT = 0
    DRAWN = 1
    EXACT = 2


@dataclass(frozen=True)
class Weights:
    """The whole-number weights of a projection.

    Parameters
    ----------
    form : Form
        How they are kept.
    values : ndarray of int32
        One number (CONSTANT), 2**16 equally likely ones (DRAWN, or EXACT for one that is drawn
        but too coarse in 16 bits), or one per edge (EXACT), in quanta.
    quantum : float
        The unit [pA or mV].
    rounding : float
        Largest difference from a weight asked for, relative to the largest weight.
    """

    form: Form
    values: NDArray[np.int32]
    quantum: float
    rounding: float


@dataclass(frozen=True)
class FixedPoint:
    """The whole-number weights of a network.

    Parameters
    ----------
    quantum : dict of str to float
        The quantum for each unit, "pA" and "mV".
    shift : int
        Weights in the form DRAWN are multiples of ``2**shift`` quanta.
    weights : tuple of Weights
        One per projection.
    stimulus_weights : dict of int to int
        Weight in quanta of each Poisson stimulus, by the id of its drive.
    indegree_bounds : tuple of int
        Largest in-degree allowed for, one per projection.
    """

    quantum: dict[str, float]
    shift: int
    weights: tuple[Weights, ...]
    stimulus_weights: dict[int, int]
    indegree_bounds: tuple[int, ...]

    def quantum_of(self, population: Population) -> float:
        """Return the quantum of the input of a population."""
        return self.quantum[_unit(population)]

    def describe(self) -> dict[str, Any]:
        """Return what became of the weights as plain values."""
        forms = [w.form.name for w in self.weights]
        return {
            "quantum": self.quantum,
            "shift": self.shift,
            "projections": {form.name: forms.count(form.name) for form in Form},
            "largest_rounding": self.rounding(),
        }

    def rounding(self) -> float:
        """Return the largest relative rounding of a weight."""
        return max((w.rounding for w in self.weights), default=0.0)


def fixed_point(network: Network, dt: float) -> FixedPoint:
    """Choose quanta and forms, and round all weights.

    Parameters
    ----------
    network : Network
        The model.
    dt : float
        Time step [ms].

    Raises
    ------
    CapacityError
        When no quantum serves, because weights are too large or too many.
    """
    bounds = tuple(indegree_bound(p) for p in network.projections)
    tables = [_table(p) for p in network.projections]
    quantum = _quanta(network, tables, bounds, dt)
    shift = _shift(network.projections, tables, quantum)
    forms = _forms(network.projections, tables, quantum, shift)
    weights = tuple(
        _round(table, form, quantum[_unit(p.target.population)], shift)
        for p, table, form in zip(network.projections, tables, forms, strict=True)
    )
    stimulus_weights = {
        d.id: round(d.stimulus.weight / quantum[_unit(d.target.population)])
        for d in network.drives
        if isinstance(d.stimulus, Poisson)
    }
    return FixedPoint(quantum, shift, weights, stimulus_weights, bounds)


def largest_multiplicity(population: Population, dt: float) -> int:
    """Return how many spikes one neuron of the population may emit in one step."""
    model = population.model
    if isinstance(model, PoissonSource):
        return max(1, poisson_table(model.rate * dt * 1e-3).last)
    if isinstance(model, SpikeTrains):
        times, ids = model.arrays()
        if times.size == 0:
            return 1
        steps = np.rint(times / dt)
        _, counts = np.unique(np.stack([steps, ids]), axis=1, return_counts=True)
        return int(counts.max())
    return 1


def _unit(population: Population) -> str:
    assert isinstance(population.model, LIF)
    return population.model.weight_unit


def _table(projection: Projection) -> NDArray[np.float64]:
    """Return one weight, equally likely weights, or the weight of each edge."""
    if projection.weight is None:
        assert isinstance(projection.rule, Edges)
        return np.asarray(projection.rule.weights, dtype=np.float64)
    if projection.weight.constant:
        return projection.weight.quantile([0.5])
    return weight_table(projection.weight)


def _quanta(
    network: Network,
    tables: Sequence[NDArray[np.float64]],
    bounds: Sequence[int],
    dt: float,
) -> dict[str, float]:
    """Return for each unit the smallest power of two in which no sum overflows."""
    sums = np.zeros(len(network.populations))
    for projection, table, bound in zip(network.projections, tables, bounds, strict=True):
        largest = float(np.abs(table).max(initial=0.0))
        copies = largest_multiplicity(projection.source.population, dt)
        sums[projection.target.population.id] += max(1, bound) * copies * largest
    for drive in network.drives:
        if isinstance(drive.stimulus, Poisson):
            most = poisson_table(drive.stimulus.rate * dt * 1e-3).last
            sums[drive.target.population.id] += most * abs(drive.stimulus.weight)

    quanta = {"pA": 2.0**_FINEST, "mV": 2.0**_FINEST}
    for population, total in zip(network.populations, sums, strict=True):
        if total == 0.0:
            continue
        # Leave room for the rounding of each weight by half a quantum
        largest_sum = 0.5 * MAX_SUM
        if total > 2.0**_COARSEST * largest_sum:
            raise CapacityError(
                f"population {population.name!r}: the sum of all its weights is {total:.3g}, "
                f"must be below 2**{30 + _COARSEST}. Check the unit of the weights."
            )
        exponent = math.ceil(math.log2(total / largest_sum))
        unit = _unit(population)
        quanta[unit] = max(quanta[unit], 2.0**exponent)
    return quanta


def _shift(
    projections: Sequence[Projection],
    tables: Sequence[NDArray[np.float64]],
    quantum: dict[str, float],
) -> int:
    """Return the shift that lets all drawn weights fit 16 bits."""
    largest = 0.0
    for projection, table in zip(projections, tables, strict=True):
        if projection.weight is not None and not projection.weight.constant:
            unit = quantum[_unit(projection.target.population)]
            largest = max(largest, float(np.abs(table).max()) / unit)
    return max(0, math.ceil(math.log2(largest / (2**15 - 1)))) if largest > 0.0 else 0


def _forms(
    projections: Sequence[Projection],
    tables: Sequence[NDArray[np.float64]],
    quantum: dict[str, float],
    shift: int,
) -> list[Form]:
    constants = set()
    forms = []
    for projection, table in zip(projections, tables, strict=True):
        unit = quantum[_unit(projection.target.population)]
        if projection.weight is None:
            forms.append(Form.EXACT)
        elif projection.weight.constant:
            constants.add((unit, float(table[0])))
            forms.append(Form.CONSTANT)
        elif shift == 0 or float(table.std()) >= _SPREAD * unit * 2**shift:
            forms.append(Form.DRAWN)
        else:
            forms.append(Form.EXACT)
    if len(constants) > MAX_CONSTANT_CHANNELS:
        forms = [Form.EXACT if form is Form.CONSTANT else form for form in forms]
    return forms


def _round(table: NDArray[np.float64], form: Form, quantum: float, shift: int) -> Weights:
    unit = quantum * 2**shift if form is Form.DRAWN else quantum
    values = np.rint(table / unit)
    largest = float(np.abs(table).max(initial=0.0))
    error = float(np.abs(values * unit - table).max(initial=0.0))
    if form is Form.DRAWN:
        values *= 2**shift
    rounding = error / largest if largest > 0.0 else 0.0
    return Weights(form, values.astype(np.int32), quantum, rounding)
