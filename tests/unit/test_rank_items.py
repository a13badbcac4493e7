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
    """Run pytest on files in a tests/ranks folder of their own; return exit code and output."""

    def run(*sources, options=(), limit=60):
        (tmp_path / "tests/ranks").mkdir(parents=True)
        conftest = (TESTS / "conftest.py").read_text()
        (tmp_path / "tests/conftest.py").write_text(
            conftest.replace("JOB_LIMIT = 300", f"JOB_LIMIT = {limit}")
        )
        shutil.copy(TESTS / "ranks/conftest.py", tmp_path / "tests/ranks")
        for name, source in zip(("it", "that"), sources, strict=False):
            (tmp_path / f"tests/ranks/test_{name}.py").write_text(source)
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib -rs\n")

        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "tests"]
        launcher = ("PMI_", "PMIX_", "OMPI_COMM")
        outside = {k: v for k, v in os.environ.items() if not k.startswith(launcher)}
        done = subprocess.run(command, cwd=tmp_path, env=outside, capture_output=True, text=True)
        return done.returncode, done.stdout

    return run


def test_file_runs_on_the_ranks_it_names(run_on_ranks):
    source = "RANKS = (1, 3)\ndef test_size(comm):\n    assert comm.size in RANKS\n"

    code, output = run_on_ranks(source, options=["-v"])

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


def test_files_share_a_job(run_on_ranks, tmp_path):
    source = (
        "import os\nRANKS = (2,)\ndef test_it():\n    print(os.getppid(), file=open('jobs', 'a'))\n"
    )

    code, output = run_on_ranks(source, source, options=["-v"])

    assert code == 0, output
    assert "test_it.py::np2 PASSED" in output
    assert "test_that.py::np2 PASSED" in output
    jobs = (tmp_path / "jobs").read_text().split()
    assert len(jobs) == 4
    assert len(set(jobs)) == 1


def test_what_ranks_print_is_no_verdict(run_on_ranks):
    prints = (
        "RANKS = (2,)\n"
        "def test_prints(capfd):\n"
        "    with capfd.disabled():\n"
        "        print('tests/ranks/test_that.py . 1 passed')\n"
    )
    skips = "import pytest\nRANKS = (2,)\ndef test_nothing():\n    pytest.skip('no reason')\n"

    code, output = run_on_ranks(prints, skips, options=["-v"])

    assert code == 0, output
    assert "test_it.py::np2 PASSED" in output
    assert "test_that.py::np2 SKIPPED" in output


PASSES = "RANKS = (2,)\ndef test_it():\n    pass\n"


def test_failure_in_a_shared_job_is_reported_and_the_rest_is_tested(run_on_ranks):
    fails = "RANKS = (2,)\ndef test_it(comm):\n    assert comm.rank == 0, 'this rank fails'\n"

    code, output = run_on_ranks(fails, PASSES, options=["-v"])

    assert code == 1, output
    assert "test_it.py::np2 FAILED" in output
    assert "this rank fails" in output
    assert "test_that.py::np2 PASSED" in output


def test_failure_in_a_shared_job_alone_is_a_failure(run_on_ranks):
    once = (
        "from pathlib import Path\n"
        "RANKS = (2,)\n"
        "def test_it(comm):\n"
        "    first = not Path('there').exists()\n"
        "    comm.barrier()\n"
        "    Path('there').touch()\n"
        "    assert not first, 'the first time it fails'\n"
    )

    code, output = run_on_ranks(PASSES, once, options=["-v"])

    assert code == 1, output
    assert "the first time it fails" in output
    assert "test_it.py::np2 FAILED" in output
    assert "test_that.py::np2 PASSED" in output


def test_files_that_share_a_job_are_skipped_alone(run_on_ranks):
    skips = "import pytest\nRANKS = (2,)\ndef test_it():\n    pytest.skip('no reason')\n"

    code, output = run_on_ranks(skips, PASSES, options=["-v"])

    assert code == 0, output
    assert "test_it.py::np2 SKIPPED" in output
    assert "test_that.py::np2 PASSED" in output
