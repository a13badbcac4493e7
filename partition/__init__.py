"""Who owns which neuron, how a shard is built, and how spikes reach other ranks."""

from simcore.partition.build import build_shard, build_shards
from simcore.partition.device import DeviceEstimate, device_tables, estimate_device
from simcore.partition.drafting import draft_shards
from simcore.partition.estimate import Estimate, estimate, neuron_bytes, table_bytes
from simcore.partition.exchange import SpikeExchange
from simcore.partition.expected import Expectation, TableCounts
from simcore.partition.partition import CyclicPartition, Partition, RangePartition
from simcore.partition.partitioners import PARTITIONERS, check_partitioner, partition, share_out

__all__ = [
    "PARTITIONERS",
    "CyclicPartition",
    "DeviceEstimate",
    "Estimate",
    "Expectation",
    "Partition",
    "RangePartition",
    "SpikeExchange",
    "TableCounts",
    "build_shard",
    "build_shards",
    "check_partitioner",
    "device_tables",
    "draft_shards",
    "estimate",
    "estimate_device",
    "neuron_bytes",
    "partition",
    "share_out",
    "table_bytes",
]
