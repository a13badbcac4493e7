"""What the tests that run on ranks share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def comm():
    """The world communicator, of the size the tests were launched with."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    expected = int(os.environ.get("SIMCORE_TEST_RANKS", world.size))
    if world.size != expected:
        pytest.exit(
            f"{expected} ranks were launched, the world has {world.size}: mpiexec and mpi4py belong"
            " to different MPI libraries",
            returncode=1,
        )
    return world


@pytest.fixture(scope="session")
def parallel_assert():
    """The assert to use between collectives: all ranks learn the verdict and fail together."""
    return _parallel_assert


def _parallel_assert(comm, condition, message):
    """Fail on every rank if the condition is false on one.

    A plain assert fails on one rank and leaves the others waiting in their next collective. The
    condition is a value, not a callable: compute it where it cannot raise.
    """
    __tracebackhide__ = True
    verdicts = comm.allgather(None if condition else str(message))
    failed = {rank: verdict for rank, verdict in enumerate(verdicts) if verdict is not None}
    if failed:
        lines = [f"rank {rank}: {verdict}" for rank, verdict in failed.items()]
        pytest.fail("\n".join(lines))
