"""How a GPU keeps the channel and the target of a synapse, in 3 or 4 bytes.

A place has the channel in its high bits and the target in its low ones. Targets are counted within
a section, which has as many neighbouring neurons as places have room for. So a row holds all that
a source sends to a section, and stays long where neurons are many; and a run of a single synapse
costs nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.discretization.fixed_point import FixedPoint, WeightForm

# A place: 16 bits, and this many bytes beside them
LOW_BYTES = 2
HIGH_BYTES = (1, 2)

# A weight beside the place: 16 bits where it is drawn, and this many bytes more where it was given
LOW_WEIGHT_BYTES = 2
HIGH_WEIGHT_BYTES = (1, 2)

# A group of 64 sources: which of them have a row, rows before, synapses before [B]
GROUP_BYTES = 24

# A row: the low half of the number of its first synapse [B]. Without groups, where the neurons are
# in several parts, this for each source and part
ROW_BYTES = 4

# Number of the synapses of a source in a section, which is counted during the build [B]
COUNT_BYTES = 4

# Rows that have something to deliver for which there is room at a time: those of every hundredth
# neuron, within these bounds, and what each takes [B]
NEURONS_PER_ENTRY, FEWEST_ENTRIES, MOST_ENTRIES = 100, 2**16, 2**22
ENTRY_BYTES = 32

# Spikes of usual steps for which a launch has room, beside those of a step in which all spike;
# what a spike takes in the two reports under way, and while it waits for another round [B]
LARGEST_ROOM = 2**22
REPORT_BYTES, WAITING_BYTES = 16, 32

# Sources without repetition of all targets that are drawn at a time, during the build [B]
SCRATCH_BYTES = 2**26

# What the driver and the code of the kernels take, beyond what a device tells to be free, and what
# else a build takes beside the shard [B]
LAUNCH_BYTES = 2**24 + SCRATCH_BYTES


def n_entries(n_neurons: int, n_sections: int) -> int:
    """Return for how many rows that have something to deliver there is room."""
    wanted = min(n_neurons * n_sections // NEURONS_PER_ENTRY, MOST_ENTRIES)
    return max(n_sections, FEWEST_ENTRIES, wanted)


def n_words(most_spikes: int) -> int:
    """Return for how many spikes a launch has room, of a shard with so many at most in a step."""
    return most_spikes + min(most_spikes, LARGEST_ROOM) + 64


def high_weight_bytes(form: WeightForm, points: FixedPoint) -> int:
    """Return what a weight takes beside its low 16 bits [B]."""
    if form is not WeightForm.EXACT:
        return 0
    return min(high for high in HIGH_WEIGHT_BYTES if points.largest_exact < 2 ** (15 + 8 * high))


def synapse_bytes(form: WeightForm, high_bytes: int, points: FixedPoint) -> int:
    """Return what a synapse takes, without the index [B]."""
    low = 0 if form is WeightForm.CONSTANT else LOW_WEIGHT_BYTES
    return LOW_BYTES + high_bytes + low + high_weight_bytes(form, points)


def index_bytes(n_sources: int, n_rows: float, n_parts: int = 1) -> float:
    """Return what finds the synapses of a section [B]."""
    if n_parts > 1:
        return ROW_BYTES * (n_sources * n_parts + 1)
    return GROUP_BYTES * -(-n_sources // 64) + ROW_BYTES * (n_rows + 1)


@dataclass(frozen=True)
class Sections:
    """How the targets of a table are cut.

    Parameters
    ----------
    n_neurons : int
        Neurons of the shard.
    size : int
        Neurons of a section; the last may have fewer.
    high_bytes : {1, 2}
        Bytes of a place beside the low ones.
    """

    n_neurons: int
    size: int
    high_bytes: int

    @property
    def bounds(self) -> NDArray[np.int64]:
        """Bounds of the sections, in lids, shape (n + 1,)."""
        firsts = np.arange(0, max(self.n_neurons, 1), self.size, dtype=np.int64)
        return np.append(firsts, self.n_neurons)

    @property
    def target_bits(self) -> int:
        """Low bits of a place, which hold the target."""
        return (self.size - 1).bit_length()


def cut_targets(
    form: WeightForm,
    points: FixedPoint,
    n_channels: int,
    n_neurons: int,
    n_sources: int,
    n_synapses: float,
) -> Sections:
    """Return the sections that are expected to take less memory, with narrow or with wide places.

    Parameters
    ----------
    form : WeightForm
        How weights are kept.
    points : FixedPoint
        The weights of the network.
    n_channels : int
        Number of channels, at most 2**16.
    n_neurons : int
        Neurons of the shard.
    n_sources : int
        Neurons of the whole network.
    n_synapses : float
        Expected number of synapses of the table.
    """
    found = []
    for high_bytes in HIGH_BYTES:
        bits = 8 * (LOW_BYTES + high_bytes) - (n_channels - 1).bit_length()
        n = max(1, -(-n_neurons >> bits))
        rows = n_sources * -math.expm1(-n_synapses / (n * max(n_sources, 1)))
        size = n_synapses * synapse_bytes(form, high_bytes, points)
        size += n * index_bytes(n_sources, rows)
        found.append((size, Sections(n_neurons, max(1, -(-n_neurons // n)), high_bytes)))
    return min(found, key=lambda sized: sized[0])[1]
