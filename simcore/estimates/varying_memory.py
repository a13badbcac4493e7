"""What values that differ from neuron to neuron take beside the columns of the models."""

from __future__ import annotations

import numpy as np

from simcore.description.drawing import varying_numbers_under
from simcore.description.network import Network
from simcore.description.neurons import PoissonSource
from simcore.description.rates import Rate
from simcore.description.stimulus import Current, Drive, Poisson
from simcore.discretization.tables import poisson_table
from simcore.language.per_neuron import is_varying, mean
from simcore.language.program import dependent, make_program
from simcore.shards.local_neurons import Lids

# A change of a number beside its new value; a group of Poisson input, and a threshold of it [B]
_CHANGE, _GROUP, _THRESHOLD = 16, 120, 4


def value_bytes(network: Network, neurons: Lids, dt: float, real: int = 8) -> float:
    """Return what values that differ from neuron to neuron take [B].

    Parameters
    ----------
    network : Network
        The model.
    neurons : Lids
        Which neurons.
    dt : float
        Time step [ms].
    real : int
        Size of a number [B].
    """
    total = 0.0
    currents = [d for d in network.drives if isinstance(d.stimulus, Current)]
    for population in network.populations:
        begin, end = neurons.lid_range(population.view().gid_range)
        if population.neuron is not None:
            mine = [d for d in currents if d.target.population is population]
            total += float(real * len(varying_numbers_under(population, mine))) * (end - begin)
        if isinstance(population.model, PoissonSource):
            total += (end - begin) * _rate_bytes(population.model.rate, dt)
    for drive in network.drives:
        n = n_driven(drive, neurons)
        if isinstance(drive.stimulus, Poisson):
            total += n * _rate_bytes(drive.stimulus.rate, dt)
        elif drive.varying or drive.scattered:
            neuron = drive.target.population.neuron
            assert neuron is not None
            moving = dependent(make_program(neuron), neuron.definition.cls.input_current)
            total += 2.0 * len(moving) * (_CHANGE + real) * n
    return total


def n_driven(drive: Drive, neurons: Lids) -> int:
    """Return how many of some neurons have a stimulus."""
    return int(neurons.n_below(drive.target.ids, np.array([neurons.size]))[0])


def _rate_bytes(rate: Rate, dt: float) -> float:
    """Return what a neuron with a rate of its own takes; nothing where all have the same [B]."""
    if not is_varying(rate):
        return 0.0
    return _GROUP + _THRESHOLD * poisson_table(max(0.0, mean(rate)) * dt * 1e-3).thresholds.size
