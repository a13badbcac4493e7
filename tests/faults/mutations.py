"""Damage files at random and read them: ``python -m tests.faults.mutations --mutations 1000``.

Whatever the bytes are, a command ends well or with one error that says what is wrong, and
`simcore verify` finds every change in a file of simcore. Each mutation is tried in a process of its
own, so that a crash or a hang of a library is seen.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

import simcore as sc
from simcore.analysis.verification import compare_bits
from simcore.cli import main as simcore
from simcore.io import open_run
from simcore.services.comm import SerialComm
from simcore.services.errors import SimcoreError, StoppedError
from simcore.services.progress import Progress

# How long a mutation may take before it counts as a hang [s]
PATIENCE = 60

DURATION = 12.0
RUN = "run.h5"

RUN_FILE = """\
model = "brunel"

[parameters]
order = 50

[run]
duration = 30.0
dt = 0.1

[record]
V_m = [{ population = "excitatory", n = 3, interval = 1.0 }]
"""


@dataclass(frozen=True)
class Target:
    """Files that are damaged, and what is done with them.

    Parameters
    ----------
    make : callable
        Writes the files into the working directory.
    files : str
        Which of them are damaged: a pattern.
    read : callable
        Reads them in the working directory; yields what is wrong.
    """

    make: Callable[[], object]
    files: str
    read: Callable[[], Iterator[str]]


def network() -> sc.Network:
    """Return a network that is simulated in no time."""
    net = sc.Network(seed=5)
    E = net.population("E", 12, sc.LIF(I_e=2000.0, tau_m=10.0))
    I = net.population("I", 3, sc.LIF(I_e=1800.0, tau_m=10.0))  # noqa: E741
    net.connect(E, I, sc.FixedIndegree(3), weight=20.0, delay=1.0)
    net.record([E, I], "spikes")
    net.record(E[:3], "V_m", interval=1.0)
    return net


class _Stop(Progress):
    """Stops a run on its way."""

    def running(self, model_ms: float) -> None:
        if model_ms >= DURATION / 2:
            os.kill(os.getpid(), signal.SIGTERM)


def complete(progress: Progress | bool = False) -> None:
    """Simulate to the end."""
    sc.simulate(
        network(), DURATION, output=RUN, backend="reference", checkpoint_every=3.0,
        comm=SerialComm(), progress=progress,
    )  # fmt: skip


def interrupted() -> None:
    """Simulate a run and stop it, so that it has parts and checkpoints."""
    complete()
    os.rename(RUN, "whole.run")
    shutil.rmtree(f"{RUN}.checkpoints")
    with contextlib.suppress(StoppedError):
        complete(_Stop(DURATION, enabled=False))


def foreign() -> None:
    """Write spikes and potentials as another program may."""
    dice = np.random.default_rng(3)
    with h5py.File("foreign.h5", "w") as file:
        for name in ("E", "I"):
            group = file.create_group(f"spikes/{name}")
            times = dice.uniform(0.0, 100.0, 60)
            group["timestamps"] = np.sort(times) if name == "E" else times
            group["timestamps"].attrs["units"] = "ms"
            group["node_ids"] = dice.integers(0, 9, 60).astype(np.uint64)
        report = file.create_group("report/E")
        report["data"] = dice.normal(size=(20, 3)).astype(np.float32)
        report["mapping/node_ids"] = np.arange(3, dtype=np.uint64)
        report["mapping/time"] = [1.0, 21.0, 1.0]


def nest() -> None:
    """Write what NEST records, and which populations it has."""
    lines = [f"{k % 9 + 1}\t{0.1 * k:.3f}" for k in range(1, 120)]
    head = ["# NEST version: 3.6.0", "# RecordingBackendASCII version: 2", "sender\ttime_ms"]
    Path("spikes.dat").write_text("\n".join([*head, *lines, ""]))
    Path("populations.toml").write_text("E = [1, 6]\nI = [7, 9]\n")
    Path("populations.txt").write_text("1 6\n7 9\n")


def _command(*arguments: str) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = simcore(arguments)
    return code, out.getvalue(), err.getvalue()


def _wrong(*arguments: str) -> Iterator[str]:
    """Yield what is wrong with how a command ends."""
    code, _, text = _command(*arguments)
    errors = text.count("simcore: error: ")
    said = code == 1 and arguments[0] == "verify" and not errors
    if "Traceback" in text or errors != (code != 0 and not said):
        yield f"simcore {' '.join(arguments)}: exit code {code}: {text}"
    if arguments == ("verify", RUN) and code == 0:
        yield "simcore verify overlooks it"


def read_complete() -> Iterator[str]:
    """Show, check and export a run."""
    for arguments in (("verify", RUN), ("info", RUN), ("info", "--json", RUN), ("pack", RUN)):
        yield from _wrong(*arguments)
    for name in ("csv", "sonata"):
        yield from _wrong("export", RUN, "-o", f"out.{name}", "--to", name, "--no-progress")
    _statistics(RUN)


def _statistics(path: str) -> None:
    """Read all that was recorded, as statistics do."""
    with contextlib.suppress(SimcoreError):
        run = sc.open_run(path)
        run.rates()
        for report in run.reports:
            run.samples(report.population, report.variable, interval=report.interval)
        for name in run.recorded:
            selection = run.select(name)
            np.bincount(selection.places(selection.read().node_ids))


def read_interrupted() -> Iterator[str]:
    """Show and check a run, and go on with it; the spikes must be the same."""
    yield from _wrong("verify", RUN)
    yield from _wrong("info", "--json", RUN)
    yield from _wrong("export", RUN, "-o", "out.csv", "--no-progress")
    shutil.copytree(".", "packed")
    yield from _wrong("pack", f"packed/{RUN}")
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            run = sc.resume(RUN, network(), backend="reference", comm=SerialComm())
    except SimcoreError:
        return
    found = compare_bits(open_run("whole.run"), run)
    yield from map(str, found.differences)
    yield from found.descriptions


def read_foreign() -> Iterator[str]:
    """Show, compare and export a SONATA file."""
    yield from _wrong("info", "foreign.h5")
    yield from _wrong("verify", "foreign.h5")
    yield from _wrong("verify", "foreign.h5", "foreign.h5")
    yield from _wrong("export", "foreign.h5", "-o", "out.csv", "--no-progress")
    yield from _wrong("export", "foreign.h5", "-o", "out.h5", "--no-progress")
    _statistics("foreign.h5")


def read_nest() -> Iterator[str]:
    """Import a recording of NEST."""
    base = ("import", "spikes.dat", "-o", "imported.h5", "--no-progress", "--overwrite")
    yield from _wrong(*base, "--populations", "populations.toml")
    yield from _wrong(*base, "--populations", "populations.txt", "--names", "E", "I")


def read_run_file() -> Iterator[str]:
    """Plan a run."""
    yield from _wrong("plan", "run.toml")


TARGETS = {
    "run": Target(complete, RUN, read_complete),
    "interrupted": Target(interrupted, f"{RUN}*/**/*.h5", read_interrupted),
    "header": Target(interrupted, RUN, read_interrupted),
    "sonata": Target(foreign, "foreign.h5", read_foreign),
    "nest": Target(nest, "*", read_nest),
    "run file": Target(lambda: Path("run.toml").write_text(RUN_FILE), "run.toml", read_run_file),
}


def mutated(content: bytes, dice: random.Random) -> bytes:
    """Return other bytes."""
    found = bytearray(content)
    place = dice.randrange(len(found))
    kind = dice.choice(["bit", "bit", "bit", "byte", "byte", "hole", "cut", "twice"])
    if kind == "bit":
        found[place] ^= 1 << dice.randrange(8)
    elif kind == "byte":
        found[place] = (found[place] + dice.randrange(1, 256)) % 256
    elif kind == "hole":
        found[place : place + 64] = bytes(len(found[place : place + 64]))
    elif kind == "cut":
        del found[place:]
    else:
        found[place:place] = found[place : place + 64]
    return bytes(found)


def attempt(target: Target, start: Path, folder: Path, dice: random.Random) -> list[str]:
    """Damage one of the files that lie in `start`, in a copy; return what is wrong then."""
    shutil.copytree(start, folder)
    paths = sorted(p for p in folder.glob(target.files) if p.is_file())
    path = dice.choice(paths)
    content = path.read_bytes()
    other = mutated(content, dice)
    if other == content:
        return []
    path.write_bytes(other)
    pairs = enumerate(zip(content, other, strict=False))
    place = next((k for k, (old, new) in pairs if old != new), len(other))
    wrong = complaints(target, folder)
    return [f"{path.relative_to(folder)}, byte {place} of {len(content)}: {text}" for text in wrong]


def complaints(target: Target, folder: Path) -> list[str]:
    """Read the files in a folder; return what is wrong."""
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return list(target.read())
        except Exception as error:
            return ["".join(traceback.format_exception(error))]


def prepared(name: str, folder: Path) -> Path:
    """Return a folder with the files of a target."""
    start = folder / name
    start.mkdir()
    with contextlib.chdir(start):
        TARGETS[name].make()
    # Whole files must be read; this also imports what the processes share
    shutil.copytree(start, folder / "whole")
    wrong = complaints(TARGETS[name], folder / "whole")
    shutil.rmtree(folder / "whole")
    if not all("overlooks" in text for text in wrong):
        raise AssertionError(f"{name}: undamaged files are not read: {wrong}")
    return start


def guarded(name: str, start: Path, folder: Path, seed: str) -> tuple[list[str], bool]:
    """Do `attempt` in a process of its own.

    Returns
    -------
    list of str
        What is wrong, also how the process ended.
    bool
        Whether HDF5 hung or crashed, which nobody above it can prevent.
    """
    place, stack = folder.with_suffix(".txt"), folder.with_suffix(".stack")
    child = os.fork()
    if child == 0:
        try:
            with stack.open("w") as file:
                faulthandler.enable(file)
                faulthandler.dump_traceback_later(PATIENCE, file=file, exit=True)
                wrong = attempt(TARGETS[name], start, folder, random.Random(seed))
                place.write_text("\0".join(wrong))
                os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    text = stack.read_text()
    stack.unlink()
    if status:
        frames = [line for line in text.splitlines() if "File " in line]
        in_hdf5 = bool(frames) and "/h5py/" in frames[0]
        return [f"the process ended with status {status}\n{text}"], in_hdf5
    text = place.read_text()
    place.unlink()
    return (text.split("\0") if text else []), False


def main() -> int:
    """Try mutations of all targets; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--mutations", type=int, default=1000, help="how many of each target (1000)")
    add("--seed", type=int, default=1, help="of the dice (1)")
    add("--targets", nargs="+", choices=TARGETS, default=list(TARGETS), help="which (all)")
    arguments = parser.parse_args()
    failures, hdf5 = Counter[str](), Counter[str]()
    folder = Path(tempfile.mkdtemp(prefix="simcore-mutations-"))
    for name in arguments.targets:
        start, begun = prepared(name, folder), time.monotonic()
        for k in range(arguments.mutations):
            place = folder / f"{name}-{k}"
            wrong, in_hdf5 = guarded(name, start, place, f"{arguments.seed} {name} {k}")
            failures[name] += bool(wrong) and not in_hdf5
            hdf5[name] += in_hdf5
            for text in wrong:
                print(f"{name}, mutation {k}: {text}", flush=True)
            if not wrong:
                shutil.rmtree(place)
        seconds = time.monotonic() - begun
        lost = f", HDF5 hung or crashed in {hdf5[name]}" if hdf5[name] else ""
        print(f"{name:<12} {arguments.mutations} mutations {seconds:6.1f} s{lost}", flush=True)
    if failures.total():
        print(f"{failures.total()} mutations failed; their files are in {folder}")
        return 1
    shutil.rmtree(folder)
    print("all others were read, or refused in one clear error")
    return 0


if __name__ == "__main__":
    sys.exit(main())
