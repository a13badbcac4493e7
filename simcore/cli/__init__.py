"""The command ``simcore``: arguments, subcommands, exit codes, and the net below every error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress

import simcore
from simcore.cli.analyze import add_analyze
from simcore.cli.export import add_export
from simcore.cli.importing import add_import
from simcore.cli.info import add_info
from simcore.cli.models import add_models
from simcore.cli.parser import STYLE, Parser
from simcore.cli.plan import add_plan
from simcore.cli.resume import add_pack, add_resume
from simcore.cli.run import add_run
from simcore.cli.scale import add_scale
from simcore.cli.streams import drop, standard_streams
from simcore.cli.verify import add_verify
from simcore.services.comm import Comm, SerialComm, world
from simcore.services.errors import ConfigError, SimcoreError, StoppedError, cause, remedy
from simcore.services.failure import full, report, summary
from simcore.services.launcher import NOBODY, launched_process
from simcore.services.signals import orderly_end

# Exit codes: an error of the run, a mistake in the command or the run file, Ctrl-C
FAILED, MISUSED, INTERRUPTED = 1, 2, 130

_EXAMPLES = """\
examples:
  simcore models                          which models are built in
  simcore plan microcircuit --ranks 4     what a run will take
  simcore run brunel                      one second of a small network, on one core
  mpiexec -n 4 simcore run microcircuit   a large one, on four ranks
  simcore resume microcircuit.h5          go on after a kill, a stop or a full disk
  simcore info microcircuit.h5            what is in the file
  simcore analyze microcircuit.h5         a report with pictures and numbers
  simcore verify copy.h5                  is a file as it was written
  simcore verify one.h5 other.h5          are two runs identical
  simcore export run.h5 -o run.nwb        for other programs
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process if left out.

    Returns
    -------
    int
        0 when all went well, 1 after an error, when `verify` found damage or a difference or
        when what was planned does not fit, 2 after a mistake in the command or the run file, 75
        when the run was asked to stop, 130 after Ctrl-C.
    """
    with standard_streams():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    arguments = make_parser().parse_args(argv)
    if not arguments.parallel and launched_process().rank != 0:
        return 0
    comm: Comm = SerialComm()
    try:
        comm = world() if arguments.parallel else comm
        with orderly_end(enabled=not arguments.parallel):
            code: int = arguments.command(arguments, comm) or 0
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        print(f"simcore: {error if error.args else 'interrupted'}", file=sys.stderr)
        if launched_process() == NOBODY:
            return INTERRUPTED
        comm.abort(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output has left: say nothing more
        drop(sys.stdout)
        return FAILED
    except StoppedError:
        # Leave MPI in order, so that the launcher passes the exit code on
        comm.finalize()
        return StoppedError.EXIT_CODE
    except Exception as error:
        return _fail(comm, error)
    return code


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser("simcore", description=simcore.__doc__, epilog=_EXAMPLES, **STYLE)
    version = f"simcore {simcore.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        add_plan,
        add_run,
        add_resume,
        add_info,
        add_analyze,
        add_verify,
        add_export,
        add_import,
        add_pack,
        add_scale,
        add_models,
    ):
        add(commands)
    return parser


def _fail(comm: Comm, error: Exception) -> int:
    """Print an error once, and return the exit code."""
    if comm.size > 1:
        report(comm, error, _describe)
    elif launched_process().rank == 0:
        with suppress(OSError):
            print(_describe(error), file=sys.stderr)
    return MISUSED if isinstance(error, ConfigError) else FAILED


def _describe(error: BaseException) -> str:
    if isinstance(error, SimcoreError):
        return f"simcore: error: {summary(error)}"
    network = (ConnectionError, TimeoutError)
    if isinstance(error, OSError) and error.errno and not isinstance(error, network):
        # The system refused something, such as room for what is printed
        if error.filename is not None:
            return f"simcore: error: {error.filename!r}: {cause(error)}. Look after this file."
        return f"simcore: error: standard output or a file: {cause(error)}. {remedy(error)}."
    return f"{full(error)}\nsimcore: error: this was not foreseen, please report it"
