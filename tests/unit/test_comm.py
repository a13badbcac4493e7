"""Communicators, launchers, and ranks that fail: none may wait for ever."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simcore.services import failure
from simcore.services.comm import RehearsalComm, SerialComm, world
from simcore.services.errors import CommError, ConfigError, ModelError, SimcoreError
from simcore.services.launcher import launched_process, require_launcher, require_world
from simcore.services.timers import Timers, phase_table

ROOT = Path(__file__).parents[2]
MPIEXEC = Path(sys.executable).parent / "mpiexec"
MARKS = ("PMI_", "PMIX_", "OMPI_", "MV2_", "PALS_", "SLURM_")

needs_mpi = pytest.mark.skipif(
    not MPIEXEC.exists() or importlib.util.find_spec("mpi4py") is None,
    reason="needs mpi4py, and mpiexec beside the Python",
)


def run_program(program, ranks=None, **environ):
    """Run a program, on ranks if given; return what it did."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(MARKS)}
    start = [] if ranks is None else [str(MPIEXEC), "-n", str(ranks)]
    return subprocess.run(
        [*start, sys.executable, "-c", program],
        cwd=ROOT,
        env={**clean, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


EVERY_CALL = """
import numpy as np
from simcore.services.comm import world
comm = world()
n, me = comm.size, comm.rank
assert comm.bcast(me) == 0
assert comm.gather(me) == (list(range(n)) if me == 0 else None)
assert comm.allgather(me) == list(range(n))
arrays = comm.gather_array(np.full((me, 3), me, np.float32))
if me == 0:
    assert [a.shape for a in arrays] == [(r, 3) for r in range(n)]
    assert all((a == r).all() and a.dtype == np.float32 for r, a in enumerate(arrays))
assert comm.allreduce_min(me + 3) == 3
assert comm.allreduce_max(me) == n - 1
assert comm.allreduce_sum(np.full(2, me)).tolist() == [n * (n - 1) // 2] * 2
recv = np.zeros(2 * n, np.int64)
comm.allgather_into(np.array([me, -me]), recv)
assert recv.tolist() == [s * r for r in range(n) for s in (1, -1)]
recv = np.zeros(n * (n - 1) // 2 + 4, np.int64)
comm.allgatherv_into(np.full(me, me), recv, np.arange(n))
assert recv[:-4].tolist() == [r for r in range(n) for _ in range(r)]
comm.barrier()
assert comm.meet(me, 5.0) == list(range(n))
assert world() is comm or n == 1
if me == 0:
    print(type(comm).__name__, n)
"""


@needs_mpi
def test_mpi_carries_every_call():
    done = run_program(EVERY_CALL, ranks=3)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["MPIComm", "3"]


@pytest.mark.parametrize("environ", [{}, {"PMI_RANK": "0", "PMI_SIZE": "1"}])
def test_one_process_needs_no_mpi(environ):
    program = EVERY_CALL + "\nimport sys; assert 'mpi4py' not in sys.modules"
    done = run_program(program, **environ)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["SerialComm", "1"]


@needs_mpi
@pytest.mark.parametrize(
    ("marks", "text"),
    [
        (
            {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3", "PMIX_RANK": "1"},
            "it is that of Open MPI (OMPI_COMM_WORLD_SIZE), but mpi4py uses MPICH",
        ),
        (
            {"SLURM_PROCID": "1", "SLURM_NTASKS": "3", "SLURM_STEP_ID": "0"},
            "it started 3 processes (SLURM_NTASKS), but MPI sees 1",
        ),
    ],
)
def test_launcher_of_another_mpi_is_an_error(marks, text):
    """It is told before MPI itself aborts, since PMIx is nothing that this MPICH knows."""
    marks = marks | {"PMIX_NAMESPACE": "job"} if "PMIX_RANK" in marks else marks
    done = run_program("from simcore.services.comm import world; world()", **marks)

    assert done.returncode == 1
    assert text in done.stderr
    assert f"Start with {MPIEXEC}, or in Slurm with srun --mpi=pmi2" in done.stderr


MPICH, OPEN_MPI = "MPICH Version:      5.0.2\nMPICH configure: {}", "Open MPI v5.0.11, package: x"


@pytest.mark.parametrize(
    ("marks", "library", "text"),
    [
        ("OMPI_COMM_WORLD_", MPICH, "that of Open MPI (OMPI_COMM_WORLD_SIZE), but mpi4py uses MPI"),
        ("OMPI_COMM_WORLD_", "Intel(R) MPI Library 2021.13", "mpi4py uses Intel(R) MPI Library"),
        ("OMPI_COMM_WORLD_", OPEN_MPI, ""),
        ("PMI_", MPICH, ""),
        ("PMI_", OPEN_MPI, ""),
        ("PMIX_", MPICH, "it speaks PMIx (PMIX_RANK), but mpi4py uses MPICH 5.0.2, which does not"),
        ("PMIX_", MPICH.format("--with-pmix=/opt"), ""),
        ("PMIX_", OPEN_MPI, ""),
    ],
)
def test_launchers_that_a_library_does_not_understand(marks, library, text):
    environ = {f"{marks}RANK": "1", f"{marks}SIZE": "3"}
    if not text:
        require_launcher(launched_process(environ), library, environ)
        return
    with pytest.raises(CommError, match=re.escape(text)):
        require_launcher(launched_process(environ), library, environ)


def test_advice_fits_the_library():
    with pytest.raises(
        CommError, match=r"MPI v5\.0\.11\. Start with the mpiexec of that library, .* --mpi=pmix"
    ):
        require_world(launched_process({"PMI_RANK": "3", "PMI_SIZE": "4"}), 1, OPEN_MPI)


def test_missing_mpi4py_is_an_error():
    program = (
        "import sys; sys.modules['mpi4py'] = None; from simcore.services.comm import world; world()"
    )
    done = run_program(program, PMI_RANK="1", PMI_SIZE="4")

    assert done.returncode == 1
    assert "launcher started 4 processes" in done.stderr
    assert "pip install 'simcore[mpi]'" in done.stderr


START = "from simcore.services.comm import world\ncomm = world()\n"


@needs_mpi
def test_error_on_one_rank_ends_the_job():
    program = START + "if comm.rank == 1: raise ValueError('broken')\ncomm.barrier()"
    done = run_program(program, ranks=3)

    assert done.returncode != 0
    assert done.stderr.count("ValueError: broken") == 1
    assert "rank 1: Traceback" in done.stderr


@needs_mpi
def test_error_on_all_ranks_is_printed_once():
    done = run_program(START + "raise ValueError('broken')", ranks=3)

    assert done.returncode == 1
    assert done.stderr.count("ValueError: broken") == 1
    assert "rank" not in done.stderr
    assert "Abort" not in done.stderr


@needs_mpi
def test_errors_of_some_ranks_fail_all():
    program = f"""{START}
from simcore.services.failure import fail_together
from simcore.services.errors import ModelError
with fail_together(comm):
    if comm.rank > 0:
        raise ModelError("too large")
"""
    done = run_program(program, ranks=3)

    assert done.returncode == 1
    assert done.stderr.count("ModelError: too large") == 1
    assert "rank 1, 2: " in done.stderr
    assert "PeerError" not in done.stderr


@needs_mpi
def test_exit_in_a_block_of_all_ranks_is_an_error():
    program = f"""{START}
import sys
from simcore.services.failure import fail_together
with fail_together(comm):
    if comm.rank == 1:
        sys.exit("no data")
comm.barrier()
"""
    done = run_program(program, ranks=3)

    assert done.returncode == 1
    assert done.stderr.count("SimcoreError: called sys.exit('no data')") == 1
    assert "Abort" not in done.stderr


class Verdicts(SerialComm):
    """A rank whose peers have their verdicts already."""

    def __init__(self, others):
        self.rank, self.size, self.others = 0, 1 + len(others), others

    def allgather(self, value):
        return [value, *self.others]


def test_fail_together_passes_when_all_are_well():
    with failure.fail_together(Verdicts([None, None])):
        pass


def test_fail_together_raises_the_own_error():
    with pytest.raises(ModelError, match="mine"), failure.fail_together(Verdicts(["theirs"])):
        raise ModelError("mine")


@pytest.mark.parametrize(("status", "text"), [(None, ""), (0, "0"), ("no data", "'no data'")])
def test_fail_together_takes_an_exit_as_an_error(status, text):
    words = re.escape(f"called sys.exit({text})")

    with pytest.raises(SimcoreError, match=words), failure.fail_together(Verdicts([None])):
        sys.exit(status)


def test_fail_together_tells_of_a_peer():
    verdicts = Verdicts([None, "theirs"])

    with pytest.raises(failure.PeerError, match="rank 2: theirs"), failure.fail_together(verdicts):
        pass


@pytest.mark.parametrize(
    ("texts", "lines"),
    [
        (["same", "same"], ["same"]),
        (["of the file", None], ["of the file"]),
        ([None, "one"], ["rank 1: one"]),
        (["one", "other", "one"], ["rank 0, 2: one", "rank 1: other"]),
        ([None, *["many"] * 9], ["rank 1, 2, 3, 4 and 5 more: many"]),
    ],
)
def test_equal_errors_are_told_once(texts, lines):
    assert failure._distinct(texts) == lines


def test_summary_names_the_class_of_unforeseen_errors_only():
    assert failure.summary(ModelError("too large")) == "too large"
    assert failure.summary(ZeroDivisionError("by zero")) == "ZeroDivisionError: by zero"


def test_rehearsal_stands_for_one_rank_of_many():
    comm = RehearsalComm(1, 3)
    recv = np.full(6, -1)
    comm.allgather_into(np.array([7, 8]), recv)
    placed = np.zeros(4, dtype=np.int64)
    comm.allgatherv_into(np.array([7, 8]), placed, np.array([1, 2, 1]))

    assert recv.tolist() == [0, 0, 7, 8, 0, 0]
    assert placed.tolist() == [0, 7, 8, 0]
    assert comm.allgather("a") == ["a", "a", "a"]
    assert comm.allreduce_min(5) == comm.allreduce_max(5) == 5
    assert comm.allreduce_sum(np.arange(3)).tolist() == [0, 1, 2]
    assert comm.gather("a") is None
    assert comm.gather_array(np.zeros(2)) is None


def test_rehearsal_of_rank_0_gathers_from_silent_others():
    gathered = RehearsalComm(0, 3).gather_array(np.ones((2, 4)))

    assert [a.shape for a in gathered] == [(2, 4), (0, 4), (0, 4)]


@pytest.mark.parametrize(("rank", "size"), [(3, 3), (-1, 3), (0, 0)])
def test_rehearsal_checks_its_rank(rank, size):
    with pytest.raises(ConfigError, match="RehearsalComm"):
        RehearsalComm(rank, size)


def test_world_is_serial_here(monkeypatch):
    for name in list(os.environ):
        if name.startswith(MARKS):
            monkeypatch.delenv(name)

    assert world().size == 1


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (0, 1)),
        ({"PMI_RANK": "2", "PMI_SIZE": "4"}, (2, 4)),
        ({"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4"}, (3, 4)),
        ({"PMIX_RANK": "3"}, (3, None)),
        # A batch script is no step
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, (0, 1)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_STEP_ID": "4294967291"}, (0, 1)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "4", "SLURM_STEP_ID": "0"}, (1, 4)),
        (
            {
                "SLURM_PROCID": "1",
                "SLURM_NTASKS": "4",
                "SLURM_STEP_NUM_TASKS": "2",
                "SLURM_STEP_ID": "3",
            },
            (1, 2),
        ),
        # mpiexec starts its helpers as a step of one task per node
        (
            {
                "PMI_RANK": "5",
                "PMI_SIZE": "8",
                "SLURM_PROCID": "1",
                "SLURM_NTASKS": "2",
                "SLURM_STEP_ID": "0",
            },
            (5, 8),
        ),
        ({"PMI_RANK": "zero", "PMI_SIZE": ""}, (0, 1)),
    ],
)
def test_launchers_leave_marks(environ, expected):
    launch = launched_process(environ)

    assert (launch.rank, launch.size) == expected


