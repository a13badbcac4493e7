"""What the CUDA backend asks of CuPy, on a stand-in; and what it asks of a machine."""

import importlib.util
import re
import subprocess
from types import ModuleType

import numpy as np
import pytest

import simcore as sc
from simcore import library
from simcore.kernels import check_backend, choose_backend
from simcore.kernels.cuda import availability, compiler, structs
from simcore.kernels.cuda.backend import CudaBackend
from simcore.kernels.cuda.compiler import compile_kernels, kernels
from simcore.kernels.cuda.device import Device
from simcore.kernels.cuda.models import ModelSet
from simcore.kernels.cuda.team import THREADS
from simcore.language.program import make_program
from simcore.services.comm import SerialComm
from simcore.services.errors import CapacityError, ConfigError
from simcore.services.launcher import local_rank
from simcore.shards.gpu_synapse_layout import LAUNCH_BYTES
from tests.emulation.gpu import RUBBISH, Event, Gpu, Stream
from tests.emulation.gpu import compile_kernels as compile_emulation
from tests.networks import every_feature, specify


def models(*names):
    """Return models of the library as the kernels are compiled with."""
    return ModelSet(tuple(make_program(library.load(name)()) for name in names))


# Leaky integrate-and-fire neurons
MODELS = models("iaf_psc_exp", "iaf_psc_delta")


@pytest.fixture
def gpu(monkeypatch):
    """Return a stand-in for CuPy that `import cupy` finds."""
    gpu = Gpu()
    gpu.install(monkeypatch)
    monkeypatch.setattr("simcore.kernels.missing_for_gpu", lambda: "")
    return gpu


@pytest.fixture
def cupy():
    """Return the installed CuPy; skip the test where there is none."""
    return pytest.importorskip("cupy", reason="needs CuPy, which is not installed")


@pytest.fixture
def nvrtc(cupy):
    """Return CuPy's view of the compiler; skip the test where there is none."""
    from cupy.cuda import nvrtc

    try:
        nvrtc.getVersion()
    except RuntimeError as error:
        pytest.skip(f"needs NVRTC: {error}")
    return nvrtc


def names(module, prefix=""):
    """Yield the names of everything in a stand-in, with those of its modules."""
    for name, value in vars(module).items():
        if name.startswith("__"):
            continue
        yield prefix + name
        if isinstance(value, ModuleType):
            yield from names(value, f"{prefix}{name}.")
        elif isinstance(value, type):
            yield from (f"{prefix}{name}.{m}" for m in vars(value) if not m.startswith("_"))


def found(module, path):
    for name in path.split("."):
        if not hasattr(module, name):
            return False
        module = getattr(module, name)
    return True


# Members of the stand-ins that are their own, not CuPy's
OWN = {"cuda.Stream.step"}


def test_all_that_is_used_exists_in_cupy(cupy):
    wanted = set(names(Gpu().module)) - OWN
    assert {"cuda.alloc_pinned_memory", "cuda.Stream.wait_event"} < wanted
    assert [path for path in sorted(wanted) if not found(cupy, path)] == []
    pointers = {"copy_from_host_async", "copy_to_host_async", "memset_async", "ptr"}
    assert [n for n in pointers if not hasattr(cupy.cuda.memory.MemoryPointer, n)] == []
    assert not found(cupy, "cuda.Stream.no_such_thing")


@pytest.mark.parametrize("name", ["Stream", "Event"])
def test_arguments_are_those_of_cupy(cupy, name):
    from inspect import signature

    own = {"Stream": Stream, "Event": Event}[name]
    theirs = list(signature(getattr(cupy.cuda, name)).parameters)
    assert theirs[: len(signature(own).parameters)] == list(signature(own).parameters)


def test_arguments_of_copies_are_those_of_cupy(cupy):
    """CuPy's compiled methods tell their arguments in the first line of their documentation."""
    for name in ("copy_from_host_async", "copy_to_host_async"):
        text = getattr(cupy.cuda.memory.MemoryPointer, name).__doc__
        assert text.splitlines()[0].endswith(f"{name}(self, mem, size_t size, stream=None)")


