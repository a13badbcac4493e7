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
from simcore.services.errors import ConfigError, cause

# Sections of the file, and what they may hold
_OPTIONS = sections()
_SECTIONS = ("model", "parameters", *_OPTIONS)
_RECORD_KEYS = ("from", "spikes", "V_m")


@dataclass(frozen=True)
class VmRecord:
    """Potentials to record.

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
    V_m : list of VmRecord or None
        Potentials to record; None leaves it to the model.
    """

    name: str
    model: Model
    parameters: dict[str, Any] = field(default_factory=dict)
    options: CommandOptions = field(default_factory=CommandOptions)
    spikes: list[str] | bool | None = None
    V_m: list[VmRecord] | None = None

    @property
    def records(self) -> dict[str, Any]:
        """The records as plain values, from which `recorded` makes them again."""
        V_m = None if self.V_m is None else [dataclasses.asdict(record) for record in self.V_m]
        return {"spikes": self.spikes, "V_m": V_m}

    def recorded(self, records: Mapping[str, Any]) -> RunFile:
        """Return the same with other records, given as plain values."""
        V_m = records["V_m"]
        V_m = None if V_m is None else [VmRecord(**record) for record in V_m]
        return dataclasses.replace(self, spikes=records["spikes"], V_m=V_m)

    def apply_records(self, network: Network) -> None:
        """Replace the records of a network by those of the file, where it has any."""
        if self.spikes is not None:
            network.records[:] = [r for r in network.records if r.variable != "spikes"]
            names = self.spikes
            if isinstance(names, bool):
                names = [p.name for p in network.populations] if names else []
            for name in names:
                network.record(_population(network, name, f"{self.name}: [record] spikes"))
        if self.V_m is not None:
            network.records[:] = [r for r in network.records if r.variable != "V_m"]
            for v in self.V_m:
                chosen = _population(network, v.population, f"{self.name}: [record] V_m")
                view = chosen[: chosen.size if v.n is None else v.n]
                network.record(view, "V_m", interval=v.interval, dtype=v.dtype)


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
        valid = _RECORD_KEYS if section == "record" else tuple(keys)
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
        _read_V_m(path, record),
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


def _read_V_m(path: Path, record: Mapping[str, Any]) -> list[VmRecord] | None:
    if "V_m" not in record:
        return None
    subject = f"{path}: [record] V_m"
    given = convert(subject, record["V_m"], dict | list)
    kinds = {"population": str, "n": int, "interval": float, "dtype": str}
    records = []
    for entry in [given] if isinstance(given, dict) else given:
        values = convert(f"{subject}: entry", entry, dict)
        check_names(f"{subject}: key", values, kinds)
        if "population" not in values:
            raise ConfigError(f"{subject}: key 'population' is missing, must name a population")
        records.append(
            VmRecord(**{k: convert(f"{subject}: {k}", v, kinds[k]) for k, v in values.items()})
        )
    return records


def _population(network: Network, name: str, subject: str) -> Population:
    found = {p.name: p for p in network.populations}
    if name not in found:
        raise ConfigError(
            f"{subject}: population {name!r} is unknown. {suggestion(name, list(found))}"
        )
    return found[name]
