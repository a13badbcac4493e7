"""Comparison of two runs, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.io import schema
from simcore.io.access import n_spikes, open_file
from simcore.io.reader import Run

if TYPE_CHECKING:
    import h5py

# Numbers of each file in memory at a time
_BLOCK = 2**20

_FIELDS = ("seed", "dt", "duration", "record_from")


@dataclass(frozen=True)
class Difference:
    """Where two runs differ first.

    Parameters
    ----------
    quantity : {"spikes", "V_m"}
        In what.
    population : str
        Of which population.
    text : str
        What each run has there.
    time : float or None
        When [ms]; None if one run lacks all of it.
    """

    quantity: str
    population: str
    text: str
    time: float | None = None


@dataclass(frozen=True)
class Comparison:
    """What a comparison of two runs found.

    Parameters
    ----------
    spikes, potentials : int
        How many were compared.
    differences : tuple of Difference
        The first of each population and quantity; empty if the runs are identical.
    descriptions : tuple of str
        What differs in the descriptions of the runs: the model, the seed, times.
    """

    spikes: int
    potentials: int
    differences: tuple[Difference, ...]
    descriptions: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether all spikes and potentials are equal."""
        return not self.differences


def compare(one: Run, other: Run) -> Comparison:
    """Compare the spikes and potentials of two runs to the last bit, in bounded memory.

    Parameters
    ----------
    one, other : Run
        The runs.

    Returns
    -------
    Comparison

    Raises
    ------
    OutputError
        When a file cannot be read.
    """
    differences: list[Difference] = []
    counts = {schema.SPIKES: 0, schema.REPORT: 0}
    with open_file(one.path) as a, open_file(other.path) as b:
        for place, quantity in ((schema.SPIKES, "spikes"), (schema.REPORT, "V_m")):
            names = [list(file[place]) if place in file else [] for file in (a, b)]
            for name in dict.fromkeys(names[0] + names[1]):
                if name not in names[0] or name not in names[1]:
                    where = one.path if name in names[0] else other.path
                    differences.append(Difference(quantity, name, f"only in {where}"))
                    continue
                groups = a[place][name], b[place][name]
                found = _spikes(*groups) if quantity == "spikes" else _potentials(*groups)
                counts[place] += _size(groups[0], quantity)
                if found is not None:
                    differences.append(Difference(quantity, name, *found))
    return Comparison(
        counts[schema.SPIKES],
        counts[schema.REPORT],
        tuple(differences),
        tuple(_descriptions(one, other)),
    )


def _size(group: h5py.Group, quantity: str) -> int:
    return n_spikes(group) if quantity == "spikes" else int(group["data"].size)


def _spikes(a: h5py.Group, b: h5py.Group) -> tuple[str, float] | None:
    """Return what differs first between the spikes of two groups, and when."""
    sizes = n_spikes(a), n_spikes(b)
    for rows in _blocks(min(sizes), 1):
        times = a["timestamps"][rows], b["timestamps"][rows]
        ids = a["node_ids"][rows], b["node_ids"][rows]
        differ = np.flatnonzero((times[0] != times[1]) | (ids[0] != ids[1]))
        if differ.size:
            k = differ[0]
            first, second = (
                f"neuron {i[k]} at {float(t[k])!r} ms" for i, t in zip(ids, times, strict=True)
            )
            return f"{first}, and {second}", float(min(times[0][k], times[1][k]))
    if sizes[0] != sizes[1]:
        longer = a if sizes[0] > sizes[1] else b
        k = min(sizes)
        time = float(longer["timestamps"][k])
        spike = f"neuron {longer['node_ids'][k]} at {time!r} ms"
        return f"{sizes[0]} and {sizes[1]} spikes; {spike} is in one only", time
    return None


def _potentials(a: h5py.Group, b: h5py.Group) -> tuple[str, float | None] | None:
    """Return what differs first between the potentials of two groups, and when."""
    ids = a["mapping/node_ids"][()], b["mapping/node_ids"][()]
    (first, _, interval), (other_first, _, other_interval) = (
        group["mapping/time"][()] for group in (a, b)
    )
    if not np.array_equal(*ids) or (first, interval) != (other_first, other_interval):
        return "other neurons or times were recorded", None
    if a["data"].dtype != b["data"].dtype:
        return f"of type {a['data'].dtype} and {b['data'].dtype}", None
    sizes = a["data"].shape[0], b["data"].shape[0]
    for rows in _blocks(min(sizes), max(1, ids[0].size)):
        values = a["data"][rows], b["data"][rows]
        differ = np.argwhere(_bits(values[0]) != _bits(values[1]))
        if differ.size:
            row, column = differ[0]
            time = float(first + interval * (rows.start + row))
            pair = " and ".join(repr(float(v[row, column])) for v in values)
            return f"neuron {ids[0][column]} at {time!r} ms: {pair} mV", time
    if sizes[0] != sizes[1]:
        time = float(first + interval * min(sizes))
        return f"{sizes[0]} and {sizes[1]} samples", time
    return None


def _blocks(n_rows: int, width: int) -> Iterator[slice]:
    """Yield slices of rows that fit into memory."""
    step = max(1, _BLOCK // width)
    for begin in range(0, n_rows, step):
        yield slice(begin, min(begin + step, n_rows))


def _bits(values: NDArray[np.floating]) -> NDArray[np.unsignedinteger]:
    """Return numbers as their bits, so that NaN equals itself, and 0 is not -0."""
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def _descriptions(one: Run, other: Run) -> Iterator[str]:
    """Yield what differs in the descriptions of the runs."""
    for name in _FIELDS:
        values = getattr(one, name), getattr(other, name)
        if values[0] != values[1]:
            yield f"{name}: {values[0]!r} and {values[1]!r}"
    if one.network != other.network:
        yield "the descriptions of the network"
