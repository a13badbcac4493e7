"""What a report shows: statistics, and spikes for pictures, from one pass over the file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.density import Dots
from simcore.analysis.reduction import reduce_all
from simcore.analysis.reporting.raster_layout import RasterLayout
from simcore.analysis.samples import SampleStatistics, sample_statistics
from simcore.analysis.summary import Summary, Widths, plan_all
from simcore.io.access import kept_open
from simcore.io.recording import names_of
from simcore.io.reports import POTENTIAL, POTENTIAL_UNIT
from simcore.numerics.clock import Grid
from simcore.services.errors import ConfigError, require

if TYPE_CHECKING:
    from simcore.io.recording import Recording
    from simcore.io.reports import Report
    from simcore.io.selection import Selection

Floats = NDArray[np.floating]
T = TypeVar("T")

# Populations and neurons whose samples are drawn, and for how long [ms]
_TRACED, _TRACES, _TRACE_WINDOW = 8, 4, 200.0

_PAIRED_NEURONS = 250

# Bins of the rates over time, populations whose series and rows are written, and those that
# pictures show, at most
_RATE_BINS, SERIES, DRAWN = 250, 256, 400


@dataclass(frozen=True)
class Traces:
    """Samples of some neurons of a population, for a picture.

    Parameters
    ----------
    times : ndarray of float64, shape (n_samples,)
        In ms.
    node_ids : ndarray of uint64, shape (n,)
        The neurons.
    values : ndarray, shape (n_samples, n)
        In the unit of the column.
    """

    times: Floats
    node_ids: NDArray[np.uint64]
    values: Floats


@dataclass(frozen=True)
class ColumnFindings:
    """What was found of a column of several populations, all in one unit.

    Parameters
    ----------
    variable, unit : str
        The column.
    statistics : mapping of str to SampleStatistics
        By population, of those of which it was recorded.
    traces : mapping of str to Traces
        Of the first of them.
    """

    variable: str
    unit: str
    statistics: Mapping[str, SampleStatistics]
    traces: Mapping[str, Traces]

    @property
    def is_potential(self) -> bool:
        """Whether it is the membrane potential."""
        return (self.variable, self.unit) == (POTENTIAL, POTENTIAL_UNIT)


@dataclass(frozen=True)
class Findings:
    """What was found in a run.

    Parameters
    ----------
    recording : Recording
        The run.
    window : (float, float)
        After the first, up to and with the second [ms].
    widths : Widths
        Bins of the statistics.
    summaries : mapping of str to Summary
        Statistics by population.
    drawn : sequence of str
        Populations that pictures show, of many some.
    per_bin : int
        Bins of the population rate that make one of the rates over time.
    dots_window : (float, float)
        The window of the dots [ms].
    dots : mapping of str to Dots
        Spikes of some neurons of each population.
    dot_rows : mapping of str to int
        How many neurons of each population these are.
    density : mapping of str to ndarray of float64, shape (rows, columns)
        Rate by neuron, of which neighbours share a row, and time [1/s]; empty where the dots show
        all spikes.
    columns : tuple of ColumnFindings
        What was sampled.
    notes : list of str
        What could not be analysed, and why.
    """

    recording: Recording
    window: tuple[float, float]
    widths: Widths = field(default_factory=Widths)
    summaries: Mapping[str, Summary] = field(default_factory=dict)
    drawn: Sequence[str] = ()
    per_bin: int = 1
    dots_window: tuple[float, float] = (0.0, 0.0)
    dots: Mapping[str, Dots] = field(default_factory=dict)
    dot_rows: Mapping[str, int] = field(default_factory=dict)
    density: Mapping[str, Floats] = field(default_factory=dict)
    columns: tuple[ColumnFindings, ...] = ()
    notes: Sequence[str] = ()

    @property
    def n_spikes(self) -> int:
        """Spikes of all populations together."""
        return sum(summary.n_spikes for summary in self.summaries.values())


def collect(
    recording: Recording,
    window: tuple[float | None, float | None] = (None, None),
    populations: str | Sequence[str] | None = None,
    bin_width: float | None = None,
    pictures: bool = True,
) -> Findings:
    """Find out what a report shows of a run.

    Parameters
    ----------
    recording : Recording
        The run.
    window : (float or None, float or None)
        After the first, up to and with the second [ms]; None for all there is.
    populations : str or sequence of str, optional
        Which ones; all if left out.
    bin_width : float, optional
        Of the rates over time [ms]; if left out, such that there are at most 250 bins.
    pictures : bool
        Whether what only pictures need is wanted.

    Raises
    ------
    ModelError
        When there is no such population.
    ConfigError
        When nothing recorded lies in the window, or the width is not a multiple of that of the
        statistics.
    """
    names = _known(recording, populations)
    if recording.end <= recording.record_from:
        note = f"Nothing has been recorded yet: the run has reached {recording.end:.10g} ms."
        return Findings(recording, (recording.record_from, recording.end), notes=[note])
    begin, end = recording.window(*window)
    known = set(recording.recorded)
    recorded = [name for name in names if name in known]
    with kept_open():
        selections = {name: recording.select(name, begin, end) for name in recorded}
    some = {name: s for name, s in selections.items() if s.n_neurons}
    notes = [text for text in (recording.guesses,) if text] + _notes(names, recorded, some)
    spikes = _collect_spikes(some, (begin, end), bin_width, pictures)
    if len(some) > SERIES:
        notes.append(
            f"Rates over time, intervals, spectra and samples are written of the first {SERIES} "
            f"of {len(some)} populations, and tables in the page show these. Choose others with "
            "populations (--populations)."
        )
    columns = tuple(_collect_columns(recording, names, (begin, end), pictures))
    return Findings(recording, (begin, end), **spikes, columns=columns, notes=notes)


def _known(recording: Recording, populations: str | Sequence[str] | None) -> list[str]:
    """Return the names of the populations to look at, each once."""
    known = recording.populations
    names, some = names_of(populations, known), set(known)
    for name in names:
        if name not in some:
            require(False, f"run {recording.path!r}: population", name, f"one of {known}")
    return names


def _notes(
    names: Sequence[str], recorded: Sequence[str], some: Mapping[str, Selection]
) -> list[str]:
    """Tell which populations have no statistics."""
    there = set(recorded)
    silent = [name for name in names if name not in there]
    empty = [name for name in recorded if name not in some]
    found = []
    if silent:
        found.append(f"Spikes were not recorded of {listed(silent)}.")
    if empty:
        found.append(f"The file tells of no neuron of {listed(empty)}.")
    return found


def first(found: Mapping[str, T]) -> dict[str, T]:
    """Return the populations whose series are written, the first ones of many."""
    return dict(islice(found.items(), SERIES))


def evenly(names: Sequence[str]) -> list[str]:
    """Return the populations that pictures show, evenly spaced ones of many."""
    n = min(len(names), DRAWN)
    return [names[k * len(names) // n] for k in range(n)]


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names as text, the first of them if there are many."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _collect_spikes(
    selections: Mapping[str, Selection],
    window: tuple[float, float],
    bin_width: float | None,
    pictures: bool,
) -> dict[str, Any]:
    """Return what spikes tell, for which those of a population are read once."""
    if not selections:
        return {}
    plans = plan_all(selections, Widths(), _PAIRED_NEURONS)
    widths = next(iter(plans.values())).bins.widths
    per_bin = _per_bin(window[1] - window[0], widths.rate, bin_width)
    drawn = {name: selections[name] for name in evenly(list(selections))} if pictures else {}
    layout = RasterLayout.of(drawn, window) if drawn else None
    extra = {n: layout.reductions(s) for n, s in drawn.items()} if layout else {}
    found = reduce_all(
        [(p.selection, [*p.reductions, *extra.get(n, ())]) for n, p in plans.items()]
    )
    values = dict(zip(plans, found, strict=True))
    n_statistics = {n: len(plan.reductions) for n, plan in plans.items()}
    spikes: dict[str, Any] = {
        "widths": widths,
        "drawn": list(drawn),
        "per_bin": per_bin,
        "summaries": {n: p.finish(*values[n][: n_statistics[n]]) for n, p in plans.items()},
    }
    if layout:
        rest = {n: values[n][n_statistics[n] :] for n in drawn}
        spikes["dots_window"] = layout.window
        spikes["dots"] = {n: parts[0] for n, parts in rest.items()}
        spikes["dot_rows"] = {n: layout.rows(s) for n, s in drawn.items()}
        spikes["density"] = {n: parts[1] for n, parts in rest.items() if len(parts) > 1}
    return spikes


def _per_bin(length: float, base: float, width: float | None) -> int:
    """Return how many bins of the statistics make one of the rates over time."""
    n = int(length / base + 1e-6)
    if width is None:
        return _round_up(n / _RATE_BINS)
    grid = Grid(base)
    count = int(grid.nearest(width)) if np.isfinite(width) else 0
    fits = 1 <= count <= n and not grid.off(width)
    valid = f"a multiple of {base:.10g} ms, at most the window of {length:.10g} ms"
    require(fits, "bin", width, valid, error=ConfigError)
    return count


def _round_up(least: float) -> int:
    """Return the smallest of 1, 2 and 5 times a power of ten that is not less."""
    power = 10 ** math.floor(math.log10(max(least, 1.0)))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least)


def _collect_columns(
    recording: Recording, names: Sequence[str], window: tuple[float, float], pictures: bool
) -> Iterator[ColumnFindings]:
    """Yield what samples tell, by column, of the populations with a sample in the window."""
    by_column: dict[tuple[str, str], dict[str, Report]] = {}
    for report in recording.reports:
        own = by_column.setdefault((report.variable, report.unit), {})
        # Of several records of a column the finest tells most
        if report.population not in own or report.interval < own[report.population].interval:
            own[report.population] = report
    for (variable, unit), reports in by_column.items():
        own = {name: reports[name] for name in names if name in reports}
        statistics = {}
        for name, report in own.items():
            with suppress(ConfigError):
                # No sample lies in the window
                statistics[name] = sample_statistics(
                    recording, name, variable, *window, interval=report.interval
                )
        traced = list(statistics)[: _TRACED if pictures else 0]
        traces = {name: _trace(recording, own[name], window) for name in traced}
        if statistics:
            yield ColumnFindings(variable, unit, statistics, traces)


def _trace(recording: Recording, report: Report, window: tuple[float, float]) -> Traces:
    """Return the samples of the first neurons at the end of a window."""
    begin = max(window[0], window[1] - _TRACE_WINDOW)
    data = recording.dask_samples(
        report.population, report.variable, begin, window[1], report.interval
    )
    some = np.asarray(data.values[:, :_TRACES])
    return Traces(data.times, data.node_ids[:_TRACES], some)
