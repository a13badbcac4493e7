"""What crosses ranks: how often they must meet, and how many a spike must reach."""

from __future__ import annotations

import numpy as np

from simcore.construction.projection_tables import ProjectionTables
from simcore.description.connectivity import Edges, OneToOne
from simcore.description.degrees import n_synapses
from simcore.estimates.expected_synapses import Expectation
from simcore.numerics.clock import Clock
from simcore.planning.ranks import Ranks
from simcore.planning.rates import Rates, segment_rates
from simcore.shards.recording_buffers import longest_epoch


def epoch_steps(expectation: Expectation, ranks: Ranks) -> int:
    """Return the steps between two exchanges: the shortest delay that crosses ranks.

    Where that is a matter of chance, it is the shortest of which half of all networks have one.
    On GPUs it is half of that, because spikes travel while the next epoch is computed. It is less
    where more would be recorded in it than may wait for a flush.
    """
    cuda = ranks.setup.backend == "cuda"
    clock = Clock(ranks.setup.dt)
    longest = longest_epoch(expectation.network, clock, unbounded=False)
    crossing: dict[int, float] = {}
    for tables in expectation.projections:
        for delay, n in _crossing(tables, ranks):
            crossing[delay] = crossing.get(delay, 0.0) + n
    found = 0.0
    for delay in sorted(crossing):
        found += crossing[delay]
        if found >= np.log(2.0):
            return min(delay // 2 if cuda and delay >= 2 else delay, longest)
    return longest_epoch(expectation.network, clock, unbounded=not cuda)


def _crossing(tables: ProjectionTables, ranks: Ranks) -> list[tuple[int, float]]:
    """Return the expected number of synapses between ranks for each delay of a projection."""
    projection, threads = tables.projection, ranks.setup.threads
    if isinstance(projection.rule, Edges):
        pairs = zip(projection.rule.pairs(), (projection.source, projection.target), strict=True)
        one, other = (ranks.division.owner(view.ids.at(ids)) // threads for ids, view in pairs)
        apart = one != other
        if tables.edge_delays is not None:
            delays, counts = np.unique(tables.edge_delays[apart], return_counts=True)
            return list(zip(delays.tolist(), counts.tolist(), strict=True))
        n = float(apart.sum())
    elif isinstance(projection.rule, OneToOne):
        sides = projection.source.ids, projection.target.ids
        n = projection.target.size - float(ranks.division.n_together(*sides, threads))
    else:
        sources, targets = (
            ranks.inside(v) / v.size for v in (projection.source, projection.target)
        )
        n = n_synapses(projection) * float(1.0 - sources @ targets)
    table = tables.delays
    return [(table.first + i, n * float(p)) for i, p in enumerate(table.probabilities()) if n > 0]


def ranks_reached(expectation: Expectation, ranks: Ranks, rates: Rates) -> float:
    """Return how many ranks hold a target of a spike, its own counted."""
    chosen, stands_for = ranks.kinds
    reached = np.zeros(expectation.sizes.size)
    for rank, n in zip(chosen, stands_for, strict=True):
        reached += n * expectation.reached(ranks.shards(int(rank)))
    weights = expectation.sizes.astype(np.float64)
    if rates.known and (rates.values > 0.0).any():
        weights *= segment_rates(expectation, rates)
    return float(np.average(reached, weights=weights))
