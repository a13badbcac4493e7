"""Spikes that NEST recorded, put into one SONATA file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.description.population import NAMES, is_name
from simcore.io import schema
from simcore.io.atomic_file import atomic_file
from simcore.io.nest_text import NestRecording, require_different
from simcore.io.parts import check_output
from simcore.io.recording import Recording
from simcore.io.sorting import SortedSpikes, Spikes
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, DamagedError, OutputError, require, unwritable
from simcore.services.progress import TaskProgress


@dataclass(frozen=True)
class Imported:
    """What was read from recordings of NEST.

    Parameters
    ----------
    counts : dict of str to int
        Spikes of each population.
    n_outside : int
        Spikes that were left out because they are not in the window.
    n_repeated : int
        Spikes of a neuron at a time of which it has another: more than a few tell that something
        was given twice.
    window : (float, float)
        The spikes are after the first, up to and with the second [ms].
    """

    counts: dict[str, int]
    n_outside: int
    n_repeated: int
    window: tuple[float, float]


def import_nest(
    files: Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    populations: Mapping[str, tuple[int, int]],
    dt: float | None = None,
    begin: float = 0.0,
    end: float | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Imported:
    """Put spikes that NEST recorded into a SONATA file, which `open_run` opens.

    Memory is bounded: the spikes are sorted through a temporary file beside the new one.

    Parameters
    ----------
    files : sequence of str or path
        What NEST 3 wrote with the recording backend "ascii", or NEST 2 as .gdf: a file for each
        recorder and virtual process.
    path : str or path
        The new file.
    populations : mapping of str to (int, int)
        First and last global id of each population in NEST, as `NodeCollection` shows them. All
        neurons of it are taken for recorded.
    dt : float, optional
        Resolution of NEST [ms]; needed if the files have times in steps.
    begin, end : float, optional
        What was recorded: spikes after `begin`, up to and with `end` [ms], to the last spike if it
        is left out. Other spikes are not taken over.
    overwrite : bool
        Whether an existing file is replaced.
    progress : bool
        Whether to report progress on standard error.

    Returns
    -------
    Imported
        How many spikes there were.

    Raises
    ------
    ConfigError
        When populations overlap, a recording is given twice, `dt` is missing, or the window is
        empty.
    DamagedError
        When a file is missing, truncated, or no spike recording of NEST, or has a sender that is
        in no population.
    OutputError
        When the new file exists or cannot be written.
    """
    path = os.path.abspath(path)
    nodes = _Nodes.of(populations)
    clock = None if dt is None else Clock(dt)
    require(len(files) > 0, "files", list(files), "at least one", error=ConfigError)
    recordings = [NestRecording.look(os.fspath(file)) for file in files]
    for recording in recordings:
        recording.require_step(clock)
    require_different(recordings)
    limit = np.inf if end is None else end
    finite = math.isfinite(begin) and (end is None or math.isfinite(end))
    require(finite, "window", (begin, end), "finite [ms]", error=ConfigError)
    require(begin < limit, "window", (begin, end), "of some length [ms]", error=ConfigError)
    check_output(path, overwrite)
    intake = _Intake(nodes, (begin, limit))
    try:
        with (
            TaskProgress(
                "read", sum(r.size for r in recordings), "bytes", enabled=progress
            ) as work,
            SortedSpikes(intake.take(recordings, clock, work), os.path.dirname(path)) as spikes,
        ):
            last = intake.last if end is None else end
            if not begin < last:
                raise ConfigError(
                    f"end: there is no spike after {begin:.10g} ms. Tell how long NEST recorded."
                )
            guessed = ["end"] if end is None else []
            n_repeated = _write(path, nodes, intake.counts, spikes, (begin, last), dt, guessed)
    except OutputError:
        raise
    except OSError as error:
        raise unwritable(f"output {path!r}", error) from error
    counts = dict(zip(nodes.names, intake.counts.tolist(), strict=True))
    return Imported(counts, intake.n_outside, n_repeated, (begin, last))


def first_nest_ids(run: Recording) -> dict[str, int]:
    """Return the global id of the first neuron of each population, counted from 1 as in NEST."""
    sizes = [run.sizes[name] for name in run.populations]
    firsts = np.cumsum([1, *sizes])[:-1].tolist()
    return dict(zip(run.populations, firsts, strict=True))


@dataclass(frozen=True)
class _Nodes:
    """Populations in the order of their global ids.

    Parameters
    ----------
    names : tuple of str
        Names of the populations.
    first, last : ndarray of uint64
        Their first and last global ids.
    """

    names: tuple[str, ...]
    first: NDArray[np.uint64]
    last: NDArray[np.uint64]

    @classmethod
    def of(cls, populations: Mapping[str, tuple[int, int]]) -> _Nodes:
        """Check and sort populations."""
        require(len(populations) > 0, "populations", {}, "at least one", error=ConfigError)
        valid = "first and last global id, from 1 on [NEST]"
        for name, (first, last) in populations.items():
            subject = f"population {name!r}: ids"
            require(1 <= first <= last < 2**63, subject, (first, last), valid, error=ConfigError)
            require(is_name(name), "population", name, NAMES, error=ConfigError)
        names = sorted(populations, key=lambda name: populations[name])
        first, last = np.array([populations[name] for name in names], dtype=np.uint64).T
        for k in np.flatnonzero(first[1:] <= last[:-1]).tolist():
            raise ConfigError(
                f"populations {names[k]!r} and {names[k + 1]!r} share ids: "
                f"{first[k]} to {last[k]} and {first[k + 1]} to {last[k + 1]}"
            )
        return cls(tuple(names), first, last)

    def owners(self, senders: NDArray[np.uint64], path: str) -> NDArray[np.intp]:
        """Return the population of each sender."""
        owners = np.searchsorted(self.first, senders, side="right") - 1
        strange = (owners < 0) | (senders > self.last[owners])
        if strange.any():
            named = ", ".join(
                f"{name} {first} to {last}"
                for name, first, last in zip(self.names, self.first, self.last, strict=True)
            )
            raise DamagedError(
                f"{path!r}: sender is {senders[strange][0]}, must be in a population: {named}. "
                "Name its population too."
            )
        return owners


class _Intake:
    """Takes the spikes of a window from recordings, and counts them by population."""

    def __init__(self, nodes: _Nodes, window: tuple[float, float]) -> None:
        self.nodes = nodes
        self.window = window
        self.counts = np.zeros(len(nodes.names), dtype=np.int64)
        self.n_outside = 0
        self.last = -np.inf

    def take(
        self, recordings: Sequence[NestRecording], clock: Clock | None, work: TaskProgress
    ) -> Iterator[Spikes]:
        """Yield times [ms] and global ids."""
        begin, end = self.window
        for recording in recordings:
            for times, senders in recording.read(clock, work):
                owners = self.nodes.owners(senders, recording.path)
                inside = (times > begin) & (times <= end)
                self.counts += np.bincount(owners[inside], minlength=self.counts.size)
                self.n_outside += int(inside.size - inside.sum())
                times, senders = times[inside], senders[inside]
                self.last = max(self.last, times.max(initial=-np.inf))
                yield times, senders


def _write(
    path: str,
    nodes: _Nodes,
    counts: NDArray[np.int64],
    spikes: SortedSpikes,
    window: tuple[float, float],
    dt: float | None,
    guessed: Sequence[str],
) -> int:
    """Write sorted spikes, each to its population; return how many are there again."""
    with atomic_file(path, 16 * spikes.size + 2**13 * counts.size) as file:
        schema.write_window(schema.write_sonata(file), window, dt, guessed)
        groups = []
        for name, first, last, n in zip(nodes.names, nodes.first, nodes.last, counts, strict=True):
            size = int(last - first) + 1
            groups.append(schema.create_spikes(file, name, range(size), int(n)))
            schema.write_size(groups[-1], size)
        filled = np.zeros(counts.size, dtype=np.int64)
        n_repeated, before = 0, (np.zeros(0), np.zeros(0, dtype=np.uint64))
        for times, ids in spikes:
            seen = [np.append(old, new) for old, new in zip(before, (times, ids), strict=True)]
            n_repeated += int(np.logical_and(*(x[1:] == x[:-1] for x in seen)).sum())
            before = times[-1:], ids[-1:]
            owners = np.searchsorted(nodes.first, ids, side="right") - 1
            order = np.argsort(owners.astype(np.min_scalar_type(counts.size)), kind="stable")
            ends = np.cumsum(np.bincount(owners, minlength=counts.size))
            for k, rows in enumerate(np.split(order, ends[:-1])):
                if rows.size:
                    place = slice(filled[k], filled[k] + rows.size)
                    groups[k]["timestamps"][place] = times[rows]
                    groups[k]["node_ids"][place] = ids[rows] - nodes.first[k]
                    filled[k] = place.stop
    return n_repeated
