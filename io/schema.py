"""The layout of the output file, in one place. See docs/file-format.md."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.description.ids import Indices
from simcore.description.network import Network
from simcore.io.recorded import recorded_of, write_recorded
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, require

if TYPE_CHECKING:
    import h5py

FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)
SONATA_MAGIC = 0x0A7A
SONATA_VERSION = (0, 1)
SORTING = {"none": 0, "by_id": 1, "by_time": 2}

SPIKES = "spikes"
GUESSED = "guessed"
RUN = "simcore"
DIGESTS = "digests"

# Options that may change when a run is resumed, and are kept for each session
SESSION = (
    "n_ranks", "threads", "backend", "arithmetic", "partitioner", "hosts", "begin", "started",
)  # fmt: skip

PACKAGES = ("numpy", "numba", "h5py", "mpi4py", "cupy")

SPIKE_TYPE = np.dtype([("time", "<f8"), ("node_id", "<u8")])


def now() -> str:
    """Return the time of day, in UTC and ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def to_json(value: Any, indent: int | None = None, nan: str | None = "nan") -> str:
    """Return plain values as JSON, which has finite numbers only.

    Parameters
    ----------
    value : object
        Plain values, also NumPy's; anything else becomes text.
    indent : int, optional
        Spaces by which a level is indented; all on one line if left out.
    nan : str, optional
        What stands for NaN; null if None. Infinite numbers become text such as "inf".
    """
    return json.dumps(_plain(value, nan), indent=indent)


