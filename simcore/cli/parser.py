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


def print_json(value: Any) -> None:
    """Print plain values as JSON; a number that is not defined is null."""
    from simcore.io.schema import to_json

    print(to_json(value, indent=2, nan=None))
