"""Whether the blocks of a launch are a team, each with a part of the neurons for itself.

A team meets less often and reaches the input of its neurons faster than a grid that shares all of
them, see team.cuh. It requires that a part fits into the memory of a block; that launches have many
steps, because the input is copied there and back in each; and that rows are long enough to be
divided among the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simcore.kernels.cuda import structs
from simcore.kernels.cuda.structs import Parts, Pieces, n_slots
from simcore.kernels.cuda.synapses import CHANNEL, Section
from simcore.kernels.neuron_tables import NeuronTables, most_spikes_of
from simcore.shards.shard_spec import ShardSpec

# Threads of a block, as many as advance.cu is compiled for, each of which waits for the post of one
# block at most
THREADS = 1024

# Neurons of a block at least: the blocks of a smaller team meet faster
FEWEST_NEURONS = 32

# Steps of an epoch at least
FEWEST_STEPS = 16

# Synapses that a source has at the neurons of a block, at least and on the average
FEWEST_SYNAPSES = 4

# Synapses of a table that are expected at most, so that their numbers fit 32 bits
MOST_SYNAPSES = 0.99 * 2**32

# Steps between two meetings at most, which bounds the mailboxes
LONGEST_INTERVAL = 16


@dataclass(frozen=True)
class BlockTeam:
    """Blocks that have a part of the neurons each.

    Parameters
    ----------
    interval : int
        Steps between two meetings.
    room : int
        Spikes of a part between two meetings at most.
    shared_bytes : int
        What a block keeps in its own memory [B].
    """

    interval: int
    room: int
    shared_bytes: int


def team_parts(shard: ShardSpec, sections: list[Section], n_units: int) -> Parts | None:
    """Return the parts of a team; none where synapses or epochs do not suit one.

    Parameters
    ----------
    shard : ShardSpec
        What the rank owns.
    sections : list of Section
        Its synapses.
    n_units : int
        Multiprocessors of the device.
    """
    n = shard.neurons.size
    n_blocks = min(n_units, THREADS, max(1, n // FEWEST_NEURONS))
    parts = Parts(n, max(1, -(-n // n_blocks)))
    n_rows = sum(section.n_sources for section in sections)
    short = sum(s.expected for s in sections) < FEWEST_SYNAPSES * parts.n * n_rows
    many = any(section.expected >= MOST_SYNAPSES for section in sections)

    # An epoch of a GPU is half the shortest delay
    if short or many or shard.earliest // 2 < FEWEST_STEPS:
        return None
    return parts


def make_team(
    shard: ShardSpec,
    neuron_tables: NeuronTables,
    parts: Parts,
    pieces: Pieces,
    sections: list[Section],
) -> BlockTeam:
    """Return the team of some parts, whether there is room for it or not."""
    delays = [int(section.spec.delays.min()) for section in sections]
    interval = min([*delays, LONGEST_INTERVAL])
    room = interval * int(most_spikes_of(shard, parts.bounds).max())
    return BlockTeam(interval, room, _shared_bytes(shard, neuron_tables, parts, pieces, sections))


def _shared_bytes(
    shard: ShardSpec,
    neuron_tables: NeuronTables,
    parts: Parts,
    pieces: Pieces,
    sections: list[Section],
) -> int:
    """Return what the constructor of `TeamBlock` in team.cuh gives away [B]."""
    n, receptors = parts.size, neuron_tables.n_receptors
    table = 8 * len(structs.TABLE_FIELDS)
    sizes = [
        structs.BLOCK_SCRATCH_BYTES + 8 * structs.LISTED,
        8 * len(structs.CURSOR_FIELDS),
        structs.SEGMENT.itemsize * pieces.most("segments"),
        8 * len(structs.GROUP_FIELDS) * pieces.most("groups"),
        8 * n,
        neuron_tables.numbers.itemsize * pieces.most("columns"),
        neuron_tables.numbers.itemsize * pieces.most("numbers"),
        4 * n * receptors * n_slots(shard),
        4 * n,
        4 * neuron_tables.thresholds.size,
        2 * n,
        table * len(sections),
        *(CHANNEL.itemsize * section.spec.n_channels for section in sections),
    ]
    return int(sum(-(-np.array(sizes) // 16) * 16))
