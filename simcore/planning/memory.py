"""How much memory the ranks of a run take, by what takes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simcore.estimates.expected_synapses import Expectation
from simcore.estimates.gpu_memory import estimate_device
from simcore.estimates.host_memory import estimate
from simcore.io.checkpoint import WINDOW
from simcore.io.schema import SPIKE_TYPE
from simcore.io.writer import MOST_BYTES, PART_BYTES, PART_SHARE
from simcore.numerics.clock import Clock
from simcore.planning.files import file_sizes
from simcore.planning.ranks import Setup
from simcore.planning.rates import Rates, most_spikes, of_segments
from simcore.shards.gpu_synapse_layout import LAUNCH_BYTES, WAITING_BYTES
from simcore.shards.local_neurons import Lids
from simcore.shards.recording_buffers import FLUSH_BYTES, FLUSH_INTERVAL, WORD_BYTES, sampled_bytes

# A cursor of a row under way; those so far are copied when their room grows [B]
_CURSOR = 30.0

# The exchange has room for so many times the spikes of an epoch
_ROOM = 1.5
_SMALLEST_ROOM = 62

# Copies of a spike and of a sample, beside the one that waits, while a flush takes them; and of
# what is in the file, while it is written
_FLUSH_COPIES, _SAMPLE_COPIES, _FILE_COPIES = 2, 2.0, 2.2

# HDF5, and the spikes that are looked at together [B]
_WRITER = 14e6

# What MPI takes [B]
_MPI = 26e6


@dataclass(frozen=True)
class Traffic:
    """The spikes that take memory.

    Parameters
    ----------
    rates : Rates
        How often neurons spike; what depends on them is left out where they are unknown.
    busiest, total : float
        Most spikes in an epoch, of the busiest rank and of all.
    waiting : float
        Most spikes of all ranks that wait for a flush.
    """

    rates: Rates
    busiest: float
    total: float
    waiting: float

    @property
    def mine(self) -> float:
        """Spikes of the busiest rank that wait for a flush."""
        return self.waiting * (self.busiest / self.total if self.total else 0.0)


def traffic_of(
    expectation: Expectation, setup: Setup, rates: Rates, epoch: int, share: float
) -> Traffic:
    """Return the spikes that take memory.

    Parameters
    ----------
    expectation : Expectation
        What is expected of the network.
    setup : Setup
        How the model would be run.
    rates : Rates
        How often neurons spike.
    epoch : int
        Steps between two exchanges.
    share : float
        Part of all spikes that the busiest rank emits.
    """
    network = expectation.network
    sizes = np.array([p.size for p in network.populations])
    length = epoch * setup.dt

    def in_window(window: float) -> float:
        return float(most_spikes(network, rates, min(window, setup.duration)) @ sizes)

    total = in_window(length)
    waiting = min(in_window(FLUSH_INTERVAL + length), FLUSH_BYTES / WORD_BYTES + total)
    return Traffic(rates, share * total, total, waiting)


def host_memory(
    expectation: Expectation, shards: Sequence[Lids], setup: Setup, traffic: Traffic
) -> dict[str, float]:
    """Return the memory of a rank by what takes it [B].

    Parameters
    ----------
    expectation : Expectation
        What is expected of the network.
    shards : sequence of Lids
        Neurons of the rank, for each of its threads.
    setup : Setup
        How the model would be run.
    traffic : Traffic
        Spikes under way.

    Returns
    -------
    dict of str to float
        "sorting" lives during the build, and "spikes" during the run: the larger of them counts.
    """
    found = estimate(expectation, shards, setup.backend)
    parts = {
        "process": found.rank - (0.0 if setup.n_ranks > 1 else _MPI),
        "description": found.description,
        "neurons": found.neurons,
        "synapses": found.synapses,
        "index": found.index,
        "sorting": found.sorting,
    }
    if setup.backend == "cuda":
        del parts["synapses"], parts["index"]
    if setup.backend == "reference":
        parts["ring"] = found.ring
    parts["spikes"] = 0.0
    if traffic.rates.known:
        # A flush, or a checkpoint, for which the states of threads are put together
        n_local = sum(own.size for own in shards)
        saved = 2.0 * state_bytes(expectation) * n_local if setup.threads > 1 else 0.0
        flushed = WORD_BYTES * (2 * traffic.busiest + _FLUSH_COPIES * traffic.mine)
        sampled = _samples(expectation, setup, traffic) * n_local / expectation.network.n_neurons
        parts["spikes"] = _exchange(setup, traffic)
        parts["spikes"] += max(flushed + (1.0 + _SAMPLE_COPIES) * sampled, saved)
        if setup.backend != "cuda":
            parts["spikes"] += _calendar(expectation, shards, setup, traffic.rates)
    return parts


def peak(parts: Mapping[str, float], more: float = 0.0) -> float:
    """Return the largest memory of a rank at a time [B].

    Parameters
    ----------
    parts : mapping of str to float
        What `host_memory` returned.
    more : float
        What it takes in the run beside [B].
    """
    in_turn = parts["sorting"], parts["spikes"] + more
    return sum(parts.values()) - parts["sorting"] - parts["spikes"] + max(in_turn)


def recording_memory(expectation: Expectation, setup: Setup, traffic: Traffic) -> float:
    """Return what rank 0 takes in the run to merge, write and save what all ranks have [B].

    Parameters
    ----------
    expectation : Expectation
        What is expected of the network.
    setup : Setup
        How the model would be run.
    traffic : Traffic
        Spikes under way.
    """
    network, rates = expectation.network, traffic.rates
    if not rates.known:
        return 0.0
    files = file_sizes(network, rates, setup.dt)
    seconds = 1e-3 * setup.duration
    recorded = seconds * (files["spikes"] + files["samples"])
    sizes = np.array([p.size for p in network.populations])
    emitted = float(rates.values @ sizes) * SPIKE_TYPE.itemsize
    waiting = traffic.waiting * (files["spikes"] / emitted if emitted else 0.0)
    sampled = _samples(expectation, setup, traffic)

    # What waits to be written is written when it is much, with the flush that made it so
    large = min(MOST_BYTES, max(PART_BYTES, PART_SHARE * recorded))
    queue = min(recorded, large + SPIKE_TYPE.itemsize * waiting + sampled)
    share = files["spikes"] * seconds / recorded if recorded else 0.0
    written = queue * (share * _FILE_COPIES + 1.0 - share)
    merged = min(queue, large) + _FLUSH_COPIES * WORD_BYTES * waiting + _SAMPLE_COPIES * sampled
    window = min(WINDOW, network.n_neurons) * state_bytes(expectation)
    return _WRITER + max(written, merged, 2.0 * window)


def state_bytes(expectation: Expectation) -> float:
    """Return the state of a neuron in a checkpoint, with its global id [B]."""
    layouts = [p.neuron.layout for p in expectation.network.populations if p.neuron is not None]
    return 8.0 + max((layout.nbytes() for layout in layouts), default=0)


def device_memory(
    expectation: Expectation, neurons: Lids, setup: Setup, traffic: Traffic
) -> dict[str, float]:
    """Return the memory of a rank on its GPU by what takes it [B]; see `host_memory`."""
    shard = estimate_device(expectation, neurons, setup.precision)
    # What arrives from other ranks, and waits beside the spikes of the shard
    several = setup.n_ranks > 1 and traffic.rates.known
    arriving = 2.0 * traffic.total if several else 0.0
    waiting = WAITING_BYTES * max(0.0, arriving - shard.most_spikes)
    return {
        "launch": float(LAUNCH_BYTES),
        "neurons": shard.neurons,
        "synapses": shard.synapses,
        "index": shard.index,
        "counting": shard.counting,
        "ring": shard.ring,
        "spikes": shard.spikes + 8.0 * arriving + waiting,
    }


def _samples(expectation: Expectation, setup: Setup, traffic: Traffic) -> float:
    """Return what all ranks sample from one flush to the next [B]."""
    in_step = sampled_bytes(expectation.network, Clock(setup.dt))
    steps = min(FLUSH_INTERVAL, setup.duration) / setup.dt
    return min(in_step * steps, FLUSH_BYTES + in_step)


def _exchange(setup: Setup, traffic: Traffic) -> float:
    """Return the buffers of the exchange, for the busiest rank as all have the same [B]."""
    if setup.n_ranks == 1:
        return 0.0
    mean = traffic.busiest
    room = max(_SMALLEST_ROOM, _ROOM * (mean + 5.0 * math.sqrt(mean)))
    return 8.0 * room * (2 * setup.n_ranks + 1)


def _calendar(
    expectation: Expectation, shards: Sequence[Lids], setup: Setup, rates: Rates
) -> float:
    """Return the cursors of the rows under way, each for its longest delay at most [B]."""
    delays = expectation.longest_delays
    emitted = np.zeros(delays.size)
    for delay in np.unique(delays[delays > 0]):
        window = min(float(delay) * setup.dt, setup.duration)
        most = of_segments(expectation, most_spikes(expectation.network, rates, window))
        emitted[delays == delay] = most[delays == delay]
    tables = [table for shard in shards for table in expectation.tables(shard)]
    return _CURSOR * sum(float(emitted @ table.rows) for table in tables)
