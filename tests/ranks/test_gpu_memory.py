"""Ranks that share GPUs: what all of them need is compared with what is free, by all of them."""

import pytest

import simcore as sc
from simcore.discretization.fixed_point import fixed_point
from simcore.estimates.expected_synapses import Expectation
from simcore.estimates.gpu_memory import estimate_device
from simcore.kernels.cuda import availability
from simcore.partition import partition
from simcore.services.errors import CapacityError
from simcore.services.failure import PeerError
from simcore.shards.gpu_synapse_layout import LAUNCH_BYTES
from tests.emulation.gpu import Gpu


@pytest.fixture
def gpu(monkeypatch):
    """Return a stand-in for CuPy with two devices, which the ranks take in turn."""
    gpu = Gpu(n_devices=2)
    gpu.install(monkeypatch)
    monkeypatch.setattr("simcore.kernels.missing_for_gpu", lambda: "")
    monkeypatch.setattr("simcore.construction.build.build_shards", pytest.fail)
    return gpu


def network():
    net = sc.Network(seed=1)
    P = net.population("P", 20_000, sc.LIF())
    net.connect(P, P, sc.FixedIndegree(10), weight=1.0, delay=1.0)
    return net


def needed(n_ranks):
    """Return the most that any rank needs on its GPU [B]."""
    net = network()
    expectation, division = Expectation(net, fixed_point(net, 0.1), 0.1), partition(net, n_ranks)
    shards = [estimate_device(expectation, division.owned(r)).total for r in range(n_ranks)]
    return max(shards) + LAUNCH_BYTES


def raised(ranks, backend="cuda"):
    """Return the error that a simulation ends with."""
    try:
        sc.Simulation(network(), backend=backend, comm=ranks)
    except Exception as error:
        return error
    return None


def test_all_ranks_refuse_with_the_same_words(ranks, comm, parallel_assert, gpu):
    # Where ranks share a GPU each of them alone would fit
    gpu.memory = round((1.5 if comm.size > 2 else 0.5) * needed(comm.size))
    found = raised(ranks)
    texts = comm.allgather(str(found))
    parallel_assert(comm, type(found) is CapacityError, repr(found))
    parallel_assert(comm, len(set(texts)) == 1, texts)
    assert "'Stand-in, 0000:18:00.0, 01020304-0506-0708-090a-0b0c0d0e0f10' on host" in texts[0]
    assert f"its {(comm.size + 1) // 2} rank(s) need" in texts[0]


def test_a_gpu_that_fails_on_one_rank_fails_on_all(ranks, comm, parallel_assert, gpu, monkeypatch):
    broken = comm.size - 1

    def fail():
        raise RuntimeError("no device today")

    if comm.rank == broken:
        monkeypatch.setattr(availability, "_own_device", fail)
    found = raised(ranks)
    expected = RuntimeError if comm.rank == broken else PeerError
    parallel_assert(comm, type(found) is expected, repr(found))
    parallel_assert(comm, "no device today" in str(found), repr(found))


def test_ranks_without_a_gpu_take_part(ranks, comm, parallel_assert, gpu, monkeypatch):
    """Where some ranks have a GPU and others none, all learn that those with one have no room."""
    if comm.rank:
        monkeypatch.setattr("simcore.kernels.missing_for_gpu", lambda: "there is none")
    gpu.memory = 1_000_000
    found = raised(ranks, "auto")
    parallel_assert(comm, type(found) is CapacityError, repr(found))
    parallel_assert(comm, "its 1 rank(s) need" in str(found), repr(found))
