"""Pictures of activity: rates over time, spectra, intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.raster import literal
from simcore.analysis.rates import PopulationRate
from simcore.analysis.reporting.distributions import histogram_map, histogram_panels, lacking_note
from simcore.analysis.reporting.quantities import Histogram
from simcore.analysis.reporting.style import (
    MAP,
    NARROW,
    OTHER,
    PANELS,
    WIDE,
    Picture,
    as_png,
    as_svg,
    colour,
    label_rows,
    new_figure,
    panels,
)
from simcore.analysis.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.floating]

# Points of a spectrum that are drawn in a decade, as a line and in a map
_PER_DECADE, _PER_DECADE_MAP = 40, 20


def rates_over_time(rates: Mapping[str, PopulationRate], places: Mapping[str, int]) -> Picture:
    """Return the picture of the rates of populations over time."""
    title = "Population rates over time"
    edges = next(iter(rates.values())).edges
    if not any(found.rates.any() for found in rates.values()):
        return Picture(title, title, "", "", wide=True, lacking="there is no spike")
    caption = (
        f"Spikes of a population in bins of {edges[1] - edges[0]:.4g} ms, over the number of its "
        "neurons and the length of a bin (1/s). Horizontal axis: model time. "
    )
    alt = f"Rates of {len(rates)} populations from {edges[0]:g} to {edges[-1]:g} ms"
    if len(rates) > PANELS:
        caption += (
            "One row for each population, from top to bottom in the order of the model; the "
            "colours reach up to the largest 1 % of all values."
        )
        return Picture(title, alt, caption, _rate_map(rates), wide=True)
    figure = new_figure(WIDE, 0.6 + 0.72 * len(rates))
    all_axes = figure.subplots(len(rates), 1, sharex=True, squeeze=False).ravel()
    for axes, (name, found) in zip(all_axes, rates.items(), strict=True):
        shade = colour(places[name])
        axes.stairs(found.rates, found.edges, fill=True, color=shade, alpha=0.35)
        axes.stairs(found.rates, found.edges, color=shade, linewidth=0.8)
        axes.set_ylim(0.0, max(1.05 * found.rates.max(), 1e-3))
        axes.locator_params(axis="y", nbins=2)
        axes.set_ylabel(literal(name), rotation=0, ha="right", va="center", fontweight="bold")
    all_axes[-1].set_xlim(edges[0], edges[-1])
    all_axes[-1].set_xlabel("time (ms)")
    figure.suptitle("rate (1/s)", x=0.02, ha="left", fontsize="medium")
    return Picture(title, alt, caption, as_svg(figure), wide=True)


def _rate_map(rates: Mapping[str, PopulationRate]) -> str:
    rows = np.array([found.rates for found in rates.values()])
    edges = next(iter(rates.values())).edges
    figure = new_figure(WIDE, 5.4)
    axes = figure.subplots()
    top = max(float(np.quantile(rows, 0.99)), 1e-9)
    image = axes.imshow(
        rows, aspect="auto", extent=(edges[0], edges[-1], len(rows) - 0.5, -0.5), cmap=MAP,
        vmin=0.0, vmax=top, interpolation="nearest",
    )  # fmt: skip
    label_rows(axes, list(rates))
    axes.set_xlabel("time (ms)")
    bar = figure.colorbar(image, ax=axes, extend="max", shrink=0.6, pad=0.02)
    bar.set_label("rate (1/s)")
    return as_png(figure)


def spectra(
    one: Mapping[str, Summary],
    other: Mapping[str, Summary],
    places: Mapping[str, int],
    width: float,
) -> Picture:
    """Return the picture of the power spectra of the population rates."""
    title = "Power spectra"
    known = {n: s for n, s in one.items() if s.spectrum.power.any()}
    caption = (
        "Power spectral density of the mean rate over the neurons of a population, from counts in "
        f"bins of {width:.4g} ms (Welch 1967: Hann window, segments that overlap by half). A peak "
        "is a rhythm: the population fires together so many times a second. "
    )
    alt = f"Power spectra of {len(known)} populations; {_peaks(known)}"
    if not known:
        lacking = "there is no spike, or the window is too short"
        return Picture(title, alt, caption, "", lacking=lacking)
    if len(one) > PANELS:
        caption += (
            "One row for each population, from top to bottom in the order of the model; the scale "
            "of colours is logarithmic. Each row is relative to the level of as many independent "
            "Poisson processes of the same rate, 2r/n; high frequencies are averaged over "
            "neighbours."
        )
        return Picture(title, alt, caption, _spectrum_map(known))
    caption += (
        "High frequencies are averaged over neighbours. Dotted: the level of as many independent "
        "Poisson processes of the same rate, 2r/n."
    )
    figure, all_axes = panels(len(known))
    for axes, (name, summary) in zip(all_axes, known.items(), strict=True):
        _draw_spectrum(axes, summary, {"color": colour(places[name]), "linewidth": 1.1})
        axes.axhline(_poisson_level(summary), color="0.35", linestyle=":", linewidth=1.0)
        if name in other and other[name].spectrum.power.any():
            _draw_spectrum(axes, other[name], OTHER)
        axes.loglog()
        axes.minorticks_off()
        axes.set_title(literal(name), loc="left", fontsize="medium", fontweight="bold", pad=2)
    if any(name in other for name in known):
        caption += " Dashed: the other run."
    caption += lacking_note(one, known, "no spike")
    figure.supxlabel("frequency (Hz)", fontsize="medium")
    figure.supylabel("power density ((1/s)²/Hz)", fontsize="medium")
    return Picture(title, alt, caption, as_svg(figure))


def _draw_spectrum(axes: Axes, summary: Summary, style: Mapping[str, Any]) -> None:
    frequencies, power = _smoothed(*summary.spectrum)
    axes.plot(frequencies, np.where(power > 0.0, power, np.nan), **style)


def _smoothed(
    frequencies: Floats, power: Floats, per_decade: int = _PER_DECADE
) -> tuple[Floats, Floats]:
    """Average a spectrum in bins of equal ratio, as far as a bin has more than one frequency."""
    bins = np.rint(per_decade * np.log10(frequencies)).astype(np.int64)
    _, inverse, n = np.unique(bins, return_inverse=True, return_counts=True)
    return np.bincount(inverse, frequencies) / n, np.bincount(inverse, power) / n


def _log_edges(centres: Floats) -> Floats:
    """Return borders of bins half way between their centres, on a logarithmic axis."""
    logs = np.log(centres)
    inner = 0.5 * (logs[1:] + logs[:-1])
    first, last = (
        (logs[0] - 0.1, logs[-1] + 0.1)
        if logs.size == 1
        else (2 * logs[0] - inner[0], 2 * logs[-1] - inner[-1])
    )
    return np.exp(np.concatenate([[first], inner, [last]]))


def _poisson_level(summary: Summary) -> float:
    return 2.0 * summary.rate / summary.selection.n_neurons


def _spectrum_map(known: Mapping[str, Summary]) -> str:
    from matplotlib.colors import LogNorm

    spectra = [_smoothed(*s.spectrum, _PER_DECADE_MAP) for s in known.values()]
    rows = np.array(
        [p / _poisson_level(s) for (_, p), s in zip(spectra, known.values(), strict=True)]
    )
    figure = new_figure(NARROW, 5.0)
    axes = figure.subplots()
    low, high = np.quantile(rows[rows > 0.0], (0.01, 0.99))
    mesh = axes.pcolormesh(
        _log_edges(spectra[0][0]), np.arange(len(rows) + 1) - 0.5, rows, cmap=MAP, rasterized=True,
        norm=LogNorm(low, max(high, 1.01 * low)),
    )  # fmt: skip
    axes.invert_yaxis()
    axes.set_xscale("log")
    label_rows(axes, list(known))
    axes.set_xlabel("frequency (Hz)")
    bar = figure.colorbar(mesh, ax=axes, extend="both", shrink=0.6, pad=0.02)
    bar.set_label("power over Poisson level")
    return as_png(figure)


def _peaks(known: Mapping[str, Summary], most: int = 12) -> str:
    peaks = [
        f"{n} {s.spectrum.frequencies[np.argmax(s.spectrum.power)]:.3g}" for n, s in known.items()
    ]
    more = ", ..." if len(peaks) > most else ""
    return f"highest at (Hz): {', '.join(peaks[:most])}{more}"


def intervals(
    one: Mapping[str, Summary], other: Mapping[str, Summary], places: Mapping[str, int]
) -> Picture:
    """Return the picture of the intervals between the spikes of each neuron."""
    title, label = "Intervals between spikes", "interval (ms)"
    lacking = "no neuron has two spikes"
    caption = (
        "Intervals between successive spikes of the same neuron, those of all neurons of a "
        "population together; ten bins in a decade, so that equal widths are equal ratios. "
    )
    span = _span([*one.values(), *other.values()])
    if span is None:
        return Picture(title, title, caption, "", lacking=lacking)
    first = {n: h for n, s in one.items() if (h := _interval_histogram(s, span))}
    if len(one) > PANELS:
        caption += (
            "One row for each population, from top to bottom in the order of the model; the "
            "brighter, the more of its intervals are in a bin."
        )
        rows = {name: first.get(name) for name in one}
        edges = next(iter(first.values())).edges
        return histogram_map(title, label, caption, rows, list(edges), log=True)
    second = {n: h for n, s in other.items() if n in one and (h := _interval_histogram(s, span))}
    caption += "Height: percentage of the intervals in a bin."
    caption += " Dashed: the other run." if second else ""
    caption += lacking_note(one, first, lacking)
    return histogram_panels(
        title, label, caption, first, second, places, "% of intervals", lacking, log=True
    )


def _span(summaries: list[Summary]) -> slice | None:
    """Return the bins of the histograms of intervals that some population fills."""
    filled = np.flatnonzero(np.sum([s.isi.histogram for s in summaries], axis=0))
    return slice(int(filled[0]), int(filled[-1]) + 1) if filled.size else None


def _interval_histogram(summary: Summary, span: slice) -> Histogram | None:
    n = int(summary.isi.n.sum())
    edges = summary.isi.edges[span.start : span.stop + 1]
    return Histogram(edges, summary.isi.histogram[span], n) if n else None
