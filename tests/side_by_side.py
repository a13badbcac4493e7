"""Ranks side by side in one process, and partitions to run them with."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import numpy as np

from simcore.construction.build import build_shards
from simcore.construction.specification import specify_shards
from simcore.io.recorder import probes
from simcore.kernels.cpu import team
from simcore.kernels.cpu.threads import ThreadedCpuBackend
from simcore.numerics.clock import Clock, Epoch
from simcore.numerics.spikes import NO_SPIKES, Spikes
from simcore.partition import RangePartition
from simcore.services.comm import Comm
from simcore.shards.local_neurons import LocalNeurons
from simcore.shards.neuron_state import join_states
from tests.networks import Result, make_run


class Ranks:
    """All ranks of a run in one process, which take their epochs one after the other.

    After each epoch they hand over their spikes. These arrive in an order that is new every time,
    because it must not matter.

    Parameters
    ----------
    network : Network
        The model.
    division : Partition
        Its parts; each rank owns `threads` of them.
    """

    def __init__(self, network, division, backend="cpu", precision="float64", threads=1, dt=0.1):
        firsts = range(0, division.n_ranks, threads)
        make = specify_shards if backend == "cuda" else build_shards
        shards = [make(network, division, range(k, k + threads), dt) for k in firsts]
        self.runs = [make_run(network, backend, precision, own, dt) for own in shards]
        held = [own for run in self.runs for own in run.inventory()]
        self.longest = min(1000, *(own.min_remote_delay for own in held))
        owned = [np.sort(np.concatenate([s.neurons.gids for s in own])) for own in shards]
        self.order = np.argsort(np.concatenate(owned))
        clock, neurons = Clock(dt), [LocalNeurons(gids) for gids in owned]
        sampled = zip(*(probes(network, own, clock) for own in neurons), strict=True)
        self.columns = [
            np.argsort(
                np.concatenate([g[lids] for g, (lids, *_) in zip(owned, probe, strict=True)])
            )
            for probe in sampled
        ]
        self.step, self.spikes, self.samples = 0, [], []
        self.pending = [NO_SPIKES] * len(self.runs)

    def advance(self, steps, epochs=(1000,)):
        """Advance by epochs of the given lengths in turn, or shorter where spikes would be late."""
        end = self.step + steps
        lengths = cycle(epochs)
        while self.step < end:
            length = min(next(lengths), self.longest, end - self.step)
            self._take(Epoch(self.step, self.step + length))
        return self.result()

    def _take(self, epoch):
        emitted = [
            run.advance(epoch, remote).words
            for run, remote in zip(self.runs, self.pending, strict=True)
        ]
        mix = np.random.default_rng(epoch.begin).permutation
        for rank in range(len(self.runs)):
            others = [NO_SPIKES.words, *emitted[:rank], *emitted[rank + 1 :]]
            self.pending[rank] = Spikes(epoch.begin, mix(np.concatenate(others)))
        self.spikes.append(Spikes(epoch.begin, np.sort(np.concatenate(emitted))))
        rows = zip(*(run.samples() for run in self.runs), strict=True)
        self.samples.append(
            [np.concatenate(r, axis=1)[:, c] for r, c in zip(rows, self.columns, strict=True)]
        )
        self.step = epoch.end

    def result(self):
        """Return what all ranks did so far, as a `Result`."""
        return Result(
            np.concatenate([s.steps for s in self.spikes]),
            np.concatenate([s.gids for s in self.spikes]),
            np.concatenate([run.potentials() for run in self.runs])[self.order],
            [np.concatenate(rows) for rows in zip(*self.samples, strict=True)],
        )

    def state(self):
        """Return the state of all neurons."""
        return join_states([run.state() for run in self.runs])

    def restore(self, state, step, recent):
        """Go on from a state, see `Backend.restore`."""
        for run in self.runs:
            run.restore(state, step, recent)
        self.step = step

    def close(self):
        """Let the threads of all ranks go."""
        for run in self.runs:
            dismiss(run)


def dismiss(run):
    """Let the threads of a backend go at once, rather than after a while without mail."""
    if isinstance(run, ThreadedCpuBackend):
        team.break_up(run._parts[0].team)
        for thread in run._threads.values():
            thread.join()


def divide(owners, n_parts):
    """Return the partition in which neuron i belongs to part ``owners[i]``."""
    return RangePartition(np.arange(len(owners) + 1), owners, n_parts)


def nearly_all(n_neurons, one_part, n_parts):
    """Return the partition in which each part has a single neuron, and one all others."""
    owners = np.full(n_neurons, one_part)
    alone = np.linspace(0, n_neurons - 1, n_parts - 1, dtype=int)
    owners[alone] = np.delete(np.arange(n_parts), one_part)
    return divide(owners, n_parts)


class ThreadComm(Comm):
    """One of several ranks that are threads of this process.

    Parameters
    ----------
    rank : int
        Which.
    posts : list
        Room for a value of each rank, shared by all.
    barrier : threading.Barrier
        Where they meet.
    """

    def __init__(self, rank, posts, barrier):
        self.rank, self.size = rank, len(posts)
        self._posts, self._barrier = posts, barrier

    def allgather(self, value):
        self._posts[self.rank] = value
        self._barrier.wait()
        values = list(self._posts)
        self._barrier.wait()
        return values

    def bcast(self, value):
        return self.allgather(value)[0]

    def gather(self, value):
        values = self.allgather(value)
        return values if self.rank == 0 else None

    gather_array = gather

    def allreduce_sum(self, array):
        return np.sum(self.allgather(array), axis=0)

    def allreduce_min(self, value):
        return min(self.allgather(value))

    def allreduce_max(self, value):
        return max(self.allgather(value))

    def barrier(self):
        self._barrier.wait()

    def allgather_into(self, send, recv):
        recv[:] = np.concatenate(self.allgather(send.copy()))

    def allgatherv_into(self, send, recv, counts):
        self.allgather_into(send, recv)

    def finalize(self):
        self._barrier.wait()

    def meet(self, value, seconds):
        return self.allgather(value)

    def abort(self, code):
        raise SystemExit(code)


def on_ranks(n_ranks, work):
    """Call a function with the communicator of each rank, in as many threads; return all values."""
    posts, barrier = [None] * n_ranks, threading.Barrier(n_ranks, timeout=60.0)

    def begin(rank):
        try:
            return work(ThreadComm(rank, posts, barrier))
        except BaseException:
            # Leave no other rank waiting
            barrier.abort()
            raise

    with ThreadPoolExecutor(n_ranks) as pool:
        return list(pool.map(begin, range(n_ranks)))
