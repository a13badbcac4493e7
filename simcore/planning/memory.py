"""How much memory the ranks of a run take, by what takes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simcore.local import Lids
from simcore.partition import Expectation, estimate, estimate_device
from simcore.places import LAUNCH_BYTES, WAITING_BYTES
from simcore.planning.ranks import Setup
from simcore.planning.rates import Rates, segment_rates

# A cursor of a row under way, once in the old and half in the new calendar when that grows [B]
_CURSOR = 36.0

# The exchange has room for so many times the spikes of an epoch
_ROOM = 1.5
_SMALLEST_ROOM = 62

# What rank 0 has for each spike of a flush; the largest part of a file that waits, of which there
# are so many copies while it is written; and what writing takes at all [B]
_FLUSHED, _WAITING, _COPIES, _WRITER = 40.0, 2**24, 3, 12e6

# What MPI takes [B]
_MPI = 16e6

# Model time between two flushes [s]
FLUSH = 0.02


@dataclass(frozen=True)
class Traffic:
    """The spikes that take memory.

    Parameters
    ----------
    rates : Rates
        How often neurons spike; what depends on them is left out where they are unknown.
    epoch : float
        Time between two exchanges [s].
    busiest, total : float
        Spikes of the busiest rank, and of all [1/s].
    """

    rates: Rates
    epoch: float
    busiest: float
    total: float


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
        parts["spikes"] = _exchange(setup, traffic)
        if setup.backend != "cuda":
            parts["spikes"] += _calendar(expectation, shards, traffic.rates)
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


def recording_memory(setup: Setup, spikes: float, recorded: float) -> float:
    """Return what rank 0 takes in the run to merge and write what all ranks record [B].

    Parameters
    ----------
    setup : Setup
        How the model would be run.
    spikes : float
        Spikes of all ranks that are recorded [1/s].
    recorded : float
        What is recorded [B/s].
    """
    waiting = min(float(_WAITING), recorded * 1e-3 * setup.duration)
    return _WRITER + _FLUSHED * spikes * FLUSH + _COPIES * waiting


def device_memory(
    expectation: Expectation, neurons: Lids, setup: Setup, traffic: Traffic
) -> dict[str, float]:
    """Return the memory of a rank on its GPU by what takes it [B]; see `host_memory`."""
    shard = estimate_device(expectation, neurons, setup.precision)
    # What arrives from other ranks, and waits beside the spikes of the shard
    several = setup.n_ranks > 1 and traffic.rates.known
    arriving = 2.0 * traffic.total * traffic.epoch if several else 0.0
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


def _exchange(setup: Setup, traffic: Traffic) -> float:
    """Return the buffers of the exchange, for the busiest rank as all have the same [B]."""
    if setup.n_ranks == 1:
        return 0.0
    mean = traffic.busiest * traffic.epoch
    room = max(_SMALLEST_ROOM, _ROOM * (mean + 5.0 * math.sqrt(mean)))
    return 8.0 * room * (2 * setup.n_ranks + 1)


def _calendar(expectation: Expectation, shards: Sequence[Lids], rates: Rates) -> float:
    """Return the cursors of the rows under way, each for the longest delay at most [B]."""
    emitted = segment_rates(expectation, rates) * 1e-3 * expectation.dt * expectation.max_delay
    tables = [table for shard in shards for table in expectation.tables(shard)]
    return _CURSOR * sum(float(emitted @ table.rows) for table in tables)
