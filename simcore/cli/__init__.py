"""The command ``simcore``: arguments, subcommands, exit codes, and the net below every error."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import simcore
from simcore.cli.resume import pack, resume
from simcore.cli.run import run
from simcore.cli.show import info, models
from simcore.cli.verify import verify
from simcore.comm import Comm, SerialComm, world
from simcore.errors import ConfigError, SimcoreError, StoppedError
from simcore.failure import full, report, summary
from simcore.launch import launched

# Exit codes: an error of the run, a mistake in the command or the run file, Ctrl-C
FAILED, MISUSED, INTERRUPTED = 1, 2, 130

_STYLE: dict[str, Any] = {
    "formatter_class": argparse.RawDescriptionHelpFormatter,
    "allow_abbrev": False,
}

_EXAMPLES = """\
examples:
  simcore models                          which models are built in
  simcore run brunel                      one second of a small network, on one core
  mpiexec -n 4 simcore run microcircuit   a large one, on four ranks
  simcore resume microcircuit.h5          go on after a kill, a stop or a full disk
  simcore info microcircuit.h5            what is in the file
  simcore verify one.h5 other.h5          are two runs identical
"""

_RUN = """\
Simulate a model and write its spikes to an HDF5 file. With `mpiexec -n N` in front, and nothing
else, N ranks share the work; the spikes stay the same.

MODEL is the name of a built-in model (see `simcore models`), a Python file with a function
build(**parameters) that returns a simcore.Network, or a TOML file:

  model = "microcircuit"      # or "my_model.py", next to this file
  [parameters]
  N_scaling = 0.1
  [run]
  duration = 1000.0           # ms; also dt, seed, threads, backend, partitioner, precision,
                              # checkpoint_wall = "15min", checkpoint_every, max_rate, watchdog
  [record]
  from = 500.0                # ms
  spikes = ["L4E", "L4I"]     # or true, or false
  V_m = {population = "L4E", n = 10, interval = 1.0}
  [output]
  file = "run.h5"             # from where you start; also overwrite, raster

Options given here replace those of the file.
"""

_RUN_EXAMPLES = """\
examples:
  simcore run microcircuit --set N_scaling=0.1 --set K_scaling=0.1 --duration 500
  simcore run microcircuit --set drive=dc --record-from 500 --raster spikes.png
  simcore run my_model.py --set rate=12.5 --output out/rate12.h5 --overwrite
  simcore run microcircuit --threads 4
  mpiexec -n 16 simcore run study.toml --seed 7
"""


_RESUME = """\
Go on with a run that was killed, stopped or failed, or make one longer that is complete. It goes on
from the newest checkpoint that is valid, or from the beginning if there is none; in the end the
file is the same as if nothing had happened. The number of ranks, the partitioner, the threads and
the backend may change; the model, its seed, the time step and the precision may not.

A run writes checkpoints into the folder FILE.checkpoints: every 15 minutes unless told otherwise,
on SIGUSR1, and on SIGTERM before it stops with exit code 75.
"""

_RESUME_EXAMPLES = """\
examples:
  simcore resume microcircuit.h5
  simcore resume microcircuit.h5 --until 20000
  mpiexec -n 16 simcore resume microcircuit.h5 --checkpoint-wall 5min
"""


class _Parser(argparse.ArgumentParser):
    """Speaks on rank 0 only, so that N ranks print a message once."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if launched().rank == 0:
            super()._print_message(message, file)


