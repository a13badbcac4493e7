"""``simcore resume`` and ``simcore pack``: go on with a run, or make one file of what it has."""

from __future__ import annotations

import argparse
from typing import Any

from simcore.cli.modelfile import Model, find_model
from simcore.cli.options import CommandOptions, add_options
from simcore.cli.parameters import parse_time
from simcore.cli.parser import STYLE, Commands
from simcore.cli.run import summary_of
from simcore.cli.runfile import RunFile
from simcore.description.network import Network
from simcore.services.comm import Comm
from simcore.services.errors import ConfigError
from simcore.services.failure import fail_together
from simcore.services.progress import Progress

_TEXT = """\
Go on with a run that was killed, stopped or failed, or make one longer that is complete. It goes on
from the newest checkpoint that is valid, or from the beginning if there is none; in the end the
file is the same as if nothing had happened. The number of ranks, the partitioner, the threads and
the backend may change; the model, its seed, the time step and the precision may not.

A run writes checkpoints into the folder FILE.checkpoints: every 15 minutes unless told otherwise,
on SIGUSR1, on SIGTERM before it stops with exit code 75, and on Ctrl-C.
"""

_EXAMPLES = """\
examples:
  simcore resume microcircuit.h5
  simcore resume microcircuit.h5 --until 20000
  mpiexec -n 16 simcore resume microcircuit.h5 --checkpoint-wall 5min
"""


def add_resume(commands: Commands) -> None:
    """Add the arguments of ``simcore resume``."""
    parser = commands.add_parser(
        "resume", help="go on with a run", description=_TEXT, epilog=_EXAMPLES, **STYLE
    )
    parser.set_defaults(command=resume, parallel=True)
    add = parser.add_argument
    add("file", metavar="FILE", help="output file of the run")
    add("--until", metavar="TIME", help="new end of the run, such as 20s (the planned one)")
    add("--model", metavar="MODEL", help="where the model is now, if its file was moved")
    add("--no-progress", action="store_true", help="do not report progress")
    add_options(parser, list(CommandOptions().resumed()), "as before")


def add_pack(commands: Commands) -> None:
    """Add the arguments of ``simcore pack``."""
    text = (
        "Put what a run that was killed or stopped has recorded into its output file, so that\n"
        "programs other than simcore read it too. A run that is complete is one file already.\n"
        "`simcore resume` goes on before and after it."
    )
    examples = "examples:\n  simcore pack run.h5\n"
    parser = commands.add_parser(
        "pack", help="make one file of a run", description=text, epilog=examples, **STYLE
    )
    parser.set_defaults(command=pack, parallel=False)
    parser.add_argument("file", metavar="FILE", help="output file of a run")


def resume(arguments: argparse.Namespace, comm: Comm) -> None:
    """Go on with a run on all ranks."""
    from simcore.simulation.job import resume as go_on
    from simcore.simulation.resumption import find_resumption

    found = find_resumption(arguments.file, comm)
    with fail_together(comm):
        config = found.description.config
        model, network = _model(config, arguments)
        options = _options(config, arguments)
        asked = arguments.until and parse_time("until", arguments.until, "ms")
    until = found.duration if asked is None else asked
    result = go_on(
        arguments.file,
        network,
        until=asked,
        progress=Progress(until, enabled=comm.rank == 0 and not arguments.no_progress),
        comm=comm,
        found=found,
        **options.resumed(),
    )
    if comm.rank == 0:
        print(summary_of(result, model.reference_rates(config["parameters"])))


def pack(arguments: argparse.Namespace, comm: Comm) -> None:
    """Make one file of a run that was killed or stopped."""
    from simcore.io import open_run
    from simcore.io import pack as make_one

    path = arguments.file
    n_parts = len(open_run(path).files) - 1
    make_one(path)
    run = open_run(path)
    text = f"{n_parts} parts were put into it" if n_parts else "as it was"
    print(f"{path} is one file, {text}: {run.end:.10g} of {run.duration:.10g} ms")


def _options(config: dict[str, Any], arguments: argparse.Namespace) -> CommandOptions:
    """Return how to run from here on: as the command line says, else as before."""
    before = {name: config[name] for name in CommandOptions().resumed()}
    if isinstance(before["threads"], list):
        # Ranks had threads of their own; how many each has now, nobody knows
        before["threads"] = min(before["threads"])
    return CommandOptions(**before).given(arguments)


def _model(config: dict[str, Any], arguments: argparse.Namespace) -> tuple[Model, Network]:
    """Return the model of the run, and the network it describes."""
    if "model_place" not in config:
        raise ConfigError(
            f"{arguments.file}: the run was started from a script. "
            "Go on with it there: simcore.resume(path, network)."
        )
    try:
        model = find_model(arguments.model or config["model_place"])
    except ConfigError as error:
        raise ConfigError(f"{error}. Name it by --model if it was moved.") from error
    parameters = model.arguments(config["parameters"])
    file = RunFile(model.name, model).recorded(config["records"])
    network = model.network(parameters, config["model_seed"])
    file.apply_records(network)
    return model, network
