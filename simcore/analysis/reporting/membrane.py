"""Pictures of membrane potentials."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simcore.analysis.potentials import PotentialStatistics
from simcore.analysis.raster import literal
from simcore.analysis.reporting.collect import Findings
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

# Styles of the traces of a panel
_LINES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))


def traces(found: Findings, places: Mapping[str, int]) -> Picture:
    """Return the picture of the potentials of some neurons."""
    title = "Membrane potentials of single neurons"
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
    figure.supylabel("membrane potential (mV)", fontsize="medium")
    more = len(found.potentials) - len(some)
    caption = (
        "Membrane potential V_m of the first recorded neurons of a population, in mV, over model "
        "time, at the end of the window. Spikes are not drawn: the potential drops to its reset "
        "value where a neuron has fired. Lines: solid, dashed, dotted, dash-dotted in the order "
        "of the ids above each panel."
    )
    caption += f" {more} more populations are in the numbers only." if more else ""
    alt = f"Traces of membrane potentials of {len(some)} populations"
    return Picture(title, alt, caption, as_svg(figure), wide=True)


def distribution(
    one: Mapping[str, PotentialStatistics],
    other: Mapping[str, PotentialStatistics],
    places: Mapping[str, int],
) -> Picture:
    """Return the picture of the distributions of the potentials."""
    title, label = "Distribution of the membrane potential", "membrane potential (mV)"
    caption = (
        "All samples of all recorded neurons of a population in the window, in bins of "
        f"{_width(one):.3g} mV. "
    )
    if len(one) > PANELS:
        caption += "The brighter, the more samples are in a bin."
        low = min(p.edges[0] for p in one.values())
        high = max(p.edges[-1] for p in one.values())
        edges = np.arange(low, high + 0.5 * _width(one), _width(one))
        rows: dict[str, Histogram | None] = {n: _widened(p, edges) for n, p in one.items()}
        return histogram_map(title, label, caption, rows, list(edges))
    first = {n: _histogram(p) for n, p in one.items()}
    second = {n: _histogram(p) for n, p in other.items() if n in one}
    caption += "Height: percentage of the samples in a bin."
    caption += " Dashed: the other run." if second else ""
    return histogram_panels(title, label, caption, first, second, places, "% of samples", "")


def _width(potentials: Mapping[str, PotentialStatistics]) -> float:
    edges = next(iter(potentials.values())).edges
    return float(edges[1] - edges[0])


def _histogram(found: PotentialStatistics) -> Histogram:
    return Histogram(found.edges, found.histogram, int(found.histogram.sum()))


def _widened(found: PotentialStatistics, edges: np.ndarray) -> Histogram:
    """Return a histogram on a wider range of bins of the same width."""
    counts = np.zeros(edges.size - 1, dtype=np.int64)
    first = int(np.searchsorted(edges, found.edges[0] - 1e-9))
    counts[first : first + found.histogram.size] = found.histogram
    return Histogram(edges, counts, int(counts.sum()))
