"""``simcore import``: spikes that NEST recorded, as a file that is read like a run."""

from __future__ import annotations

import argparse
import json
import os
import tomllib
from typing import Any

from simcore.cli.parameters import parse_time, parse_window
from simcore.cli.parser import STYLE, Commands
from simcore.services.comm import Comm
from simcore.services.errors import ConfigError

# How the names of recorders begin, beside those of populations
_RECORDERS = ("spike_recorder", "spike_detector", "voltmeter", "multimeter")

_TEXT = """\
Put spikes that NEST recorded to files into one SONATA file, sorted by time: what NEST 3 writes with
"record_to": "ascii", or the .gdf of NEST 2. Give all files of the recorders, one for each virtual
process; and with --populations the first and last global id of each population, as NodeCollection
shows them when it is printed:

  --populations E=1:8000 I=8001:10000
  --populations populations.toml          lines such as: E = [1, 8000]
  --populations nodes.json                the ids of each population, as the microcircuit writes
                                          them; recorders are left out
  --populations population_nodeids.dat    lines "first last", as the microcircuit writes them, in
                                          the order of --names; population_GIDs.dat of NEST 2 too
"""

_EXAMPLES = """\
examples:
  simcore import spike_recorder-*.dat -o nest.h5 --populations E=1:8000 I=8001:10000 --end 1000
  simcore import data/spike_recorder-*.dat -o nest.h5 --populations data/population_nodeids.dat \\
      --names L23E L23I L4E L4I L5E L5I L6E L6I --begin 500 --end 10500
"""


def add_import(commands: Commands) -> None:
    """Add the arguments of ``simcore import``."""
    parser = commands.add_parser(
        "import", help="read spikes of NEST", description=_TEXT, epilog=_EXAMPLES, **STYLE
    )
    parser.set_defaults(command=import_, parallel=False)
    add = parser.add_argument
    add("files", metavar="FILE", nargs="+", help="recording of NEST, *.dat or *.gdf")
    add("-o", "--output", metavar="FILE", required=True, help="the new file")
    add("--populations", metavar="NAME=FIRST:LAST", nargs="+", required=True,
        help="global ids of each population in NEST, or a file that has them")  # fmt: skip
    add("--names", metavar="NAME", nargs="+",
        help="names of the populations, if the file has none (population_0, ...)")  # fmt: skip
    add("--dt", metavar="TIME",
        help="resolution of NEST, such as 0.1ms; needed for recordings in steps")  # fmt: skip
    add("--begin", default=0.0, metavar="TIME", help="take spikes after this time (0)")
    add("--end", metavar="TIME",
        help="and up to this: how long NEST recorded, such as 10s (to the last spike)",
        )  # fmt: skip
    add("--overwrite", action="store_true", help="replace an existing file")
    add("--no-progress", action="store_true", help="do not report progress")


def import_(arguments: argparse.Namespace, comm: Comm) -> None:
    """Import spikes, and print how many."""
    from simcore.io.nest import import_nest
    from simcore.io.text import printable

    populations = read_populations(arguments.populations, arguments.names)
    begin, end = parse_window((arguments.begin, arguments.end))
    dt = None if arguments.dt is None else parse_time("dt", arguments.dt, "ms")
    found = import_nest(
        arguments.files, arguments.output, populations, dt, begin or 0.0, end,
        arguments.overwrite, not arguments.no_progress,
    )  # fmt: skip
    begin, end = found.window
    total = sum(found.counts.values())
    print(f"{arguments.output}: {total:,} spikes, {begin:.10g} to {end:.10g} ms")
    for name, count in found.counts.items():
        first, last = populations[name]
        print(f"  {printable(name)}: {last - first + 1:,} neurons, {count:,} spikes")
    if found.n_repeated:
        print(
            f"{found.n_repeated:,} spikes are there again: the same neuron at the same time. Was "
            "something recorded or given twice?"
        )
    if found.n_outside:
        print(f"{found.n_outside:,} spikes outside of this time were left out")
    if arguments.end is None:
        print("The recording is taken to end with the last spike; --end tells better.")


def read_populations(
    given: list[str], names: list[str] | None = None
) -> dict[str, tuple[int, int]]:
    """Return the first and last global id of each population.

    Parameters
    ----------
    given : list of str
        Texts ``NAME=FIRST:LAST``, or the path of one file.
    names : list of str, optional
        Names for a file that has none.

    Raises
    ------
    ConfigError
        When a text or the file is not as it should be.
    """
    lone = len(given) == 1 and "=" not in given[0]
    named = not lone or given[0].endswith((".toml", ".json"))
    if named and names is not None:
        raise ConfigError("names: only for a file of populations without names")
    if lone:
        path = given[0]
        try:
            return _from_table(path) if named else _from_lines(path, names)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"populations: {path!r} must be NAME=FIRST:LAST, as E=1:8000, or a file: {error}"
            ) from error
    found: dict[str, tuple[int, int]] = {}
    for text in given:
        name, _, ids = text.rpartition("=")
        first, _, last = ids.partition(":")
        if not (name and first.isdecimal() and last.isdecimal()):
            hint = " Put the recordings before --populations." if os.path.exists(text) else ""
            raise ConfigError(f"populations: {text!r} must be NAME=FIRST:LAST, as E=1:8000.{hint}")
        if name in found:
            raise ConfigError(f"populations: {name!r} is given twice")
        found[name] = int(first), int(last)
    return found


def _from_table(path: str) -> dict[str, tuple[int, int]]:
    """Read lines of TOML such as ``E = [1, 8000]``, or a table of JSON with the ids of each."""
    with open(path, "rb") as file:
        try:
            table = tomllib.load(file) if path.endswith(".toml") else json.load(file)
        except ValueError as error:
            raise ConfigError(f"populations: {path!r}: {error}") from error
    if not isinstance(table, dict):
        raise ConfigError(f"populations: {path!r} must be a table of ids by name")
    neurons = {name: ids for name, ids in table.items() if not name.startswith(_RECORDERS)}
    return {name: _ends(f"populations: {path!r}: {name}", ids) for name, ids in neurons.items()}


def _ends(subject: str, ids: Any) -> tuple[int, int]:
    """Return the first and the last of the ids of a population."""
    if not (isinstance(ids, list) and len(ids) >= 1 and all(type(i) is int for i in ids)):
        raise ConfigError(f"{subject} is {ids!r:.60}, must be [first, last] or all ids")
    first, last = ids[0], ids[-1]
    if len(ids) != 2 and ids != list(range(first, last + 1)):
        raise ConfigError(
            f"{subject} has {len(ids)} ids from {first} to {last}, must be [first, last] or all "
            "ids, one after the other"
        )
    return first, last


def _from_lines(path: str, names: list[str] | None) -> dict[str, tuple[int, int]]:
    """Read lines ``first last``."""
    with open(path, encoding="utf-8") as file:
        lines = [line.split() for line in file if line.strip()]
    for number, values in enumerate(lines, 1):
        if len(values) != 2 or not all(value.isdecimal() for value in values):
            text = " ".join(values)
            raise ConfigError(f"populations: {path!r}: line {number} is {text!r}, must be two ids")
    names = [f"population_{k}" for k in range(len(lines))] if names is None else names
    if len(names) != len(lines) or len(set(names)) != len(names):
        raise ConfigError(
            f"names: {names} are {len(set(names))} names, but {path!r} has {len(lines)} populations"
        )
    return {name: (int(a), int(b)) for name, (a, b) in zip(names, lines, strict=True)}
