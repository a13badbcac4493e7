"""Checkpoints: all that a run needs to go on, whatever the ranks, the partition and the backend."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.io import schema
from simcore.io.access import open_file
from simcore.io.atomic_file import TEMPORARY, atomic_file, is_sealed, make_folder
from simcore.io.parts import checkpoints_folder, list_folder
from simcore.numerics.spikes import GID_BITS, Spikes
from simcore.services.comm import Comm
from simcore.services.errors import DamagedError, OutputError, cause, remedy
from simcore.shards.neuron_state import NeuronState

if TYPE_CHECKING:
    import h5py

FORMAT_VERSION = 2
KEPT = 2

_GROUP = "simcore_checkpoint"
_NAME = re.compile(r"step-(\d+)\.h5")

# Neurons whose state is gathered at a time
WINDOW = 2**17


@dataclass(frozen=True)
class Description:
    """Of which run a checkpoint is; enough to write the output file anew without its data.

    Parameters
    ----------
    uuid : str
        Name of the run.
    network, config : dict
        The description of the model, and the options of the run.
    """

    uuid: str
    network: dict[str, Any]
    config: dict[str, Any]


@dataclass(frozen=True)
class CheckpointData:
    """What a run was like before a step.

    Parameters
    ----------
    step : int
        The next step.
    state : NeuronState
        Of the neurons of this rank.
    recent : Spikes
        Those of the last `max_delay` steps: when written those of this rank, when read all.
    spike_counts : ndarray of int64, shape (n_populations,)
        Spikes of each population from `record_from` on: when written those of this rank, when
        read all.
    """

    step: int
    state: NeuronState
    recent: Spikes
    spike_counts: NDArray[np.int64]


def checkpoint_path(output: str, step: int) -> str:
    """Return the name of the checkpoint of an output file before a step."""
    return os.path.join(checkpoints_folder(output), f"step-{step:012d}.h5")


def list_checkpoints(output: str) -> list[tuple[int, str]]:
    """Return step and path of the checkpoints of an output file, the newest first."""
    folder = checkpoints_folder(output)
    names = ((n, m) for n in list_folder(folder) if (m := _NAME.fullmatch(n)))
    found = [(int(m[1]), os.path.join(folder, n)) for n, m in names]
    return sorted(found, reverse=True)


def write_checkpoint(
    output: str,
    description: Description,
    moment: CheckpointData,
    n_neurons: int,
    comm: Comm,
    beat: Callable[[], None],
) -> None:
    """Write a checkpoint, and remove all but it and the one before; collective.

    The file is written by rank 0, which holds the state of 2**17 neurons at a time, and does not
    depend on the partition.

    Parameters
    ----------
    output : str
        The output file of the run.
    description : Description
        The run.
    moment : CheckpointData
        What it is like, on this rank.
    n_neurons : int
        Neurons on all ranks.
    comm : Comm
        The ranks.
    beat : callable
        Called for each window of neurons, to say that there is progress.

    Raises
    ------
    OutputError
        On all ranks, when it cannot be written. Older ones are still there then.
    """
    windows = _gather_windows(moment.state, comm, beat)
    words = comm.gather_array(moment.recent.words)
    counts = comm.allreduce_sum(moment.spike_counts)
    failure: str | None = None
    if words is not None:
        recent = Spikes(moment.recent.origin, np.sort(np.concatenate(words)))
        try:
            _write(output, description, moment, recent, counts, n_neurons, windows)
            _remove_others(output, moment.step)
        except (OSError, RuntimeError) as error:
            failure = (
                f"checkpoint of {output!r} cannot be written: {cause(error)}. "
                f"{remedy(error)}; older checkpoints and what was recorded are still there."
            )
    # The others take part in what is left to gather
    for _ in windows:
        pass
    failure = comm.bcast(failure)
    if failure is not None:
        raise OutputError(failure)


def read_checkpoint(path: str, gids: NDArray[np.int64], comm: Comm) -> CheckpointData:
    """Return what a checkpoint holds; collective.

    Parameters
    ----------
    path : str
        The checkpoint, seen by rank 0.
    gids : ndarray of int64
        Neurons of this rank, ascending.
    comm : Comm
        The ranks.

    Raises
    ------
    OutputError
        On all ranks, when it cannot be read.
    """
    blocks = _read_blocks(path) if comm.rank == 0 else None
    borders = comm.bcast(None if blocks is None else next(blocks))
    if isinstance(borders, OutputError):
        raise borders
    found: list[dict[str, list[NDArray[Any]]]] = [{} for _ in borders[1:]]
    while True:
        block = comm.bcast(None if blocks is None else next(blocks))
        if not isinstance(block, tuple):
            break
        population, begin, rows = block
        own = gids[slice(*np.searchsorted(gids, (begin, begin + len(rows))))]
        for name in rows.dtype.names:
            found[population].setdefault(name, []).append(rows[name][own - begin])
    if isinstance(block, OutputError):
        raise block
    step, recent, counts = block["step"], block["recent"], block["spike_counts"]
    columns = tuple(
        {name: np.concatenate(values) for name, values in parts.items()} for parts in found
    )
    return CheckpointData(
        step,
        NeuronState(gids, borders, columns),
        recent,
        counts if comm.rank == 0 else np.zeros_like(counts),
    )


def is_valid(path: str) -> bool:
    """Tell whether a file is a checkpoint of the version we know, and is as it was written.

    Raises
    ------
    OutputError
        When it must not be read, so that nobody can tell.
    """
    try:
        if not is_sealed(path):
            return False
        with open_file(path) as file:
            return int(file[_GROUP].attrs["format_version"]) == FORMAT_VERSION
    except (DamagedError, FileNotFoundError):
        return False


def read_description(path: str) -> Description:
    """Return of which run a checkpoint is."""
    with open_file(path) as file:
        group = file[_GROUP]
        texts = (json.loads(group[name].asstr()[()]) for name in ("network", "config"))
        return Description(str(group.attrs["uuid"]), *texts)


def _gather_windows(
    state: NeuronState, comm: Comm, beat: Callable[[], None]
) -> Iterator[tuple[int, int, NDArray[np.void]]]:
    """Yield on rank 0 the columns of neighbouring neurons; collective.

    With them the number of their population, and the first of them.
    """
    for number, (columns, span) in enumerate(state.spans()):
        gids, first, last = state.gids[span], *state.borders[number : number + 2]
        kind = np.dtype([("gid", np.int64), *((n, v.dtype) for n, v in columns.items())])
        for begin in range(first, last if columns else first, WINDOW):
            end = min(begin + WINDOW, last)
            own = slice(*np.searchsorted(gids, (begin, end)))
            rows = np.empty(own.stop - own.start, dtype=kind)
            rows["gid"] = gids[own]
            for name, values in columns.items():
                rows[name] = values[own]
            parts = comm.gather_array(rows)
            beat()
            window = rows
            if parts is not None and len(parts) > 1:
                window = np.empty(end - begin, dtype=kind)
                for part in parts:
                    window[part["gid"] - begin] = part
            yield number, int(begin), window


def _write(
    output: str,
    description: Description,
    moment: CheckpointData,
    recent: Spikes,
    counts: NDArray[np.int64],
    n_neurons: int,
    windows: Iterator[tuple[int, int, NDArray[np.void]]],
) -> None:
    state = moment.state
    make_folder(checkpoints_folder(output))
    texts = [schema.to_json(value) for value in (description.network, description.config)]
    width = max((sum(v.itemsize for v in c.values()) for c in state.columns), default=0)
    size = n_neurons * width + 16 * recent.size + sum(map(len, texts))
    with atomic_file(checkpoint_path(output, moment.step), size) as file:
        group = file.create_group(_GROUP)
        group.attrs["format_version"] = np.int64(FORMAT_VERSION)
        group.attrs["uuid"] = description.uuid
        group.attrs["step"], group.attrs["created"] = np.int64(moment.step), schema.now()
        group["network"], group["config"] = texts
        group["spike_counts"] = counts
        group["recent/steps"], group["recent/gids"] = recent.steps, recent.gids
        group["borders"] = state.borders
        sizes = np.diff(state.borders)
        for number, columns in enumerate(state.columns):
            for name, values in columns.items():
                group.create_dataset(f"state/{number}/{name}", (sizes[number],), values.dtype)
        for number, begin, rows in windows:
            first = begin - int(state.borders[number])
            for name in state.columns[number]:
                group[f"state/{number}/{name}"][first : first + len(rows)] = rows[name]


def _remove_others(output: str, step: int) -> None:
    """Remove all checkpoints but the one of a step and those just before it, and unfinished ones.

    Later ones are there when the run had to go on from before them, and are of no more use.
    """
    folder = checkpoints_folder(output)
    found = list_checkpoints(output)
    kept = [path for known, path in found if known <= step][:KEPT]
    old = [path for _, path in found if path not in kept]
    old += [os.path.join(folder, n) for n in list_folder(folder) if n.endswith(TEMPORARY)]
    for path in old:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _read_blocks(path: str) -> Iterator[Any]:
    """Yield the borders of populations, their states, and the rest; or what went wrong."""
    try:
        with open_file(path) as file:
            group = file[_GROUP]
            borders = group["borders"][()]
            yield borders
            for number, first in enumerate(borders[:-1].tolist()):
                if f"state/{number}" in group:
                    for begin, rows in _read_windows(group[f"state/{number}"]):
                        yield number, first + begin, rows
            step = int(group.attrs["step"])
            steps, gids = group["recent/steps"][()], group["recent/gids"][()]
            origin = int(steps.min(initial=step))
            recent = Spikes(origin, (steps - origin) << GID_BITS | gids)
            counts = group["spike_counts"][()]
        yield {"step": step, "recent": recent, "spike_counts": counts}
    except OutputError as error:
        yield error


def _read_windows(columns: h5py.Group) -> Iterator[tuple[int, NDArray[np.void]]]:
    """Yield the columns of some neurons of a population, and the first of them."""
    kind = np.dtype([(name, values.dtype) for name, values in columns.items()])
    size = next(iter(columns.values())).size
    for begin in range(0, size, WINDOW):
        rows = np.empty(min(WINDOW, size - begin), dtype=kind)
        for name, values in columns.items():
            rows[name] = values[begin : begin + len(rows)]
        yield begin, rows
