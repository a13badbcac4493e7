"""Which neurons of a population are recorded, in a network and in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.description.ids import Indices
from simcore.description.network import Network
from simcore.description.records import Record

if TYPE_CHECKING:
    import h5py

RECORDED = "recorded"


def recorded_nodes(record: Record) -> Indices:
    """Return the node ids of a record, in ascending order."""
    return record.target.ids.ascending.indices


def recorded_of(network: Network) -> dict[int, Indices]:
    """Return the node ids whose spikes are recorded, by index of the population."""
    return {r.target.population.id: recorded_nodes(r) for r in network.records if not r.is_sampled}


def write_recorded(group: h5py.Group, nodes: Indices) -> None:
    """Write to a group of spikes whose they may be: an attribute, or a dataset of listed ids."""
    if isinstance(nodes, range):
        group.attrs[RECORDED] = np.array([nodes.start, nodes.stop, nodes.step], dtype=np.int64)
    else:
        group[RECORDED] = nodes.astype(np.uint64)


def read_recorded(group: h5py.Group) -> Indices | None:
    """Return the node ids that were recorded, from a group of spikes; None where it does not tell.

    Raises
    ------
    ValueError
        When they do not ascend.
    """
    if RECORDED in group:
        nodes: NDArray[np.int64] = group[RECORDED][()].astype(np.int64)
        if nodes.ndim != 1 or not nodes.size or nodes[0] < 0 or (np.diff(nodes) <= 0).any():
            raise ValueError(f"recorded of {group.name!r} does not ascend")
        return nodes
    if RECORDED not in group.attrs:
        return None
    start, stop, step = (int(k) for k in group.attrs[RECORDED])
    return range(start, stop, step) if step > 0 else range(-1, 0)
