"""``simcore verify``: whether two runs are identical, and if not, where they differ first."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from simcore.cli.parser import STYLE, Commands, print_json
from simcore.comm import Comm
from simcore.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from simcore.io.compare import Comparison


def add_verify(commands: Commands) -> None:
    """Add the arguments of ``simcore verify``."""
    text = (
        "Compare the spikes and potentials of two runs to the last bit. Says that they are\n"
        "identical, or where they differ first. The exit code is 0 or 1, and 2 for a file that\n"
        "cannot be read."
    )
    examples = "examples:\n  simcore verify laptop.h5 cluster.h5\n"
    parser = commands.add_parser(
        "verify", help="compare two files", description=text, epilog=examples, **STYLE
    )
    parser.set_defaults(command=verify, parallel=False)
    parser.add_argument("one", metavar="A", help="output file of a run")
    parser.add_argument("other", metavar="B", help="that of another")
    parser.add_argument("--json", action="store_true", help="as JSON")


def verify(arguments: argparse.Namespace, comm: Comm) -> int:
    """Print what a comparison of two files found; return 0 if they are identical, else 1."""
    from simcore.io.compare import compare
    from simcore.io.reader import open_run

    try:
        found = compare(open_run(arguments.one), open_run(arguments.other))
    except OutputError as error:
        raise ConfigError(str(error)) from error
    values = {"identical": found.identical, **dataclasses.asdict(found)}
    if arguments.json:
        print_json(values)
    else:
        print(comparison_text(found))
    return 0 if found.identical else 1


def comparison_text(found: Comparison) -> str:
    """Return what a comparison found, as text."""
    compared = f"{found.spikes:,} spikes and {found.potentials:,} potentials"
    notes = [f"other {text}" for text in found.descriptions]
    if found.identical:
        return "\n".join([f"identical: {compared}", *notes])
    order = sorted(found.differences, key=lambda d: float("-inf") if d.time is None else d.time)
    lines = [f"  {d.quantity} of {d.population}: {d.text}" for d in order]
    return "\n".join(["different, first at", *lines, *notes])
