"""The kernels of the CUDA backend on the CPU, watched by the sanitizers of g++."""

import os
import subprocess
import sys

import pytest

from simcore.kernels.cuda.device import SOURCE
from tests.emulation.gpu import compile_kernels

ADDRESSES = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
RACES = ("-fsanitize=thread", "-DTHREADS", "-pthread")

SCRIPT = """
import ctypes
import pytest
from simcore.kernels.cuda import residence
from tests.emulation.gpu import Gpu
from tests.unit import test_cuda
residence.n_entries = lambda n, n_sections: max(n_sections, {entries})
gpu = Gpu(shape={shape})
gpu.install(pytest.MonkeyPatch())
gpu.library = lambda precision: ctypes.CDLL({path!r})
found = test_cuda.result_of(test_cuda.make(), {bounds})
print(found.steps.size)
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


def test_addresses_and_arithmetic():
    path = compile_kernels("float64", *ADDRESSES)
    done = watched("asan", path, shape=(2, 64), bounds=[0, 57, 200], entries=2**16)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 500


@pytest.fixture(scope="module")
def races():
    """The library of the kernels that finds races."""
    return compile_kernels("float64", *RACES)


@pytest.mark.parametrize("entries", [3, 2**16])
def test_races(races, entries):
    """Blocks and warps run at the same time, and meet in the barrier of the kernels."""
    done = watched("tsan", races, shape=(2, 64), bounds=[0, 7, 60], entries=entries)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 60


BARRIERS = {
    "after the update": ("        rounds.barrier();\n        met = clock64();", "met = clock64();"),
    "after the delivery": (
        "            barrier();\n            const int64 n_left",
        "const int64 n_left",
    ),
    "at the begin": ("    rounds.barrier();\n    if (n_remote", "    if (n_remote"),
}


@pytest.mark.slow
@pytest.mark.parametrize("where", BARRIERS)
def test_missing_barrier_is_found_out(tmp_path, where):
    text = SOURCE.read_text()
    assert text.count(BARRIERS[where][0]) == 1
    (tmp_path / SOURCE.name).write_text(text.replace(*BARRIERS[where]))
    path = compile_kernels("float64", *RACES, folder=tmp_path)
    done = watched("tsan", path, shape=(2, 64), bounds=[0, 7, 60], entries=2**16)
    assert done.returncode != 0
    assert "WARNING: ThreadSanitizer: data race" in done.stderr
