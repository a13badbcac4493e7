"""Spikes in flight: one 64-bit word each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GID_BITS = 48
MAX_OFFSET = 2**15  # a delay is shorter [steps], so that the spikes under way fit
_GID_MASK = 2**GID_BITS - 1


@dataclass(frozen=True, slots=True)
class Spikes:
    """Some spikes. Those of one rank are sorted by step, then by global id.

    Parameters
    ----------
    origin : int
        A step not after the first spike.
    words : ndarray of int64, shape (n_spikes,)
        Step minus `origin` in the high 16 bits, global id in the low 48.
    """

    origin: int
    words: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Number of spikes."""
        return self.words.size

    @property
    def steps(self) -> NDArray[np.int64]:
        """Step of each spike; a spike carries the time of its end."""
        return self.origin + (self.words >> GID_BITS)

    @property
    def gids(self) -> NDArray[np.int64]:
        """Global id of the neuron of each spike."""
        return self.words & _GID_MASK


NO_SPIKES = Spikes(0, np.zeros(0, dtype=np.int64))
