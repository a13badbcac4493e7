"""Pictures of spikes: a dot for each, or a density where there are too many."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.analysis.raster import literal
from simcore.analysis.reporting.collect import Findings
from simcore.analysis.reporting.style import WIDE, Picture, as_png, colour, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Populations whose names and rates are written; of more, some are
_NAMED = 24

# Thickness of a bar at most, as a share of the height
_THICKEST = 0.05

_DENSEST = 0.99
_PALEST = 0.6


def dots(found: Findings, places: Mapping[str, int]) -> Picture:
    """Return the picture of single spikes, with the rates beside it."""
    start, stop = found.dots_window
    drawn, all_ = sum(found.dot_rows.values()), _n_neurons(found)
    which = f"{drawn:,} of {all_:,} neurons, evenly spaced ones" if drawn < all_ else "all neurons"
    title = f"Spikes from {start:g} to {stop:g} ms"
    n = sum(part.times.size for part in found.dots.values())
    caption = (
        f"Left: one dot for each spike of {which}, in the order of their ids, populations from top "
        "to bottom in the order of the model, each in a colour. Horizontal axis: model time. "
        f"Right: mean rate over all neurons of a population in the whole window, "
        f"{_span(found.window)}, in spikes per second and neuron."
    )
    alt = f"Raster of {n:,} spikes of {which}; {_rates_text(found)}"
    if not n:
        lacking = "no drawn neuron has a spike in this window"
        return Picture(title, alt, caption, "", wide=True, lacking=lacking)
    figure, left, right = _frame(len(found.dots))
    bands = _bands(found.dot_rows)
    size = min(3.0, max(0.8, 110.0 / n**0.5))
    for shade, names in _by_colour(found.dots, places).items():
        parts = [(found.dots[name].times, bands[name][0] + found.dots[name].rows) for name in names]
        times, heights = (np.concatenate(x) for x in zip(*parts, strict=True))
        left.plot(
            times, heights, linestyle="none", marker="o", markersize=size, markeredgewidth=0,
            color=shade, rasterized=True,
        )  # fmt: skip
    _finish(figure, left, right, found, bands, places)
    left.set_xlim(start, stop)
    return Picture(title, alt, caption, as_png(figure), wide=True)


def density(found: Findings, places: Mapping[str, int]) -> Picture | None:
    """Return the picture of all spikes as a density; None where the dots show all."""
    if not found.density:
        return None
    start, stop = found.window
    title = f"All spikes from {start:g} to {stop:g} ms"
    width = (stop - start) / next(iter(found.density.values())).shape[1]
    n_spikes = sum(found.summaries[name].n_spikes for name in found.density)
    caption = (
        f"Left: density of all {n_spikes:,} spikes. Each pixel counts those of some "
        f"neighbouring neurons in about {width:.3g} ms; the darker, the higher their rate, for "
        "each population up to its densest 1 %. Populations from top to bottom in the order of "
        "the model. Right: mean rate of each population, in spikes per second and neuron."
    )
    figure, left, right = _frame(len(found.density))
    bands = _bands({n: d.shape[0] for n, d in found.density.items()})
    total = sum(d.shape[0] for d in found.density.values())
    columns = next(iter(found.density.values())).shape[1]
    image = np.ones((total, columns, 3))
    for name, rates in found.density.items():
        bottom, rows = bands[name]
        image[bottom : bottom + rows] = _shaded(rates, colour(places[name]))
    left.imshow(
        image, aspect="auto", origin="lower", extent=(start, stop, -0.5, total - 0.5),
        interpolation="nearest",
    )  # fmt: skip
    _finish(figure, left, right, found, bands, places)
    alt = f"Density of {n_spikes:,} spikes over neurons and time; {_rates_text(found)}"
    return Picture(title, alt, caption, as_png(figure), wide=True)


def _shaded(rates: NDArray[np.floating], shade: str) -> NDArray[np.floating]:
    """Return rates as colours, from white to that of the population."""
    from matplotlib.colors import to_rgb

    some = rates[rates > 0.0]
    top = float(np.quantile(some, _DENSEST)) if some.size else 1.0
    strength = np.minimum(rates / top, 1.0)[..., None] ** _PALEST
    return 1.0 - strength * (1.0 - np.array(to_rgb(shade)))


def _frame(n: int) -> tuple[Figure, Axes, Axes]:
    """Return a figure with axes for spikes and for rates."""
    figure = new_figure(WIDE, min(7.0, max(4.2, 1.0 + 0.22 * n)))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    return figure, left, right


def _bands(rows: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Stack populations, the first on top; return the bottom and the height of each."""
    found, bottom = {}, 0
    for name in reversed(list(rows)):
        found[name] = bottom, rows[name]
        bottom += rows[name]
    return {name: found[name] for name in rows}


