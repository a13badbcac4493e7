"""The numbers of a report, as plain values and as tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.distances import Distances
from simcore.analysis.rates import PopulationRate
from simcore.analysis.reporting.collect import ColumnFindings, Findings, first
from simcore.analysis.reporting.run_time import imbalance, parts_of, real_time_factor
from simcore.analysis.summary import Summary
from simcore.io.reader import Run
from simcore.io.run_summary import run_summary

if TYPE_CHECKING:
    from simcore.io.recording import Recording

Floats = NDArray[np.floating]


class Field(NamedTuple):
    """A column of the table of populations.

    Parameters
    ----------
    title : str
        Its head in the page.
    meaning : str
        What it is, with the unit.
    value : callable
        Its value, given the summary of a population.
    """

    title: str
    meaning: str
    value: Callable[[Summary], float]


def mean(values: Floats) -> float:
    """Return the mean of the values that are not NaN; NaN without one."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


FIELDS = {
    "neurons": Field("neurons", "number of neurons", lambda s: s.selection.n_neurons),
    "spikes": Field("spikes", "number of their spikes in the window", lambda s: s.n_spikes),
    "silent": Field(
        "silent", "share of the neurons without a spike, from 0 to 1",
        lambda s: mean((s.rates == 0.0).astype(np.float64)),
    ),
    "rate": Field("rate (1/s)", "mean rate over neurons [1/s]", lambda s: s.rate),
    "rate_sd": Field(
        "± (1/s)", "standard deviation of the rates of neurons [1/s]",
        lambda s: float(s.rates.std()) if s.rates.size > 1 else math.nan,
    ),
    "rate_median": Field(
        "median (1/s)", "median of the rates of neurons [1/s]",
        lambda s: float(np.median(s.rates)) if s.rates.size else math.nan,
    ),
    "cv": Field(
        "CV", "mean coefficient of variation of the intervals of a neuron",
        lambda s: mean(s.isi.cv),
    ),
    "lv": Field(
        "LV", "mean local variation of the intervals of a neuron",
        lambda s: mean(s.isi.lv),
    ),
    "fano": Field(
        "Fano", "mean Fano factor of the counts of a neuron", lambda s: mean(s.fano)
    ),
    "correlation": Field(
        "correlation", "mean correlation coefficient of the counts of pairs of neurons",
        lambda s: mean(s.correlations.pairs),
    ),
    "synchrony": Field(
        "synchrony",
        "variance over mean of the counts of the whole population; 1 for independent Poisson "
        "processes",
        lambda s: s.synchrony,
    ),
}  # fmt: skip


def population_table(summaries: Mapping[str, Summary]) -> dict[str, dict[str, float]]:
    """Return the statistics of each population, one number each."""
    return {
        name: {key: field.value(summary) for key, field in FIELDS.items()}
        for name, summary in summaries.items()
    }


def rates_over_time(found: Findings) -> dict[str, PopulationRate]:
    """Return the rates of populations over time, in the bins of the report."""
    return {n: _coarse(s.population_rate, found.per_bin) for n, s in found.summaries.items()}


def _coarse(rate: PopulationRate, per_bin: int) -> PopulationRate:
    n = rate.rates.size // per_bin
    means = rate.rates[: n * per_bin].reshape(n, per_bin).mean(axis=1)
    return PopulationRate(rate.edges[: n * per_bin + 1 : per_bin], means)


def run_values(recording: Recording) -> dict[str, Any]:
    """Return what a run is, as plain values."""
    names = (
        "path", "status", "error", "uuid", "created", "finished", "seed", "n_ranks", "hosts",
        "dt", "duration", "record_from", "end", "n_neurons", "sizes", "recorded", "reported",
        "versions", "config", "sessions", "digests", "shards", "guessed",
    )  # fmt: skip
    known = {name: getattr(recording, name) for name in names if hasattr(recording, name)}
    facts = run_summary(recording) if isinstance(recording, Run) else {}
    return {"facts": facts, **known}


def time_values(recording: Recording) -> dict[str, Any]:
    """Return where the time of a run went; empty unless it is complete."""
    if not isinstance(recording, Run) or "run" not in recording.timers:
        return {}
    phases = {**recording.timers, **parts_of(recording)}
    return {
        "model_time_ms": recording.timed,
        "real_time_factor": real_time_factor(recording),
        "phases_s": phases,
        "imbalance": {name: imbalance(seconds) for name, seconds in phases.items()},
    }


def plain(
    found: Findings,
    table: Mapping[str, Mapping[str, float]],
    rates: Mapping[str, PopulationRate],
    other: Findings | None,
    distances: Mapping[str, Distances],
    spread: Mapping[str, Any],
) -> dict[str, Any]:
    """Return all numbers but those of single neurons, ready for JSON."""
    values = {**_plain_findings(found, table), "rates": _shared("edges_ms", "rates", rates)}
    if other is not None:
        values["comparison"] = {
            "distances": {name: dataclasses.asdict(d) for name, d in distances.items()},
            "natural_spread": spread,
            "other": _plain_findings(other, population_table(other.summaries)),
        }
    return values


def _plain_findings(found: Findings, table: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    summaries = found.summaries
    return {
        "run": run_values(found.recording),
        "window_ms": found.window,
        "bins_ms": dataclasses.asdict(found.widths),
        "notes": list(found.notes),
        "populations": table,
        "intervals": _shared(
            "edges_ms", "counts", {n: (s.isi.edges, s.isi.histogram) for n, s in summaries.items()}
        ),
        "spectra": _shared(
            "frequencies_Hz", "power", {n: s.spectrum for n, s in summaries.items()}
        ),
        "potentials": _plain_potentials(found),
        "samples": [_plain_samples(c) for c in found.columns if not c.is_potential],
        "time": time_values(found.recording),
    }


def _shared(axis: str, values: str, found: Mapping[str, tuple[Floats, Any]]) -> dict[str, Any]:
    """Return series of populations that share an axis."""
    if not found:
        return {}
    places, _ = next(iter(found.values()))
    return {axis: places, values: {name: series for name, (_, series) in first(found).items()}}


def _plain_potentials(found: Findings) -> dict[str, Any]:
    """Return the membrane potentials by population."""
    potentials = [c.statistics for c in found.columns if c.is_potential]
    return {
        name: {
            "neurons": s.neurons,
            "neuron_mean_mV": s.neuron_mean,
            "neuron_sd_mV": s.neuron_sd,
            "edges_mV": s.edges,
            "counts": s.histogram,
        }
        for own in potentials
        for name, s in first(own).items()
    }


def _plain_samples(column: ColumnFindings) -> dict[str, Any]:
    """Return the samples of a column by population, in its unit."""
    populations = {
        name: {
            "neurons": s.neurons,
            "neuron_mean": s.neuron_mean,
            "neuron_sd": s.neuron_sd,
            "edges": s.edges,
            "counts": s.histogram,
        }
        for name, s in first(column.statistics).items()
    }
    return {"variable": column.variable, "unit": column.unit, "populations": populations}
