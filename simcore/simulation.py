"""A simulation: the only place that knows partition, kernels and io."""

from __future__ import annotations

import platform
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.clock import Clock, epochs
from simcore.comm import Comm, world
from simcore.digest import digest_json
from simcore.errors import ConfigError, require
from simcore.failure import fail_together
from simcore.fixed_point import FixedPoint, fixed_point
from simcore.launch import n_cores
from simcore.memory import peak_bytes, require_memory
from simcore.network import Network
from simcore.progress import Progress
from simcore.shard import LocalNeurons
from simcore.timers import Timers

if TYPE_CHECKING:
    from simcore.io.reader import Run
    from simcore.io.recorder import Recorder
    from simcore.io.writer import RunWriter
    from simcore.kernels.backend import Backend

# Model time between two collections of what was recorded [ms]
_FLUSH_INTERVAL = 20.0

# Longest epoch [steps], which bounds the buffers of a rank that never meets another
_LONGEST_EPOCH = 1000


class Simulation:
    """The shard of this rank, ready to advance.

    Parameters
    ----------
    network : Network
        The model, equal on all ranks.
    dt : float
        Time step [ms].
    comm : Comm, optional
        The ranks; those this process was started with if left out.
    backend : {"auto", "cpu", "reference"}
        The arithmetic.
    partitioner : {"balanced", "block", "round_robin"}
        Who owns which neuron.
    precision : {"float64", "float32"}
        Type of the state.
    progress : Progress, optional
        Where to report how far it is.
    threads : int
        Threads of this rank.

    Attributes
    ----------
    shards : tuple of Shard
        What this rank owns, one shard for each thread.
    neurons : LocalNeurons
        The neurons of all of them.
    backend : Backend
        The state of the shards.
    epoch_steps : int
        Steps between two exchanges of spikes: the shortest delay of a synapse that crosses ranks.
    step : int
        The next step.
    """

    def __init__(
        self,
        network: Network,
        dt: float = 0.1,
        comm: Comm | None = None,
        backend: str = "auto",
        partitioner: str = "balanced",
        precision: str = "float64",
        progress: Progress | None = None,
        threads: int = 1,
    ) -> None:
        from simcore.io.recorder import probes
        from simcore.jit import is_compiled
        from simcore.kernels import Probe, check_backend, make_threaded_backend
        from simcore.partition import SpikeExchange, build_shards, estimate, partition

        check_backend(backend, precision, threads)
        self.network, self.clock, self.timers = network, Clock(dt), Timers()
        self.comm = world() if comm is None else comm
        self.progress = progress or Progress(0.0, enabled=False)
        require(bool(network.populations), "Network: populations", 0, "at least one")

        with self.timers("build"):
            with fail_together(self.comm):
                points = fixed_point(network, dt)
                division = partition(network, self.comm.size * threads, partitioner)
                parts = range(self.comm.rank * threads, (self.comm.rank + 1) * threads)
                gids = np.sort(np.concatenate([division.gids(part) for part in parts]))
                self.neurons = LocalNeurons(gids)
                needed = estimate(network, points, gids.size, dt, backend, threads).total
            _require_agreement(self.comm, network, points, dt)
            require_memory(self.comm, platform.node(), needed)
            self._variant = _variant(backend, precision, threads, points)
            if threads > n_cores():
                self.progress.message(f"{threads} threads on {n_cores()} cores: use fewer")
            if not is_compiled(self._variant):
                self.progress.message("compiling kernels, once for this version and machine")
            with fail_together(self.comm):
                self.shards = build_shards(
                    network, division, parts, dt, self.progress.building, points
                )
                sampled = [
                    tuple(Probe(*p) for p in probes(network, shard.neurons, self.clock))
                    for shard in self.shards
                ]
                self.backend: Backend = make_threaded_backend(
                    backend, self.shards, sampled, precision
                )
        self.exchange = SpikeExchange(self.comm)
        shortest = self.comm.allreduce_min(min(s.min_remote_delay for s in self.shards))
        self.epoch_steps = min(shortest, _LONGEST_EPOCH)
        self.step = 0

    def run(self, duration: float, recorder: Recorder | None = None) -> None:
        """Advance by a duration [ms], a multiple of dt.

        The order within an epoch is

        1. ``exchange.wait``   the spikes that other ranks emitted in the last epoch are here,
        2. ``backend.advance`` they and the shard's own are delivered when they are due; the
           neurons take all steps of the epoch,
        3. ``exchange.start``  the spikes of this epoch are handed over, to be sent by the next
           ``wait``,
        4. ``recorder.record`` they are kept.

        No synapse that crosses ranks is faster than an epoch, so what arrives in 1 is never late.
        """
        exchange, backend = self.exchange, self.backend
        end = self.step + self.clock.steps(duration, "duration")
        for epoch in epochs(self.step, end, self.epoch_steps):
            remote = exchange.wait()
            spikes = backend.advance(epoch, remote)
            exchange.start(spikes)
            if recorder is not None:
                recorder.record(epoch, spikes)
            self.step = epoch.end

    def warm_up(self) -> None:
        """Compile everything before the clock runs, and meet the other ranks once."""
        from simcore.jit import mark_compiled

        self.backend.warm_up()
        self.exchange.warm_up()
        mark_compiled(self._variant)


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
    comm: Comm | None = None,
    options: dict[str, Any] | None = None,
) -> Run:
    """Simulate a network and record it; under mpiexec all ranks share the work.

    Parameters
    ----------
    network : Network
        The model.
    duration : float
        Model time [ms], a multiple of `dt`.
    dt : float
        Time step [ms].
    output : str or Path, optional
        The HDF5 file to write; a temporary one if left out.
    overwrite : bool
        Whether an existing file is replaced.
    backend : {"auto", "cpu", "reference"}
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
    comm : Comm, optional
        The ranks; those this process was started with if left out.
    options : dict, optional
        What else to keep in the file, such as the parameters of the model.

    Returns
    -------
    Run
        A view of the finished file, on every rank.

    Raises
    ------
    SimcoreError
        When the model, an option or the output is wrong; on all ranks.
    """
    from simcore.io import Recorder, RunWriter, check_output, open_run
    from simcore.kernels import check_backend
    from simcore.partition import check_partitioner

    check_backend(backend, precision, threads)
    check_partitioner(partitioner)
    comm = world() if comm is None else comm
    if not isinstance(progress, Progress):
        progress = Progress(duration, enabled=progress and comm.rank == 0)
    clock = Clock(dt)
    steps = clock.steps(duration, "duration")
    require(steps >= 1, "duration", duration, f"at least dt = {dt!r} ms", error=ConfigError)
    first = clock.steps(record_from, "record_from")
    valid = f"in [0, {duration!r}) ms"
    require(0 <= first < steps, "record_from", record_from, valid, error=ConfigError)
    hosts = comm.gather(platform.node())
    config = {
        "duration": duration,
        "dt": dt,
        "record_from": record_from,
        "backend": backend,
        "partitioner": partitioner,
        "precision": precision,
        "n_ranks": comm.size,
        "threads": threads,
        "hosts": hosts,
        **(options or {}),
    }
    with fail_together(comm):
        if comm.rank == 0 and output is not None:
            check_output(output, overwrite)
    simulation = Simulation(network, dt, comm, backend, partitioner, precision, progress, threads)
    _report_build(simulation)
    config["weights"] = simulation.shards[0].fixed_point.describe(network)

    with ExitStack() as stack:
        writer = None
        with fail_together(comm):
            if comm.rank == 0:
                path = Path(mkdtemp(prefix="simcore-")) / "run.h5" if output is None else output
                writer = stack.enter_context(RunWriter(path, network, clock, config, overwrite))
        flush = max(simulation.epoch_steps, round(_FLUSH_INTERVAL / dt))
        recorder = Recorder(
            network, clock, simulation.neurons, comm, writer, simulation.backend, first, flush
        )
        _run(simulation, recorder, duration)
        _finish(simulation, recorder, writer)
    progress.finished()

    # Read once, since other hosts may not see the file yet, or at all
    with fail_together(comm):
        run = None if writer is None else open_run(writer.path)
    return comm.bcast(run)