def _finish(
    figure: Figure,
    left: Axes,
    right: Axes,
    found: Findings,
    bands: Mapping[str, tuple[int, int]],
    places: Mapping[str, int],
) -> None:
    """Name the populations at the left, and draw their rates at the right."""
    total = sum(rows for _, rows in bands.values())
    rates = {name: found.summaries[name].rate for name in bands}
    few = len(bands) <= _NAMED
    if few:
        for name, (bottom, rows) in bands.items():
            middle = bottom + 0.5 * (rows - 1)
            thickness = min(0.8 * rows, _THICKEST * total)
            right.barh(middle, rates[name], height=thickness, color=colour(places[name]))
            text = f"{rates[name]:.2g}" if rates[name] < 10 else f"{rates[name]:.0f}"
            right.annotate(
                text, (rates[name], middle), xytext=(3, 0), textcoords="offset points",
                va="center", fontsize="small",
            )  # fmt: skip
            if bottom:
                left.axhline(bottom - 0.5, color="0.8", linewidth=0.6)
    else:
        _draw_many_rates(right, rates, bands, places)
    _name_bands(left, bands)
    left.set_ylim(-0.5, total - 0.5)
    left.set_xlabel("time (ms)")
    right.set_xlim(0.0, (1.5 if few else 1.05) * max([*rates.values(), 1e-3]))
    right.set_xlabel("rate (1/s)")
    right.tick_params(left=False, labelleft=False)
    right.locator_params(axis="x", nbins=3)
    right.spines["left"].set_visible(False)


def _draw_many_rates(
    axes: Axes,
    rates: Mapping[str, float],
    bands: Mapping[str, tuple[int, int]],
    places: Mapping[str, int],
) -> None:
    """Draw the bars of many populations as one object, without gaps."""
    from matplotlib.collections import PolyCollection

    low = np.array([bottom for bottom, _ in bands.values()]) - 0.5
    high = low + [rows for _, rows in bands.values()]
    none, right = np.zeros(low.size), np.array([rates[name] for name in bands])
    corners = np.array([[none, low], [right, low], [right, high], [none, high]]).transpose(2, 0, 1)
    shades = [colour(places[name]) for name in bands]
    axes.add_collection(PolyCollection(list(corners), facecolors=shades))


def _by_colour(names: Iterable[str], places: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the populations of each colour."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(colour(places[name]), []).append(name)
    return found


def _name_bands(axes: Axes, bands: Mapping[str, tuple[int, int]]) -> None:
    """Name populations at the left; of many, some."""
    step = math.ceil(len(bands) / _NAMED)
    some = list(bands.items())[::step]
    axes.set_yticks(
        [b + 0.5 * (rows - 1) for _, (b, rows) in some], [literal(name) for name, _ in some]
    )
    axes.tick_params(axis="y", length=0 if step == 1 else 3)
    axes.spines["left"].set_visible(False)


def _n_neurons(found: Findings) -> int:
    return sum(s.selection.n_neurons for s in found.summaries.values())


def _span(window: tuple[float, float]) -> str:
    return f"{window[0]:g} to {window[1]:g} ms"


def _rates_text(found: Findings, most: int = 12) -> str:
    rates = [f"{n} {s.rate:.3g}" for n, s in islice(found.summaries.items(), most)]
    more = ", ..." if len(found.summaries) > most else ""
    return f"mean rates (1/s): {', '.join(rates)}{more}"
