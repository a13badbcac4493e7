"""A whole run: from the description of a model to its finished file, and on from a checkpoint."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.clock import Clock
from simcore.comm import Comm, world
from simcore.errors import ConfigError, require
from simcore.failure import fail_together
from simcore.keeper import LOOK_INTERVAL, Care, Keeper
from simcore.memory import peak_bytes
from simcore.network import Network
from simcore.progress import Progress
from simcore.resumption import (
    Resumption,
    find_resumption,
    require_same_model,
    require_same_numbers,
    restore,
)
from simcore.signals import Signals
from simcore.simulation import Simulation
from simcore.watchdog import Watchdog

if TYPE_CHECKING:
    from simcore.io.reader import Run
    from simcore.io.writer import RunWriter

# Wall-clock time between two checkpoints, where nothing else is asked for [s]
CHECKPOINT_WALL = 900.0


@dataclass(frozen=True)
class Job:
    """What a run does, apart from its model.

    Parameters
    ----------
    output : str
        The output file.
    duration, dt, record_from : float
        End of the run, time step, and begin of the recording [ms].
    backend, partitioner, precision : str
        As in `simulate`.
    threads : int
        Threads of each rank.
    care : Care
        How the run takes care of itself.
    named : bool
        Whether the user named the output file, so that the run can be resumed.
    """

    output: str
    duration: float
    dt: float
    record_from: float
    backend: str
    partitioner: str
    precision: str
    threads: int
    care: Care
    named: bool

    def check(self) -> None:
        """Raise the error of an option that is wrong."""
        from simcore.kernels import check_backend
        from simcore.partition import check_partitioner

        check_backend(self.backend, self.precision, self.threads)
        check_partitioner(self.partitioner)
        clock = Clock(self.dt)
        steps = clock.steps(self.duration, "duration")
        valid = f"at least dt = {self.dt!r} ms"
        require(steps >= 1, "duration", self.duration, valid, error=ConfigError)
        first = clock.steps(self.record_from, "record_from")
        valid = f"in [0, {self.duration!r}) ms"
        require(0 <= first < steps, "record_from", self.record_from, valid, error=ConfigError)
        self.care.check(clock)

    def config(self, comm: Comm, options: dict[str, Any] | None) -> dict[str, Any]:
        """Return what the file keeps of the options; collective."""
        own = {k: value for k, value in asdict(self).items() if k not in ("output", "named")}
        hosts = comm.gather(platform.node())
        return {**(options or {}), **own, "n_ranks": comm.size, "hosts": hosts}


def simulate(
    network: Network,
    duration: float,
    *,
    dt: float = 0.1,
    output: str | Path | None = None,
    overwrite: bool = False,
    backend: str = "auto",
    partitioner: str = "balanced",
    precision: str = "float64",
    record_from: float = 0.0,
    progress: bool | Progress = False,
    threads: int = 1,
    checkpoint_every: float | None = None,
    checkpoint_wall: float | None = CHECKPOINT_WALL,
    max_rate: float | None = None,
    watchdog: float = 600.0,
    comm: Comm | None = None,
    options: dict[str, Any] | None = None,
) -> Run:
    """Simulate a network and record it; under mpiexec all ranks share the work.

    SIGUSR1 asks for a checkpoint, and SIGTERM for one and then the end of the run.

    Parameters
    ----------
    network : Network
        The model.
    duration : float
        Model time [ms], a multiple of `dt`.
    dt : float
        Time step [ms].
    output : str or Path, optional
        The HDF5 file to write; a temporary one, without checkpoints or signals, if left out.
    overwrite : bool
        Whether an existing file is replaced.
    backend : {"auto", "cpu", "cuda", "reference"}
        The arithmetic.
    partitioner : {"balanced", "block", "round_robin"}
        Who owns which neuron.
    precision : {"float64", "float32"}
        Type of the state.
    record_from : float
        Model time from which on is recorded [ms].
    progress : bool or Progress
        Whether, or where, to report progress.
    threads : int
        Threads of each rank, at most as many as it has cores.
    checkpoint_every : float, optional
        Model time between two checkpoints [ms].
    checkpoint_wall : float, optional
        Wall-clock time between two checkpoints [s]; 15 min unless given. With None for both there
        are none but those that signals ask for.
    max_rate : float, optional
        Largest mean rate of a population that is accepted, over 100 ms [1/s].
    watchdog : float
        Wall-clock time without progress after which the job is ended [s]; 0 for ever.
    comm : Comm, optional
        The ranks; those this process was started with if left out.
    options : dict, optional
        What else to keep in the file, such as the parameters of the model. The names of the
        options above keep their meaning.

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
    """
    from simcore.io import check_output

    comm = world() if comm is None else comm
    care = Care(checkpoint_every, checkpoint_wall, max_rate, watchdog)
    if output is None:
        care = replace(care, checkpoint_every=None, checkpoint_wall=None)
    path = "" if output is None else str(output)
    job = Job(
        path,
        duration,
        dt,
        record_from,
        backend,
        partitioner,
        precision,
        threads,
        care,
        output is not None,
    )
    job.check()
    with fail_together(comm):
        if comm.rank == 0 and output is not None:
            check_output(output, overwrite)
        if comm.rank == 0 and output is None:
            job = replace(job, output=str(Path(mkdtemp(prefix="simcore-")) / "run.h5"))
    config = job.config(comm, options)
    return _execute(job, network, config, comm, _reporter(progress, duration, comm), overwrite)


def resume(
    path: str | Path,
    network: Network,
    *,
    until: float | None = None,
    backend: str = "auto",
    partitioner: str = "balanced",
    progress: bool | Progress = False,
    threads: int = 1,
    checkpoint_every: float | None = None,
    checkpoint_wall: float | None = CHECKPOINT_WALL,
    max_rate: float | None = None,
    watchdog: float = 600.0,
    comm: Comm | None = None,
) -> Run:
    """Go on with a run that was killed, stopped or failed, or make a finished one longer.

    It goes on from the newest checkpoint that is valid, on any ranks, or from the beginning where
    there is none. The file ends as if nothing had happened.

    Parameters
    ----------
    path : str or Path
        The output file of the run.
    network : Network
        Its model, the same as before.
    until : float, optional
        New end of the run [ms], not before the planned one.
    backend, partitioner, progress, threads, checkpoint_every, checkpoint_wall, max_rate, \
