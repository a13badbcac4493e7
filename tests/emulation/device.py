"""The kernels of the CUDA backend on the CPU, see emulation.hpp."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from simcore.kernels.cuda.device import SOURCE, Buffer, Device

HERE = Path(__file__).parent

# Results equal those of a device to the last bit only without fused multiply-add
OPTIONS = ("-std=c++17", "-O1", "-g", "-ffp-contract=off", "-shared", "-fPIC", f"-I{SOURCE.parent}")


class HostBuffer(Buffer):
    """An array that lies in the memory of this process, exactly as large as it has to be."""

    def __init__(self, array):
        self.array = array
        self.address, self.size = array.ctypes.data, array.size

    def read(self, n=None):
        """Return a copy of the first `n` items, or of all."""
        return self.array[:n].copy()

    def write(self, array):
        """Copy an array to the first items."""
        self.array[: array.size] = array


class EmulatedDevice(Device):
    """A launch of a few blocks of a few warps.

    Parameters
    ----------
    precision : {"float64", "float32"}
        Type of the state.
    n_blocks, n_threads : int
        Size of a launch.
    """

    memory = 2**40

    def __init__(self, precision="float64", n_blocks=2, n_threads=64):
        self._library = library(precision)
        self.shape = n_blocks, n_threads
        self.launches = 0

    def upload(self, array):
        """Return a buffer with a copy of an array."""
        return HostBuffer(np.array(array, order="C").reshape(-1))

    def zeros(self, n, dtype):
        """Return a buffer of zeros."""
        return HostBuffer(np.zeros(n, dtype=dtype))

    def free_bytes(self):
        """Return the memory that is free [B]."""
        return self.memory

    def advance(self, *arguments):
        """Launch the kernel `advance_epoch`, and wait for its end."""
        self.launches += 1
        numbers = [ctypes.c_int64(int(a)) for a in (*self.shape, *arguments)]
        self._library.launch_advance(*numbers)


@functools.cache
def library(precision, *options):
    """Compile the kernels for the CPU; skip the test where there is no compiler."""
    return ctypes.CDLL(str(compile_kernels(precision, *options)))


def compile_kernels(precision, *options):
    """Return the library of the kernels for the CPU."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++, which is not installed")
    real = "double" if precision == "float64" else "float"
    path = Path(tempfile.mkdtemp(prefix="simcore-emulation-")) / f"{real}.so"
    source = str(HERE / "kernels.cpp")
    command = ["g++", *OPTIONS, f"-DREAL={real}", *options, "-o", str(path), source]
    subprocess.run(command, check=True)
    return path
