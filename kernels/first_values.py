"""The first values of the columns of a shard's neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.description.drawing import parameters, pieces
from simcore.description.population import Population, Start
from simcore.language.expression import evaluate, symbols
from simcore.language.per_neuron import PerNeuron
from simcore.numerics import random
from simcore.services.errors import require
from simcore.shards.neuron_state import Columns, NeuronState
from simcore.shards.shard_spec import ShardSpec


def first_values(shard: ShardSpec, real: np.dtype) -> NeuronState:
    """Return the first values of all columns; those that are relative to a parameter as such.

    Parameters
    ----------
    shard : ShardSpec
        What the rank owns.
    real : dtype
        Type of the state.
    """
    columns: list[Columns] = []
    firsts = [p.first for p in shard.network.populations]
    for population in shard.network.populations:
        begin, end = shard.neurons.lid_range(population.view().gid_range)
        gids = shard.neurons.gids[begin:end]
        columns.append(_of_population(shard.network.seed, shard.dt, population, gids, real))
    borders = np.array([*firsts, shard.network.n_neurons], dtype=np.int64)
    return NeuronState(shard.neurons.gids, borders, tuple(columns))


def _of_population(
    seed: int, dt: float, population: Population, gids: NDArray[np.int64], real: np.dtype
) -> Columns:
    neuron = population.neuron
    if neuron is None:
        return {}
    starts = neuron.definition.starts
    found: Columns = {
        c.name: np.zeros(gids.size, dtype=real if c.kind == "real" else np.int16)
        for c in neuron.layout.columns
    }
    formulas = [x for name, x in starts.items() if name not in population.start]
    used = set().union(*(symbols(x) for x in formulas))
    used |= {c.relative_to for c in neuron.layout.reals if c.relative_to}
    once = used.isdisjoint(neuron.varying)
    values: dict[str, Any] = {"h": dt, **neuron.values}
    for some, own in pieces(gids):
        if not once:
            values |= parameters(population, own)
        for k, column in enumerate(neuron.layout.columns):
            if column.kind != "real":
                continue
            name, given = column.name, population.start.get(column.name)
            if given is None:
                first = np.asarray(evaluate(starts[name], values), dtype=np.float64)
            else:
                first = _given(seed, population, k, name, given, own)
            bad = first[~np.isfinite(first)]
            subject, valid = f"population {population.name!r}: {name}", f"finite [{column.unit}]"
            require(bad.size == 0, subject, float(bad[0]) if bad.size else 0.0, valid)
            if given is not None and column.relative_to:
                first = first - values[column.relative_to]
            found[name][some] = first
    return found


def _given(
    seed: int, population: Population, k: int, name: str, given: Start, gids: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the first values of a column that are drawn, or given one by one."""
    if isinstance(given, PerNeuron):
        return given.values[gids - population.first]
    purpose = random.INITIAL_V_M if name == "V_m" else random.initial_state(k)
    words = random.draw(seed, random.stream(purpose, population.id), gids, 0)
    return given.quantile(random.uniform(words))
