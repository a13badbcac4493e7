"""Jobs of several processes that are started, struck by signals and surely ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from uuid import uuid4

from tests.conftest import mpiexec, rank_environment

REPOSITORY = Path(__file__).parents[2]

# By which the processes of a job are known, also when their parent has gone
_MARK = "SIMCORE_FAULTS_JOB"

# Wall-clock time between two looks at files and processes [s]
_LOOK = 0.0005


def simcore(arguments: list[str], n_ranks: int = 0) -> list[str]:
    """Return the command line of simcore on some ranks; 0 is without a launcher."""
    if n_ranks == 0:
        return [sys.executable, "-m", "simcore", *arguments]
    launcher = [str(mpiexec()), "-n", str(n_ranks), sys.executable, "-m", "mpi4py"]
    return [*launcher, "-m", "simcore", *arguments]


class Job:
    """A command and all processes that it starts; leaving the context kills what is left.

    Parameters
    ----------
    command : list of str
        The command.
    log : path
        Gets what it prints.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        self.command, self.log = command, log
        self._mark = uuid4().hex
        self._seen: set[int] = set()
        self._looked = 0.0
        environment = rank_environment(0) | {_MARK: self._mark}
        with log.open("wb") as output:
            self._launcher = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def is_running(self) -> bool:
        """Tell whether the launcher has not ended."""
        return self._launcher.poll() is None

    def processes(self) -> dict[int, int | None]:
        """Return the rank of each process of the job by its id; None for a launcher."""
        mark = f"{_MARK}={self._mark}".encode()
        found = {}
        for place in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                values = place.read_bytes().split(b"\0")
                if mark in values:
                    ranks = [v[9:] for v in values if v.startswith(b"PMI_RANK=")]
                    found[int(place.parent.name)] = int(ranks[0]) if ranks else None
        self._seen |= set(found)
        return found

    def is_over(self) -> bool:
        """Tell whether all processes have ended, and so closed their files.

        One that is ending has lost its environment before.
        """
        return (
            not self.is_running() and not self.processes() and not any(map(_is_alive, self._seen))
        )

    def ranks(self) -> dict[int, int]:
        """Return the process id of each rank; without a launcher the only process is rank 0."""
        if str(mpiexec()) not in self.command:
            return {0: self._launcher.pid} if self.is_running() else {}
        return {rank: pid for pid, rank in self.processes().items() if rank is not None}

    def send(self, number: int) -> None:
        """Send a signal to the launcher."""
        _send(self._launcher.pid, number)

    def send_to_rank(self, rank: int, number: int) -> None:
        """Send a signal to one rank, if it is there."""
        if rank in (ranks := self.ranks()):
            _send(ranks[rank], number)

    def kill(self) -> None:
        """Kill every process."""
        while not self.is_over():
            for pid in self.processes():
                _send(pid, signal.SIGKILL)
            time.sleep(_LOOK)

    def wait(self, limit: float) -> tuple[int, float]:
        """Wait for the end of all processes; return the exit code, and how long it took [s].

        Raises
        ------
        TimeoutError
            When some are still there after the limit [s].
        """
        begin = time.monotonic()
        self.processes()
        while not self.is_over():
            if time.monotonic() > begin + limit:
                raise TimeoutError(f"processes {self.processes()} are still there: {self.text}")
            time.sleep(0.01)
            self._look_now_and_then()
        return self._launcher.wait(), time.monotonic() - begin

    def _look_now_and_then(self) -> None:
        """Get to know the processes that have been started meanwhile."""
        if time.monotonic() > self._looked + 0.2:
            self._looked = time.monotonic()
            self.processes()

    def wait_for(self, condition: Callable[[], object], limit: float) -> bool:
        """Wait until something holds, the job has ended or the time is up [s]; tell if it holds."""
        begin = time.monotonic()
        while not condition():
            if not self.is_running() or time.monotonic() > begin + limit:
                return False
            time.sleep(_LOOK)
        return True

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def run(arguments: list[str], log: Path, n_ranks: int = 0, limit: float = 60.0) -> tuple[int, str]:
    """Run simcore to its end; return the exit code and what it printed."""
    with Job(simcore(arguments, n_ranks), log) as job:
        code, _ = job.wait(limit)
        return code, job.text


def _is_alive(pid: int) -> bool:
    """Tell whether a thread of a process has not ended; the first can end before the others."""
    for place in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            if place.read_text().rpartition(")")[2].split()[0] not in "ZX":
                return True
    return False


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
