"""What is needed to draw the synapses of a projection: tables instead of distributions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.description.connectivity import Edges, Projection
from simcore.discretization.fixed_point import FixedPoint, WeightForm
from simcore.discretization.tables import DiscreteTable, delay_table, discrete_table
from simcore.numerics.clock import Grid
from simcore.numerics.spikes import MAX_OFFSET
from simcore.services.errors import CapacityError, require

Channel = tuple[int, int, int]

# Given delays that are turned into steps together
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class ProjectionTables:
    """A projection with its distributions turned into tables.

    Parameters
    ----------
    projection : Projection
        The projection.
    delays : DiscreteTable
        Delays in steps; for edges with delays of their own, a table that spans them.
    weights : ndarray of int32
        One weight, 2**16 equally likely ones, or one per edge, in quanta.
    form : WeightForm
        How the weights are kept.
    indegree_bound : int
        Largest in-degree that the fixed-point sums allow for.
    edge_delays : ndarray of int64 or None
        Delay of each edge in steps, where the rule carries them.
    """

    projection: Projection
    delays: DiscreteTable
    weights: NDArray[np.int32]
    form: WeightForm
    indegree_bound: int
    edge_delays: NDArray[np.int64] | None = None

    @property
    def receptors(self) -> tuple[int, int]:
        """Receptors of weights of at least 0, and of negative ones."""
        return self.projection.receptors

    @property
    def _constant(self) -> int:
        return int(self.weights[0]) if self.form is WeightForm.CONSTANT else 0

    @property
    def span(self) -> tuple[int, int, tuple[int, ...], int]:
        """First and last delay, receptors, and constant weight of all synapses that may occur."""
        lowest, highest = self.weights.min(), self.weights.max()
        signs = [self.receptors[0]] if highest >= 0 else []
        signs += [self.receptors[1]] if lowest < 0 else []
        receptors = tuple(sorted(set(signs)))
        return self.delays.first, self.delays.last, receptors, self._constant

    def negative_share(self) -> float:
        """Return the share of the synapses with a negative weight."""
        if self.weights.size == 0 or self.weights.min() >= 0:
            return 0.0
        return float(np.count_nonzero(self.weights < 0) / self.weights.size)

    def shares(self) -> dict[Channel, float]:
        """Return each channel with the share of the synapses that it is expected to carry."""
        negative = self.negative_share()
        shares: dict[Channel, float] = {}
        for delay, share in enumerate(self.delays.probabilities(), self.delays.first):
            for receptor, part in zip(self.receptors, (1.0 - negative, negative), strict=True):
                if part > 0.0:
                    key = delay, receptor, self._constant
                    shares[key] = shares.get(key, 0.0) + float(share) * part
        return shares

    def channel_of(self, index: dict[Channel, int]) -> NDArray[np.int32]:
        """Return the channel by delay and sign of the weight, shape (2 * n_delays,).

        Parameters
        ----------
        index : dict
            Number of each channel in the table.
        """
        keys = [
            (delay, receptor, self._constant)
            for delay in range(self.delays.first, self.delays.last + 1)
            for receptor in self.receptors
        ]
        return np.array([index.get(k, -1) for k in keys], dtype=np.int32)


def all_channels(projections: Iterable[ProjectionTables]) -> list[Channel]:
    """Return the channels of all synapses that may occur, sorted.

    Parameters
    ----------
    projections : iterable of ProjectionTables
        Those of one table; all have weights.
    """
    return sorted(
        {
            (delay, receptor, constant)
            for first, last, receptors, constant in {r.span for r in projections}
            for delay in range(first, last + 1)
            for receptor in receptors
        }
    )


def make_projection_tables(
    projection: Projection, points: FixedPoint, dt: float
) -> ProjectionTables:
    """Return the tables of a projection.

    Parameters
    ----------
    projection : Projection
        The projection.
    points : FixedPoint
        The whole-number weights of the network.
    dt : float
        Time step [ms].

    Raises
    ------
    ModelError
        When a delay is below one time step.
    """
    weights = points.weights[projection.id]
    edge_delays = None
    if projection.delay is None:
        edge_delays = _edge_delays(projection, dt)
        first, last = int(edge_delays.min(initial=2**15)), int(edge_delays.max(initial=1))
        count = max(1, last - first + 1)
        delays = discrete_table(min(first, last), np.arange(1, count + 1) / count)
    else:
        delays = delay_table(projection.delay, dt, projection.name)
    bound = points.indegree_bounds[projection.id]
    return ProjectionTables(projection, delays, weights.values, weights.form, bound, edge_delays)


def _edge_delays(projection: Projection, dt: float) -> NDArray[np.int64]:
    assert isinstance(projection.rule, Edges)
    given = np.asarray(projection.rule.delays, dtype=np.float64)
    steps = np.empty(given.size, dtype=np.int64)
    for begin in range(0, given.size, _BLOCK):
        block = slice(begin, begin + _BLOCK)
        steps[block] = Grid(dt).nearest(given[block])
    subject = f"{projection.name}: delay [ms]"
    bad, valid = given[steps < 1], f"at least one time step, {dt!r} ms, after rounding"
    require(bad.size == 0, subject, bad[:1].tolist(), valid, "Lengthen it.")
    bad, valid = given[steps >= MAX_OFFSET], f"below {MAX_OFFSET * dt:.10g} ms, {MAX_OFFSET} steps"
    remedy = "Shorten it, or lengthen the time step."
    require(bad.size == 0, subject, bad[:1].tolist(), valid, remedy, CapacityError)
    return steps
