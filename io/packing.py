"""One file of a run: its output file with all of its parts in it."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.io import reports, schema
from simcore.io.access import Joined, Source, datasets, list_sources, open_file
from simcore.io.atomic_file import atomic_file
from simcore.io.integrity import check_file, write_digests
from simcore.io.parts import Lock, first_damaged, parts_folder, remove_parts
from simcore.io.recorded import read_recorded
from simcore.services.errors import OutputError, cause, remedy

if TYPE_CHECKING:
    import h5py

# Rows that are copied at a time [B]
_BLOCK_BYTES = 2**21

# What the last part of a run has in its group /simcore, beside attributes
_RESULTS = ("spike_counts", "timers", "shards")


def pack(path: str) -> None:
    """Put the parts of a run that is not going on into its output file, and remove them.

    The new file replaces the old one when it is complete, so a kill at any moment loses nothing.
    For a while the disk holds everything twice.

    Parameters
    ----------
    path : str
        The output file.

    Raises
    ------
    OutputError
        When a process writes the run, there is not enough space, or a file is missing or damaged.
    """
    if not os.path.isdir(parts_folder(path)):
        return
    try:
        with Lock(path):
            _require_whole(path)
            pack_locked(path)
    except OutputError:
        raise
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"output {path!r} cannot be made one file: {cause(error)}. "
            f"{remedy(error)}; everything that was recorded is still there."
        ) from error


def _require_whole(path: str) -> None:
    """Raise `OutputError` unless the output file and all parts are as they were written."""
    command = f"simcore resume {shlex.quote(str(path))}"
    found = check_file(str(path))
    if not found.whole:
        raise OutputError(f"{found}. `{command}` tells what can be done.")
    sources = list_sources(path)
    damaged = first_damaged([source.path for source in sources[1:]])
    if damaged is not None:
        raise OutputError(f"{damaged!r} is damaged. `{command}` simulates again what it held.")


def pack_locked(path: str) -> None:
    """Do what `pack` does, for one who holds the lock and knows that the parts are valid.

    Raises
    ------
    OSError
        When there is not enough space, or a file is missing or damaged.
    """
    path = os.path.realpath(path)
    sources = list_sources(path)
    if len(sources) > 1:
        tables = datasets(sources)
        with atomic_file(path, _size(tables)) as file, open_file(path) as old:
            _write(file, old, sources, tables)
    remove_parts(path)


def _size(tables: dict[str, Joined]) -> int:
    """Return the space that datasets take, with their descriptions [B]."""
    data = sum(t.size * t.row_bytes for t in tables.values())
    mapping = sum(24 * t.width for name, t in tables.items() if name.startswith(reports.REPORT))
    return data + mapping + 2**13 * len(tables)


def _write(
    file: h5py.File, old: h5py.File, sources: list[Source], tables: dict[str, Joined]
) -> None:
    uuid = str(old[schema.RUN].attrs["uuid"])
    group = schema.write_root(file, uuid)
    _copy_run(group, old[schema.RUN], sources)
    schema.write_steps(group, sources[0].begin, sources[-1].end)
    for name in old[schema.SPIKES]:
        place = f"{schema.SPIKES}/{name}"
        times, ids = tables[f"{place}/timestamps"], tables[f"{place}/node_ids"]
        spikes = schema.create_spikes(file, name, read_recorded(old[place]), times.size)
        spikes.attrs["digest"] = _copy_spikes(spikes, times, ids)
    for name in old.get(reports.REPORT, ()):
        _copy_report(file, old[reports.REPORT][name], tables[f"{reports.REPORT}/{name}/data"])
    write_digests(file)


def _copy_run(group: h5py.Group, old: h5py.Group, sources: list[Source]) -> None:
    """Copy the description of the run, and what the last part says."""
    for name in old:
        if name not in (*_RESULTS, "sessions", schema.DIGESTS):
            old.copy(name, group)
    attributes: dict[str, Any] = dict(old.attrs)
    for name in ("error", "finished"):
        attributes.pop(name, None)
    with open_file(sources[-1].path) as last:
        attributes |= dict(last[schema.RUN].attrs)
        for name in _RESULTS:
            if name in last[schema.RUN]:
                last[schema.RUN].copy(name, group)
    group.attrs.update(attributes)
    group["sessions"] = json.dumps(read_sessions(sources))


def read_sessions(sources: list[Source]) -> list[dict[str, Any]]:
    """Return who simulated a run, from its first session to its last."""
    sessions: list[dict[str, Any]] = []
    for source in sources:
        with open_file(source.path) as file:
            group = file[schema.RUN]
            if "sessions" in group:
                sessions += json.loads(group["sessions"].asstr()[()])
            else:
                session = json.loads(group["session"].asstr()[()])
                sessions += [session] if session not in sessions else []
    return sessions


def _copy_spikes(group: h5py.Group, times: Joined, ids: Joined) -> str:
    """Copy spikes, and return their digest."""
    sha = hashlib.sha256()
    for rows in times.blocks(_BLOCK_BYTES):
        pairs = np.empty(rows.stop - rows.start, dtype=schema.SPIKE_TYPE)
        pairs["time"], pairs["node_id"] = times[rows], ids[rows]
        group["timestamps"][rows], group["node_ids"][rows] = pairs["time"], pairs["node_id"]
        sha.update(pairs.view(np.uint8).data)
    return sha.hexdigest()


def _copy_report(file: h5py.File, old: h5py.Group, data: Joined) -> None:
    """Copy the samples of one record."""
    report = file.require_group(reports.REPORT).create_group(old.name.rpartition("/")[2])
    report.attrs.update(old.attrs)
    old.copy("mapping", report)
    start, _, interval = report["mapping/time"][()]
    reports.write_grid(report["mapping"], data.size, (start, interval))
    dataset = report.create_dataset("data", (data.size, data.width), data.dtype)
    dataset.attrs.update(old["data"].attrs)
    for rows in data.blocks(_BLOCK_BYTES):
        dataset[rows] = data[rows]
