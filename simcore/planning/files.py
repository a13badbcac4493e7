"""How large the files of a run become."""

from __future__ import annotations

import numpy as np

from simcore.description.network import Network
from simcore.io.reports import sample_interval
from simcore.io.schema import SPIKE_TYPE
from simcore.numerics.clock import Clock
from simcore.planning.rates import Rates


def file_sizes(network: Network, rates: Rates, dt: float) -> dict[str, float]:
    """Return what a second of model time adds to the file, and the size of a checkpoint [B]."""
    spikes = samples = 0.0
    for record in network.records:
        n = record.target.size
        if not record.is_sampled:
            spikes += n * float(rates.values[record.target.population.id]) * SPIKE_TYPE.itemsize
        else:
            interval = sample_interval(record, Clock(dt)) * dt
            samples += n * 1e3 / interval * np.dtype(record.dtype).itemsize
    state = float(
        sum(p.size * p.neuron.layout.nbytes() for p in network.populations if p.neuron is not None)
    )
    return {"spikes": spikes, "samples": samples, "checkpoint": state}
