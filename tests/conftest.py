"""Run the files of tests/ranks on several numbers of ranks, and skip what this machine lacks.

A plain `pytest` collects each file of tests/ranks as the items np1, np2, np3 and np4. An item
starts `mpiexec` with that many ranks, each of which runs pytest on the file; inside those ranks
the file is collected like any other. A file says `RANKS = (1, 2)` where only these numbers of
ranks make sense. The first item of a number starts one job for all files on it, since most of a
job is its start. If that fails the item fails, and each of the others gets a job of its own.

`make test` spreads the files over several processes with pytest-xdist; a plain `pytest` does not.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

RANKS_FOLDER = Path(__file__).parent / "ranks"
SLURM_FOLDER = Path(__file__).parent / "slurm"
RANK_COUNTS = (1, 2, 3, 4)

TEST_LIMIT = 120  # [s] for one test inside the ranks, which then print their stacks and abort
JOB_LIMIT = 300  # [s] for one file on one number of ranks, whose processes are then killed
ALL_FILES_LIMIT = 900  # [s] for all files on one number of ranks
KILL_GRACE = 5  # [s] for mpiexec to end its ranks by itself

LAUNCHER_PREFIXES = ("PMI_", "PMIX_", "OMPI_COMM")
RANK_VARIABLES = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
PASSED_VARIABLE = "SIMCORE_TEST_PASSED"  # names the file in which rank 0 notes what passed
NOTHING_SELECTED = 5  # pytest's exit code
SEGMENTS_BEFORE = pytest.StashKey[set[Path]]()
PASSED_TOGETHER = pytest.StashKey[dict[int, set[str]]]()


def launched_rank() -> int | None:
    """Return the rank this process was launched as, None outside mpiexec."""
    ranks = [int(os.environ[name]) for name in RANK_VARIABLES if name in os.environ]
    return ranks[0] if ranks else None


def inside_ranks(config: pytest.Config) -> bool:
    """Tell whether this process is a rank itself, or was asked to act as the only one."""
    return launched_rank() is not None or config.getoption("with_mpi", default=False)


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    # Tests have more threads and ranks than many a machine has cores
    config.addinivalue_line("filterwarnings", "ignore:.* cores? of .*use fewer:RuntimeWarning")
    if launched_rank() is None or lack_of_mpi():
        return

    # Start MPI on all ranks at once: a file may need it on one rank before another
    importlib.import_module("mpi4py.MPI")

    # Let rank 0 speak: the others print their failures only
    if launched_rank():
        config.option.verbose = -2
        config.option.no_header = True
        for plugin in config.pluginmanager.get_plugins():
            if type(plugin).__name__ == "MPIPlugin":
                plugin._is_testing_mpi = False


def pytest_sessionstart(session):
    session.stash[SEGMENTS_BEFORE] = segments()
    session.stash[PASSED_TOGETHER] = {}


def pytest_sessionfinish(session):
    if launched_rank() is None:
        remove_segments(segments() - session.stash[SEGMENTS_BEFORE])


def pytest_runtest_logreport(report):
    """Note the file of each test that passed on rank 0: what ranks print is mixed."""
    noting = PASSED_VARIABLE in os.environ and launched_rank() == 0
    if noting and report.when == "call" and report.passed:
        with open(os.environ[PASSED_VARIABLE], "a", encoding="utf-8") as note:
            note.write(report.nodeid.partition("::")[0] + "\n")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep in one process what is done once: for a file, the Slurm cluster, a number of ranks."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            path, _, name = nodeid.partition("::")
            return {"tests/slurm": "slurm", "tests/ranks": name}.get(path.rpartition("/")[0], path)

    return Scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Let one of several processes begin with Slurm, where it waits most of the time.

    The sanitizers come next, since a long file at the end would leave the others without work.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.name != "test_sanitizers.py")
        items.sort(key=lambda item: SLURM_FOLDER not in item.path.parents)


def pytest_pycollect_makemodule(module_path, parent):
    if RANKS_FOLDER in module_path.parents and not inside_ranks(parent.config):
        return RankFile.from_parent(parent, path=module_path)
    return None


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and (lack := lack_of_gpu()):
        pytest.skip(lack)
    for marker in item.iter_markers("peer"):
        for module in marker.args:
            if importlib.util.find_spec(module) is None:
                pytest.skip(f"needs {module}, which is not installed")


class RankFile(pytest.File):
    """A file of tests/ranks, seen from outside: one item per number of ranks."""

    def collect(self):
        for n_ranks in rank_counts(self.path):
            yield RankItem.from_parent(self, name=f"np{n_ranks}", n_ranks=n_ranks)


class RankItem(pytest.Item):
    """A file of tests/ranks on one number of ranks."""

    def __init__(self, *, n_ranks, **kwargs):
        super().__init__(**kwargs)
        self.n_ranks = n_ranks
        self.add_marker(pytest.mark.timeout(ALL_FILES_LIMIT + JOB_LIMIT + 4 * KILL_GRACE))

    def setup(self):
        if lack := lack_of_mpi():
            pytest.skip(lack)

    def runtest(self):
        if self.nodeid in self.passed_together():
            return
        passed, output = self.run([self.path], JOB_LIMIT)
        if not passed:
            pytest.skip(output.strip().splitlines()[-1])

    def passed_together(self):
        """Return the items that passed in one job of all files on this number of ranks."""
        found = self.session.stash[PASSED_TOGETHER]
        if self.n_ranks not in found:
            found[self.n_ranks] = set()
            items = [
                item for item in self.session.items if getattr(item, "n_ranks", 0) == self.n_ranks
            ]
            if len(items) > 1:
                found[self.n_ranks] = self.run_together(items)
        return found[self.n_ranks]

    def run_together(self, items):
        """Run the files of items in one job, and return those of which a test passed."""
        passed, _ = self.run([item.path for item in items], ALL_FILES_LIMIT)
        return {item.nodeid for item in items if item.nodeid.partition("::")[0] in passed}

    def run(self, paths, limit):
        """Run files in one job; return those of which a test passed, and what was printed."""
        command = rank_command(paths, self.n_ranks, self.config.getoption("markexpr"))
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as passed:
            environment = rank_environment(self.n_ranks) | {PASSED_VARIABLE: passed.name}
            code, output = run_job(command, environment, self.config.rootpath, limit)
            if code not in (0, NOTHING_SELECTED):
                raise JobFailedError(command, code, output)
            return set(passed.read().splitlines()), output

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, JobFailedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, None, f"{self.path.name} on {self.n_ranks} ranks"


class JobFailedError(Exception):
    """The ranks failed; says what was run, how it ended and what it printed."""

    def __init__(self, command, code, output):
        ended = f"exit code {code}" if isinstance(code, int) else code
        super().__init__(f"{output}\n{shlex.join(command)}\n{ended}")


def rank_counts(path: Path) -> tuple[int, ...]:
    """Return the numbers of ranks a file is for, read without importing it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RANKS":
            return tuple(ast.literal_eval(node.value))
    return RANK_COUNTS


