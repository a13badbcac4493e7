"""What the parsers of all commands have in common."""

from __future__ import annotations

import argparse
from typing import Any, TypeAlias

from simcore.services.launcher import launched_process


class Parser(argparse.ArgumentParser):
    """Speaks on rank 0 only, so that N ranks print a message once."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if launched_process().rank == 0:
            super()._print_message(message, file)


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

STYLE: dict[str, Any] = {
    "formatter_class": argparse.RawDescriptionHelpFormatter,
    "allow_abbrev": False,
}


def add_run_limits(parser: argparse.ArgumentParser, *defaults: str) -> None:
    """Add the options of checkpoints and of what ends a run, with the defaults that they show."""
    wall, every, rate, patience = defaults
    add = parser.add_argument
    add("--checkpoint-wall", metavar="TIME",
        help=f"wall-clock time between two checkpoints, such as 30s or 1h; 0 for none ({wall})",
        )  # fmt: skip
    add("--checkpoint-every", metavar="TIME",
        help=f"model time between two checkpoints, such as 500ms or 10s ({every})")  # fmt: skip
    add("--max-rate", type=float, metavar="HZ",
        help=f"end the run when a population fires more, over 100 ms ({rate})")  # fmt: skip
    add("--watchdog", metavar="TIME",
        help=f"end the job after so long without progress; 0 for never ({patience})")  # fmt: skip


def print_json(value: Any) -> None:
    """Print plain values as JSON; a number that is not defined is null."""
    from simcore.io.schema import to_json

    print(to_json(value, indent=2, nan=None))
