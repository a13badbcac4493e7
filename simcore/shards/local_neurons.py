"""The neurons of a rank by their local ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Lids(Protocol):
    """Some neurons in ascending order of global id; a local id (lid) is a place in this order."""

    @property
    def size(self) -> int:
        """Number of neurons."""

    def lid_range(self, gid_range: tuple[int, int]) -> tuple[int, int]:
        """Return first lid, and the one after the last, of the global ids in a range."""


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
