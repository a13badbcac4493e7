"""The neurons of a rank by their local ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simcore.description.ids import Ids, Indices


class Lids(Protocol):
    """Some neurons in ascending order of global id; a local id (lid) is a place in this order."""

    @property
    def size(self) -> int:
        """Number of neurons."""

    def lid_range(self, gid_range: tuple[int, int]) -> tuple[int, int]:
        """Return first lid, and the one after the last, of the global ids in a range."""

    def n_below(self, ids: Ids, lids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many of some ids belong to the neurons before each of some lids."""


@dataclass(frozen=True)
class LocalNeurons:
    """The neurons of one rank, in ascending order of global id.

    The local id (lid) of a neuron is its place in this order. Neurons of one population, and of a
    contiguous view of one, are neighbours.

    Parameters
    ----------
    gids : ndarray of int64, shape (n_local,)
        Global ids.
    """

    gids: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.gids.size

    def lid_range(self, gid_range: tuple[int, int]) -> tuple[int, int]:
        """Return first lid, and the one after the last, of the global ids in a range."""
        begin, end = np.searchsorted(self.gids, gid_range)
        return int(begin), int(end)

    def lids(self, ids: Ids) -> Indices:
        """Return the lids, in ascending order, of those of some ids that are here."""
        begin, end = self.lid_range(ids.span)
        if ids.contiguous:
            return range(begin, end)
        found: NDArray[np.int64] = begin + np.flatnonzero(ids.contains(self.gids[begin:end]))
        return found

    def n_below(self, ids: Ids, lids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many of some ids belong to the neurons before each of some lids."""
        own = self.lids(ids)
        if isinstance(own, range):
            return np.clip(lids, own.start, own.stop) - own.start
        return np.searchsorted(own, lids).astype(np.int64)

    def count(self, ids: Ids) -> int:
        """Return how many of some ids are here."""
        return len(self.lids(ids))
