"""The state of neurons, as it is kept and restored whatever the partition and the backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class NeuronState:
    """All that later steps need of some neurons, apart from the spikes that are under way.

    Random numbers have no state, and stimuli follow from the step.

    Parameters
    ----------
    gids : ndarray of int64, shape (n,)
        Global ids, ascending.
    borders : ndarray of int64, shape (n_populations + 1,)
        First global id of each population, and the one after the last.
    columns : tuple of dict of str to ndarray
        For each population the columns of its model, see `simcore.language.model.Layout`: a value
        for each of its neurons among `gids`.
    """

    gids: NDArray[np.int64]
    borders: NDArray[np.int64]
    columns: tuple[Columns, ...]

    def spans(self) -> Iterator[tuple[Columns, slice]]:
        """Yield the columns of each population, and where its neurons are among `gids`."""
        places = np.searchsorted(self.gids, self.borders)
        for columns, begin, end in zip(self.columns, places[:-1], places[1:], strict=True):
            yield columns, slice(int(begin), int(end))

    def of(self, gids: NDArray[np.int64]) -> NeuronState:
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
        wanted = np.searchsorted(gids, self.borders)
        found = []
        for (columns, span), begin, end in zip(self.spans(), wanted[:-1], wanted[1:], strict=True):
            own = places[begin:end] - span.start
            found.append({name: values[own] for name, values in columns.items()})
        return NeuronState(gids, self.borders, tuple(found))


def join_states(states: Sequence[NeuronState]) -> NeuronState:
    """Return the state of all neurons of some states, none of them in two."""
    gids = np.concatenate([s.gids for s in states])
    parts = [list(s.spans()) for s in states]
    joined = []
    for population in zip(*parts, strict=True):
        own = [s.gids[span] for s, (_, span) in zip(states, population, strict=True)]
        order = np.argsort(np.concatenate(own))
        names = population[0][0]
        joined.append(
            {n: np.concatenate([columns[n] for columns, _ in population])[order] for n in names}
        )
    return NeuronState(np.sort(gids), states[0].borders, tuple(joined))
