"""How pictures look, and how they get into the page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simcore.analysis.raster import COLOURS, literal
from simcore.services.extras import load

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Populations that get a panel each; more are drawn as the rows of a map
PANELS = 12

# Colours of maps, readable in any colour vision and in grey
MAP = "cividis"

# Colour and style of the other run
OTHER: dict[str, Any] = {"color": "#000000", "linestyle": (0, (3, 1.5)), "linewidth": 1.1}

# Width of a picture [inch]; text of this size stays readable on a phone
NARROW, WIDE = 5.2, 5.8

_STYLE = {
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.5,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "figure.dpi": 96,
    "svg.hashsalt": "simcore",
    "axes.unicode_minus": True,
}
_DPI = 200


@dataclass(frozen=True)
class Picture:
    """A picture in the page.

    Parameters
    ----------
    title : str
        Above it.
    alt : str
        What it shows, for those who cannot see it.
    caption : str
        What it means: units, definitions, how to read it.
    uri : str
        The picture itself, as a data URI; empty if there is nothing to draw.
    wide : bool
        Whether it takes the whole width of the page.
    lacking : str
        Why there is nothing to draw.
    """

    title: str
    alt: str
    caption: str
    uri: str
    wide: bool = False
    lacking: str = ""


def styled() -> Any:
    """Return a context in which figures have the style of reports."""
    return load("matplotlib", "analysis", "report").rc_context(_STYLE)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure [inch]."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def as_svg(figure: Figure) -> str:
    """Return a figure of lines as a data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _uri("image/svg+xml", buffer.getvalue())


def as_png(figure: Figure) -> str:
    """Return a figure of many points as a data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return _uri("image/png", buffer.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def colour(index: int) -> str:
    """Return the colour of a population, given its place in the run."""
    return COLOURS[index % len(COLOURS)]


def panels(n: int, height: float = 1.25, columns: int = 2) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each population."""
    columns = min(n, columns)
    rows = math.ceil(n / columns)
    figure = new_figure(NARROW, max(2.4, 0.5 + height * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[n:]:
        unused.set_axis_off()
    return figure, list(axes[:n])


def label_rows(axes: Axes, names: Sequence[str], most: int = 24) -> None:
    """Name the rows of a map, as many as there is room for; row 0 is on top."""
    step = math.ceil(len(names) / most)
    axes.set_yticks(range(0, len(names), step), [literal(name) for name in names[::step]])
    axes.tick_params(axis="y", length=0 if step == 1 else 3)
