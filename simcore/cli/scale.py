"""``simcore scale``: how a model scales with the number of ranks, measured and drawn."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcore.cli.options import PLANNED, add_options
from simcore.cli.parameters import parse_assignment
from simcore.cli.parser import STYLE, Commands
from simcore.cli.run import RunCommand, read_job
from simcore.cli.trials import batch_commands, run_here, submit
from simcore.description.network import Network
from simcore.services.comm import Comm
from simcore.services.errors import ConfigError, require

if TYPE_CHECKING:
    from simcore.planning import Scaling, Study

_TEXT = """\
Measure how a model scales with the number of ranks. A study lives in a folder of its own, with an
output file for each run; times, waiting and memory are taken from these files.

  run      run a study here, one run after the other: on this machine, or inside an allocation
  submit   submit it to Slurm, a job array for each number of ranks, and a job that collects
  collect  make the table, CSV and pictures of what is there
"""

_STUDY = """\
MODEL and the options of the model are those of `simcore run`. Every run is repeated; the table has
the median and the spread. Runs that are complete are kept, so a study that was broken off, or
that gets more ranks or repetitions, goes on.

A strong study runs one network on all numbers of ranks. A weak one lets it grow: --grow NAME=VALUE
sets a parameter to VALUE times the number of ranks, --shrink NAME=VALUE to VALUE divided by it.
Neurons must grow with the ranks and the synapses of a neuron stay; it is checked before anything
runs.
"""

_EXAMPLES = """\
examples:
  simcore scale run microcircuit --strong --ranks 1,2,4 --duration 1000 -o strong
  simcore scale run microcircuit --weak --grow N_scaling=0.1 --ranks 1,2,4 -o weak
  simcore scale run brunel --weak --grow order=2500 --shrink epsilon=0.1 --ranks 1,2,4 -o weak
  simcore scale submit microcircuit --strong --ranks 16,32,64 -o strong --sbatch=--time=01:00:00
  simcore scale collect strong --predict 128,256
