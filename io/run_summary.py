"""What a run is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simcore.io.access import blaming
from simcore.io.text import printable
from simcore.services.digest import digest_json

if TYPE_CHECKING:
    from simcore.io.reader import Run
    from simcore.io.recording import Recording

# Reports that are named
_REPORTS = 12


def run_summary(run: Run) -> dict[str, str]:
    """Return what the file tells of a run as a whole: texts by what they are about.

    Raises
    ------
    DamagedError
        When it tells what cannot be.
    """
    with blaming(run.path):
        return _texts(run)


def _texts(run: Run) -> dict[str, str]:
    status = f"{run.status}: {run.error}" if run.error else run.status
    recorded = f", recorded from {run.record_from:g} ms" if run.record_from else ""
    found = {
        "status": status,
        "reached": _reached(run),
        "model": _call(run.config),
        "network": _size(run),
        "time": f"{run.duration:g} ms in steps of {run.dt:g} ms{recorded}",
        "samples": samples_text(run),
        "weights": _weights(run.config.get("weights")),
        "notes": "; ".join(run.config.get("notes", [])),
        "seed": str(run.seed),
        "ranks": _ranks(run),
        "created": f"{run.created} by simcore {run.versions.get('simcore', 'unknown')}",
        "uuid": run.uuid,
        "digest": _digest(run),
    }
    return {name: text for name, text in found.items() if text}


def samples_text(run: Recording) -> str:
    """Return what was sampled, the first reports of many."""
    found = run.reports
    more = f" and {len(found) - _REPORTS} more" if len(found) > _REPORTS else ""
    return printable("; ".join(map(str, found[:_REPORTS])) + more)


def _reached(run: Run) -> str:
    """Return how far a run has come that is not complete, and where it can go on."""
    if run.status == "complete":
        return ""
    text = f"{run.end:.10g} ms"
    if run.status == "running":
        return text
    return f"{text}; `simcore resume` goes on {_from(run.checkpoints)}"


def _from(checkpoints: list[float]) -> str:
    newest = max(checkpoints, default=None)
    return "from the beginning" if newest is None else f"from the checkpoint at {newest:.10g} ms"


def _digest(run: Run) -> str:
    """Return one digest of the spikes of all populations."""
    digests = run.digests
    return f"{digest_json(digests)} of all spikes" if digests else ""


def _ranks(run: Run) -> str:
    """Return the number of ranks, their threads and hosts as text."""
    session = run.sessions[-1] if run.sessions else run.config
    threads = session.get("threads", 1)
    each = f" of {threads} threads each" if threads != 1 else ""
    if isinstance(threads, list):
        each = f" of {min(threads)} to {max(threads)} threads"
    places = ", ".join(dict.fromkeys(run.hosts))
    text = f"{run.n_ranks}{each}" + (f" on {places}" if places else "")
    n = len(run.sessions)
    return f"{text}, the last of {n} sessions" if n > 1 else text


def _weights(weights: dict[str, Any] | None) -> str:
    """Return how weights are kept, and what rounding cost."""
    if not weights:
        return ""
    kept = [f"{n} {form.lower()}" for form, n in weights["projections"].items() if n]
    rounding = weights["largest_rounding"]
    return f"{', '.join(kept)}; rounded by at most {rounding:.1e} of the largest"


def _size(run: Run) -> str:
    text = f"{run.n_neurons:,} neurons in {len(run.populations)} populations"
    if "n_synapses" in run.shards:
        text += f", {int(run.shards['n_synapses'].sum()):,} synapses"
    return text


def _call(config: dict[str, Any]) -> str:
    if "model" not in config:
        return ""
    given = ", ".join(f"{k}={v!r}" for k, v in config.get("parameters", {}).items())
    return f"{config['model']}({given})"
