"""The columns of neurons in one array, segment by segment.

The states of a segment lie one column after the other, so that its kernel takes a place and a
number of neurons; what a checkpoint holds is by population and name.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from simcore.description.drawing import parameter
from simcore.kernels.backend import Probe
from simcore.kernels.neuron_tables import NeuronTables
from simcore.kernels.segments import SOURCE
from simcore.language.layout import REFRACTORY
from simcore.shards.neuron_state import Columns, NeuronState
from simcore.shards.shard_spec import ShardSpec


class Places:
    """Where the columns of some segments lie.

    Parameters
    ----------
    segments : structured ndarray
        Segments with begin, end, kind and first_state; ordered by lid.
    neuron_tables : NeuronTables
        Their programs, and the first values of all columns.
    """

    def __init__(self, segments: NDArray[np.void], neuron_tables: NeuronTables) -> None:
        self.segments, self._programs = segments, neuron_tables.programs
        widths = np.array([*(len(p.states) for p in neuron_tables.programs), 0], dtype=np.int64)
        sizes = widths[segments["kind"]] * (segments["end"] - segments["begin"])
        self.size = int(sizes.sum())
        self._gids, self._borders = neuron_tables.start.gids, neuron_tables.start.borders
        self._types = [{n: v.dtype for n, v in c.items()} for c in neuron_tables.start.columns]

    def columns(self, k: int) -> list[slice]:
        """Return where the columns of a segment lie."""
        s = self.segments[k]
        size, first = int(s["end"] - s["begin"]), int(s["first_state"])
        n = 0 if s["kind"] == SOURCE else len(self._programs[s["kind"]].states)
        return [slice(first + c * size, first + (c + 1) * size) for c in range(n)]

    def flat(self, state: NeuronState, real: np.dtype) -> NDArray[np.floating]:
        """Return the reals of a state, of the neurons of all segments, in one array."""
        found = np.zeros(self.size, dtype=real)
        for name, population, own, place in self._pieces(state):
            found[place] = population[name][own]
        return found

    def state(self, flat: NDArray[np.floating], refractory: NDArray[np.int16]) -> NeuronState:
        """Return the state that `flat` and the refractory steps of all neurons stand for."""
        edges = np.diff(np.searchsorted(self._gids, self._borders))
        columns = tuple(
            {name: np.zeros(size, dtype=kind) for name, kind in types.items()}
            for types, size in zip(self._types, edges, strict=True)
        )
        state = NeuronState(self._gids, self._borders, columns)
        for name, population, own, place in self._pieces(state):
            population[name][own] = flat[place]
        for population, span in state.spans():
            if REFRACTORY.name in population:
                population[REFRACTORY.name][:] = refractory[span]
        return state

    def of_column(self, lids: NDArray[np.int64], name: str) -> NDArray[np.int64]:
        """Return where the values of a column lie; -1 - lid for refractory steps, kept apart."""
        if name == REFRACTORY.name:
            return -1 - lids
        which = np.searchsorted(self.segments["begin"], lids, side="right") - 1
        columns = [p.states.index(name) if name in p.states else 0 for p in self._programs]
        own = self.segments[which]
        column = np.array([*columns, 0], dtype=np.int64)[own["kind"]]
        found: NDArray[np.int64] = (
            own["first_state"] + column * (own["end"] - own["begin"]) + lids - own["begin"]
        )
        return found

    def _pieces(self, state: NeuronState) -> Iterator[tuple[str, Columns, slice, slice]]:
        """Yield the name of each column of each segment, its population, and both its places."""
        spans = list(state.spans())
        ends = np.array([span.stop for _, span in spans])
        for k, s in enumerate(self.segments):
            if s["kind"] == SOURCE or s["begin"] == s["end"]:
                continue
            columns, span = spans[int(np.searchsorted(ends, s["begin"], side="right"))]
            own = slice(int(s["begin"]) - span.start, int(s["end"]) - span.start)
            names = self._programs[s["kind"]].states
            for name, place in zip(names, self.columns(k), strict=True):
                yield name, columns, own, place


def resting_values(shard: ShardSpec, probe: Probe, real: np.dtype) -> NDArray[np.floating]:
    """Return what the column of a probe is kept relative to; 0 where it is not."""
    lids = probe.lids
    found = np.zeros(lids.size, dtype=real)
    for population in shard.network.populations:
        neuron = population.neuron
        column = None if neuron is None else neuron.layout.find(probe.column)
        if neuron is not None and column is not None and column.relative_to is not None:
            begin, end = shard.neurons.lid_range(population.view().gid_range)
            own = (begin <= lids) & (lids < end)
            gids = shard.neurons.gids[lids[own]]
            found[own] = parameter(population, column.relative_to, gids)
    return found


def refractory_of(state: NeuronState) -> NDArray[np.int16]:
    """Return the refractory steps of all neurons; 0 for those that have none."""
    found = np.zeros(state.gids.size, dtype=np.int16)
    for columns, span in state.spans():
        if REFRACTORY.name in columns:
            found[span] = columns[REFRACTORY.name]
    return found
