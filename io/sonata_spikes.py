"""Spikes that other programs wrote: what one look at them tells, and copies sorted by time."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.io import schema
from simcore.io.access import Joined, Piece, open_file
from simcore.io.atomic_file import create_file
from simcore.io.recorded import read_recorded
from simcore.io.selection import Neurons
from simcore.io.sorting import SortedSpikes
from simcore.io.temporary import TemporaryFolder
from simcore.services.errors import OutputError, cause

if TYPE_CHECKING:
    import h5py

# Spikes that are looked at together
_BLOCK = 2**22

# Neurons of a population at most
_MOST_NEURONS = 2**32

# Ids up to so many, or so many for each spike, stand for as many neurons; others are far apart
_NEAR, _NEAR_SPIKES = 2**16, 16

# What to do when spikes cannot be sorted
_ROOM = "Set TMPDIR to a folder with more room, and sort them for good with `simcore export`."

# Steps of a file whose time step is not known
ENDLESS = 2**62


@dataclass(frozen=True)
class ForeignSpikes:
    """What one look at the spikes of a population tells.

    Parameters
    ----------
    path : str
        The file.
    size : int
        Number of spikes.
    recorded : range or ndarray of int64
        Node ids of the neurons.
    told : bool
        Whether the file tells which these are.
    neurons : int
        Number of neurons of the population, as far as ids go.
    sorted : bool
        Whether they are in the order of time.
    first, last : float
        Smallest and largest time [ms]; 0 without a spike.
    owner : object, optional
        What keeps the file from being removed.
    """

    path: str
    size: int
    recorded: Neurons
    told: bool
    neurons: int
    sorted: bool
    first: float
    last: float
    owner: object = None

    @classmethod
    def of(cls, path: str, group: h5py.Group) -> ForeignSpikes:
        """Look at all spikes of a group once."""
        _require_spikes(path, group)
        largest, previous, ordered, first = -1, -np.inf, True, np.inf
        last = -np.inf
        for times, ids in _blocks(group):
            _require_sound(f"{path!r}: {group.name!r}", times, ids)
            ordered = ordered and bool(times[0] >= previous and (np.diff(times) >= 0.0).all())
            largest = max(largest, int(ids.max()))
            first, last, previous = min(first, times.min()), max(last, times.max()), times[-1]
        size = len(group["timestamps"])
        attributes = group.attrs
        found = read_recorded(group)
        told, recorded = found is not None, range(largest + 1) if found is None else found
        end = recorded.stop if isinstance(recorded, range) else int(recorded[-1]) + 1
        if largest >= end:
            raise OutputError(
                f"{path!r}: {group.name!r}: a node id is {largest}, but recorded are {recorded}"
            )
        neurons = int(attributes.get("size", end))
        if len(recorded) and neurons <= recorded[-1]:
            raise OutputError(
                f"{path!r}: {group.name!r}: size is {neurons}, but recorded are {recorded}"
            )
        if "size" in attributes and not told:
            recorded, told = range(neurons), True
        far_apart = not told and largest >= max(_NEAR, _NEAR_SPIKES * size)
        span = (float(first), float(last)) if size else (0.0, 0.0)
        known: Neurons = _occurring(group) if far_apart else recorded
        return cls(path, size, known, told, neurons, ordered, *span)

    @property
    def far_apart(self) -> bool:
        """Whether ids are so far apart that only those with a spike are taken for neurons."""
        return not self.told and not isinstance(self.recorded, range)

    def joined(self, name: str) -> Joined:
        """Return a dataset of the spikes, which keeps the owner of its file alive."""
        dtype = np.dtype(np.float64 if name.endswith("timestamps") else np.uint64)
        piece = Piece(self.path, name, 0, self.size, 0, ENDLESS)
        return Joined([piece], (), dtype, mark(self.path), self.owner)


def sorted_by_time(path: str, found: Mapping[str, ForeignSpikes]) -> dict[str, ForeignSpikes]:
    """Return the spikes of populations, copies in a temporary folder of those not sorted by time.

    Raises
    ------
    OutputError
        When there is no room for the copies.
    """
    unsorted = {name: spikes for name, spikes in found.items() if not spikes.sorted}
    if not unsorted:
        return dict(found)
    _require_room(path, [spikes.size for spikes in unsorted.values()])
    folder = TemporaryFolder()
    copies = {}
    try:
        for k, (name, spikes) in enumerate(unsorted.items()):
            place = os.path.join(folder.name, f"{k}.h5")
            _write_sorted(spikes, name, place)
            copies[name] = replace(spikes, path=place, owner=folder)
    except BaseException:
        folder.cleanup()
        raise
    return {**found, **copies}


def _require_room(path: str, sizes: list[int]) -> None:
    """Raise `OutputError` unless numbers of spikes can be sorted in the temporary folder."""
    # While a population is sorted, its spikes are there twice
    needed, place = 16 * (sum(sizes) + max(sizes)), tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    if free < needed:
        raise OutputError(
            f"{path!r}: spikes are not sorted by time. To sort them takes {needed:,} bytes in "
            f"{place!r}, where {free:,} are free. {_ROOM}"
        )


def _write_sorted(spikes: ForeignSpikes, name: str, path: str) -> None:
    """Write the spikes of a population to a file of their own, sorted by time."""
    with open_file(spikes.path) as old:
        blocks = _blocks(old[schema.SPIKES][name])
        try:
            with create_file(path) as file, SortedSpikes(blocks, os.path.dirname(path)) as found:
                schema.fill_spikes(schema.create_spikes(file, name, None, found.size), found)
        except (OSError, RuntimeError) as error:
            raise OutputError(
                f"{spikes.path!r}: spikes are not sorted by time, and cannot be sorted in "
                f"{path!r}: {cause(error)}. {_ROOM}"
            ) from error


def _blocks(group: h5py.Group) -> Iterator[tuple[NDArray[np.float64], NDArray[np.uint64]]]:
    """Yield times and node ids of a group, some at a time."""
    times, ids = group["timestamps"], group["node_ids"]
    for begin in range(0, len(times), _BLOCK):
        rows = slice(begin, begin + _BLOCK)
        yield times[rows].astype(np.float64), ids[rows].astype(np.uint64)


def _occurring(group: h5py.Group) -> NDArray[np.int64]:
    """Return the node ids that have a spike, ascending."""
    found = np.zeros(0, dtype=np.uint64)
    for _, ids in _blocks(group):
        found = np.union1d(found, ids)
    return found.astype(np.int64)


def _require_spikes(path: str, group: Any) -> None:
    """Raise `OutputError` unless a group holds times in ms and as many node ids."""
    if not hasattr(group, "get"):
        raise OutputError(
            f"{path!r}: {group.name!r} is no population. SONATA has "
            "/spikes/<population>/timestamps and node_ids."
        )
    fields = [group.get(name) for name in ("timestamps", "node_ids")]
    shapes = [getattr(field, "shape", None) or () for field in fields]
    if shapes[0] != shapes[1] or len(shapes[0]) != 1:
        raise OutputError(
            f"{path!r}: {group.name!r} has no spikes in the SONATA convention: "
            f"timestamps and node_ids have the shapes {shapes}, must be arrays of equal length"
        )
    times, ids = (field.dtype for field in fields)
    if times.kind not in "fiu" or ids.kind not in "iu":
        raise OutputError(
            f"{path!r}: {group.name!r}: types are {times} and {ids}, must be numbers, and whole "
            "ones for node_ids"
        )
    units = fields[0].attrs.get("units", "ms")
    units = units.decode() if isinstance(units, bytes) else units
    if units != "ms":
        raise OutputError(f"{path!r}: {group.name!r}: units is {units!r}, must be 'ms'")


def _require_sound(subject: str, times: NDArray[np.float64], ids: NDArray[np.uint64]) -> None:
    """Raise `OutputError` unless times are finite and node ids reasonable."""
    strange = times[~np.isfinite(times)]
    if strange.size:
        raise OutputError(f"{subject}: a time is {strange[0]}, must be finite")
    if ids.max() >= _MOST_NEURONS:
        raise OutputError(
            f"{subject}: a node id is negative or {_MOST_NEURONS} or more, as a number without "
            f"sign {ids.max()}"
        )


def mark(path: str) -> str:
    """Return what tells a version of a file from others."""
    status = os.stat(path)
    return f"{path}:{status.st_size}:{status.st_mtime_ns}"
