"""A whole run: from the description of a model to its finished file, and on from a checkpoint."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcore.description.network import Network
from simcore.services.agreement import require_same
from simcore.services.comm import Comm, world
from simcore.services.errors import ConfigError, require
from simcore.services.failure import fail_together
from simcore.services.progress import Progress
from simcore.services.signals import Signals
from simcore.simulation.options import RunOptions, kept_of, takes
from simcore.simulation.resumption import Resumption, find_resumption, require_same_model
from simcore.simulation.session import Job, execute
from simcore.simulation.watchdog import Watchdog

if TYPE_CHECKING:
    from simcore.io import TemporaryFolder
    from simcore.io.reader import Run


@takes(RunOptions)
def simulate(
    network: Network,
    duration: float,
    *,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: bool | Progress = False,
    comm: Comm | None = None,
    options: dict[str, Any] | None = None,
    **how: Any,
) -> Run:
    """Simulate a network and record it; under mpiexec all ranks share the work.

    SIGUSR1 asks for a checkpoint; SIGTERM, SIGHUP and Ctrl-C ask for one and then the end of the
    run, and a second Ctrl-C ends it at once. All ranks must be given the same options but for
    `backend`, `threads` and `progress`; of `output`, `overwrite` and `options` rank 0's count.

    Parameters
    ----------
    network : Network
        The model.
    duration : float
        Model time [ms], a multiple of `dt`.
    output : str or Path, optional
        The HDF5 file to write. If left out, it is a temporary one, without checkpoints or signals,
        that is removed with the view that rank 0 returns, and all data of it.
    overwrite : bool
        Whether an existing file is replaced.
    progress : bool or Progress
        Whether, or where, to report progress.
    comm : Comm, optional
        The ranks; those this process was started with if left out.
    options : dict, optional
        What else to keep in the file, such as the parameters of the model. The names of the
        options of a run keep their meaning.
    **how
        Options of `RunOptions`.

    Returns
    -------
    Run
        A view of the finished file, on every rank.

    Raises
    ------
    SimcoreError
        When the model, an option or the output is wrong; on all ranks.
    StoppedError
        When the run was asked to stop. It can be resumed.
    KeyboardInterrupt
        The same after Ctrl-C, where no launcher started the process.
    """
    comm = world() if comm is None else comm
    asked = RunOptions(**how)
    with Watchdog(asked.patience, comm.rank) as dog, ExitStack() as failed:
        job = Job("", duration, asked, named=False)
        job, folder = _placed(_agreed(job, comm), output, overwrite, comm)
        if folder is not None:
            failed.callback(folder.cleanup)
        config = job.config(comm, options)
        report = _reporter(progress, duration, comm)
        run = execute(job, network, config, comm, report, dog, overwrite)
        run.keep(folder)
        failed.pop_all()
    return run


@takes(RunOptions, fixed=False)
def resume(
    path: str | Path,
    network: Network,
    *,
    until: float | None = None,
    progress: bool | Progress = False,
    comm: Comm | None = None,
    found: Resumption | None = None,
    **how: Any,
) -> Run:
    """Go on with a run that was killed, stopped or failed, or make a finished one longer.

    It goes on from the newest checkpoint that is valid, or from the beginning where there is none,
    on any ranks; options may be others than before. The file ends as if nothing had happened.

    Parameters
    ----------
    path : str or Path
        The output file of the run.
    network : Network
        Its model, the same as before.
    until : float, optional
        New end of the run [ms], not before the planned one.
    progress, comm
        As in `simulate`.
    found : Resumption, optional
        What `simcore.simulation.resumption.find_resumption` returned, where that is known already.
    **how
        Options of `RunOptions`.

    Returns
    -------
    Run
        A view of the finished file, on every rank.

    Raises
    ------
    ConfigError
        When the model is another one, or `until` is too early.
    OutputError
        When the file cannot be read or written, or another process writes it.
    StoppedError
        When the run was asked to stop again.
    """
    comm = world() if comm is None else comm
    with Watchdog(RunOptions(**how).patience, comm.rank) as dog:
        require_same(comm, {"until": until})
        with dog.rest():
            found = find_resumption(str(path), comm) if found is None else found
        with fail_together(comm):
            require_same_model(found, network)
            duration = found.duration if until is None else float(until)
            valid = f"at least the planned end, {found.duration:.10g} ms"
            require(duration >= found.duration, "until", until, valid, error=ConfigError)
        before = found.description.config
        asked = RunOptions(**{**how, **kept_of(before)})
        job = Job(comm.bcast(str(path)), duration, asked, named=True)
        _agreed(job, comm)
        report = _reporter(progress, duration, comm)
        notes = list(found.notes)
        done = found.is_complete and duration == found.duration
        if found.checkpoint is None and not done:
            notes.append(f"{path}: no checkpoint to go on from, so it starts from the beginning")
        if done:
            # Nothing is left but to make one file, which a signal must not interrupt
            with Signals(), dog.rest():
                _say(notes, report, comm)
                return _packed(job.output, comm)
        _say(notes, report, comm)
        config = {**before, **job.config(comm, None)}
        return execute(job, network, config, comm, report, dog, resumption=found)


def _agreed(job: Job, comm: Comm) -> Job:
    """Return a job whose options are right, and the same on all ranks; collective."""
    with fail_together(comm):
        job.options.check_run(job.duration)
    require_same(comm, {"duration": job.duration, **job.options.shared()})
    return job


def _placed(
    job: Job, output: str | Path | None, overwrite: bool, comm: Comm
) -> tuple[Job, TemporaryFolder | None]:
    """Return a job with the output file that rank 0 names, and its folder if nobody named it.

    Collective; only rank 0 has the folder.
    """
    from simcore.io import TemporaryFolder, check_output

    path, folder = "", None
    with fail_together(comm):
        if comm.rank == 0 and output is not None:
            check_output(output, overwrite)
            path = str(output)
        elif comm.rank == 0:
            folder = TemporaryFolder()
            path = os.path.join(folder.name, "run.h5")
    path, named = comm.bcast((path, output is not None))
    asked = job.options
    if not named:
        asked = replace(asked, checkpoint_every=None, checkpoint_wall=None)
    return replace(job, output=path, named=named, options=asked), folder


def _reporter(progress: bool | Progress, duration: float, comm: Comm) -> Progress:
    if isinstance(progress, Progress):
        return progress
    return Progress(duration, enabled=progress and comm.rank == 0)


def _say(notes: list[str], report: Progress, comm: Comm) -> None:
    """Print notes, also where no progress is wanted: what was damaged must not go unnoticed."""
    for note in notes if comm.rank == 0 else ():
        report.warn(note)


def _packed(path: str, comm: Comm) -> Run:
    """Return a run that has been simulated to its end, as one file."""
    from simcore.io import open_run, pack

    run = None
    with fail_together(comm):
        if comm.rank == 0:
            pack(path)
            run = open_run(path)
    return comm.bcast(run)
