"""SONATA spike files that other programs wrote, and those that were exported."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.errors import OutputError, cause, require
from simcore.io import schema
from simcore.io.access import Joined, Piece, open_file
from simcore.io.recording import Recording
from simcore.io.sorting import SortedSpikes
from simcore.io.temporary import TemporaryFolder
from simcore.io.whole import create_file

if TYPE_CHECKING:
    import h5py

# Time step where none is known [ms]: finer than any grid, and exact for times up to 10^9 ms
RESOLUTION = 1e-6

# Spikes that are looked at together
_BLOCK = 2**22

# Neurons of a population at most
_MOST_NEURONS = 2**32

# What to do when spikes cannot be sorted
_ROOM = "Set TMPDIR to a folder with more room, and sort them for good with `simcore export`."

# Steps of a file whose time step is not known
_ENDLESS = 2**62


class SonataFile(Recording):
    """A spike file in the SONATA convention.

    SONATA tells neither the time step, nor the recorded window, nor how many neurons there are and
    which of them are silent. An exported file has all this as attributes, see docs/file-format.md.
    For others the window ends with the last spike, and the neurons are those up to the largest id
    that fired, unless `sizes` tells. Spikes that are not sorted by time are sorted into a temporary
    folder, which is removed when nobody reads it any more.

    Parameters
    ----------
    path : str or path
        The file.
    sizes : mapping of str to int, optional
        Number of neurons of each population.

    Raises
    ------
    OutputError
        When the file is missing, damaged, or has no spikes in the SONATA convention, or there is
        no room for sorting them.
    ModelError
        When `sizes` names another population or is too small.
    """

    def __init__(
        self, path: str | os.PathLike[str], sizes: Mapping[str, int] | None = None
    ) -> None:
        import h5py

        super().__init__(path)
        self._places: dict[str, Joined] = {}
        self._ids: dict[str, range] = {}
        self.sizes = {}
        with open_file(self.path) as file:
            spikes = file[schema.SPIKES]
            if not isinstance(spikes, h5py.Group):
                raise OutputError(f"{self.path!r}: '/spikes' is no group, as SONATA has it")
            attributes = dict(spikes.attrs)
            found = {name: _Spikes.of(self.path, spikes[name]) for name in spikes}
            for name, population in _sorted_by_time(self.path, found).items():
                self._add(name, population)
            self._add_reports(file)
        self.recorded, self.populations = list(found), list(self.sizes)
        self.dt = float(attributes.get("dt", RESOLUTION))
        first = min((s.first for s in found.values() if s.size), default=0.0)
        last = max((s.last for s in found.values() if s.size), default=0.0)
        # A window does not hold its begin
        begin = 0.0 if first > 0.0 else first - self.dt
        self.record_from = float(attributes.get("begin", begin))
        self.end = float(attributes.get("end", max(last, self.record_from + self.dt)))
        for name, size in (sizes or {}).items():
            told = name in found and found[name].told
            self._resize(name, size, told)

    @property
    def _data(self) -> Mapping[str, Joined]:
        return self._places

    def recorded_ids(self, population: str) -> range:
        """Return the node ids of a population whose spikes are in the file."""
        self._spikes(population)
        return self._ids[population]

    def __repr__(self) -> str:
        return (
            f"SonataFile({self.path!r}: {self.n_neurons} neurons in {len(self.populations)} "
            f"populations, {self.record_from:.10g} to {self.end:.10g} ms)"
        )

    def _add(self, name: str, spikes: _Spikes) -> None:
        """Add a population."""
        self._ids[name], self.sizes[name] = spikes.recorded, spikes.neurons
        for field in ("timestamps", "node_ids"):
            where = f"{schema.SPIKES}/{name}/{field}"
            self._places[where] = spikes.joined(where)

    def _add_reports(self, file: h5py.File) -> None:
        """Add potentials of neurons that are one element each."""
        for name, group in file.get(schema.REPORT, {}).items():
            if not all(name in group for name in ("data", "mapping/node_ids", "mapping/time")):
                continue
            data = group["data"]
            if data.ndim == 2 and data.shape[1] == len(group["mapping/node_ids"]):
                where = f"{schema.REPORT}/{name}/data"
                piece = Piece(self.path, where, 0, len(data), 0, _ENDLESS)
                self._places[where] = Joined([piece], data.shape[1:], data.dtype, _mark(self.path))
                if name not in self.sizes:
                    ids = group["mapping/node_ids"][()].astype(np.int64)
                    self.sizes[name] = int(group.attrs.get("size", ids.max(initial=-1) + 1))

    def _resize(self, name: str, size: int, told: bool) -> None:
        """Take the number of neurons of a population from the user.

        All of them are recorded, unless the file tells which ones are.
        """
        known = f"one of {self.recorded}"
        require(name in self._ids, f"{self.path!r}: sizes: population", name, known)
        ids = self._ids[name]
        largest = ids[-1] if ids else -1
        subject = f"{self.path!r}: sizes: {name!r}"
        require(size > largest, subject, size, f"> {largest}, the largest id in the file")
        self._ids[name], self.sizes[name] = ids if told else range(size), size


@dataclass(frozen=True)
class _Spikes:
    """What one look at the spikes of a population tells.

    Parameters
    ----------
    path : str
        The file.
    size : int
        Number of spikes.
    recorded : range
        Node ids of the neurons.
    told : bool
        Whether the file tells which these are.
    neurons : int
        Number of neurons of the population.
    sorted : bool
        Whether they are in the order of time.
    first, last : float
        Smallest and largest time [ms]; 0 without a spike.
    owner : object, optional
        What keeps the file from being removed.
    """

    path: str
    size: int
    recorded: range
    told: bool
    neurons: int
    sorted: bool
    first: float
    last: float
    owner: object = None

    @classmethod
    def of(cls, path: str, group: h5py.Group) -> _Spikes:
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
        recorded = range(*group.attrs.get("recorded", (0, largest + 1, 1)))
        if largest >= recorded.stop:
            raise OutputError(
                f"{path!r}: {group.name!r}: a node id is {largest}, but recorded are {recorded}"
            )
        neurons = int(group.attrs.get("size", recorded.stop))
        if recorded and neurons <= recorded[-1]:
            raise OutputError(
                f"{path!r}: {group.name!r}: size is {neurons}, but recorded are {recorded}"
            )
        span = (float(first), float(last)) if size else (0.0, 0.0)
        told = "recorded" in group.attrs
        return cls(path, size, recorded, told, neurons, ordered, *span)

    def joined(self, name: str) -> Joined:
        """Return a dataset of the spikes, which keeps the owner of its file alive."""
        dtype = np.dtype(np.float64 if name.endswith("timestamps") else np.uint64)
        piece = Piece(self.path, name, 0, self.size, 0, _ENDLESS)
        return Joined([piece], (), dtype, _mark(self.path), self.owner)


def _sorted_by_time(path: str, found: Mapping[str, _Spikes]) -> dict[str, _Spikes]:
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


def _write_sorted(spikes: _Spikes, name: str, path: str) -> None:
    """Write the spikes of a population to a file of their own, sorted by time."""
    ids = spikes.recorded
    recorded = np.array([ids.start, ids.stop, ids.step])
    with open_file(spikes.path) as old:
        blocks = _blocks(old[schema.SPIKES][name])
        try:
            with create_file(path) as file, SortedSpikes(blocks, os.path.dirname(path)) as found:
                schema.fill_spikes(schema.create_spikes(file, name, recorded, found.size), found)
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


def _mark(path: str) -> str:
    """Return what tells a version of a file from others."""
    status = os.stat(path)
    return f"{path}:{status.st_size}:{status.st_mtime_ns}"
