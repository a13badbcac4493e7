"""The kernels of the CUDA backend on the CPU, watched by the sanitizers of g++."""

import os
import subprocess
import sys

import numpy as np
import pytest

from simcore.kernels.cuda.compiler import SOURCE
from simcore.kernels.cuda.models import ModelSet
from simcore.kernels.neuron_tables import make_neuron_tables
from tests.emulation.gpu import compile_kernels
from tests.networks import every_feature, specify

ADDRESSES = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
RACES = ("-fsanitize=thread", "-DTHREADS", "-pthread")

SCRIPT = """
import ctypes
from pathlib import Path
import pytest
from simcore.kernels.cuda import backend, device_shard, team
from simcore.kernels.cuda.models import ModelSet
from tests.emulation.gpu import Gpu
from tests.unit import test_cuda
team.FEWEST_SYNAPSES = 1
device_shard.n_entries = lambda n, n_sections: max(n_sections, {entries})
gpu = Gpu(shape={shape}, shared={shared})
gpu.drawing_shape = {drawing}
gpu.install(pytest.MonkeyPatch())
backend.model_set = ModelSet
path = Path({path!r})
def library(precision, header):
    assert header == (path.parent / "models.cuh").read_text()
    return ctypes.CDLL(str(path))
gpu.library = library
found = test_cuda.result_of(test_cuda.make(), {bounds})
print(found.steps.size, *gpu.launches)
"""


def watched(library, path, **given):
    """Advance a network that uses every feature, in a process of its own; return how it ended."""
    command = ["g++", f"-print-file-name=lib{library}.so"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(found):
        pytest.skip(f"needs lib{library} of g++")
    environment = {
        **os.environ,
        "LD_PRELOAD": found,
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "TSAN_OPTIONS": "exitcode=66:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
    }
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(path=str(path), **given)],
        cwd=SOURCE.parents[2], env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


WAYS = {"grid": 0, "team": 200_000}  # with so much memory that a block may share


def compiled(*options, **given):
    """Compile the kernels with the models of the network alone, since sanitizers take long."""
    tables = make_neuron_tables(specify(every_feature()), np.dtype("float64"))
    assert len({program.name for program in tables.programs}) >= 5
    return compile_kernels(
        "float64", *options, header=ModelSet(tables.programs, tables.varying).header(), **given
    )


@pytest.fixture(scope="module")
def addresses():
    """The library of the kernels that finds wrong addresses and arithmetic."""
    return compiled(*ADDRESSES)


@pytest.mark.parametrize("way", WAYS)
def test_addresses_and_arithmetic(addresses, way):
    given = {"bounds": [0, 57, 200], "entries": 2**16, "shared": WAYS[way], "drawing": (2, 64)}
    done = watched("asan", addresses, shape=(2, 64), **given)
    assert done.returncode == 0, done.stderr[-3000:]
    n_spikes, name = done.stdout.split()
    assert int(n_spikes) > 500
    assert name == f"advance_{way}"


@pytest.fixture(scope="module")
def races():
    """The library of the kernels that finds races."""
    return compiled(*RACES)


@pytest.mark.parametrize(("way", "entries"), [("grid", 3), ("grid", 2**16), ("team", 3)])
def test_races(races, way, entries):
    """Blocks and warps run at the same time, and meet as the kernels let them."""
    given = {"bounds": [0, 7, 60], "entries": entries, "shared": WAYS[way], "drawing": (1, 64)}
    done = watched("tsan", races, shape=(2, 64), **given)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[0]) > 60


BARRIERS = {
    "after the update": (
        "grid", "advance.cu",
        "        rounds.barrier();\n        updating += clock64();", "updating += clock64();",
    ),
    "after the delivery": (
        "grid", "advance.cu",
        "            barrier();\n            const int64 n_left", "const int64 n_left",
    ),
    "at the begin": (
        "grid", "advance.cu", "    rounds.barrier();\n    if (n_remote", "    if (n_remote",
    ),
    "before a post": (
        "team", "advance.cu",
        "            __syncthreads();\n            meets =", "            meets =",
    ),
    "until all have posted": ("team", "team.cuh", "if (post >> 32 == meeting)", ""),
    "after sources are entered": (
        "grid", "synapse_draws.cuh",
        "            __syncwarp();\n            found", "            found",
    ),
    "after a block's delivery": (
        "team", "team.cuh", "__syncthreads();\n        } while", "} while",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("where", BARRIERS)
def test_missing_barrier_is_found_out(tmp_path, where):
    way, name, barrier, none = BARRIERS[where]
    text = (SOURCE.parent / name).read_text()
    assert text.count(barrier) == 1
    (tmp_path / SOURCE.name).write_text(SOURCE.read_text())
    (tmp_path / name).write_text(text.replace(barrier, none))
    path = compiled(*RACES, "-O0", folder=tmp_path)
    given = {"bounds": [0, 7, 60], "entries": 2**16, "shared": WAYS[way], "drawing": (1, 32)}
    done = watched("tsan", path, shape=(2, 64), **given)
    assert done.returncode != 0
    assert "WARNING: ThreadSanitizer: data race" in done.stderr