_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process if left out.

    Returns
    -------
    int
        0 when all went well, 1 after an error or when `verify` found a difference, 2 after a
        mistake in the command or the run file, 75 when the run was asked to stop.
    """
    arguments = make_parser().parse_args(argv)
    if not arguments.parallel and launched().rank != 0:
        return 0
    comm: Comm = SerialComm()
    try:
        comm = world() if arguments.parallel else comm
        code: int = arguments.command(arguments, comm) or 0
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("simcore: interrupted", file=sys.stderr)
        comm.abort(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output has left: say nothing more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except StoppedError as error:
        return _stop(comm, error)
    except Exception as error:
        return _fail(comm, error)
    return code


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser("simcore", description=simcore.__doc__, epilog=_EXAMPLES, **_STYLE)
    version = f"simcore {simcore.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_resume(commands)
    _add_info(commands)
    _add_pack(commands)
    _add_verify(commands)
    _add_models(commands)
    return parser


def _add_run(commands: _Commands) -> None:
    parser = commands.add_parser(
        "run", help="simulate a model", description=_RUN, epilog=_RUN_EXAMPLES, **_STYLE
    )
    parser.set_defaults(command=run, parallel=True)
    add = parser.add_argument
    add("model", metavar="MODEL", help="built-in name, Python file or TOML file")
    add("--set", dest="settings", metavar="NAME=VALUE", action="append", default=[],
        help="a parameter of the model, as in TOML; can be repeated")  # fmt: skip
    add("--duration", type=float, metavar="MS", help="model time to simulate [ms] (1000)")
    add("--dt", type=float, metavar="MS", help="time step [ms] (0.1)")
    add("--seed", type=int, metavar="N", help="seed of all random numbers (the model's)")
    add("--backend", metavar="NAME", help="auto, cpu, cuda or reference (auto)")
    add("--partitioner", metavar="NAME", help="balanced, block or round_robin (balanced)")
    add("--threads", type=int, metavar="N", help="threads of each rank (1)")
    add("--precision", metavar="TYPE", help="float64 or float32 (float64)")
    add("--record-from", type=float, metavar="MS", help="record from this time on [ms] (0)")
    add("--output", metavar="FILE", help="output file (MODEL.h5)")
    add("--overwrite", action="store_true", default=None, help="replace an existing file")
    add("--raster", metavar="PNG", help="draw the spikes to this file after the run")
    add("--no-progress", action="store_true", help="do not report progress")
    _add_care(parser, "15min", "none", "none", "10min")


def _add_care(parser: argparse.ArgumentParser, *defaults: str) -> None:
    """Add the options of how a run takes care of itself, with the defaults that they show."""
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


def _add_resume(commands: _Commands) -> None:
    parser = commands.add_parser(
        "resume", help="go on with a run", description=_RESUME, epilog=_RESUME_EXAMPLES, **_STYLE
    )
    parser.set_defaults(command=resume, parallel=True)
    add = parser.add_argument
    add("file", metavar="FILE", help="output file of the run")
    add("--until", type=float, metavar="MS", help="new end of the run [ms] (the planned one)")
    add("--model", metavar="MODEL", help="where the model is now, if its file was moved")
    add("--backend", metavar="NAME", help="auto, cpu, cuda or reference (as before)")
    add("--partitioner", metavar="NAME", help="balanced, block or round_robin (as before)")
    add("--threads", type=int, metavar="N", help="threads of each rank (as before)")
    add("--no-progress", action="store_true", help="do not report progress")
    _add_care(parser, *["as before"] * 4)


def _add_pack(commands: _Commands) -> None:
    text = (
        "Put what a run that was killed or stopped has recorded into its output file, so that\n"
        "programs other than simcore read it too. A run that is complete is one file already.\n"
        "`simcore resume` goes on before and after it."
    )
    examples = "examples:\n  simcore pack run.h5\n"
    parser = commands.add_parser(
        "pack", help="make one file of a run", description=text, epilog=examples, **_STYLE
    )
    parser.set_defaults(command=pack, parallel=False)
    parser.add_argument("file", metavar="FILE", help="output file of a run")


def _add_info(commands: _Commands) -> None:
    text = "Show what an output file holds: the run, its rates, and where its time went."
    examples = (
        "examples:\n  simcore info run.h5\n  simcore info run.h5 --json | jq .rates\n"
        "  simcore info run.h5 --follow\n"
    )
    parser = commands.add_parser(
        "info", help="show what a file holds", description=text, epilog=examples, **_STYLE
    )
    parser.set_defaults(command=info, parallel=False)
    add = parser.add_argument
    add("file", metavar="FILE", help="output file of a run")
    add("--json", action="store_true", help="as JSON")
    add("--follow", action="store_true", help="before, a line whenever there is more of a run")
    add("--interval", type=float, default=1.0, metavar="S", help="time between two looks [s] (1)")


def _add_verify(commands: _Commands) -> None:
    text = (
        "Compare the spikes and potentials of two runs to the last bit. Says that they are\n"
        "identical, or where they differ first. The exit code is 0 or 1, and 2 for a file that\n"
        "cannot be read."
    )
    examples = "examples:\n  simcore verify laptop.h5 cluster.h5\n"
    parser = commands.add_parser(
        "verify", help="compare two files", description=text, epilog=examples, **_STYLE
    )
    parser.set_defaults(command=verify, parallel=False)
    parser.add_argument("one", metavar="A", help="output file of a run")
    parser.add_argument("other", metavar="B", help="that of another")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_models(commands: _Commands) -> None:
    text = "List the built-in models, or show one with its parameters."
    examples = "examples:\n  simcore models\n  simcore models microcircuit\n"
    parser = commands.add_parser(
        "models", help="list the built-in models", description=text, epilog=examples, **_STYLE
    )
    parser.set_defaults(command=models, parallel=False)
    parser.add_argument("name", metavar="NAME", nargs="?", help="a built-in name or Python file")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _stop(comm: Comm, error: StoppedError) -> int:
    """Leave MPI in order, so that the launcher passes the exit code on."""
    if comm.rank == 0:
        print(f"simcore: {error}", file=sys.stderr, flush=True)
    comm.finalize()
    return StoppedError.EXIT_CODE


def _fail(comm: Comm, error: Exception) -> int:
    """Print an error once, and return the exit code."""
    if comm.size > 1:
        report(comm, error, _describe)
    elif launched().rank == 0:
        print(_describe(error), file=sys.stderr)
    return MISUSED if isinstance(error, ConfigError) else FAILED


def _describe(error: BaseException) -> str:
    if isinstance(error, SimcoreError):
        return f"simcore: error: {summary(error)}"
    return f"{full(error)}\nsimcore: error: this was not foreseen, please report it"
