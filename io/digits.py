"""Compiled loops over the characters of text with columns of numbers."""

from __future__ import annotations

from typing import Any

from simcore.jit import njit

_TAB, _LINE_FEED, _DOT, _ZERO, _NINE = (ord(character) for character in "\t\n.09")

# So many digits are a whole number that float64 holds exactly
MOST_DIGITS = 15


@njit
def read_digits(text: Any, digits: Any, places: Any) -> Any:
    """Read lines of decimal numbers without signs, separated by tabs; empty lines are left out.

    Parameters
    ----------
    text : ndarray of uint8
        The characters.
    digits : ndarray of int64, shape (n_lines, n_columns)
        Filled with the digits of each number as a whole number.
    places : ndarray of int64, shape (n_lines, n_columns)
        Filled with how many of them are after the dot, -1 without a dot.

    Returns
    -------
    int
        Number of rows; -1 when there is anything else in the text, or a number of more than
        `MOST_DIGITS` digits.
    """
    row = column = value = length = 0
    after = -1
    for character in text:
        if _ZERO <= character <= _NINE:
            value = 10 * value + (character - _ZERO)
            length += 1
            after += after >= 0
            if length > MOST_DIGITS:
                return -1
        elif character == _DOT and after < 0:
            after = 0
        elif character == _LINE_FEED and column == length == 0 and after < 0:
            continue
        elif character in (_TAB, _LINE_FEED):
            last = column == digits.shape[1] - 1
            if length == 0 or last != (character == _LINE_FEED):
                return -1
            digits[row, column], places[row, column] = value, after
            row, column = (row + 1, 0) if last else (row, column + 1)
            value, length, after = 0, 0, -1
        else:
            return -1
    return row


@njit
def write_digits(digits: Any, places: Any, table: Any) -> None:
    """Write decimal numbers into the rows of a table, at their right ends.

    Parameters
    ----------
    digits : ndarray of int64, shape (n,)
        The digits of each number as a whole number, not negative.
    places : ndarray of int64, shape (n,)
        How many of them are after the dot, 0 without a dot.
    table : ndarray of uint8, shape (n, width)
        Filled with characters; what is before them stays as it is.
    """
    for k in range(digits.size):
        value, column, written = digits[k], table.shape[1], 0
        while value > 0 or written <= places[k]:
            if written == places[k] and written > 0:
                column -= 1
                table[k, column] = _DOT
            column -= 1
            table[k, column] = _ZERO + value % 10
            value //= 10
            written += 1
