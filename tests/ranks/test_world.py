"""The ranks the tests are launched on can talk to each other."""

import pytest


def test_allreduce_sums_the_ranks(comm, parallel_assert):
    total = comm.allreduce(comm.rank)

    expected = comm.size * (comm.size - 1) // 2
    parallel_assert(comm, total == expected, f"the ranks sum to {total}, not to {expected}")


def test_parallel_assert_fails_on_every_rank(comm, parallel_assert):
    last = comm.size - 1

    with pytest.raises(pytest.fail.Exception, match=f"rank {last}: made to fail"):
        parallel_assert(comm, comm.rank != last, "made to fail")
