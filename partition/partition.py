"""Who owns which neuron."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.description.ids import Ids
from simcore.services.digest import digest_arrays
from simcore.services.errors import ModelError, require
from simcore.shards.local_neurons import Lids


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

    @abstractmethod
    def owned(self, rank: int) -> Lids:
        """Return the same without an array as long as their number."""

    @abstractmethod
    def counts(self, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many neurons every rank has between neighbouring bounds.

        Parameters
        ----------
        bounds : ndarray of int64, shape (n + 1,)
            Global ids, ascending from 0 to the number of neurons.

        Returns
        -------
        ndarray of int64, shape (n_ranks, n)
        """

    @abstractmethod
    def n_inside(self, ids: Ids) -> NDArray[np.int64]:
        """Return how many of some neurons every rank has, shape (n_ranks,)."""

    @abstractmethod
    def n_together(self, one: Ids, other: Ids, threads: int) -> int:
        """Return how many neurons have their partner on the same rank.

        Parameters
        ----------
        one, other : Ids
            Neurons, and the partner of each.
        threads : int
            Neighbouring parts that are one rank.
        """

    @abstractmethod
    def digest(self) -> str:
        """Return a digest of who owns which neuron."""


class Ranges(Lids):
    """The neurons of some ranges, in order.

    Parameters
    ----------
    begins, ends : ndarray of int64, shape (n,)
        The ranges, ascending.
    """

    def __init__(self, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        self._begins, self._ends = begins, ends

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int((self._ends - self._begins).sum())

    def lid_range(self, gid_range: tuple[int, int]) -> tuple[int, int]:
        """Return first lid, and the one after the last, of the global ids in a range."""
        first, stop = (
            int((np.clip(gid, self._begins, self._ends) - self._begins).sum()) for gid in gid_range
        )
        return first, stop

    def n_below(self, ids: Ids, lids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many of some ids belong to the neurons before each of some lids."""
        sizes = self._ends - self._begins
        first = np.concatenate([[0], np.cumsum(sizes)])
        owned = ids.below(self._ends) - ids.below(self._begins)
        before = np.concatenate([[0], np.cumsum(owned)])
        which = np.minimum(np.searchsorted(first[1:], lids, side="right"), sizes.size)
        begins = np.append(self._begins, 0)[which]
        within = ids.below(begins + lids - first[which]) - ids.below(begins)
        found: NDArray[np.int64] = before[which] + within
        return found


class Cycle(Lids):
    """Every n-th neuron.

    Parameters
    ----------
    first, stride, end : int
        The first, from one to the next, and the end.
    """

    def __init__(self, first: int, stride: int, end: int) -> None:
        self._gids = range(first, end, stride)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return len(self._gids)

    def lid_range(self, gid_range: tuple[int, int]) -> tuple[int, int]:
        """Return first lid, and the one after the last, of the global ids in a range."""
        first, stop = (
            min(max(0, -(-(gid - self._gids.start) // self._gids.step)), self.size)
            for gid in gid_range
        )
        return first, stop

    def n_below(self, ids: Ids, lids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many of some ids belong to the neurons before each of some lids."""
        own = ids.thinned(self._gids.start, self._gids.step)
        return own.below(self._gids.start + lids * self._gids.step)


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

    def owned(self, rank: int) -> Ranges:
        """Return the same without an array as long as their number."""
        mine = np.flatnonzero(self.owners == rank)
        return Ranges(self.bounds[mine], self.bounds[mine + 1])

    def counts(self, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many neurons every rank has between neighbouring bounds."""
        n = bounds.size - 1

        # Both are sorted; ranges without neurons do no harm
        edges = np.sort(np.concatenate([self.bounds, bounds]), kind="stable")[:-1]
        place = np.searchsorted(bounds, edges, side="right") - 1
        place = np.minimum(place, n - 1)
        index = self.owner(np.minimum(edges, self.n_neurons - 1)) * n + place
        sizes = np.diff(edges, append=self.n_neurons)
        found = np.bincount(index, weights=sizes, minlength=self.n_ranks * n)
        return found.astype(np.int64).reshape(self.n_ranks, n)

    def n_inside(self, ids: Ids) -> NDArray[np.int64]:
        """Return how many of some neurons every rank has, shape (n_ranks,)."""
        owned = np.diff(ids.below(self.bounds))
        return np.bincount(self.owners, owned, self.n_ranks).astype(np.int64)

    def n_together(self, one: Ids, other: Ids, threads: int) -> int:
        """Return how many neurons have their partner on the same rank."""
        edges = np.sort(np.concatenate([one.cuts(self.bounds), other.cuts(self.bounds)]))
        begin = np.minimum(edges[:-1], one.size - 1)
        same = self.owner(one.at(begin)) // threads == self.owner(other.at(begin)) // threads
        return int(np.diff(edges)[same].sum())

    def digest(self) -> str:
        """Return a digest of who owns which neuron."""
        return digest_arrays(self.bounds, self.owners, np.array(self.n_ranks))


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

    def owned(self, rank: int) -> Cycle:
        """Return the same without an array as long as their number."""
        return Cycle(rank, self.n_ranks, self.n_neurons)

    def counts(self, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many neurons every rank has between neighbouring bounds."""
        ranks = np.arange(self.n_ranks, dtype=np.int64)[:, None]
        return np.diff(-((ranks - bounds) // self.n_ranks), axis=1)

    def n_inside(self, ids: Ids) -> NDArray[np.int64]:
        """Return how many of some neurons every rank has, shape (n_ranks,)."""
        first, times = self._period(ids)
        return np.bincount(self.owner(ids.at(first)), times, self.n_ranks).astype(np.int64)

    def n_together(self, one: Ids, other: Ids, threads: int) -> int:
        """Return how many neurons have their partner on the same rank."""
        first, times = self._period(one, other)
        same = self.owner(one.at(first)) // threads == self.owner(other.at(first)) // threads
        return int(times[same].sum())

    def _period(self, *some: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return positions that stand for all, and for how many: owners recur, but in lists."""
        n = some[0].size
        even = all(isinstance(ids.indices, range) for ids in some)
        first = np.arange(min(n, self.n_ranks) if even else n, dtype=np.int64)
        times = (n - first - 1) // self.n_ranks + 1
        return first, times if even else np.ones_like(first)

    def digest(self) -> str:
        """Return a digest of who owns which neuron."""
        return digest_arrays(np.array([self.n_neurons, self.n_ranks]))
