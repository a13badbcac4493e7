"""A plan as text, and as plain values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.description.network import Network
from simcore.services.progress import duration

if TYPE_CHECKING:
    from simcore.planning import CostModel, Plan, Rehearsal, Spread
    from simcore.planning.plan import RankPlan

# What lives in the memory of a rank, as the table calls it
_PARTS = {
    "process": "process",
    "description": "description",
    "neurons": "neurons",
    "synapses": "synapses",
    "index": "index of synapses",
    "sorting": "sorting, in the build",
    "counting": "counting, in the build",
    "ring": "ring of input",
    "spikes": "spikes, in the run",
    "launch": "launch",
    "peak": "peak",
}

_PHASES = ("update", "deliver", "exchange", "waiting", "imbalance", "record", "other")


@dataclass(frozen=True)
class Verdict:
    """Whether a run fits the memory.

    Parameters
    ----------
    fits : bool
        Whether it does.
    memory, gpu_memory : float
        What each rank has on its host and its GPU [B]; infinity where that was not given.
    here : (float, float) or None
        What all ranks need on this machine, and what there is [B]; None with limits.
    fewest : int or None
        Ranks that would do; None where none would, or without limits.
    """

    fits: bool
    memory: float
    gpu_memory: float
    here: tuple[float, float] | None
    fewest: int | None


def plan_text(
    name: str, network: Network, plan: Plan, verdict: Verdict, costs: CostModel | None
) -> str:
    """Return a plan as text."""
    blocks = [_head(name, network, plan), _loads(plan), _memory("memory of a rank", plan.memory)]
    if plan.gpu_memory:
        blocks.append(_memory("memory of its GPU", plan.gpu_memory))
    blocks += [_notes(network, plan, verdict), _time(plan, costs)]
    return "\n\n".join(block for block in blocks if block)


def plan_values(
    network: Network, plan: Plan, verdict: Verdict, costs: CostModel | None
) -> dict[str, Any]:
    """Return a plan as plain values; what nobody knows is None."""
    names = [p.name for p in network.populations]
    files = plan.files
    values: dict[str, Any] = {
        "setup": _named(dataclasses.asdict(plan.setup), {"dt": "dt_ms", "duration": "duration_ms"}),
        "n_neurons": network.n_neurons,
        "n_synapses": plan.synapses.mean * plan.setup.n_ranks,
        "rates_per_s": dict(zip(names, plan.rates.values.tolist(), strict=True)),
        "rates_from": plan.rates.origin,
        "epoch_steps": plan.epoch_steps,
        "ranks_reached": plan.reached,
        "files": {
            "spikes_bytes_per_s": files["spikes"],
            "samples_bytes_per_s": files["samples"],
            "checkpoint_bytes": files["checkpoint"],
        },
        "recording_bytes": plan.recording,
        "fits": verdict.fits,
        "fewest_ranks": verdict.fewest,
        "time": None,
    }
    for name, spread in (
        ("n_neurons_of_rank", plan.neurons),
        ("n_synapses_of_rank", plan.synapses),
        ("spikes_of_rank_per_s", plan.spikes),
    ):
        values[name] = dataclasses.asdict(spread)
    for name, parts in (("memory_bytes", plan.memory), ("gpu_memory_bytes", plan.gpu_memory)):
        values[name] = {part: dataclasses.asdict(spread) for part, spread in parts.items()}
    if plan.time is not None and costs is not None:
        values["time"] = {
            "real_time_factor": plan.time.real_time_factor,
            "efficiency": plan.efficiency,
            "build_s": float(plan.time.build.max()),
            "phases_s_per_s": {
                name: float(plan.time.phases[name].max()) for name in plan.time.phases
            },
            "extrapolated": list(plan.time.extrapolated),
            "fitted_to": list(costs.sources),
            "error_of_fit": costs.error,
            "errors_of_phases": dict(costs.residuals),
            "costs_s": {phase: dict(prices) for phase, prices in costs.costs.items()},
        }
    return _known(values)


def rehearsal_values(found: Rehearsal) -> dict[str, Any]:
    """Return what a rehearsal measured as plain values."""
    units = {
        "build": "build_s",
        "model_time": "model_time_ms",
        "phases": "phases_s_per_s",
        "sent": "sent_per_s",
        "received": "received_per_s",
    }
    return _named(dataclasses.asdict(found), units)


def rehearsal_text(found: Rehearsal, expected: RankPlan) -> str:
    """Return what a rehearsal measured, beside what was expected of the rank, as text."""
    load, time = expected.workload, expected.time
    unknown = math.nan
    rows = [
        ("neurons", float(load.n_neurons[0]), float(found.n_neurons), count),
        ("synapses", float(load.n_synapses[0]), float(found.n_synapses), count),
        ("synapses and index", expected.table_bytes, float(found.table_bytes), size),
        ("peak memory", expected.peak, float(found.peak_bytes), size),
        ("build [s]", float(time.build[0]) if time else unknown, found.build, seconds),
    ]
    if found.model_time:
        rows += [
            (
                f"{phase} [s/s]",
                float(time.phases[phase][0]) if time and phase in time.phases else unknown,
                taken,
                seconds,
            )
            for phase, taken in found.phases.items()
        ]
        rows += [
            ("spikes sent [1/s]", float(load.sent[0]), found.sent, count),
            ("spikes received [1/s]", float(load.received[0]), found.received, count),
        ]
    lines = [
        (name, shown(plan), shown(measured), f"{plan / measured:.2f}" if measured else "")
        for name, plan, measured, shown in rows
    ]
    title = (f"rehearsal of rank {found.rank}", "plan", "measured", "ratio")
    table = _columns([title, *[tuple("" if "nan" in c else c for c in line) for line in lines]])
    if not found.model_time:
        return f"{table}\nonly built, not advanced: rates are unknown, give --rate or --from"
    return (
        f"{table}\nadvanced by {found.model_time:.4g} ms; spikes of other ranks were drawn at the "
        "rates of the plan, nothing was exchanged or recorded"
    )


def count(value: float) -> str:
    """Return a number of things as text."""
    if not math.isfinite(value):
        return "unknown"
    return f"{value:,.0f}" if value < 1e7 else f"{value:.4g}"


def size(value: float) -> str:
    """Return a size as text."""
    if not math.isfinite(value):
        return "unknown"
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.0f} B"


def seconds(value: float) -> str:
    """Return a time as text."""
    return f"{value:.3g}"


def _head(name: str, network: Network, plan: Plan) -> str:
    setup, n = plan.setup, plan.setup.n_ranks
    mean = plan.spikes.mean * n / network.n_neurons
    rates = f"{mean:.3g} /s in the mean, from {plan.rates.origin}"
    if not plan.rates.known:
        rates = "unknown: give --rate or --from, to plan spikes and files too"
    threads = f" of {setup.threads} threads each" if setup.threads > 1 else ""
    return "\n".join(
        [
            f"model    {name}, seed {network.seed}",
            f"network  {count(network.n_neurons)} neurons in {len(network.populations)} "
            f"populations, {count(plan.synapses.mean * n)} synapses",
            f"ranks    {n:,}{threads}, backend {setup.backend}, partitioner {setup.partitioner}, "
            f"steps of {setup.dt:g} ms",
            f"rates    {rates}",
        ]
    )


def _loads(plan: Plan) -> str:
    rows = [
        ("neurons", plan.neurons),
        ("synapses", plan.synapses),
        ("spikes emitted [1/s]", plan.spikes),
    ]
    lines = [(f"  {name}", *map(count, dataclasses.astuple(s))) for name, s in rows]
    return _columns([("of a rank", "min", "mean", "max"), *lines])


def _memory(title: str, parts: Mapping[str, Spread]) -> str:
    lines = [
        (f"  {_PARTS[name]}", *map(size, dataclasses.astuple(spread)))
        for name, spread in parts.items()
    ]
    return _columns([(title, "min", "mean", "max"), *lines])


def _notes(network: Network, plan: Plan, verdict: Verdict) -> str:
    n, dt = plan.setup.n_ranks, plan.setup.dt
    lines = [
        f"rank 0   {size(plan.recording)} of the largest peak, in the run, for what all ranks "
        "record"
    ]
    if not plan.rates.known:
        lines = []
    if n > 1:
        epoch = plan.epoch_steps * dt
        lines += [
            f"epoch    {epoch:g} ms: {count(plan.workload.meetings)} exchanges in a second "
            "of model time",
            f"a spike  has targets on {plan.reached:.4g} ranks in the mean; all {n:,} receive it",
        ]
    files = plan.files
    lines += [
        f"file     {size(files['spikes'])} of spikes and {size(files['samples'])} of samples "
        "in a second of model time,",
        "         for a moment twice that at the end",
        f"         {size(files['checkpoint'])} for a checkpoint, of which two are kept",
        *_fit(plan, verdict),
    ]
    return "\n".join(lines)


def _fit(plan: Plan, verdict: Verdict) -> Iterable[str]:
    """Yield whether the run fits."""
    word = "yes" if verdict.fits else "no"
    if verdict.here is not None:
        needed, here = verdict.here
        yield (
            f"fits     {word}, all ranks on this machine: they need {size(needed)}, "
            f"{size(here)} are available"
        )
        if plan.gpu_memory:
            yield "         nothing is said of the GPUs: give --gpu-memory"
        return
    reasons = []
    if verdict.memory < math.inf:
        reasons.append(f"{size(plan.peak)} of {size(verdict.memory)} on the host")
    if verdict.gpu_memory < math.inf:
        gpu = plan.gpu_memory["peak"].max
        reasons.append(f"{size(gpu)} of {size(verdict.gpu_memory)} on the GPU")
    yield f"fits     {word}: a rank needs {', '.join(reasons)}"
    if plan.gpu_memory and verdict.memory == math.inf:
        host = size(plan.peak)
        yield f"         nothing is said of the host, where a rank needs {host}: give --memory"
    what = "GPU" if plan.gpu_memory else "rank"
    enough = "no number of" if verdict.fewest is None else f"{verdict.fewest:,}"
    yield f"         {enough} {what}{'' if verdict.fewest == 1 else 's'} would do"


def _time(plan: Plan, costs: CostModel | None) -> str:
    """Return the prediction of the time as text."""
    if costs is None:
        return "time     not predicted: give runs that were timed with --from"
    if plan.time is None:
        return "time     not predicted: rates are unknown, give --rate"
    time = plan.time
    total = np.sum(list(time.phases.values()), axis=0)
    slowest = int(np.argmax(total))
    factor = time.real_time_factor
    run = duration(factor * plan.setup.duration / 1e3)
    build = duration(float(time.build.max()))
    lines = [
        "predicted time in a second of model time, of the slowest rank [s]",
        *(
            f"  {phase:<9} {time.phases[phase][slowest]:>8.3g}"
            for phase in _PHASES
            if phase in time.phases
        ),
        f"  {'all':<9} {factor:>8.3g}",
        f"predicted: build {build}, run {run} for {plan.setup.duration:g} ms, real-time factor "
        f"{factor:.3g}, efficiency {plan.efficiency:.0%} of one core",
        f"fitted to {len(costs.sources)} run(s), whose times it reproduces within "
        f"{costs.error:.0%}",
    ]
    if time.extrapolated:
        lines += ["extrapolated, so take it with care:", *(f"  {x}" for x in time.extrapolated)]
    return "\n".join(lines)


def _columns(lines: list[tuple[str, ...]]) -> str:
    """Return cells as aligned text, the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _named(values: Mapping[str, Any], units: Mapping[str, str]) -> dict[str, Any]:
    """Return values under names with their units."""
    return {units.get(name, name): value for name, value in values.items()}


def _known(value: Any) -> Any:
    """Return plain values with None for numbers that are unknown."""
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
