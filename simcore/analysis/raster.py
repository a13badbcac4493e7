"""A picture of a run: the spikes of a window of time, and the mean rates."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.io.recording import names_of
from simcore.io.text import printable
from simcore.services.errors import ConfigError, require, unwritable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simcore.io import Run

# Okabe and Ito's colours, which readers of any colour vision can tell apart, without the yellow
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#333333")

_WINDOW = 200.0

# Size of the picture [inch]; it grows with many populations so that their names stay apart
_WIDTH, _HEIGHT, _HEIGHT_PER_BAND = 8.0, 5.2, 0.22

# Rows that even a small population gets, as a share of all
_MIN_SHARE = 0.02

# Thickness of a bar at most, as a share of all rows
_THICKEST_BAR = 0.05


@dataclass(frozen=True)
class _Band:
    """The rows of one population: neuron ``ids[k]`` is drawn at height ``bottom + k``."""

    name: str
    colour: str
    ids: NDArray[np.int64]
    bottom: int

    @property
    def middle(self) -> float:
        return self.bottom + 0.5 * (self.ids.size - 1)


def raster(
    run: Run,
    path: str | os.PathLike[str],
    window: tuple[float, float] | None = None,
    populations: str | Sequence[str] | None = None,
    max_neurons: int = 2000,
) -> None:
    """Draw the spikes of a window of time, with the mean rates beside them.

    Populations are stacked from top to bottom in their order. When there are more neurons than
    `max_neurons`, evenly spaced ones are drawn: the same share of every population, though a small
    one keeps enough rows to be seen. The rates are those of all recorded neurons over the run.

    Parameters
    ----------
    run : Run
        The run.
    path : str or path
        The picture; its ending gives the format, such as .png, .pdf or .svg.
    window : (float, float), optional
        After the first, up to and with the second [ms]; the last 200 ms if left out.
    populations : str or sequence of str, optional
        Which ones; all that were recorded if left out.
    max_neurons : int
        How many rows to draw, but for those that small populations keep.

    Raises
    ------
    ModelError
        When there is nothing to draw, or no such population.
    ConfigError
        When the window is empty or `max_neurons` too small.
    OutputError
        When the picture cannot be written.
    """
    names = names_of(populations, run.recorded)
    require(bool(names), "raster: populations", names, "at least one whose spikes were recorded")
    require(max_neurons >= 1, "raster: max_neurons", max_neurons, ">= 1", error=ConfigError)
    start, stop = _last_window(run) if window is None else window
    require(start < stop, "raster: window", (start, stop), "(start, stop)", error=ConfigError)
    bands = _stack(run, names, max_neurons)
    figure = _draw(run, bands, start, stop)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise unwritable(f"picture {os.fspath(path)!r}", error) from error


def literal(name: str) -> str:
    """Return a name on one line, which Matplotlib does not take for a formula."""
    return printable(name).replace("$", r"\$")


def _last_window(run: Run) -> tuple[float, float]:
    stop = run.rates(run.record_from).stop
    return max(run.record_from, stop - _WINDOW), max(stop, run.record_from + run.dt)


def _stack(run: Run, names: Sequence[str], max_neurons: int) -> list[_Band]:
    """Choose the neurons to draw and stack them, the first population on top."""
    recorded = {name: run.recorded_ids(name) for name in names}
    total = sum(len(ids) for ids in recorded.values())
    share = min(1.0, max_neurons / total)
    fewest = max(1, round(min(_MIN_SHARE, 0.5 / len(names)) * max_neurons))
    bands, bottom = [], 0
    for name in reversed(names):
        ids = recorded[name]
        rows = min(len(ids), max(round(share * len(ids)), fewest))
        chosen = np.asarray(ids)[np.arange(rows) * len(ids) // rows]
        bands.append(
            _Band(name, COLOURS[run.populations.index(name) % len(COLOURS)], chosen, bottom)
        )
        bottom += rows
    return bands[::-1]


def _draw(run: Run, bands: list[_Band], start: float, stop: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            'raster: matplotlib is not installed. Install it with pip install "simcore[plot]".'
        ) from error
    height = max(_HEIGHT, 1.0 + _HEIGHT_PER_BAND * len(bands))
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(5, 1))
    _draw_spikes(left, run, bands, start, stop)
    _draw_rates(right, run, bands)
    n_rows = sum(band.ids.size for band in bands)
    n_all = sum(len(run.recorded_ids(band.name)) for band in bands)
    shown = f"{n_rows:,} of {n_all:,} neurons" if n_rows < n_all else f"{n_all:,} neurons"
    left.set_title(f"{start:g} to {stop:g} ms of model time, {shown}", fontsize="medium")
    left.set_ylim(-0.5, n_rows - 0.5)
    return figure


def _draw_spikes(axes: Axes, run: Run, bands: list[_Band], start: float, stop: float) -> None:
    drawn = [_drawn_spikes(run, band, start, stop) for band in bands]
    n_spikes = sum(times.size for times, _ in drawn)
    size = min(3.0, max(0.6, 110.0 / max(n_spikes, 1) ** 0.5))
    for band, (times, heights) in zip(bands, drawn, strict=True):
        axes.plot(
            times, heights, linestyle="none", marker="o", markersize=size, markeredgewidth=0,
            color=band.colour, rasterized=True,
        )  # fmt: skip
        if band.bottom:
            axes.axhline(band.bottom - 0.5, color="0.85", linewidth=0.6, zorder=0)
    axes.set_xlim(start, stop)
    axes.set_xlabel("time (ms)")
    _label_bands(axes, bands)


def _drawn_spikes(
    run: Run, band: _Band, start: float, stop: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return time and height of the spikes of the chosen neurons of a window."""
    times, node_ids = run.spikes(band.name, start, stop)
    rows = np.searchsorted(band.ids, node_ids)
    chosen = band.ids[np.minimum(rows, band.ids.size - 1)] == node_ids
    return times[chosen], band.bottom + rows[chosen]


def _draw_rates(axes: Axes, run: Run, bands: list[_Band]) -> None:
    rates = run.rates(run.record_from)
    values = [rates[band.name] for band in bands]
    thickest = _THICKEST_BAR * sum(band.ids.size for band in bands)
    for band, value in zip(bands, values, strict=True):
        thickness = min(0.8 * band.ids.size, thickest)
        axes.barh(band.middle, value, height=thickness, color=band.colour)
        axes.annotate(
            f"{value:.2g}" if value < 10 else f"{value:.0f}", (value, band.middle),
            xytext=(3, 0), textcoords="offset points", va="center", fontsize="small",
        )  # fmt: skip
    axes.set_xlim(0.0, 1.35 * max([*values, 1e-3]))
    axes.set_xlabel("mean rate (1/s)")
    axes.tick_params(left=False, labelleft=False)
    _strip(axes)


def _label_bands(axes: Axes, bands: list[_Band]) -> None:
    """Name the populations at the left, each in its colour."""
    axes.set_yticks([band.middle for band in bands], [literal(band.name) for band in bands])
    for label, band in zip(axes.get_yticklabels(), bands, strict=True):
        label.set_color(band.colour)
    axes.tick_params(left=False)
    _strip(axes)


def _strip(axes: Any) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
