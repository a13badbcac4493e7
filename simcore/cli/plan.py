"""``simcore plan``: what a run takes on any number of ranks, before it is started."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simcore.cli.options import PLANNED, add_options
from simcore.cli.parameters import parse_size
from simcore.cli.parser import STYLE, Commands, print_json
from simcore.cli.plantext import (
    Verdict,
    plan_text,
    plan_values,
    rehearsal_text,
    rehearsal_values,
)
from simcore.cli.run import RunCommand, read_job
from simcore.description.network import Network
from simcore.services.comm import Comm
from simcore.services.errors import ConfigError, OutputError, require
from simcore.services.memory import available_bytes
from simcore.services.progress import Progress

if TYPE_CHECKING:
    from simcore.io.reader import Run
    from simcore.planning import Plan, Planner, Rates, Rehearsal, Setup

_TEXT = """\
Tell what a run of a model takes on N ranks, from its description alone: neurons, synapses and
spikes of a rank, its memory, how often ranks meet, and the size of the files. Nothing is built.

MODEL and the options are those of `simcore run`, also the TOML file.

Rates are those of --rate, or of a run of the same size in --from, or those that the model knows.
The time is predicted from runs that were timed: give some of them with --from. They may be of
another size or model, and should be on the machine that is meant, on more than one number of
ranks; what the prediction goes beyond is named.

--rehearse builds one of the ranks here, alone, and shows what was measured beside the plan.

The exit code is 1 if the run does not fit --memory or --gpu-memory, else 0.
"""

_EXAMPLES = """\
examples:
  simcore plan microcircuit --ranks 4
  simcore plan microcircuit --ranks 64 --threads 8 --memory 16GB
  simcore plan microcircuit --ranks 32 --from one.h5 two.h5
  simcore plan brunel --set order=20000000 --set epsilon=1e-4 --rate 30 --ranks 500 \\
      --gpu-memory 80GB
  simcore plan study.toml --ranks 4096 --rate E=5 --rate I=10 --rehearse 17
  simcore plan microcircuit --ranks 4 --json | jq .memory_bytes.peak.max
