"""Pictures of distributions: a panel for each population, or a map of many."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from simcore.analysis.raster import literal
from simcore.analysis.reporting.collect import listed
from simcore.analysis.reporting.quantities import (
    Histogram,
    Quantity,
    common_edges,
    edges_of,
    histogram,
    histograms,
)
from simcore.analysis.reporting.style import (
    MAP,
    NARROW,
    OTHER,
    PANELS,
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

_READING = (
    "Height: percentage of the {what} in a bin; the outermost are not shown. Triangle: median."
)
_READING_MAP = (
    "One row for each population, from top to bottom in the order of the model; the brighter, "
    "the more of its {what} are in a bin, up to the brightest 1 % of all bins."
)
_READING_OTHER = " Dashed: the other run."


def distribution(
    quantity: Quantity,
    one: Mapping[str, Summary],
    other: Mapping[str, Summary],
    places: Mapping[str, int],
    note: str = "",
) -> Picture:
    """Return the picture of the distributions of a quantity.

    Parameters
    ----------
    quantity : Quantity
        What to show.
    one, other : mapping of str to Summary
        The run, and the one it is compared with or nothing.
    places : mapping of str to int
        Place of each population in the model, which gives its colour.
    note : str
        More for the caption, such as the width of bins.
    """
    what = "pairs" if quantity.key == "correlation" else "neurons"
    caption = f"{quantity.caption} {note}".strip()
    if len(one) > PANELS:
        return _distribution_map(quantity, one, f"{caption} {_READING_MAP.format(what=what)}")
    edges = edges_of(quantity, one, {n: s for n, s in other.items() if n in one})
    first = histograms(quantity, one, edges)
    second = histograms(quantity, {n: s for n, s in other.items() if n in one}, edges)
    caption = f"{caption} {_READING.format(what=what)}" + (_READING_OTHER if second else "")
    caption += lacking_note(one, first, quantity.lacking)
    return histogram_panels(
        quantity.title, quantity.label, caption, first, second, places, f"% of {what}",
        quantity.lacking,
    )  # fmt: skip


def lacking_note(names: Iterable[str], found: Container[str], reason: str) -> str:
    """Return a sentence about the populations that have no histogram."""
    lone = [name for name in names if name not in found]
    return f" Nothing of {listed(lone)}: {reason}." if lone else ""


def histogram_panels(
    title: str,
    label: str,
    caption: str,
    one: Mapping[str, Histogram],
    other: Mapping[str, Histogram],
    places: Mapping[str, int],
    height_label: str,
    lacking: str,
    log: bool = False,
) -> Picture:
    """Return a picture with a histogram for each population."""
    alt = f"{title}: a histogram for each of {len(one)} populations; {_medians(one)}"
    if not one:
        return Picture(title, alt, caption, "", lacking=lacking)
    figure, all_axes = panels(len(one))
    for axes, (name, found) in zip(all_axes, one.items(), strict=True):
        _draw_histogram(axes, found, colour(places[name]))
        if name in other:
            second = other[name]
            axes.stairs(second.percent, second.edges, **OTHER)
        if log:
            axes.semilogx()
            axes.minorticks_off()
        _name_panel(axes, name)
        axes.set_ylim(bottom=0.0)
    figure.supxlabel(label, fontsize="medium")
    figure.supylabel(height_label, fontsize="medium")
    return Picture(title, alt, caption, as_svg(figure))


def _draw_histogram(axes: Axes, found: Histogram, shade: str) -> None:
    axes.stairs(found.percent, found.edges, fill=True, color=shade, alpha=0.55)
    axes.stairs(found.percent, found.edges, color=shade, linewidth=1.0)
    if found.edges[0] <= found.median <= found.edges[-1]:
        axes.plot(
            found.median, 0.0, marker="^", color=shade, markersize=6, markeredgecolor="white",
            markeredgewidth=0.6, clip_on=False, zorder=5,
        )  # fmt: skip


def _name_panel(axes: Axes, name: str) -> None:
    """Name a population in the corner of its panel."""
    axes.set_title(literal(name), loc="left", fontsize="medium", fontweight="bold", pad=2)
    axes.locator_params(axis="y", nbins=3)


def _medians(found: Mapping[str, Histogram], most: int = 12) -> str:
    known = {n: h.median for n, h in found.items() if np.isfinite(h.median)}
    texts = [f"{name} {median:.3g}" for name, median in list(known.items())[:most]]
    return f"medians: {', '.join(texts)}" if texts else "no medians"


def _distribution_map(quantity: Quantity, one: Mapping[str, Summary], caption: str) -> Picture:
    edges = common_edges(quantity, one.values())
    if edges is None:
        return Picture(quantity.title, quantity.title, caption, "", lacking=quantity.lacking)
    found = {n: histogram(quantity.known(s), edges) for n, s in one.items()}
    return histogram_map(quantity.title, quantity.label, caption, found, list(edges))


def histogram_map(
    title: str,
    label: str,
    caption: str,
    found: Mapping[str, Histogram | None],
    edges: Sequence[float],
    log: bool = False,
) -> Picture:
    """Return a picture with a row of colours for each population."""
    rows = np.array([h.percent if h else np.full(len(edges) - 1, np.nan) for h in found.values()])
    figure = new_figure(NARROW, 5.0)
    axes = figure.subplots()
    top = float(np.nanquantile(rows, 0.99)) if np.isfinite(rows).any() else 1.0
    borders = np.arange(len(found) + 1) - 0.5
    mesh = axes.pcolormesh(
        edges, borders, rows, cmap=MAP, vmin=0.0, vmax=max(top, 1e-9), rasterized=True
    )
    axes.invert_yaxis()
    if log:
        axes.set_xscale("log")
    label_rows(axes, list(found))
    axes.set_xlabel(label)
    bar = figure.colorbar(mesh, ax=axes, extend="max", shrink=0.6, pad=0.02)
    bar.set_label("% of the population")
    known = {n: h for n, h in found.items() if h}
    alt = f"{title}: a row of colours for each of {len(found)} populations; {_medians(known, 4)}"
    return Picture(title, alt, caption, as_png(figure))
