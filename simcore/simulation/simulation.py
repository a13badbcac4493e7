"""A simulation: the shard of a rank, and the loop that advances it."""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.description.network import Network
from simcore.discretization.fixed_point import FixedPoint, fixed_point
from simcore.discretization.notes import notes_on
from simcore.numerics.clock import Clock, Epoch, epochs
from simcore.numerics.spikes import GID_BITS, NO_SPIKES, Spikes
from simcore.services.agreement import require_same, require_same_network, require_same_version
from simcore.services.comm import Comm, world
from simcore.services.digest import digest_json
from simcore.services.errors import require
from simcore.services.failure import fail_together
from simcore.services.memory import GpuShare, require_memory, require_memory_of_gpus
from simcore.services.oversubscription import warn_of_oversubscription
from simcore.services.progress import Progress
from simcore.services.timers import Timers
from simcore.shards.gpu_synapse_layout import LAUNCH_BYTES
from simcore.shards.local_neurons import LocalNeurons
from simcore.shards.recording_buffers import longest_epoch
from simcore.shards.shard_spec import ShardSpec
from simcore.simulation.derived_digest import digest_numbers
from simcore.simulation.options import BuildOptions, takes

if TYPE_CHECKING:
    from simcore.io.recorder import Recorder
    from simcore.kernels.backend import Backend
    from simcore.partition import Partition
    from simcore.shards.neuron_state import NeuronState


