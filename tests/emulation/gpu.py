"""A GPU made of the few parts of CuPy that simcore uses; its kernels run on the CPU.

What is queued in a stream is done as late as CUDA allows: when somebody waits for it. So a host
that reads what has not arrived, or overwrites what has not left, gets wrong results in the tests.
Memory that nobody wrote holds rubbish. Every name here exists in CuPy; `tests/unit/test_device.py`
holds them against the installed one.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import Counter, deque
from pathlib import Path
from time import perf_counter
from types import ModuleType

import numpy as np
import pytest

import simcore as sc
from simcore import library as library_of_models
from simcore.kernels.cuda import backend
from simcore.kernels.cuda.compiler import SOURCE, headers
from simcore.kernels.cuda.device import DRAW_THREADS, GRID_THREADS
from simcore.kernels.cuda.models import HEADER, ModelSet
from simcore.kernels.cuda.team import THREADS
from simcore.language.program import make_program
from tests.varied import VARIED, varied_kind

HERE = Path(__file__).parent

# Results equal those of a device to the last bit only without fused multiply-add
OPTIONS = ("-std=c++17", "-O1", "-g", "-ffp-contract=off", "-shared", "-fPIC", f"-I{SOURCE.parent}")

DRAWING = (
    "count_drawn", "put_drawn", "count_listed", "put_listed", "sum_groups", "begin_rows",
)  # fmt: skip
N_THREADS = {"advance_grid": GRID_THREADS, "advance_team": THREADS}
N_THREADS |= dict.fromkeys(DRAWING, DRAW_THREADS)

RUBBISH = 0xA5

# Ranks that are threads take turns: the emulation has one launch at a time
EMULATION = threading.Lock()


class Token:
    """One recording of an event; `time` is set when the stream gets there."""

    def __init__(self, stream):
        self.stream, self.time = stream, None

    def reach(self):
        while self.time is None:
            self.stream.step()

    def pass_by(self):
        self.time = perf_counter()


class Event:
    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.token = None

    def synchronize(self):
        if self.token is not None:
            self.token.reach()


class Stream:
    def __init__(self, null=False, non_blocking=False, ptds=False):
        assert non_blocking, "a stream that waits for the default one would hide mistakes"
        self.queue = deque()

    def step(self):
        self.queue.popleft()()

    def synchronize(self):
        while self.queue:
            self.step()

    def record(self, event=None):
        event.token = Token(self)
        self.queue.append(event.token.pass_by)
        return event

    def wait_event(self, event):
        if event.token is not None:
            self.queue.append(event.token.reach)


class MemoryPointer:
    def __init__(self, gpu, memory, offset=0):
        self.gpu, self.memory, self.offset = gpu, memory, offset
        self.ptr = memory.ctypes.data + offset

    def __add__(self, offset):
        return MemoryPointer(self.gpu, self.memory, self.offset + offset)

    def part(self, size):
        assert 0 <= self.offset <= self.offset + size <= self.memory.size
        return self.memory[self.offset : self.offset + size]

    def memset_async(self, value, size, stream=None):
        part = self.part(size)
        stream.queue.append(lambda: part.fill(value))

    def copy_from_host_async(self, mem, size, stream=None):
        part, source = self.part(size), host_bytes(mem, size)
        stream.queue.append(lambda: np.copyto(part, source))

    def copy_to_host_async(self, mem, size, stream=None):
        part, target = self.part(size), host_bytes(mem, size)
        stream.queue.append(lambda: np.copyto(target, part))


def host_bytes(address, size):
    assert isinstance(address, int)
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


class Function:
    """One of the kernels."""

    def __init__(self, gpu, library, name):
        self.gpu, self.library, self.name = gpu, library, name
        self.shared = 48 * 1024
        self.ptr = len(gpu.functions)
        gpu.functions.append(self)

    def __call__(
        self, grid, block, args, shared_mem=0, stream=None, enable_cooperative_groups=False
    ):
        gpu, team = self.gpu, self.name == "advance_team"
        assert enable_cooperative_groups == (self.name not in DRAWING)
        if self.name in DRAWING:
            return self.plain(grid, block, args, shared_mem, stream)
        if gpu.refuses:
            raise CUDADriverError("CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE")
        n_blocks, n_threads = gpu.shape
        if team:
            assert 1 <= grid[0] <= gpu.units * gpu.occupancy(self.ptr, *block, shared_mem)
            n_blocks = grid[0]
            assert n_blocks <= n_threads, "each thread waits for the post of a block"
        else:
            assert (grid, block) == ((gpu.units * gpu.blocks_per_unit,), (GRID_THREADS,))
            assert shared_mem == 0
        struct, *numbers = args
        assert struct.size == 1
        assert struct.nbytes == self.library.shard_bytes()
        assert [type(n) for n in numbers] == [np.int64] * 6
        shard, values = struct.copy(), [ctypes.c_int64(int(n)) for n in numbers]
        shape = [ctypes.c_int64(n) for n in (team, n_blocks, n_threads, shared_mem)]

        def run():
            gpu.launches[self.name] += 1
            with EMULATION:
                self.library.launch(*shape, ctypes.c_void_p(shard.ctypes.data), *values)

        stream.queue.append(run)

    def plain(self, grid, block, args, shared_mem, stream):
        """Queue a launch whose blocks do not wait for each other."""
        assert block[0] % 32 == 0
        assert 32 <= block[0] <= DRAW_THREADS
        assert 1 <= grid[0] <= self.gpu.units * self.gpu.blocks_per_unit
        assert shared_mem == 0
        verb, _, what = self.name.partition("_")
        shape = [
            min(own, given[0])
            for own, given in zip(self.gpu.drawing_shape, (grid, block), strict=True)
        ]
        if what in ("drawn", "listed"):
            first = "drawing" if what == "drawn" else "listing"
            sizes = [getattr(self.library, f"{name}_bytes")() for name in (first, "filing")]
            structs = [struct.copy() for struct in args]
            assert [struct.nbytes for struct in structs] == sizes
            call, shape = getattr(self.library, f"run_{what}"), [verb == "put", *shape]
            values = [ctypes.c_void_p(struct.ctypes.data) for struct in structs]
        else:
            assert {type(n) for n in args} == {np.int64}
            call, structs = getattr(self.library, f"run_{self.name}"), []
            values = [ctypes.c_int64(int(n)) for n in args]

        def run(kept=structs):
            with EMULATION:
                call(*(ctypes.c_int64(n) for n in shape), *values)

        stream.queue.append(run)


class Gpu:
    """The state of some equal devices, and the module that stands in for CuPy.

    Parameters
    ----------
    shape : (int, int)
        Blocks, and threads of each, that are emulated; a team has blocks as it asks for.
    memory : int
        What the device tells to be free [B].
    n_devices : int
        Number of devices.
    shared : int
        What the threads of a block may share [B].
    """

    def __init__(self, shape=(2, 64), memory=2**40, n_devices=1, shared=200_000):
        self.shape, self.memory, self.n_devices, self.shared = shape, memory, n_devices, shared
        self.drawing_shape = shape
        self.uuids = [bytes(range(16 * k + 1, 16 * k + 17)) for k in range(n_devices)]
        self.kept = 0
        self.units, self.blocks_per_unit, self.capability = 3, 2, "90"
        self.cooperative, self.refuses = 1, False
        self.free, self.least = None, 2**62
        self.current = 0
        self.launches = Counter()
        self.functions = []
        self.options = ()
        self.library = library
        self.module = self.make_module()

    def alloc_pinned_memory(self, size):
        return np.full(size, RUBBISH, dtype=np.uint8).data

    def alloc(self, size):
        if self.free is not None:
            self.free -= size
            self.least = min(self.least, self.free)
            if self.free < 0:
                raise self.module.cuda.memory.OutOfMemoryError(size, 0)
        memory = np.full(size, RUBBISH, dtype=np.uint8)
        weakref.finalize(memory, self.give_back, size)
        return MemoryPointer(self, memory)

    def give_back(self, size):
        if self.free is not None:
            self.free += size

    def make_module(self):
        gpu = self

        class Device:
            def __init__(self, device=None):
                self.id = gpu.current if device is None else device
                assert 0 <= self.id < gpu.n_devices

            def use(self):
                gpu.current = self.id
                return self

            def __enter__(self):
                self.before, gpu.current = gpu.current, self.id

            def __exit__(self, *error):
                gpu.current = self.before

            @property
            def compute_capability(self):
                return gpu.capability

            @property
            def pci_bus_id(self):
                return f"0000:{self.id + 24:02X}:00.0"

            @property
            def attributes(self):
                return {
                    "MultiProcessorCount": gpu.units,
                    "CooperativeLaunch": gpu.cooperative,
                    "MaxSharedMemoryPerBlockOptin": gpu.shared,
                }

        class Module:
            def load(self, cubin):
                assert isinstance(cubin, bytes)
                self.precision, _, self.header = cubin.decode().partition("\n")

            def get_function(self, name):
                return Function(gpu, gpu.library(self.precision, self.header), name)

        cuda = namespace(
            "cupy.cuda",
            Device=Device,
            Stream=Stream,
            Event=Event,
            alloc=self.alloc,
            alloc_pinned_memory=self.alloc_pinned_memory,
            get_elapsed_time=elapsed,
            is_available=lambda: gpu.n_devices > 0,
            memory=namespace("cupy.cuda.memory", OutOfMemoryError=OutOfMemoryError),
            function=namespace("cupy.cuda.function", Module=Module),
            runtime=namespace(
                "cupy.cuda.runtime",
                getDeviceCount=lambda: gpu.n_devices,
                memGetInfo=lambda: (gpu.memory - gpu.kept, 2 * gpu.memory),
                getDeviceProperties=self.properties,
            ),
            driver=namespace(
                "cupy.cuda.driver",
                occupancyMaxActiveBlocksPerMultiprocessor=self.occupancy,
                funcSetAttribute=self.set_attribute,
                CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES=8,
                CUDADriverError=CUDADriverError,
            ),
            nvrtc=self.make_nvrtc(),
        )
        return namespace("cupy", cuda=cuda, get_default_memory_pool=lambda: Pool(self))

    def properties(self, device):
        """CuPy takes the bytes of a UUID for a text of C, which a zero ends."""
        return {"name": b"Stand-in", "uuid": self.uuids[device].partition(b"\0")[0]}

    def set_attribute(self, func, attribute, value):
        assert attribute == 8
        assert value <= self.shared
        self.functions[func].shared = value

    def occupancy(self, func, block_size, shared):
        function = self.functions[func]
        assert block_size == N_THREADS[function.name]
        return self.blocks_per_unit if shared <= function.shared else 0

    def make_nvrtc(self):
        def compile_program(program, options):
            self.options = options

        def create(src, name, headers, include_names):
            assert {type(given) for given in (*headers, *include_names)} == {bytes}
            return dict(zip(include_names, headers, strict=True))[HEADER.encode()]

        def code(header):
            real = "float64" if "-DREAL=double" in self.options else "float32"
            return f"{real}\n".encode() + header

        return namespace(
            "cupy.cuda.nvrtc",
            NVRTCError=type("NVRTCError", (RuntimeError,), {}),
            createProgram=create,
            compileProgram=compile_program,
            destroyProgram=lambda program: None,
            getCUBIN=code,
            getPTX=code,
            getProgramLog=lambda program: "",
            getVersion=lambda: (0, 0),
            getSupportedArchs=lambda: (75, 80, 90, 100),
        )

    def install(self, patch):
        """Let `import cupy` find this."""
        patch.setitem(sys.modules, "cupy", self.module)
        patch.setitem(sys.modules, "cupy.cuda", self.module.cuda)
        patch.setattr(backend, "model_set", shared_models)


class Pool:
    """What CuPy keeps of the memory that is no longer used; `Gpu.kept` says how much that is."""

    def __init__(self, gpu):
        self.gpu = gpu

    def free_all_blocks(self, stream=None):
        self.gpu.kept = 0


class CUDADriverError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    def __init__(self, size, total, limit=0):
        super().__init__(f"Out of memory allocating {size:,} bytes")


def elapsed(start_event, end_event):
    return 1e3 * (end_event.token.time - start_event.token.time)


def namespace(name, **members):
    module = ModuleType(name)
    module.__dict__.update(members)
    return module


@functools.cache
def every_model():
    """Return all models of the library, so that the tests compile the kernels once."""
    programs = [make_program(library_of_models.load(name)()) for name in library_of_models.names()]
    taus = [(2.0,) * n for n in (2, 3)]
    multi = library_of_models.load("iaf_psc_exp_multisynapse")
    lists = {"tau_sfa": [1.0] * 2, "q_sfa": [1.0] * 2, "tau_stc": [1.0], "q_stc": [1.0]}
    others = [multi(tau_syn=tau) for tau in taus]
    others += [library_of_models.load(name)(**lists) for name in ("gif_psc_exp", "gif_cond_exp")]
    others.append(sc.GammaSource(1.0, 2).neuron())
    kinds = [(program, frozenset()) for program in (*programs, *map(make_program, others))]
    kinds += [varied_kind(name) for name in VARIED]
    return ModelSet(*zip(*kinds, strict=True))


def shared_models(programs, varying):
    """Return the models of the library if they have those wanted, else these alone."""
    every, wanted = every_model(), ModelSet(programs, varying)
    return every if set(wanted.kinds) <= set(every.kinds) else wanted


@functools.cache
def library(precision, header, *options):
    """Compile the kernels for the CPU; skip the test where there is no compiler."""
    return ctypes.CDLL(str(compile_kernels(precision, *options, header=header)))


def compile_kernels(precision, *options, folder=SOURCE.parent, header=None):
    """Return the library of the kernels for the CPU; a folder may have others of the same names.

    The models are those of a header, or of the library.
    """
    if shutil.which("g++") is None:
        pytest.skip("needs g++, which is not installed")
    real = "double" if precision == "float64" else "float"
    own = Path(tempfile.mkdtemp(prefix="simcore-emulation-"))
    for name, text in headers(every_model()).items():
        (own / name).write_text(header if header and name == HEADER else text)
    path = own / f"{real}.so"
    source = str(HERE / "kernels.cpp")
    command = [
        "g++", f"-I{folder}", f"-I{own}", *OPTIONS, f"-DREAL={real}", *options, "-o", str(path),
        source,
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return path
