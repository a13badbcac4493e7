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


@pytest.fixture(scope="session")
def ranks(comm):
    """The ranks, as simcore sees them."""
    from simcore.services.comm import MPIComm

    return MPIComm(comm)


@pytest.fixture
def assert_same(ranks, comm, parallel_assert):
    """Compare a network on these ranks with the same network on one, in the reference backend."""
    from simcore import Simulation
    from tests.ranks.compare import alone, differing, outcome

    def check(name, network, duration, partitioner, backend, precision="float64", threads=1):
        options = {"backend": backend, "precision": precision}
        simulation = Simulation(
            network, comm=ranks, partitioner=partitioner, threads=threads, **options
        )
        found = outcome(simulation, duration)
        expected = None
        if comm.rank == 0:
            if network.n_neurons <= 1000:
                options["backend"] = "reference"
            expected = alone(name, network, duration, **options)
        names = differing(ranks, found, expected)
        parallel_assert(comm, names == [], f"{names} differ between 1 and {comm.size} ranks")
        return simulation, ranks.bcast(expected)

    return check
