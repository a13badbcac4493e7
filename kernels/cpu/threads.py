"""The CPU backend on several threads: each advances a shard of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simcore.kernels.backend import Backend, Probe
from simcore.kernels.cpu.backend import CpuBackend, share_seconds
from simcore.kernels.cpu.team import break_up, call, is_broken, last_counts, make_teams
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import GID_BITS, NO_SPIKES, Spikes
from simcore.shards.neuron_state import NeuronState, join_states
from simcore.shards.shard import Shard
from simcore.shards.shard_spec import Inventory

# Largest number of steps in which all neurons may spike in each, between two meetings
_CROWDED_STEPS = 16


class ThreadedCpuBackend(Backend):
    """Several shards of one rank, each advanced by a thread of its own.

    The first thread is the caller's. See `simcore.kernels.cpu.team` for how they meet.

    Parameters
    ----------
    shards : sequence of Shard
        At least two.
    probes : sequence of tuple of Probe
        Of each shard: as many, with the same intervals.
    precision : {"float64", "float32"}
        Type of the state.
    """

    name = "cpu"

    def __init__(
        self,
        shards: Sequence[Shard],
        probes: Sequence[tuple[Probe, ...]],
        precision: str = "float64",
    ) -> None:
        super().__init__(shards[0], probes[0], precision)
        self._parts = [
            CpuBackend(shard, own, precision) for shard, own in zip(shards, probes, strict=True)
        ]
        most = max(part.most_spikes for part in self._parts)
        interval = min(_CROWDED_STEPS, *(shard.min_other_delay for shard in shards))
        teams = make_teams(len(shards), interval, 2 * _CROWDED_STEPS * most + 64)
        for part, team in zip(self._parts, teams, strict=True):
            part.join(team)
        gids = [shard.neurons.gids for shard in shards]
        self._columns = [
            np.argsort(np.concatenate([g[p.lids] for g, p in zip(gids, probe, strict=True)]))
            for probe in zip(*probes, strict=True)
        ]
        self._threads: dict[int, threading.Thread] = {}
        self._failures: list[BaseException] = []
        self._gone = np.zeros(len(shards), dtype=np.uint8)
        self._number = 0
        self._seconds = 0.0

    def advance(self, epoch: Epoch, remote: Spikes) -> Spikes:
        """Advance all shards by an epoch."""
        start = time.perf_counter()
        self._check()
        for part in self._parts:
            part.reserve_samples(epoch)
        pieces = []
        step = epoch.begin
        while step < epoch.end:
            begin = step
            step = self._run(begin, epoch.end, remote)
            pieces.append(self._spikes() + ((begin - epoch.begin) << GID_BITS))
            remote = NO_SPIKES
        self._seconds += time.perf_counter() - start
        return Spikes(epoch.begin, np.concatenate(pieces))

    def inventory(self) -> list[Inventory]:
        """Return the synapses in numbers, for each shard."""
        return [own for part in self._parts for own in part.inventory()]

    def samples(self) -> list[NDArray[np.floating]]:
        """Return and forget what was sampled."""
        parts = zip(*(part.samples() for part in self._parts), strict=True)
        return [
            np.concatenate(part, axis=1)[:, order]
            for part, order in zip(parts, self._columns, strict=True)
        ]

    def not_finite(self) -> dict[str, NDArray[np.int64]]:
        """Return the global ids of neurons with a column that is not a finite number, by column."""
        parts = [part.not_finite() for part in self._parts]
        names = dict.fromkeys(name for part in parts for name in part)
        none = np.zeros(0, dtype=np.int64)
        return {n: np.sort(np.concatenate([part.get(n, none) for part in parts])) for n in names}

    def state(self) -> NeuronState:
        """Return the state of all neurons, ascending by global id."""
        return join_states([part.state() for part in self._parts])

    def restore(self, state: NeuronState, step: int, recent: Spikes) -> None:
        """Go on from a state."""
        for part in self._parts:
            part.restore(state, step, recent)

    def phase_seconds(self) -> dict[str, float]:
        """Return the time spent so far in delivery, update and waiting, mean over threads [s]."""
        cycles = np.sum([part.cycles() for part in self._parts], axis=0)
        return share_seconds(self._seconds, cycles)

    def warm_up(self) -> None:
        """Compile the kernels."""
        self._run(0, 0, NO_SPIKES)
        for thread in self._threads.values():
            thread.join()
        self._check()

    def _run(self, begin: int, end: int, remote: Spikes) -> int:
        """Let all threads advance; return where they stopped.

        No thread is left waiting for another, whatever happens here.
        """
        first = self._parts[0]
        try:
            if remote.size > first.team.remote.size:
                self._make_room(remote.size)
            self._number += 1
            call(first.team, self._number, begin, end, remote.origin, remote.words, self._gone)
            for member in np.flatnonzero(self._gone).tolist():
                self._start(member)
            step, _ = first.run(self._number, begin, end, remote)
        except BaseException:
            break_up(first.team)
            raise
        self._check()
        return step

    def _start(self, member: int) -> None:
        """Start a thread that has left, or has not been there yet."""
        if member in self._threads:
            self._threads[member].join()
        name = f"simcore-{member}"
        arguments = member, self._number - 1
        # A process must not wait for it at its end
        thread = threading.Thread(target=self._serve, args=arguments, name=name, daemon=True)
        self._threads[member] = thread
        thread.start()

    def _serve(self, member: int, last: int) -> None:
        """Serve the first thread, in another."""
        try:
            self._parts[member].serve(last)
        except BaseException as error:
            self._failures.append(error)
            break_up(self._parts[0].team)

    def _check(self) -> None:
        """Raise what a thread has failed with."""
        if self._failures:
            raise self._failures[0]
        if is_broken(self._parts[0].team):
            raise RuntimeError("this simulation was interrupted, and cannot go on. Start another.")

    def _spikes(self) -> NDArray[np.int64]:
        """Return what all threads emitted since they were called, sorted."""
        team = self._parts[0].team
        counts = last_counts(team)
        parts = [team.words[self._number & 1, k, :n] for k, n in enumerate(counts)]
        return np.sort(np.concatenate(parts), kind="stable")

    def _make_room(self, n_spikes: int) -> None:
        """Make room for that many remote spikes."""
        remote = np.zeros(2 * n_spikes, dtype=np.int64)
        for part in self._parts:
            part.join(part.team._replace(remote=remote))
