"""The sections of a report: pictures and tables in their order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from simcore.analysis.distances import Distances
from simcore.analysis.rates import PopulationRate
from simcore.analysis.reporting import activity, differences, distributions, membrane, run_time
from simcore.analysis.reporting.collect import ColumnFindings, Findings, evenly, first, listed
from simcore.analysis.reporting.numbers import FIELDS
from simcore.analysis.reporting.quantities import QUANTITIES, Quantity
from simcore.analysis.reporting.rasters import density, dots
from simcore.analysis.reporting.style import PANELS, Picture
from simcore.analysis.summary import Summary
from simcore.io.reader import Run
from simcore.io.run_summary import run_summary
from simcore.services.progress import TaskProgress

# What draws a picture, or finds that there is none
Drawing: TypeAlias = "Callable[[], Picture | None]"

# Populations whose distributions are drawn one by one when two runs of many are compared
_FARTHEST = 6

_STATUS = {
    "running": "This run is still going on: the report shows what was recorded up to {end:.10g} "
    "ms of {duration:.10g} ms. Make it again to see more.",
    "interrupted": "This run was interrupted: it shows {end:.10g} ms of {duration:.10g} ms. "
    "`simcore resume` goes on.",
    "stopped": "This run was stopped: it shows {end:.10g} ms of {duration:.10g} ms. "
    "`simcore resume` goes on.",
    "failed": "This run failed: it shows {end:.10g} ms of {duration:.10g} ms.",
}


@dataclass(frozen=True)
class PageTable:
    """A table in the page.

    Parameters
    ----------
    caption : str
        What it shows.
    head : sequence of str
        Titles of the columns.
    rows : sequence of sequence of str
        The first of each is its title.
    terms : mapping of str to str
        What columns mean.
    ends_with_text : bool
        Whether the last column is text, not a number.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    terms: Mapping[str, str] = field(default_factory=dict)
    ends_with_text: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Parameters
    ----------
    key, title : str
        Its name in links, and in its head.
    notes : sequence of str
        What the reader must not miss.
    lead : str
        What it begins with.
    tables : sequence of PageTable
        Below the pictures.
    drawings : sequence of callable
        What draws its pictures.
    facts : mapping of str to str
        Texts by what they are about.
    pictures : sequence of Picture
        Once they are drawn; some may have nothing to show.
    """

    key: str
    title: str
    notes: Sequence[str] = ()
    lead: str = ""
    tables: Sequence[PageTable] = ()
    drawings: Sequence[Drawing] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()

    def drawn(self, work: TaskProgress) -> Section:
        """Draw the pictures, and report each."""
        pictures = []
        for draw in self.drawings:
            pictures.append(draw())
            work.advance(1)
        return replace(self, drawings=(), pictures=[p for p in pictures if p])


@dataclass(frozen=True)
class Story:
    """What a page tells.

    Parameters
    ----------
    found : Findings
        What was found in the run.
    rates : mapping of str to PopulationRate
        Rates over time.
    table : mapping
        The statistics of each population, one number each.
    other : Findings, optional
        What was found in the run it is compared with.
    distances : mapping of str to Distances
        Between the two.
    """

    found: Findings
    rates: Mapping[str, PopulationRate]
    table: Mapping[str, Mapping[str, float]]
    other: Findings | None = None
    distances: Mapping[str, Distances] = field(default_factory=dict)

    @property
    def places(self) -> dict[str, int]:
        """Place of each population in the model, which gives its colour."""
        return {name: k for k, name in enumerate(self.found.recording.populations)}

    @property
    def drawn(self) -> dict[str, Summary]:
        """Statistics of the populations that pictures show."""
        return {name: self.found.summaries[name] for name in self.found.drawn}

    @property
    def others(self) -> Mapping[str, Summary]:
        """Statistics of the other run."""
        return self.other.summaries if self.other else {}


def sections_of(story: Story, files: Mapping[str, str], progress: bool = False) -> list[Section]:
    """Return the sections of a page, those with something in them, with their pictures.

    Parameters
    ----------
    story : Story
        What to tell.
    files : mapping of str to str
        The files beside the page, and what is in them.
    progress : bool
        Whether to tell on standard error how many pictures are drawn.
    """
    sections = _plan(story, files)
    n = sum(len(section.drawings) for section in sections)
    with TaskProgress("draw", n, "pictures", enabled=progress) as work:
        return [section.drawn(work) for section in sections]


def _plan(story: Story, files: Mapping[str, str]) -> list[Section]:
    """Return the sections before their pictures are drawn."""
    found = story.found
    sections = [_about(story)]
    if found.summaries:
        sections += [_spikes(story), _rates(story), _distributions(story), _spectra(story)]
    sections += [_samples(story, column, k) for k, column in enumerate(found.columns)]
    if story.other:
        sections.append(_comparison(story, story.other))
    if isinstance(found.recording, Run) and "run" in found.recording.timers:
        sections.append(_time(found.recording))
    return [*sections, _files(story, files)]


def _about(story: Story) -> Section:
    found = story.found
    recording = found.recording
    notes = list(found.notes)
    status = getattr(recording, "status", "")
    if status in _STATUS:
        notes.insert(0, _STATUS[status].format(**vars(recording)))
    if recording.end > recording.record_from and not found.summaries:
        notes.append("There are no spikes to show: none were recorded of these populations.")
    elif found.summaries and not found.n_spikes:
        notes.append("There are no spikes in this window: all neurons were silent.")
    return Section("run", "The run", notes, facts=_facts(found))


def _facts(found: Findings) -> dict[str, str]:
    """Return what a run is, in words."""
    recording = found.recording
    facts = {"file": recording.path}
    if isinstance(recording, Run):
        facts |= run_summary(recording)
        facts["versions"] = ", ".join(f"{n} {v}" for n, v in recording.versions.items())
    else:
        names = listed(recording.populations)
        facts["network"] = f"{recording.n_neurons:,} neurons in the populations {names}"
    start, stop = found.window
    facts["analysed"] = f"{start:.10g} to {stop:.10g} ms, {found.n_spikes:,} spikes"
    return facts


def _spikes(story: Story) -> Section:
    drawings = [partial(draw, story.found, story.places) for draw in (dots, density)]
    return Section("spikes", "Spikes", drawings=_of_some(drawings, story.drawn, story.table))


def _of_some(drawings: Sequence[Drawing], drawn: Sized, known: Sized) -> Sequence[Drawing]:
    """Let the captions of pictures say that they show some populations of many."""
    if len(drawn) == len(known):
        return drawings
    note = f"{len(drawn):,} of {len(known):,} populations are drawn, evenly spaced ones."
    return [partial(_noted, draw, note) for draw in drawings]


def _noted(draw: Drawing, note: str) -> Picture | None:
    found = draw()
    return replace(found, caption=f"{found.caption.rstrip()} {note}") if found else None


def _rates(story: Story) -> Section:
    rates = {name: story.rates[name] for name in story.drawn}
    drawing = partial(activity.rates_over_time, rates, story.places)
    head = ["population", *(f.title for f in FIELDS.values())]
    rows = [[name, *map(_text, row.values())] for name, row in first(story.table).items()]
    widths = story.found.widths
    caption = (
        "Statistics of each population. Means leave out neurons or pairs for which a quantity is "
        f"not defined; – where it is for none. Bins: {widths.fano:.4g} ms for the Fano factor, "
        f"{widths.correlation:.4g} ms for correlations, {widths.synchrony:.4g} ms for the "
        "synchrony (Potjans and Diesmann 2014)."
    )
    table = PageTable(caption, head, rows, {f.title: f.meaning for f in FIELDS.values()})
    drawings = _of_some([drawing], rates, story.table)
    return Section("rates", "Rates and synchrony", tables=[table], drawings=drawings)


def _text(value: float) -> str:
    """Return a number as short text."""
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return "–" if math.isnan(value) else f"{value:.3g}"


def _distributions(story: Story) -> Section:
    found, others = story.drawn, story.others
    drawings: list[Drawing] = [
        partial(
            distributions.distribution, q, found, others, story.places, _bins_note(q, story.found)
        )
        for q in QUANTITIES
    ]
    drawings.append(partial(activity.intervals, found, others, story.places))
    drawings = list(_of_some(drawings, found, story.table))
    return Section("distributions", "Distributions", drawings=drawings)


def _bins_note(quantity: Quantity, found: Findings) -> str:
    width = {"fano": found.widths.fano, "correlation": found.widths.correlation}
    return f"Bins of {width[quantity.key]:.4g} ms." if quantity.key in width else ""


def _spectra(story: Story) -> Section:
    found = story.found
    drawing = partial(activity.spectra, story.drawn, story.others, story.places, found.widths.rate)
    drawings = _of_some([drawing], story.drawn, story.table)
    return Section("spectra", "Spectra", drawings=drawings)


def _samples(story: Story, column: ColumnFindings, number: int) -> Section:
    key = "potentials" if column.is_potential else f"samples-{number}"
    same = [
        other.statistics
        for other in (story.other.columns if story.other else ())
        if (other.variable, other.unit) == (column.variable, column.unit)
    ]
    some = {name: column.statistics[name] for name in evenly(list(column.statistics))}
    shown = replace(column, statistics=some)
    distribution = partial(membrane.distribution, shown, same[0] if same else {}, story.places)
    drawings: list[Drawing] = [
        partial(membrane.traces, column, story.places),
        *_of_some([distribution], some, column.statistics),
    ]
    return Section(key, membrane.names_of(column)[0], drawings=drawings)


def _comparison(story: Story, other: Findings) -> Section:
    one = story.found
    spread = differences.natural_spread(one.recording, other.recording)
    head = ["population", *differences.TITLES.values()]
    rows = [
        [name, *(_text(getattr(d, key)) for key in differences.TITLES)]
        for name, d in first(story.distances).items()
    ]
    caption = "Kolmogorov-Smirnov distances by population; – where a run has no value."
    drawings: list[Drawing] = [partial(differences.distances, story.distances, spread)]
    if len(one.summaries) > PANELS:
        drawings += _farthest(story)
    return Section(
        "comparison", "Comparison with the other run", differences.notes(one, other),
        tables=[PageTable(caption, head, rows)], drawings=drawings, facts=_facts(other),
    )  # fmt: skip


def _farthest(story: Story) -> list[Drawing]:
    """Return what draws distributions of the populations of many that are farthest apart."""
    drawings: list[Drawing] = []
    for quantity in QUANTITIES:
        if quantity.key in differences.TITLES:
            names = differences.farthest(story.distances, quantity.key, _FARTHEST)
            one, other = (
                {n: s for n, s in run.items() if n in names}
                for run in (story.found.summaries, story.others)
            )
            note = f"The {len(names)} populations in which the runs are farthest apart."
            drawings.append(
                partial(distributions.distribution, quantity, one, other, story.places, note)
            )
    return drawings


def _time(run: Run) -> Section:
    parts = {**run.timers, **run_time.parts_of(run)}
    rows = [
        [name, *(_text(float(x)) for x in (v.min(), v.mean(), v.max(), run_time.imbalance(v))),
         run_time.MEANINGS.get(name, "")]
        for name, v in parts.items()
    ]  # fmt: skip
    phases = PageTable(
        "Time in each phase over ranks, in seconds; imbalance: the longest over the mean.",
        ["phase", "min (s)", "mean (s)", "max (s)", "imbalance", "what it is"],
        rows,
        ends_with_text=True,
    )
    lead = (
        f"Real-time factor {run_time.real_time_factor(run):.3g}: wall-clock time over model time "
        f"({run.timed:.10g} ms), without the build, on the slowest rank."
    )
    tables = [phases, *_shards(run)]
    drawings = [partial(run_time.phases, run)]
    return Section("time", "Where the time went", lead=lead, tables=tables, drawings=drawings)


def _shards(run: Run) -> list[PageTable]:
    """Return what ranks own, if the file tells."""
    if not run.shards:
        return []
    rows = [
        [name, *(f"{x:,.0f}" for x in (v.min(), v.mean(), v.max())), _text(run_time.imbalance(v))]
        for name, v in run.shards.items()
    ]
    text = "What a rank owns. bytes: memory of the synapses; peak_bytes: of the whole process."
    return [PageTable(text, ["quantity", "min", "mean", "max", "imbalance"], rows)]


def _files(story: Story, files: Mapping[str, str]) -> Section:
    shown = {k: v for k, v in files.items() if k != "distances.csv" or story.other}
    return Section("numbers", "The numbers", facts=shown)
