"""A run that is killed again and again, each time resumed in another way, up to its end."""

from __future__ import annotations

import random
import re
import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from simcore.io import open_run
from simcore.io.parts import list_parts
from simcore.io.reader import Run
from tests.faults.checks import broken_promises, differences
from tests.faults.jobs import Job, run, simcore

MODEL = Path(__file__).with_name("model.py")
DURATION = 1000
LIMIT = 120.0  # [s] for a session, or the end of a job; more is a hang
STOPPED = 75  # the exit code after SIGTERM

# What a session prints when all ranks are up
_UP = re.compile("built |has reached its end")

# Where a session is struck, and by what, with their weights
MOMENTS = {"start": 3, "any time": 5, "checkpoint": 4, "part": 4, "packing": 2, "end": 2}
WEAPONS = {"kill one rank": 9, "kill all": 8, "kill launcher": 2, "stop": 4}


@dataclass(frozen=True)
class Strike:
    """What happened to one session.

    Parameters
    ----------
    weapon, phase : str
        By what, and during what it was hit.
    seconds : float
        How long the job took to end [s].
    """

    weapon: str
    phase: str
    seconds: float


@dataclass
class Chain:
    """One run with all its sessions.

    Parameters
    ----------
    folder : path
        Where it lies.
    whole : Run
        The undisturbed run.
    dice : Random
        Decide everything.
    n_kills : int
        How often it is killed at most.

    Attributes
    ----------
    strikes : list of Strike
        The kills.
    commands : list of str
        What was run, and how it was struck.
    failure : str
        Which promise was broken; empty if none.
    """

    folder: Path
    whole: Run
    dice: random.Random
    n_kills: int
    strikes: list[Strike] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    failure: str = ""

    def go(self) -> None:
        """Kill and resume up to the end, and note which promise was broken, if any."""
        try:
            self._go()
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"

    def _go(self) -> None:
        while len(self.strikes) < self.n_kills and not self._is_finished():
            self._session()
            self._check_files()
        if not self._is_finished():
            with self._start() as job:
                self._wait_for_end(job)
        wrong = differences(self.path, self.whole)
        require(not wrong, "; ".join(wrong))
        code, text = run(["verify", self.whole.path, str(self.path)], self.folder / "verify.log")
        require(code == 0 and text.startswith("identical"), text)

    @property
    def path(self) -> Path:
        """The output file."""
        return self.folder / "run.h5"

    def _is_finished(self) -> bool:
        if not self.path.exists() or self._has_parts():
            return False
        return open_run(self.path).status == "complete"

    def _has_parts(self) -> bool:
        return Path(f"{self.path}.parts").exists()

    def _start(self) -> Job:
        """Start or resume the run, on other ranks than before."""
        dice = self.dice
        n_ranks, threads = dice.choice([0, 0, 1, 2, 2, 3, 4]), 1
        backend = dice.choices(["cpu", "reference"], [9, n_ranks < 2])[0]
        if n_ranks < 3 and backend == "cpu":
            threads = dice.choice([1, 1, 2] if n_ranks else [1, 2, 3])
        options = [
            "--checkpoint-every", f"{dice.choice([20, 50, 100])}ms", "--backend", backend,
            "--threads", str(threads),
            "--partitioner", dice.choice(["balanced", "block", "round_robin"]),
        ]  # fmt: skip
        first = ["run", str(MODEL), "--duration", str(DURATION)]
        arguments = ["resume", str(self.path), *options]
        if not self.path.exists():
            arguments = [*first, "--output", str(self.path), *options]
        command = simcore(arguments, n_ranks)
        self.commands.append(shlex.join(command))
        return Job(command, self.folder / f"session-{len(self.commands)}.log")

    def _session(self) -> None:
        """Start a session and strike it; one that ends before is no strike."""
        weapon = _draw(self.dice, WEAPONS)
        moment = _draw(self.dice, MOMENTS)
        before = self._look()
        with self._start() as job:
            # Who is not up yet does not know how to stop
            if weapon == "stop":
                moment = "any time"
            if not self._wait_for(job, moment):
                self._wait_for_end(job)
                return
            self.commands.append(f"# {weapon}, {moment}")
            self._strike(job, weapon, before)

    def _wait_for_end(self, job: Job) -> None:
        code, _ = job.wait(LIMIT)
        require(code == 0, f"exit code {code}: {job.text}")

    def _wait_for(self, job: Job, moment: str) -> bool:
        """Wait for the moment; tell whether it came before the job ended."""
        if moment == "start":
            return not job.wait_for(lambda: False, self.dice.uniform(0.0, 1.5)) and job.is_running()
        if not job.wait_for(lambda: _UP.search(job.text), LIMIT):
            return False
        seconds = self.dice.uniform(0.0, 1.2 if moment == "any time" else 0.5)
        job.wait_for(lambda: False, seconds)
        if moment in ("packing", "end"):
            last = f"*-{round(self.whole.duration / self.whole.dt):012d}.h5"
            job.wait_for(lambda: list(self.folder.glob(f"run.h5.parts/{last}")), LIMIT)
        number = _number(self.path)
        signs: dict[str, Callable[[], object]] = {
            "any time": lambda: True,
            "checkpoint": lambda: list(self.folder.glob("run.h5.checkpoints/*.tmp")),
            "part": lambda: list(self.folder.glob("run.h5.parts/*.tmp")),
            "packing": lambda: Path(f"{self.path}.tmp").exists(),
            "end": lambda: _number(self.path) != number,
        }
        return job.wait_for(signs[moment], LIMIT) and job.is_running()

    def _strike(self, job: Job, weapon: str, before: set[str]) -> None:
        if weapon == "kill one rank":
            job.send_to_rank(self.dice.choice(list(job.ranks()) or [0]), signal.SIGKILL)
        elif weapon == "kill launcher":
            job.send(signal.SIGKILL)
        elif weapon == "kill all":
            job.kill()
        else:
            job.send(signal.SIGUSR1)
            job.send(signal.SIGTERM)
        code, seconds = job.wait(LIMIT)
        phase = self._phase(before)
        self.strikes.append(Strike(weapon, phase, seconds))
        self.commands[-1] += f", in {phase}, ended after {seconds:.2f} s with exit code {code}"
        if weapon == "stop":
            status = open_run(self.path).status
            # Once the file is complete nobody notes signals any more: one then ends the process
            well = (code, status) in ((STOPPED, "stopped"), (0, "complete"))
            require(well or phase == "after the end", f"exit code {code}, status {status}")
        elif phase != "after the end":
            require(code != 0, f"killed in {phase}, but the exit code is 0")

    def _look(self) -> set[str]:
        """Return the files, and when they were changed."""
        return {f"{p.name} {p.stat().st_mtime_ns}" for p in self.folder.glob("run.h5*/*.h5")}

    def _phase(self, before: set[str]) -> str:
        """Return in what the run was killed, as the files tell."""
        if not self.path.exists():
            return "creating the file" if self._has_parts() else "build, no file yet"
        if list(self.folder.glob("run.h5.checkpoints/*.tmp")):
            return "writing a checkpoint"
        if list(self.folder.glob("run.h5.parts/*.tmp")):
            return "writing a part"
        complete = open_run(self.path).status == "complete"
        if Path(f"{self.path}.tmp").exists():
            return "packing" if complete else "creating the file"
        if complete:
            packed = not list_parts(str(self.path), 0)
            if not self._has_parts():
                return "after the end"
            return "removing parts" if packed else "packing"
        return "between two writes" if self._look() != before else "before anything was written"

    def _check_files(self) -> None:
        if not self.path.exists():
            return
        wrong = broken_promises(self.path, self.whole)
        require(not wrong, "; ".join(wrong))
        if self.dice.random() < 0.2:
            code, text = run(["info", str(self.path)], self.folder / "info.log")
            require(code == 0, text)


def _number(path: Path) -> int:
    """Return which file has a name; another one after it was replaced."""
    return path.stat().st_ino if path.exists() else 0


def require(holds: bool, text: str) -> None:
    """Raise `AssertionError` unless something holds."""
    if not holds:
        raise AssertionError(text)


def _draw(dice: random.Random, weights: dict[str, int]) -> str:
    return dice.choices(list(weights), list(weights.values()))[0]


def undisturbed(folder: Path, duration: int = DURATION, model: Path = MODEL) -> Run:
    """Return the run that nobody disturbs."""
    path = folder / "whole.h5"
    arguments = ["run", str(model), "--duration", str(duration), "--output", str(path)]
    code, text = run(arguments, folder / "whole.log", limit=600.0)
    require(code == 0, text)
    return open_run(path)
