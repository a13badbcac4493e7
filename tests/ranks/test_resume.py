"""A run goes on from a checkpoint on another number of ranks."""

import signal

import numpy as np
import pytest

import simcore as sc
from simcore.analysis.verification import compare_bits
from simcore.io.checkpoint import list_checkpoints
from simcore.services.comm import MPIComm, SerialComm
from simcore.services.errors import ConfigError, OutputError, StoppedError
from simcore.services.failure import PeerError
from simcore.simulation.supervisor import RunSupervisor
from tests.networks import every_feature

# One, two, and one between the first and the last
RANKS = (1, 2, 3)

DURATION = 60.0


@pytest.fixture(scope="module")
def ranks(comm):
    return MPIComm(comm)


def stop_after(monkeypatch, n_looks, on_rank=0):
    """Ask the run on one rank to stop after some pieces."""
    look, looks = RunSupervisor.after_piece, []

    def counted(self):
        looks.append(1)
        if len(looks) == n_looks and self._simulation.comm.rank == on_rank:
            self._signals.stops.add(signal.SIGTERM)
        look(self)

    monkeypatch.setattr(RunSupervisor, "after_piece", counted)


def verdict(comm, path, whole):
    """Return on every rank whether two files are identical, and how much was compared."""
    found = None
    if comm.rank == 0:
        result = compare_bits(sc.open_run(whole), sc.open_run(path))
        found = result.identical, result.spikes, result.differences
    return comm.bcast(found)


@pytest.mark.parametrize("partitioner", ["balanced", "round_robin"])
def test_there_and_back(ranks, comm, parallel_assert, mpi_tmp_path, monkeypatch, partitioner):
    """Begun alone, resumed on all ranks, resumed alone again."""
    whole, path = mpi_tmp_path / "whole.h5", mpi_tmp_path / "run.h5"
    if comm.rank == 0:
        sc.simulate(every_feature(), DURATION, output=whole, comm=SerialComm())
        with monkeypatch.context() as patch:
            stop_after(patch, 1)
            with pytest.raises(StoppedError):
                sc.simulate(every_feature(), DURATION, output=path, comm=SerialComm())
    comm.barrier()

    with monkeypatch.context() as patch:
        stop_after(patch, 1, on_rank=comm.size - 1)
        try:
            sc.resume(path, every_feature(), comm=ranks, partitioner=partitioner)
            stopped = False
        except StoppedError:
            stopped = True
    parallel_assert(comm, stopped, "was not stopped")
    if comm.rank == 0:
        run = sc.resume(path, every_feature(), comm=SerialComm(), threads=2)
        sizes = [s["n_ranks"] for s in run.sessions]
        begins = [s["begin"] for s in run.sessions]
    else:
        sizes = begins = None

    parallel_assert(comm, comm.bcast(sizes) == [1, comm.size, 1], f"{sizes}")
    parallel_assert(comm, comm.bcast(begins) == [0, 200, 400], f"{begins}")
    identical, spikes, differences = verdict(comm, path, whole)
    parallel_assert(comm, identical and spikes > 400, f"{differences}")


def test_checkpoint_that_cannot_be_written_stops_all(
    ranks, comm, parallel_assert, mpi_tmp_path, monkeypatch
):
    """Rank 0 alone writes; all learn that it could not, and the older checkpoint stays."""
    from simcore.io import checkpoint

    path = mpi_tmp_path / "run.h5"
    write, calls = checkpoint._write, []

    def full(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(checkpoint, "_write", full)
    monkeypatch.setattr(checkpoint, "WINDOW", 10)
    try:
        sc.simulate(every_feature(), DURATION, output=path, comm=ranks, checkpoint_every=20.0)
        text = ""
    except (OutputError, PeerError) as error:
        text = str(error)

    parallel_assert(comm, "No space left on device" in text, text)
    parallel_assert(comm, "older checkpoints" in text, text)
    found = comm.bcast(list_checkpoints(str(path)) if comm.rank == 0 else None)
    parallel_assert(comm, [step for step, _ in found] == [200], f"{found}")
    status = comm.bcast(sc.open_run(path).status if comm.rank == 0 else None)
    parallel_assert(comm, status == "failed", status)

    monkeypatch.undo()
    run = sc.resume(path, every_feature(), comm=ranks)
    parallel_assert(comm, run.status == "complete", run.status)
    whole = mpi_tmp_path / "whole.h5"
    sc.simulate(every_feature(), DURATION, output=whole, comm=ranks)
    identical, _, differences = verdict(comm, path, whole)
    parallel_assert(comm, identical, f"{differences}")


def test_model_that_one_rank_describes_differently(ranks, comm, parallel_assert, mpi_tmp_path):
    path = mpi_tmp_path / "run.h5"
    sc.simulate(every_feature(), 20.0, output=path, comm=ranks, checkpoint_every=20.0)
    network = every_feature(13 if comm.rank == comm.size - 1 else 12)
    try:
        sc.resume(path, network, until=40.0, comm=ranks)
        text = ""
    except (ConfigError, PeerError) as error:
        text = str(error)
    parallel_assert(comm, "seed was 12 and is 13" in text, text)


def test_checkpoint_gathered_in_windows(ranks, comm, parallel_assert, mpi_tmp_path, monkeypatch):
    """Windows of a few neurons, some of which a rank has nothing of."""
    from simcore.io import checkpoint

    monkeypatch.setattr(checkpoint, "WINDOW", 7)
    path, whole = mpi_tmp_path / "run.h5", mpi_tmp_path / "whole.h5"
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(StoppedError):
            sc.simulate(every_feature(), DURATION, output=path, comm=ranks, partitioner="block")
    sc.resume(path, every_feature(), comm=ranks)
    sc.simulate(every_feature(), DURATION, output=whole, comm=ranks)
    identical, spikes, differences = verdict(comm, path, whole)
    parallel_assert(comm, identical and spikes > 400, f"{differences}")


def test_state_that_is_not_finite_on_one_rank(
    ranks, comm, parallel_assert, mpi_tmp_path, monkeypatch
):
    path = mpi_tmp_path / "run.h5"
    look, looks = RunSupervisor.after_piece, []

    def broken(self):
        looks.append(1)
        backend = self._simulation.backend
        if len(looks) == 2 and self._simulation.comm.rank == comm.size - 1:
            # Population "one" has the first 40 neurons
            own = np.flatnonzero(self._simulation.neurons.gids < 40)
            last = backend._places.of_column(own, "V_m").max()
            backend._state.columns[last] = float("nan")
        look(self)

    monkeypatch.setattr(RunSupervisor, "after_piece", broken)
    try:
        sc.simulate(every_feature(), DURATION, output=path, comm=ranks, checkpoint_every=20.0)
        text = ""
    except (sc.StateError, PeerError) as error:
        text = str(error)

    parallel_assert(comm, "V_m of neuron" in text and "nan" in text, text)
    parallel_assert(comm, "between 20 and 40 ms, must be finite" in text, text)
    found = comm.bcast(list_checkpoints(str(path)) if comm.rank == 0 else None)
    parallel_assert(comm, [step for step, _ in found] == [200], f"{found}")
