"""Who owns which neuron."""

from simcore.partition.partition import CyclicPartition, Partition, RangePartition
from simcore.partition.partitioners import PARTITIONERS, check_partitioner, partition, share_out

__all__ = [
    "PARTITIONERS",
    "CyclicPartition",
    "Partition",
    "RangePartition",
    "check_partitioner",
    "partition",
    "share_out",
]
