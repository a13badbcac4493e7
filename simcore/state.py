"""The state of neurons, as it is kept and restored whatever the partition and the backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class State:
    """All that later steps need of some neurons, apart from the spikes that are under way.

    Random numbers have no state, and stimuli follow from the step.

    Parameters
    ----------
    gids : ndarray of int64, shape (n,)
        Global ids, ascending.
    V : ndarray, shape (n,)
        Membrane potential minus the resting potential [mV].
    currents : ndarray, shape (n_receptors, n)
        Synaptic current of each receptor [pA].
    refractory : ndarray of int16, shape (n,)
        Steps until the neuron integrates again.
    """

    gids: NDArray[np.int64]
    V: NDArray[np.floating]
    currents: NDArray[np.floating]
    refractory: NDArray[np.int16]

    def of(self, gids: NDArray[np.int64]) -> State:
        """Return the state of some of the neurons.

        Parameters
        ----------
        gids : ndarray of int64
            Their global ids, ascending.

        Raises
        ------
        KeyError
            When there is no state of one of them.
        """
        places = np.searchsorted(self.gids, gids)
        known = places < self.gids.size
        known[known] = self.gids[places[known]] == gids[known]
        if not known.all():
            raise KeyError(f"no state of neuron {int(gids[~known][0])}")
        return State(gids, self.V[places], self.currents[:, places], self.refractory[places])


def join(states: Sequence[State]) -> State:
    """Return the state of all neurons of some states, none of them in two."""
    gids = np.concatenate([s.gids for s in states])
    order = np.argsort(gids)
    return State(
        gids[order],
        np.concatenate([s.V for s in states])[order],
        np.concatenate([s.currents for s in states], axis=1)[:, order],
        np.concatenate([s.refractory for s in states])[order],
    )
