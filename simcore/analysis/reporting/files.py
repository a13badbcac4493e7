"""The folder of a report: whose it is, and what is written into it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np

from simcore.analysis.distances import Distances
from simcore.analysis.rates import PopulationRate
from simcore.analysis.reporting.collect import first
from simcore.analysis.reporting.numbers import FIELDS
from simcore.analysis.summary import Summary
from simcore.io.schema import to_json
from simcore.io.text import csv_line
from simcore.services.errors import ConfigError, unwritable

PAGE, NUMBERS = "report.html", "numbers.json"

# The files of a report, and what is in them
FILES = {
    PAGE: "this page",
    NUMBERS: "all numbers but those of single neurons",
    "populations.csv": "the statistics of each population",
    "neurons.csv": "the statistics of each neuron",
    "rates.csv": "rates of populations over time",
    "spectra.csv": "power spectra",
    "distances.csv": "distances of the two runs",
}

# What the file of numbers begins with
_MARK = '{"simcore_report": 1'

NEURON_FIELDS = ("population", "node_id", "spikes", "rate", "isi_mean", "cv", "lv", "fano")


class Folder:
    """A folder for one report.

    It is made if it is not there. A report that is there is replaced; anything else is left alone.

    Parameters
    ----------
    path : str or path
        Its name.

    Raises
    ------
    OutputError
        When it cannot be written.
    ConfigError
        When it holds something else than a report.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            taken = any(self.path.iterdir()) and not self._is_report()
        except OSError as error:
            raise unwritable(f"folder {str(path)!r}", error) from error
        if taken:
            raise ConfigError(
                f"folder {str(path)!r} holds other files, must be new, empty or a report. "
                "Name another one."
            )
        # What cannot be written shall not be computed
        with self.open(NUMBERS, keep=False):
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Leave no empty folder behind after an error
        with suppress(OSError):
            self.path.rmdir()

    def _is_report(self) -> bool:
        numbers = self.path / NUMBERS
        return numbers.is_file() and numbers.read_bytes().startswith(_MARK.encode())

    def clear(self) -> None:
        """Remove the files of an earlier report."""
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def open(self, name: str, keep: bool = True) -> Iterator[TextIO]:
        """Write a file that appears under its name when it is complete, if it is kept.

        Raises
        ------
        OutputError
            When it cannot be written.
        """
        path = self.path / name
        temporary = path.with_name(f"{name}.tmp")
        try:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                yield file
            if keep:
                temporary.replace(path)
            else:
                temporary.unlink()
        except OSError as error:
            raise unwritable(repr(str(path)), error) from error

    def write_numbers(self, values: Mapping[str, Any]) -> None:
        """Write plain values as JSON."""
        with self.open(NUMBERS) as file:
            file.write(to_json({"simcore_report": 1, **values}, nan=None) + "\n")

    def write_tables(
        self,
        table: Mapping[str, Mapping[str, float]],
        summaries: Mapping[str, Summary],
        rates: Mapping[str, PopulationRate],
        distances: Mapping[str, Distances] | None,
    ) -> None:
        """Write the numbers as CSV."""
        self._write_rows("populations.csv", ["population", *FIELDS], _by_name(table))
        self._write_neurons(summaries)
        times = [r.edges[:-1] for r in list(rates.values())[:1]]
        means = {n: r.rates for n, r in first(rates).items()}
        self._write_columns("rates.csv", "begin_ms", times, means)
        spectra = {n: s.spectrum for n, s in first(summaries).items()}
        frequencies = [s.frequencies for s in list(spectra.values())[:1]]
        powers = {n: s.power for n, s in spectra.items()}
        self._write_columns("spectra.csv", "frequency_Hz", frequencies, powers)
        if distances is not None:
            rows = _by_name({n: vars(d) for n, d in distances.items()})
            head = ["population", "rate", "cv", "correlation"]
            self._write_rows("distances.csv", head, rows)

    def _write_rows(self, name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        with self.open(name) as file:
            file.writelines(csv_line(row) for row in (head, *rows))

    def _write_columns(
        self, name: str, axis: str, places: list[Any], columns: Mapping[str, Any]
    ) -> None:
        """Write a column for each population, beside times or frequencies."""
        with self.open(name) as file:
            file.write(csv_line([axis, *columns]))
            if places:
                np.savetxt(file, np.column_stack([*places, *columns.values()]), "%.10g", ",")

    def _write_neurons(self, summaries: Mapping[str, Summary]) -> None:
        with self.open("neurons.csv") as file:
            file.write(csv_line(NEURON_FIELDS))
            for name, s in summaries.items():
                ids = np.asarray(s.selection.neurons)
                spikes = np.rint(s.rates * s.selection.seconds)
                columns = (ids, spikes, s.rates, s.isi.mean, s.isi.cv, s.isi.lv, s.fano)
                label = csv_line([name])[:-1].replace("%", "%%")
                form = [f"{label},%d", "%d", *["%.10g"] * 5]
                np.savetxt(file, np.column_stack(columns), form, ",")


def _by_name(table: Mapping[str, Mapping[str, Any]]) -> Iterator[list[Any]]:
    for name, row in table.items():
        yield [name, *row.values()]
