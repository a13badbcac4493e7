"""Weights as whole numbers.

Synaptic input is summed in 32-bit integers, in units of a quantum: a power of two for each target
population. It is the smallest that lets no neuron's sum overflow, even if all its synapses were
active in one step. Integer sums do not depend on their order, so neither the
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
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.description.connectivity import Edges, Projection
from simcore.description.degrees import indegree_bound
from simcore.description.distributions import Distribution
from simcore.description.network import Network
from simcore.description.population import Population
from simcore.description.stimulus import Drive, Poisson
from simcore.discretization.limits import check_limits, largest_multiplicity, most_events
from simcore.discretization.tables import weight_table
from simcore.numerics.clock import Clock
from simcore.numerics.portable import standard_deviation
from simcore.services.digest import digest_arrays, digest_json
from simcore.services.errors import CapacityError, require

MAX_SUM = 2**31 - 1
MAX_CONSTANT_CHANNELS = 256
_FINEST, _COARSEST = -40, 40
_SPREAD = 64

# Largest share of a weight that rounding may take
COARSEST_ROUNDING = 1e-3


class WeightForm(enum.IntEnum):
    """How the weights of a projection are kept."""

    CONSTANT = 0
    DRAWN = 1
    EXACT = 2


@dataclass(frozen=True)
class Weights:
    """The whole-number weights of a projection.

    Parameters
    ----------
    form : WeightForm
        How they are kept.
    values : ndarray of int32
        One number (CONSTANT), 2**16 equally likely ones (DRAWN, or EXACT for one that is drawn
        but too coarse in 16 bits), or one per edge (EXACT), in quanta.
    quantum : float
        The unit [pA or mV].
    rounding : float
        Largest difference from a weight asked for, relative to the largest weight.
    """

    form: WeightForm
    values: NDArray[np.int32]
    quantum: float
    rounding: float


@dataclass(frozen=True)
class FixedPoint:
    """The whole-number weights of a network.

    Parameters
    ----------
    quantum : tuple of tuple of float
        The quantum of each receptor of each population, in the unit of its weights.
    shift : int
        Weights in the form DRAWN are multiples of ``2**shift`` quanta.
    weights : tuple of Weights
        One per projection.
    stimulus_weights : dict of int to int
        Weight in quanta of each Poisson stimulus, by the id of its drive.
    indegree_bounds : tuple of int
        Largest in-degree allowed for, one per projection.
    """

    quantum: tuple[tuple[float, ...], ...]
    shift: int
    weights: tuple[Weights, ...]
    stimulus_weights: dict[int, int]
    indegree_bounds: tuple[int, ...]

    def quantum_of(self, population: Population, receptor: int = 0) -> float:
        """Return the quantum of an input of a population."""
        return self.quantum[population.id][receptor]

    @functools.cached_property
    def largest_exact(self) -> int:
        """The largest weight of the form EXACT, without its sign [quanta]."""
        given = [w.values for w in self.weights if w.form is WeightForm.EXACT and w.values.size]
        return max((max(int(v.max()), -int(v.min())) for v in given), default=0)

    def digest(self) -> str:
        """Return the SHA-256 of all weights, whatever arrays hold equal ones."""
        distinct = {id(w.values): w.values for w in self.weights}
        found = {key: digest_arrays(values) for key, values in distinct.items()}
        weights = [found[id(w.values)] for w in self.weights]
        return digest_json([weights, digest_arrays(np.concatenate(self.quantum))])

    def describe(self, network: Network) -> dict[str, Any]:
        """Return what became of the weights of the network as plain values."""
        quanta = zip(network.populations, self.quantum, strict=True)
        forms = [w.form.name for w in self.weights]
        return {
            "quantum": {p.name: _by_receptor(p, q) for p, q in quanta if p.neuron is not None},
            "shift": self.shift,
            "projections": {form.name: forms.count(form.name) for form in WeightForm},
            "largest_rounding": self.rounding(),
        }

    def rounding(self) -> float:
        """Return the largest relative rounding of a weight."""
        return max((w.rounding for w in self.weights), default=0.0)


def fixed_point(network: Network, dt: float) -> FixedPoint:
    """Choose quanta and forms, and round all weights of a description that is within its limits.

    Every way to build or to plan a network begins here.

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
    ModelError, CapacityError
        See `simcore.discretization.limits.check_limits`.
    """
    check_limits(network, Clock(dt))
    bounds = tuple(indegree_bound(p) for p in network.projections)
    tables = [_table(p) for p in network.projections]
    quantum = _quanta(network, tables, bounds, dt)
    shift = _shift(network.projections, tables, quantum)
    forms = _forms(network.projections, tables, quantum, shift)
    rounded: dict[tuple[int, WeightForm, float], Weights] = {}
    weights = []
    for p, table, form in zip(network.projections, tables, forms, strict=True):
        unit = _unit(quantum, p)
        key = (id(table), form, unit)
        if key not in rounded:
            rounded[key] = _round(table, form, unit, shift, p.name)
        weights.append(rounded[key])
    stimulus_weights = {
        d.id: _whole(
            _drive_weight(d),
            quantum[d.target.population.id][d.receptor],
            f"drive of {d.target.name!r}",
        )
        for d in network.drives
        if isinstance(d.stimulus, Poisson)
    }
    return FixedPoint(quantum, shift, tuple(weights), stimulus_weights, bounds)


def _table(projection: Projection) -> NDArray[np.float64]:
    """Return one weight, equally likely weights, or the weight of each edge."""
    if projection.counts:
        return np.ones(1)
    if projection.weight is None:
        assert isinstance(projection.rule, Edges)
        return np.asarray(projection.rule.weights, dtype=np.float64)
    if projection.weight.constant:
        return _constant_table(projection.weight)
    return weight_table(projection.weight)


@functools.lru_cache(maxsize=4096)
def _constant_table(weight: Distribution) -> NDArray[np.float64]:
    return weight.quantile([0.5])


def _quanta(
    network: Network,
    tables: Sequence[NDArray[np.float64]],
    bounds: Sequence[int],
    dt: float,
) -> tuple[tuple[float, ...], ...]:
    """Return for each receptor the smallest power of two in which no sum overflows.

    Receptors between which the sign of a weight chooses have the same.
    """
    sums = [np.zeros(p.n_receptors) for p in network.populations]
    for projection, table, bound in zip(network.projections, tables, bounds, strict=True):
        largest = float(np.abs(table).max(initial=0.0))
        copies = largest_multiplicity(projection.source.population, dt)
        target = projection.target.population
        for receptor in _together(target, projection.receptors[0]):
            sums[target.id][receptor] += max(1, bound) * copies * largest
    for drive in network.drives:
        if isinstance(drive.stimulus, Poisson):
            most = most_events(drive.stimulus.rate, dt)
            target = drive.target.population
            for receptor in _together(target, drive.receptor):
                sums[target.id][receptor] += most * abs(_drive_weight(drive))
    return tuple(
        tuple(
            1.0 if population.counts(receptor) else _quantum(population, float(total))
            for receptor, total in enumerate(totals)
        )
        for population, totals in zip(network.populations, sums, strict=True)
    )


def _quantum(population: Population, total: float) -> float:
    """Return the smallest power of two in which a sum does not overflow."""
    # Leave room for the rounding of each weight by half a quantum
    largest_sum = 0.5 * MAX_SUM
    if total > 2.0**_COARSEST * largest_sum:
        raise CapacityError(
            f"population {population.name!r}: the sum of all its weights is {total:.3g}, "
            f"must be below 2**{30 + _COARSEST}. Check the unit of the weights."
        )
    exponent = _FINEST if total == 0.0 else _power(total / largest_sum)
    return math.ldexp(1.0, max(exponent, _FINEST))


def _together(population: Population, receptor: int) -> Sequence[int]:
    """Return the receptors that have the quantum of one."""
    neuron = population.neuron
    by_sign = neuron is not None and neuron.receptors_by_sign is not None
    return range(population.n_receptors) if by_sign else (receptor,)


def _drive_weight(drive: Drive) -> float:
    """Return the weight of the events of a Poisson stimulus."""
    assert isinstance(drive.stimulus, Poisson)
    return 1.0 if drive.target.population.counts(drive.receptor) else drive.stimulus.weight


def _unit(quantum: Sequence[Sequence[float]], projection: Projection) -> float:
    """Return the quantum of the weights of a projection."""
    return quantum[projection.target.population.id][projection.receptors[0]]


def _by_receptor(population: Population, quanta: Sequence[float]) -> float | dict[str, float]:
    """Return the quantum of a population, or those of its receptors where they differ."""
    if len(set(quanta)) == 1:
        return quanta[0]
    assert population.neuron is not None
    names = [r.name for r in population.neuron.definition.receptors]
    return dict(zip(names, quanta, strict=True))


def _shift(
    projections: Sequence[Projection],
    tables: Sequence[NDArray[np.float64]],
    quantum: Sequence[Sequence[float]],
) -> int:
    """Return the shift that lets all drawn weights fit 16 bits."""
    largest = 0.0
    for projection, table in zip(projections, tables, strict=True):
        if projection.weight is not None and not projection.weight.constant:
            unit = _unit(quantum, projection)
            largest = max(largest, float(np.abs(table).max()) / unit)
    return max(0, _power(largest / (2**15 - 1))) if largest > 0.0 else 0


def _power(x: float) -> int:
    """Return the exponent of the smallest power of two that is at least `x`."""
    fraction, exponent = math.frexp(x)
    return exponent - (fraction == 0.5)


def _forms(
    projections: Sequence[Projection],
    tables: Sequence[NDArray[np.float64]],
    quantum: Sequence[Sequence[float]],
    shift: int,
) -> list[WeightForm]:
    constants = set()
    forms = []
    for projection, table in zip(projections, tables, strict=True):
        unit = _unit(quantum, projection)
        counts = projection.counts
        if projection.weight is None and not counts:
            forms.append(WeightForm.EXACT)
        elif counts or (projection.weight is not None and projection.weight.constant):
            constants.add((unit, float(table[0])))
            forms.append(WeightForm.CONSTANT)
        elif shift == 0 or _fits(table, unit * 2**shift):
            forms.append(WeightForm.DRAWN)
        else:
            forms.append(WeightForm.EXACT)
    if len(constants) > MAX_CONSTANT_CHANNELS:
        forms = [WeightForm.EXACT if form is WeightForm.CONSTANT else form for form in forms]
    return forms


def _fits(table: NDArray[np.float64], unit: float) -> bool:
    """Tell whether a distribution keeps its shape and largest weight in multiples of a unit."""
    fine = 0.5 * unit <= COARSEST_ROUNDING * float(np.abs(table).max())
    return fine and standard_deviation(table) >= _SPREAD * unit


def _round(
    table: NDArray[np.float64], form: WeightForm, quantum: float, shift: int, name: str
) -> Weights:
    unit = quantum * 2**shift if form is WeightForm.DRAWN else quantum
    values = np.rint(table / unit)
    largest = float(np.abs(table).max(initial=0.0))
    error = float(np.abs(values * unit - table).max(initial=0.0))
    if form is WeightForm.DRAWN:
        values *= 2**shift
    rounding = error / largest if largest > 0.0 else 0.0
    _require_fine(rounding, f"{name}: weight {largest:.3g}")
    return Weights(form, values.astype(np.int32), quantum, rounding)


def _whole(weight: float, quantum: float, name: str) -> int:
    """Return a weight in quanta."""
    value = round(weight / quantum)
    if weight != 0.0:
        _require_fine(abs(value * quantum / weight - 1.0), f"{name}: weight {weight:.3g}")
    return value


def _require_fine(rounding: float, subject: str) -> None:
    """Raise `CapacityError` when a weight is lost beside the sum of all others."""
    require(
        rounding <= COARSEST_ROUNDING,
        f"{subject}: share lost by rounding",
        f"{rounding:.2g}",
        f"at most {COARSEST_ROUNDING}",
        "It is too small beside the sum of all weights of its target. Check the units.",
        CapacityError,
    )