watchdog, comm
        As in `simulate`; they may differ from those of the run so far.

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
    with fail_together(comm):
        found = find_resumption(str(path)) if comm.rank == 0 else None
    found = comm.bcast(found)
    require_same_model(found, network)
    duration = found.duration if until is None else float(until)
    valid = f"at least the planned end, {found.duration:.10g} ms"
    require(duration >= found.duration, "until", until, valid, error=ConfigError)
    care = Care(checkpoint_every, checkpoint_wall, max_rate, watchdog)
    config = found.description.config
    job = Job(
        str(path), duration, config["dt"], config["record_from"], backend, partitioner,
        config["precision"], threads, care, True,
    )  # fmt: skip
    job.check()
    report = _reporter(progress, duration, comm)
    notes = list(found.notes)
    done = found.is_complete and duration == found.duration
    if found.checkpoint is None and not done:
        notes.append(f"{path}: no checkpoint to go on from, so it starts from the beginning")
    if done:
        # Nothing is left but to make one file, which a signal must not interrupt
        with Signals():
            _say(notes, report, comm)
            return _packed(job.output, comm)
    _say(notes, report, comm)
    config = {**config, **job.config(comm, None)}
    return _execute(job, network, config, comm, report, resumption=found)


def _reporter(progress: bool | Progress, duration: float, comm: Comm) -> Progress:
    if isinstance(progress, Progress):
        return progress
    return Progress(duration, enabled=progress and comm.rank == 0)


def _say(notes: list[str], report: Progress, comm: Comm) -> None:
    """Print notes, also where no progress is wanted: what was damaged must not go unnoticed."""
    for note in notes:
        report.message(note)
        if comm.rank == 0 and not report.enabled:
            print(note, file=sys.stderr, flush=True)


def _packed(path: str, comm: Comm) -> Run:
    """Return a run that has been simulated to its end, as one file."""
    from simcore.io import open_run, pack

    run = None
    with fail_together(comm):
        if comm.rank == 0:
            pack(path)
            run = open_run(path)
    return comm.bcast(run)


def _execute(
    job: Job,
    network: Network,
    config: dict[str, Any],
    comm: Comm,
    progress: Progress,
    overwrite: bool = False,
    resumption: Resumption | None = None,
) -> Run:
    """Build, run and finish; all ranks take part."""
    with ExitStack() as stack:
        signals = stack.enter_context(Signals(job.named))
        with Watchdog(job.care.watchdog, comm.rank) as watchdog:
            progress.listen(watchdog.beat)
            session = Session(job, network, config, comm, progress, resumption)
            session.open(stack, overwrite)
            session.run(signals, watchdog.beat)
        session.finish()
    progress.finished()
    return session.result()


