"""What a report shows: statistics, and spikes for pictures, from one pass over the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.bins import Bins
from simcore.analysis.density import DensityReduction, Dots, DotsReduction
from simcore.analysis.potentials import PotentialStatistics, potential_statistics
from simcore.analysis.reduction import Reduction, reduce_all
from simcore.analysis.summary import Plan, Summary, Widths
from simcore.errors import ConfigError, require

if TYPE_CHECKING:
    from simcore.io.recording import PotentialData, Recording
    from simcore.io.selection import Selection

Floats = NDArray[np.floating]

# Dots of a raster, about; neurons whose dots are drawn
_DOTS, _DOT_ROWS = 6000, 2000

# Rows that even a small population gets, as a share of what it would get if all were equal
_SMALLEST = 0.6

# Rows and columns of the density of all spikes
_DENSITY_ROWS, _COLUMNS = 480, 600

# Populations and neurons whose potentials are drawn, and for how long [ms]
_TRACED, _TRACES, _TRACE_WINDOW = 8, 4, 200.0

_PAIRED_NEURONS = 250


@dataclass(frozen=True)
class Traces:
    """Potentials of some neurons of a population, for a picture.

    Parameters
    ----------
    times : ndarray of float64, shape (n_samples,)
        In ms.
    node_ids : ndarray of uint64, shape (n,)
        The neurons.
    values : ndarray, shape (n_samples, n)
        In mV.
    """

    times: Floats
    node_ids: NDArray[np.uint64]
    values: Floats


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
        Bins of the statistics, as asked for.
    summaries : mapping of str to Summary
        Statistics by population.
    dots_window : (float, float)
        The window of the dots [ms].
    dots : mapping of str to Dots
        Spikes of some neurons of each population.
    dot_rows : mapping of str to int
        How many neurons of each population these are.
    density : mapping of str to ndarray of float64, shape (rows, columns)
        Rate by neuron, of which neighbours share a row, and time [1/s]; empty where the dots show
        all spikes.
    potentials : mapping of str to PotentialStatistics
        By population, of those whose potentials were recorded.
    traces : mapping of str to Traces
        Of the first of them.
    notes : list of str
        What could not be analysed, and why.
    """

    recording: Recording
    window: tuple[float, float]
    widths: Widths = field(default_factory=Widths)
    summaries: Mapping[str, Summary] = field(default_factory=dict)
    dots_window: tuple[float, float] = (0.0, 0.0)
    dots: Mapping[str, Dots] = field(default_factory=dict)
    dot_rows: Mapping[str, int] = field(default_factory=dict)
    density: Mapping[str, Floats] = field(default_factory=dict)
    potentials: Mapping[str, PotentialStatistics] = field(default_factory=dict)
    traces: Mapping[str, Traces] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def n_spikes(self) -> int:
        """Spikes of all populations together."""
        return sum(summary.n_spikes for summary in self.summaries.values())


def collect(
    recording: Recording,
    window: tuple[float | None, float | None] = (None, None),
    populations: Sequence[str] | None = None,
    pictures: bool = True,
) -> Findings:
    """Find out what a report shows of a run.

    Parameters
    ----------
    recording : Recording
        The run.
    window : (float or None, float or None)
        After the first, up to and with the second [ms]; None for all there is.
    populations : sequence of str, optional
        Which ones; all if left out.
    pictures : bool
        Whether what only pictures need is wanted.

    Raises
    ------
    ModelError
        When there is no such population.
    ConfigError
        When nothing recorded lies in the window.
    """
    names = _known(recording, populations)
    if recording.end <= recording.record_from:
        note = f"Nothing has been recorded yet: the run has reached {recording.end:.10g} ms."
        return Findings(recording, (recording.record_from, recording.end), notes=[note])
    begin, end = _window(recording, window)
    recorded = [name for name in names if name in recording.recorded]
    selections = {name: recording.select(name, begin, end) for name in recorded}
    some = {name: s for name, s in selections.items() if s.n_neurons}
    notes = _notes(names, recorded, some)
    spikes = _collect_spikes(some, (begin, end), pictures)
    reported = [name for name in names if name in recording.reported]
    potentials, traces = _collect_potentials(recording, reported, (begin, end), pictures)
    return Findings(
        recording, (begin, end), **spikes, potentials=potentials, traces=traces, notes=notes
    )


def _known(recording: Recording, populations: Sequence[str] | None) -> list[str]:
    """Return the names of the populations to look at, each once."""
    known = recording.populations
    for name in populations or ():
        require(name in known, f"run {recording.path!r}: population", name, f"one of {known}")
    return list(known if populations is None else dict.fromkeys(populations))


def _window(recording: Recording, window: tuple[float | None, float | None]) -> tuple[float, float]:
    """Return the window, cut to what is recorded."""
    start, stop = window
    begin = recording.record_from if start is None else max(float(start), recording.record_from)
    end = recording.end if stop is None else min(float(stop), recording.end)
    valid = f"within what is recorded, {recording.record_from:.10g} to {recording.end:.10g} ms"
    subject = f"run {recording.path!r}: window"
    # A window has a step at least
    require(end - begin > 0.5 * recording.dt, subject, window, valid, error=ConfigError)
    return begin, end


