"""An error on one rank is an error on all of them; none goes on, none waits."""

import tempfile

import numpy as np
import pytest

import simcore as sc
import simcore.construction.build
from simcore.services.comm import MPIComm
from simcore.services.errors import ConfigError, ModelError, OutputError, SimcoreError
from simcore.services.failure import PeerError

# One, two, and one between the first and the last
RANKS = (1, 2, 3)


@pytest.fixture(scope="module")
def ranks(comm):
    return MPIComm(comm)


def network():
    net = sc.Network(seed=5)
    E = net.population("E", 40, sc.LIF(I_e=600.0), V_m=sc.Uniform(0.0, 19.0))
    net.connect(E, E, sc.FixedIndegree(5), weight=0.1, delay=1.0)
    net.record(E, "spikes")
    return net


def raised(action):
    """Return the error that an action ends with."""
    try:
        action()
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("error", [ModelError, MemoryError, ZeroDivisionError])
@pytest.mark.parametrize("place", ["first", "last"])
def test_one_rank_cannot_build(ranks, comm, parallel_assert, monkeypatch, error, place):
    broken = {"first": 0, "last": comm.size - 1}[place]
    build = simcore.construction.build.build_shards

    def maybe(*arguments, **options):
        if comm.rank == broken:
            raise error("no shard today")
        return build(*arguments, **options)

    monkeypatch.setattr(simcore.construction.build, "build_shards", maybe)
    found = raised(lambda: sc.Simulation(network(), comm=ranks))

    expected = error if comm.rank == broken else PeerError
    parallel_assert(comm, type(found) is expected, f"{found!r}")
    parallel_assert(comm, "no shard today" in str(found), f"{found!r}")
    if comm.rank != broken:
        assert f"rank {broken}" in str(found)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"backend": "gpu2"}, ConfigError),
        ({"partitioner": "metis"}, ConfigError),
        ({"dt": 2.5}, ModelError),
        ({"record_from": 30.0}, ConfigError),
    ],
)
def test_all_ranks_refuse_a_wrong_option(
    ranks, comm, parallel_assert, mpi_tmp_path, options, error
):
    path = mpi_tmp_path / "run.h5"

    found = raised(lambda: sc.simulate(network(), 20.0, output=path, comm=ranks, **options))

    parallel_assert(comm, isinstance(found, error), f"{found!r}")
    texts = set(comm.allgather(str(found)))
    parallel_assert(comm, len(texts) == 1, f"{texts}")


@pytest.mark.parametrize("name", ["duration", "max_rate", "partitioner"])
def test_ranks_with_different_options(ranks, comm, parallel_assert, name):
    other = comm.rank == comm.size - 1 and comm.size > 1
    values = {"duration": 30.0, "max_rate": 1e4, "partitioner": "block"} if other else {}
    options = {"duration": 20.0} | {k: v for k, v in values.items() if k == name}

    found = raised(lambda: sc.simulate(network(), comm=ranks, **options))

    expected = ConfigError if comm.size > 1 else type(None)
    parallel_assert(comm, type(found) is expected, f"{found!r}")
    texts = set(comm.allgather(str(found)))
    parallel_assert(comm, len(texts) == 1, f"{texts}")
    if comm.size > 1:
        assert str(found).startswith(f"{name} is ")
        assert f"on rank {comm.size - 1}, must be the same on all ranks" in str(found)


@pytest.mark.parametrize("what", ["seed", "weight", "times", "edges"])
def test_ranks_that_describe_different_models(ranks, comm, parallel_assert, what):
    other = comm.rank == comm.size - 1 and comm.size > 1
    net = sc.Network(seed=1 + (other and what == "seed"))
    E = net.population("E", 20, sc.LIF())
    S = net.population("S", 1, sc.SpikeTrains([1.0, 2.1 if other and what == "times" else 2.0]))
    weight = 0.1 if not (other and what == "weight") else 0.2
    net.connect(S, E, sc.FixedIndegree(3), weight=weight, delay=1.0)
    ends = np.array([0, 5 if other and what == "edges" else 4])
    net.connect(E, E, sc.Edges(ends, ends), weight=0.1, delay=1.0)

    found = raised(lambda: sc.Simulation(net, comm=ranks))

    differs = comm.size > 1
    parallel_assert(comm, isinstance(found, ModelError) == differs, f"{found!r}")
    known = not differs or "Network: the digest of the description is '" in str(found)
    parallel_assert(comm, known, f"{found!r}")


def test_file_that_only_rank_0_sees_stops_all(ranks, comm, parallel_assert, mpi_tmp_path):
    path = mpi_tmp_path / "run.h5"
    if comm.rank == 0:
        path.write_text("mine")

    found = raised(lambda: sc.simulate(network(), 20.0, output=path, comm=ranks))

    parallel_assert(
        comm, isinstance(found, OutputError if comm.rank == 0 else PeerError), f"{found!r}"
    )
    parallel_assert(comm, "overwrite" in str(found), f"{found!r}")


def test_disk_that_fills_up_stops_all(ranks, comm, parallel_assert, monkeypatch, mpi_tmp_path):
    from simcore.io import RunWriter

    def full(self, *given):
        raise OutputError("no space left on device")

    monkeypatch.setattr(RunWriter, "append", full)
    path = mpi_tmp_path / "run.h5"
    found = raised(lambda: sc.simulate(network(), 100.0, output=path, comm=ranks))

    parallel_assert(comm, isinstance(found, OutputError), f"{found!r}")
    parallel_assert(comm, "no space left" in str(found), f"{found!r}")


def test_ranks_go_on_after_an_error(ranks, comm, parallel_assert, mpi_tmp_path):
    found = raised(lambda: sc.simulate(network(), 20.0, comm=ranks, backend="gpu2"))

    run = sc.simulate(network(), 20.0, output=mpi_tmp_path / "run.h5", comm=ranks)

    parallel_assert(comm, isinstance(found, SimcoreError), f"{found!r}")
    parallel_assert(comm, run.status == "complete", run.status)
    parallel_assert(comm, run.spikes("E").times.size > 10, "no spikes")


def test_no_temporary_file_stays(ranks, comm, parallel_assert, monkeypatch, mpi_tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(mpi_tmp_path))
    run = sc.simulate(network(), 20.0, comm=ranks)
    parallel_assert(comm, run.spikes("E").times.size > 10, "no spikes")

    del run
    found = raised(lambda: sc.simulate(network(), 120.0, comm=ranks, max_rate=1e-9))
    parallel_assert(comm, isinstance(found, SimcoreError), f"{found!r}")
    comm.barrier()
    parallel_assert(comm, not list(mpi_tmp_path.iterdir()), "a temporary file stays")
