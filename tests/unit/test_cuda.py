"""The CUDA backend: its kernels on the CPU give the reference's results, and all compile."""

import ctypes
import importlib.util
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import simcore as sc
from simcore.clock import Clock, Epoch
from simcore.comm import SerialComm
from simcore.errors import CapacityError, ConfigError
from simcore.io.compare import compare
from simcore.io.recorder import probes
from simcore.kernels import Probe, check_backend, choose_backend
from simcore.kernels.cuda import backend as module
from simcore.kernels.cuda import lack, machine
from simcore.kernels.cuda.backend import CudaBackend
from simcore.kernels.cuda.device import SOURCE, options
from simcore.launch import local_rank
from simcore.partition import partition
from simcore.spikes import NO_SPIKES, Spikes
from tests.emulation.device import EmulatedDevice, compile_kernels
from tests.networks import Result, advance, build, differences, every_feature, make_run, same_bits
from tests.side_by_side import Ranks
from tests.unit.test_state import recent_of

NETWORK = every_feature()
STEPS = 400


@pytest.fixture(scope="module")
def expected():
    return advance(NETWORK, STEPS, "reference")


def make(network=NETWORK, precision="float64", shape=(2, 64)):
    shard = build(network)
    sampled = tuple(Probe(*p) for p in probes(network, shard.neurons, Clock(0.1)))
    return CudaBackend(shard, sampled, precision, EmulatedDevice(precision, *shape))


def result_of(run, bounds):
    spikes, samples = [], []
    for begin, end in pairwise(bounds):
        spikes.append(run.advance(Epoch(begin, end), NO_SPIKES))
        samples.append(run.samples())
    return Result(
        np.concatenate([s.steps for s in spikes]),
        np.concatenate([s.gids for s in spikes]),
        run.potentials(),
        [np.concatenate(rows) for rows in zip(*samples, strict=True)],
    )


@pytest.mark.parametrize("shape", [(1, 32), (2, 64), (3, 96)])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_equal_to_the_reference(shape, precision):
    wanted = advance(NETWORK, STEPS, "reference", precision)
    found = result_of(make(precision=precision, shape=shape), [0, 123, 124, STEPS])

    assert found.steps.size > 1000
    assert differences(found, wanted) == []


@pytest.mark.parametrize("entries", [1, 4, 20])
def test_spikes_that_find_no_room_take_another_round(expected, monkeypatch, entries):
    monkeypatch.setattr(module, "_ENTRIES", entries)
    assert differences(result_of(make(), [0, STEPS]), expected) == []


@pytest.mark.parametrize("length", [1, 3])
def test_runs_cut_into_pieces(expected, monkeypatch, length):
    monkeypatch.setattr(machine, "PIECE_LENGTH", length)
    assert differences(result_of(make(), [0, STEPS]), expected) == []


def test_launch_ends_where_there_is_no_room_for_spikes(expected):
    run = make()
    found = result_of(run, [0, STEPS])
    assert differences(found, expected) == []
    assert run._device.launches > 5


@pytest.mark.parametrize("n_ranks", [2, 3, 7])
def test_ranks(expected, emulated_gpu, n_ranks):
    ranks = Ranks(NETWORK, partition(NETWORK, n_ranks, "round_robin"), "cuda")
    assert differences(ranks.advance(STEPS), expected) == []


@pytest.mark.parametrize("first", ["cpu", "cuda", "reference"])
@pytest.mark.parametrize("second", ["cpu", "cuda"])
@pytest.mark.parametrize("cut", [1, 150, 399])
def test_changes_of_backend(expected, emulated_gpu, first, second, cut):
    before = make_run(NETWORK, first)
    spikes = before.advance(Epoch(0, cut), NO_SPIKES)
    after = make_run(NETWORK, second)
    recent = recent_of(spikes.steps, spikes.gids, cut, build(NETWORK).max_delay)
    after.restore(before.state(), cut, recent)
    rest = after.advance(Epoch(cut, STEPS), NO_SPIKES)

    assert same_bits(np.append(spikes.gids, rest.gids), expected.gids)
    assert same_bits(after.potentials(), expected.V_m)


