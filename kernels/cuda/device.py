"""Memory and launches on a device; what the CUDA backend knows of CuPy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.launch import local_rank

SOURCE = Path(__file__).parent / "advance.cu"

# No fused multiply-add: results are those of the CPU to the last bit
OPTIONS = ("--fmad=false", "--std=c++17", f"-I{SOURCE.parent}")

# As many as advance.cu is compiled for
BLOCK_THREADS = 512


def options(precision: str) -> tuple[str, ...]:
    """Return the options to compile the kernels with, for a type of the state."""
    return (*OPTIONS, f"-DREAL={'double' if precision == 'float64' else 'float'}")


class Buffer(ABC):
    """An array on a device.

    Attributes
    ----------
    address : int
        Where it is.
    size : int
        Number of items.
    """

    address: int
    size: int

    @abstractmethod
    def read(self, n: int | None = None) -> NDArray[Any]:
        """Return a copy of the first `n` items, or of all."""

    @abstractmethod
    def write(self, array: NDArray[Any]) -> None:
        """Copy an array to the first items."""


class Device(ABC):
    """Memory, and the kernels compiled for a type of the state."""

    @abstractmethod
    def upload(self, array: NDArray[Any]) -> Buffer:
        """Return a buffer with a copy of an array."""

    @abstractmethod
    def zeros(self, n: int, dtype: Any) -> Buffer:
        """Return a buffer of zeros."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Return the memory that is free [B]."""

    @abstractmethod
    def advance(self, *arguments: int) -> None:
        """Launch the kernel `advance_epoch`, and wait for its end."""


class CupyBuffer(Buffer):
    """See `Buffer`."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.address, self.size = int(array.data.ptr), int(array.size)

    def read(self, n: int | None = None) -> NDArray[Any]:
        """Return a copy of the first `n` items, or of all."""
        return self._array[:n].get()

    def write(self, array: NDArray[Any]) -> None:
        """Copy an array to the first items."""
        self._array[: array.size].set(array)


class CupyDevice(Device):
    """The GPU of this rank: ranks on one machine take its devices in turn.

    Parameters
    ----------
    precision : {"float64", "float32"}
        Type of the state.
    """

    def __init__(self, precision: str) -> None:
        import cupy

        self._cupy = cupy
        cupy.cuda.Device(local_rank() % cupy.cuda.runtime.getDeviceCount()).use()
        module = cupy.RawModule(
            code=SOURCE.read_text(encoding="utf-8"),
            options=options(precision),
            backend="nvrtc",
            enable_cooperative_groups=True,
        )
        self._kernel = module.get_function("advance_epoch")
        per_unit = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
            self._kernel.kernel.ptr, BLOCK_THREADS, 0
        )
        units = cupy.cuda.Device().attributes["MultiProcessorCount"]
        self._n_blocks = units * max(1, per_unit)

    def upload(self, array: NDArray[Any]) -> Buffer:
        """Return a buffer with a copy of an array."""
        return CupyBuffer(self._cupy.asarray(np.ascontiguousarray(array).reshape(-1)))

    def zeros(self, n: int, dtype: Any) -> Buffer:
        """Return a buffer of zeros."""
        return CupyBuffer(self._cupy.zeros(n, dtype=dtype))

    def free_bytes(self) -> int:
        """Return the memory that is free [B]."""
        return int(self._cupy.cuda.runtime.memGetInfo()[0])

    def advance(self, *arguments: int) -> None:
        """Launch the kernel `advance_epoch`, and wait for its end."""
        numbers = tuple(np.int64(a) for a in arguments)
        self._kernel((self._n_blocks,), (BLOCK_THREADS,), numbers)
        self._cupy.cuda.get_current_stream().synchronize()