class Simulation:
    """The shard of this rank, ready to advance.

    Parameters
    ----------
    network : Network
        The model, equal on all ranks.
    comm : Comm, optional
        The ranks; those this process was started with if left out.
    progress : Progress, optional
        Where to report how far it is.
    **how
        Options of `BuildOptions`: `dt`, `backend`, `partitioner`, `precision`, `threads`.

    Attributes
    ----------
    shards : tuple of ShardSpec
        What this rank owns, one shard for each thread.
    inventory : list of Inventory
        Their synapses in numbers.
    neurons : LocalNeurons
        The neurons of all of them.
    backend : Backend
        The state of the shards.
    epoch_steps : int
        Steps between two exchanges of spikes: the shortest delay of a synapse that crosses ranks,
        or half of it where spikes travel while a device works; fewer where more would be recorded
        than may wait for a flush.
    overlaps : bool
        Whether the devices of all ranks work beside their hosts.
    step : int
        The next step.
    n_epochs : int
        Epochs so far.
    notes : list of str
        What was taken otherwise than it was described.
    model_digest : str
        Digest of the description of the model, and of the numbers that follow from it.
    """

    @takes(BuildOptions)
    def __init__(
        self,
        network: Network,
        comm: Comm | None = None,
        progress: Progress | None = None,
        **how: Any,
    ) -> None:
        from simcore.simulation.spike_exchange import SpikeExchange

        self.network, self.comm = network, world() if comm is None else comm
        self.progress = progress or Progress(0.0, enabled=False)
        options = self._checked(BuildOptions(**how))
        self.clock, self.timers = Clock(options.dt), Timers()
        with self.timers("build"):
            division = self._divide(options)
            self._require_room(options, division)
            self._tell(options, division.points)
            self._build(options, division)
        self.exchange = SpikeExchange(self.comm)
        self._choose_epoch()
        self._arrived = NO_SPIKES
        self.step = self.n_epochs = 0
        self._recent: deque[Spikes] = deque()

    def _checked(self, options: BuildOptions) -> BuildOptions:
        """Return the options with the backend chosen; they are right, and those of all ranks."""
        from simcore.kernels import choose_backend

        with fail_together(self.comm):
            options.check()
            backend, missing = choose_backend(options.backend, options.threads)
            require(bool(self.network.populations), "Network: populations", 0, "at least one")
        require_same_version(self.comm)
        require_same(self.comm, options.shared())
        if missing:
            self.progress.message(f"on the CPU, because {missing}")
        return replace(options, backend=backend)

    def _divide(self, options: BuildOptions) -> _Division:
        """Return who owns what, after all ranks have found the same."""
        from simcore.partition import share_out

        network, comm, dt = self.network, self.comm, options.dt
        threads_of = [int(n) for n in comm.allgather(options.threads)]

        # In a rehearsal the others are not there, and taken to be like this one
        threads_of += threads_of[:1] * (comm.size - len(threads_of))
        with fail_together(comm):
            points = fixed_point(network, dt)
            division, parts = share_out(network, threads_of, comm.rank, options.partitioner)
            described = {
                "network": network.describe(),
                "dt": dt,
                "weights": points.digest(),
                "numbers": digest_numbers(network, points, dt),
            }
        self.model_digest = digest_json(described)
        require_same_network(comm, self.model_digest, division.digest())
        return _Division(points, division, parts)

    def _require_room(self, options: BuildOptions, division: _Division) -> None:
        """Raise `CapacityError` on all ranks unless there is memory for what they own."""
        from simcore.estimates.expected_synapses import Expectation
        from simcore.estimates.gpu_memory import estimate_device
        from simcore.estimates.host_memory import estimate, neuron_bytes

        own = [division.partition.owned(part) for part in division.parts]

        # Neurons alone may be too many, even for the blocks that an estimate counts
        require_memory(self.comm, platform.node(), neuron_bytes(own))
        with fail_together(self.comm):
            expectation = Expectation(self.network, division.points, options.dt)
            needed = estimate(expectation, own, options.backend).total
            on_gpu = None
            if options.backend == "cuda":
                device = estimate_device(expectation, own[0], options.precision)
                on_gpu = device.total + LAUNCH_BYTES
            # Large where there are many projections
            del expectation
        _require_memory(self.comm, needed, on_gpu)

    def _tell(self, options: BuildOptions, points: FixedPoint) -> None:
        """Say what a user should know before the build."""
        from simcore.numerics.jit import is_compiled

        warn_of_oversubscription(self.comm, options.threads, self.progress)
        self.notes = notes_on(self.network, self.clock, points)
        for note in self.notes if self.comm.rank == 0 else ():
            self.progress.warn(f"note: {note}")
        self._variant = _variant(options, points)
        if not is_compiled(self._variant):
            self.progress.message("compiling kernels, once for this version and machine")

    def _build(self, options: BuildOptions, division: _Division) -> None:
        """Build the shards and their backend; a GPU draws the synapses itself."""
        from simcore.construction.build import build_shards
        from simcore.construction.specification import specify_shards
        from simcore.io.recorder import probes
        from simcore.kernels import Probe, make_threaded_backend

        network, building = self.network, self.progress.building
        partition, parts, points = division.partition, division.parts, division.points
        with fail_together(self.comm):
            gids = np.sort(np.concatenate([partition.gids(part) for part in parts]))
            self.neurons = LocalNeurons(gids)
            shards: Sequence[ShardSpec] = (
                specify_shards(network, partition, parts, options.dt, points)
                if options.backend == "cuda"
                else build_shards(network, partition, parts, options.dt, building, points)
            )
            sampled = [
                tuple(Probe(*p) for p in probes(network, shard.neurons, self.clock))
                for shard in shards
            ]
            self.backend: Backend = make_threaded_backend(
                options.backend, shards, sampled, options.precision, building
            )
            self.inventory = self.backend.inventory()
            self.shards = tuple(shard.built() for shard in shards)

    def _choose_epoch(self) -> None:
        """Choose how often ranks meet, from the fastest synapse that crosses them."""
        comm, backend = self.comm, self.backend
        shortest = comm.allreduce_min(min(own.min_remote_delay for own in self.inventory))
        overlaps = backend.runs_beside_host and shortest >= 2
        self.overlaps_host = bool(comm.allreduce_min(int(overlaps)))
        ahead = self.overlaps_host and backend.runs_ahead and comm.size == 1
        self._depth = 2 if ahead else 1
        unbounded = (comm.size == 1 or shortest == 2**62) and not self.overlaps_host
        longest = longest_epoch(self.network, self.clock, unbounded)
        self.epoch_steps = min(shortest // 2 if self.overlaps_host else shortest, longest)

    def run(self, duration: float, recorder: Recorder | None = None) -> None:
        """Advance by a duration [ms], a multiple of dt and the same on all ranks.

        Raises
        ------
        ConfigError
            On all ranks, when it is not, or only some of them record.
        """
        with fail_together(self.comm):
            steps = self.clock.steps(duration, "duration")
        given = {"duration": duration, "whether a recorder is given": recorder is not None}
        require_same(self.comm, given, "Call `run` alike on all ranks.")
        self.advance(steps, recorder)

    def advance(self, steps: int, recorder: Recorder | None = None) -> None:
        """Advance by some steps, the same on all ranks; `run` compares them.

        The order within an epoch is

        1. ``exchange.wait``   the spikes that other ranks emitted in the last epoch are here,
        2. ``backend.start``   they and the shard's own are delivered when they are due; the
           neurons take all steps of the epoch,
        3. ``recorder.record`` the spikes of the last epoch are kept, beside 2 on a device,
        4. ``backend.finish``  the epoch is over,
        5. ``exchange.start``  its spikes are handed over, to be sent by the next ``wait``.

        No synapse that crosses ranks is faster than an epoch, so what arrives in 1 is never late.
        Where a device works beside the host, 1 comes after 2: spikes travel meanwhile, and are
        delivered an epoch later. No synapse that crosses ranks is then faster than two epochs.
        A single rank with a device that runs ahead begins the next epoch before 4.
        """
        exchange, backend = self.exchange, self.backend
        end = self.step + steps
        begun: deque[Epoch] = deque()
        last: tuple[Epoch, Spikes] | None = None

        def finish() -> tuple[Epoch, Spikes]:
            """Keep what was emitted last, and wait for the end of the oldest epoch."""
            if recorder is not None and last is not None:
                recorder.record(*last, exchange.n_spikes)
            epoch, spikes = begun.popleft(), backend.finish()
            exchange.start(spikes)
            self._remember(spikes, epoch.end)
            self.step = epoch.end
            self.n_epochs += 1
            return epoch, spikes

        for epoch in epochs(self.step, end, self.epoch_steps):
            if not self.overlaps_host:
                self._arrived = exchange.wait()
            backend.start(epoch, self._arrived)
            begun.append(epoch)
            if self.overlaps_host:
                self._arrived = exchange.wait()
            if len(begun) == self._depth:
                last = finish()
        while begun:
            last = finish()
        if recorder is not None and last is not None:
            recorder.record(*last, exchange.n_spikes)

    @property
    def max_delay(self) -> int:
        """Longest delay in the network [steps]."""
        return self.shards[0].max_delay

    def recent(self) -> Spikes:
        """Return the spikes of this rank that may still be under way, sorted."""
        origin = max(0, self.step - self.max_delay)
        found = [NO_SPIKES.words]
        for spikes in self._recent:
            words = spikes.words + ((spikes.origin - origin) << GID_BITS)
            found.append(words[words >= 0])
        return Spikes(origin, np.sort(np.concatenate(found)))

    def restore(self, state: NeuronState, step: int, recent: Spikes) -> None:
        """Go on from the state before a step; called before the first `run`.

        Parameters
        ----------
        state : NeuronState
            Of at least the neurons of this rank.
        step : int
            The next step.
        recent : Spikes
            What all neurons of the network emitted in the last `max_delay` steps before.
        """
        self.backend.restore(state, step, recent)
        own = np.isin(recent.gids, self.neurons.gids)
        self.step = step
        self._recent = deque([Spikes(recent.origin, recent.words[own])])

    def _remember(self, spikes: Spikes, end: int) -> None:
        """Keep spikes as long as they may be under way."""
        self._recent.append(spikes)
        while len(self._recent) > 1 and self._recent[1].origin <= end - self.max_delay:
            self._recent.popleft()

    def warm_up(self) -> None:
        """Compile everything before the clock runs, and meet the other ranks once."""
        from simcore.numerics.jit import mark_compiled

        self.backend.warm_up()
        self.exchange.warm_up()
        mark_compiled(self._variant)


@dataclass(frozen=True)
class _Division:
    """Who owns what.

    Parameters
    ----------
    points : FixedPoint
        Weights as whole numbers.
    partition : Partition
        The division.
    parts : range
        The parts of this rank, one for each thread.
    """

    points: FixedPoint
    partition: Partition
    parts: range


def _variant(options: BuildOptions, points: FixedPoint) -> str:
    """Return the name of the kind of run that needs the same compiled kernels."""
    forms = sorted({w.form.name for w in points.weights})
    team = "team" if options.threads > 1 else "alone"
    return "-".join([options.backend, options.precision, team, *forms])


def _require_memory(comm: Comm, needed: float, on_gpu: float | None) -> None:
    """Raise `CapacityError` on all ranks unless hosts and GPUs have room for their ranks.

    Parameters
    ----------
    comm : Comm
        The ranks; some may have a GPU, and others none.
    needed : float
        What this rank needs of its host [B].
    on_gpu : float or None
        What it needs of its GPU [B]; None without one.
    """
    from simcore.kernels import free_gpu_bytes, name_of_gpu

    host, share = platform.node(), None
    require_memory(comm, host, needed)

    # The driver takes memory for each process: let it, on all ranks, before asking what is free
    with fail_together(comm):
        if on_gpu is not None:
            free_gpu_bytes()
    with fail_together(comm):
        if on_gpu is not None:
            share = GpuShare(name_of_gpu(), on_gpu, free_gpu_bytes())
    require_memory_of_gpus(comm, host, share)
