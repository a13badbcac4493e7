"""Full disks, vanished folders, ranks that fail or hang: the job ends, says why, and can go on."""

import shutil
import subprocess
from pathlib import Path

import pytest

import simcore as sc
from simcore.io.checkpoint import is_valid, list_checkpoints
from tests.conftest import lack_of_mpi, mount, remove_segments, segments
from tests.faults.chain import undisturbed
from tests.faults.checks import broken_promises, differences
from tests.faults.jobs import Job, run, simcore

MODEL = Path(__file__).with_name("model.py")
BROKEN = Path(__file__).with_name("broken_model.py")
DURATION = 400

# A job must end so soon after something went wrong [s]
SOON = 15.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(lack_of_mpi() is not None, reason=str(lack_of_mpi())),
]


@pytest.fixture(scope="module", autouse=True)
def _no_segments():
    before = segments()
    yield
    remove_segments(segments() - before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return undisturbed(tmp_path_factory.mktemp("whole"), DURATION)


# A backend that takes seconds, so that something can happen meanwhile
SLOW = ("--backend", "reference")


def started(path, *options, model=MODEL, every="20ms"):
    arguments = ["run", str(model), "--duration", str(DURATION), "--output", str(path)]
    return [*arguments, "--checkpoint-every", every, *options]


def broken(folder, fault, rank):
    """Return the options of a run in which a rank fails as long as a file is there."""
    trigger = folder / "trigger"
    trigger.touch()
    settings = {"fault": fault, "rank": rank, "trigger": trigger}
    return [text for name, value in settings.items() for text in ("--set", f"{name}={value}")]


def check_resumed(path, whole, log):
    """Look at what is there, resume on three ranks in the fast backend, and compare."""
    assert not broken_promises(path, whole)
    checkpoints = list_checkpoints(str(path))
    assert all(is_valid(place) for _, place in checkpoints)
    complete = sc.open_run(path).status == "complete"
    code, text = run(["resume", str(path), "--backend", "cpu"], log, 3)
    assert code == 0, text
    if complete:
        assert "has reached its end" in text
    elif checkpoints:
        assert f"goes on at {checkpoints[0][0] * whole.dt:.10g} ms" in text
    assert not differences(path, whole)


def fill(disk, spare):
    (disk / "other").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - spare)))


def errors_of(text):
    return [line for line in text.splitlines() if "simcore: error" in line]


@pytest.mark.parametrize("spare", [1_300_000, 1_900_000, 2_300_000])
def test_full_disk(small_disk, whole, tmp_path, spare):
    """The disk is full at the first parts and checkpoints, later ones, or when packing."""
    path = small_disk / "run.h5"
    fill(small_disk, spare)
    code, text = run(started(path), tmp_path / "log", 2, limit=30.0)
    assert code == 1, text
    (error,) = errors_of(text)
    assert str(path) in error
    assert "No space left on device" in error
    assert "Free some space" in error
    if path.exists():
        code, text = run(["resume", str(path)], tmp_path / "log", 2)
        assert code == 1, text
        assert "Free some space" in text
        assert "Traceback" not in text
        (small_disk / "other").unlink()
        mount("-o", "remount,size=30m", str(small_disk))
        check_resumed(path, whole, tmp_path / "log")


def test_disk_full_at_a_checkpoint(small_disk, tmp_path):
    """The first checkpoint fits, the second does not."""
    path = small_disk / "run.h5"
    large = MODEL.with_name("large_model.py")
    code, text = run(started(path, model=large, every="100ms"), tmp_path / "log", 2, limit=30.0)
    assert code == 1, text
    (error,) = errors_of(text)
    assert f"checkpoint of {str(path)!r} cannot be written" in error
    assert "No space left on device" in error
    assert [step for step, _ in list_checkpoints(str(path))] == [1000]
    mount("-o", "remount,size=30m", str(small_disk))
    whole = undisturbed(tmp_path, DURATION, large)
    check_resumed(path, whole, tmp_path / "log")


def test_folder_that_cannot_be_written_any_more(small_disk, whole, tmp_path):
    path = small_disk / "run.h5"
    with Job(simcore(started(path, *SLOW), 2), tmp_path / "log") as job:
        assert job.wait_for(lambda: list_checkpoints(str(path)), 30.0)
        mount("--bind", str(small_disk), str(small_disk))
        mount("-o", "remount,bind,ro", str(small_disk))
        code, seconds = job.wait(30.0)
        assert (code, seconds < SOON) == (1, True), job.text
        (error,) = errors_of(job.text)
        assert str(path) in error
        assert "Read-only file system" in error
    assert sc.open_run(path).end > 0
    code, text = run(["resume", str(path)], tmp_path / "log", 2)
    assert code == 1, text
    assert "Read-only file system" in text
    subprocess.run(["umount", str(small_disk)], check=True)
    mount("-o", "remount,size=30m", str(small_disk))
    check_resumed(path, whole, tmp_path / "log")


def test_folder_that_is_deleted(tmp_path):
    path = tmp_path / "out" / "run.h5"
    path.parent.mkdir()
    with Job(simcore(started(path, *SLOW), 2), tmp_path / "log") as job:
        assert job.wait_for(lambda: list_checkpoints(str(path)), 30.0)
        while path.parent.exists():
            shutil.rmtree(path.parent, ignore_errors=True)
        code, seconds = job.wait(30.0)
        assert (code, seconds < SOON) == (1, True), job.text
        (error,) = errors_of(job.text)
        assert str(path) in error


@pytest.mark.parametrize(
    ("fault", "named"),
    [("raise", "ZeroDivisionError: as the test wants it"), ("memory", "Unable to allocate")],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_rank_that_fails(whole, tmp_path, fault, named, rank):
    path = tmp_path / "run.h5"
    options = broken(tmp_path, fault, rank)
    with Job(simcore(started(path, *options, model=BROKEN), 2), tmp_path / "log") as job:
        code, _ = job.wait(30.0)
        assert code == 1, job.text
        assert f"rank {rank}: " in job.text
        assert named in job.text
    assert sc.open_run(path).status in ("failed", "interrupted")
    (tmp_path / "trigger").unlink()
    check_resumed(path, whole, tmp_path / "log")


@pytest.mark.parametrize("rank", [0, 1])
def test_rank_that_hangs(whole, tmp_path, rank):
    path = tmp_path / "run.h5"
    # Longer than a start takes on a busy machine, which makes no progress either
    options = [*broken(tmp_path, "hang", rank), "--watchdog", "10s"]
    with Job(simcore(started(path, *options, model=BROKEN), 2), tmp_path / "log") as job:
        code, _ = job.wait(90.0)
        assert code != 0, job.text
        assert f"rank {1 - rank} made no progress for 10 s" in job.text
        assert "in allgather" in job.text or "in allreduce" in job.text, job.text
    assert not broken_promises(path, whole)
