"""The CPU backend: Numba kernels."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from simcore.discretization.fixed_point import WeightForm
from simcore.kernels.backend import Backend, Probe
from simcore.kernels.columns import Places, refractory_of, resting_values
from simcore.kernels.cpu import advance
from simcore.kernels.cpu.calendar import CHUNK, make_calendar
from simcore.kernels.cpu.deliver import SynapseArrays, Visits
from simcore.kernels.cpu.models import load_update
from simcore.kernels.cpu.team import ThreadTeam, make_teams
from simcore.kernels.neuron_tables import NeuronTables, make_neuron_tables, most_spikes
from simcore.kernels.poisson_groups import WORDS_PER_DRAW
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import GID_BITS, NO_SPIKES, Spikes
from simcore.shards.neuron_state import NeuronState
from simcore.shards.shard import Shard
from simcore.shards.shard_spec import Inventory

NOBODY = np.zeros(0, dtype=np.int64)

_SAMPLE_ROWS = 64


class CpuBackend(Backend):
    """See `Backend`."""

    name = "cpu"

    def __init__(
        self, shard: Shard, probes: tuple[Probe, ...] = (), precision: str = "float64"
    ) -> None:
        super().__init__(shard, probes, precision)
        self._shard = shard
        neuron_tables = make_neuron_tables(shard, self.dtype)
        self._places = Places(neuron_tables.segments, neuron_tables)
        self._tables = _tables(shard)
        kinds = zip(neuron_tables.programs, neuron_tables.varying, strict=True)
        self._updates = [load_update(program, precision, varying) for program, varying in kinds]
        updates = np.array([u.address for u in self._updates], dtype=np.int64)
        self._constants = _constants(shard, neuron_tables, probes, self._places, updates)
        self.most_spikes = self._constants.most_spikes
        self._state = _state(shard, neuron_tables, self._places, self.most_spikes, self.dtype)
        calendar = make_calendar(64, len(WeightForm), shard.blocks.size - 1, shard.max_delay)
        self.team = make_teams(1, 1, 2 * self.most_spikes + 64)[0]
        self._number = 0
        self._seconds = 0.0
        self._sizes = np.array([p.lids.size for p in probes], dtype=np.int64)
        self._make_samples(np.full(len(probes), _SAMPLE_ROWS, dtype=np.int64))
        self._compiled = advance.make_compiled_shard(
            self._tables, self._constants, self._state, calendar, self._samples,
            (self._rows_at, self._free), self.team,
        )  # fmt: skip

    def advance(self, epoch: Epoch, remote: Spikes) -> Spikes:
        """Advance the shard by an epoch."""
        start = time.perf_counter()
        self.reserve_samples(epoch)
        pieces = []
        step = epoch.begin
        while step < epoch.end:
            self._number += 1
            begin = step
            step, count = self.run(self._number, begin, epoch.end, remote)
            words = self.team.words[self._number & 1, 0, :count]
            later = begin - epoch.begin
            pieces.append(words + (later << GID_BITS) if later else words.copy())
            remote = NO_SPIKES
        self._seconds += time.perf_counter() - start
        return Spikes(epoch.begin, pieces[0] if len(pieces) == 1 else np.concatenate(pieces))

    def run(self, number: int, begin: int, end: int, remote: Spikes) -> tuple[int, int]:
        """Advance in compiled code; return where it stopped and how many spikes there are."""
        return advance.advance(self._compiled, number, begin, end, remote.origin, remote.words)

    def serve(self, last: int) -> None:
        """Advance whenever the first thread of the team asks, until it does no longer."""
        advance.serve(self._compiled, last)

    def join(self, team: ThreadTeam) -> None:
        """Become part of a team."""
        self.team = team
        advance.set_team(self._compiled, team)

    def inventory(self) -> list[Inventory]:
        """Return the synapses in numbers."""
        return [self._shard.inventory()]

    def samples(self) -> list[NDArray[np.floating]]:
        """Return and forget what was sampled."""
        taken = []
        used = self._rows - self._free
        for size, first, rows in zip(self._sizes, self._first, used, strict=True):
            taken.append(self._samples[first : first + rows * size].reshape(rows, size).copy())
        self._rows_at[:], self._free[:] = self._first, self._rows
        return taken

    def not_finite(self) -> dict[str, NDArray[np.int64]]:
        """Return the global ids of neurons with a column that is not a finite number, by column."""
        # A sum is enough to find out that nothing is wrong
        return {} if np.isfinite(self._state.columns.sum()) else super().not_finite()

    def state(self) -> NeuronState:
        """Return the state of all neurons."""
        return self._places.state(self._state.columns, self._state.refractory)

    def restore(self, state: NeuronState, step: int, recent: Spikes) -> None:
        """Go on from a state."""
        own = state.of(self.shard.neurons.gids)
        self._state.columns[:] = self._places.flat(own, self.dtype)
        self._state.refractory[:] = refractory_of(own)
        advance.restore(self._compiled, step, recent.origin, recent.words)

    def cycles(self) -> NDArray[np.int64]:
        """Return the cycles spent so far in delivery, update and waiting for other threads."""
        phases = [advance.DELIVER_CYCLES, advance.UPDATE_CYCLES, advance.WAIT_CYCLES]
        return self._state.cursors[phases]

    def phase_seconds(self) -> dict[str, float]:
        """Return the time spent so far in delivery and update [s]."""
        seconds = share_seconds(self._seconds, self.cycles())
        return {phase: seconds[phase] for phase in ("deliver", "update")}

    def warm_up(self) -> None:
        """Compile the kernels."""
        self.run(0, 0, 0, NO_SPIKES)

    def reserve_samples(self, epoch: Epoch) -> None:
        """Make room for the samples of an epoch."""
        if not self.probes:
            return
        due = [epoch.end // p.interval - epoch.begin // p.interval for p in self.probes]
        if (np.array(due) <= self._free).all():
            return
        kept = [
            self._samples[first:place].copy()
            for first, place in zip(self._first, self._rows_at, strict=True)
        ]
        used = self._rows - self._free
        self._make_samples(2 * (used + np.array(due)))
        for k, values in enumerate(kept):
            self._samples[self._first[k] : self._first[k] + values.size] = values
        self._rows_at += used * self._sizes
        self._free -= used
        advance.set_samples(self._compiled, self._samples, (self._rows_at, self._free))

    def _make_samples(self, rows: NDArray[np.int64]) -> None:
        """Make empty buffers of that many rows for each probe."""
        ends = np.cumsum(rows * self._sizes)
        self._rows, self._free = rows, rows.copy()
        self._first = ends - rows * self._sizes
        self._rows_at = self._first.copy()
        self._samples = np.zeros(int(ends[-1]) if ends.size else 0, dtype=self.dtype)


def share_seconds(seconds: float, cycles: NDArray[np.int64]) -> dict[str, float]:
    """Return the parts of a time by the cycles of delivery, update and waiting."""
    deliver, update, waiting = seconds * cycles / max(1, int(cycles.sum()))
    return {"deliver": float(deliver), "update": float(update), "waiting": float(waiting)}


def _tables(shard: Shard) -> advance.SynapsesByForm:
    """Return the synapses by form; a table without channels where there are none of a form."""
    present = {t.form: t for t in shard.tables}
    none, rows = np.zeros(0, dtype=np.int32), np.zeros((1, 2), dtype=np.uint32)
    sources, runs = np.zeros((0, 0, 2), dtype=np.uint64), np.zeros(0, dtype=np.uint32)
    short, long = np.zeros(0, dtype=np.uint16), np.zeros(0, dtype=np.uint32)
    empty = {
        form: SynapseArrays(none, none, none, sources, rows, runs, words, none, 0)
        for form, words in (
            (WeightForm.CONSTANT, short),
            (WeightForm.DRAWN, long),
            (WeightForm.EXACT, short),
        )
    }
    full = {
        form: SynapseArrays(
            t.delays, t.receptors, t.weights, t.sources, t.rows, t.runs, t.words, t.exact, t.shift
        )
        for form, t in present.items()
    }
    return advance.SynapsesByForm(*(full.get(form, empty[form]) for form in WeightForm))


def _constants(
    shard: Shard,
    neuron_tables: NeuronTables,
    probes: tuple[Probe, ...],
    places: Places,
    updates: NDArray[np.int64],
) -> advance.Constants:
    per_block = np.arange(shard.blocks.size)
    most = most_spikes(shard)
    steps, changed, values = neuron_tables.changes
    empty = np.zeros(0, dtype=np.int64)
    sizes = [p.lids.size for p in probes]
    return advance.Constants(
        seed=np.uint64(shard.network.seed),
        gids=shard.neurons.gids,
        blocks=shard.blocks,
        most_spikes=most,
        rows_per_spike=len(shard.tables) * (shard.blocks.size - 1),
        segments=neuron_tables.segments,
        segment_bounds=np.searchsorted(neuron_tables.segments["block"], per_block),
        updates=updates,
        draws=np.array([p.n_draws > 0 for p in neuron_tables.programs], dtype=np.bool_),
        numbers=neuron_tables.numbers,
        values=neuron_tables.numbers,
        change_steps=steps,
        change_places=changed,
        change_values=values,
        groups=neuron_tables.groups,
        group_bounds=np.searchsorted(neuron_tables.groups["block"], per_block),
        thresholds=neuron_tables.thresholds,
        members=neuron_tables.members,
        train_steps=neuron_tables.trains[0],
        train_lids=neuron_tables.trains[1],
        probe_places=np.concatenate([empty, *[places.of_column(p.lids, p.column) for p in probes]]),
        probe_resting=np.concatenate(
            [
                neuron_tables.numbers[:0],
                *[resting_values(shard, p, neuron_tables.numbers.dtype) for p in probes],
            ]
        ),
        probe_bounds=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        probe_intervals=np.array([p.interval for p in probes], dtype=np.int64),
    )


def _state(
    shard: Shard, neuron_tables: NeuronTables, places: Places, most: int, real: np.dtype
) -> advance.StepState:
    n = shard.neurons.size
    largest = int(np.diff(shard.blocks).max())
    spiked = np.zeros((n + 7) // 8 * 8, dtype=np.uint8)
    groups = neuron_tables.groups
    all_between = groups["end"] - groups["begin"]
    sizes = np.where(groups["first_member"] < 0, all_between, groups["n_members"])

    # Groups of one process, which are never on together, share their place
    _, alike, which = np.unique(groups[["stream", "begin"]], return_index=True, return_inverse=True)
    sizes = sizes[alike]
    return advance.StepState(
        columns=places.flat(neuron_tables.start, real),
        refractory=refractory_of(neuron_tables.start),
        arrived=np.zeros((neuron_tables.n_receptors, largest), dtype=np.int32),
        spiked=spiked,
        spiked_eights=spiked.view(np.uint64),
        counts=np.zeros((WORDS_PER_DRAW, int(sizes.sum())), dtype=np.uint16),
        count_offsets=(np.cumsum(sizes) - sizes)[which.ravel()],
        count_index=np.full(groups.size, -1, dtype=np.int64),
        found=np.zeros(most, dtype=np.int64),
        cursors=np.zeros(advance.N_CURSORS, dtype=np.int64),
        visits=Visits(*(np.zeros(CHUNK, dtype=np.int64) for _ in range(3))),
    )