@pytest.mark.parametrize(
    ("architecture", "precision"),
    [(75, "float64"), (80, "float64"), (90, "float64"), (100, "float64"), (90, "float32")],
)
def test_kernels_compile_without_spills(nvrtc, architecture, precision, monkeypatch):
    log = compiled(nvrtc, monkeypatch, precision, architecture, MODELS)
    none = "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"
    assert [log.count(text) for text in ("bytes stack frame", none)] == [8, 8]
    assert "warning" not in log


def compiled(nvrtc, monkeypatch, precision, architecture, models):
    """Compile the kernels; return what the compiler told."""
    monkeypatch.setattr(compiler, "OPTIONS", (*compiler.OPTIONS, "--ptxas-options=-v"))
    logs = []
    destroy = nvrtc.destroyProgram

    def keep(program):
        logs.append(nvrtc.getProgramLog(program))
        destroy(program)

    monkeypatch.setattr(nvrtc, "destroyProgram", keep)
    assert len(compile_kernels(precision, architecture, models)) > 10_000
    return logs[0]


# Bytes of a thread on its stack in the kernel of a team, at most, with 64 registers: models with
# many conductances do not fit these, while a network without them does
MOST_STACK = 600


def test_the_whole_library_compiles_with_few_spills(nvrtc, monkeypatch):
    """Spills stay in the two kernels that advance neurons, and fit the first cache."""
    log = compiled(nvrtc, monkeypatch, "float64", 90, models(*library.names(), "_every_nth"))
    frames = re.findall(r"Function properties for (\w+)\s.*?(\d+) bytes stack frame", log)
    assert len(frames) == 8
    spilt = {name: int(n) for name, n in frames if int(n) > 0}
    assert set(spilt) <= {"advance_team", "advance_grid"}
    assert max(spilt.values()) <= MOST_STACK
    assert "warning" not in log


STRUCTS = {
    "GROUP": "Group",
    "TABLE": "DeviceTable",
    "SHARD": "DeviceShard",
    "DRAWING": "Drawing",
    "LISTING": "Listing",
    "FILING": "Filing",
    "CURSOR": "Cursor",
    "CONTROL": "Control",
    "REPORT": "Report",
}


def test_structs_that_host_and_device_see_differently_do_not_compile(monkeypatch, capfd):
    """Two fields change places, one is missing, one has another name: the compiler tells of all."""
    compile_emulation("float64", "-fsyntax-only", header=MODELS.header())
    for name in STRUCTS:
        first, second, *rest = getattr(structs, f"{name}_FIELDS")
        monkeypatch.setattr(structs, f"{name}_FIELDS", (second, first, *rest))
    monkeypatch.setattr(structs, "FILING_FIELDS", structs.FILING_FIELDS[:-1])
    other = [(f"{name}s" if name == "size" else name, np.int64) for name in structs.SEGMENT.names]
    monkeypatch.setattr(structs, "SEGMENT", np.dtype(other))
    with pytest.raises(subprocess.CalledProcessError):
        compile_emulation("float64", "-fsyntax-only", header=MODELS.header())
    told = capfd.readouterr().err
    for name, struct in STRUCTS.items():
        first, second, *_ = getattr(structs, f"{name}_FIELDS")
        for field, place in ((first, 0), (second, 8)):
            wanted = f"failed: __builtin_offsetof({struct}, {field}) == {place}"
            assert wanted in told, name
    assert f"sizeof(Filing) == {8 * len(structs.FILING_FIELDS)}" in told
    assert "has no member named" in told
    assert "sizes" in told


def test_small_numbers_are_not_flushed_to_zero(nvrtc):
    """PTX names the rounding of each operation: none flushes (ftz), none is fused (fma)."""
    text = compile_kernels("float32", 999, MODELS).decode()
    assert "add.rn.f32" in text
    assert "mul.rn.f32" in text
    assert ".ftz" not in text
    assert "fma.rn.f32" not in text


