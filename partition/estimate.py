"""How much memory a rank will take: known from the description, before anything is allocated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.connectivity import Projection
from simcore.degrees import n_synapses
from simcore.fixed_point import FixedPoint, Form
from simcore.network import Network
from simcore.partition.recipe import Channel, make_recipe
from simcore.shard import block_bounds

# Interpreter, libraries and kernels, measured with 100 neurons: 169 MB alone, 187 MB under MPICH;
# compiling takes 0.1 GB more, but after the build, when its buffers are free again [B]
_RANK = 190e6

# State of a neuron, as the CPU backend allocates it in float64: potential 8, resting potential 8,
# two currents 16, waiting 2, spiked 1, global id 8, Poisson counts 8, found 8, spikes of an epoch
# 16, history 16 to 32; the rest for what a flush collects [B]
_NEURON = 128

# In-degree of a target, and given delay of an edge on any rank: int64, during the build [B]
_INDEGREE = 8
_EDGE_DELAY = 8

# Words and exact weights of a synapse, see `simcore.shard.SynapseTable` [B]
_SYNAPSE = {Form.CONSTANT: 2, Form.DRAWN: 4, Form.EXACT: 6}

# Key of a synapse in the sort, see `simcore.partition.buckets` [B]
_KEY = 2


@dataclass(frozen=True)
class Estimate:
    """The memory of one rank by what takes it, all in bytes.

    Parameters
    ----------
    rank : float
        What a rank needs without a network.
    neurons : float
        State and buffers of its neurons.
    synapses : float
        Words and exact weights.
    index : float
        Where each run of synapses starts.
    sorting : float
        What lives during the build alone: in-degrees, given delays and the keys of one block.
    ring : float
        Input of the steps to come; the reference backend alone has it.
    """

    rank: float
    neurons: float
    synapses: float
    index: float
    sorting: float
    ring: float

    @property
    def total(self) -> float:
        """The sum of the parts [B]."""
        return self.rank + self.neurons + self.synapses + self.index + self.sorting + self.ring


def estimate(
    network: Network, points: FixedPoint, n_local: int, dt: float, backend: str = "cpu"
) -> Estimate:
    """Estimate the memory that a rank needs at its peak.

    The description and its `points` are not counted: they are there already, and so are missing
    from what is available.

    Parameters
    ----------
    network : Network
        The model.
    points : FixedPoint
        Its weights; they tell in which form each synapse is kept.
    n_local : int
        Neurons of the rank, assumed to be an equal share of every population.
    dt : float
        Time step [ms].
    backend : {"auto", "cpu", "reference"}
        The arithmetic.

    Returns
    -------
    Estimate

    Raises
    ------
    ModelError, CapacityError
        When a delay does not fit the time step.
    """
    if n_local == 0:
        return Estimate(_RANK, 0.0, 0.0, 0.0, 0.0, 0.0)
    receptors = max((p.n_receptors for p in network.populations), default=1)
    blocks = block_bounds(n_local, receptors) * (network.n_neurons / n_local)
    channels, max_delay = _channels(network, points, dt)
    share = n_local / network.n_neurons
    reference = backend == "reference"

    given = sum(n_synapses(p) for p in network.projections if p.delay is None)
    synapses, index, buffers = 0.0, 0.0, [0.0]
    for form, found in channels.items():
        chosen = [p for p in network.projections if points.weights[p.id].form is form]
        expected = share * sum(n_synapses(p) for p in chosen)
        entry = 4 if expected < 2**32 else 8
        runs = (blocks.size - 1) * network.n_neurons
        synapses += expected * _SYNAPSE[form]
        index += entry * (runs * len(found) + 1.0)
        indegrees = _INDEGREE * share * sum(p.target.size for p in chosen)
        keys = _KEY * share * _largest_block(chosen, blocks)
        buffers.append(_EDGE_DELAY * given + indegrees + keys)
    return Estimate(
        rank=_RANK,
        neurons=n_local * _NEURON,
        synapses=synapses,
        index=index,
        sorting=max(buffers),
        ring=(max_delay + 1) * 2 * n_local * 8.0 if reference else 0.0,
    )


def _channels(
    network: Network, points: FixedPoint, dt: float
) -> tuple[dict[Form, set[Channel]], int]:
    """Return the channels of each form in use, and the longest delay [steps]."""
    channels: dict[Form, set[Channel]] = defaultdict(set)
    longest = 1
    for projection in network.projections:
        recipe = make_recipe(projection, points, dt)
        channels[recipe.form].update(recipe.channels())
        longest = max(longest, recipe.delays.last)
    return channels, longest


def _largest_block(projections: Iterable[Projection], blocks: NDArray[np.floating]) -> float:
    """Return the synapses of the fullest block, were all neurons local."""
    totals = np.zeros(blocks.size - 1)
    for p in projections:
        begin, end = p.target.gid_range
        inside = np.minimum(end, blocks[1:]) - np.maximum(begin, blocks[:-1])
        totals += n_synapses(p) / p.target.size * np.maximum(inside, 0.0)
    return float(totals.max())
