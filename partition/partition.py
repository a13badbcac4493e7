"""Who owns which neuron."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.errors import ModelError, require


class Partition(ABC):
    """A division of the neurons 0 to `n_neurons` - 1 among ranks; every neuron has one owner."""

    n_neurons: int
    n_ranks: int

    @abstractmethod
    def owner(self, gids: ArrayLike) -> NDArray[np.int64]:
        """Return the owner of each neuron."""

    @abstractmethod
    def gids(self, rank: int) -> NDArray[np.int64]:
        """Return the neurons of a rank, ascending."""


class RangePartition(Partition):
    """A division by ranges of neighbouring neurons.

    Parameters
    ----------
    bounds : array_like of int, shape (n_ranges + 1,)
        Ascending, from 0 to the number of neurons.
    owners : array_like of int, shape (n_ranges,)
        Owner of each range.
    n_ranks : int
        Number of ranks; one may own nothing.
    """

    def __init__(self, bounds: ArrayLike, owners: ArrayLike, n_ranks: int) -> None:
        self.bounds = np.asarray(bounds, dtype=np.int64)
        self.owners = np.asarray(owners, dtype=np.int64)
        self.n_ranks = n_ranks
        self._check()
        self.n_neurons = int(self.bounds[-1])

    def _check(self) -> None:
        require(self.n_ranks >= 1, "Partition: n_ranks", self.n_ranks, ">= 1")
        require(
            self.bounds.size == self.owners.size + 1,
            "Partition: number of bounds",
            self.bounds.size,
            f"one more than owners, {self.owners.size + 1}",
        )
        if self.bounds[0] != 0 or (np.diff(self.bounds) < 0).any():
            raise ModelError("Partition: bounds must ascend from 0, so that a neuron has one owner")
        outside = self.owners[(self.owners < 0) | (self.owners >= self.n_ranks)]
        require(
            outside.size == 0, "Partition: owner", outside[:1].tolist(), f"in [0, {self.n_ranks})"
        )

    def owner(self, gids: ArrayLike) -> NDArray[np.int64]:
        """Return the owner of each neuron."""
        return self.owners[np.searchsorted(self.bounds, np.asarray(gids), side="right") - 1]

    def gids(self, rank: int) -> NDArray[np.int64]:
        """Return the neurons of a rank, ascending."""
        mine = np.flatnonzero(self.owners == rank)
        ranges = [np.arange(self.bounds[i], self.bounds[i + 1], dtype=np.int64) for i in mine]
        return np.concatenate([np.zeros(0, dtype=np.int64), *ranges])


class CyclicPartition(Partition):
    """Neuron i belongs to rank i modulo the number of ranks.

    Parameters
    ----------
    n_neurons, n_ranks : int
        Numbers of neurons and ranks.
    """

    def __init__(self, n_neurons: int, n_ranks: int) -> None:
        require(n_ranks >= 1, "Partition: n_ranks", n_ranks, ">= 1")
        self.n_neurons, self.n_ranks = n_neurons, n_ranks

    def owner(self, gids: ArrayLike) -> NDArray[np.int64]:
        """Return the owner of each neuron."""
        return np.asarray(gids, dtype=np.int64) % self.n_ranks

    def gids(self, rank: int) -> NDArray[np.int64]:
        """Return the neurons of a rank, ascending."""
        return np.arange(rank, self.n_neurons, self.n_ranks, dtype=np.int64)
