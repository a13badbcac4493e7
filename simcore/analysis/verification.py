"""Comparison of two recordings, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from simcore.io.access import Joined, open_file
from simcore.io.reader import Run
from simcore.io.recording import Recording
from simcore.io.reports import REPORT, Report
from simcore.io.schema import SPIKES
from simcore.io.sonata import RESOLUTION

# Numbers of each file in memory at a time
_BLOCK = 2**20

_Pair: TypeAlias = tuple[NDArray[np.float64], NDArray[np.uint64]]

_FIELDS = ("seed", "dt", "duration", "record_from", "end")


@dataclass(frozen=True)
class Difference:
    """Where two runs differ first.

    Parameters
    ----------
    quantity : str
        In what: "spikes", or the column that was sampled.
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
    spikes, samples : int
        How many were compared.
    differences : tuple of Difference
        The first of each population and quantity; empty if the runs are identical.
    descriptions : tuple of str
        What differs in the descriptions of the runs: the model, the seed, times.
    """

    spikes: int
    samples: int
    differences: tuple[Difference, ...]
    descriptions: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether all spikes and samples are equal."""
        return not self.differences


def compare_bits(one: Recording, other: Recording) -> Comparison:
    """Compare the spikes and samples of two recordings to the last bit, in bounded memory.

    Spikes of one time may stand in any order in a file of another program.

    Parameters
    ----------
    one, other : Recording
        Runs, or SONATA spike files.

    Returns
    -------
    Comparison

    Raises
    ------
    OutputError
        When a file cannot be read.
    """
    differences: list[Difference] = []
    counts = {SPIKES: 0, REPORT: 0}
    both = set(one.datasets) & set(other.datasets)
    reports = {r.place: r for r in (*other.reports, *one.reports)}
    for name in dict.fromkeys(one.datasets + other.datasets):
        place, population, field = name.split("/")
        if field == "node_ids":
            continue
        report = reports.get(name)
        quantity = "spikes" if report is None else report.variable
        population = population if report is None else report.population
        found: tuple[str, float | None] | None = None
        if name not in both:
            found = f"only in {one.path if name in one.datasets else other.path}", None
        else:
            counts[place] += one.dataset(name).size * one.dataset(name).width
            found = (
                _spikes(one, other, population) if report is None else _samples(one, other, report)
            )
        if found is not None:
            differences.append(Difference(quantity, population, *found))
    return Comparison(
        counts[SPIKES], counts[REPORT], tuple(differences), tuple(_descriptions(one, other))
    )


def _spikes(one: Recording, other: Recording, population: str) -> tuple[str, float] | None:
    """Return what differs first between the spikes of two recordings, and when."""
    both = (one, other)
    all_times = [run.dataset(f"{SPIKES}/{population}/timestamps") for run in both]
    all_ids = [run.dataset(f"{SPIKES}/{population}/node_ids") for run in both]
    sizes = [t.size for t in all_times]
    in_order = all(isinstance(run, Run) for run in both)
    begin, block = 0, _BLOCK
    while begin < min(sizes):
        rows = slice(begin, min(begin + block, *sizes))
        spikes = [(t[rows], i[rows]) for t, i in zip(all_times, all_ids, strict=True)]
        begin, block = rows.stop, _BLOCK
        differ = _differ(*spikes)
        if differ.size and not in_order:
            # Sort spikes of one time by id, and leave a time that goes on to the next block
            spikes = [_sorted(*s) for s in spikes]
            known = rows.stop == min(sizes)
            kept = None if known else min(int(np.searchsorted(t, t[-1])) for t, _ in spikes)
            differ = _differ(*((t[:kept], i[:kept]) for t, i in spikes))
            if kept is not None and not differ.size:
                begin, block = rows.start + kept, block if kept else 2 * (rows.stop - rows.start)
        if differ.size:
            k = differ[0]
            first, second = (f"neuron {i[k]} at {float(t[k])!r} ms" for t, i in spikes)
            return f"{first}, and {second}", float(min(t[k] for t, _ in spikes))
    return _longer(all_times, all_ids)


