"""Connection rules, by NEST's names, and the projections they form.

A rule says how many synapses arrive at each target and where they come from. It holds no random
numbers and knows neither ranks nor devices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.description.distributions import Distribution
from simcore.description.neurons import _as_indices
from simcore.description.population import PopulationView
from simcore.services.errors import CapacityError, require

# Neurons that a draw chooses from at most: a fraction of 64 bits times their number fits 96 bits
MAX_CHOICE = 2**32

# Synapses of a rule at most: the index of a draw has 48 bits
MAX_COUNT = 2**48


@dataclass(frozen=True)
class Rule:
    """Base of the connection rules."""

    def describe(self) -> dict[str, Any]:
        """Return name and parameters as plain values."""
        return {"rule": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class FixedIndegree(Rule):
    """Every target receives the same number of synapses, from sources drawn uniformly.

    Parameters
    ----------
    indegree : int
        Synapses per target.
    allow_autapses : bool
        Whether a neuron may connect to itself.
    allow_multapses : bool
        Whether a pair may be connected more than once.
    """

    indegree: int
    allow_autapses: bool = True
    allow_multapses: bool = True

    def __post_init__(self) -> None:
        _require_count("FixedIndegree: indegree", self.indegree)


@dataclass(frozen=True)
class FixedOutdegree(Rule):
    """Every source sends the same number of synapses, to targets drawn uniformly.

    Parameters
    ----------
    outdegree : int
        Synapses per source.
    allow_autapses : bool
        Whether a neuron may connect to itself.
    allow_multapses : bool
        Whether a pair may be connected more than once.
    """

    outdegree: int
    allow_autapses: bool = True
    allow_multapses: bool = True

    def __post_init__(self) -> None:
        _require_count("FixedOutdegree: outdegree", self.outdegree)


@dataclass(frozen=True)
class FixedTotalNumber(Rule):
    """A given number of synapses, each from a uniform source to a uniform target.

    Pairs are drawn with replacement, so multapses are always allowed, as in NEST.

    Parameters
    ----------
    n : int
        Synapses in all.
    allow_autapses : bool
        Whether a neuron may connect to itself.
    """

    n: int
    allow_autapses: bool = True

    def __post_init__(self) -> None:
        _require_count("FixedTotalNumber: n", self.n)


@dataclass(frozen=True)
class PairwiseBernoulli(Rule):
    """Every pair of source and target is connected with the same probability.

    Parameters
    ----------
    p : float
        The probability.
    allow_autapses : bool
        Whether a neuron may connect to itself.
    """

    p: float
    allow_autapses: bool = True

    def __post_init__(self) -> None:
        number = isinstance(self.p, (int, float)) and not isinstance(self.p, bool)
        require(number and 0.0 <= self.p <= 1.0, "PairwiseBernoulli: p", self.p, "in [0, 1]")


@dataclass(frozen=True)
class OneToOne(Rule):
    """Source i is connected to target i; both sides have the same size.

    They count in the order of the views: ``connect(E, E[::-1], OneToOne(), ...)`` connects the
    first with the last.
    """


@dataclass(frozen=True)
class AllToAll(Rule):
    """Every source is connected to every target.

    Parameters
    ----------
    allow_autapses : bool
        Whether a neuron connects to itself.
    """

    allow_autapses: bool = True


@dataclass(frozen=True, eq=False)
class Edges(Rule):
    """Given synapses, one per entry.

    Parameters
    ----------
    sources, targets : array_like of int, shape (n_synapses,)
        Indices within the source and the target, populations or views, in their order.
    weights : array_like of float, shape (n_synapses,), optional
        Weight of each synapse, in the unit of the target; instead of `weight` in `connect`.
    delays : array_like of float, shape (n_synapses,), optional
        Delay of each synapse [ms]; instead of `delay` in `connect`.
    """

    sources: ArrayLike
    targets: ArrayLike
    weights: ArrayLike | None = None
    delays: ArrayLike | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", _as_indices("Edges: sources", self.sources))
        object.__setattr__(self, "targets", _as_indices("Edges: targets", self.targets))
        shape = np.shape(self.sources)
        for name in ("targets", "weights", "delays"):
            values = getattr(self, name)
            if values is None:
                continue
            if name != "targets":
                values = np.atleast_1d(np.asarray(values, dtype=np.float64))
                object.__setattr__(self, name, values)
                bad = values[~np.isfinite(values)]
                require(bad.size == 0, f"Edges: {name}", bad[:1].tolist(), "finite")
            require(
                values.shape == shape,
                f"Edges: shape of {name}",
                values.shape,
                f"that of sources, {shape}",
            )

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the indices of sources and targets."""
        return np.asarray(self.sources), np.asarray(self.targets)

    def describe(self) -> dict[str, Any]:
        """Return name and a digest of the edges as plain values."""
        from simcore.services.digest import digest_arrays

        arrays = [
            np.asarray(values)
            for values in (self.sources, self.targets, self.weights, self.delays)
            if values is not None
        ]
        size = int(np.size(self.sources))
        return {"rule": "Edges", "n_synapses": size, "digest": digest_arrays(*arrays)}


