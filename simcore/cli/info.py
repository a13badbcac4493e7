"""``simcore info``: what an output file holds."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from simcore.cli.parser import STYLE, Commands, print_json
from simcore.cli.run import pace, rate_table
from simcore.comm import Comm
from simcore.digest import digest_json
from simcore.errors import ConfigError, OutputError, require
from simcore.timers import phase_table

if TYPE_CHECKING:
    from simcore.io.reader import Run
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
    )
    parser = commands.add_parser(
        "info", help="show what a file holds", description=text, epilog=examples, **STYLE
    )
    parser.set_defaults(command=info, parallel=False)
    add = parser.add_argument
    add("file", metavar="FILE", help="output file of a run")
    add("--json", action="store_true", help="as JSON")
    add("--follow", action="store_true", help="before, a line whenever there is more of a run")
    add("--interval", type=float, default=1.0, metavar="S", help="time between two looks [s] (1)")


def info(arguments: argparse.Namespace, comm: Comm) -> None:
    """Print what an output file holds."""
    from simcore.io.reader import Run, open_recording

    valid = "at least 0.01 s"
    require(arguments.interval >= 0.01, "interval", arguments.interval, valid, error=ConfigError)
    if arguments.follow:
        follow(arguments.file, arguments.interval)
    result = open_recording(arguments.file)
    if arguments.json:
        print_json(run_values(result) if isinstance(result, Run) else spike_file_values(result))
    else:
        print(run_text(result) if isinstance(result, Run) else spike_file_text(result))


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
    share = result.end / result.duration if result.duration else 1.0
    text = f"{result.end:.10g} of {result.duration:.10g} ms ({share:.0%})"
    try:
        rates = result.rates(start, result.end)
    except OutputError:
        # The parts have just been put into the output file
        return text
    known = [f"{name} {rate:.3g}" for name, rate in rates.items() if rate == rate]
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
    return {**{name: getattr(result, name) for name in names}, "rates": dict(result.rates())}


def run_text(result: Run) -> str:
    """Return what `info` tells, as text."""
    status = f"{result.status}: {result.error}" if result.error else result.status
    recorded = f", recorded from {result.record_from:g} ms" if result.record_from else ""
    lines = {
        "file": result.path,
        "status": status,
        "reached": _reached(result),
        "model": _call(result.config),
        "network": _size(result),
        "time": f"{result.duration:g} ms in steps of {result.dt:g} ms{recorded}",
        "weights": _weights(result.config.get("weights")),
        "seed": str(result.seed),
        "ranks": _ranks(result),
        "created": f"{result.created} by simcore {result.versions.get('simcore', 'unknown')}",
        "uuid": result.uuid,
        "digest": _digest(result),
    }
    head = "\n".join(f"{name:<8} {text}" for name, text in lines.items() if text)
    parts = [head, rate_table(result)]
    if result.timers:
        parts.append(phase_table(result.timers))
    if "run" in result.timers:
        parts.append(pace(result))
    return "\n\n".join(parts)


def spike_file_values(result: SonataFile) -> dict[str, Any]:
    """Return what `info` tells of a spike file of another program, as plain values."""
    names = ("path", "n_neurons", "sizes", "recorded", "record_from", "end")
    return {**{name: getattr(result, name) for name in names}, "rates": dict(result.rates())}


def spike_file_text(result: SonataFile) -> str:
    """Return what `info` tells of a spike file of another program, as text."""
    head = {
        "file": f"{result.path}, SONATA spikes",
        "network": f"{result.n_neurons:,} neurons in {len(result.populations)} populations",
        "time": f"{result.record_from:.10g} to {result.end:.10g} ms",
    }
    lines = "\n".join(f"{name:<8} {text}" for name, text in head.items())
    return f"{lines}\n\n{rate_table(result)}"


def _reached(result: Run) -> str:
    """Return how far a run has come that is not complete, and where it can go on."""
    if result.status == "complete":
        return ""
    text = f"{result.end:.10g} ms"
    if result.status == "running":
        return text
    return f"{text}; `simcore resume` goes on {_from(result.checkpoints)}"


def _from(checkpoints: list[float]) -> str:
    newest = max(checkpoints, default=None)
    return "from the beginning" if newest is None else f"from the checkpoint at {newest:.10g} ms"


def _digest(result: Run) -> str:
    """Return one digest of the spikes of all populations."""
    digests = result.digests
    return f"{digest_json(digests)} of all spikes" if digests else ""


def _ranks(result: Run) -> str:
    """Return the number of ranks, their threads and hosts as text."""
    session = result.sessions[-1] if result.sessions else result.config
    threads = session.get("threads", 1)
    each = f" of {threads} threads each" if threads > 1 else ""
    text = f"{result.n_ranks}{each} on {', '.join(dict.fromkeys(result.hosts))}"
    n = len(result.sessions)
    return f"{text}, the last of {n} sessions" if n > 1 else text


def _weights(weights: dict[str, Any] | None) -> str:
    """Return how weights are kept, and what rounding cost."""
    if not weights:
        return ""
    kept = [f"{n} {form.lower()}" for form, n in weights["projections"].items() if n]
    rounding = weights["largest_rounding"]
    return f"{', '.join(kept)}; rounded by at most {rounding:.1e} of the largest"


def _size(result: Run) -> str:
    text = f"{result.n_neurons:,} neurons in {len(result.populations)} populations"
    if "n_synapses" in result.shards:
        text += f", {int(result.shards['n_synapses'].sum()):,} synapses"
    return text


def _call(config: dict[str, Any]) -> str:
    if "model" not in config:
        return ""
    given = ", ".join(f"{k}={v!r}" for k, v in config.get("parameters", {}).items())
    return f"{config['model']}({given})"