def mpiexec() -> Path:
    """Return the launcher of this environment; one of another MPI would start lone ranks."""
    return Path(sys.executable).parent / "mpiexec"


def rank_command(paths: list[Path], n_ranks: int, markexpr: str) -> list[str]:
    """Return the command that runs files on a number of ranks.

    Without -x a failure on one rank would leave the others waiting, and a timeout by signal does
    not interrupt a rank that waits inside MPI. Hypothesis stays outside: every rank would draw
    examples of its own.
    """
    command = [str(mpiexec()), "-n", str(n_ranks), sys.executable, "-m", "mpi4py", "-m", "pytest"]
    command += ["-x", f"--timeout={TEST_LIMIT}", "--timeout-method=thread", "--with-mpi"]
    command += ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    return [*command, *(["-m", markexpr] if markexpr else []), *map(str, paths)]


def rank_environment(n_ranks: int) -> dict[str, str]:
    """Return the environment of the ranks: ours, without the traces of a launcher around us."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(LAUNCHER_PREFIXES) and name != "PYTEST_ADDOPTS"
    }
    return kept | {"SIMCORE_TEST_RANKS": str(n_ranks)}


def run_job(
    command: list[str], environment: dict[str, str], folder: Path, limit: float
) -> tuple[int | str, str]:
    """Run a command in a process group of its own; return how it ended and what it printed."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        job = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            ended = job.wait(limit)
        except subprocess.TimeoutExpired:
            ended = f"killed after {limit:g} s"
        finally:
            end_group(job)
        output.seek(0)
        return ended, output.read()


def end_group(job: subprocess.Popen) -> None:
    """End what is left of a job, first politely.

    mpiexec gives each rank a process group of its own, and ends them all when it ends.
    """
    try:
        os.killpg(job.pid, signal.SIGTERM)
        job.wait(KILL_GRACE)
        os.killpg(job.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()


def segments() -> set[Path]:
    """Return the shared memory segments of our MPI jobs, running or dead."""
    found = set()
    for path in Path("/dev/shm").glob("mpich_shm_*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_uid == os.getuid():
                found.add(path)
    return found


def remove_segments(paths: set[Path]) -> None:
    """Remove the segments that no process maps: MPICH leaves 2 MB behind for each aborted job."""
    mapped = ""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            mapped += maps.read_text()
    for path in paths:
        if str(path) not in mapped:
            path.unlink(missing_ok=True)


@functools.cache
def lack_of_mpi() -> str | None:
    """Say what is missing to start ranks, None if nothing is."""
    if importlib.util.find_spec("mpi4py") is None:
        return "needs mpi4py, which is not installed"
    if not mpiexec().exists():
        return f"needs mpiexec beside {sys.executable}"
    return None


@functools.cache
def lack_of_gpu() -> str | None:
    """Say what is missing to run on a GPU, None if nothing is."""
    if importlib.util.find_spec("cupy") is None:
        return "needs CuPy, which is not installed"
    import cupy

    return None if cupy.cuda.is_available() else "needs a CUDA device"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB, whose size root can change."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    done = mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk))
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    yield disk
    # A test that fails may leave it mounted twice
    while os.path.ismount(disk):
        subprocess.run(["umount", "-l", str(disk)], check=True)


def mount(*arguments):
    return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
