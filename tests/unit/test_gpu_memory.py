"""Memory on GPUs that ranks share: known, and compared with what is free, before the build."""

import numpy as np
import pytest

import simcore as sc
from simcore.discretization.fixed_point import fixed_point
from simcore.estimates.expected_synapses import Expectation
from simcore.estimates.gpu_memory import estimate_device
from simcore.kernels.cuda import availability
from simcore.kernels.cuda.backend import CudaBackend
from simcore.partition import partition
from simcore.planning import Planner, Rates, Setup
from simcore.services.comm import RehearsalComm, SerialComm
from simcore.services.errors import CapacityError
from simcore.services.memory import GpuShare, require_memory_of_gpus
from simcore.shards.gpu_synapse_layout import LAUNCH_BYTES
from tests.emulation.gpu import Gpu
from tests.networks import specify

GB = 1e9


@pytest.fixture
def gpu(monkeypatch):
    """Return a stand-in for CuPy, with two devices, that a simulation can use."""
    gpu = Gpu(n_devices=2)
    gpu.install(monkeypatch)
    monkeypatch.setattr("simcore.kernels.missing_for_gpu", lambda: "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return gpu


class Others(RehearsalComm):
    """Ranks on several hosts, with what each of them would say."""

    def __init__(self, ranks):
        super().__init__(0, len(ranks))
        self.ranks = ranks

    def allgather(self, value):
        return self.ranks


def check(*ranks):
    """Check the memory of ranks that say host, GPU, and what they need and see free [GB]."""
    said = [(host, GpuShare(gpu, n * GB, free * GB)) for host, gpu, n, free in ranks]
    require_memory_of_gpus(Others(said), *said[0])


def test_ranks_on_gpus_with_room_are_accepted():
    require_memory_of_gpus(SerialComm(), "a", GpuShare("x", 8e9, 8e9))
    check(("a", "x", 4, 9), ("a", "x", 4, 8), ("a", "y", 8, 8), ("b", "x", 8, 8))


def test_ranks_without_a_gpu_take_none():
    require_memory_of_gpus(SerialComm(), "a", None)
    full = ("a", GpuShare("x", 8e9, 8e9))
    require_memory_of_gpus(Others([("a", None), full, ("a", None)]), "a", None)


def test_four_ranks_of_forty_percent_on_one_gpu_are_refused():
    ranks = [("a", "x", 32, 81), ("a", "x", 32, 80), ("a", "x", 32, 80.5), ("a", "x", 32, 80)]
    expected = (
        r"^memory of GPU 'x' on host 'a': its 4 rank\(s\) need about 128 GB, must be at most the "
        r"80 GB free. Use 2 such GPUs for the 4 ranks, or a smaller or sparser network.$"
    )
    with pytest.raises(CapacityError, match=expected):
        check(*ranks)
    check(*ranks[:2])


def test_the_gpu_that_is_too_small_is_named():
    ranks = [("a", "x", 5, 9), ("b", "x", 5, 9), ("b", "x", 5, 9), ("a", "y", 5, 9)]
    with pytest.raises(
        CapacityError, match=r"GPU 'x' on host 'b': its 2 rank\(s\) need about 10 GB"
    ):
        check(*ranks)


def test_shards_larger_than_a_gpu_ask_for_more_ranks():
    with pytest.raises(CapacityError, match="Use 5 such GPUs, with a rank on each"):
        check(("a", "x", 20, 10), ("a", "y", 25, 10))
    with pytest.raises(CapacityError, match="Use 1000000000 such GPUs, with a rank on each"):
        check(("a", "x", 1, 0))


def test_gpus_are_told_apart(gpu, monkeypatch):
    monkeypatch.setenv("MPI_LOCALRANKID", "0")
    first = availability.name_of_gpu()
    assert first == "Stand-in, 0000:18:00.0, 01020304-0506-0708-090a-0b0c0d0e0f10"
    monkeypatch.setenv("MPI_LOCALRANKID", "1")
    assert availability.name_of_gpu().startswith("Stand-in, 0000:19:00.0, 11121314-")
    monkeypatch.setenv("MPI_LOCALRANKID", "2")
    assert availability.name_of_gpu() == first
    assert gpu.current == 0


def test_a_uuid_that_cupy_cuts_short_is_filled(gpu):
    gpu.uuids[0] = bytes([1, 2, 0, *range(3, 16)])
    assert (
        availability.name_of_gpu() == "Stand-in, 0000:18:00.0, 01020000-0000-0000-0000-000000000000"
    )


def test_parts_of_a_divided_gpu_are_told_apart(gpu, monkeypatch):
    names = set()
    for part in ("MIG-a", "MIG-b", "MIG-b,MIG-c", "0", "GPU-d"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", part)
        names.add(availability.name_of_gpu())
    assert len(names) == 3
    assert "Stand-in, 0000:18:00.0, MIG-b" in names


def test_memory_that_cupy_keeps_of_an_earlier_simulation_is_free(gpu):
    gpu.kept = gpu.memory - 1000
    assert availability.free_gpu_bytes() == gpu.memory


def small(n=20_000):
    net = sc.Network(seed=1)
    P = net.population("P", n, sc.LIF())
    net.connect(P, P, sc.FixedIndegree(10), weight=1.0, delay=1.0)
    return net


def needed(net, precision="float64", n_ranks=1):
    """Return what a rank of a network needs on a GPU [B]."""
    expectation = Expectation(net, fixed_point(net, 0.1), 0.1)
    own = partition(net, n_ranks).owned(0)
    return estimate_device(expectation, own, precision).total + LAUNCH_BYTES


def simulate(net, comm, precision="float64"):
    return sc.Simulation(net, backend="cuda", comm=comm, precision=precision)


@pytest.mark.parametrize("n_ranks", [1, 4])
def test_a_simulation_compares_all_ranks_with_what_is_free(gpu, monkeypatch, n_ranks):
    net, comm = small(), RehearsalComm(0, n_ranks)
    room = n_ranks * needed(net, n_ranks=n_ranks)
    gpu.memory = round(room) + 1000
    simulate(net, comm)
    gpu.memory = round(room) - 1000
    monkeypatch.setattr("simcore.construction.build.build_shards", pytest.fail)
    with pytest.raises(CapacityError, match=rf"'Stand-in, .*' on host .* {n_ranks} rank\(s\)"):
        simulate(net, comm)


def test_a_simulation_compares_the_precision_it_has(gpu):
    net = small()
    gpu.memory = round(needed(net, "float32")) + 1000
    simulate(net, SerialComm(), "float32")
    with pytest.raises(CapacityError):
        simulate(net, SerialComm(), "float64")


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_the_estimate_of_a_precision_is_what_is_allocated(gpu, precision):
    net = small()
    gpu.free = gpu.least = 2**40
    CudaBackend(specify(net), precision=precision)
    expected = needed(net, precision) - LAUNCH_BYTES
    assert 2**40 - gpu.least == pytest.approx(expected, rel=0.01)


def test_a_plan_has_the_precision_that_is_asked_for():
    net = small()
    planner = Planner(net, Rates(np.full(1, 8.0), "given"))
    plans = [planner(Setup(backend="cuda", precision=p)) for p in ("float64", "float32")]
    double, single = (plan.gpu_memory["neurons"].max for plan in plans)
    assert double - single == 20_000 * 4 * len(net.populations[0].neuron.layout.reals) > 0