"""


def add_plan(commands: Commands) -> None:
    """Add the arguments of ``simcore plan``."""
    parser = commands.add_parser(
        "plan", help="tell what a run would take", description=_TEXT, epilog=_EXAMPLES, **STYLE
    )
    parser.set_defaults(command=plan, parallel=False)
    add = parser.add_argument
    add("model", metavar="MODEL", help="built-in name, Python file or TOML file")
    add("--ranks", type=int, default=1, metavar="N", help="number of ranks (1)")
    add("--set", dest="settings", metavar="NAME=VALUE", action="append", default=[],
        help="a parameter of the model, as in TOML; can be repeated")  # fmt: skip
    add_options(parser, PLANNED)
    add("--rate", dest="rates", metavar="[NAME=]HZ", action="append", default=[],
        help="rate of a population, or of all others [1/s]; can be repeated")  # fmt: skip
    add("--from", dest="runs", metavar="RUN", nargs="+", default=[],
        help="output files of runs that were timed")  # fmt: skip
    add("--memory", metavar="SIZE", help="memory for each rank, such as 16GB (this machine's)")
    add("--gpu-memory", metavar="SIZE", help="memory of the GPU of each rank; implies cuda")
    add("--cores", type=float, metavar="X", help="cores for each rank (as many as threads)")
    add("--rehearse", type=int, metavar="R", help="build rank R alone, and measure it")
    add("--json", action="store_true", help="as JSON")


def plan(arguments: argparse.Namespace, comm: Comm) -> int:
    """Print the plan of a run, and a rehearsal if asked for; return 1 where it does not fit."""
    job = read_job(arguments)
    network = job.network()
    require(bool(network.populations), "Network: populations", 0, "at least one")
    runs = _open_runs(arguments.runs)
    setup = _setup(arguments, job)
    rates = _rates(arguments, job, network, runs)
    planner = _planner(arguments, network, rates, setup, runs)
    made = planner(setup)
    expected = None
    if arguments.rehearse is not None:
        expected = planner.of_rank(setup, arguments.rehearse)
    verdict = _verdict(arguments, planner, made)
    values = plan_values(network, made, verdict, planner.costs)
    if not arguments.json:
        print(plan_text(job.file.model.name, network, made, verdict, planner.costs), flush=True)
    if expected is not None:
        found = _rehearse(arguments, network, made)
        values["rehearsal"] = rehearsal_values(found)
        if not arguments.json:
            print("\n" + rehearsal_text(found, expected))
    if arguments.json:
        print_json(values)
    return 0 if verdict.fits or verdict.here is not None else 1


def _setup(arguments: argparse.Namespace, job: RunCommand) -> Setup:
    """Return how the model would be run, checked."""
    from simcore.kernels import check_backend, choose_backend
    from simcore.numerics.clock import Clock
    from simcore.partition import check_partitioner
    from simcore.planning import Setup

    options = job.options
    backend, threads = options.backend, options.threads
    if arguments.gpu_memory is not None:
        valid = "cuda or auto, with --gpu-memory"
        require(backend in ("auto", "cuda"), "backend", backend, valid, error=ConfigError)
        backend = "cuda"

    # A plan for GPUs needs none here
    check_backend("cpu" if backend == "cuda" else backend, options.precision, threads)
    alone = threads == 1 or backend != "cuda"
    require(alone, "threads", threads, "1 with the backend 'cuda'", error=ConfigError)
    backend, _ = choose_backend(backend, threads)
    check_partitioner(options.partitioner)
    Clock(options.dt)
    ranks, duration = arguments.ranks, options.duration
    require(ranks >= 1, "ranks", ranks, "a whole number of at least 1", error=ConfigError)
    require(0 < duration < math.inf, "duration", duration, "> 0 [ms]", error=ConfigError)
    return Setup(
        ranks, threads, options.dt, duration, backend, options.partitioner, options.precision
    )


def _open_runs(paths: Sequence[str]) -> list[Run]:
    from simcore.io.reader import open_run

    try:
        return [open_run(path) for path in paths]
    except OutputError as error:
        raise ConfigError(f"from: {error}") from error


def _rates(
    arguments: argparse.Namespace, job: RunCommand, network: Network, runs: Sequence[Run]
) -> Rates:
    """Return the rates to plan with."""
    from simcore.planning import choose_rates

    given = dict(_rate(text) for text in arguments.rates)
    sizes = {p.name: p.size for p in network.populations}
    others: dict[str, dict[str, float]] = {
        run.path: dict(run.rates()) for run in runs if run.sizes == sizes
    }
    reference = job.file.model.reference_rates(job.parameters)
    if reference is not None:
        others["the model"] = reference
    others |= {
        f"{run.path}, of another size": dict(run.rates())
        for run in runs
        if run.sizes != sizes and set(run.sizes) == set(sizes)
    }
    return choose_rates(network, job.options.duration, given, others)


def _rate(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    try:
        return name, float(value)
    except ValueError:
        raise ConfigError(f"rate is {text!r}, must be HZ or NAME=HZ, such as 8.5 or E=3") from None


def _planner(
    arguments: argparse.Namespace,
    network: Network,
    rates: Rates,
    setup: Setup,
    runs: Sequence[Run],
) -> Planner:
    """Return what makes plans, with costs where there are runs."""
    from simcore.planning import CostModel, Planner

    cores = arguments.cores
    require(cores is None or cores > 0.0, "cores", cores, "> 0", error=ConfigError)
    costs = CostModel.fit(runs) if runs else None
    if costs is not None:
        remedy = "Give runs of that backend, or plan with --backend."
        same = costs.arithmetic == setup.backend
        subject = "from: backend of the runs"
        require(same, subject, costs.arithmetic, repr(setup.backend), remedy, ConfigError)
    return Planner(network, rates, setup.dt, costs, cores)


def _verdict(arguments: argparse.Namespace, planner: Planner, made: Plan) -> Verdict:
    """Return whether the run fits, and how many ranks would do."""
    memory = gpu_memory = math.inf
    if arguments.memory is not None:
        memory = parse_size("memory", arguments.memory)
    if arguments.gpu_memory is not None:
        gpu_memory = parse_size("gpu-memory", arguments.gpu_memory)
    gpu = made.gpu_memory["peak"].max if made.gpu_memory else 0.0
    fits = made.peak <= memory and gpu <= gpu_memory
    limited = min(memory, gpu_memory) < math.inf
    if limited:
        fewest = planner.fewest_ranks(made, memory, gpu_memory)
        return Verdict(fits, memory, gpu_memory, None, fewest)

    # Without limits all ranks are on this machine, and more of them would not help
    here = available_bytes()
    needed = made.memory["peak"].mean * (made.setup.n_ranks - 1) + made.peak
    return Verdict(needed <= here, memory, gpu_memory, (needed, here), None)


def _rehearse(arguments: argparse.Namespace, network: Network, made: Plan) -> Rehearsal:
    from simcore.planning import rehearse

    progress = Progress(0.0, enabled=not arguments.json)
    rank = arguments.rehearse
    return rehearse(network, made.setup, rank, made.rates, made.epoch_steps, progress)
