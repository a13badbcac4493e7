"""The CUDA backend: launches of many steps, whose results come back while others are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from simcore.kernels.backend import Backend, Probe
from simcore.kernels.columns import refractory_of
from simcore.kernels.cuda import structs
from simcore.kernels.cuda.device import Device, Kernel
from simcore.kernels.cuda.device_shard import DeviceShard
from simcore.kernels.cuda.launch_queue import DEPTH, LaunchQueue
from simcore.kernels.cuda.models import model_set
from simcore.kernels.cuda.team import THREADS
from simcore.kernels.neuron_tables import make_neuron_tables
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import GID_BITS, NO_SPIKES, Spikes
from simcore.shards.neuron_state import NeuronState
from simcore.shards.shard import Shard
from simcore.shards.shard_spec import Inventory, ShardSpec

# Steps of a launch at most, so that spikes come back while others are computed
LAUNCH_STEPS = 250

# Spikes from elsewhere for which there is room at first
_FEWEST_REMOTE = 64


class CudaBackend(Backend):
    """See `Backend`; draws the synapses on the device, and reports how far that is."""

    name = "cuda"

    runs_beside_host = True

    def __init__(
        self,
        shard: ShardSpec,
        probes: tuple[Probe, ...] = (),
        precision: str = "float64",
        report: Callable[[float], None] = lambda share: None,
    ) -> None:
        assert not isinstance(shard, Shard), "the device draws synapses itself: give it a ShardSpec"
        super().__init__(shard.built(), probes, precision)
        neuron_tables = make_neuron_tables(shard, self.dtype)
        self._device = Device(precision, model_set(neuron_tables.programs, neuron_tables.varying))

        # Samples have room for one epoch
        self.runs_ahead = not probes
        self._resident = DeviceShard(self._device, shard, neuron_tables, probes, report)
        self._buffers = self._resident.buffers
        self._launches = LaunchQueue(self._device, self._kernel(), self._resident.n_words)
        self._make_remote(_FEWEST_REMOTE)
        self._sampled: list[list[NDArray[np.floating]]] = [[] for _ in probes]
        self._epochs: deque[Epoch] = deque()
        self._emitted: list[Spikes] = [NO_SPIKES]
        self._seconds = {"update": 0.0, "deliver": 0.0, "copy": 0.0}

    def start(self, epoch: Epoch, remote: Spikes) -> None:
        """Begin to advance by an epoch, and return at once."""
        if not self._epochs:
            self._planned = self._reached = epoch.begin
            self._emitted = [Spikes(epoch.begin, NO_SPIKES.words)]
        elif epoch.begin != self._epochs[-1].end:
            raise RuntimeError("this simulation was interrupted, and cannot go on. Start another.")
        self._epochs.append(epoch)
        self._make_samples(epoch)
        if not self._launches.under_way:
            self._queue(self._send(remote))
        while self._planned < epoch.end and self._launches.under_way < DEPTH:
            self._queue()

    def finish(self) -> Spikes:
        """Return what the first of the epochs emitted, when it is over."""
        epoch, last = self._epochs[0], self._epochs[-1]
        while self._launches.under_way and (epoch is last or self._reached < epoch.end):
            report = self._launches.take()
            self._reached = report.step

            # Keep the device busy while the host sorts; a launch may end early, without room
            late = self._reached < last.end and not self._launches.under_way
            if self._planned < last.end or late:
                self._queue()
            self._emitted.append(Spikes(report.origin, np.sort(report.words)))
            for phase, seconds in report.seconds.items():
                self._seconds[phase] += seconds
        self._take_samples(epoch)
        self._epochs.popleft()
        return self._split(epoch)

    def _split(self, epoch: Epoch) -> Spikes:
        """Return what came back of an epoch, and keep the rest for the next."""
        words = np.concatenate(
            [s.words + ((s.origin - epoch.begin) << GID_BITS) for s in self._emitted]
        )
        n = int(np.searchsorted(words, epoch.steps << GID_BITS))
        self._emitted = [Spikes(epoch.begin, words[n:])]
        return Spikes(epoch.begin, words[:n])

    def advance(self, epoch: Epoch, remote: Spikes) -> Spikes:
        """Advance the shard by an epoch."""
        self.start(epoch, remote)
        return self.finish()

    def inventory(self) -> list[Inventory]:
        """Return the synapses in numbers."""
        return [self._resident.inventory]

    def samples(self) -> list[NDArray[np.floating]]:
        """Return and forget what was sampled."""
        sampled, self._sampled = self._sampled, [[] for _ in self.probes]
        return [
            np.concatenate([np.zeros((0, probe.lids.size), dtype=self.dtype), *rows])
            for probe, rows in zip(self.probes, sampled, strict=True)
        ]

    def state(self) -> NeuronState:
        """Return the state of all neurons."""
        places, n = self._resident.places, self.shard.neurons.size
        flat = self._buffers["columns"].read(places.size)
        return places.state(flat, self._buffers["refractory"].read(n))

    def restore(self, state: NeuronState, step: int, recent: Spikes) -> None:
        """Go on from a state."""
        own = state.of(self.shard.neurons.gids)
        self._buffers["columns"].write(self._resident.places.flat(own, self.dtype))
        self._buffers["refractory"].write(refractory_of(own))
        at = structs.CONTROL_FIELDS.index("step")
        self._buffers["control"].write(np.array([step], dtype=np.int64), at)
        self.advance(Epoch(step, step), recent)

    def warm_up(self) -> None:
        """Launch the kernel once, for no step."""
        self.advance(Epoch(0, 0), NO_SPIKES)

    def phase_seconds(self) -> dict[str, float]:
        """Return the time on the device so far in update and delivery, and of copies [s]."""
        return dict(self._seconds)

    def _kernel(self) -> Kernel:
        """Return what advances the shard."""
        team = self._resident.team
        if team is None:
            return self._device.grid()
        return self._device.team(self._resident.n_parts, THREADS, team.shared_bytes)

    def _queue(self, remote: tuple[int, int, int] = (0, 0, 0)) -> None:
        """Queue a launch, which goes on where the one before ends."""
        ends = [epoch.end for epoch in self._epochs]
        border = next((end for end in ends if end > self._planned), ends[-1])
        self._planned = min(self._planned + LAUNCH_STEPS, border)
        origin = self._epochs[0].begin
        self._launches.start(self._resident.struct, origin, self._planned, remote)

    def _send(self, remote: Spikes) -> tuple[int, int, int]:
        """Send spikes from elsewhere to the device; return origin, address and number."""
        if remote.size > self._remote.size:
            self._make_remote(2 * remote.size)
        self._pinned[: remote.size] = remote.words
        self._remote.send(self._pinned[: remote.size])
        return remote.origin, self._remote.address, remote.size

    def _make_remote(self, n_spikes: int) -> None:
        """Make room for so many spikes from elsewhere, which may have to wait for another round."""
        self._remote = self._device.zeros(n_spikes, np.int64)
        self._pinned = self._device.pinned(n_spikes, np.int64)
        if self._resident.team is None:
            self._resident.make_left(n_spikes)

    def _make_samples(self, epoch: Epoch) -> None:
        """Make room for the samples of an epoch."""
        if not self.probes:
            return
        rows = [epoch.end // p.interval - epoch.begin // p.interval for p in self.probes]
        sizes = [n * p.lids.size for n, p in zip(rows, self.probes, strict=True)]
        self._places = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._buffers["probe_places"].write(self._places[:-1])
        if self._places[-1] > self._buffers["samples"].size:
            self._resident.replace("samples", 2 * int(self._places[-1]), self.dtype)

    def _take_samples(self, epoch: Epoch) -> None:
        """Keep the samples of an epoch."""
        if not self.probes:
            return
        values = self._buffers["samples"].read(int(self._places[-1]))
        for probe, first, kept in zip(self.probes, self._places, self._sampled, strict=False):
            rows = epoch.end // probe.interval - epoch.begin // probe.interval
            size = probe.lids.size
            kept.append(values[first : first + rows * size].reshape(rows, size))
