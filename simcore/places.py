"""Places: how a GPU keeps the channel and the target of a synapse, in 3 or 4 bytes.

A place has the channel in its high bits and the target in its low ones. Targets are counted within
a section, which is as many neighbouring blocks as places have room for. So a row holds all that a
source sends to a section, and stays long where blocks are many; and a run of a single synapse
costs nothing.
"""

from __future__ import annotations

from simcore.fixed_point import Form

# A place: 16 bits, and this many bytes beside them
LOW_BYTES = 2
HIGH_BYTES = (1, 2)

# The weight of a synapse beside its place [B]
WEIGHT_BYTES = {Form.CONSTANT: 0, Form.DRAWN: 2, Form.EXACT: 4}

# A group of 64 sources: which of them have a row, rows before, synapses before [B]
GROUP_BYTES = 24

# A row: the low half of the number of its first synapse [B]
ROW_BYTES = 4


def blocks_together(largest_block: int, n_channels: int, high_bytes: int) -> int:
    """Return how many blocks make a section; 0 when places of this size serve not even one.

    Parameters
    ----------
    largest_block : int
        Neurons of the largest block.
    n_channels : int
        Number of channels.
    high_bytes : int
        Of `HIGH_BYTES`.
    """
    bits = 8 * (LOW_BYTES + high_bytes) - int(n_channels - 1).bit_length()
    return 2**bits // largest_block if bits >= 0 else 0


def synapse_bytes(form: Form, high_bytes: int) -> int:
    """Return what a synapse takes, without the index [B]."""
    return LOW_BYTES + high_bytes + WEIGHT_BYTES[form]


def index_bytes(n_sources: int, n_rows: float) -> float:
    """Return what finds the synapses of a section [B]."""
    return GROUP_BYTES * -(-n_sources // 64) + ROW_BYTES * (n_rows + 1)
