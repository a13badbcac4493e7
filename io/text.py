"""Columns of numbers as text, many lines at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Powers of ten, exact
_POWERS = np.array([float(10**k) for k in range(16)])

# Digits after the dot of numbers that are written fast, at most
_PLACES = 6


def format_lines(*columns: bytes | NDArray[np.generic]) -> bytes:
    """Return lines of text; numbers have as many digits as tell them from all others.

    Parameters
    ----------
    *columns : bytes or ndarray, shape (n_lines,)
        What stands in a line: texts without zero bytes that are the same in all of them, and
        numbers of at least one column.
    """
    tables = [_table(column) for column in columns]
    n = max(len(table) for table in tables)
    widths = [table.shape[1] for table in tables]
    text = np.concatenate(
        [np.broadcast_to(t, (n, w)) for t, w in zip(tables, widths, strict=True)], axis=1
    )
    return text[text != 0].tobytes()


def _table(column: bytes | NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return characters in a row for each line, or one row for all, filled up with zero bytes."""
    if isinstance(column, bytes):
        return np.frombuffer(column, dtype=np.uint8)[None, :]
    plain = _plain(column)
    if plain is None:
        texts = np.array(list(map(repr, column.tolist())), dtype=np.bytes_)
        return texts.view(np.uint8).reshape(column.size, -1)
    from simcore.io.digits import write_digits

    digits, places = plain
    width = max(len(str(digits.max())), int(places.max()) + 1) + 1
    table = np.zeros((column.size, width), dtype=np.uint8)
    write_digits(digits, places, table)
    return table


def _plain(column: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return numbers as whole ones and the places of their dots; None where there are others.

    The fewest places with which a decimal has this number for its nearest one are those that `repr`
    shows, as long as there are less than 16 digits.
    """
    if column.dtype.kind in "iu":
        whole = column.astype(np.int64)
        return None if (whole < 0).any() else (whole, np.zeros_like(whole))
    values = np.asarray(column, dtype=np.float64)
    strange = np.signbit(values) | ((values < 1e-4) & (values != 0.0))
    if (strange | (values >= 1e15 / _POWERS[_PLACES])).any():
        return None
    digits, places = np.rint(10.0 * values), np.ones(values.size, dtype=np.int64)
    left = np.flatnonzero(digits / 10.0 != values)
    for n in range(2, _PLACES + 1):
        digits[left], places[left] = np.rint(_POWERS[n] * values[left]), n
        left = left[digits[left] / _POWERS[n] != values[left]]
    return None if left.size else (digits.astype(np.int64), places)


def parse_lines(text: bytes, columns: np.dtype[np.void]) -> NDArray[np.void] | None:
    """Return the numbers of whole lines; empty ones are left out.

    Parameters
    ----------
    text : bytes
        The lines: decimal numbers without signs, separated by tabs.
    columns : dtype
        Names and types of the columns.

    Returns
    -------
    ndarray of `columns`, shape (n_lines,), or None
        None when there is anything else in the text, also where a slower reader could read it.
    """
    from simcore.io.digits import read_digits

    names = columns.names or ()
    digits, places = np.empty((2, text.count(b"\n"), len(names)), dtype=np.int64)
    n = read_digits(np.frombuffer(text, dtype=np.uint8), digits, places)
    rows = np.empty(max(n, 0), dtype=columns)
    for value, after, name in zip(digits[: rows.size].T, places[: rows.size].T, names, strict=True):
        whole = bool((after < 0).all())
        if columns[name].kind != "f" and not whole:
            return None
        # Both are exact, so the quotient is the number that is nearest to the text
        rows[name] = value if whole else value / _POWERS[np.maximum(after, 0)]
    return None if n < 0 else rows
