"""What is recorded of neurons: their spikes, and columns of their models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore.description.population import Population, PopulationView
from simcore.language.layout import Column
from simcore.services.errors import ModelError, require

SPIKES = "spikes"

# Time between two samples where none is given [ms]
_INTERVAL = 1.0


@dataclass(frozen=True, eq=False)
class Record:
    """What is recorded of one view.

    Parameters
    ----------
    target : PopulationView
        Which neurons.
    variable : str
        What of them: "spikes", or a column of their model.
    interval : float or None
        Time between two samples [ms]; None for spikes.
    dtype : {"float32", "float64"}
        Type of the samples in the file.
    """

    target: PopulationView
    variable: str
    interval: float | None = None
    dtype: str = "float32"

    @property
    def is_sampled(self) -> bool:
        """Whether it takes samples of a column, rather than spikes."""
        return self.variable != SPIKES

    @property
    def column(self) -> Column:
        """The column that is sampled."""
        neuron = self.target.population.neuron
        found = None if neuron is None else neuron.layout.column(self.variable)
        assert found is not None
        return found

    def describe(self) -> dict[str, Any]:
        """Return the record as plain values."""
        return {
            "target": self.target.name,
            "variable": self.variable,
            "interval": self.interval,
            "dtype": self.dtype,
        }


def make_records(
    views: Sequence[PopulationView],
    variable: str | Sequence[str],
    interval: float | None,
    dtype: str,
) -> list[Record]:
    """Return the records of one or several variables of views.

    Parameters are those of `simcore.description.network.Network.record`.

    Raises
    ------
    ModelError
        When a population lacks a variable, or a value is out of range.
    """
    names = [variable] if isinstance(variable, str) else variable
    listed = isinstance(names, (list, tuple)) and names and all(isinstance(n, str) for n in names)
    require(bool(listed), "record: variable", variable, "a name, or a list of names")
    require(dtype in ("float32", "float64"), "record: dtype", dtype, "'float32' or 'float64'")
    alone = set(names) == {SPIKES}
    require(not alone or interval is None, "record: interval", interval, "None for spikes")
    number = isinstance(interval, (int, float, np.number)) and not isinstance(interval, bool)
    require(interval is None or number, "record: interval", interval, "a time [ms]")
    between = _INTERVAL if interval is None else interval
    found = []
    for name in names:
        for view in views:
            if name == SPIKES:
                found.append(Record(view, name, None, dtype))
                continue
            _require_column(view.population, name)
            found.append(Record(view, name, between, dtype))
    return found


def _require_column(population: Population, name: str) -> None:
    """Raise `ModelError` with the columns that a population has, unless it has this one."""
    columns = () if population.neuron is None else population.neuron.layout.columns
    model = type(population.model).__name__
    listed = ", ".join(f"{c.name} [{c.unit}]" for c in columns)
    valid = f"'spikes', or a column of {model}: {listed}" if columns else f"'spikes': {model} has"
    known = any(c.name == name for c in columns)
    subject = f"record: variable of population {population.name!r}"
    require(known, subject, name, valid if columns else f"{valid} no columns")


def require_new(new: Sequence[Record], old: Sequence[Record]) -> None:
    """Raise `ModelError` if one of the new records takes what another takes of its population.

    A column may be recorded several times, at intervals that differ.
    """
    known: dict[tuple[int, str], list[Record]] = {}
    for record in old:
        known.setdefault((record.target.population.id, record.variable), []).append(record)
    for record in new:
        population = record.target.population
        others = known.setdefault((population.id, record.variable), [])
        for other in others:
            _require_other_interval(record, other, f"of population {population.name!r}")
        others.append(record)


def _require_other_interval(record: Record, other: Record, of: str) -> None:
    if not record.is_sampled:
        raise ModelError(f"record: spikes {of} are recorded already")
    if math.isclose(record.interval or 0.0, other.interval or 0.0):
        raise ModelError(
            f"record: {record.variable} {of} is recorded every {record.interval:g} ms already. "
            "Record all wanted neurons in one call, or at another interval."
        )
