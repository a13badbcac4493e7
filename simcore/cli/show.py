"""``simcore info`` and ``simcore models``: what a file holds, and which models are built in."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import textwrap
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simcore.cli.modelfile import Model, builtin_names, find_model
from simcore.cli.parameters import Parameter, parameters_of
from simcore.cli.run import pace, rate_table
from simcore.comm import Comm
from simcore.digest import digest_json
from simcore.errors import ConfigError, OutputError, require
from simcore.timers import phase_table

if TYPE_CHECKING:
    from simcore.io.reader import Run

# Populations whose rates are shown while a run is followed
_FOLLOWED = 8


def info(arguments: argparse.Namespace, comm: Comm) -> None:
    """Print what an output file holds."""
    from simcore.io.reader import open_run

    valid = "at least 0.01 s"
    require(arguments.interval >= 0.01, "interval", arguments.interval, valid, error=ConfigError)
    if arguments.follow:
        follow(arguments.file, arguments.interval)
    result = open_run(arguments.file)
    print(_json(run_values(result)) if arguments.json else run_text(result))


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


def models(arguments: argparse.Namespace, comm: Comm) -> None:
    """Print the built-in models, or one with its parameters."""
    if arguments.name is not None:
        model = find_model(arguments.name)
        print(_json(model_values(model)) if arguments.json else model_text(model))
        return
    found = [find_model(name) for name in builtin_names()]
    if arguments.json:
        print(_json([model_values(model) for model in found]))
        return
    print("\n\n".join(model_lines(model) for model in found))
    print("\n`simcore models NAME` tells what the parameters of one mean.")


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


def model_values(model: Model) -> dict[str, Any]:
    """Return a model and its parameters as plain values."""
    named, _ = parameters_of(model.build)
    texts = _parameter_docs(model.build)
    return {
        "name": model.name,
        "summary": _first_line(model.module),
        "parameters": [
            {
                "name": p.name,
                "type": _kind(p),
                "default": None if p.required else p.default,
                "required": p.required,
                "text": texts.get(p.name, ""),
            }
            for p in named.values()
        ],
    }


def model_lines(model: Model) -> str:
    """Return the summary of a model, and its parameters with their defaults, as a few lines."""
    values = model_values(model)
    # Break lines between parameters, not inside
    given = [f"{p['name']} = {_default(p)}".replace(" ", "\0") for p in values["parameters"]]
    wrapped = textwrap.fill(
        ", ".join(given), width=100, initial_indent="  ", subsequent_indent="  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return f"{model.name}: {values['summary']}\n{wrapped}".replace("\0", " ").rstrip()


def model_text(model: Model) -> str:
    """Return a model and its parameters as text."""
    parts = [inspect.getdoc(model.module) or model.origin]
    lines = []
    for p in model_values(model)["parameters"]:
        lines.append(f"  {p['name']} = {_default(p)}\n      {p['text']}".rstrip())
    parts.append("\n".join(["parameters, for --set NAME=VALUE:", *lines]))
    return "\n\n".join(parts)


def _default(parameter: dict[str, Any]) -> str:
    """Return the default of a parameter as users write it."""
    return "required" if parameter["required"] else json.dumps(parameter["default"], default=str)


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


def _first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _kind(parameter: Parameter) -> str:
    if parameter.kind is inspect.Parameter.empty:
        return "any"
    return getattr(parameter.kind, "__name__", str(parameter.kind))


def _parameter_docs(function: Callable[..., Any]) -> dict[str, str]:
    """Return the text of each parameter in a numpydoc docstring."""
    doc = inspect.getdoc(function) or ""
    section = re.search(
        r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+$|\Z)", doc, re.DOTALL | re.MULTILINE
    )
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in section.group(1).splitlines() if section else ():
        if line and not line[0].isspace():
            names = re.split(r",\s*", line.partition(" : ")[0])
        else:
            for name in names:
                texts[name] = f"{texts.get(name, '')} {line.strip()}".strip()
    return texts


def _json(value: Any) -> str:
    from simcore.io.schema import to_json

    return to_json(value, indent=2)
