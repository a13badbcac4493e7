"""The neurons and stimuli of a shard as flat tables, the same for every backend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.description.neurons import SpikeTrains
from simcore.discretization.limits import largest_multiplicity, train_steps
from simcore.kernels.first_values import first_values
from simcore.kernels.poisson_groups import poisson_groups
from simcore.kernels.segments import Segments
from simcore.language.program import Program
from simcore.numerics.clock import Clock
from simcore.shards.neuron_state import NeuronState
from simcore.shards.shard_spec import ShardSpec


@dataclass(frozen=True)
class NeuronTables:
    """The neurons and stimuli of a shard as flat tables.

    Parameters
    ----------
    segments : structured ndarray
        See `simcore.kernels.segments.SEGMENT`; ordered by lid.
    programs : tuple of Program
        The models in use.
    varying : tuple of frozenset of int
        For each of these, which of its numbers differ from neuron to neuron, see
        `simcore.language.program.varying_numbers`.
    numbers : ndarray
        What is known of each segment before the run: what its neurons share, one segment after the
        other, and then what differs.
    changes : (ndarray of int64, ndarray of int64, ndarray)
        Step, place among `numbers` and new value of every change of an input current, ordered by
        step.
    groups : structured ndarray
        See `simcore.kernels.poisson_groups.POISSON_GROUP`; ordered by block.
    thresholds : ndarray of uint32
        Thresholds of the groups' tables, one after the other.
    members : ndarray of int64
        Lids of groups with gaps, ascending in each, one group after the other.
    trains : (ndarray of int64, ndarray of int64)
        Step and lid of every given spike, ordered by step, then lid.
    start : NeuronState
        First values of the columns of all neurons.
    n_receptors : int
        Largest number of receptors of a neuron.
    """

    segments: NDArray[np.void]
    programs: tuple[Program, ...]
    varying: tuple[frozenset[int], ...]
    numbers: NDArray[np.floating]
    changes: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]
    groups: NDArray[np.void]
    thresholds: NDArray[np.uint32]
    members: NDArray[np.int64]
    trains: tuple[NDArray[np.int64], NDArray[np.int64]]
    start: NeuronState
    n_receptors: int


def make_neuron_tables(shard: ShardSpec, real: np.dtype) -> NeuronTables:
    """Return the flat tables of a shard.

    Parameters
    ----------
    shard : ShardSpec
        What the rank owns.
    real : dtype
        Type of the state, float64 or float32.
    """
    segments = Segments(shard)
    groups, thresholds, members = poisson_groups(shard)
    steps, places, values = segments.changes()
    return NeuronTables(
        segments=segments.table(),
        programs=tuple(program for program, _ in segments.kinds),
        varying=tuple(varying for _, varying in segments.kinds),
        numbers=segments.numbers().astype(real, copy=False),
        changes=(steps, places, values.astype(real)),
        groups=groups,
        thresholds=thresholds,
        members=members,
        trains=_trains(shard),
        start=first_values(shard, real),
        n_receptors=max((p.n_receptors for p in shard.network.populations), default=1),
    )


def most_spikes(shard: ShardSpec) -> int:
    """Return how many spikes the neurons of a shard can emit in one step."""
    return int(most_spikes_of(shard, np.array([0, shard.neurons.size])).sum())


def most_spikes_of(shard: ShardSpec, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many spikes the neurons of each part of a shard can emit in one step.

    Parameters
    ----------
    shard : ShardSpec
        What the rank owns.
    bounds : ndarray of int64, shape (n + 1,)
        Bounds of the parts, in lids.
    """
    most = np.zeros(bounds.size - 1, dtype=np.int64)
    for population in shard.network.populations:
        own = np.clip(bounds, *shard.neurons.lid_range(population.view().gid_range))
        most += np.diff(own) * largest_multiplicity(population, shard.dt)
    return most


def _trains(shard: ShardSpec) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return steps and lids of the given spikes of local sources."""
    clock = Clock(shard.dt)
    steps, lids = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for population in shard.network.populations:
        if not isinstance(population.model, SpikeTrains):
            continue
        _, ids = population.model.arrays()
        begin, end = shard.neurons.lid_range(population.view().gid_range)
        owned = shard.neurons.gids[begin:end] - population.first
        found = np.searchsorted(owned, ids)
        local = found < owned.size
        local[local] = owned[found[local]] == ids[local]
        steps.append(train_steps(population, clock)[local])
        lids.append(begin + found[local])
    all_steps, all_lids = np.concatenate(steps), np.concatenate(lids)
    order = np.lexsort((all_lids, all_steps))
    return all_steps[order], all_lids[order]