def _notes(
    names: Sequence[str], recorded: Sequence[str], some: Mapping[str, Selection]
) -> list[str]:
    """Tell which populations have no statistics."""
    silent = [name for name in names if name not in recorded]
    empty = [name for name in recorded if name not in some]
    found = []
    if silent:
        found.append(f"Spikes were not recorded of {listed(silent)}.")
    if empty:
        found.append(f"The file tells of no neuron of {listed(empty)}.")
    return found


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names as text, the first of them if there are many."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _collect_spikes(
    selections: Mapping[str, Selection], window: tuple[float, float], pictures: bool
) -> dict[str, object]:
    """Return what spikes tell, for which those of a population are read once."""
    if not selections:
        return {}
    widths = Widths()
    plans = {n: Plan.of(s, widths, _PAIRED_NEURONS) for n, s in selections.items()}
    looks = _Looks.of(selections, window) if pictures else None
    extra = {n: looks.reductions(s) if looks else [] for n, s in selections.items()}
    found = reduce_all([(p.selection, [*p.reductions, *extra[n]]) for n, p in plans.items()])
    values = dict(zip(plans, found, strict=True))
    n_statistics = {n: len(plan.reductions) for n, plan in plans.items()}
    spikes: dict[str, object] = {
        "widths": widths,
        "summaries": {n: p.finish(*values[n][: n_statistics[n]]) for n, p in plans.items()},
    }
    if looks:
        rest = {n: values[n][n_statistics[n] :] for n in plans}
        spikes["dots_window"] = looks.window
        spikes["dots"] = {n: parts[0] for n, parts in rest.items()}
        spikes["dot_rows"] = {n: looks.rows(s) for n, s in selections.items()}
        spikes["density"] = {n: parts[1] for n, parts in rest.items() if len(parts) > 1}
    return spikes


@dataclass(frozen=True)
class _Looks:
    """How spikes are drawn.

    Parameters
    ----------
    window : (float, float)
        That of the dots [ms].
    columns : Bins
        Those of the density.
    n_neurons : int
        Of all populations.
    n_populations : int
        Their number.
    all : bool
        Whether the dots show all spikes.
    """

    window: tuple[float, float]
    columns: Bins
    n_neurons: int
    n_populations: int
    all: bool

    @classmethod
    def of(cls, selections: Mapping[str, Selection], window: tuple[float, float]) -> _Looks:
        """Choose a window of dots that is neither empty nor crowded, the last there is."""
        some = list(selections.values())
        begin, end = window
        n_neurons = sum(s.n_neurons for s in some)
        n_spikes = sum(s.rows.stop - s.rows.start for s in some)
        n_dots = n_spikes * min(1.0, _DOT_ROWS / n_neurons)
        length = end - begin
        if n_dots > _DOTS:
            length = max(_round_down(length * _DOTS / n_dots), some[0].dt)
        fits = n_dots <= _DOTS and n_neurons <= _DOT_ROWS
        dt = some[0].dt
        first, last = (round(time / dt) for time in window)
        steps = -(-(last - first) // _COLUMNS)
        columns = Bins(first, steps, (last - first) // steps, dt)
        return cls((end - length, end), columns, n_neurons, len(some), fits)

    def rows(self, selection: Selection, most: int = _DOT_ROWS) -> int:
        """Return how many rows a population gets: its share, though a small one some."""
        share = round(min(1.0, most / self.n_neurons) * selection.n_neurons)
        floor = max(1, int(_SMALLEST * most / self.n_populations))
        return min(selection.n_neurons, max(share, floor))

    def reductions(self, selection: Selection) -> list[Reduction]:
        """Return what to compute of a population."""
        n = selection.n_neurons
        rows = self.rows(selection)
        chosen = np.arange(rows) * n // rows
        dots = DotsReduction(self.window, chosen, n)
        if self.all:
            return [dots]
        coarse = self.rows(selection, _DENSITY_ROWS)
        return [dots, DensityReduction(self.columns, n, coarse)]


def _round_down(length: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a length."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(m * power for m in (1.0, 2.0, 5.0) if m * power <= length * (1 + 1e-9)))


def _collect_potentials(
    recording: Recording, names: Sequence[str], window: tuple[float, float], pictures: bool
) -> tuple[dict[str, PotentialStatistics], dict[str, Traces]]:
    """Return what potentials tell, of the populations with a sample in the window."""
    found = {}
    for name in names:
        try:
            found[name] = potential_statistics(recording, name, *window)
        except ConfigError:
            # No sample lies in the window
            continue
    traced = list(found)[: _TRACED if pictures else 0]
    begin = max(window[0], window[1] - _TRACE_WINDOW)
    return found, {name: _trace(recording.dask_V_m(name, begin, window[1])) for name in traced}


def _trace(data: PotentialData) -> Traces:
    """Return the potentials of the first neurons."""
    some = np.asarray(data.values[:, :_TRACES])
    return Traces(data.times, data.node_ids[:_TRACES], some)