def test_device_newer_than_the_compiler_gets_ptx(gpu):
    compile_kernels("float64", 103, MODELS)
    assert "-arch=compute_100" in gpu.options
    compile_kernels("float64", 90, MODELS)
    assert "-arch=sm_90" in gpu.options


def test_kernels_that_do_not_compile_are_told(nvrtc, monkeypatch):
    monkeypatch.setattr(compiler, "OPTIONS", ("--no-such-option",))
    with pytest.raises(ConfigError, match=r"does not compile the kernels: .*no-such-option"):
        compile_kernels("float64", 90, MODELS)


def test_kernels_are_compiled_once(gpu, monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "new"))

    # What earlier runs of the test have kept does not count
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    compiled = b"float32\n" + MODELS.header().encode()
    assert kernels("float32", 90, MODELS) == compiled
    (kept,) = (tmp_path / "new").rglob("kernels-*")
    monkeypatch.setattr(compiler, "compile_kernels", lambda *kind: b"compiled again")
    assert kernels("float32", 90, MODELS) == compiled
    kept.write_bytes(b"damaged")
    assert kernels("float32", 90, MODELS) == b"compiled again"
    assert kernels("float64", 90, MODELS) == b"compiled again"
    assert kernels("float32", 80, MODELS) == b"compiled again"
    assert kernels("float32", 90, models("iaf_psc_exp")) == b"compiled again"
    assert len(list((tmp_path / "new").rglob("kernels-*"))) == 4


