"""The same numbers on processors of other kinds, which a process plays by masking features."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from simcore.models import microcircuit
from simcore.services.digest import digest_json
from simcore.simulation.derived_digest import digest_numbers
from tests.unit.test_derived import NETWORK, POINTS

SCRIPT = """
import sys
sys.path.append({root!r})
from tests.unit.test_processors import digests
print(*digests())
"""


def digests():
    """Return digests of what follows from models, and of a model."""
    scaled = microcircuit.build(N_scaling=0.1, K_scaling=0.3, thalamus=True)
    return POINTS.digest(), digest_numbers(NETWORK, POINTS, 0.1), digest_json(scaled.describe())


def test_older_processor():
    """NumPy, the C library and Numba use no instructions beyond the first of x86-64."""
    core = np._core._multiarray_umath
    used = [name for name in core.__cpu_dispatch__ if core.__cpu_features__[name]]
    masked = "".join(f",-{name}{end}" for name in ("AVX2", "FMA") for end in ("", "_Usable"))
    environment = {
        **os.environ,
        "NPY_DISABLE_CPU_FEATURES": " ".join(used),
        "GLIBC_TUNABLES": f"glibc.cpu.hwcaps={masked[1:]}",
        "NUMBA_CPU_NAME": "generic",
    }
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(root=root)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert tuple(done.stdout.split()) == digests()
