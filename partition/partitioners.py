"""Ways to divide a network among ranks. Each is a function that returns a `Partition`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from simcore.description.degrees import mean_indegree
from simcore.description.network import Network
from simcore.partition.partition import CyclicPartition, Partition, RangePartition
from simcore.services.errors import ConfigError, require

# Cost of a neuron beside that of one incoming synapse, at the rates of cortex
NEURON_COST = 1000.0


def block(network: Network, n_ranks: int) -> Partition:
    """Give each rank one range of neighbours, equal in number."""
    # The product of ranks and neurons may be too large for an integer
    ranks, (each, rest) = np.arange(n_ranks + 1), divmod(network.n_neurons, n_ranks)
    bounds = ranks * each + ranks * rest // n_ranks
    return RangePartition(bounds, np.arange(n_ranks), n_ranks)


def round_robin(network: Network, n_ranks: int) -> Partition:
    """Deal the neurons out like cards."""
    return CyclicPartition(network.n_neurons, n_ranks)


def balanced(network: Network, n_ranks: int) -> Partition:
    """Give each rank an equal range of every population.

    Neurons of a population have equal expected in-degrees, so all ranks carry equal numbers of
    neurons and synapses, and the rates of the populations even out as well. What is left over by
    the division goes to the ranks that carry least so far, heaviest populations first.
    """
    cost = np.full(len(network.populations), NEURON_COST)
    for projection in network.projections:
        view = projection.target
        cost[view.population.id] += mean_indegree(projection) * view.size / view.population.size

    load = np.zeros(n_ranks)
    shares = {}
    for population in sorted(network.populations, key=lambda p: -cost[p.id]):
        share = np.full(n_ranks, population.size // n_ranks, dtype=np.int64)
        lightest = np.argsort(load, kind="stable")[: population.size % n_ranks]
        share[lightest] += 1
        load += share * cost[population.id]
        shares[population.id] = share

    sizes = np.concatenate([shares[p.id] for p in network.populations])
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    return RangePartition(bounds, np.tile(np.arange(n_ranks), len(shares)), n_ranks)


PARTITIONERS: dict[str, Callable[[Network, int], Partition]] = {
    "balanced": balanced,
    "block": block,
    "round_robin": round_robin,
}


def check_partitioner(name: str) -> None:
    """Raise `ConfigError` unless there is a partitioner of that name."""
    valid = ", ".join(PARTITIONERS)
    require(name in PARTITIONERS, "partitioner", name, f"one of {valid}", error=ConfigError)


def partition(network: Network, n_ranks: int, name: str = "balanced") -> Partition:
    """Divide a network by the partitioner of that name.

    Parameters
    ----------
    network : Network
        The model.
    n_ranks : int
        Number of ranks.
    name : {"balanced", "block", "round_robin"}
        The partitioner.

    Raises
    ------
    ConfigError
        When there is no partitioner of that name.
    """
    check_partitioner(name)
    return PARTITIONERS[name](network, n_ranks)


def share_out(
    network: Network, threads: Sequence[int], rank: int, name: str = "balanced"
) -> tuple[Partition, range]:
    """Divide a network over the threads of all ranks.

    Parameters
    ----------
    network : Network
        The model.
    threads : sequence of int
        Threads of each rank.
    rank : int
        Which rank asks.
    name : {"balanced", "block", "round_robin"}
        The partitioner.

    Returns
    -------
    Partition
        The division, with a part for each thread, the same on all ranks.
    range
        The parts of the rank.

    Raises
    ------
    ConfigError
        When there is no partitioner of that name.
    ModelError
        When the division leaves out a neuron, or has one twice.
    """
    first = sum(threads[:rank])
    parts = range(first, first + threads[rank])
    division = partition(network, sum(threads), name)
    n_neurons = network.n_neurons
    owned = division.counts(np.array([0, n_neurons], dtype=np.int64))[:, 0]
    valid = f"{n_neurons}, each with one owner"
    require(int(owned.sum()) == n_neurons, "partition: neurons", int(owned.sum()), valid)
    own = sum(division.owned(part).size for part in parts)
    valid = f"{int(owned[parts].sum())}, as many as it counts for it"
    require(own == owned[parts].sum(), f"partition: neurons of rank {rank}", own, valid)
    return division, parts