def _longer(all_times: list[Joined], all_ids: list[Joined]) -> tuple[str, float] | None:
    """Return which spike is the first that only one recording has, whose spikes go on."""
    sizes = [t.size for t in all_times]
    if sizes[0] == sizes[1]:
        return None
    longer = sizes.index(max(sizes))
    row = slice(min(sizes), min(sizes) + 1)
    time = float(all_times[longer][row][0])
    spike = f"neuron {all_ids[longer][row][0]} at {time!r} ms"
    return f"{sizes[0]} and {sizes[1]} spikes; {spike} is in one only", time


def _differ(one: _Pair, other: _Pair) -> NDArray[np.intp]:
    """Return which of some spikes differ."""
    return np.flatnonzero((one[0] != other[0]) | (one[1] != other[1]))


def _sorted(times: NDArray[np.float64], ids: NDArray[np.uint64]) -> _Pair:
    """Return spikes sorted by time and then id."""
    order = np.lexsort((ids, times))
    return times[order], ids[order]


def _samples(one: Recording, other: Recording, report: Report) -> tuple[str, float | None] | None:
    """Return what differs first between the samples of two recordings, and when."""
    data = [run.dataset(report.place) for run in (one, other)]
    ids, grids = zip(*(_mapping(run, report.label) for run in (one, other)), strict=True)
    known = [r for run in (one, other) for r in run.reports if r.place == report.place]
    if known[0] != known[1] and known[0].interval == known[1].interval:
        return f"{known[0]}, and {known[1]}", None
    if not np.array_equal(*ids) or grids[0] != grids[1]:
        return "other neurons or times were recorded", None
    if data[0].dtype != data[1].dtype:
        return f"of type {data[0].dtype} and {data[1].dtype}", None
    first, interval = grids[0]
    sizes = [d.size for d in data]
    for rows in _blocks(min(sizes), max(1, ids[0].size)):
        values = [d[rows] for d in data]
        differ = np.argwhere(_bits(values[0]) != _bits(values[1]))
        if differ.size:
            row, column = differ[0]
            time = float(first + interval * (rows.start + row))
            pair = " and ".join(repr(float(v[row, column])) for v in values)
            return f"neuron {ids[0][column]} at {time!r} ms: {pair} {report.unit}", time
    if sizes[0] != sizes[1]:
        time = float(first + interval * min(sizes))
        return f"{sizes[0]} and {sizes[1]} samples", time
    return None


def _mapping(run: Recording, label: str) -> tuple[NDArray[np.uint64], tuple[float, float]]:
    """Return the neurons of a report, and the time of its first sample and between two."""
    with open_file(run.path) as file:
        mapping = file[REPORT][label]["mapping"]
        first, _, interval = mapping["time"][()]
        return mapping["node_ids"][()], (float(first), float(interval))


def _blocks(n_rows: int, width: int) -> Iterator[slice]:
    """Yield slices of rows that fit into memory."""
    step = max(1, _BLOCK // width)
    for begin in range(0, n_rows, step):
        yield slice(begin, min(begin + step, n_rows))


def _bits(values: NDArray[np.floating]) -> NDArray[np.unsignedinteger]:
    """Return numbers as their bits, so that NaN equals itself, and 0 is not -0."""
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def _descriptions(one: Recording, other: Recording) -> Iterator[str]:
    """Yield what differs in the descriptions of the recordings, as far as both tell."""
    for name in _FIELDS:
        values = getattr(one, name, None), getattr(other, name, None)
        unknown = None in values or (name == "dt" and RESOLUTION in values)
        if values[0] != values[1] and not unknown:
            yield f"{name}: {values[0]!r} and {values[1]!r}"
    networks = [getattr(run, "network", None) for run in (one, other)]
    if None not in networks and networks[0] != networks[1]:
        yield "the descriptions of the network"