def test_state_is_that_of_the_cpu(emulated_gpu):
    states = []
    for backend in ("cpu", "cuda"):
        run = make_run(NETWORK, backend)
        run.advance(Epoch(0, 250), NO_SPIKES)
        states.append(run.state())
    for name in ("gids", "V", "currents", "refractory"):
        assert same_bits(getattr(states[0], name), getattr(states[1], name)), name


def test_whole_run_and_resumption(emulated_gpu, tmp_path):
    options = {"comm": SerialComm()}
    whole = sc.simulate(every_feature(), 60.0, output=tmp_path / "cpu.h5", backend="cpu", **options)
    path = tmp_path / "run.h5"
    sc.simulate(
        every_feature(), 30.0, output=path, backend="cuda", checkpoint_every=30.0, **options
    )
    run = sc.resume(path, every_feature(), until=60.0, backend="cuda", **options)
    found = compare(whole, run)
    assert found.identical, found.differences
    assert found.spikes > 400


def test_network_without_synapses_or_neurons(emulated_gpu):
    net = sc.Network(seed=1)
    group = net.population("a", 40, sc.LIF(I_e=700.0), V_m=sc.Uniform(0.0, 15.0))
    wanted, found = (advance(net, 300, backend) for backend in ("reference", "cuda"))
    assert found.steps.size > 10
    assert differences(found, wanted) == []
    empty = sc.Network(seed=1)
    empty.population("one", 1, sc.LIF())
    ranks = Ranks(empty, partition(empty, 3), "cuda")
    assert ranks.advance(50).steps.size == 0
    assert group.size == 40


def test_spikes_from_elsewhere_beyond_the_room(emulated_gpu):
    """More remote spikes than neurons, all at once."""
    net = sc.Network(seed=3)
    source = net.population("source", 3, sc.LIF())
    target = net.population("target", 4, sc.LIF(tau_syn=1.0))
    net.connect(source, target, sc.AllToAll(), weight=5.0, delay=1.0)
    remote = Spikes(0, np.repeat(np.arange(3), 100))
    found = []
    for backend in ("reference", "cuda"):
        run = make_run(net, backend)
        run.advance(Epoch(0, 10), NO_SPIKES)
        run.advance(Epoch(10, 40), Spikes(5, remote.words))
        found.append(run.potentials())
    assert same_bits(*found)
    assert found[0][3] > 0.05


def test_kernels_that_differ_are_found_out(expected, monkeypatch):
    """Fused multiply-add, which rounds once less, changes potentials."""
    fused = ("-O2", "-ffp-contract=fast", "-mfma")
    if " fma " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("needs a processor with fused multiply-add")
    device = EmulatedDevice("float64")
    device._library = ctypes.CDLL(str(compile_kernels("float64", *fused)))
    shard = build(NETWORK)
    sampled = tuple(Probe(*p) for p in probes(NETWORK, shard.neurons, Clock(0.1)))
    found = result_of(CudaBackend(shard, sampled, "float64", device), [0, STEPS])
    assert "V_m" in differences(found, expected)


SANITIZED = """
import ctypes, sys
from tests.emulation import device
from tests.unit import test_cuda
device.library = lambda precision: ctypes.CDLL({path!r})
found = test_cuda.result_of(test_cuda.make(), [0, 57, 200])
print(found.steps.size)
"""


