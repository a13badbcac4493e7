"""Whether this process can use a GPU."""

from __future__ import annotations

import functools
import importlib.util

# Oldest compute capability that the kernels are compiled for
OLDEST = 75


@functools.cache
def lack_of_gpu() -> str:
    """Return what is missing to run on a GPU; empty if nothing is."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed (pip install 'simcore[cuda13]' or 'simcore[cuda12]')"
    try:
        import cupy

        if not cupy.cuda.is_available():
            return "CuPy finds no CUDA device"
        capability = int(cupy.cuda.Device().compute_capability)
    except Exception as error:
        return f"CuPy does not work: {error}"
    if capability < OLDEST:
        return f"the device has compute capability {capability / 10}, must be {OLDEST / 10} or more"
    return ""