def _variant(backend: str, precision: str, threads: int, points: FixedPoint) -> str:
    """Return the name of the kind of run that needs the same compiled kernels."""
    forms = sorted({w.form.name for w in points.weights})
    return "-".join([backend, precision, "team" if threads > 1 else "alone", *forms])


def _require_agreement(comm: Comm, network: Network, points: FixedPoint, dt: float) -> None:
    """Raise `ModelError` unless all ranks describe the same model, with the same tables."""
    own = digest_json({"network": network.describe(), "dt": dt, "weights": points.digest()})
    others = [rank for rank, digest in enumerate(comm.allgather(own)) if digest != own]
    require(
        not others,
        f"Network: the description on rank {comm.rank}",
        f"another than on rank {others[0] if others else 0}",
        "the same on all ranks",
        "Draw random numbers of the model with a fixed seed, and use processors of one kind.",
    )


def _report_build(simulation: Simulation) -> None:
    """Compile, wait for all ranks, and say what was built."""
    simulation.warm_up()
    synapses = np.array([sum(s.n_synapses for s in simulation.shards)], dtype=np.int64)
    total = int(simulation.comm.allreduce_sum(synapses)[0])
    seconds = simulation.timers.seconds["build"]
    simulation.progress.built(seconds, simulation.network.n_neurons, total)


def _run(simulation: Simulation, recorder: Recorder, duration: float) -> None:
    """Run with timers, in pieces after which progress is reported."""
    timers, progress, dt = simulation.timers, simulation.progress, simulation.clock.dt
    steps = simulation.clock.steps(duration, "duration")
    piece = max(simulation.epoch_steps, round(_FLUSH_INTERVAL / dt))
    progress.running(0.0)
    with timers("run"):
        for epoch in epochs(0, steps, piece):
            simulation.run(epoch.steps * dt, recorder)
            progress.running(epoch.end * dt)
        recorder.close()


def _finish(simulation: Simulation, recorder: Recorder, writer: RunWriter | None) -> None:
    """Write the results of the run: timers, and what each rank owned."""
    comm, shards, timers = simulation.comm, simulation.shards, simulation.timers
    timers.add("record", recorder.seconds)
    for phase, seconds in simulation.backend.phase_seconds().items():
        timers.add(phase, seconds)
    exchange = simulation.exchange
    timers.add("exchange", exchange.seconds * (1.0 - exchange.waiting_share))
    timers.add("waiting", exchange.seconds * exchange.waiting_share)
    gathered = timers.gather(comm)
    n_synapses, nbytes = sum(s.n_synapses for s in shards), sum(s.nbytes for s in shards)
    owned = comm.gather((simulation.neurons.size, n_synapses, nbytes, peak_bytes()))
    with fail_together(comm):
        if writer is not None:
            names = ("n_neurons", "n_synapses", "bytes", "peak_bytes")
            columns = np.array(owned, dtype=np.int64).T
            writer.finish(
                recorder.spike_counts, gathered or {}, dict(zip(names, columns, strict=True))
            )
