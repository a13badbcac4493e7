"""The layout of samples: a SONATA report for each record. See docs/file-format.md."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.description.ids import as_array
from simcore.description.network import Network
from simcore.description.records import Record
from simcore.io.recorded import recorded_nodes
from simcore.numerics.clock import Clock
from simcore.services.errors import require

if TYPE_CHECKING:
    import h5py

REPORT = "report"

# What a report is of where it does not tell: in files of version 1, and of other programs
POTENTIAL, POTENTIAL_UNIT, UNKNOWN = "V_m", "mV", "unknown"


@dataclass(frozen=True)
class Report:
    """A report: what was sampled of some neurons of a population.

    Parameters
    ----------
    label : str
        Name of its group in the file.
    population : str
        Name of the population.
    variable, unit : str
        Which column of its model, and the unit of that.
    interval : float
        Time between two samples [ms].
    """

    label: str
    population: str
    variable: str
    unit: str
    interval: float

    @property
    def place(self) -> str:
        """Name of the dataset of its samples."""
        return f"{REPORT}/{self.label}/data"

    def __str__(self) -> str:
        return f"{self.variable} [{self.unit}] of {self.population} every {self.interval:g} ms"


@dataclass(frozen=True)
class Samples:
    """The samples of one record.

    Parameters
    ----------
    report : Report
        What they are.
    node_ids : ndarray of uint64, shape (n,)
        The neurons, ascending.
    dtype : str
        Type of the samples in the file.
    interval : int
        Steps between two samples.
    clock : Clock
        The grid of time.
    """

    report: Report
    node_ids: NDArray[np.uint64]
    dtype: str
    interval: int
    clock: Clock

    def time(self, index: int) -> float:
        """Return the time of a sample [ms]."""
        return float(self.clock.times((index + 1) * self.interval))


def samples_of(network: Network, clock: Clock) -> list[Samples]:
    """Return what the records of columns of a network sample, in their order.

    The first record of `V_m` of a population has the name of the population, as tools for SONATA
    expect; others have that of the column too, and a number where there are several.
    """
    names, used, found = {p.name for p in network.populations}, set[str](), []
    for record in network.sampled:
        population, variable = record.target.population.name, record.variable
        label = population
        if variable != POTENTIAL or label in used:
            label = _unused(f"{population}.{variable}", names | used)
        used.add(label)
        steps = sample_interval(record, clock)
        interval = float(clock.times(steps))
        report = Report(label, population, variable, record.column.unit, interval)
        node_ids = as_array(recorded_nodes(record)).astype(np.uint64)
        found.append(Samples(report, node_ids, record.dtype, steps, clock))
    return found


def _unused(label: str, taken: set[str]) -> str:
    """Return a label that is not taken: this one, or with the first number that is free."""
    found, k = label, 1
    while found in taken:
        k += 1
        found = f"{label}.{k}"
    return found


def first_sample(step: int, interval: int) -> int:
    """Return the index of the first sample taken at the end of `step` or later.

    Sample k is taken at the end of step ``(k + 1) * interval - 1``.
    """
    return step // interval


def sample_interval(record: Record, clock: Clock) -> int:
    """Return the steps between two samples of a record of a column."""
    subject = f"record: interval of {record.target.name!r}"
    interval = clock.steps(record.interval or 0.0, subject)
    require(interval >= 1, subject, record.interval, f"at least dt = {clock.dt!r} ms")
    return interval


def create_reports(file: h5py.File, network: Network, clock: Clock, begin: int) -> None:
    """Create the reports of a network without samples; the first would be at `begin` or later."""
    for samples in samples_of(network, clock):
        create_report(file, samples, first_sample(begin, samples.interval), 0)


def create_report(file: h5py.File, samples: Samples, first: int, n: int) -> h5py.Group:
    """Create the report of the samples of one record.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    samples : Samples
        What is sampled.
    first : int
        Index of the first sample.
    n : int
        Number of samples, for which there is space.
    """
    start = samples.time(first)
    return create_samples(file, samples.report, samples.node_ids, samples.dtype, n, start)


def create_samples(
    file: h5py.File,
    report: Report,
    node_ids: NDArray[np.uint64],
    dtype: str,
    n: int,
    start: float,
) -> h5py.Group:
    """Create a report.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    report : Report
        What it tells of itself.
    node_ids : ndarray of uint64
        The neurons, ascending.
    dtype : str
        Type of the samples.
    n : int
        Number of samples, for which there is space.
    start : float
        Time of the first sample [ms].
    """
    group = file.require_group(REPORT).create_group(report.label)
    group.attrs["population"], group.attrs["variable"] = report.population, report.variable
    size = node_ids.size
    group.create_dataset("data", (n, size), dtype).attrs["units"] = report.unit
    mapping = group.create_group("mapping")
    mapping["node_ids"] = node_ids
    mapping["node_ids"].attrs["sorted"] = np.uint8(1)
    mapping["index_pointers"] = np.arange(size + 1, dtype=np.uint64)
    # libsonata takes the one name, bmtk the other: two links to one dataset
    mapping["index_pointer"] = mapping["index_pointers"]
    mapping["element_ids"] = np.zeros(size, dtype=np.uint32)
    mapping["element_pos"] = np.zeros(size, dtype=np.float32)
    mapping["time"] = np.zeros(3)
    mapping["time"].attrs["units"] = "ms"
    write_grid(mapping, n, (start, report.interval))
    return group


def fill_report(report: h5py.Group, blocks: Iterable[NDArray[np.floating]]) -> None:
    """Write samples, block after block, into the space of a report."""
    begin = 0
    for rows in blocks:
        report["data"][begin : begin + len(rows)] = rows
        begin += len(rows)


def write_grid(mapping: h5py.Group, n: int, grid: tuple[float, float]) -> None:
    """Write when samples were taken.

    Parameters
    ----------
    mapping : h5py.Group
        The group "mapping" of a report.
    n : int
        Number of samples.
    grid : (float, float)
        Time of the first sample, and between two [ms].
    """
    start, interval = grid
    stop = start + n * interval
    # Readers divide the time by the interval, and leave out a last sample that is cut short
    while (stop - start) / interval < n:
        stop = math.nextafter(stop, math.inf)
    mapping["time"][:] = start, stop, interval


def read_times(mapping: h5py.Group, n: int) -> NDArray[np.float64]:
    """Return when samples were taken [ms]; `ValueError` where they cannot have been.

    Parameters
    ----------
    mapping : h5py.Group
        The group "mapping" of a report.
    n : int
        Number of samples.
    """
    first, interval = _grid(mapping, n)
    times: NDArray[np.float64] = first + interval * np.arange(n, dtype=np.float64)
    return times


def _grid(mapping: h5py.Group, n: int) -> tuple[float, float]:
    """Return the time of the first sample, and between two [ms]; both make sense for so many."""
    first, _, interval = map(float, mapping["time"][()])
    with np.errstate(over="ignore", invalid="ignore"):
        ascend = interval > 2.0 * np.spacing(max(abs(first), abs(first + n * interval)))
    if not ascend:
        raise ValueError(
            f"samples from {first:.10g} ms on, {interval:.10g} ms apart, must be at times that "
            "ascend"
        )
    return first, interval


def read_report(label: str, group: h5py.Group) -> Report:
    """Return what a report tells of itself, also one of version 1 or of another program."""
    unit = group["data"].attrs.get("units", POTENTIAL_UNIT)
    unit = unit.decode() if isinstance(unit, bytes) else str(unit)
    variable = POTENTIAL if unit == POTENTIAL_UNIT else UNKNOWN
    return Report(
        label,
        str(group.attrs.get("population", label)),
        str(group.attrs.get("variable", variable)),
        unit,
        _grid(group["mapping"], group["data"].shape[0])[1],
    )
