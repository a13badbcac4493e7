"""The page of a report, made from its sections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simcore import __version__
from simcore.analysis.reporting.sections import Section
from simcore.io.schema import now
from simcore.io.text import printable
from simcore.services.extras import load

_TEMPLATE = "page.html.j2"


def render(title: str, sections: Sequence[Section]) -> str:
    """Return the page as HTML that needs no other file.

    Parameters
    ----------
    title : str
        Of the page.
    sections : sequence of Section
        What it holds.
    """
    jinja = load("jinja2", "analysis", "report")
    environment = jinja.Environment(
        loader=jinja.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja.StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template(_TEMPLATE)
    return str(template.render(title=title, sections=sections, version=__version__, made=now()))
