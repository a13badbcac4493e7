"""Names and tables as text that stays on its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable


def printable(text: str) -> str:
    """Return a text with escapes for line feeds and other characters that are not printed."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def csv_line(fields: Iterable[object]) -> str:
    """Return a line of a CSV file; what would break it is quoted, also line feeds and returns."""
    out = io.StringIO()
    # The writer quotes what is in its own end of lines
    csv.writer(out, lineterminator="\r\n").writerow(list(fields))
    return out.getvalue()[:-2] + "\n"