"""


def add_scale(commands: Commands) -> None:
    """Add the arguments of ``simcore scale``."""
    parser = commands.add_parser(
        "scale", help="measure strong and weak scaling", description=_TEXT, epilog=_EXAMPLES,
        **STYLE,
    )  # fmt: skip
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    here = _add_study(parts, "run", "run a study here", _run)
    here.add_argument("--launcher", metavar="COMMAND", help=(
        "what starts the ranks, with {ranks} and {threads} for their numbers "
        "(srun inside a Slurm job, else mpiexec)"))  # fmt: skip
    far = _add_study(parts, "submit", "submit a study to Slurm", _submit)
    far.add_argument("--scripts", type=Path, default=Path("slurm"), metavar="DIR",
                     help="where scale.sbatch and collect.sbatch are (slurm)")  # fmt: skip
    far.add_argument("--sbatch", metavar="OPTION", action="append", default=[],
                     help="further option of sbatch, such as --sbatch=--time=02:00:00")  # fmt: skip
    far.add_argument("--dry-run", action="store_true", help="only print what would be submitted")
    make = parts.add_parser(
        "collect", help="make table and pictures", epilog=_EXAMPLES, **STYLE,
        description="Make the table, CSV and pictures of the runs of a study, in its folder.",
    )  # fmt: skip
    make.set_defaults(command=_collect, parallel=False)
    make.add_argument("folder", type=Path, metavar="DIR", help="folder of a study")
    _add_predict(make)


def _add_study(parts: Commands, name: str, text: str, command: Any) -> argparse.ArgumentParser:
    parser = parts.add_parser(name, help=text, description=_STUDY, epilog=_EXAMPLES, **STYLE)
    parser.set_defaults(command=command, parallel=False)
    add = parser.add_argument
    add("model", metavar="MODEL", help="built-in name, Python file or TOML file")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--strong", dest="kind", action="store_const", const="strong",
                      help="one network on all numbers of ranks")  # fmt: skip
    kind.add_argument("--weak", dest="kind", action="store_const", const="weak",
                      help="a network that grows with the ranks")  # fmt: skip
    add("--ranks", required=True, type=_numbers, metavar="N,N,...", help="numbers of ranks")
    add("-o", "--output", dest="folder", type=Path, required=True, metavar="DIR",
        help="folder of the study")  # fmt: skip
    add("--grow", metavar="NAME=VALUE", action="append", default=[],
        help="a parameter that is VALUE times the number of ranks; can be repeated")  # fmt: skip
    add("--shrink", metavar="NAME=VALUE", action="append", default=[],
        help="one that is VALUE divided by the number of ranks; can be repeated")  # fmt: skip
    add("--repeat", type=int, default=3, metavar="N", help="runs on each number of ranks (3)")
    _add_predict(parser)
    add("--set", dest="settings", metavar="NAME=VALUE", action="append", default=[],
        help="a parameter of the model, as in TOML; can be repeated")  # fmt: skip
    add_options(parser, PLANNED)
    return parser


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--predict", type=_numbers, default=(), metavar="N,N,...", help=(
        "further numbers of ranks, to predict; they are marked as predicted"))  # fmt: skip


def _run(arguments: argparse.Namespace, comm: Comm) -> int:
    """Run a study here, and collect it; return 1 if a run failed."""
    study = _checked_study(arguments)
    study.write(arguments.folder)
    failed = run_here(study, arguments.folder, arguments.launcher)
    _report(study, arguments.folder, arguments.predict)
    return 1 if failed else 0


def _submit(arguments: argparse.Namespace, comm: Comm) -> None:
    """Submit a study to Slurm, and a job that collects it."""
    study = _checked_study(arguments)
    batch = batch_commands(
        study, arguments.folder, arguments.scripts, arguments.sbatch, arguments.predict
    )
    if not arguments.dry_run:
        study.write(arguments.folder)
    submit(batch, arguments.dry_run)


def _collect(arguments: argparse.Namespace, comm: Comm) -> None:
    """Make the table, CSV and pictures of a study."""
    from simcore.planning.study import read_study

    _report(read_study(arguments.folder), arguments.folder, arguments.predict)


def _report(study: Study, folder: Path, ranks: tuple[int, ...]) -> None:
    from simcore.planning.scaling import collect, extended
    from simcore.planning.scaling_plot import draw
    from simcore.planning.scaling_table import table, write_tables

    scaling = collect(study, folder)
    if ranks:
        try:
            scaling = extended(scaling, _plans(scaling, folder, ranks))
        except ConfigError as error:
            scaling = replace(scaling, notes=(*scaling.notes, f"nothing predicted: {error}"))
    print(table(scaling), flush=True)
    paths = write_tables(scaling, folder) + draw(scaling, folder)
    print(f"\nwritten to {folder}: {', '.join(path.name for path in paths)}")


def _plans(scaling: Scaling, folder: Path, ranks: tuple[int, ...]) -> list[Any]:
    """Return plans for numbers of ranks that were not measured, with costs from those that were."""
    from simcore.planning import CostModel, Planner, Setup, choose_rates
    from simcore.planning.scaling import complete_runs

    study = scaling.study
    runs = complete_runs(study, folder)
    costs = CostModel.fit(runs.values())
    newest = max(runs, key=lambda trial: trial.ranks)
    measured = {runs[newest].path: dict(runs[newest].rates())}
    plans = []
    for n in sorted(set(ranks) - set(study.ranks)):
        job, network = _described(study, n)
        options = job.options
        rates = choose_rates(network, options.duration, {}, measured)
        setup = Setup(n, study.threads, options.dt, options.duration, costs.arithmetic,
                      options.partitioner, options.precision)  # fmt: skip
        plans.append(Planner(network, rates, options.dt, costs)(setup))
    return plans


def _checked_study(arguments: argparse.Namespace) -> Study:
    """Return what is to be run, after each of its networks was described once."""
    from simcore.planning.study import Study, require_growth

    job = read_job(arguments)
    study = Study(
        arguments.kind, arguments.model, _options(arguments), arguments.ranks, arguments.repeat,
        job.options.threads, _factors("grow", arguments.grow), _factors("shrink", arguments.shrink),
    )  # fmt: skip
    networks = {n: _described(study, n)[1] for n in {*study.ranks, *arguments.predict}}
    if study.kind == "weak":
        require_growth(networks)
    return study


def _described(study: Study, ranks: int) -> tuple[RunCommand, Network]:
    """Return what a study runs on a number of ranks, and the network."""
    from simcore.cli import make_parser

    job = read_job(make_parser().parse_args(["run", *study.arguments(ranks)]))
    return job, job.network()


def _options(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the options of the command line that `simcore run` takes."""
    given = {name: getattr(arguments, name) for name in PLANNED if name != "threads"}
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return (*(f"--set={text}" for text in arguments.settings), *options)


def _factors(option: str, texts: list[str]) -> dict[str, float]:
    """Return the parameters that change with the ranks."""
    found = {}
    for text in texts:
        name, value, _ = parse_assignment(text)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        valid = "NAME=NUMBER, such as order=1000"
        require(number, f"--{option}", text, valid, error=ConfigError)
        found[name] = value
    return found


def _numbers(text: str) -> tuple[int, ...]:
    """Return numbers of ranks."""
    try:
        found = tuple(int(word) for word in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} are no numbers from 1 on, such as 1,2,4")
    return found
