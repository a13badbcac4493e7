"""What the ranks of a run own: kinds of ranks that own the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simcore.description.degrees import mean_indegree
from simcore.description.network import Network
from simcore.description.population import PopulationView
from simcore.partition import Partition, partition
from simcore.shards.local_neurons import Lids

# Kinds of ranks that stand for all, where there are more
MOST_KINDS = 16


@dataclass(frozen=True)
class Setup:
    """How a model would be run.

    Parameters
    ----------
    n_ranks, threads : int
        Number of ranks, and of threads of each.
    dt, duration : float
        Time step, and length of the run [ms].
    backend, partitioner, precision : str
        As in `simulate`, but for the backend "auto".
    """

    n_ranks: int = 1
    threads: int = 1
    dt: float = 0.1
    duration: float = 1000.0
    backend: str = "cpu"
    partitioner: str = "balanced"
    precision: str = "float64"


class Ranks:
    """What every rank owns.

    Parameters
    ----------
    network : Network
        The model.
    setup : Setup
        How it would be run.

    Attributes
    ----------
    division : Partition
        Who owns which neuron; each thread counts.
    bounds : ndarray of int64, shape (n_segments + 1,)
        Global ids between which neurons are alike, but for views with gaps.
    counts : ndarray of int64, shape (n_ranks, n_segments)
        Neurons of every rank in each segment.
    """

    def __init__(self, network: Network, setup: Setup) -> None:
        self.network, self.setup = network, setup
        self.division: Partition = partition(
            network, setup.n_ranks * setup.threads, setup.partitioner
        )
        views = [p.view() for p in network.populations]
        views += [view for p in network.projections for view in (p.source, p.target)]
        views += [drive.target for drive in network.drives]
        self.bounds = np.unique([0, network.n_neurons, *(g for v in views for g in v.gid_range)])
        parts = self.division.counts(self.bounds)
        shape = setup.n_ranks, setup.threads, self.bounds.size - 1
        self.counts = parts.reshape(shape).sum(axis=1)
        gaps = {v.ids.key: v for v in views if not v.contiguous}
        self._inside = {key: self._count(view) for key, view in gaps.items()}

    @property
    def n_neurons(self) -> NDArray[np.int64]:
        """Neurons of every rank, shape (n_ranks,)."""
        return self.counts.sum(axis=1)

    @cached_property
    def n_synapses(self) -> NDArray[np.float64]:
        """Expected synapses of every rank, shape (n_ranks,)."""
        indegrees, scattered = np.zeros(self.bounds.size), np.zeros(len(self.counts))
        for projection in self.network.projections:
            target = projection.target
            if not target.contiguous:
                scattered += mean_indegree(projection) * self.inside(target)
                continue
            first, stop = np.searchsorted(self.bounds, target.gid_range)
            indegrees[first] += mean_indegree(projection)
            indegrees[stop] -= mean_indegree(projection)
        found: NDArray[np.float64] = self.counts @ np.cumsum(indegrees)[:-1] + scattered
        return np.maximum(found, 0.0)

    def per_neuron(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over the neurons of every rank of a value of their population.

        Parameters
        ----------
        values : ndarray of float64, shape (n_populations,)
            Of each neuron of a population.
        """
        firsts = [p.first for p in self.network.populations]
        owner = np.searchsorted(firsts, self.bounds[:-1], side="right") - 1
        return self.counts @ values[owner]

    def inside(self, view: PopulationView) -> NDArray[np.int64]:
        """Return the neurons of every rank in a view, shape (n_ranks,)."""
        if not view.contiguous:
            return self._inside[view.ids.key]
        first, stop = np.searchsorted(self.bounds, view.gid_range)
        return self.counts[:, first:stop].sum(axis=1)

    def _count(self, view: PopulationView) -> NDArray[np.int64]:
        parts = self.division.n_inside(view.ids)
        return parts.reshape(self.setup.n_ranks, self.setup.threads).sum(axis=1)

    def shards(self, rank: int) -> list[Lids]:
        """Return the neurons of each thread of a rank."""
        threads = self.setup.threads
        return [self.division.owned(rank * threads + k) for k in range(threads)]

    @cached_property
    def kinds(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ranks that stand for all, and for how many each stands.

        There is one for each way to own neurons. Where there are too many, those with the fewest
        and the most synapses are among them, and others at equal distances between.
        """
        load = np.round(self.n_synapses, 3)
        owned = np.column_stack([self.counts, *self._inside.values()])
        order = np.lexsort((*owned.T, self.n_neurons, load))
        alike = (owned[order[1:]] == owned[order[:-1]]).all(axis=1)
        first = np.concatenate([[0], np.flatnonzero(~alike) + 1])
        counts = np.diff(np.append(first, order.size))
        n = min(first.size, MOST_KINDS)
        chosen = np.unique(np.round(np.linspace(0, first.size - 1, n)).astype(int))
        middles = (chosen[1:] + chosen[:-1] + 1) // 2
        stands_for = np.add.reduceat(counts, np.concatenate([[0], middles]))
        return order[first[chosen]], stands_for