@dataclass(frozen=True, eq=False, slots=True)
class Projection:
    """The synapses from one view of a population to another, made by one rule.

    Parameters
    ----------
    id : int
        Its place in the order of `connect` calls; part of the key of its random numbers.
    source, target : PopulationView
        Where the synapses start and end.
    rule : Rule
        The connection rule.
    weight : Distribution or None
        Weights, in the unit of the target; None when the rule carries them.
    delay : Distribution or None
        Delays [ms]; None when the rule carries them.
    receptor : str or None
        Input of the target; None leaves it to the sign of each weight.
    """

    id: int
    source: PopulationView
    target: PopulationView
    rule: Rule
    weight: Distribution | None
    delay: Distribution | None
    receptor: str | None = None

    @property
    def name(self) -> str:
        """Return source and target for messages."""
        return f"projection {self.source.name!r} to {self.target.name!r}"

    @property
    def receptors(self) -> tuple[int, int]:
        """Inputs of the target for weights of at least 0, and for negative ones."""
        return self.target.population.receptor_pair(self.receptor, self.name)

    @property
    def counts(self) -> bool:
        """Whether the target counts spikes, whatever their weights."""
        return self.target.population.counts(self.receptors[0])

    @property
    def autapses_possible(self) -> bool:
        """Whether a neuron is both source and target."""
        return self.source.overlaps(self.target)

    @property
    def excludes_autapses(self) -> bool:
        """Whether the rule must leave out pairs of a neuron with itself."""
        return self.autapses_possible and not getattr(self.rule, "allow_autapses", True)

    def is_like(self, other: Projection) -> bool:
        """Return whether another one has the same rule, weights, delays and receptor."""
        mine, theirs = ((p.rule, p.weight, p.delay, p.receptor) for p in (self, other))
        return all(a is b or a == b for a, b in zip(mine, theirs, strict=True))


@dataclass
class _Group:
    """Projections from each of some sources to each of the same targets, all alike."""

    first: Projection
    sources: list[str]
    targets: list[str]

    def describe(self) -> dict[str, Any]:
        """Return the projections as plain values; a single name instead of a list of one."""
        names = ([*self.sources], [*self.targets])
        source, target = (side[0] if len(side) == 1 else side for side in names)
        weight, delay = self.first.weight, self.first.delay
        return {
            "source": source,
            "target": target,
            **self.first.rule.describe(),
            "weight": None if weight is None else weight.describe(),
            "delay": None if delay is None else delay.describe(),
            **({} if self.first.receptor is None else {"receptor": self.first.receptor}),
        }


def describe_projections(projections: Iterable[Projection]) -> list[dict[str, Any]]:
    """Return projections as plain values, in their order.

    Those that follow one another and differ in source and target alone are described together, as
    one call of `connect` with lists makes them.
    """
    rows: list[_Group] = []
    for p in projections:
        row = rows[-1] if rows else None
        if row and row.sources == [p.source.name] and row.first.is_like(p):
            row.targets.append(p.target.name)
        else:
            rows.append(_Group(p, [p.source.name], [p.target.name]))
    groups: list[_Group] = []
    for row in rows:
        last = groups[-1] if groups else None
        if last and last.targets == row.targets and last.first.is_like(row.first):
            last.sources += row.sources
        else:
            groups.append(row)
    return [group.describe() for group in groups]


def check_projection(projection: Projection) -> None:
    """Raise `ModelError` when the rule cannot be met by the two sides.

    Parameters
    ----------
    projection : Projection
        What to check.
    """
    rule, name = projection.rule, projection.name
    n_sources, n_targets = projection.source.size, projection.target.size
    if isinstance(rule, (FixedIndegree, FixedTotalNumber, PairwiseBernoulli)):
        _check_choice(f"{name}: sources", n_sources)
    if isinstance(rule, FixedOutdegree):
        _check_choice(f"{name}: targets", n_targets)
    excluded = int(projection.excludes_autapses)
    if isinstance(rule, FixedIndegree):
        _check_degree(f"{name}: indegree", rule.indegree, rule.allow_multapses, n_sources, excluded)
    elif isinstance(rule, FixedOutdegree):
        degree = rule.outdegree
        _check_degree(f"{name}: outdegree", degree, rule.allow_multapses, n_targets, excluded)
    elif isinstance(rule, FixedTotalNumber):
        pairs_exist = n_sources > excluded or rule.n == 0
        require(pairs_exist, f"{name}: sources", n_sources, f"more than {excluded}")
    elif isinstance(rule, OneToOne):
        require(
            n_sources == n_targets,
            f"{name}: number of sources",
            n_sources,
            f"the number of targets, {n_targets}, for OneToOne",
        )
    elif isinstance(rule, Edges):
        for side, ids, size in zip(
            ("sources", "targets"), rule.pairs(), (n_sources, n_targets), strict=True
        ):
            bad = ids[(ids < 0) | (ids >= size)]
            require(bad.size == 0, f"{name}: {side}", bad[:1].tolist(), f"in [0, {size})")


def _check_choice(subject: str, n: int) -> None:
    """Raise `CapacityError` when there are more to choose from than a draw can tell apart."""
    remedy = "Divide them among several views, and connect each by a rule of its own."
    require(n < MAX_CHOICE, subject, n, "below 2**32", remedy, CapacityError)


def _check_degree(subject: str, degree: int, multapses: bool, available: int, less: int) -> None:
    available -= less
    require(available > 0 or degree == 0, subject, degree, "0, because there are no partners")
    if not multapses:
        require(
            degree <= available,
            subject,
            degree,
            f"at most {available}, the number of partners",
            "Allow multapses or lower the degree.",
        )


def _require_count(subject: str, value: Any) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    valid = "a whole number of at least 0, and below 2**48"
    require(whole and 0 <= value < MAX_COUNT, subject, value, valid)
