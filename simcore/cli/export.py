"""``simcore export``: a run in a format that other programs read."""

from __future__ import annotations

import argparse
import shlex
import tomllib
from typing import TYPE_CHECKING, Any

from simcore.cli.foreign import add_told, open_told
from simcore.cli.parameters import parse_window
from simcore.cli.parser import STYLE, Commands
from simcore.services.comm import Comm
from simcore.services.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from simcore.io.excerpt import Excerpt

_TEXT = """\
Write spikes and samples into a file of another format:

  sonata  uncompressed HDF5 for libsonata, bmtk and bluepysnap, spikes and samples
  nwb     Neurodata Without Borders, spikes and samples (pip install 'simcore[interop]')
  csv     text with the columns timestamps [ms], population, node_ids; spikes
  nest    what NEST's recording backend "ascii" writes, with global ids from 1; spikes

RUN may be a run in progress, or a SONATA spike file of another program.
"""

_EXAMPLES = """\
examples:
  simcore export run.h5 -o spikes.csv
  simcore export run.h5 -o run.nwb --populations L23E L23I --window 500 1500
  simcore export running.h5 -o so_far.h5
  simcore export run.h5 -o spikes.txt --to nest
  simcore export run.h5 -o run.nwb --about institution=Lab experimenter="Doe, Jane" \\
      subject.subject_id=model subject.species="Mus musculus" subject.sex=U subject.age=P60D

fields of --about: session_description, session_id, session_start_time, experimenter, institution,
lab, experiment_description, protocol, notes, keywords, related_publications; of the subject:
subject_id, species, strain, genotype, sex, age, date_of_birth, weight, description. A TOML file has
lines such as institution = "Lab", and a table [subject].
"""


def add_export(commands: Commands) -> None:
    """Add the arguments of ``simcore export``."""
    parser = commands.add_parser(
        "export", help="write a run for other programs", description=_TEXT, epilog=_EXAMPLES,
        **STYLE,
    )  # fmt: skip
    parser.set_defaults(command=export, parallel=False)
    add = parser.add_argument
    add("file", metavar="RUN", help="output file of a run, or a SONATA spike file")
    add("-o", "--output", metavar="FILE", required=True, help="the new file")
    add("--to", metavar="FORMAT",
        help="sonata, nwb, csv or nest (that of the ending .h5, .nwb, .csv or .dat)")  # fmt: skip
    add("--populations", metavar="NAME", nargs="+", help="only these (all that were recorded)")
    add("--window", metavar=("A", "B"), nargs=2,
        help="only what is after A, up to and with B, in ms or such as 2s (all there is)",
        )  # fmt: skip
    add(
        "--about",
        metavar="FIELD=TEXT",
        nargs="+",
        help="for nwb: what the run cannot tell and archives ask for, or a TOML file with it",
    )
    add("--overwrite", action="store_true", help="replace an existing file")
    add("--no-progress", action="store_true", help="do not report progress")
    add_told(parser)


def export(arguments: argparse.Namespace, comm: Comm) -> None:
    """Export a run, and print what was written."""
    from simcore.io.export import export_run, file_format

    to = file_format(arguments.output, arguments.to)
    start, stop = parse_window(arguments.window or (None, None))
    run = open_told(arguments.file, arguments)
    try:
        found = export_run(
            run, arguments.output, to, arguments.populations, start, stop,
            arguments.overwrite, not arguments.no_progress, read_about(arguments.about or []),
        )  # fmt: skip
    except ModelError as error:
        raise ConfigError(str(error)) from error
    print(f"{arguments.output}: {_summary(found, to)}")
    if run.guesses:
        print(run.guesses)
    if to == "nest":
        print(f"its populations, for NEST's ids: --populations {nest_ids(found)}")


def read_about(given: list[str]) -> dict[str, Any]:
    """Return fields by their names, given texts ``FIELD=TEXT`` or the path of a TOML file.

    Raises
    ------
    ConfigError
        When a text or the file is not as it should be.
    """
    if len(given) == 1 and "=" not in given[0]:
        try:
            with open(given[0], "rb") as file:
                return tomllib.load(file)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"about: {given[0]!r} must be FIELD=TEXT, as institution=Lab, or a TOML file: "
                f"{error}"
            ) from error
    found: dict[str, Any] = {}
    for text in given:
        field, equals, value = text.partition("=")
        if not (field and equals) or field == "subject":
            raise ConfigError(
                f"about: {text!r} must be FIELD=TEXT, as institution=Lab or subject.sex=U"
            )
        place, name = found, field
        if field.startswith("subject."):
            place, name = found.setdefault("subject", {}), field.removeprefix("subject.")
        if name in place:
            raise ConfigError(f"about: {field!r} is given twice")
        place[name] = value
    return found


def _summary(found: Excerpt, to: str) -> str:
    from simcore.io.text import printable

    begin, end = found.window
    names = ", ".join(s.population for s in found.spikes)
    parts = [f"{found.n_spikes:,} spikes of {printable(names)}"] if names else []
    if found.reports and to in ("sonata", "nwb"):
        parts.append(f"samples of {printable('; '.join(map(str, found.reports)))}")
    return f"{'; '.join(parts) or 'nothing'}; {begin:.10g} to {end:.10g} ms"


def nest_ids(found: Excerpt) -> str:
    """Return the populations as `simcore import` takes them."""
    from simcore.io.nest import first_nest_ids

    first, sizes = first_nest_ids(found.run), found.run.sizes
    names = [s.population for s in found.spikes]
    return " ".join(
        shlex.quote(f"{name}={first[name]}:{first[name] + sizes[name] - 1}")
        for name in names
        if sizes[name]
    )
