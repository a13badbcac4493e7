"""One session of a run: from the build, or a checkpoint, to the finished file."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.description.network import Network
from simcore.services.comm import Comm
from simcore.services.errors import StoppedError
from simcore.services.failure import fail_together
from simcore.services.memory import peak_bytes
from simcore.services.progress import Progress
from simcore.services.signals import Signals
from simcore.shards.recording_buffers import FLUSH_INTERVAL
from simcore.simulation.options import RunOptions
from simcore.simulation.resumption import Resumption, require_same_numbers, restore
from simcore.simulation.simulation import Simulation
from simcore.simulation.supervisor import RunSupervisor
from simcore.simulation.watchdog import Watchdog
from simcore.simulation.work_counts import delivery_work, neuron_work

if TYPE_CHECKING:
    from simcore.io.reader import Run
    from simcore.io.writer import RunWriter


@dataclass(frozen=True)
class Job:
    """What a run does, apart from its model.

    Parameters
    ----------
    output : str
        The output file.
    duration : float
        End of the run [ms].
    options : RunOptions
        How it runs.
    named : bool
        Whether the user named the output file, so that the run can be resumed.
    """

    output: str
    duration: float
    options: RunOptions
    named: bool

    def config(self, comm: Comm, further: dict[str, Any] | None) -> dict[str, Any]:
        """Return what the file keeps of the options; collective.

        The threads are a list where ranks have different numbers.
        """
        own = {**asdict(self.options), "duration": self.duration}
        threads_here = self.options.threads
        ranks = comm.gather((platform.node(), threads_here)) or [("", threads_here)]
        hosts, threads = ([rank[k] for rank in ranks] for k in range(2))
        own["threads"] = threads[0] if len(set(threads)) == 1 else threads
        return {**(further or {}), **own, "n_ranks": comm.size, "hosts": hosts}

    def way_on(self, config: dict[str, Any]) -> str:
        """Return how to go on with the run after it has stopped."""
        # A run of the command line says where its model is
        if "model_place" in config:
            return f"Go on with: simcore resume {shlex.quote(self.output)}"
        return f"Go on with: simcore.resume({self.output!r}, network)"


def execute(
    job: Job,
    network: Network,
    config: dict[str, Any],
    comm: Comm,
    progress: Progress,
    watchdog: Watchdog,
    overwrite: bool = False,
    resumption: Resumption | None = None,
) -> Run:
    """Build, run and finish; all ranks take part."""
    progress.listen(watchdog.beat)
    with ExitStack() as stack:
        stack.enter_context(_told(comm))
        signals = stack.enter_context(Signals(job.named, job.way_on(config), comm.rank == 0))
        session = Session(job, network, config, comm, progress, resumption)
        session.open(stack, overwrite)
        session.run(signals, watchdog.beat)
        session.finish(watchdog)
    progress.finished()
    return session.result()


@contextmanager
def _told(comm: Comm) -> Iterator[None]:
    """Say once why a run stopped and how it goes on: Python reports no `SystemExit` of a script."""
    try:
        yield
    except StoppedError as error:
        if comm.rank == 0:
            # The terminal may be gone
            with suppress(OSError):
                print(f"simcore: {error}", file=sys.stderr, flush=True)
        raise


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
        self.simulation = Simulation(network, comm, progress, **job.options.build())
        self._report_build()
        weights = self.simulation.shards[0].fixed_point.describe(network)
        digest = self.simulation.model_digest
        self.resumption = resumption
        if resumption is not None:
            require_same_numbers(config, digest)
        notes = self.simulation.notes
        self.config = {**config, "weights": weights, "digest": digest, "notes": notes}
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
        names = comm.gather(simulation.backend.name) or []
        used = " and ".join(sorted(set(names)))
        config = {**self.config, "arithmetic": used, "begin": simulation.step, "started": now()}
        with fail_together(comm):
            if comm.rank == 0:
                self.writer = stack.enter_context(
                    RunWriter(job.output, network, clock, config, overwrite, resumption)
                )
        first = clock.steps(job.options.record_from, "record_from")
        flush = int(clock.nearest(FLUSH_INTERVAL))
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
        supervisor = self._supervisor(signals, beat)
        self.progress.running(simulation.step * simulation.clock.dt)
        self._begin = simulation.step
        with simulation.timers("run"):
            while simulation.step < end:
                steps = supervisor.piece_end(end) - simulation.step
                simulation.advance(steps, self.recorder)
                self.progress.running(simulation.step * simulation.clock.dt)
                supervisor.after_piece()
            if supervisor.n_checkpoints or self.resumption is not None:
                supervisor.save()
            self.recorder.close()

    def finish(self, watchdog: Watchdog) -> None:
        """Write the results of the run: timers, and what each rank owned."""
        simulation, comm, timers = self.simulation, self.comm, self.simulation.timers
        timers.add("record", self.recorder.seconds)
        for phase, seconds in simulation.backend.phase_seconds().items():
            timers.add(phase, seconds)
        exchange = simulation.exchange
        timers.add("exchange", exchange.seconds * (1.0 - exchange.waiting_share))
        timers.add("waiting", exchange.seconds * exchange.waiting_share)
        gathered = timers.gather(comm)
        owned = comm.gather(self._shard_columns())
        model_time = float(simulation.clock.times(simulation.step - self._begin))
        with watchdog.rest(), fail_together(comm):
            if self.writer is not None:
                ranks = owned or []
                columns = {k: np.array([rank[k] for rank in ranks]) for k in ranks[0]}
                counts = self.recorder.spike_counts
                self.writer.finish(counts, gathered or {}, columns, model_time)

    def result(self) -> Run:
        """Return a view of the finished file, on every rank."""
        from simcore.io import open_run

        # Read once, since other hosts may not see the file yet, or at all
        with fail_together(self.comm):
            run = None if self.writer is None else open_run(self.writer.path)
        return self.comm.bcast(run)

    def _shard_columns(self) -> dict[str, int]:
        """Return what this rank owned, and what it had to do; collective."""
        simulation, exchange, recorder = self.simulation, self.simulation.exchange, self.recorder
        inventory, step = simulation.inventory, simulation.step
        emitted = self.comm.allreduce_sum(recorder.emitted)
        sent = int(recorder.emitted.sum())
        return {
            "n_neurons": simulation.neurons.size,
            "n_synapses": sum(own.n_synapses for own in inventory),
            "bytes": sum(own.nbytes for own in inventory),
            "peak_bytes": peak_bytes(),
            **neuron_work(
                simulation.network, simulation.neurons, self.simulation.clock.dt, self._begin, step
            ),
            **delivery_work(simulation.network, inventory, emitted),
            "sent": sent,
            "received": int(emitted.sum()) - sent,
            "meetings": exchange.n_meetings,
            "epochs": simulation.n_epochs,
            "recorded": recorder.bytes,
        }

    def _report_build(self) -> None:
        """Compile, wait for all ranks, and say what was built."""
        simulation = self.simulation
        simulation.warm_up()
        synapses = np.array([sum(own.n_synapses for own in simulation.inventory)], dtype=np.int64)
        total = int(self.comm.allreduce_sum(synapses)[0])
        seconds = simulation.timers.seconds["build"]
        self.progress.built(seconds, simulation.network.n_neurons, total)

    def _supervisor(self, signals: Signals, beat: Callable[[], None]) -> RunSupervisor:
        from simcore.io.checkpoint import Description

        uuid = "" if self.writer is None else self.writer.uuid
        network = self.simulation.network.describe()
        description = Description(uuid, network, self.config)
        return RunSupervisor(
            self.simulation, self.recorder, self.writer, self.job.output, description,
            self.job.options, signals, beat, self.job.way_on(self.config),
        )  # fmt: skip
