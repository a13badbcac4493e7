"""Kill runs at every single operation on files: ``python -m tests.faults.points``.

At each point three sets of files are looked at: what the killed process left, and what a crash of
the machine could have left, with and without names that were not synced, see `crash.Disk`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import simcore as sc
from simcore.io import open_run
from simcore.io.checkpoint import list_checkpoints
from simcore.io.packing import pack
from simcore.io.parts import list_parts
from simcore.io.reader import Run
from simcore.services.comm import SerialComm
from tests.faults.checks import broken_promises, differences
from tests.faults.crash import HDF5, SYSTEM, killed_at
from tests.networks import every_feature

DURATION = 40.0
NAME = Path("run.h5")
# Of the operations within HDF5 files, which nobody looks at before they have their names, every 7th
STRIDE = 7

CARE = {"checkpoint_every": 10.0, "checkpoint_wall": None, "watchdog": 0.0, "comm": SerialComm()}


def begin(duration: float = DURATION, overwrite: bool = False) -> Run:
    """Simulate in the working directory."""
    return sc.simulate(every_feature(), duration, output=NAME, overwrite=overwrite, **CARE)


def go_on(until: float | None = None) -> Run:
    """Resume in the working directory."""
    return sc.resume(NAME, every_feature(), until=until, **CARE)


def nothing() -> None:
    """Begin in an empty folder."""


def complete() -> None:
    """Begin with a run that reached its end."""
    begin()


def shorter() -> None:
    """Begin with one of half the length."""
    begin(DURATION / 2)


def interrupted() -> None:
    """Begin with a run that was killed at 40 ms, with parts and checkpoints up to 30 ms."""
    _interrupt(7)


def unpacked() -> None:
    """Begin with a run that was killed at its end, before its parts became one file."""
    _interrupt(10)


def damaged() -> None:
    """Begin with an interrupted run, the newest of whose files are damaged."""
    interrupted()
    _damage(list_checkpoints(str(NAME))[0][1])
    _damage(open_run(NAME).files[-1])


def headless() -> None:
    """Begin with an interrupted run whose output file is damaged."""
    interrupted()
    os.truncate(NAME, 100)


def _interrupt(n: int) -> None:
    if not killed_at(n, begin, ((os, "replace"),)):
        raise AssertionError(f"the run has fewer than {n + 1} files")


def _damage(place: str) -> None:
    os.truncate(place, os.path.getsize(place) - 1)


@dataclass(frozen=True)
class Scene:
    """Something that writes files.

    Parameters
    ----------
    prepare, work : callable
        Make what it begins with, and do it, in the working directory.
    may_be_gone : bool
        Whether there may be no output file after a kill, so that the run is started anew.
    may_be_unreadable : bool
        Whether the output file may be damaged, as it was before.
    """

    prepare: Callable[[], object]
    work: Callable[[], object]
    may_be_gone: bool = False
    may_be_unreadable: bool = False


SCENES = {
    "run": Scene(nothing, begin, may_be_gone=True),
    "overwrite": Scene(complete, lambda: begin(overwrite=True), may_be_gone=True),
    "resume": Scene(interrupted, go_on),
    "resume damaged": Scene(damaged, go_on),
    "resume headless": Scene(headless, go_on, may_be_unreadable=True),
    "resume unpacked": Scene(unpacked, go_on),
    "make longer": Scene(shorter, lambda: go_on(DURATION)),
    "pack": Scene(interrupted, lambda: pack(NAME)),
}


def undisturbed(folder: Path) -> Run:
    """Return a run that nothing happens to, after everything was compiled."""
    with contextlib.chdir(folder):
        begin()
    return sc.open_run(folder / NAME)


def kill(
    scene: Scene,
    whole: Run,
    folder: Path,
    points: Iterable[int],
    kinds: tuple[object, ...] = SYSTEM,
    crash: bool = True,
) -> Iterator[tuple[int, list[str]]]:
    """Kill a scene at some of its points; yield each with what is wrong after it.

    Parameters
    ----------
    scene : Scene
        What is done.
    whole : Run
        The undisturbed run.
    folder : path
        Where to work; each failure leaves a folder there.
    points : iterable of int
        Before which operations it is killed, ascending; it ends at the first that is not reached.
    kinds : tuple
        Which operations count.
    crash : bool
        Whether what a crash of the machine could leave is looked at as well.
    """
    start = folder / "start"
    start.mkdir(parents=True)
    with contextlib.chdir(start):
        scene.prepare()
    for n in points:
        place = folder / f"at-{n}"
        left = place / "left"
        shutil.copytree(start, left)
        with contextlib.chdir(left):
            reached = killed_at(n, scene.work, kinds, place if crash else None)
        if not reached:
            shutil.rmtree(place)
            return
        wrong = _forgotten(place) if crash else []
        wrong += [f"{p.name}: {w}" for p in _distinct(place) for w in _wrong(p, scene, whole)]
        if not wrong:
            shutil.rmtree(place)
        yield n, wrong


def _forgotten(place: Path) -> list[str]:
    """Return what a crash of the machine lost, but for the file that was just being written."""
    left, lost = place / "left" / NAME, place / "lost" / NAME
    found = []
    if left.exists() and list_parts(str(left), 0):
        safe = list_parts(str(left), 0)[-1].begin
        end = max((part.end for part in list_parts(str(lost), 0)), default=0)
        if end < safe and not _is_complete(lost):
            found.append(f"a crash loses what was recorded up to {safe}, but for {end}")
    steps, kept = ([step for step, _ in list_checkpoints(str(p))] for p in (left, lost))
    if len(steps) > 1 and max(kept, default=0) < steps[1]:
        found.append(f"a crash loses the checkpoint at {steps[1]}")
    return found


def _is_complete(path: Path) -> bool:
    return path.exists() and open_run(path).status == "complete"


def _distinct(place: Path) -> list[Path]:
    """Return the folders in a place that have not the same content as one before."""
    contents = {}
    for folder in sorted(place.iterdir()):
        files = sorted(folder.rglob("*"))
        content = tuple((p.relative_to(folder), p.is_file() and p.read_bytes()) for p in files)
        contents.setdefault(content, folder)
    return list(contents.values())


def _wrong(folder: Path, scene: Scene, whole: Run) -> list[str]:
    """Return what is wrong with the files after a kill, and after they were resumed."""
    kept = Path(f"{folder}-then")
    shutil.copytree(folder, kept)
    try:
        with contextlib.chdir(folder):
            found = _finish(scene, whole)
    except Exception as error:
        found = [f"{type(error).__name__}: {error}"]
    if not found:
        shutil.rmtree(kept)
    return found


def _finish(scene: Scene, whole: Run) -> list[str]:
    path = Path.cwd() / NAME
    found = []
    if scene.may_be_gone and not path.exists():
        begin()
        return differences(path, whole)
    try:
        found = broken_promises(path, whole)
    except sc.SimcoreError:
        if not scene.may_be_unreadable:
            raise
    before = open_run(path).duration if path.exists() and not scene.may_be_unreadable else DURATION
    go_on(None if before == DURATION else DURATION)
    return found + [text for text in differences(path, whole) if ".damaged" not in text]


def main() -> int:
    """Kill every scene at all of its points; return the exit code."""
    failures = 0
    folder = Path(tempfile.mkdtemp(prefix="simcore-points-"))
    (folder / "whole").mkdir()
    whole = undisturbed(folder / "whole")
    for name, scene in SCENES.items():
        begun, n_points = time.monotonic(), 0
        system = kill(scene, whole, folder / name, count())
        inside = kill(scene, whole, folder / f"{name} HDF5", count(0, STRIDE), HDF5, crash=False)
        for n, wrong in chain(system, inside):
            n_points += 1
            failures += bool(wrong)
            for text in wrong:
                print(f"{name}, operation {n}: {text}", flush=True)
        print(f"{name:<16} {n_points:>5} points {time.monotonic() - begun:6.1f} s", flush=True)
    if failures:
        print(f"{failures} points failed; their files are in {folder}")
        return 1
    shutil.rmtree(folder)
    print("all ended identical")
    return 0


if __name__ == "__main__":
    sys.exit(main())
