"""How the runs of a scaling study are started: here one by one, or by Slurm."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from simcore.services.errors import CommError, ConfigError, require
from simcore.services.launcher import n_cores
from simcore.services.progress import duration

if TYPE_CHECKING:
    from simcore.planning.study import Study, Trial

# Variables by which a launcher around this process would reach the ranks
_FOREIGN = ("PMI_", "PMIX_", "OMPI_COMM")


def run_here(study: Study, folder: Path, launcher: str | None) -> int:
    """Run what is missing of a study, one run after the other.

    What a run prints goes to a file beside its output.

    Parameters
    ----------
    study : Study
        What to run.
    folder : Path
        Where to.
    launcher : str, optional
        What starts the ranks, with {ranks} and {threads}.

    Returns
    -------
    int
        How many runs failed.
    """
    from simcore.planning.scaling import complete_runs

    start = _launcher(study) if launcher is None else launcher
    done = complete_runs(study, folder)
    left = [trial for trial in study.trials(folder) if trial not in done]
    if done:
        print(f"complete already, and kept: {len(done)} of {len(done) + len(left)} runs")
    most = max(study.ranks) * study.threads
    if launcher is None and "SLURM_JOB_ID" not in os.environ and most > n_cores():
        print(f"{most} threads of all ranks on {n_cores()} cores: such runs show no scaling")
    failed, begin = 0, monotonic()
    for i, trial in enumerate(left):
        rest = ""
        if i:
            rest = f", about {duration((monotonic() - begin) / i * (len(left) - i))} left"
        print(f"{_name(trial)} ({i + 1} of {len(left)}{rest})", flush=True)
        failed += not _run(study, trial, start)
    return failed


@dataclass(frozen=True)
class Batch:
    """Commands that submit a study.

    Parameters
    ----------
    arrays : list of list of str
        One array for each number of ranks, with a task for each repetition.
    collect : list of str
        The job that collects; "{ids}" stands for the numbers of the arrays.
    """

    arrays: list[list[str]]
    collect: list[str]


def batch_commands(
    study: Study, folder: Path, scripts: Path, options: Sequence[str], predict: Sequence[int]
) -> Batch:
    """Return the commands that submit what is missing of a study.

    Raises
    ------
    ConfigError
        When the scripts are not there.
    """
    from simcore.planning.scaling import complete_runs
    from simcore.planning.study import point

    for name in ("scale.sbatch", "collect.sbatch"):
        path = str(scripts / name)
        remedy = "Name the folder slurm/ of simcore with --scripts."
        require(Path(path).is_file(), "scripts", path, "a file", remedy, ConfigError)
    done = complete_runs(study, folder)
    arrays = []
    for ranks in study.ranks:
        own = [trial for trial in study.trials(folder) if trial.ranks == ranks]
        left = [str(trial.repetition) for trial in own if trial not in done]
        if left:
            arrays.append([
                "sbatch", "--parsable", f"--ntasks={ranks}", f"--cpus-per-task={study.threads}",
                f"--array={','.join(left)}", f"--output={folder}/%x-%A_%a.out", *options,
                str(scripts / "scale.sbatch"), str(point(folder, ranks)), *study.arguments(ranks),
            ])  # fmt: skip
    further = ["--predict", ",".join(map(str, predict))] if predict else []
    depend = ["--dependency=afterany:{ids}", "--kill-on-invalid-dep=yes"] if arrays else []
    collect = [
        "sbatch", "--parsable", *depend, f"--output={folder}/%x-%j.out",
        str(scripts / "collect.sbatch"), str(folder), *further,
    ]  # fmt: skip
    return Batch(arrays, collect)


def submit(batch: Batch, dry_run: bool = False) -> None:
    """Submit a study, or only print the commands.

    Raises
    ------
    CommError
        When sbatch is missing or refuses a job.
    """
    if not dry_run and shutil.which("sbatch") is None:
        raise CommError("sbatch: is not on the PATH, must be. Submit from a login node of Slurm.")
    ids: list[str] = []
    try:
        for i, command in enumerate(batch.arrays):
            print(shlex.join(command), flush=True)
            ids.append(f"ARRAY{i + 1}" if dry_run else _call(command))
        collect = [word.replace("{ids}", ":".join(ids)) for word in batch.collect]
        print(shlex.join(collect), flush=True)
        if not dry_run:
            last = _call(collect)
            print(f"\nsubmitted: arrays {', '.join(ids) or 'none'}; job {last} collects them")
    except CommError:
        # Half a study, submitted again, would write the same files twice
        if ids and not dry_run:
            subprocess.run(["scancel", *ids], check=False)
            print(f"cancelled again: arrays {', '.join(ids)}", file=sys.stderr)
        raise


def _launcher(study: Study) -> str:
    """Return what starts ranks where this process runs."""
    if "SLURM_JOB_ID" in os.environ:
        return "srun --export=ALL --ntasks={ranks} --cpus-per-task={threads}"
    own = Path(sys.executable).parent / "mpiexec"
    found = str(own) if own.exists() else shutil.which("mpiexec")
    if found is None and study.ranks != (1,):
        raise CommError("mpiexec: is not on the PATH, must be. Name another one with --launcher.")
    return "" if found is None else f"{shlex.quote(found)} -n {{ranks}}"


def _run(study: Study, trial: Trial, launcher: str) -> bool:
    """Run one trial; return whether it went well."""
    start = launcher.replace("{ranks}", str(trial.ranks)).replace("{threads}", str(study.threads))
    command = [
        *shlex.split(start), sys.executable, "-m", "simcore", "run",
        *study.arguments(trial.ranks), f"--threads={study.threads}", "--output", str(trial.output),
        "--overwrite",
    ]  # fmt: skip
    environ = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
    log = trial.output.with_suffix(".log")
    with log.open("w") as file:
        try:
            done = subprocess.run(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                check=False,
            )
        except OSError as error:
            raise CommError(f"launcher {start!r} cannot be started: {error}") from error
    if done.returncode:
        lines = log.read_text(errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"exit code {done.returncode}"
        print(f"  failed, see {log}: {why}", file=sys.stderr, flush=True)
    return done.returncode == 0


def _call(command: Sequence[str]) -> str:
    """Submit a job; return its number."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommError(f"sbatch: refused the job: {done.stderr.strip()}. Look at slurm/site.sh.")
    return done.stdout.strip().partition(";")[0]


def _name(trial: Trial) -> str:
    ranks = f"{trial.ranks} ranks" if trial.ranks > 1 else "1 rank"
    return f"{ranks}, run {trial.repetition}"
