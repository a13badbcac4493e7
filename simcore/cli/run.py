"""``simcore run``: build a model, simulate it, and say what came out."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.cli.parameters import parse_assignment
from simcore.cli.runfile import RunFile, RunOptions, read_run
from simcore.comm import Comm
from simcore.errors import ConfigError, OutputError
from simcore.failure import fail_together
from simcore.network import Network
from simcore.progress import Progress, duration
from simcore.timers import phase_table

if TYPE_CHECKING:
    from simcore.io.reader import Run


@dataclasses.dataclass(frozen=True)
class RunCommand:
    """All that the command line and the run file ask for, checked.

    Parameters
    ----------
    file : RunFile
        The model.
    parameters : dict
        Its parameters.
    options : RunOptions
        How to run it.
    progress : bool
        Whether to report progress.
    """

    file: RunFile
    parameters: dict[str, Any]
    options: RunOptions
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
    names = [field.name for field in dataclasses.fields(RunOptions)]
    given = {n: getattr(arguments, n) for n in names if getattr(arguments, n) is not None}
    options = dataclasses.replace(file.options, **given)
    if "seed" in texts and arguments.seed is None:
        options = dataclasses.replace(options, seed=None)
    options.care()
    _check_raster(options.raster)
    checked = file.model.arguments(parameters, texts)
    return RunCommand(file, checked, options, not arguments.no_progress)


def summary_of(result: Run, reference: Mapping[str, float] | None) -> str:
    """Return what a run did as text: rates, beside a reference, times, and where the file is."""
    parts = [rate_table(result, reference)]
    if "run" in result.timers:
        parts += [phase_table(result.timers), pace(result)]
    return "\n\n".join([*parts, f"output: {result.path}"])


def rate_table(result: Run, reference: Mapping[str, float] | None = None) -> str:
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
    from simcore.job import simulate

    options = job.options
    return simulate(
        network,
        options.duration,
        dt=options.dt,
        output=job.output,
        overwrite=options.overwrite,
        backend=options.backend,
        partitioner=options.partitioner,
        precision=options.precision,
        threads=options.threads,
        record_from=options.record_from,
        progress=Progress(options.duration, enabled=job.progress and comm.rank == 0),
        comm=comm,
        options=job.kept(),
        **options.care(),
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
    if not Path(path).resolve().parent.is_dir():
        raise OutputError(f"raster: folder {str(Path(path).parent)!r} does not exist. Create it.")


def _draw(result: Run, path: str) -> None:
    from simcore.plot import raster

    raster(result, path)
    print(f"raster: {path}")
    sys.stdout.flush()
