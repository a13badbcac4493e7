"""Whether this process can use a GPU, which one that is, and whether a shard fits it."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import math
import os
import uuid
from typing import Any

from simcore.services.errors import CapacityError
from simcore.services.launcher import local_rank

# The library of the driver
DRIVER = "libcuda.so.1"

# Oldest compute capability that the kernels are compiled for
OLDEST = 75


@functools.cache
def missing_for_gpu() -> str:
    """Return what is missing to run on the GPU of this rank; empty if nothing is."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed (pip install 'simcore[cuda13]' or 'simcore[cuda12]')"
    try:
        # Look for the driver first, because to load CuPy takes half a second
        ctypes.CDLL(DRIVER)
    except OSError:
        return f"there is no CUDA driver here ({DRIVER})"
    try:
        import cupy
        from cupy.cuda import nvrtc

        if not cupy.cuda.is_available():
            return "CuPy finds no CUDA device"
        nvrtc.getVersion()
        device = _own_device()
        capability = int(device.compute_capability)
        cooperative = device.attributes["CooperativeLaunch"]
    except Exception as error:
        return f"CuPy does not work: {error}"
    if capability < OLDEST:
        return f"the device has compute capability {capability / 10}, must be {OLDEST / 10} or more"
    if not cooperative:
        # All devices of this capability have it on Linux, also under MPS and in MIG instances;
        # CUDA C++ Programming Guide, "Grid Synchronization"
        return "the device has no cooperative launches (cudaDevAttrCooperativeLaunch is 0)"
    return ""


def name_of_gpu() -> str:
    """Return the name of the GPU of this rank: its model, PCI address and UUID.

    The parts of a GPU that was divided (MIG) have one address. A process sees one part, and
    whoever chose it said so in the environment; CUDA does not promise that UUIDs differ.
    """
    import cupy

    device = _own_device()
    properties = cupy.cuda.runtime.getDeviceProperties(device.id)
    part = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0]
    if not part.startswith("MIG-"):
        # CuPy ends the UUID before its first byte that is zero
        part = str(uuid.UUID(bytes=properties["uuid"][:16].ljust(16, b"\0")))
    return f"{properties['name'].decode()}, {device.pci_bus_id}, {part}"


def free_gpu_bytes() -> int:
    """Return the memory that is free on the GPU of this rank [B].

    What the driver takes for a process is taken then, if it was not before.
    """
    import cupy

    with _own_device():
        # Memory of earlier simulations in this process is kept for later ones
        cupy.get_default_memory_pool().free_all_blocks()
        return int(cupy.cuda.runtime.memGetInfo()[0])


def _own_device() -> Any:
    """Return the device of this rank, as CuPy has it."""
    import cupy

    return cupy.cuda.Device(local_rank() % cupy.cuda.runtime.getDeviceCount())


def require_gpu_memory(needed: float, free: float) -> None:
    """Raise `CapacityError`, with how many GPUs would do, unless so much is free on the GPU.

    Parameters
    ----------
    needed : float
        What the shard takes [B].
    free : float
        What is free [B].
    """
    if needed > free:
        raise CapacityError(
            f"backend 'cuda': the shard needs {needed / 1e9:.3g} GB on the GPU, must be at "
            f"most {free / 1e9:.3g} GB. Use {math.ceil(needed / max(free, 1))} times as many GPUs."
        )
