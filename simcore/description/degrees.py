"""How many synapses a projection makes: known before any is drawn."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from simcore.description.connectivity import (
    AllToAll,
    Edges,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    OneToOne,
    PairwiseBernoulli,
    Projection,
)


def n_synapses(projection: Projection) -> float:
    """Return the expected number of synapses; exact for all rules but pairwise_bernoulli."""
    rule = projection.rule
    n_sources, n_targets = projection.source.size, projection.target.size
    pairs = n_sources * n_targets - _n_autapses(projection)
    if isinstance(rule, FixedIndegree):
        return float(rule.indegree * n_targets)
    if isinstance(rule, FixedOutdegree):
        return float(rule.outdegree * n_sources)
    if isinstance(rule, FixedTotalNumber):
        return float(rule.n)
    if isinstance(rule, PairwiseBernoulli):
        return rule.p * pairs
    if isinstance(rule, OneToOne):
        return float(n_targets)
    if isinstance(rule, AllToAll):
        return float(pairs)
    if isinstance(rule, Edges):
        return float(np.size(rule.sources))
    raise TypeError(f"unknown rule {rule!r}")


def mean_indegree(projection: Projection) -> float:
    """Return the expected number of synapses per target."""
    return n_synapses(projection) / projection.target.size


def indegree_bound(projection: Projection) -> int:
    """Return a number of synapses per target that is exceeded in no build.

    Where the in-degree is random the bound lies so far in the tail (12 standard deviations and
    32 more) that the build may check it instead of allowing for it.
    """
    rule = projection.rule
    mean = mean_indegree(projection)
    in_tail = math.ceil(mean + 12.0 * math.sqrt(mean) + 32.0)
    if isinstance(rule, (FixedOutdegree, FixedTotalNumber)):
        return min(in_tail, math.ceil(n_synapses(projection)))
    if isinstance(rule, PairwiseBernoulli):
        return min(in_tail, projection.source.size)
    if isinstance(rule, AllToAll):
        return projection.source.size
    if isinstance(rule, Edges):
        _, targets = rule.pairs()
        return _most_equal(targets)
    return math.ceil(mean)


def _most_equal(numbers: NDArray[np.int64]) -> int:
    """Return how often the most frequent number occurs, in memory that grows with their count."""
    if numbers.size == 0:
        return 0
    least = int(numbers.min())
    if int(numbers.max()) - least < 8 * numbers.size:
        return int(np.bincount(numbers - least).max())
    return int(np.unique(numbers, return_counts=True)[1].max())


def _n_autapses(projection: Projection) -> int:
    if not projection.excludes_autapses:
        return 0
    return projection.source.ids.n_common(projection.target.ids)
