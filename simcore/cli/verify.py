"""``simcore verify``: whether a file is as it was written, or two are identical."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from simcore.cli.parser import STYLE, Commands, print_json
from simcore.services.comm import Comm
from simcore.services.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from simcore.analysis.verification import Comparison
    from simcore.io.integrity import FileCheck


def add_verify(commands: Commands) -> None:
    """Add the arguments of ``simcore verify``."""
    text = (
        "Tell whether a file is as it was written, or compare two.\n\n"
        "Of one file every byte is read, with its parts and checkpoints, and compared with the\n"
        "checksum at its end; if that differs, the digests tell which dataset or attribute does.\n"
        "Of two files, also SONATA files of other programs, spikes and samples are compared\n"
        "to the last bit, and it is said where they differ first. The exit code is 0 or 1, and 2\n"
        "for a file that cannot be read or has no checksum."
    )
    examples = "examples:\n  simcore verify copy.h5\n  simcore verify laptop.h5 cluster.h5\n"
    parser = commands.add_parser(
        "verify", help="is a file whole, are two equal", description=text, epilog=examples, **STYLE
    )
    parser.set_defaults(command=verify, parallel=False)
    parser.add_argument("one", metavar="FILE", help="output file of a run, or SONATA spike file")
    parser.add_argument("other", metavar="OTHER", nargs="?", help="one to compare it with")
    parser.add_argument("--json", action="store_true", help="as JSON")


def verify(arguments: argparse.Namespace, comm: Comm) -> int:
    """Print what a check of a file, or a comparison of two, found; return 1 if not all is well."""
    try:
        values, text, well = (
            _checked(arguments) if arguments.other is None else _compared(arguments)
        )
    except OutputError as error:
        raise ConfigError(str(error)) from error
    if arguments.json:
        print_json(values)
    else:
        print(text)
    return 0 if well else 1


def _checked(arguments: argparse.Namespace) -> tuple[dict[str, Any], str, bool]:
    from simcore.io.integrity import check

    found = check(arguments.one)
    return check_values(found), check_text(found), all(file.whole for file in found)


def _compared(arguments: argparse.Namespace) -> tuple[dict[str, Any], str, bool]:
    from simcore.analysis.verification import compare_bits
    from simcore.io.reader import open_recording

    found = compare_bits(open_recording(arguments.one), open_recording(arguments.other))
    values = {"identical": found.identical, **dataclasses.asdict(found)}
    return values, comparison_text(found), found.identical


def check_values(found: list[FileCheck]) -> dict[str, Any]:
    """Return what a check of files found, as plain values."""
    files = [{"whole": file.whole, **dataclasses.asdict(file)} for file in found]
    return {"whole": all(file.whole for file in found), "files": files}


def check_text(found: list[FileCheck]) -> str:
    """Return what a check of files found, as text."""
    damaged = [file for file in found if not file.whole]
    n_bytes = sum(file.n_bytes for file in found)
    files = "1 file" if len(found) == 1 else f"{len(found)} files"
    lines = [f"{file.path}: {file.note}" for file in found if file.note]
    if not damaged:
        return "\n".join([f"whole: {n_bytes:,} bytes in {files}, as they were written", *lines])
    head = f"damaged: {len(damaged)} of {files}" if len(found) > 1 else "damaged:"
    shown = [f"  {file.path}: {'; '.join(file.damage)}. {file.remedy}" for file in damaged]
    return "\n".join([head, *shown, *lines])


def comparison_text(found: Comparison) -> str:
    """Return what a comparison found, as text."""
    compared = f"{found.spikes:,} spikes and {found.samples:,} samples"
    notes = [f"other {text}" for text in found.descriptions]
    if found.identical:
        return "\n".join([f"identical: {compared}", *notes])
    order = sorted(found.differences, key=lambda d: float("-inf") if d.time is None else d.time)
    lines = [f"  {d.quantity} of {d.population}: {d.text}" for d in order]
    return "\n".join(["different, first at", *lines, *notes])
