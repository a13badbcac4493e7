"""``simcore verify``: whether two runs are identical, and if not, where they differ first."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from simcore.comm import Comm
from simcore.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from simcore.io.compare import Comparison


def verify(arguments: argparse.Namespace, comm: Comm) -> int:
    """Print what a comparison of two files found; return 0 if they are identical, else 1."""
    from simcore.io.compare import compare
    from simcore.io.reader import open_run
    from simcore.io.schema import to_json

    try:
        found = compare(open_run(arguments.one), open_run(arguments.other))
    except OutputError as error:
        raise ConfigError(str(error)) from error
    values = {"identical": found.identical, **dataclasses.asdict(found)}
    print(to_json(values, indent=2) if arguments.json else comparison_text(found))
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
