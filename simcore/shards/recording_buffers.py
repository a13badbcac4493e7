"""How much of what is recorded may wait in memory: what a run keeps to, and a plan counts on."""

from __future__ import annotations

from simcore.description.network import Network
from simcore.discretization.limits import largest_multiplicity
from simcore.numerics.clock import Clock

# Spikes and samples of all ranks that wait for a flush [B]
FLUSH_BYTES = 2**23

# Model time after which they are flushed, though they are fewer [ms]
FLUSH_INTERVAL = 20.0

# A spike, and a sample in float64 [B]
WORD_BYTES = 8

# Longest epoch, whatever it holds [steps]
LONGEST_EPOCH = 1000


def sampled_bytes(network: Network, clock: Clock) -> float:
    """Return what all ranks sample in a step, as it waits for a flush [B]."""
    sampled = network.sampled
    return sum(WORD_BYTES * r.target.size * clock.dt / (r.interval or clock.dt) for r in sampled)


def longest_epoch(network: Network, clock: Clock, unbounded: bool) -> int:
    """Return the steps of the longest epoch, of which a flush can take all.

    Parameters
    ----------
    network : Network
        The model.
    clock : Clock
        The grid of time.
    unbounded : bool
        Whether nothing else bounds what can be emitted in it: no synapse crosses ranks, nor is
        there a device with a bound of its own.
    """
    in_step = sampled_bytes(network, clock)
    if unbounded:
        most = (p.size * largest_multiplicity(p, clock.dt) for p in network.populations)
        in_step += WORD_BYTES * sum(most)
    return int(min(LONGEST_EPOCH, max(1.0, FLUSH_BYTES / max(in_step, 1.0))))
