"""The collection of tests/ranks reports what happens on the ranks, above all that it failed."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None
    or not (Path(sys.executable).parent / "mpiexec").exists(),
    reason="needs mpi4py and mpiexec",
)


@pytest.fixture
def run_on_ranks(tmp_path):
    """Run pytest on one file in a tests/ranks folder of its own; return exit code and output."""

    def run(source, *options, limit=60):
        (tmp_path / "tests/ranks").mkdir(parents=True)
        conftest = (TESTS / "conftest.py").read_text()
        (tmp_path / "tests/conftest.py").write_text(
            conftest.replace("JOB_LIMIT = 300", f"JOB_LIMIT = {limit}")
        )
        shutil.copy(TESTS / "ranks/conftest.py", tmp_path / "tests/ranks")
        (tmp_path / "tests/ranks/test_it.py").write_text(source)
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib -rs\n")

        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "tests"]
        launcher = ("PMI_", "PMIX_", "OMPI_COMM")
        outside = {k: v for k, v in os.environ.items() if not k.startswith(launcher)}
        done = subprocess.run(command, cwd=tmp_path, env=outside, capture_output=True, text=True)
        return done.returncode, done.stdout

    return run


def test_file_runs_on_the_ranks_it_names(run_on_ranks):
    source = "RANKS = (1, 3)\ndef test_size(comm):\n    assert comm.size in RANKS\n"

    code, output = run_on_ranks(source, "-v")

    assert code == 0, output
    assert "np1 PASSED" in output
    assert "np3 PASSED" in output
    assert "2 passed" in output


def test_failure_on_one_rank_is_reported(run_on_ranks):
    source = (
        "RANKS = (2,)\n"
        "def test_one_fails(comm):\n"
        "    assert comm.rank == 0, 'this rank fails'\n"
        "    comm.barrier()\n"
    )

    code, output = run_on_ranks(source)

    assert code == 1, output
    assert "this rank fails" in output
    assert "-n 2" in output
    assert "1 failed" in output


def test_hang_shows_where_it_hangs(run_on_ranks):
    source = (
        "import pytest\n"
        "RANKS = (2,)\n"
        "@pytest.mark.timeout(2)\n"
        "def test_one_waits(comm):\n"
        "    if comm.rank == 1:\n"
        "        comm.barrier()  # nobody joins\n"
    )

    code, output = run_on_ranks(source)

    assert code == 1, output
    assert "Timeout" in output
    assert "nobody joins" in output


def test_death_of_a_rank_is_reported(run_on_ranks):
    source = (
        "import os, signal\n"
        "RANKS = (2,)\n"
        "def test_one_dies(comm):\n"
        "    if comm.rank == 1:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    comm.barrier()\n"
    )

    code, output = run_on_ranks(source)

    assert code == 1, output
    assert "exit code 9" in output


def test_job_that_does_not_end_is_killed(run_on_ranks):
    source = (
        "import atexit, time\n"
        "RANKS = (2,)\n"
        "def test_leaves_late(comm):\n"
        "    atexit.register(time.sleep, 100)\n"
    )

    code, output = run_on_ranks(source, limit=5)

    assert code == 1, output
    assert "killed after 5 s" in output


def test_skip_on_all_ranks_is_a_skip(run_on_ranks):
    source = "import pytest\nRANKS = (2,)\ndef test_nothing():\n    pytest.skip('no reason')\n"

    code, output = run_on_ranks(source)

    assert code == 0, output
    assert "1 skipped" in output
