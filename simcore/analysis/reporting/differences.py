"""How far two runs are apart, beside what another seed would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from simcore.analysis.distances import Distances
from simcore.analysis.raster import COLOURS, literal
from simcore.analysis.reporting.collect import Findings, listed
from simcore.analysis.reporting.quantities import CORRELATION, CV, RATE
from simcore.analysis.reporting.style import NARROW, PANELS, Picture, as_svg, new_figure

if TYPE_CHECKING:
    from simcore.io.recording import Recording

TITLES = {q.key: q.title for q in (RATE, CV, CORRELATION)}

_MARKS = {"rate": "o", "cv": "s", "correlation": "D"}

# Natural spread of the microcircuit at full scale: Kolmogorov-Smirnov distances between runs of 15
# minutes with different seeds, read off a figure of J. Senk et al. (2026),
# doi:10.1088/2634-4386/ae379a
_POPULATIONS = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
_SPREAD = {
    "rate": (0.02, 0.02, 0.01, 0.01, 0.02, 0.03, 0.02, 0.02),
    "cv": (0.01, 0.02, 0.01, 0.01, 0.02, 0.03, 0.01, 0.02),
    "correlation": (0.05, 0.04, 0.05, 0.02, 0.06, 0.02, 0.04, 0.02),
}
SPREAD_SOURCE = (
    "Natural spread: distances between two seeds of the full-scale microcircuit after 15 minutes "
    "of model time, read off a figure of J. Senk et al. (2026), doi:10.1088/2634-4386/ae379a. "
    "Shorter runs have fewer spikes, and differ more."
)


def natural_spread(*runs: Recording) -> dict[str, dict[str, float]]:
    """Return the distances between seeds by quantity and population; empty if not known."""
    if not all(_is_microcircuit(run) for run in runs):
        return {}
    return {key: dict(zip(_POPULATIONS, v, strict=True)) for key, v in _SPREAD.items()}


def _is_microcircuit(run: Recording) -> bool:
    """Return whether a run is of the cortical microcircuit at full scale."""
    config = getattr(run, "config", {})
    parameters = config.get("parameters", {})
    full = isinstance(parameters, dict) and all(
        parameters.get(name, 1.0) == 1.0 for name in ("N_scaling", "K_scaling")
    )
    return config.get("model") == "microcircuit" and full


def distances(found: Mapping[str, Distances], spread: Mapping[str, Mapping[str, float]]) -> Picture:
    """Return the picture of the distances of each population."""
    title = "Distances between the two runs"
    shown = farthest(found, None, PANELS)
    caption = (
        "Kolmogorov-Smirnov distance of the distributions of each quantity in the two runs: the "
        "largest difference of their cumulative distributions, from 0 (equal) to 1 (apart)."
    )
    if len(shown) < len(found):
        caption += f" The {len(shown)} populations that are farthest apart, of {len(found)}."
    caption += f" Bars: natural spread. {SPREAD_SOURCE}" if spread else ""
    values = {key: np.array([getattr(found[n], key) for n in shown]) for key in TITLES}
    alt = f"{title}; largest: " + ", ".join(f"{k} {_largest(v)}" for k, v in values.items())
    if not any(np.isfinite(v).any() for v in values.values()):
        return Picture(title, alt, caption, "", lacking="a run has no spikes")
    figure = new_figure(NARROW, 1.4 + 0.42 * len(shown))
    axes = figure.subplots()
    for k, (key, distance) in enumerate(values.items()):
        heights = np.arange(len(shown)) + 0.24 * (k - 1)
        if spread:
            widths = [spread[key].get(name, 0.0) for name in shown]
            axes.barh(heights, widths, height=0.2, color=COLOURS[k], alpha=0.3)
        axes.plot(
            distance, heights, linestyle="none", marker=_MARKS[key], color=COLOURS[k],
            markersize=6, label=TITLES[key],
        )  # fmt: skip
    axes.set_yticks(range(len(shown)), [literal(name) for name in shown])
    axes.invert_yaxis()
    axes.set_xlim(left=0.0)
    axes.set_xlabel("Kolmogorov-Smirnov distance")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper left", ncols=1)
    return Picture(title, alt, caption, as_svg(figure))


def farthest(found: Mapping[str, Distances], key: str | None, most: int) -> list[str]:
    """Return the populations whose distance is largest, in their order.

    Parameters
    ----------
    found : mapping of str to Distances
        By population.
    key : str, optional
        The quantity; the largest of all of them if left out.
    most : int
        How many.
    """
    keys = list(TITLES) if key is None else [key]
    largest = {n: np.nanmax([0.0, *(getattr(d, k) for k in keys)]) for n, d in found.items()}
    chosen = sorted(largest, key=lambda name: -largest[name])[:most]
    return [name for name in found if name in chosen]


def notes(one: Findings, other: Findings) -> list[str]:
    """Tell in what two runs differ beside their spikes."""
    found = []
    for this, that, which in ((one, other, "this run"), (other, one, "the other run")):
        lone = [name for name in this.summaries if name not in that.summaries]
        if lone:
            found.append(f"Only in {which}: {listed(lone)}.")
    if other.recording.guesses:
        found.append(f"Of the other run: {other.recording.guesses}")
    if one.recording.dt != other.recording.dt:
        found.append(
            f"The time steps differ: {one.recording.dt:g} ms, and {other.recording.dt:g} ms in "
            "the other run."
        )
    if one.window != other.window:
        found.append(
            f"The windows differ: {one.window[0]:g} to {one.window[1]:g} ms, and "
            f"{other.window[0]:g} to {other.window[1]:g} ms in the other run. Rates of single "
            "neurons, their CV and correlations scatter more in a shorter one."
        )
    return found


def _largest(values: np.ndarray) -> str:
    return f"{np.nanmax(values):.3g}" if np.isfinite(values).any() else "unknown"
