"""Memory, streams and launches on a GPU; all that the CUDA backend knows of CuPy.

What is queued in a stream happens in its order. Everything that the kernels read or change is
queued in one stream, what they report comes back in another, see `LaunchQueue`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.kernels.cuda.availability import free_gpu_bytes
from simcore.kernels.cuda.compiler import kernels
from simcore.kernels.cuda.models import ModelSet
from simcore.services.errors import CapacityError, ConfigError
from simcore.services.launcher import local_rank

# As many as advance.cu is compiled for where all blocks share the neurons, and synapse_draws.cuh
GRID_THREADS, DRAW_THREADS = 768, 256

WARP = 32


@dataclass(frozen=True)
class Kernel:
    """A kernel, and the blocks of its launches.

    Parameters
    ----------
    function : cupy.cuda.function.Function
        The kernel.
    n_blocks, n_threads : int
        Blocks of a launch, and threads of each.
    shared_bytes : int
        Memory that the threads of a block share [B].
    waits : bool
        Whether the blocks wait for each other, so that all have to run at the same time.
    """

    function: Any
    n_blocks: int
    n_threads: int
    shared_bytes: int = 0
    waits: bool = True

    @property
    def n_warps(self) -> int:
        """Warps of a launch."""
        return self.n_blocks * self.n_threads // WARP


class Device:
    """The GPU of this rank, with the kernels: ranks on one machine take its devices in turn.

    Parameters
    ----------
    precision : {"float64", "float32"}
        Type of the state.
    models : ModelSet
        The models that the kernels know.

    Attributes
    ----------
    models : ModelSet
        The same.
    n_units : int
        Multiprocessors.
    shared_bytes : int
        Memory of a multiprocessor that the threads of one block may share [B].

    Raises
    ------
    ConfigError
        When the kernels do not compile.
    """

    def __init__(self, precision: str, models: ModelSet) -> None:
        import cupy

        self.models = models
        self._cuda = cuda = cupy.cuda
        own = cuda.Device(local_rank() % cuda.runtime.getDeviceCount()).use()
        self._module = cuda.function.Module()
        self._module.load(kernels(precision, int(own.compute_capability), models))
        self.n_units = int(own.attributes["MultiProcessorCount"])
        self.shared_bytes = int(own.attributes["MaxSharedMemoryPerBlockOptin"])
        self.stream = cuda.Stream(non_blocking=True)
        self.copies = cuda.Stream(non_blocking=True)

    def grid(self) -> Kernel:
        """Return the kernel whose blocks share all neurons, with as many blocks as run at once.

        Raises
        ------
        ConfigError
            When the device cannot run a block of it.
        """
        return self._whole("advance_grid", GRID_THREADS)

    def plain(self, name: str) -> Kernel:
        """Return a kernel whose threads do not wait for each other."""
        return replace(self._whole(name, DRAW_THREADS), waits=False)

    def _whole(self, name: str, n_threads: int) -> Kernel:
        """Return a kernel with as many blocks as run at once."""
        function = self._module.get_function(name)
        per_unit = self._blocks_per_unit(function, n_threads, 0)
        return Kernel(function, per_unit * self.n_units, n_threads)

    def team(self, n_blocks: int, n_threads: int, shared_bytes: int) -> Kernel:
        """Return the kernel whose blocks have neurons of their own.

        Parameters
        ----------
        n_blocks, n_threads, shared_bytes : int
            See `Kernel`; there are at most as many blocks as multiprocessors.

        Raises
        ------
        ConfigError
            When the device cannot run a block of it.
        """
        function, driver = self._module.get_function("advance_team"), self._cuda.driver
        most = driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        driver.funcSetAttribute(function.ptr, most, shared_bytes)
        self._blocks_per_unit(function, n_threads, shared_bytes)
        return Kernel(function, n_blocks, n_threads, shared_bytes)

    def _blocks_per_unit(self, function: Any, n_threads: int, shared_bytes: int) -> int:
        """Return how many blocks a multiprocessor runs at the same time."""
        per_unit = self._cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
            function.ptr, n_threads, shared_bytes
        )
        if per_unit < 1:
            raise ConfigError(
                f"backend 'cuda': the device cannot run a block of {n_threads} threads. "
                "Choose another device, or the backend cpu."
            )
        return int(per_unit)

    def upload(self, array: NDArray[Any]) -> Buffer:
        """Return a buffer with a copy of an array, of one item at least."""
        buffer = Buffer(self, max(array.size, 1), array.dtype)
        buffer.write(array)
        return buffer

    def zeros(self, n: int, dtype: Any) -> Buffer:
        """Return a buffer of `n` zeros, of one at least."""
        buffer = Buffer(self, max(n, 1), dtype)
        buffer.pointer.memset_async(0, buffer.nbytes, self.stream)
        return buffer

    def allocate(self, n_bytes: int) -> Any:
        """Return a pointer to memory of the device.

        Raises
        ------
        CapacityError
            When there is none left.
        """
        try:
            return self._cuda.alloc(n_bytes)
        except self._cuda.memory.OutOfMemoryError as error:
            raise CapacityError(
                f"backend 'cuda': there was room on the GPU, but no longer is for {n_bytes:,} "
                "bytes. Something else takes memory of the same GPU: use fewer ranks on it."
            ) from error

    def pinned(self, n: int, dtype: Any) -> NDArray[Any]:
        """Return an array of the host that the device copies from and to beside other work."""
        nbytes = n * np.dtype(dtype).itemsize
        return np.frombuffer(self._cuda.alloc_pinned_memory(nbytes), dtype, n)

    def free_bytes(self) -> int:
        """Return the memory that is free [B]."""
        return free_gpu_bytes()

    def event(self) -> Any:
        """Return a mark that can be recorded in a stream."""
        return self._cuda.Event()

    def seconds(self, begin: Any, end: Any) -> float:
        """Return the time between two events that have happened [s]."""
        return float(self._cuda.get_elapsed_time(begin, end)) * 1e-3

    def launch(
        self, kernel: Kernel, structs: tuple[NDArray[np.int64], ...], *arguments: int
    ) -> None:
        """Queue a launch.

        Parameters
        ----------
        kernel : Kernel
            What to launch.
        structs : tuple of ndarray of int64
            The first arguments, handed over by value.
        *arguments : int
            The others, all of 8 bytes.

        Raises
        ------
        ConfigError
            When the device does not run so many blocks at the same time.
        """
        by_value = (struct.view(np.dtype((np.void, struct.nbytes))) for struct in structs)
        given = (*by_value, *(np.int64(a) for a in arguments))
        try:
            kernel.function(
                (kernel.n_blocks,), (kernel.n_threads,), given, shared_mem=kernel.shared_bytes,
                stream=self.stream, enable_cooperative_groups=kernel.waits,
            )  # fmt: skip
        except self._cuda.driver.CUDADriverError as error:
            raise ConfigError(
                f"backend 'cuda': the GPU refuses a launch of {kernel.n_blocks} blocks that run "
                f"at the same time ({error}). Under MPS let this process use all of the GPU "
                "(CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=100)."
            ) from error


class Buffer:
    """An array on the device.

    Parameters
    ----------
    device : Device
        Where.
    n : int
        Number of items.
    dtype : dtype
        Type of the items.

    Attributes
    ----------
    address : int
        Where it is.
    """

    def __init__(self, device: Device, n: int, dtype: Any) -> None:
        self._device, self.size, self.dtype = device, n, np.dtype(dtype)
        self.nbytes = n * self.dtype.itemsize
        self.pointer = device.allocate(self.nbytes)
        self.address = int(self.pointer.ptr)

    def write(self, array: NDArray[Any], at: int = 0) -> None:
        """Copy an array to the items from `at` on, when all that was queued is done."""
        array = np.ascontiguousarray(array, dtype=self.dtype)
        if array.size == 0:
            return
        place = self.pointer + at * self.dtype.itemsize
        place.copy_from_host_async(array.ctypes.data, array.nbytes, self._device.stream)

        # Where a device reads memory of the host itself, CUDA may not have taken a copy yet
        self._device.stream.synchronize()

    def send(self, array: NDArray[Any]) -> None:
        """Queue a copy of a pinned array to the first items; it must not change meanwhile."""
        self.pointer.copy_from_host_async(array.ctypes.data, array.nbytes, self._device.stream)

    def read(self, n: int | None = None, at: int = 0) -> NDArray[Any]:
        """Return a copy of `n` items from `at` on, or of all, when all that was queued is done."""
        array = np.empty(self.size if n is None else n, dtype=self.dtype)
        stream = self._device.stream
        place = self.pointer + at * self.dtype.itemsize
        place.copy_to_host_async(array.ctypes.data, array.nbytes, stream)
        stream.synchronize()
        return array

    def fetch(self, array: NDArray[Any], first: int, n: int) -> None:
        """Queue, among the copies, that of items `first` to ``first + n`` to a pinned array."""
        place = self.pointer + first * self.dtype.itemsize
        target = array[first : first + n]
        place.copy_to_host_async(target.ctypes.data, target.nbytes, self._device.copies)
