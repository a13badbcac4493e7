"""A run as a TOML file: the model, its parameters, how to run it, what to record and where to."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simcore.cli.modelfile import Model, find_model
from simcore.cli.options import CommandOptions, sections
from simcore.cli.parameters import check_names, convert, suggestion
from simcore.description.network import Network
from simcore.description.population import Population
from simcore.description.records import SPIKES
from simcore.services.errors import ConfigError, ModelError, cause, require

# Sections of the file, and what they may hold
_OPTIONS = sections()
_SECTIONS = ("model", "parameters", *_OPTIONS)
_RECORD_KEYS = ("from", "spikes")


@dataclass(frozen=True)
class SampleRecord:
    """Neurons of which a column of their model is recorded.

    Parameters
    ----------
    population : str
        Name of the population.
    n : int, optional
        Number of neurons, from the first on; all of them if left out.
    interval : float
        Time between two samples [ms].
    dtype : {"float32", "float64"}
        Type of the samples in the file.
    """

    population: str
    n: int | None = None
    interval: float = 1.0
    dtype: str = "float32"


@dataclass(frozen=True)
class RunFile:
    """What a MODEL argument stands for.

    Parameters
    ----------
    name : str
        Name of the run, for the output file.
    model : Model
        What builds the network.
    parameters : dict
        Parameters of the model, unchecked.
    options : CommandOptions
        How to run it.
    spikes : list of str, bool or None
        Populations whose spikes are recorded, all, or none; None leaves it to the model.
    samples : dict of str to list of SampleRecord
        Of which neurons a column is recorded; the model decides on other columns.
    """

    name: str
    model: Model
    parameters: dict[str, Any] = field(default_factory=dict)
    options: CommandOptions = field(default_factory=CommandOptions)
    spikes: list[str] | bool | None = None
    samples: dict[str, list[SampleRecord]] = field(default_factory=dict)

    @property
    def records(self) -> dict[str, Any]:
        """The records as plain values, from which `recorded` makes them again."""
        samples = {n: [dataclasses.asdict(r) for r in own] for n, own in self.samples.items()}
        return {"spikes": self.spikes, **samples}

    def recorded(self, records: Mapping[str, Any]) -> RunFile:
        """Return the same with other records, given as plain values."""
        samples = {
            name: [SampleRecord(**record) for record in own]
            for name, own in records.items()
            if name != SPIKES and own is not None
        }
        return dataclasses.replace(self, spikes=records[SPIKES], samples=samples)

    def apply_records(self, network: Network) -> None:
        """Replace the records of a network by those of the file, where it has any."""
        if self.spikes is not None:
            network.records[:] = network.sampled
            names = self.spikes
            if isinstance(names, bool):
                names = [p.name for p in network.populations] if names else []
            for name in names:
                network.record(_population(network, name, f"{self.name}: [record] spikes"))
        for variable, records in self.samples.items():
            network.records[:] = [r for r in network.records if r.variable != variable]
            for record in records:
                subject = f"{self.name}: [record] {variable}"
                chosen = _population(network, record.population, subject)
                n = chosen.size if record.n is None else record.n
                require(n >= 1, f"{subject}: n", n, "at least 1", error=ConfigError)
                try:
                    network.record(chosen[:n], variable, record.interval, record.dtype)
                except ModelError as error:
                    raise ConfigError(f"{subject}: {error}") from error


def read_run(name: str) -> RunFile:
    """Return what a built-in name, a Python file or a TOML file stands for.

    Parameters
    ----------
    name : str
        What the user wrote.

    Raises
    ------
    ConfigError
        When there is no such model, or a key or value of the TOML file is wrong.
    """
    if not name.endswith(".toml"):
        model = find_model(name)
        return RunFile(model.name, model)
    path = Path(name)
    table = _read_toml(path)
    check_names(f"{path}: section", table, _SECTIONS)
    if not isinstance(table.get("model"), str):
        raise ConfigError(
            f"{path}: model is {table.get('model')!r}, must be the name of a built-in model or "
            'of a Python file, such as model = "microcircuit"'
        )
    options = CommandOptions()
    for section, keys in _OPTIONS.items():
        values = _section(path, table, section)
        valid: tuple[str, ...] = tuple(keys)
        if section == "record":
            # Tables and lists are of columns, whose names the model knows
            named = {k: v for k, v in values.items() if k in _RECORD_KEYS}
            values = named | {k: v for k, v in values.items() if not isinstance(v, (dict, list))}
            valid = (*_RECORD_KEYS, "V_m", "any other column as a table")
        check_names(f"{path}: [{section}] key", values, valid)
        chosen = {keys[k]: v for k, v in values.items() if k in keys}
        options = options.replaced(f"{path}: [{section}]: ", chosen)
    record = _section(path, table, "record")
    return RunFile(
        path.stem,
        find_model(table["model"], path.parent),
        _section(path, table, "parameters"),
        options,
        _read_spikes(path, record),
        {
            name: _read_samples(path, name, given)
            for name, given in record.items()
            if name not in _RECORD_KEYS
        },
    )


def _read_toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"run file {str(path)!r} does not exist, must be a TOML file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"run file {str(path)!r} cannot be read: {cause(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no valid TOML: {error}") from error


def _section(path: Path, table: Mapping[str, Any], name: str) -> dict[str, Any]:
    return convert(f"{path}: [{name}]", table.get(name, {}), dict)


def _read_spikes(path: Path, record: Mapping[str, Any]) -> list[str] | bool | None:
    if "spikes" not in record:
        return None
    spikes = convert(f"{path}: [record] spikes", record["spikes"], bool | str | list)
    names = [spikes] if isinstance(spikes, str) else spikes
    if isinstance(names, list):
        for name in names:
            convert(f"{path}: [record] population of spikes", name, str)
    return names


def _read_samples(path: Path, variable: str, value: Any) -> list[SampleRecord]:
    subject = f"{path}: [record] {variable}"
    given = convert(subject, value, dict | list)
    kinds = {"population": str, "n": int, "interval": float, "dtype": str}
    records = []
    for entry in [given] if isinstance(given, dict) else given:
        values = convert(f"{subject}: entry", entry, dict)
        check_names(f"{subject}: key", values, kinds)
        if "population" not in values:
            raise ConfigError(f"{subject}: key 'population' is missing, must name a population")
        records.append(
            SampleRecord(**{k: convert(f"{subject}: {k}", v, kinds[k]) for k, v in values.items()})
        )
    return records


def _population(network: Network, name: str, subject: str) -> Population:
    found = {p.name: p for p in network.populations}
    if name not in found:
        raise ConfigError(
            f"{subject}: population {name!r} is unknown. {suggestion(name, list(found))}"
        )
    return found[name]
