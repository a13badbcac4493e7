"""How much memory a shard takes on a GPU: known from the description, before it is built."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simcore.fixed_point import largest_multiplicity
from simcore.partition.expected import Expectation, TableCounts
from simcore.places import HIGH_BYTES, blocks_together, index_bytes, synapse_bytes
from simcore.shard import Lids

# State of a neuron in float64: potential 8, resting potential 8, waiting 2, global id 8, span 4;
# its current of a receptor, and its input of a receptor and a step [B]
_NEURON, _CURRENT, _INPUT = 30, 8, 4

# A spike of a step in which all neurons spike: on its way to the host, and waiting for another
# round; a row that has something to deliver, and how many of them there is room for [B]
_SPIKE, WAITING, _ENTRY = 32, 32, 32
_FEWEST_ENTRIES, _MOST_ENTRIES, _NEURONS_PER_ENTRY = 2**16, 2**22, 100


@dataclass(frozen=True)
class DeviceEstimate:
    """The memory of a shard on a GPU by what takes it, all in bytes.

    Parameters
    ----------
    neurons : float
        State and buffers of its neurons.
    synapses : float
        Places and weights.
    index : float
        What finds the synapses: groups of sources, and rows.
    ring : float
        Input of the steps to come.
    spikes : float
        Spikes of the shard on their way, and rows that have something to deliver.
    most_spikes : int
        Spikes of a step in which all neurons spike.
    """

    neurons: float
    synapses: float
    index: float
    ring: float
    spikes: float
    most_spikes: int

    @property
    def total(self) -> float:
        """The sum of the parts [B]."""
        return self.neurons + self.synapses + self.index + self.ring + self.spikes


def estimate_device(expectation: Expectation, neurons: Lids) -> DeviceEstimate:
    """Estimate the memory that a shard takes on a GPU.

    Parameters
    ----------
    expectation : Expectation
        What is expected of the network.
    neurons : Lids
        Those of the shard.
    """
    slots = 1 << int(expectation.max_delay).bit_length()
    receptors, n = expectation.receptors, float(neurons.size)
    parts = [
        min(_table(expectation, neurons, place, high) for high in HIGH_BYTES)
        for place in range(len(expectation.tables(neurons)))
    ]
    network = expectation.network
    ranges = [neurons.lid_range(p.view().gid_range) for p in network.populations]
    most = sum(
        (stop - first) * largest_multiplicity(p, expectation.dt)
        for p, (first, stop) in zip(network.populations, ranges, strict=True)
    )
    entries = min(neurons.size * len(parts) // _NEURONS_PER_ENTRY, _MOST_ENTRIES)
    return DeviceEstimate(
        neurons=n * (_NEURON + receptors * _CURRENT),
        synapses=sum(synapses for _, synapses, _ in parts),
        index=sum(index for _, _, index in parts),
        ring=n * receptors * _INPUT * slots,
        spikes=(_SPIKE + WAITING) * most + _ENTRY * max(entries, _FEWEST_ENTRIES),
        most_spikes=most,
    )


def _table(
    expectation: Expectation, neurons: Lids, place: int, high_bytes: int
) -> tuple[float, float, float]:
    """Return what a table takes with places of some size: all, the synapses, and their index [B].

    It is infinite where a place has no room.
    """
    n_channels = expectation.tables(neurons)[place].n_channels
    largest = int(np.diff(expectation.blocks(neurons)).max())
    together = blocks_together(largest, n_channels, high_bytes)
    if together == 0:
        return np.inf, np.inf, np.inf
    table: TableCounts = expectation.tables(neurons, together)[place]
    rows = float(table.rows.sum()) / table.n_blocks
    index = table.n_blocks * index_bytes(expectation.network.n_neurons, rows)
    synapses = float(table.synapses.sum()) * synapse_bytes(table.form, high_bytes)
    return synapses + index, synapses, index
