"""Export of runs: what other programs read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from simcore.io import reports, schema
from simcore.io.about import About
from simcore.io.atomic_file import aside, atomic_file
from simcore.io.excerpt import Excerpt, blocks, count
from simcore.io.nest import first_nest_ids
from simcore.io.nest_text import write_header
from simcore.io.nwb import write_nwb
from simcore.io.parts import check_output
from simcore.io.recording import Recording
from simcore.io.text import csv_line
from simcore.services.errors import ConfigError, OutputError, require, unwritable
from simcore.services.progress import TaskProgress

# Lines that are formatted together
_LINES = 2**16

# The format that the ending of a file stands for
ENDINGS = {".h5": "sonata", ".hdf5": "sonata", ".csv": "csv", ".dat": "nest", ".nwb": "nwb"}


def export_run(
    run: Recording,
    path: str | os.PathLike[str],
    to: str | None = None,
    populations: str | Sequence[str] | None = None,
    start: float | None = None,
    stop: float | None = None,
    overwrite: bool = False,
    progress: bool = False,
    about: Mapping[str, Any] | None = None,
) -> Excerpt:
    """Write what was recorded into a file of another format, in bounded memory.

    The file has its name when it is complete.

    Parameters
    ----------
    run : Recording
        A run, also one in progress, or a SONATA spike file.
    path : str or path
        The new file.
    to : {"sonata", "csv", "nest", "nwb"}, optional
        Its format; that of its ending, .h5, .csv, .dat or .nwb, if left out. "sonata" and "nwb"
        hold spikes and samples, the others spikes.
    populations : str or sequence of str, optional
        Names; all that were recorded if left out.
    start, stop : float, optional
        A window, after `start` up to and with `stop` [ms]; all there is if left out.
    overwrite : bool
        Whether an existing file is replaced.
    progress : bool
        Whether to report progress on standard error.
    about : mapping of str to object, optional
        For "nwb": what the run cannot tell, by the names of NWB, such as ``{"institution": "...",
        "experimenter": ["..."], "subject": {"subject_id": "...", "species": "..."}}``.

    Returns
    -------
    Excerpt
        What was written.

    Raises
    ------
    ConfigError
        When the format is not known, nothing lies in the window, a library is missing, or `about`
        has a field that NWB has not or that the format cannot hold.
    ModelError
        When nothing was recorded of a population.
    OutputError
        When the file exists or cannot be written, or the run cannot be read.
    """
    path = os.fspath(path)
    form = file_format(path, to)
    valid = f"left out: {form} has no place for it, only nwb"
    require(form == "nwb" or not about, "about", about, valid, error=ConfigError)
    write, told = _WRITERS[form], [About.of(about or {})] if form == "nwb" else []
    excerpt = Excerpt.of(run, populations, start, stop)
    check_output(path, overwrite)
    same = os.path.exists(path) and os.path.samefile(path, run.path)
    require(not same, "output", path, "another file than the run", error=ConfigError)
    try:
        with TaskProgress("export", excerpt.n_spikes, "spikes", enabled=progress) as work:
            write(excerpt, path, work, *told)
    except OutputError:
        raise
    except OSError as error:
        raise unwritable(f"output {path!r}", error) from error
    return excerpt


def file_format(path: str, to: str | None = None) -> str:
    """Return the format of an exported file, that of its ending unless told.

    Raises
    ------
    ConfigError
        When it is not known.
    """
    if to is not None:
        require(to in _WRITERS, "format", to, f"one of {list(_WRITERS)}", error=ConfigError)
        return to
    ending = Path(path).suffix.lower()
    valid = f"one of {list(ENDINGS)}, or name the format: one of {list(_WRITERS)}"
    require(ending in ENDINGS, f"output {path!r}: ending", ending, valid, error=ConfigError)
    return ENDINGS[ending]


def write_sonata(excerpt: Excerpt, path: str, work: TaskProgress) -> None:
    """Write an uncompressed SONATA file of spikes and samples."""
    sampled = excerpt.samples()
    n_bytes = 16 * work.total + sum(4 * s.values.size + 24 * s.node_ids.size for s in sampled)
    n_groups = len(excerpt.spikes) + len(sampled)
    with atomic_file(path, n_bytes + 2**13 * n_groups) as file:
        spikes = schema.write_sonata(file)
        schema.write_window(spikes, excerpt.window, excerpt.dt, excerpt.guessed)
        for selection in excerpt.spikes:
            name = selection.population
            ids = None if name in excerpt.run.unsized else selection.recorded
            group = schema.create_spikes(file, name, ids, count(selection))
            if ids is not None:
                schema.write_size(group, excerpt.run.sizes[name])
            schema.fill_spikes(group, blocks(selection, work))
        for samples in sampled:
            # libsonata reads samples of single precision only
            group = reports.create_samples(
                file, samples.report, samples.node_ids, "f4", len(samples.values), samples.start
            )
            schema.write_size(group, excerpt.run.sizes[samples.report.population])
            for rows, values in samples.blocks():
                group["data"][rows] = values


def write_csv(excerpt: Excerpt, path: str, work: TaskProgress) -> None:
    """Write spikes as text, with the column names of bmtk: a population after the other."""
    with aside(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        file.write("timestamps,population,node_ids\n")
        for selection in excerpt.spikes:
            name = csv_line([selection.population])[:-1].replace("%", "%%")
            for times, ids in blocks(selection, work):
                _write_lines(file, f"%r,{name},%d\n", times, ids)


def write_nest(excerpt: Excerpt, path: str, work: TaskProgress) -> None:
    """Write spikes as NEST's recording backend "ascii" does, with global ids from 1."""
    first = first_nest_ids(excerpt.run)
    with aside(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        write_header(file)
        for selection in excerpt.spikes:
            for times, ids in blocks(selection, work):
                senders = ids.astype(np.int64) + first[selection.population]
                _write_lines(file, "%d\t%r\n", senders, times)


def _write_lines(
    file: TextIO, line: str, first: NDArray[np.generic], second: NDArray[np.generic]
) -> None:
    """Write two columns as text; a time has as many digits as tell it from all others."""
    for begin in range(0, first.size, _LINES):
        rows = slice(begin, begin + _LINES)
        values = [None] * (2 * first[rows].size)
        values[::2], values[1::2] = first[rows].tolist(), second[rows].tolist()
        file.write(line * (len(values) // 2) % tuple(values))


_WRITERS: dict[str, Callable[..., None]] = {
    "sonata": write_sonata, "csv": write_csv, "nest": write_nest, "nwb": write_nwb,
}  # fmt: skip
