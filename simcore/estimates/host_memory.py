"""How much memory a rank will take: known from the description, before anything is allocated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simcore.description.connectivity import Edges
from simcore.description.degrees import n_synapses
from simcore.description.network import Network
from simcore.description.neurons import varying_of
from simcore.discretization.fixed_point import WeightForm
from simcore.estimates.expected_synapses import Expectation, TableCounts
from simcore.estimates.varying_memory import value_bytes
from simcore.language.per_neuron import PerNeuron
from simcore.shards.local_neurons import Lids

# Interpreter, libraries and kernels, measured with 100 neurons: 182 MB alone, 208 MB under MPICH;
# compiling takes 0.2 GB more, but after the build, when its buffers are free again [B]
_RANK = 208e6

# A neuron, as the CPU backend allocates it, beside the columns of its model: refractory steps 2,
# spiked 1, Poisson counts 8, global ids 16, those that spiked 8, of which not all is ever touched:
# measured [B]
_NEURON = 32

# In-degree of a target, and given delay of an edge on any rank: int64, during the build [B]
_INDEGREE = 8
_EDGE_DELAY = 8

# A projection, its weights and its name, and what it is drawn from in the build, measured; index
# of a given source and target, each weight or delay that is given beside, and an index of a view
# that lists its neurons [B]
_PROJECTION, _RECIPE = 700, 900
_EDGE, _GIVEN, _LISTED = 16, 8, 8

# Words and exact weights of a synapse, see `simcore.shards.shard.SynapseTable` [B]
SYNAPSE_BYTES = {WeightForm.CONSTANT: 2, WeightForm.DRAWN: 4, WeightForm.EXACT: 6}

# A source in the index, a row, and a run, see `simcore.shards.shard.SynapseTable` [B]
_SOURCE, _ROW, _RUN = 0.25, 8, 4

# What is listed or counted for a device at a time [B]
_LISTS = 64e6

# Key of a synapse in the sort, see `simcore.construction.buckets` [B]
_KEY = 2


@dataclass(frozen=True)
class Estimate:
    """The memory of one rank by what takes it, all in bytes.

    Parameters
    ----------
    rank : float
        What a rank needs without a network.
    description : float
        The projections, and synapses that are given one by one.
    neurons : float
        State and buffers of its neurons.
    synapses : float
        Words and exact weights.
    index : float
        What finds the synapses: bits of sources, rows and runs.
    sorting : float
        What lives during the build alone: in-degrees, given delays and the keys of one block.
    ring : float
        Input of the steps to come; the reference backend alone has it.
    """

    rank: float
    description: float
    neurons: float
    synapses: float
    index: float
    sorting: float
    ring: float

    @property
    def total(self) -> float:
        """What the build will take: the parts but the description, which is there already [B]."""
        return self.rank + self.neurons + self.synapses + self.index + self.sorting + self.ring


def estimate(expectation: Expectation, shards: Sequence[Lids], backend: str = "cpu") -> Estimate:
    """Estimate the memory that a rank needs at its peak.

    The description and its weights are not counted: they are there already, and so are missing
    from what is available.

    Parameters
    ----------
    expectation : Expectation
        What is expected of the network.
    shards : sequence of Lids
        Neurons of the rank, for each of its threads.
    backend : {"cpu", "cuda", "reference"}
        The arithmetic.

    Returns
    -------
    Estimate
    """
    network = expectation.network
    described = _description(expectation)
    projections = _RECIPE * len(network.projections)
    given = sum(n_synapses(p) for p in network.projections if p.delay is None)
    n_local = sum(neurons.size for neurons in shards)
    slots = (expectation.max_delay + 1) * expectation.receptors
    ring = slots * n_local * 8.0 if backend == "reference" else 0.0
    of_neurons = n_local * _NEURON + sum(
        column_bytes(network, own) + value_bytes(network, own, expectation.dt) for own in shards
    )
    synapses = index = 0.0
    sorting = float(projections)
    if backend == "cuda":
        # The device has the synapses; the host draws the in-degrees of all tables
        tables = [table for neurons in shards for table in expectation.tables(neurons)]
        sorting += _EDGE_DELAY * given + _INDEGREE * float(sum(t.indegrees for t in tables))
        return Estimate(_RANK, described, of_neurons, 0.0, 0.0, sorting + _LISTS, 0.0)
    for neurons in shards:
        buffers = [0.0]
        for table in expectation.tables(neurons):
            own = index_bytes(table, network.n_neurons)
            synapses += SYNAPSE_BYTES[table.form] * float(table.synapses.sum())
            index += own
            # The blocks of the index are joined when the keys are gone
            build = _INDEGREE * table.indegrees + max(_KEY * table.fullest, own)
            buffers.append(_EDGE_DELAY * given + build)
        sorting += max(buffers)
    return Estimate(_RANK, described, of_neurons, synapses, index, sorting, ring)


def _description(expectation: Expectation) -> float:
    """Return what the projections take before the build, with synapses given one by one [B]."""
    total = float(_PROJECTION * len(expectation.projections))
    rules = {id(r.projection.rule): r for r in expectation.projections}
    for recipe in rules.values():
        rule = recipe.projection.rule
        if isinstance(rule, Edges):
            columns = sum(values is not None for values in (rule.weights, rule.delays))
            total += float(np.size(rule.sources)) * (_EDGE + _GIVEN * columns)
            total += recipe.weights.nbytes
    network = expectation.network
    views = [view for p in network.projections for view in (p.source, p.target)]
    views += [d.target for d in network.drives] + [r.target for r in network.records]
    lists = {id(v.indices): v.size for v in views if not isinstance(v.indices, range)}
    values = [v for p in network.populations for v in varying_of(p.model).values()]
    values += [v for p in network.populations for v in p.start.values()]
    values += [v for d in network.drives for v in d.varying.values()]
    lists |= {id(v): v.size for v in values if isinstance(v, PerNeuron)}
    return total + _LISTED * float(sum(lists.values()))


def neuron_bytes(shards: Sequence[Lids]) -> float:
    """Return the memory that a rank needs for its neurons alone [B]."""
    return _RANK + _NEURON * float(sum(neurons.size for neurons in shards))


def column_bytes(network: Network, neurons: Lids, real: int = 8) -> float:
    """Return what the columns of the models of some neurons take, but refractory steps [B].

    Parameters
    ----------
    network : Network
        The model.
    neurons : Lids
        Which neurons.
    real : int
        Size of a number [B].
    """
    total = 0.0
    for population in network.populations:
        if population.neuron is not None:
            begin, end = neurons.lid_range(population.view().gid_range)
            total += float(real * len(population.neuron.layout.reals)) * (end - begin)
    return total


def table_bytes(table: TableCounts, n_sources: int) -> float:
    """Return the memory of a table [B], see `index_bytes`."""
    return SYNAPSE_BYTES[table.form] * float(table.synapses.sum()) + index_bytes(table, n_sources)


def index_bytes(table: TableCounts, n_sources: int) -> float:
    """Return what finds the synapses of a table [B].

    Parameters
    ----------
    table : TableCounts
        What is expected of it.
    n_sources : int
        Neurons of the whole network.
    """
    row = _ROW if table.synapses.sum() < 2**32 else 2 * _ROW
    rows, runs = float(np.sum(table.rows)), float(np.sum(table.runs))
    return table.n_blocks * n_sources * _SOURCE + rows * row + runs * _RUN
