"""The layout of the output file, in one place. See docs/file-format.md."""

from __future__ import annotations

import json
import math
import socket
import sys
import uuid
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.clock import Clock
from simcore.errors import ConfigError, require
from simcore.network import Network, Record

if TYPE_CHECKING:
    import h5py

FORMAT_VERSION = 1
SONATA_MAGIC = 0x0A7A
SONATA_VERSION = (0, 1)
SORTING = {"none": 0, "by_id": 1, "by_time": 2}

SPIKE_CHUNK = 8192
REPORT_CHUNK_BYTES = 2**18

SPIKES = "spikes"
REPORT = "report"
RUN = "simcore"

PACKAGES = ("numpy", "numba", "h5py", "mpi4py", "cupy")

SPIKE_TYPE = np.dtype([("time", "<f8"), ("node_id", "<u8")])


def now() -> str:
    """Return the time of day, in UTC and ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def to_json(value: Any, indent: int | None = None) -> str:
    """Return plain values as JSON; numbers that are not finite become text such as "inf"."""
    return json.dumps(_plain(value), indent=indent)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def versions() -> dict[str, str]:
    """Return the versions of Python, simcore and the packages that are in use."""
    from simcore import __version__

    found = {"python": sys.version.split()[0], "simcore": __version__}
    for name in PACKAGES:
        if name in sys.modules:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = str(getattr(sys.modules[name], "__version__", "unknown"))
    return found


def first_sample(step: int, interval: int) -> int:
    """Return the index of the first sample taken at the end of `step` or later.

    Sample k is taken at the end of step ``(k + 1) * interval - 1``.
    """
    return step // interval


def sample_interval(record: Record, clock: Clock) -> int:
    """Return the steps between two samples of a record of V_m."""
    subject = f"record: interval of {record.target.name!r}"
    interval = clock.steps(record.interval or 0.0, subject)
    require(interval >= 1, subject, record.interval, f"at least dt = {clock.dt!r} ms")
    return interval


def recorded_span(record: Record) -> tuple[int, int, int]:
    """Return start, stop and step of the node ids of a record, in ascending order."""
    span = record.target.indices
    if span.step < 0:
        span = span[::-1]
    return span.start, span.stop, span.step


def write_run(file: h5py.File, network: Network, clock: Clock, config: dict[str, Any]) -> None:
    """Write the root attributes and the group /simcore of a run that begins.

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
    """
    import h5py

    duration = config.get("duration")
    number = isinstance(duration, (int, float)) and not isinstance(duration, bool)
    require(number, "config: duration", duration, "a time [ms]", error=ConfigError)
    file.attrs["magic"] = np.uint32(SONATA_MAGIC)
    file.attrs["version"] = np.array(SONATA_VERSION, dtype=np.uint32)
    file.create_group(SPIKES)
    group = file.create_group(RUN)
    group.attrs["format_version"] = np.int64(FORMAT_VERSION)
    group.attrs["status"] = "running"
    group.attrs["uuid"] = str(uuid.uuid4())
    group.attrs["created"] = now()
    group.attrs["seed"] = np.uint64(network.seed)
    group.attrs["dt"] = np.float64(clock.dt)
    group.attrs["duration"] = np.float64(duration)
    group.attrs["record_from"] = np.float64(config.get("record_from") or 0.0)
    group.attrs["n_ranks"] = np.int64(config.get("n_ranks", 1))
    text = h5py.string_dtype()
    hosts = list(config.get("hosts") or [socket.gethostname()])
    group.create_dataset("hosts", data=np.array(hosts, dtype=object), dtype=text)
    group["network"] = to_json(network.describe())
    group["config"] = to_json(config)
    group.create_group("versions").attrs.update(versions())
    populations = group.create_group("populations")
    names = [p.name for p in network.populations]
    populations.create_dataset("name", data=np.array(names, dtype=object), dtype=text)
    populations["size"] = np.array([p.size for p in network.populations], dtype=np.int64)
    populations["first_gid"] = np.array([p.first for p in network.populations], dtype=np.int64)


def create_spikes(file: h5py.File, record: Record) -> h5py.Group:
    """Create the group of the spikes of one population, without spikes."""
    import h5py

    group = file[SPIKES].create_group(record.target.population.name)
    sorting = h5py.enum_dtype(SORTING, basetype="u1")
    group.attrs.create("sorting", np.uint8(SORTING["by_time"]), dtype=sorting)
    group.attrs["recorded"] = np.array(recorded_span(record), dtype=np.int64)
    for name, dtype in (("timestamps", np.float64), ("node_ids", np.uint64)):
        group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(SPIKE_CHUNK,))
    group["timestamps"].attrs["units"] = "ms"
    return group


def create_report(
    file: h5py.File, record: Record, clock: Clock, record_from_step: int
) -> h5py.Group:
    """Create the report of the membrane potentials of one record, without samples."""
    group = file.require_group(REPORT).create_group(record.target.population.name)
    node_ids = np.arange(*recorded_span(record), dtype=np.uint64)
    row_bytes = node_ids.size * np.dtype(record.dtype).itemsize
    rows = max(1, REPORT_CHUNK_BYTES // row_bytes)
    data = group.create_dataset(
        "data", (0, node_ids.size), record.dtype, maxshape=(None, node_ids.size),
        chunks=(rows, min(node_ids.size, REPORT_CHUNK_BYTES)),
    )  # fmt: skip
    data.attrs["units"] = "mV"
    mapping = group.create_group("mapping")
    mapping["node_ids"] = node_ids
    mapping["node_ids"].attrs["sorted"] = np.uint8(1)
    mapping["index_pointers"] = np.arange(node_ids.size + 1, dtype=np.uint64)
    mapping["element_ids"] = np.zeros(node_ids.size, dtype=np.uint32)
    interval = sample_interval(record, clock)
    start = clock.times((first_sample(record_from_step, interval) + 1) * interval)
    mapping["time"] = np.array([start, start, clock.times(interval)], dtype=np.float64)
    mapping["time"].attrs["units"] = "ms"
    return group