def _plain(value: Any, nan: str | None) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item, nan) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, nan) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        # Look at many numbers at once
        plain = value.dtype.kind in "iub" or (value.dtype.kind == "f" and np.isfinite(value).all())
        return value.tolist() if plain else _plain(value.tolist(), nan)
    if isinstance(value, float) and not math.isfinite(value):
        return nan if math.isnan(value) else str(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def versions() -> dict[str, str]:
    """Return the versions of Python, simcore and the packages that are in use."""
    from importlib import metadata

    from simcore import __version__

    found = {"python": sys.version.split()[0], "simcore": __version__}
    for name in PACKAGES:
        if name in sys.modules:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = str(getattr(sys.modules[name], "__version__", "unknown"))
    return found


def write_header(
    file: h5py.File, network: Network, clock: Clock, config: dict[str, Any], uuid: str
) -> None:
    """Write what is known of a run before it begins, without spikes, and without reports.

    Parameters
    ----------
    file : h5py.File
        A new file.
    network : Network
        The model.
    clock : Clock
        The grid of time.
    config : dict
        The options of the run: `duration` [ms], and where they apply `record_from` [ms],
        `n_ranks` and `hosts`; anything else is kept with them.
    uuid : str
        Name of the run.
    """
    import h5py

    duration = config.get("duration")
    number = isinstance(duration, (int, float, np.number)) and not isinstance(duration, bool)
    require(number, "config: duration", duration, "a time [ms]", error=ConfigError)
    group = write_root(file, uuid)
    group.attrs["status"] = "running"
    group.attrs["created"] = now()
    group.attrs["seed"] = np.uint64(network.seed)
    group.attrs["dt"] = np.float64(clock.dt)
    group.attrs["duration"] = np.float64(duration)
    group.attrs["record_from"] = np.float64(config.get("record_from") or 0.0)
    group["network"] = to_json(network.describe())
    group["config"] = to_json(config)
    group["sessions"] = "[]"
    group.create_group("versions").attrs.update(versions())
    populations = group.create_group("populations")
    names = [p.name for p in network.populations]
    text = h5py.string_dtype()
    populations.create_dataset("name", data=np.array(names, dtype=object), dtype=text)
    populations["size"] = np.array([p.size for p in network.populations], dtype=np.int64)
    populations["first_gid"] = np.array([p.first for p in network.populations], dtype=np.int64)
    write_steps(group, 0, 0)
    for index, nodes in recorded_of(network).items():
        create_spikes(file, names[index], nodes, 0)


def write_root(file: h5py.File, uuid: str) -> h5py.Group:
    """Write the root attributes of any file of a run, and return its group /simcore."""
    write_sonata(file)
    group = file.create_group(RUN)
    group.attrs["format_version"] = np.int64(FORMAT_VERSION)
    group.attrs["uuid"] = uuid
    return group


def write_sonata(file: h5py.File) -> h5py.Group:
    """Write the root attributes of a SONATA file, and return its group /spikes."""
    file.attrs["magic"] = np.uint32(SONATA_MAGIC)
    file.attrs["version"] = np.array(SONATA_VERSION, dtype=np.uint32)
    return file.create_group(SPIKES)


def write_window(
    spikes: h5py.Group, window: tuple[float, float], dt: float | None, guessed: Sequence[str] = ()
) -> None:
    """Write what SONATA leaves open, as attributes of the group /spikes.

    Parameters
    ----------
    spikes : h5py.Group
        The group.
    window : (float, float)
        Spikes are from after the first, up to and with the second [ms].
    dt : float or None
        Time step, if there is one [ms].
    guessed : sequence of str
        What is a guess: "begin", "end".
    """
    spikes.attrs["begin"], spikes.attrs["end"] = (np.float64(time) for time in window)
    if dt is not None:
        spikes.attrs["dt"] = np.float64(dt)
    if guessed:
        spikes.attrs[GUESSED] = list(guessed)


def write_size(group: h5py.Group, size: int) -> None:
    """Write how many neurons a population has to a group of its spikes or samples."""
    group.attrs["size"] = np.int64(size)


def write_steps(group: h5py.Group, begin: int, end: int) -> None:
    """Write which steps the spikes and samples of a file are from."""
    group.attrs["begin"], group.attrs["end"] = np.int64(begin), np.int64(end)


def write_state(
    group: h5py.Group, status: str, config: dict[str, Any], error: BaseException | None = None
) -> None:
    """Write how a run stands, and who simulates it.

    Parameters
    ----------
    group : h5py.Group
        The group /simcore.
    status : {"running", "stopped", "failed", "complete"}
        How it stands.
    config : dict
        The options of the run.
    error : BaseException, optional
        Why it failed.
    """
    group.attrs["status"] = status
    group.attrs["duration"] = np.float64(config["duration"])
    if status != "running":
        group.attrs["finished"] = now()
    if status == "failed":
        group.attrs["error"] = f"{type(error).__name__}: {error}"[:4096]
    group["session"] = to_json({name: config[name] for name in SESSION if name in config})


def write_results(group: h5py.Group, results: Results) -> None:
    """Write the results of a run that is complete."""
    group["spike_counts"] = np.asarray(results.spike_counts, dtype=np.int64)
    timed = group.create_group("timers", track_order=True)
    timed.attrs["model_time"] = np.float64(results.model_time)
    for name, seconds in results.timers.items():
        timed[name] = np.asarray(seconds, dtype=np.float64)
        timed[name].attrs["units"] = "s"
    owned = group.create_group("shards", track_order=True)
    for name, values in results.shards.items():
        owned[name] = np.asarray(values, dtype=np.int64)


@dataclass(frozen=True)
class Results:
    """What is known when a run is complete.

    Parameters
    ----------
    spike_counts : ndarray of int, shape (n_populations,)
        Spikes of every population from `record_from` on, recorded or not.
    timers : mapping of str to ndarray, shape (n_ranks,)
        Time spent in each phase [s].
    shards : mapping of str to ndarray, shape (n_ranks,)
        What each rank owned.
    model_time : float
        How much of the run was timed [ms].
    """

    spike_counts: NDArray[np.integer]
    timers: Mapping[str, NDArray[np.floating]]
    shards: Mapping[str, NDArray[np.integer]]
    model_time: float


def create_spikes(file: h5py.File, name: str, recorded: Indices | None, n: int) -> h5py.Group:
    """Create the group of the spikes of one population.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    name : str
        Name of the population.
    recorded : range or ndarray of int64
        The node ids that are recorded, ascending; None if they are not known.
    n : int
        Number of spikes, for which there is space.
    """
    import h5py

    group = file.require_group(SPIKES).create_group(name)
    sorting = h5py.enum_dtype(SORTING, basetype="u1")
    group.attrs.create("sorting", np.uint8(SORTING["by_time"]), dtype=sorting)
    if recorded is not None:
        write_recorded(group, recorded)
    for field, dtype in (("timestamps", np.float64), ("node_ids", np.uint64)):
        group.create_dataset(field, (n,), dtype)
    group["timestamps"].attrs["units"] = "ms"
    return group


def fill_spikes(
    group: h5py.Group, blocks: Iterable[tuple[NDArray[np.float64], NDArray[np.integer]]]
) -> None:
    """Write times [ms] and node ids, block after block, into the space of a group of spikes."""
    begin = 0
    for times, node_ids in blocks:
        rows = slice(begin, begin + times.size)
        group["timestamps"][rows], group["node_ids"][rows] = times, node_ids
        begin = rows.stop
