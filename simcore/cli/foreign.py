"""What a file of another program does not tell, as options of the commands that read it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from simcore.services.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from simcore.io.reader import Run
    from simcore.io.sonata import SonataFile


def add_told(parser: argparse.ArgumentParser) -> None:
    """Add the options, as a group of their own."""
    add = parser.add_argument_group(
        "if the file is of another program and does not tell",
        "What is neither in the file nor told is guessed, and the output says so.",
    ).add_argument
    add("--sizes", metavar="NAME=N", nargs="+",
        help="number of neurons of populations (up to the largest id that fired)")  # fmt: skip
    add("--begin", type=float, metavar="MS", help="begin of the recording [ms] (0)")
    add("--end", type=float, metavar="MS", help="end of the recording [ms] (the last spike)")


def open_told(path: str, arguments: argparse.Namespace) -> Run | SonataFile:
    """Open a file with what its user tells of it.

    Raises
    ------
    ConfigError
        When that does not fit the file.
    OutputError
        When the file cannot be read.
    """
    from simcore.io.reader import open_recording

    sizes = _sizes(arguments.sizes or [])
    try:
        return open_recording(path, sizes, arguments.begin, arguments.end)
    except ModelError as error:
        raise ConfigError(str(error)) from error


def _sizes(given: list[str]) -> dict[str, int]:
    """Return the number of neurons of each population."""
    found: dict[str, int] = {}
    for text in given:
        name, _, size = text.rpartition("=")
        if not (name and size.isdecimal()):
            raise ConfigError(f"sizes: {text!r} must be NAME=N, as E=8000")
        if name in found:
            raise ConfigError(f"sizes: {name!r} is given twice")
        found[name] = int(size)
    return found
