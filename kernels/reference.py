"""The reference backend: plain NumPy, written to be read, and the oracle for all others.

It scatters every spike into a ring buffer at once, where the fast backends wait until a synapse
is due, and it loops over spikes in Python. Use it for small networks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.discretization.fixed_point import WeightForm
from simcore.kernels.backend import Backend, Probe
from simcore.kernels.columns import Places, refractory_of, resting_values
from simcore.kernels.neuron_tables import make_neuron_tables
from simcore.kernels.poisson_groups import WORDS_PER_DRAW
from simcore.kernels.segments import SOURCE
from simcore.language.interpreter import Moment, advance
from simcore.numerics import random
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import GID_BITS, Spikes
from simcore.shards.neuron_state import NeuronState
from simcore.shards.shard import Shard, SynapseTable
from simcore.shards.shard_spec import Inventory


class ReferenceBackend(Backend):
    """See `Backend`."""

    name = "reference"

    def __init__(
        self, shard: Shard, probes: tuple[Probe, ...] = (), precision: str = "float64"
    ) -> None:
        super().__init__(shard, probes, precision)
        self._shard = shard
        self.plan = make_neuron_tables(shard, self.dtype)
        self.places = Places(self.plan.segments, self.plan)
        self.flat = self.places.flat(self.plan.start, self.dtype)
        self.refractory = refractory_of(self.plan.start)
        self.read = [
            (self.places.of_column(p.lids, p.column), resting_values(shard, p, self.dtype))
            for p in probes
        ]
        self.ring = np.zeros(
            (shard.max_delay + 1, self.plan.n_receptors, shard.neurons.size), dtype=np.int64
        )
        self.sampled: list[list[NDArray[np.floating]]] = [[] for _ in probes]

    def advance(self, epoch: Epoch, remote: Spikes) -> Spikes:
        """Advance the shard by an epoch."""
        for step, gid in zip(remote.steps, remote.gids, strict=True):
            self._deliver(int(step), int(gid), epoch.begin)
        words = [np.zeros(0, dtype=np.int64)]
        for step in range(epoch.begin, epoch.end):
            lids = self._step(step)
            gids = self.shard.neurons.gids[lids]
            for gid in gids:
                self._deliver(step, int(gid), step + 1)
            words.append((step - epoch.begin) << GID_BITS | gids)
        return Spikes(epoch.begin, np.concatenate(words))

    def inventory(self) -> list[Inventory]:
        """Return the synapses in numbers."""
        return [self._shard.inventory()]

    def samples(self) -> list[NDArray[np.floating]]:
        """Return and forget what was sampled."""
        sizes = [p.lids.size for p in self.probes]
        taken = [
            np.array(rows, dtype=self.dtype).reshape(len(rows), size)
            for rows, size in zip(self.sampled, sizes, strict=True)
        ]
        self.sampled = [[] for _ in self.probes]
        return taken

    def state(self) -> NeuronState:
        """Return the state of all neurons."""
        return self.places.state(self.flat, self.refractory)

    def restore(self, state: NeuronState, step: int, recent: Spikes) -> None:
        """Go on from a state."""
        own = state.of(self.shard.neurons.gids)
        self.flat[:] = self.places.flat(own, self.dtype)
        self.refractory[:] = refractory_of(own)
        for earlier in range(step):
            self._change_currents(earlier)
        for emitted, gid in zip(recent.steps, recent.gids, strict=True):
            self._deliver(int(emitted), int(gid), step)

    def _deliver(self, step: int, gid: int, earliest: int) -> None:
        """Add the synapses of one spike that are due in `earliest` or later to the input."""
        for table in self._shard.tables:
            for block in range(self.shard.blocks.size - 1):
                for channel, begin, end in table.runs_of(block, gid):
                    due = step + int(table.delays[channel])
                    if due < earliest:
                        continue
                    targets, weights = _synapses(table, channel, begin, end)
                    slot = self.ring[due % len(self.ring), table.receptors[channel]]
                    np.add.at(slot, self.shard.blocks[block] + targets, weights)

    def _step(self, step: int) -> NDArray[np.int64]:
        """Advance all neurons by one step; return those that spiked."""
        self._change_currents(step)
        spiking = [lid for s, lid in zip(*self.plan.trains, strict=True) if s == step]
        slot = self.ring[step % len(self.ring)]
        spiking += self._poisson(step, slot)
        for k, segment in enumerate(self.plan.segments):
            if segment["kind"] != SOURCE:
                spiking += list(self._update(k, step, slot))
        slot[:] = 0
        for probe, rows, (places, resting) in zip(
            self.probes, self.sampled, self.read, strict=True
        ):
            if (step + 1) % probe.interval == 0:
                rows.append(self._values(places) + resting)
        return np.sort(np.array(spiking, dtype=np.int64))

    def _values(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """Return a column, see `Places.of_column`."""
        if places.min(initial=0) < 0:
            return self.refractory[-1 - places]
        return self.flat[places]

    def _change_currents(self, step: int) -> None:
        steps, places, values = self.plan.changes
        now = steps == step
        self.plan.numbers[places[now]] = values[now]

    def _poisson(self, step: int, slot: NDArray[np.int64]) -> list[int]:
        """Add Poisson input; return the sources that emit, once per event."""
        spiking: list[int] = []
        for group in self.plan.groups:
            if not group["start"] <= step < group["stop"]:
                continue
            lids = np.arange(group["begin"], group["end"])
            if group["first_member"] >= 0:
                listed = group["first_member"]
                lids = self.plan.members[listed : listed + group["n_members"]]
            index, word = divmod(step, WORDS_PER_DRAW)
            gids = self.shard.neurons.gids[lids]
            words = random.draw(self.shard.network.seed, int(group["stream"]), gids, index)
            first = group["first_threshold"]
            thresholds = self.plan.thresholds[first : first + group["n_thresholds"]]
            counts = group["smallest"] + np.searchsorted(thresholds, words[:, word], side="right")
            if group["emits"]:
                spiking += list(np.repeat(lids, counts))
            else:
                slot[group["receptor"], lids] += counts * group["weight"]
        return spiking

    def _update(self, k: int, step: int, slot: NDArray[np.int64]) -> NDArray[np.int64]:
        """Advance the neurons of a segment by one step; return those that spiked, once a spike."""
        segment = self.plan.segments[k]
        program = self.plan.programs[segment["kind"]]
        begin, first = segment["begin"], segment["first_number"]
        own = slice(begin, segment["end"])
        varying = self._varying(segment)
        counts = advance(
            program,
            self.plan.numbers[first : first + len(program.numbers)],
            [self.flat[column] for column in self.places.columns(k)],
            self.refractory[own],
            varying.pop(len(program.numbers), segment["duration"]),
            [slot[r, own].astype(np.int32) for r in range(program.n_receptors)],
            Moment(self.shard.network.seed, self.shard.neurons.gids[own], step),
            varying,
        )
        return begin + np.repeat(np.arange(counts.size), counts)

    def _varying(self, segment: np.void) -> dict[int, NDArray[np.floating]]:
        """Return by place the numbers of a segment that differ from neuron to neuron."""
        size, first = segment["end"] - segment["begin"], segment["first_value"]
        which = sorted(self.plan.varying[segment["kind"]])
        rows = self.plan.numbers[first : first + len(which) * size].reshape(-1, size)
        return dict(zip(which, rows, strict=True))


def _synapses(
    table: SynapseTable, channel: int, begin: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return targets within the block, and weights in quanta, of a run."""
    words = table.words[begin:end]
    if table.form is WeightForm.DRAWN:
        weights = (words >> 16).astype(np.uint16).astype(np.int16).astype(np.int64) << table.shift
        return (words & 0xFFFF).astype(np.int64), weights
    if table.form is WeightForm.EXACT:
        return words.astype(np.int64), table.exact[begin:end].astype(np.int64)
    constant = np.full(words.size, table.weights[channel], dtype=np.int64)
    return words.astype(np.int64), constant
