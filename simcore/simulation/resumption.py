"""What is needed to go on with a run: which checkpoint, and whether the model is the same."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.description.network import Network
from simcore.numerics.clock import Clock
from simcore.services.comm import Comm
from simcore.services.errors import ConfigError, DamagedError, OutputError
from simcore.services.failure import fail_together
from simcore.simulation.options import RunOptions

if TYPE_CHECKING:
    from simcore.io.access import Source
    from simcore.io.checkpoint import Description
    from simcore.io.reader import Run
    from simcore.simulation.simulation import Simulation

# How long another process may take to end, and the time between two looks at it [s]
_PATIENCE, _PAUSE = 5.0, 0.1

# How many differences a message names
_NAMED = 4


@dataclass(frozen=True)
class Resumption:
    """Where and how a run goes on.

    Parameters
    ----------
    description : Description
        The run.
    duration : float
        Its planned end [ms].
    begin, recorded : int
        The end of what is in the output file itself, and in the parts that are valid [steps].
    has_header : bool
        Whether the output file is readable.
    is_complete : bool
        Whether the run has reached its planned end.
    checkpoint : str or None
        From which checkpoint it goes on; None from the beginning.
    notes : tuple of str
        What the user should know.
    """

    description: Description
    duration: float
    begin: int
    recorded: int
    has_header: bool
    is_complete: bool
    checkpoint: str | None
    notes: tuple[str, ...]

    @property
    def uuid(self) -> str:
        """Name of the run."""
        return self.description.uuid


def find_resumption(path: str, comm: Comm) -> Resumption:
    """Return on all ranks how to go on with the run of an output file, as rank 0 sees it.

    Raises
    ------
    OutputError
        On rank 0 as `inspect_run`, `PeerError` on the others.
    """
    with fail_together(comm):
        found = inspect_run(path) if comm.rank == 0 else None
    shared: Resumption = comm.bcast(found)
    return shared


def inspect_run(path: str) -> Resumption:
    """Return how to go on with the run of an output file; everything is looked at, nothing changed.

    Raises
    ------
    OutputError
        When there is no such file, nothing tells what it was, it is of another version, or another
        process writes it.
    """
    from simcore.io.parts import is_being_written

    # A process that was killed holds the lock until its memory has been taken back
    deadline = monotonic() + _PATIENCE
    while is_being_written(path, unknown=False) and monotonic() < deadline:
        sleep(_PAUSE)
    if is_being_written(path, unknown=False):
        raise OutputError(f"output {path!r} is being written by another process. Wait for its end.")
    notes: list[str] = []
    try:
        run, begin, recorded = _readable(path, notes)
    except DamagedError as error:
        return _without_header(path, error)
    from simcore.io.checkpoint import Description

    description = Description(run.uuid, run.network, run.config)
    complete = run.status == "complete"
    checkpoint = _choose(path, run.uuid, recorded, notes)
    if complete:
        notes.append(f"{path}: the run has reached its end, {run.duration:.10g} ms")
    return Resumption(
        description, run.duration, begin, recorded, True, complete, checkpoint, tuple(notes)
    )


def _readable(path: str, notes: list[str]) -> tuple[Run, int, int]:
    """Return what can be read of a run, and where the output file and the valid parts end."""
    from simcore.io.parts import first_damaged
    from simcore.io.reader import Run

    sources = _whole_sources(path)
    files = [source.path for source in sources]
    damaged = first_damaged(files[1:])
    valid = len(files) if damaged is None else files.index(damaged)
    if damaged is not None:
        notes.append(f"{damaged} is damaged: what it and later parts held is simulated again")
    run = Run(path, sources[:valid])
    _require_known_options(path, run.config)
    return run, sources[0].end, sources[valid - 1].end


def _require_known_options(path: str, config: dict[str, Any]) -> None:
    """Raise `OutputError` unless a file has what a run goes on with."""
    lacking = [f.name for f in fields(RunOptions) if f.name not in config]
    if lacking or "digest" not in config:
        raise OutputError(
            f"{path!r} was begun by an earlier version of simcore, which kept other options. "
            "Go on with that version; it can be read and packed with this one."
        )


def _whole_sources(path: str) -> list[Source]:
    """Return the output file of a run, which must be as it was written, and its parts.

    A file whose seal is broken is not even opened: HDF5 may hang in one.

    Raises
    ------
    DamagedError
        When it is missing or damaged.
    OutputError
        When it is something else.
    """
    from simcore.io.access import list_sources
    from simcore.io.atomic_file import has_seal, is_sealed
    from simcore.io.integrity import check_file

    if os.path.isfile(path) and has_seal(path):
        if not is_sealed(path):
            raise DamagedError(
                f"{path!r} is not what was written; `simcore verify {shlex.quote(path)}` tells "
                "more."
            )
        return list_sources(path)
    sources = list_sources(path)
    found = check_file(path)
    if not found.whole:
        raise DamagedError(f"{found}.")
    return sources


def _without_header(path: str, error: OutputError) -> Resumption:
    """Return how to go on where the output file cannot be read, from what a checkpoint says.

    It is given up only if all that was recorded is in parts.
    """
    from simcore.io.checkpoint import is_valid, list_checkpoints, read_description
    from simcore.io.parts import first_damaged, list_parts

    known = next((place for _, place in list_checkpoints(path) if is_valid(place)), None)
    parts = list_parts(path, 0)
    if os.path.exists(path) and (known is None or not parts):
        anew = "start the run anew with overwrite=True or --overwrite"
        again = "move it away, then all that it holds is simulated again"
        text = str(error).removesuffix(" Copy it again.")
        raise OutputError(
            f"{text} Copy it again, or {anew if known is None else again}."
        ) from error
    if known is None:
        raise error
    description = read_description(known)
    _require_known_options(path, description.config)
    damaged = first_damaged([part.path for part in parts])
    valid = [part for part in parts if part.path != damaged]
    if damaged is not None:
        valid = valid[: [part.path for part in parts].index(damaged)]
    recorded = valid[-1].end if valid else 0
    notes = [f"{error} Its description is taken from a checkpoint"]
    if os.path.exists(path):
        notes.append(f"the damaged file is kept as {path}.damaged")
    checkpoint = _choose(path, description.uuid, recorded, notes)
    duration = float(description.config["duration"])
    return Resumption(description, duration, 0, recorded, False, False, checkpoint, tuple(notes))


def _choose(path: str, uuid: str, recorded: int, notes: list[str]) -> str | None:
    """Return the newest valid checkpoint up to which everything is recorded."""
    from simcore.io.checkpoint import is_valid, list_checkpoints, read_description

    for step, place in list_checkpoints(path):
        if not is_valid(place):
            notes.append(f"{place} is damaged: an older one is taken")
        elif read_description(place).uuid != uuid:
            notes.append(f"{place} is of another run")
        elif step > recorded:
            notes.append(f"{place} is later than what is recorded: an older one is taken")
        else:
            return place
    return None


def require_same_model(found: Resumption, network: Network) -> None:
    """Raise `ConfigError` with what differs unless a network is the one of the run."""
    from simcore.io.schema import to_json

    now = json.loads(to_json(network.describe()))
    differences = list(_differences(found.description.network, now, ""))
    if differences:
        shown = "; ".join(differences[:_NAMED])
        more = len(differences) - _NAMED
        raise ConfigError(
            f"resume: the model is not that of the run: {shown}"
            f"{f'; and {more} more differences' if more > 0 else ''}. "
            "Go on with the same model, or start a new run."
        )


def require_same_numbers(config: dict[str, Any], digest: str) -> None:
    """Raise `ConfigError` unless the same numbers follow from the description of the model."""
    if config["digest"] != digest:
        raise ConfigError(
            "resume: the description of the model is the same, but other numbers follow from it, "
            "as with another version of simcore or another kind of processor. "
            "Go on where the run was begun."
        )


def restore(simulation: Simulation, found: Resumption) -> NDArray[np.int64] | None:
    """Take the state of the checkpoint; collective.

    Returns
    -------
    ndarray of int64, shape (n_populations,), or None
        The spikes so far, on rank 0; None where the run starts from the beginning.
    """
    from simcore.io.checkpoint import read_checkpoint

    if found.checkpoint is None:
        return None
    moment = read_checkpoint(found.checkpoint, simulation.neurons.gids, simulation.comm)
    simulation.restore(moment.state, moment.step, moment.recent)
    time = float(Clock(simulation.clock.dt).times(moment.step))
    simulation.progress.message(f"goes on at {time:.10g} ms")
    return moment.spike_counts


def _differences(before: Any, now: Any, where: str) -> Iterator[str]:
    """Yield in words what differs between two values of plain containers."""
    if before == now:
        return
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            place = f"{where}.{key}" if where else str(key)
            if key in before and key in now:
                yield from _differences(before[key], now[key], place)
            else:
                yield f"{place} {'is gone' if key in before else 'is new'}"
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for k, (a, b) in enumerate(zip(before, now, strict=True)):
            yield from _differences(a, b, f"{where}[{k}]")
    else:
        yield f"{where} was {_short(before)} and is {_short(now)}"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
