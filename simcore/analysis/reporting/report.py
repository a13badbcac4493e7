"""Make a report of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simcore.analysis.distances import compare
from simcore.analysis.engine import engine
from simcore.analysis.reporting.collect import Findings, collect, listed
from simcore.analysis.reporting.differences import natural_spread
from simcore.analysis.reporting.files import FILES, PAGE, Folder
from simcore.analysis.reporting.numbers import plain, population_table, rates_over_time
from simcore.io.recording import names_of
from simcore.services.errors import ConfigError
from simcore.services.extras import load

if TYPE_CHECKING:
    from simcore.io.recording import Recording


def report(
    run: Recording | str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    other: Recording | str | os.PathLike[str] | None = None,
    window: tuple[float | None, float | None] = (None, None),
    populations: str | Sequence[str] | None = None,
    bin_width: float | None = None,
    scheduler: str | None = None,
    progress: bool = False,
) -> Path:
    """Write a report of a run: a page with pictures, and the numbers as JSON and CSV.

    The page needs no other file and no network. See docs/analysis-report.md for the files.

    Parameters
    ----------
    run : Recording or path
        What `simcore.open_run` returned, or the file.
    folder : path, optional
        Where to write; the name of the file with ``-report`` for its ending if left out. A report
        that is there is replaced.
    other : Recording or path, optional
        A run to compare with.
    window : (float or None, float or None)
        After the first, up to and with the second [ms]; None for all there is.
    populations : str or sequence of str, optional
        Which ones; all if left out.
    bin_width : float, optional
        Of the rates over time [ms]; if left out, such that there are at most 250 bins.
    scheduler : str, optional
        Which of dask's schedulers does the work, see `simcore.analysis.engine.engine`.
    progress : bool
        Whether to tell on standard error how far it is.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ModelError
        When there is no such population.
    ConfigError
        When nothing recorded lies in the window, the runs have no population in common, a
        scheduler cannot be reached, the folder holds other files, or a library is missing.
    OutputError
        When a file cannot be read, or the folder not be written.
    """
    for name in ("matplotlib", "jinja2", "scipy"):
        load(name, "analysis", "report")
    one = _opened(run)
    two = None if other is None else _opened(other)
    with Folder(_default_folder(one) if folder is None else folder) as place:
        with engine(scheduler, progress):
            found = collect(one, window, populations, bin_width)
            compared = None if two is None else _collect_other(two, window, populations, found)
        return _write(place, found, compared, progress)


def _opened(run: Recording | str | os.PathLike[str]) -> Recording:
    from simcore.io import open_recording

    return open_recording(run) if isinstance(run, (str, os.PathLike)) else run


def _default_folder(run: Recording) -> Path:
    return Path(f"{os.path.splitext(run.path)[0]}-report")


def _collect_other(
    other: Recording,
    window: tuple[float | None, float | None],
    populations: str | Sequence[str] | None,
    found: Findings,
) -> Findings:
    """Return what was found in the other run, of the populations that it has."""
    names = names_of(populations, other.populations)
    known = [name for name in names if name in other.populations]
    common = [name for name in found.summaries if name in known and name in other.recorded]
    if not common:
        raise ConfigError(
            f"run {other.path!r} has no population whose spikes can be compared with those of "
            f"{found.recording.path!r}: {listed(other.recorded)} in the one, "
            f"{listed(list(found.summaries))} in the other"
        )
    return collect(other, window, known, pictures=False)


def _write(place: Folder, found: Findings, other: Findings | None, progress: bool) -> Path:
    """Write the files of a report, the page last."""
    from simcore.analysis.reporting.page import render
    from simcore.analysis.reporting.sections import Story, sections_of
    from simcore.analysis.reporting.style import styled

    distances = compare(found.summaries, other.summaries) if other else {}
    rates = rates_over_time(found)
    table = population_table(found.summaries)
    place.clear()
    spread = natural_spread(found.recording, other.recording) if other else {}
    place.write_numbers(plain(found, table, rates, other, distances, spread))
    place.write_tables(table, found.summaries, rates, distances if other else None)
    with styled():
        sections = sections_of(Story(found, rates, table, other, distances), FILES, progress)
    title = Path(found.recording.path).name
    title += f" compared with {Path(other.recording.path).name}" if other else ""
    with place.open(PAGE) as file:
        file.write(render(title, sections))
    return place.path / PAGE
