"""Which neurons: global ids that are evenly spaced, or listed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.services.digest import digest_arrays

Indices: TypeAlias = "range | NDArray[np.int64]"

# Origin, step, size and list of some ids, for compiled code; the list is empty where they are
# evenly spaced
Packed: TypeAlias = "tuple[int, int, int, NDArray[np.int64]]"

_NO_LIST = np.zeros(0, dtype=np.int64)


def evenly_spaced(indices: NDArray[np.int64]) -> Indices:
    """Return different numbers as a range where they are evenly spaced, else as they are."""
    if indices.size < 2:
        return range(int(indices[0]), int(indices[0]) + 1) if indices.size else range(0)
    first, step = int(indices[0]), int(indices[1] - indices[0])
    if first + step * (indices.size - 1) != indices[-1] or (np.diff(indices) != step).any():
        return np.ascontiguousarray(indices)
    return range(first, int(indices[-1]) + (1 if step > 0 else -1), step)


def as_array(indices: Indices) -> NDArray[np.int64]:
    """Return indices as an array."""
    if not isinstance(indices, range):
        return indices
    return np.arange(indices.start, indices.stop, indices.step, dtype=np.int64)


def as_key(indices: Indices) -> slice | NDArray[np.int64]:
    """Return what takes some places of an array: without a copy, where they are neighbours."""
    if not isinstance(indices, range):
        return indices
    return slice(indices.start, indices.stop, indices.step)


def places_within(indices: Indices, begin: int, end: int) -> slice:
    """Return where neighbours, or ascending numbers, lie in [begin, end)."""
    if not isinstance(indices, range):
        return slice(*np.searchsorted(indices, (begin, end)).tolist())
    first, stop = (min(max(k, indices.start), indices.stop) for k in (begin, end))
    return slice(first - indices.start, stop - indices.start)


@dataclass(frozen=True, eq=False)
class Ids:
    """Different global ids of neurons.

    They are evenly spaced, and then need no memory, or listed. Positions count from 0 in the order
    of `indices`; nothing else depends on that order.

    Parameters
    ----------
    origin : int
        What to add to the indices.
    indices : range or ndarray of int64, shape (size,)
        The ids less the origin; a list ascends, and is not evenly spaced, see `evenly_spaced`.
    """

    origin: int
    indices: Indices
    _common: dict[Any, int] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.indices)

    @property
    def contiguous(self) -> bool:
        """Whether they follow one another without a gap."""
        return isinstance(self.indices, range) and (self.size <= 1 or self.indices.step == 1)

    @cached_property
    def n_runs(self) -> int:
        """How many runs of neighbours there are."""
        if isinstance(self.indices, range):
            return min(self.size, 1) if abs(self.indices.step) == 1 else self.size
        return 1 + int(np.count_nonzero(np.diff(self.indices) > 1))

    @property
    def span(self) -> tuple[int, int]:
        """The least, and the one after the largest."""
        if not self.size:
            return self.origin, self.origin
        ends = self.origin + int(self.indices[0]), self.origin + int(self.indices[-1])
        return min(ends), max(ends) + 1

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """What is equal for equal ids in equal order."""
        if isinstance(self.indices, range):
            return self.origin + self.indices.start, self.indices.step, self.size
        return self.origin, digest_arrays(self.indices), self.size

    @property
    def packed(self) -> Packed:
        """Origin, step, size and list for compiled code, see `Packed`."""
        if isinstance(self.indices, range):
            step = self.indices.step if self.size > 1 else 1
            return self.origin + self.indices.start, step, self.size, _NO_LIST
        return self.origin, 1, self.size, self.indices

    def at(self, positions: ArrayLike) -> NDArray[np.int64]:
        """Return the ids at some positions."""
        positions = np.asarray(positions, dtype=np.int64)
        if isinstance(self.indices, range):
            return self.origin + self.indices.start + positions * self.indices.step
        return self.origin + self.indices[positions]

    def position(self, gids: ArrayLike) -> NDArray[np.int64]:
        """Return the position of each of some ids; -1 for those that are not among these."""
        away = np.asarray(gids, dtype=np.int64) - self.origin
        if not self.size:
            return np.full(away.shape, -1, dtype=np.int64)
        if isinstance(self.indices, range):
            found, rest = np.divmod(away - self.indices.start, self.indices.step)
            return np.where((rest == 0) & (found >= 0) & (found < self.size), found, -1)
        found = np.minimum(np.searchsorted(self.indices, away), self.size - 1)
        return np.where(self.indices[found] == away, found, -1)

    def contains(self, gids: ArrayLike) -> NDArray[np.bool_]:
        """Tell of each of some ids whether it is among these."""
        return self.position(gids) >= 0

    def below(self, gids: ArrayLike) -> NDArray[np.int64]:
        """Return how many of these are below each of some ids."""
        away = np.asarray(gids, dtype=np.int64) - self.origin
        if isinstance(self.indices, range):
            own = _ascending(self.indices)
            return np.clip(-((own.start - away) // own.step), 0, self.size)
        return np.searchsorted(self.indices, away).astype(np.int64)

    def cuts(self, gids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions that divide these at each of some ids."""
        before = self.below(gids)
        descending = isinstance(self.indices, range) and self.indices.step < 0
        return self.size - before if descending else before

    def thinned(self, first: int, stride: int) -> Ids:
        """Return those that lie a multiple of a stride from an id."""
        if isinstance(self.indices, range):
            others = range((first - self.origin) % stride, 2**62, stride)
            return Ids(self.origin, _both(_ascending(self.indices), others))
        chosen = (self.indices + (self.origin - first)) % stride == 0
        return Ids(self.origin, evenly_spaced(self.indices[chosen]))

    def common(self, other: Ids) -> Ids:
        """Return the positions, as ids, of those that others have as well; both ascend."""
        mine, theirs = self.indices, other.indices
        if isinstance(mine, range) and isinstance(theirs, range):
            shift = other.origin - self.origin
            both = _both(mine, range(theirs.start + shift, theirs.stop + shift, theirs.step))
            if not both:
                return Ids(0, both)
            first, step = (both.start - mine.start) // mine.step, both.step // mine.step
            return Ids(0, range(first, first + len(both) * step, step))
        if isinstance(mine, range):
            found = self.position(other.at(np.arange(other.size)))
            return Ids(0, evenly_spaced(found[found >= 0]))
        return Ids(0, evenly_spaced(np.flatnonzero(other.contains(self.origin + mine))))

    def n_common(self, other: Ids) -> int:
        """Return how many of these others have as well."""
        a, b, c, d = *self.span, *other.span
        if (self.contiguous and other.contiguous) or max(a, c) >= min(b, d):
            return max(0, min(b, d) - max(a, c))
        if other.key not in self._common:
            self._common[other.key] = self.ascending.common(other.ascending).size
        return self._common[other.key]

    @property
    def ascending(self) -> Ids:
        """The same in ascending order."""
        if isinstance(self.indices, range) and self.indices.step < 0:
            return Ids(self.origin, _ascending(self.indices))
        return self


def _ascending(numbers: range) -> range:
    return numbers if numbers.step > 0 else numbers[::-1]


def _both(one: range, other: range) -> range:
    """Return the numbers that two ascending ranges have in common."""
    if not one or not other:
        return range(0)
    divisor = math.gcd(one.step, other.step)
    apart, rest = divmod(other.start - one.start, divisor)
    if rest:
        return range(0)
    each = other.step // divisor
    step = one.step * each
    first = one.start + apart * pow(one.step // divisor, -1, each) % each * one.step
    first += max(0, -((first - max(one.start, other.start)) // step)) * step
    return range(first, max(first, min(one[-1], other[-1]) + 1), step)
