"""Pictures of samples: membrane potentials, and other columns of neurons."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simcore.analysis.raster import literal
from simcore.analysis.reporting.collect import ColumnFindings
from simcore.analysis.reporting.distributions import histogram_map, histogram_panels
from simcore.analysis.reporting.quantities import Histogram
from simcore.analysis.reporting.style import (
    PANELS,
    WIDE,
    Picture,
    as_svg,
    colour,
    new_figure,
)
from simcore.analysis.samples import SampleStatistics, coarser

# Styles of the traces of a panel
_LINES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))


def names_of(column: ColumnFindings) -> tuple[str, str, str]:
    """Return what a column is called: many of it, one, and at axes."""
    many = one = column.variable
    if column.is_potential:
        many, one = "Membrane potentials", "membrane potential"
    return many, one, literal(f"{one} ({column.unit})")


def traces(found: ColumnFindings, places: Mapping[str, int]) -> Picture:
    """Return the picture of the samples of some neurons."""
    many, _, label = names_of(found)
    some = found.traces
    figure = new_figure(WIDE, 0.6 + 1.15 * len(some))
    all_axes = figure.subplots(len(some), 1, sharex=True, squeeze=False).ravel()
    for axes, (name, trace) in zip(all_axes, some.items(), strict=True):
        for k, style in zip(range(trace.node_ids.size), _LINES, strict=False):
            shade = colour(places[name]) if k % 2 == 0 else "#333333"
            axes.plot(trace.times, trace.values[:, k], color=shade, linestyle=style, linewidth=0.9)
        axes.set_title(
            f"{literal(name)}: neurons {', '.join(map(str, trace.node_ids.tolist()))}", loc="left",
            fontsize="medium", pad=2,
        )  # fmt: skip
        axes.locator_params(axis="y", nbins=4)
    all_axes[-1].set_xlabel("time (ms)")
    figure.supylabel(label, fontsize="medium")
    caption = (
        f"{found.variable} of the first recorded neurons of a population, in {found.unit}, over "
        "model time, at the end of the window. "
    )
    if found.is_potential:
        caption += (
            "Spikes are not drawn: the potential drops to its reset value where a neuron has "
            "fired. "
        )
    caption += "Lines: solid, dashed, dotted, dash-dotted in the order of the ids above each panel."
    more = len(found.statistics) - len(some)
    caption += f" {more} more populations are in the numbers only." if more else ""
    alt = f"{many}: traces of {len(some)} populations"
    return Picture(f"{many} of single neurons", alt, caption, as_svg(figure), wide=True)


def distribution(
    found: ColumnFindings, other: Mapping[str, SampleStatistics], places: Mapping[str, int]
) -> Picture:
    """Return the picture of the distributions of the samples, beside those of another run."""
    one = found.statistics
    both = {n: s for n, s in other.items() if n in one}
    _, one_of, label = names_of(found)
    title = f"Distribution of the {one_of}" if found.is_potential else f"Distribution of {one_of}"
    width = max(_width(s) for s in (*one.values(), *both.values()))
    caption = (
        "All samples of all recorded neurons of a population in the window, in bins of "
        f"{width:.3g} {found.unit}. "
    )
    if len(one) > PANELS:
        caption += "The brighter, the more samples are in a bin."
        first = {n: _histogram(s, width) for n, s in one.items()}
        low = min(h.edges[0] for h in first.values())
        high = max(h.edges[-1] for h in first.values())
        edges = np.arange(low, high + 0.5 * width, width)
        rows: dict[str, Histogram | None] = {n: _widened(h, edges) for n, h in first.items()}
        return histogram_map(title, label, caption, rows, list(edges))
    first = {n: _histogram(s, width) for n, s in one.items()}
    second = {n: _histogram(s, width) for n, s in both.items()}
    caption += "Height: percentage of the samples in a bin."
    caption += " Dashed: the other run." if second else ""
    return histogram_panels(title, label, caption, first, second, places, "% of samples", "")


def _width(found: SampleStatistics) -> float:
    return float(found.edges[1] - found.edges[0])


def _histogram(found: SampleStatistics, width: float) -> Histogram:
    edges, counts = coarser(found.edges, found.histogram, width)
    return Histogram(edges, counts, int(counts.sum()))


def _widened(found: Histogram, edges: np.ndarray) -> Histogram:
    """Return a histogram on a wider range of bins of the same width."""
    counts = np.zeros(edges.size - 1, dtype=np.int64)
    first = int(np.searchsorted(edges, found.edges[0] - 1e-9 * (edges[1] - edges[0])))
    counts[first : first + found.counts.size] = found.counts
    return Histogram(edges, counts, found.n)