def test_world_of_unknown_size_is_not_checked():
    require_world(launched_process({"PMIX_RANK": "3"}), 1, "Open MPI")

    with pytest.raises(CommError, match=r"PMI_SIZE.*MPI sees 1"):
        require_world(
            launched_process({"PMI_RANK": "3", "PMI_SIZE": "4"}), 1, "Open MPI v5\0\nbuilt"
        )


def test_timers_add_up_and_are_gathered():
    timers = Timers()
    with timers("build"):
        pass
    timers.add("exchange", 0.5)
    timers.add("exchange", 0.25)
    gathered = timers.gather(SerialComm())

    assert timers.seconds["build"] >= 0.0
    assert gathered["exchange"].tolist() == [0.75]


def test_timers_count_also_what_fails():
    timers = Timers()
    with pytest.raises(ValueError, match="x"), timers("build"):
        raise ValueError("x")

    assert "build" in timers.seconds


def test_timers_of_ranks_with_other_phases():
    class Gathered(SerialComm):
        def gather(self, value):
            return [value, {"record": 2.0}]

    timers = Timers()
    timers.add("build", 1.0)
    gathered = timers.gather(Gathered())

    assert gathered["build"].tolist() == [1.0, 0.0]
    assert gathered["record"].tolist() == [0.0, 2.0]


def test_phase_table_shows_the_spread_over_ranks():
    seconds = {"deliver": [0.2], "run": [0.5], "update": [0.3], "build": [1.0, 3.0]}
    lines = phase_table({k: np.array(v) for k, v in seconds.items()}).splitlines()

    assert lines[0].split() == ["phase", "min", "mean", "max", "[s]"]
    assert lines[2].split() == ["build", "1.000", "2.000", "3.000"]
    assert [line.split()[0] for line in lines] == ["phase", "run", "build", "update", "deliver"]
    assert lines[3].startswith("  update")
