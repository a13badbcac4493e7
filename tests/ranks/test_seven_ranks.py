"""Seven ranks, some without neurons, some silent, one with nearly all: as on one rank."""

import pytest

from simcore.partition import PARTITIONERS
from tests.networks import every_feature
from tests.ranks.compare import half_silent, pair
from tests.side_by_side import nearly_all

RANKS = (7,)


@pytest.mark.parametrize(
    ("partitioner", "threads"), [("balanced", 1), ("block", 2), ("round_robin", 3)]
)
def test_every_feature(assert_same, comm, parallel_assert, partitioner, threads):
    _, expected = assert_same(
        "features", every_feature(), 20.0, partitioner, "cpu", threads=threads
    )

    parallel_assert(comm, expected["steps"].size > 500, "the network is nearly silent")


def test_one_rank_with_nearly_everything(assert_same, comm, parallel_assert, monkeypatch):
    def crowded(network, n_ranks):
        return nearly_all(network.n_neurons, 3, n_ranks)

    monkeypatch.setitem(PARTITIONERS, "crowded", crowded)

    simulation, _ = assert_same("features", every_feature(), 20.0, "crowded", "cpu")

    alone = simulation.neurons.size == 1
    parallel_assert(comm, alone == (comm.rank != 3), f"{simulation.neurons.size} neurons")


def test_five_empty_ranks(assert_same, comm, parallel_assert):
    simulation, expected = assert_same("pair", pair(), 20.0, "round_robin", "cpu")

    sizes = comm.allgather(simulation.neurons.size)
    parallel_assert(comm, sizes == [1, 1, 0, 0, 0, 0, 0], f"sizes are {sizes}")
    parallel_assert(comm, expected["steps"].size > 5, "the pair is silent")


def test_silent_ranks(assert_same, comm, parallel_assert):
    _, expected = assert_same("silent", half_silent(), 40.0, "block", "cpu")

    parallel_assert(comm, expected["steps"].size > 100, "nobody fires")
    parallel_assert(comm, bool((expected["gids"] < 40).all()), "the silent half fires")
