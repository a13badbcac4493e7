"""Compiled search among ids, see `simcore.description.ids.Packed`."""

from __future__ import annotations

from simcore.numerics.jit import njit


@njit
def first_at_least(values, first, last, bound):
    """Return the first place in [first, last) whose value is at least `bound`, or `last`."""
    while first < last:
        middle = (first + last) // 2
        if values[middle] < bound:
            first = middle + 1
        else:
            last = middle
    return first


@njit
def position(ids, gid):
    """Return the position of an id among ascending ones; -1 if it is not there."""
    origin, step, size, listed = ids
    away = gid - origin
    if listed.size > 0:
        found = first_at_least(listed, 0, size, away)
        return found if found < size and listed[found] == away else -1
    found = away // step
    return found if 0 <= found < size and found * step == away else -1


@njit
def n_below(ids, bound):
    """Return how many of some ascending ids are below a bound."""
    origin, step, size, listed = ids
    if listed.size > 0:
        return first_at_least(listed, 0, size, bound - origin)
    return min(max(0, (bound - origin + step - 1) // step), size)


@njit
def to_ids(ids, count, numbers):
    """Turn positions into ids, in place.

    Parameters
    ----------
    ids : tuple
        The ids.
    count : int
        How many positions.
    numbers : ndarray of int64
        The positions.
    """
    origin, step, _, listed = ids
    if listed.size > 0:
        for i in range(count):
            numbers[i] = origin + listed[numbers[i]]
    elif step == 1:
        for i in range(count):
            numbers[i] += origin
    else:
        for i in range(count):
            numbers[i] = origin + numbers[i] * step
