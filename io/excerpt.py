"""The part of a recording that is exported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.io.recording import Recording, names_of
from simcore.io.reports import Report
from simcore.io.selection import Selection
from simcore.io.sonata import RESOLUTION
from simcore.services.errors import ModelError
from simcore.services.progress import TaskProgress

# Spikes that are read together, and that are put in the order of neurons together
_BLOCK, _GROUP = 2**20, 2**22


@dataclass(frozen=True)
class ReportExcerpt:
    """The samples of a report in a window, not read yet.

    Parameters
    ----------
    report : Report
        What they are.
    node_ids : ndarray of uint64, shape (n_neurons,)
        The neurons, ascending.
    start : float
        Time of the first sample [ms].
    values : dask array, shape (n_samples, n_neurons)
        In the unit of the report; in chunks of whole rows.
    """

    report: Report
    node_ids: NDArray[np.uint64]
    start: float
    values: Any

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.floating]]]:
        """Yield neighbouring rows and their values."""
        begin = 0
        for block in self.values.blocks:
            values = block.compute(scheduler="synchronous")
            yield slice(begin, begin + len(values)), values
            begin += len(values)


@dataclass(frozen=True)
class Excerpt:
    """Spikes and samples of some populations of a recording in a window of time.

    Parameters
    ----------
    run : Recording
        The recording.
    window : (float, float)
        After the first, up to and with the second [ms].
    spikes : tuple of Selection
        For each population whose spikes were recorded.
    reports : tuple of Report
        What was sampled of the populations.
    """

    run: Recording
    window: tuple[float, float]
    spikes: tuple[Selection, ...]
    reports: tuple[Report, ...]

    @classmethod
    def of(
        cls,
        run: Recording,
        populations: str | Sequence[str] | None = None,
        start: float | None = None,
        stop: float | None = None,
    ) -> Excerpt:
        """Choose populations and a window; all there is if left out.

        Raises
        ------
        ModelError
            When there is no such population, or nothing of it was recorded.
        ConfigError
            When nothing recorded lies in the window.
        """
        window = run.window(start, stop)
        known = [name for name in run.populations if name in {*run.recorded, *run.reported}]
        chosen = names_of(populations, known)
        for name in chosen:
            if name not in known:
                raise ModelError(
                    f"run {run.path!r}: nothing was recorded of population {name!r}; "
                    f"recorded are {known}"
                )
        spikes = (run.select(name, *window) for name in chosen if name in run.recorded)
        some = set(chosen)
        reports = tuple(report for report in run.reports if report.population in some)
        return cls(run, window, tuple(spikes), reports)

    @property
    def n_spikes(self) -> int:
        """Number of spikes."""
        return sum(count(selection) for selection in self.spikes)

    @property
    def dt(self) -> float | None:
        """Time step [ms], None where it is not known."""
        return None if self.run.dt == RESOLUTION else self.run.dt

    @property
    def guessed(self) -> list[str]:
        """Which ends of the window are guesses: "begin", "end"."""
        known = zip(
            ("begin", "end"), self.window, (self.run.record_from, self.run.end), strict=True
        )
        return [name for name, own, whole in known if own == whole and name in self.run.guessed]

    def samples(self) -> list[ReportExcerpt]:
        """Return the samples of all reports."""
        return [self._samples(report) for report in self.reports]

    def _samples(self, report: Report) -> ReportExcerpt:
        which = report.population, report.variable
        found = self.run.dask_samples(*which, *self.window, interval=report.interval)
        start = float(found.times[0]) if found.times.size else self.window[0]
        return ReportExcerpt(report, found.node_ids, round(start, 9), found.values)


def count(selection: Selection) -> int:
    """Return the number of rows of a selection."""
    return selection.rows.stop - selection.rows.start


def blocks(
    selection: Selection, work: TaskProgress
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.uint64]]]:
    """Yield times and node ids of a selection, some at a time, and report how many."""
    for rows, times, ids in _read(selection):
        yield times, ids
        work.advance(rows.stop - rows.start)


def _read(
    selection: Selection,
) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.uint64]]]:
    """Yield rows, and times and node ids of the chosen neurons in them."""
    for rows in selection.blocks(_BLOCK):
        times, ids = selection.read(rows)
        yield rows, np.asarray(times), np.asarray(ids)


def count_per_neuron(selection: Selection) -> NDArray[np.int64]:
    """Return the number of spikes of each chosen neuron."""
    counts = np.zeros(selection.n_neurons, dtype=np.int64)
    for _, _, ids in _read(selection):
        counts += np.bincount(selection.places(ids), minlength=counts.size)
    return counts


def times_by_neuron(selection: Selection) -> Iterator[NDArray[np.float64]]:
    """Yield the times of all spikes, those of the first neuron first, some neurons at a time.

    All spikes are read again for every four million of them.
    """
    ends = np.cumsum(count_per_neuron(selection))
    first = 0
    while first < ends.size:
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + _GROUP, side="right")))
        yield _times_of(selection, first, last)
        first = last


def _times_of(selection: Selection, first: int, last: int) -> NDArray[np.float64]:
    """Return the times of some of the chosen neurons, those of the first neuron first."""
    parts = []
    for _, times, ids in _read(selection):
        places = selection.places(ids)
        inside = (places >= first) & (places < last)
        parts.append((times[inside], places[inside]))
    times, places = (np.concatenate(part) for part in zip(*parts, strict=True))
    return times[np.argsort(places, kind="stable")]
