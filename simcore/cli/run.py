"""``simcore run``: build a model, simulate it, and say what came out."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.cli.options import CommandOptions, add_options
from simcore.cli.parameters import parse_assignment
from simcore.cli.parser import STYLE, Commands
from simcore.cli.runfile import RunFile, read_run
from simcore.description.network import Network
from simcore.services.comm import Comm
from simcore.services.errors import ConfigError, OutputError
from simcore.services.failure import fail_together
from simcore.services.progress import Progress, duration
from simcore.services.timers import phase_table

if TYPE_CHECKING:
    from simcore.io.reader import Run
    from simcore.io.recording import Recording

_TEXT = """\
Simulate a model and write its spikes to an HDF5 file. With `mpiexec -n N` in front, and nothing
else, N ranks share the work; the spikes stay the same.

MODEL is the name of a built-in model (see `simcore models`), a Python file with a function
build(**parameters) that returns a simcore.Network, or a TOML file:

  model = "microcircuit"      # or "my_model.py", next to this file
  [parameters]
  N_scaling = 0.1
  [run]
  duration = "1s"             # and any other option below, with _ for -
  [record]
  from = 500.0                # ms
  spikes = ["L4E", "L4I"]     # or true, or false
  V_m = {population = "L4E", n = 10, interval = 1.0}     # or any other state of the model
  [output]
  file = "run.h5"             # from where you start; also overwrite, raster

Options given here replace those of the file.
"""

_EXAMPLES = """\
examples:
  simcore run microcircuit --set N_scaling=0.1 --set K_scaling=0.1 --duration 500
  simcore run microcircuit --set drive=dc --record-from 500 --raster spikes.png
  simcore run my_model.py --set rate=12.5 --output out/rate12.h5 --overwrite
  simcore run microcircuit --threads 4
  mpiexec -n 16 simcore run study.toml --seed 7
"""


def add_run(commands: Commands) -> None:
    """Add the arguments of ``simcore run``."""
    parser = commands.add_parser(
        "run", help="simulate a model", description=_TEXT, epilog=_EXAMPLES, **STYLE
    )
    parser.set_defaults(command=run, parallel=True)
    add = parser.add_argument
    add("model", metavar="MODEL", help="built-in name, Python file or TOML file")
    add("--set", dest="settings", metavar="NAME=VALUE", action="append", default=[],
        help="a parameter of the model, as in TOML; can be repeated")  # fmt: skip
    add_options(parser)
    add("--no-progress", action="store_true", help="do not report progress")


@dataclasses.dataclass(frozen=True)
class RunCommand:
    """All that the command line and the run file ask for, checked.

    Parameters
    ----------
    file : RunFile
        The model.
    parameters : dict
        Its parameters.
    options : CommandOptions
        How to run it.
    progress : bool
        Whether to report progress.
    """

    file: RunFile
    parameters: dict[str, Any]
    options: CommandOptions
    progress: bool

    @property
    def output(self) -> str:
        """The output file."""
        return self.options.output or f"{self.file.name}.h5"

    def kept(self) -> dict[str, Any]:
        """Return what the file keeps of the model, for `simcore resume` among others."""
        return {
            "model": self.file.model.name,
            "model_place": self.file.model.place,
            "parameters": self.parameters,
            "model_seed": self.options.seed,
            "records": self.file.records,
        }

    def network(self) -> Network:
        """Build the network, with the records of the run file."""
        network = self.file.model.network(self.parameters, self.options.seed)
        self.file.apply_records(network)
        return network


def run(arguments: argparse.Namespace, comm: Comm) -> None:
    """Run the command on all ranks."""
    with fail_together(comm):
        job = read_job(arguments)
        network = job.network()
    result = _simulate(job, network, comm)
    with fail_together(comm):
        if comm.rank == 0:
            print(summary_of(result, job.file.model.reference_rates(job.parameters)))
            if job.options.raster is not None:
                _draw(result, job.options.raster)


def read_job(arguments: argparse.Namespace) -> RunCommand:
    """Return what the command line and the run file ask for; the command line takes precedence."""
    file = read_run(arguments.model)
    settings = [parse_assignment(text) for text in arguments.settings]
    parameters = {**file.parameters, **{name: value for name, value, _ in settings}}
    texts = {name: text for name, _, text in settings}
    options = file.options.given(arguments)
    if "seed" in texts and getattr(arguments, "seed", None) is None:
        options = dataclasses.replace(options, seed=None)
    _check_raster(options.raster)
    checked = file.model.arguments(parameters, texts)
    return RunCommand(file, checked, options, not getattr(arguments, "no_progress", True))


def summary_of(result: Run, reference: Mapping[str, float] | None) -> str:
    """Return what a run did as text: rates, beside a reference, times, and where the file is."""
    parts = [rate_table(result, reference)]
    if "run" in result.timers:
        parts += [phase_table(result.timers), pace(result)]
    return "\n\n".join([*parts, f"output: {result.path}"])


def rate_table(result: Recording, reference: Mapping[str, float] | None = None) -> str:
    """Return the mean rate of each population as text, beside those of a reference if given."""
    rates = result.rates()
    lines = str(rates).splitlines()
    if reference is None or len(lines) != len(rates) + 1:
        return "\n".join(lines)
    known = [f"{reference[name]:.3f}" if name in reference else "" for name in rates]
    return "\n".join(
        f"{line}  {text:>9}" for line, text in zip(lines, ["reference", *known], strict=True)
    )


def pace(result: Run) -> str:
    """Return as text how fast the run was, without the build and on its slowest rank."""
    wall = float(np.max(result.timers["run"]))
    factor = 1e3 * wall / result.timed if result.timed else 0.0
    model = duration(result.timed / 1e3)
    return f"real-time factor: {factor:.3g} ({duration(wall)} for {model} of model time)"


def _simulate(job: RunCommand, network: Network, comm: Comm) -> Run:
    from simcore.simulation.job import simulate

    options = job.options
    return simulate(
        network,
        options.duration,
        output=job.output,
        overwrite=options.overwrite,
        progress=Progress(options.duration, enabled=job.progress and comm.rank == 0),
        comm=comm,
        options=job.kept(),
        **options.run(),
    )


def _check_raster(path: str | None) -> None:
    """Raise before the run what would fail after it."""
    if path is None:
        return
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            f"raster is {path!r}, must be left out, because matplotlib is missing. "
            "Install it: pip install 'simcore[plot]'."
        )
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        raise OutputError(f"raster: folder {str(Path(path).parent)!r} does not exist. Create it.")
    if not os.access(folder, os.W_OK) or Path(path).is_dir():
        raise OutputError(f"raster: {path!r} cannot be written. Choose another place.")


def _draw(result: Run, path: str) -> None:
    from simcore.analysis.raster import raster

    raster(result, path)
    print(f"raster: {path}")
    sys.stdout.flush()