def test_kernels_are_compiled_again_when_they_have_changed(gpu, monkeypatch, tmp_path):
    before = compiler._digest("float64", 90, MODELS)
    for path in compiler.SOURCE.parent.glob("*.cu*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(compiler, "SOURCE", tmp_path / "advance.cu")
    assert compiler._digest("float64", 90, MODELS) == before
    with (tmp_path / "update.cuh").open("a") as file:
        file.write("// Another line")
    changed = compiler._digest("float64", 90, MODELS)
    assert changed != before
    assert compiler._digest("float64", 90, models("iaf_psc_delta", "iaf_psc_exp")) != changed


@pytest.mark.parametrize(("rank", "expected"), [("0", 0), ("1", 1), ("5", 1)])
def test_ranks_take_devices_in_turn(monkeypatch, rank, expected):
    gpu = Gpu(n_devices=2)
    gpu.install(monkeypatch)
    monkeypatch.setenv("MPI_LOCALRANKID", rank)
    Device("float64", MODELS)
    assert gpu.current == expected
    gpu.current = 0
    assert availability.free_gpu_bytes() == gpu.memory
    assert gpu.current == 0


def test_launch_takes_all_blocks_that_run_at_the_same_time(gpu):
    own = Device("float64", MODELS)
    assert own.grid().n_blocks == 6
    assert own.team(3, THREADS, 100_000).n_blocks == 3
    gpu.blocks_per_unit = 0
    with pytest.raises(ConfigError, match="cannot run a block of 768 threads"):
        own.grid()
    with pytest.raises(ConfigError, match="cannot run a block of 1024 threads"):
        own.team(3, THREADS, 100_000)


def test_launch_that_is_refused_is_told(gpu):
    run = CudaBackend(specify(every_feature()))
    gpu.refuses = True
    with pytest.raises(ConfigError, match=r"refuses a launch of 6 blocks .*LAUNCH_TOO_LARGE"):
        run.warm_up()


def test_buffers(gpu):
    own = Device("float32", MODELS)
    buffer = own.upload(np.arange(5, dtype=np.int32))
    buffer.write(np.array([7, 8], dtype=np.int32), at=3)
    assert buffer.read().tolist() == [0, 1, 2, 7, 8]
    assert buffer.read(2).tolist() == [0, 1]
    assert own.zeros(3, np.int16).read().tolist() == [0, 0, 0]
    assert own.upload(np.zeros(0, dtype=np.int64)).size == 1
    pinned = own.pinned(4, np.int32)
    buffer.fetch(pinned, 1, 3)
    assert pinned.view(np.uint8)[0] == RUBBISH
    own.copies.synchronize()
    assert pinned[1:].tolist() == [1, 2, 7]


def test_what_is_written_is_copied_at_once_and_what_is_sent_later(gpu):
    own = Device("float64", MODELS)
    buffer = own.zeros(1, np.float64)
    array = np.ones(1)
    buffer.write(array)
    array[0] = 2.0
    assert buffer.read()[0] == 1.0
    pinned = own.pinned(1, np.float64)
    pinned[0] = 3.0
    buffer.send(pinned)
    pinned[0] = 4.0
    assert buffer.read()[0] == 4.0


def test_memory_that_others_took_meanwhile_is_told(gpu):
    gpu.free = 50_000
    with pytest.raises(CapacityError, match="there was room on the GPU, but no longer is for"):
        CudaBackend(specify(every_feature()))


def test_shard_that_does_not_fit(gpu):
    gpu.memory, gpu.free = LAUNCH_BYTES // 2, 0
    with pytest.raises(CapacityError, match=r"needs .* GB on the GPU.*Use 3 times as many GPUs"):
        CudaBackend(specify(every_feature()))


def test_choice_of_a_backend(monkeypatch):
    monkeypatch.setattr("simcore.kernels.missing_for_gpu", lambda: "")
    assert choose_backend("auto") == ("cuda", "")
    assert choose_backend("auto", threads=2) == ("cpu", "there are 2 threads")
    assert choose_backend("reference") == ("reference", "")
    monkeypatch.setattr("simcore.kernels.missing_for_gpu", lambda: "there is none")
    assert choose_backend("auto") == ("cpu", "there is none")
    with pytest.raises(ConfigError, match=r"backend is 'cuda', must be .* but there is none"):
        check_backend("cuda", "float64")
    with pytest.raises(ConfigError, match="threads is 2, must be 1 with the backend 'cuda'"):
        check_backend("cuda", "float64", 2)


def test_lack_of_a_gpu_is_told(monkeypatch):
    look = availability.missing_for_gpu.__wrapped__
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "CuPy is not installed" in look()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(availability, "DRIVER", "no-such-library.so")
    assert look() == "there is no CUDA driver here (no-such-library.so)"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ""),
        ({"n_devices": 0}, "CuPy finds no CUDA device"),
        ({"capability": "70"}, "the device has compute capability 7.0, must be 7.5 or more"),
        ({"cooperative": 0}, "no cooperative launches (cudaDevAttrCooperativeLaunch is 0)"),
    ],
)
def test_device_that_cannot_be_used_is_told(gpu, monkeypatch, changes, expected):
    monkeypatch.setattr(availability, "DRIVER", "libc.so.6")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    for name, value in changes.items():
        monkeypatch.setattr(gpu, name, value)
    found = availability.missing_for_gpu.__wrapped__()
    assert expected in found
    assert bool(expected) == bool(found)


def test_cupy_that_does_not_work_is_told(gpu, monkeypatch):
    monkeypatch.setattr(availability, "DRIVER", "libc.so.6")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.delattr(gpu.module.cuda.nvrtc, "getVersion")
    assert availability.missing_for_gpu.__wrapped__().startswith("CuPy does not work: ")


def test_network_that_does_not_fit_is_refused_before_it_is_built(gpu, monkeypatch):
    gpu.memory = 10**9
    monkeypatch.setattr("simcore.construction.build.build_shards", pytest.fail)
    net = sc.Network()
    group = net.population("a", 100_000, sc.LIF())
    net.connect(group, group, sc.FixedIndegree(10_000), weight=0.1, delay=1.0)
    with pytest.raises(CapacityError, match=r"must be at most the 1 GB free. Use 4 such GPUs, "):
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