def test_sanitizers_find_nothing():
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    path = str(compile_kernels("float64", *flags))
    asan = subprocess.run(
        ["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not os.path.isabs(asan):
        pytest.skip("needs the address sanitizer of g++")
    environment = {
        **os.environ,
        "LD_PRELOAD": asan,
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "PYTHONMALLOC": "malloc",
        "NUMBA_DISABLE_JIT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", SANITIZED.format(path=path)],
        cwd=SOURCE.parents[2], env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 500


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("architecture", [75, 80, 90, 100])
def test_kernels_compile_without_spills(architecture, precision):
    pytest.importorskip("cupy", reason="needs CuPy, which is not installed")
    from cupy.cuda import nvrtc

    try:
        nvrtc.getVersion()
    except RuntimeError as error:
        pytest.skip(f"needs NVRTC: {error}")
    program = nvrtc.createProgram(SOURCE.read_text(), SOURCE.name, [], [])
    wanted = (*options(precision), f"-arch=sm_{architecture}", "--ptxas-options=-v")
    nvrtc.compileProgram(program, wanted)
    log = nvrtc.getProgramLog(program)
    assert len(nvrtc.getCUBIN(program)) > 10_000
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in log


def test_choice_of_a_backend(monkeypatch):
    monkeypatch.setattr("simcore.kernels.lack_of_gpu", lambda: "")
    assert choose_backend("auto") == ("cuda", "")
    assert choose_backend("auto", threads=2) == ("cpu", "there are 2 threads")
    assert choose_backend("reference") == ("reference", "")
    monkeypatch.setattr("simcore.kernels.lack_of_gpu", lambda: "there is none")
    assert choose_backend("auto") == ("cpu", "there is none")
    with pytest.raises(ConfigError, match=r"backend is 'cuda', must be .* but there is none"):
        check_backend("cuda", "float64")
    with pytest.raises(ConfigError, match="threads is 2, must be 1 with the backend 'cuda'"):
        check_backend("cuda", "float64", 2)


def test_lack_of_a_gpu_is_told(monkeypatch):
    look = lack.lack_of_gpu.__wrapped__
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "CuPy is not installed" in look()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(lack, "DRIVER", "no-such-library.so")
    assert look() == "there is no CUDA driver here (no-such-library.so)"


def test_device_that_cannot_be_used_is_told(monkeypatch):
    cupy = pytest.importorskip("cupy", reason="needs CuPy, which is not installed")
    monkeypatch.setattr(lack, "DRIVER", "libc.so.6")
    monkeypatch.setattr(cupy.cuda, "is_available", lambda: False)
    assert lack.lack_of_gpu.__wrapped__() == "CuPy finds no CUDA device"


def test_shard_that_does_not_fit(monkeypatch):
    monkeypatch.setattr(EmulatedDevice, "memory", 7_000_000)
    with pytest.raises(CapacityError, match=r"needs .* GB on the GPU.*Use 3 times as many GPUs"):
        make()


def test_network_that_does_not_fit_is_refused_before_it_is_built(emulated_gpu, monkeypatch):
    monkeypatch.setattr(lack, "free_gpu_bytes", lambda: 10**9)
    monkeypatch.setattr("simcore.partition.build_shards", pytest.fail)
    net = sc.Network()
    group = net.population("a", 100_000, sc.LIF())
    net.connect(group, group, sc.FixedIndegree(10_000), weight=0.1, delay=1.0)
    with pytest.raises(CapacityError, match=r"must be at most 1 GB. Use 3 times as many GPUs"):
        sc.Simulation(net, backend="cuda", comm=SerialComm())


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, 0),
        ({"MPI_LOCALRANKID": "3"}, 3),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "2", "SLURM_LOCALID": "0"}, 2),
        ({"SLURM_LOCALID": "1"}, 1),
        ({"SLURM_LOCALID": ""}, 0),
    ],
)
def test_rank_on_its_machine(environ, expected):
    assert local_rank(environ) == expected


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_on_a_gpu(precision):
    wanted = advance(NETWORK, STEPS, "reference", precision)
    assert differences(advance(NETWORK, STEPS, "cuda", precision), wanted) == []


def test_pieces():
    (table, *_) = build(NETWORK).tables
    for length in (1, 7, 512):
        machine_pieces(table, length)


def machine_pieces(table, length):
    """Check that pieces cover the runs of a table, in order."""
    before, machine.PIECE_LENGTH = machine.PIECE_LENGTH, length
    try:
        pieces, rows = machine.make_pieces(table)
    finally:
        machine.PIECE_LENGTH = before
    ends = pieces["begin"] + pieces["length"]
    assert pieces["begin"][0] == 0
    assert (ends[:-1] == pieces["begin"][1:]).all()
    assert ends[-1] == table.n_synapses
    assert pieces["length"].max() <= length
    assert rows[0] == 0
    assert rows[-1] == pieces.size
    for row, (run, word) in enumerate(table.rows[:-1].tolist()):
        assert pieces["begin"][rows[row]] == word
        assert pieces["channel"][rows[row]] == table.runs[run] >> 16
