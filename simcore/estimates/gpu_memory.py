"""How much memory a shard takes on a GPU: known from the description, before it is built."""

from __future__ import annotations

from dataclasses import dataclass

from simcore.construction.buckets import KEYS
from simcore.description.network import Network
from simcore.description.neurons import SpikeTrains
from simcore.description.stimulus import Poisson
from simcore.discretization.limits import largest_multiplicity
from simcore.estimates.expected_synapses import Expectation, TableCounts
from simcore.estimates.host_memory import column_bytes
from simcore.estimates.varying_memory import n_driven, value_bytes
from simcore.language.program import make_program
from simcore.services.errors import CapacityError, require
from simcore.shards.gpu_synapse_layout import (
    COUNT_BYTES,
    ENTRY_BYTES,
    REPORT_BYTES,
    WAITING_BYTES,
    Sections,
    cut_targets,
    index_bytes,
    n_entries,
    n_words,
    synapse_bytes,
)
from simcore.shards.local_neurons import Lids

# A neuron beside the columns of its model: refractory steps 2, global id 8, segment 4; its input of
# a receptor and a step [B]
_NEURON, _INPUT = 14, 4
_NUMBER = {"float64": 8, "float32": 4}

# A segment of neurons with numbers of their own [B]
_SEGMENT = 72

# A spike that is given, with its step [B]
_GIVEN = 16


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
        Spikes of the shard on their way and those given, rows that have something to deliver.
    most_spikes : int
        Spikes of a step in which all neurons spike.
    counting : float
        What it takes to count synapses, beyond the memory that they and reports take later.
    """

    neurons: float
    synapses: float
    index: float
    ring: float
    spikes: float
    most_spikes: int
    counting: float

    @property
    def total(self) -> float:
        """The sum of the parts [B]."""
        kept = self.neurons + self.synapses + self.index + self.ring + self.spikes
        return kept + self.counting


def estimate_device(
    expectation: Expectation, neurons: Lids, precision: str = "float64"
) -> DeviceEstimate:
    """Estimate the memory that a shard takes on a GPU.

    Parameters
    ----------
    expectation : Expectation
        What is expected of the network.
    neurons : Lids
        Those of the shard.
    precision : {"float64", "float32"}
        Type of the state.
    """
    slots = 1 << int(expectation.max_delay).bit_length()
    receptors, n = expectation.receptors, float(neurons.size)
    parts = [_table(expectation, *found) for found in device_tables(expectation, neurons)]
    network = expectation.network
    ranges = [neurons.lid_range(p.view().gid_range) for p in network.populations]
    most = sum(
        (stop - first) * largest_multiplicity(p, expectation.dt)
        for p, (first, stop) in zip(network.populations, ranges, strict=True)
    )
    given = sum(
        p.model.arrays()[0].size * (stop - first) / p.size
        for p, (first, stop) in zip(network.populations, ranges, strict=True)
        if isinstance(p.model, SpikeTrains)
    )
    synapses, reports = sum(part.synapses for part in parts), REPORT_BYTES * n_words(most)
    most_sections = max((part.n_sections for part in parts), default=0)
    counts = COUNT_BYTES * network.n_neurons * most_sections
    entries = n_entries(neurons.size, sum(part.n_sections for part in parts))
    return DeviceEstimate(
        neurons=n * _NEURON
        + column_bytes(network, neurons, _NUMBER[precision])
        + value_bytes(network, neurons, expectation.dt, _NUMBER[precision])
        + _pieces(network, neurons, _NUMBER[precision]),
        synapses=synapses,
        index=sum(part.index for part in parts),
        ring=n * receptors * _INPUT * slots,
        spikes=reports + WAITING_BYTES * most + ENTRY_BYTES * entries + _GIVEN * given,
        most_spikes=most,
        counting=max(0.0, counts - synapses - reports),
    )


def _pieces(network: Network, neurons: Lids, real: int) -> float:
    """Return what segments take that neurons with a Poisson rate of their own are cut into [B]."""
    total = 0.0
    for drive in network.drives:
        if isinstance(drive.stimulus, Poisson) and drive.varying:
            neuron, n = drive.target.population.neuron, n_driven(drive, neurons)
            assert neuron is not None
            total += float(_SEGMENT + real * len(make_program(neuron).numbers)) * n
    return total


@dataclass(frozen=True)
class _TableBytes:
    """What a table takes on a device [B], and in how many sections."""

    synapses: float
    index: float
    n_sections: int


def device_tables(expectation: Expectation, neurons: Lids) -> list[tuple[TableCounts, Sections]]:
    """Return what is expected of the tables of a shard on a GPU, and how their targets are cut.

    Parameters
    ----------
    expectation : Expectation
        What is expected of the network.
    neurons : Lids
        Those of the shard.

    Raises
    ------
    CapacityError
        When there are too many channels.
    """
    found = []
    points, n_sources = expectation.points, expectation.network.n_neurons
    for place, whole in enumerate(expectation.tables(neurons)):
        valid = f"at most {KEYS}, pairs of a delay and a constant weight"
        remedy = "Narrow the delays, or use fewer different weights."
        subject = "synapses: channels"
        require(whole.n_channels <= KEYS, subject, whole.n_channels, valid, remedy, CapacityError)
        n_synapses = float(whole.synapses.sum())
        cut = cut_targets(whole.form, points, whole.n_channels, neurons.size, n_sources, n_synapses)
        found.append((expectation.tables(neurons, cut.bounds)[place], cut))
    return found


def _table(expectation: Expectation, table: TableCounts, cut: Sections) -> _TableBytes:
    """Return what a table takes."""
    each = synapse_bytes(table.form, cut.high_bytes, expectation.points)
    rows = float(table.rows.sum()) / table.n_blocks
    return _TableBytes(
        synapses=float(table.synapses.sum()) * each,
        index=table.n_blocks * index_bytes(expectation.network.n_neurons, rows),
        n_sections=table.n_blocks,
    )
