"""The numbers that follow from the description of a model, as one digest.

Ranks compare it, and a run that goes on compares it with that of its begin: so processors or
versions that compute other numbers are found, whatever these numbers do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.description.connectivity import FixedTotalNumber, PairwiseBernoulli
from simcore.description.distributions import Distribution
from simcore.description.drawing import sample, varying_numbers_under
from simcore.description.network import Network
from simcore.description.neurons import PoissonSource
from simcore.description.rates import values_of
from simcore.description.stimulus import Current, Poisson
from simcore.discretization.fixed_point import FixedPoint
from simcore.discretization.tables import delay_table, poisson_table
from simcore.language.per_neuron import is_drawn
from simcore.services.digest import digest_arrays

# Where initial potentials are compared: as dense as 12 bits, and at both ends
_TAIL = 2.0 ** -np.arange(13.0, 53.0)
_PROBES = np.concatenate([_TAIL, (np.arange(4096) + 0.5) / 4096, 1.0 - _TAIL])


def digest_numbers(network: Network, points: FixedPoint, dt: float) -> str:
    """Return the SHA-256 of all that steps and draws are computed from, but the weights.

    What follows from equal descriptions is taken once. Functions of what differs from neuron to
    neuron are taken at some places.

    Parameters
    ----------
    network : Network
        The model.
    points : FixedPoint
        Its weights as whole numbers.
    dt : float
        Time step [ms].
    """
    return digest_arrays(*_numbers(network, points, dt))


def _numbers(network: Network, points: FixedPoint, dt: float) -> Iterator[NDArray[Any]]:
    """Yield propagators, tables, and probabilities of splits."""
    from simcore.construction.binomial import probabilities
    from simcore.kernels.step_numbers import numbers_of, varying_numbers_of

    neurons = [p for p in network.populations if p.neuron is not None]
    for population in neurons:
        yield np.array(numbers_of(population, points, dt), dtype=np.float64)
        varying = varying_numbers_under(population, ())
        if varying:
            yield varying_numbers_of(
                population, points, dt, sample(population), {}, sorted(varying)
            )

    processes: list[Any] = [d.stimulus for d in network.drives if isinstance(d.stimulus, Poisson)]
    processes += [p.model for p in network.populations if isinstance(p.model, PoissonSource)]
    given = [process.rate for process in processes]
    given += [d.stimulus.amplitude for d in network.drives if isinstance(d.stimulus, Current)]
    given += [value for p in neurons for value in p.start.values()]
    for value in dict.fromkeys(given):
        if is_drawn(value):
            yield value.quantile(_PROBES)
    for rate in dict.fromkeys(rate for process in processes for rate in values_of(process.rate)):
        table = poisson_table(rate * dt * 1e-3)
        yield np.append(table.thresholds, table.first)

    delays: dict[Distribution, str] = {}
    for p in network.projections:
        if p.delay is not None:
            delays.setdefault(p.delay, p.name)
    for delay, name in delays.items():
        table = delay_table(delay, dt, name)
        yield np.append(table.thresholds, table.first)

    splits = dict.fromkeys(
        (p.rule.n, 0.5) if isinstance(p.rule, FixedTotalNumber) else (p.source.size, p.rule.p)
        for p in network.projections
        if isinstance(p.rule, (FixedTotalNumber, PairwiseBernoulli))
    )
    for trials, probability in splits:
        yield probabilities(trials, float(probability))