class Session:
    """One run, or the rest of one, from the build to the finished file; collective.

    Parameters
    ----------
    job : Job
        What to do.
    network : Network
        The model.
    config : dict
        What the file keeps of the options.
    comm : Comm
        The ranks.
    progress : Progress
        Where to report progress.
    resumption : Resumption or None
        How to go on with a run; None for a new one.
    """

    def __init__(
        self,
        job: Job,
        network: Network,
        config: dict[str, Any],
        comm: Comm,
        progress: Progress,
        resumption: Resumption | None,
    ) -> None:
        self.job, self.comm, self.progress = job, comm, progress
        self.simulation = Simulation(
            network, job.dt, comm, job.backend, job.partitioner, job.precision, progress,
            job.threads,
        )  # fmt: skip
        self._report_build()
        weights = self.simulation.shards[0].fixed_point.describe(network)
        digest = self.simulation.model_digest
        self.resumption = resumption
        if resumption is not None:
            require_same_numbers(config, digest)
        self.config = {**config, "weights": weights, "digest": digest}
        self.writer: RunWriter | None = None

    def open(self, stack: ExitStack, overwrite: bool) -> None:
        """Take the state of a checkpoint, if there is one, and open the file."""
        from simcore.io import Recorder, RunWriter
        from simcore.io.schema import now

        simulation, job, comm = self.simulation, self.job, self.comm
        network, clock, resumption = simulation.network, simulation.clock, self.resumption
        recorded, counts = 0, None
        if resumption is not None:
            recorded, counts = resumption.recorded, restore(simulation, resumption)
        used = simulation.backend.name
        config = {**self.config, "arithmetic": used, "begin": simulation.step, "started": now()}
        with fail_together(comm):
            if comm.rank == 0:
                self.writer = stack.enter_context(
                    RunWriter(job.output, network, clock, config, overwrite, resumption)
                )
        first = clock.steps(job.record_from, "record_from")
        flush = max(simulation.epoch_steps, round(LOOK_INTERVAL / job.dt))
        self.recorder = Recorder(
            network, clock, simulation.neurons, comm, self.writer, simulation.backend, first,
            flush, recorded,
        )  # fmt: skip
        if counts is not None:
            self.recorder.spike_counts += counts

    def run(self, signals: Signals, beat: Callable[[], None]) -> None:
        """Run to the end, in pieces after which is done what is due; `beat` is called at each."""
        simulation, job = self.simulation, self.job
        end = simulation.clock.steps(job.duration, "duration")
        keeper = self._keeper(signals, beat)
        self.progress.running(simulation.step * job.dt)
        self._begin = simulation.step
        with simulation.timers("run"):
            while simulation.step < end:
                steps = keeper.piece_end(end) - simulation.step
                simulation.run(steps * job.dt, self.recorder)
                self.progress.running(simulation.step * job.dt)
                keeper.look()
            if keeper.n_checkpoints or self.resumption is not None:
                keeper.save()
            self.recorder.close()

    def finish(self) -> None:
        """Write the results of the run: timers, and what each rank owned."""
        simulation, comm, timers = self.simulation, self.comm, self.simulation.timers
        timers.add("record", self.recorder.seconds)
        for phase, seconds in simulation.backend.phase_seconds().items():
            timers.add(phase, seconds)
        exchange = simulation.exchange
        timers.add("exchange", exchange.seconds * (1.0 - exchange.waiting_share))
        timers.add("waiting", exchange.seconds * exchange.waiting_share)
        gathered = timers.gather(comm)
        shards = simulation.shards
        n_synapses, nbytes = sum(s.n_synapses for s in shards), sum(s.nbytes for s in shards)
        owned = comm.gather((simulation.neurons.size, n_synapses, nbytes, peak_bytes()))
        model_time = float(simulation.clock.times(simulation.step - self._begin))
        with fail_together(comm):
            if self.writer is not None:
                names = ("n_neurons", "n_synapses", "bytes", "peak_bytes")
                columns = dict(zip(names, np.array(owned, dtype=np.int64).T, strict=True))
                counts = self.recorder.spike_counts
                self.writer.finish(counts, gathered or {}, columns, model_time)

    def result(self) -> Run:
        """Return a view of the finished file, on every rank."""
        from simcore.io import open_run

        # Read once, since other hosts may not see the file yet, or at all
        with fail_together(self.comm):
            run = None if self.writer is None else open_run(self.writer.path)
        return self.comm.bcast(run)

    def _report_build(self) -> None:
        """Compile, wait for all ranks, and say what was built."""
        simulation = self.simulation
        simulation.warm_up()
        synapses = np.array([sum(s.n_synapses for s in simulation.shards)], dtype=np.int64)
        total = int(self.comm.allreduce_sum(synapses)[0])
        seconds = simulation.timers.seconds["build"]
        self.progress.built(seconds, simulation.network.n_neurons, total)

    def _keeper(self, signals: Signals, beat: Callable[[], None]) -> Keeper:
        from simcore.io.checkpoint import Description

        uuid = "" if self.writer is None else self.writer.uuid
        network = self.simulation.network.describe()
        description = Description(uuid, network, self.config)
        return Keeper(
            self.simulation, self.recorder, self.writer, self.job.output, description,
            self.job.care, signals, beat,
        )  # fmt: skip
