"""The options of a run on the command line and in a run file, which follow from their entries."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from simcore.cli.parameters import UNITS, convert, parse_time
from simcore.simulation.options import RunOptions, option

# Option, and its section and key in a run file, where these are not [run] and its name
_PLACES = {
    "record_from": ("record", "from"),
    "output": ("output", "file"),
    "overwrite": ("output", "overwrite"),
    "raster": ("output", "raster"),
}

PLANNED = ("duration", "dt", "seed", "threads", "backend", "partitioner", "precision")
"""Options that cost depends on."""

_METAVARS = {"output": "FILE", "raster": "PNG", "precision": "TYPE"}


@dataclass(frozen=True, kw_only=True)
class CommandOptions(RunOptions):
    """How to run a model; each name is one of the command line and of the run file."""

    duration: float = option(1000.0, "Model time to simulate, such as 500ms or 10s.", "ms")
    seed: int | None = option(None, "Seed of all random numbers; the model's unless given.")
    output: str | None = option(None, "Output file; MODEL.h5 unless given.")
    overwrite: bool = option(False, "Replace an existing file.")
    raster: str | None = option(None, "Draw the spikes to this file after the run.")

    def run(self) -> dict[str, Any]:
        """Return those of `RunOptions`, by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(RunOptions)}

    def resumed(self) -> dict[str, Any]:
        """Return those of `RunOptions` that may change when a run goes on, by name."""
        fields = dataclasses.fields(RunOptions)
        return {f.name: getattr(self, f.name) for f in fields if not f.metadata["fixed"]}

    def given(self, arguments: argparse.Namespace) -> CommandOptions:
        """Return the same with what the command line says."""
        named = {n: getattr(arguments, n, None) for n in _ENTRIES}
        return self.replaced("", {n: v for n, v in named.items() if v is not None})

    def replaced(self, subject: str, values: Mapping[str, Any]) -> CommandOptions:
        """Return the same with some of them replaced, after a check of their types.

        Parameters
        ----------
        subject : str
            What stands before a name in a message.
        values : mapping of str to object
            The options by name; times with a unit, as texts.
        """
        kinds = get_type_hints(CommandOptions)
        checked: dict[str, Any] = {}
        for name, value in values.items():
            unit = _ENTRIES[name].metadata["unit"]
            if unit in UNITS:
                value = convert(f"{subject}{name}", value, float | str)
                checked[name] = parse_time(f"{subject}{name}", value, unit)
            else:
                checked[name] = convert(f"{subject}{name}", value, kinds[name])
        return dataclasses.replace(self, **checked)


_ENTRIES = {f.name: f for f in dataclasses.fields(CommandOptions)}


def sections() -> dict[str, dict[str, str]]:
    """Return the sections of a run file: their keys, and the options that these set."""
    found: dict[str, dict[str, str]] = {"run": {}, "record": {}, "output": {}}
    for name in _ENTRIES:
        section, key = _PLACES.get(name, ("run", name))
        found[section][key] = name
    return found


def add_options(
    parser: argparse.ArgumentParser, names: Sequence[str] | None = None, default: str = ""
) -> None:
    """Add options to the parser of a command.

    Parameters
    ----------
    parser : ArgumentParser
        The parser.
    names : sequence of str, optional
        Which; all if left out.
    default : str
        What is said of the default, where it is not that of the entry.
    """
    kinds = get_type_hints(CommandOptions)
    own = [n for n in _ENTRIES if n not in RunOptions.__dataclass_fields__]
    for name in dict.fromkeys([*own, *_ENTRIES]) if names is None else names:
        entry = _ENTRIES[name]
        told = default or _default(entry)
        meaning = entry.metadata["meaning"].rstrip(".")
        text = meaning[0].lower() + meaning[1:] + (f" ({told})" if told else "")
        how: dict[str, Any] = {"help": text.replace('"', "")}
        unit = entry.metadata["unit"]
        if kinds[name] is bool:
            how |= {"action": "store_true", "default": None}
        elif unit in UNITS:
            how |= {"metavar": "TIME"}
        elif unit:
            how |= {"metavar": "HZ", "type": float}
        elif kinds[name] in (int, int | None):
            how |= {"metavar": "N", "type": int}
        else:
            how |= {"metavar": _METAVARS.get(name, "NAME")}
        parser.add_argument(f"--{name.replace('_', '-')}", **how)


def _default(entry: dataclasses.Field[Any]) -> str:
    """Return the default of an option as a user would write it."""
    value: Any = entry.default
    unit = entry.metadata["unit"]
    if value is None or isinstance(value, bool):
        return "none" if unit else ""
    if unit not in UNITS:
        return str(value)
    seconds = value * UNITS[unit]
    fitting = [u for u, size in UNITS.items() if seconds >= size]
    return f"{seconds / UNITS[fitting[-1]]:g}{fitting[-1]}" if fitting else f"{value:g}{unit}"
