"""``simcore info``: what an output file holds."""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import TYPE_CHECKING, Any

from simcore.cli.foreign import add_told, open_told
from simcore.cli.parser import STYLE, Commands, print_json
from simcore.cli.run import pace, rate_table
from simcore.cli.verify import check_text, check_values
from simcore.services.comm import Comm
from simcore.services.errors import ConfigError, OutputError, require
from simcore.services.timers import phase_table

if TYPE_CHECKING:
    from simcore.io.reader import Run
    from simcore.io.recording import Recording
    from simcore.io.sonata import SonataFile

# Populations whose rates are shown while a run is followed
_FOLLOWED = 8


def add_info(commands: Commands) -> None:
    """Add the arguments of ``simcore info``."""
    text = (
        "Show what an output file holds: the run, its rates, and where its time went. Of a SONATA\n"
        "spike file of another program, its populations and rates."
    )
    examples = (
        "examples:\n  simcore info run.h5\n  simcore info run.h5 --json | jq .rates\n"
        "  simcore info run.h5 --follow\n"
        "  simcore info spikes.h5 --sizes E=8000 I=2000 --end 1000\n"
        "  simcore info copy.h5 --check\n"
    )
    parser = commands.add_parser(
        "info", help="show what a file holds", description=text, epilog=examples, **STYLE
    )
    parser.set_defaults(command=info, parallel=False)
    add = parser.add_argument
    add("file", metavar="FILE", help="output file of a run")
    add("--json", action="store_true", help="as JSON")
    add("--check", action="store_true",
        help="before, whether its files are as they were written; exit code 1 if not")  # fmt: skip
    add("--follow", action="store_true", help="before, a line whenever there is more of a run")
    add("--interval", type=float, default=1.0, metavar="S", help="time between two looks [s] (1)")
    add_told(parser)


def info(arguments: argparse.Namespace, comm: Comm) -> int:
    """Print what an output file holds; return 1 if it is not what was written and that is asked."""
    from simcore.io.integrity import check
    from simcore.io.reader import Run

    valid = "at least 0.01 s"
    require(arguments.interval >= 0.01, "interval", arguments.interval, valid, error=ConfigError)
    if arguments.follow:
        follow(arguments.file, arguments.interval)
    checked = check(arguments.file) if arguments.check else []
    if checked and not arguments.json:
        print(f"{check_text(checked)}\n", flush=True)
    result = open_told(arguments.file, arguments)
    if arguments.json:
        values = run_values(result) if isinstance(result, Run) else spike_file_values(result)
        print_json({**values, "check": check_values(checked)} if checked else values)
    else:
        print(run_text(result) if isinstance(result, Run) else spike_file_text(result))
    return 0 if all(file.whole for file in checked) else 1


def follow(path: str, interval: float) -> None:
    """Print a line whenever there is more of a run, until it is not running any more.

    Parameters
    ----------
    path : str
        The output file.
    interval : float
        Wall-clock time between two looks [s].
    """
    from simcore.io.reader import open_run

    seen = -1.0
    while True:
        result = open_run(path)
        if result.end > seen:
            print(_progress_line(result, max(seen, 0.0)), flush=True)
            seen = result.end
        if result.status != "running":
            print(flush=True)
            return
        time.sleep(interval)


def _progress_line(result: Run, start: float) -> str:
    """Return how far a run is, and its rates since the last line."""
    from simcore.io.text import printable

    share = result.end / result.duration if result.duration else 1.0
    text = f"{result.end:.10g} of {result.duration:.10g} ms ({share:.0%})"
    try:
        rates = result.rates(start, result.end)
    except OutputError:
        # The parts have just been put into the output file
        return text
    known = [f"{printable(name)} {rate:.3g}" for name, rate in rates.items() if rate == rate]
    shown = ", ".join(known[:_FOLLOWED]) + (", ..." if len(known) > _FOLLOWED else "")
    return f"{text}  {shown} [1/s]" if known else text


def run_values(result: Run) -> dict[str, Any]:
    """Return what `info` tells, as plain values."""
    names = (
        "path", "status", "error", "uuid", "created", "finished", "duration", "dt", "record_from",
        "seed", "n_ranks", "n_neurons", "sizes", "recorded", "spike_counts", "timers", "shards",
        "hosts", "sessions", "versions", "config", "network", "end", "checkpoints", "digests",
        "timed",
    )  # fmt: skip
    values = {name: getattr(result, name) for name in names}
    return {**values, "reports": _reports(result), "rates": dict(result.rates())}


def run_text(result: Run) -> str:
    """Return what `info` tells, as text."""
    from simcore.io.run_summary import run_summary

    lines = {"file": result.path, **run_summary(result)}
    head = "\n".join(f"{name:<8} {text}" for name, text in lines.items())
    parts = [head, rate_table(result)]
    if result.timers:
        parts.append(phase_table(result.timers))
    if "run" in result.timers:
        parts.append(pace(result))
    return "\n\n".join(parts)


def spike_file_values(result: SonataFile) -> dict[str, Any]:
    """Return what `info` tells of a spike file of another program, as plain values."""
    names = ("path", "n_neurons", "sizes", "recorded", "record_from", "end", "guessed", "unsized")
    values = {name: getattr(result, name) for name in names}
    return {**values, "reports": _reports(result), "rates": dict(result.rates())}


def _reports(result: Recording) -> list[dict[str, Any]]:
    return [dataclasses.asdict(report) for report in result.reports]


def spike_file_text(result: SonataFile) -> str:
    """Return what `info` tells of a spike file of another program, as text."""
    from simcore.io.run_summary import samples_text

    head = {
        "file": f"{result.path}, SONATA spikes",
        "network": f"{result.n_neurons:,} neurons in {len(result.populations)} populations",
        "time": f"{result.record_from:.10g} to {result.end:.10g} ms",
        "samples": samples_text(result),
    }
    lines = "\n".join(f"{name:<8} {text}" for name, text in head.items() if text)
    return "\n\n".join(part for part in (lines, rate_table(result), result.guesses) if part)
