"""Spikes of some neurons in a window of time, not read yet: what statistics are taken of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.io.access import Joined
from simcore.numerics.clock import Grid
from simcore.services.errors import DamagedError, ModelError, require

if TYPE_CHECKING:
    import dask.array

_DASK_CHUNK = 2**20

Neurons: TypeAlias = "range | NDArray[np.int64]"


class SpikeData(NamedTuple):
    """Spikes of one population, sorted by time and then id; arrays of numpy or of dask.

    Parameters
    ----------
    times : array of float64, shape (n_spikes,)
        In ms.
    node_ids : array of uint64, shape (n_spikes,)
        Indices within the population.
    """

    times: NDArray[np.float64] | dask.array.Array
    node_ids: NDArray[np.uint64] | dask.array.Array


@dataclass(frozen=True)
class Selection:
    """The spikes of some neurons of a population in a window of time.

    It can be sent to other processes: it knows the files, and holds no spike.

    Parameters
    ----------
    population : str
        Name of the population.
    neurons : range or ndarray of int64, shape (n_neurons,)
        Their node ids, ascending.
    recorded : range or ndarray of int64
        Node ids of all neurons that are in the files, ascending.
    window : (float, float)
        After the first, up to and with the second [ms].
    dt : float
        Time step [ms].
    times, ids : Joined
        Times and node ids of all spikes of the population.
    rows : slice
        Those in the window.
    """

    population: str
    neurons: Neurons
    recorded: Neurons
    window: tuple[float, float]
    dt: float
    times: Joined
    ids: Joined
    rows: slice

    @property
    def grid(self) -> Grid:
        """The grid of time."""
        return Grid(self.dt)

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return len(self.neurons)

    @property
    def seconds(self) -> float:
        """Length of the window [s]."""
        return 1e-3 * (self.window[1] - self.window[0])

    @property
    def whole(self) -> bool:
        """Whether all recorded neurons are chosen."""
        return self.n_neurons == len(self.recorded)

    def read(self, rows: slice | None = None) -> SpikeData:
        """Return the spikes, or those of some of the rows, as numpy arrays.

        Raises
        ------
        DamagedError
            When one cannot have been recorded.
        """
        rows = self.rows if rows is None else rows
        times, ids = self.read_all(rows)
        if self.whole:
            return SpikeData(times, ids)
        chosen = self.places(ids) >= 0
        return SpikeData(times[chosen], ids[chosen])

    def read_all(self, rows: slice) -> tuple[NDArray[np.float64], NDArray[np.uint64]]:
        """Return some of the rows as numpy arrays, also of neurons that are not chosen.

        Errors are those of `read`.
        """
        times, ids = self.times[rows], self.ids[rows]
        self._require_possible(times, ids)
        return times, ids

    def lazy(self) -> SpikeData:
        """Return the spikes as dask arrays, which read the files when computed."""
        import dask.array

        times, ids = (
            dask.array.from_array(x, chunks=_DASK_CHUNK)[self.rows] for x in (self.times, self.ids)
        )
        if self.whole:
            return SpikeData(times, ids)
        chosen = ids.map_blocks(self._are_chosen, dtype=bool)
        return SpikeData(times[chosen], ids[chosen])

    def blocks(self, n_spikes: int) -> Iterator[slice]:
        """Yield neighbouring rows, about so many each; at least one block, which may be empty."""
        begin, end = self.rows.start, self.rows.stop
        for first in range(begin, max(end, begin + 1), max(1, n_spikes)):
            yield slice(first, min(first + max(1, n_spikes), end))

    def places(self, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the place of each node id among the chosen neurons, -1 for one that is not."""
        return _places_in(self.neurons, ids)

    def _require_possible(self, times: NDArray[np.float64], ids: NDArray[np.uint64]) -> None:
        """Raise `DamagedError` if a spike is of no recorded neuron or outside of the window."""
        begin, end = self.window[0] - self.dt, self.window[1] + self.dt
        if not ids.size or (
            self._are_recorded(ids) and begin <= times.min() and times.max() <= end
        ):
            return
        inside = (begin <= times) & (times <= end)
        k = np.argmax(~((_places_in(self.recorded, ids) >= 0) & inside))
        first, last = (int(self.recorded[k]) for k in (0, -1)) if len(self.recorded) else (0, -1)
        raise DamagedError(
            f"{self.times.pieces[0].path!r} is damaged: population {self.population!r} has a "
            f"spike of neuron {ids[k]} at {float(times[k])!r} ms, must be of one of the "
            f"{len(self.recorded)} recorded, {first} to {last}, at {self.window[0]:.10g} to "
            f"{self.window[1]:.10g} ms. Copy it again."
        )

    def _are_recorded(self, ids: NDArray[np.uint64]) -> bool:
        """Tell whether all of some ids, at least one, are of recorded neurons."""
        nodes = self.recorded
        if isinstance(nodes, range) and nodes.step == 1:
            return bool(nodes.start <= int(ids.min()) and int(ids.max()) < nodes.stop)
        return bool((_places_in(nodes, ids) >= 0).all())

    def _are_chosen(self, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return self.places(ids) >= 0


def _places_in(nodes: Neurons, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the place of each node id among some that ascend, -1 for one that is not there."""
    given = ids.astype(np.int64)
    if isinstance(nodes, range):
        given -= nodes.start
        if nodes.step != 1:
            given = np.where(given % nodes.step == 0, given // nodes.step, -1)
        given[(given < 0) | (given >= len(nodes))] = -1
        return given
    found = np.searchsorted(nodes, given)
    found[found == nodes.size] = 0
    return np.where(nodes[found] == given, found, -1)


def choose(recorded: Neurons, neurons: ArrayLike | None, subject: str) -> Neurons:
    """Return the node ids of chosen neurons in ascending order.

    Raises
    ------
    ModelError
        When there is none, or one that was not recorded.
    """
    if neurons is None:
        return recorded
    ids = recorded if isinstance(recorded, range) else None
    valid = f"in {recorded}" if ids is not None else f"one of the {len(recorded)} in the file"
    if ids and ids.step == 1 and isinstance(neurons, range) and neurons.step > 0 and neurons:
        inside = neurons[0] in ids and neurons[-1] in ids
        require(inside, f"{subject}: neurons", neurons, valid)
        return neurons
    given = np.unique(np.asarray(neurons))
    if given.size == 0 or not np.issubdtype(given.dtype, np.integer):
        raise ModelError(f"{subject}: neurons is {neurons!r}, must be node ids, at least one")
    if ids is None:
        known = np.isin(given, recorded)
    else:
        known = (given >= ids.start) & (given < ids.stop) & ((given - ids.start) % ids.step == 0)
    require(bool(known.all()), f"{subject}: neurons", given[~known].tolist()[:5], valid)
    return given.astype(np.int64)
