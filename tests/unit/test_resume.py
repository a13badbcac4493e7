"""Resuming: the file ends as if nothing had happened, or it is said why it cannot go on."""

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore.analysis.verification import compare_bits
from simcore.io import open_run, pack
from simcore.io.checkpoint import list_checkpoints
from simcore.io.integrity import write_digests
from simcore.io.parts import Lock
from simcore.services.comm import SerialComm
from simcore.services.errors import ConfigError, OutputError, StoppedError
from simcore.services.launcher import NOBODY, LaunchedProcess
from simcore.services.progress import Progress
from simcore.simulation import supervisor
from simcore.simulation.options import RunOptions
from simcore.simulation.session import Job
from tests.networks import every_feature

DURATION = 60.0


def simulated(path, duration=DURATION, **options):
    return sc.simulate(every_feature(), duration, output=path, comm=SerialComm(), **options)


def resumed(path, **options):
    return sc.resume(path, every_feature(), comm=SerialComm(), **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("whole") / "run.h5")


class At(Progress):
    """Does something when the run reaches a time."""

    def __init__(self, action, *times):
        super().__init__(DURATION, enabled=False)
        self.action, self.times = action, list(times)
        self.messages = []

    def message(self, text):
        self.messages.append(text)

    def running(self, model_ms):
        super().running(model_ms)
        while self.times and model_ms >= self.times[0]:
            self.times.pop(0)
            self.action()


def send(number):
    return lambda: os.kill(os.getpid(), number)


def stopped(path, *times, **options):
    """Simulate until the run is stopped at a time by SIGTERM."""
    with pytest.raises(StoppedError):
        simulated(path, progress=At(send(signal.SIGTERM), *times), **options)
    return open_run(path)


def check(whole, run):
    found = compare_bits(whole, run)
    assert found.identical, found.differences
    assert found.spikes > 400
    assert found.samples > 3000
    assert run.status == "complete"
    assert run.spike_counts == whole.spike_counts
    assert run.digests == whole.digests


@pytest.mark.parametrize("options", [{"threads": 3}, {"backend": "reference"}, {}])
def test_on_other_threads_and_backends(whole, tmp_path, options):
    path = tmp_path / "run.h5"
    first = stopped(path, 20.0)
    assert first.status == "stopped"
    assert (first.end, first.checkpoints) == (20.0, [20.0])

    run = resumed(path, **options)

    check(whole, run)
    assert [s["begin"] for s in run.sessions] == [0, 200]
    assert run.timed == DURATION - 20.0
    assert not (tmp_path / "run.h5.parts").exists()


def test_many_times(whole, tmp_path):
    path = tmp_path / "run.h5"
    stopped(path, 20.0, checkpoint_every=3.1)
    for kind in ({"threads": 2}, {"backend": "reference"}, {"partitioner": "block"}):
        with pytest.raises(StoppedError):
            resumed(path, progress=At(send(signal.SIGTERM), 0.0), checkpoint_every=2.3, **kind)

    run = resumed(path)

    check(whole, run)
    assert len(run.sessions) == 5


def test_recording_from_a_time_on(tmp_path):
    whole = simulated(tmp_path / "whole.h5", record_from=25.3)
    path = tmp_path / "run.h5"
    stopped(path, 20.0, record_from=25.3)
    with pytest.raises(StoppedError):
        resumed(path, progress=At(send(signal.SIGTERM), 26.0), checkpoint_every=2.0)
    check(whole, resumed(path))


def test_single_precision(tmp_path):
    whole = simulated(tmp_path / "whole.h5", precision="float32")
    path = tmp_path / "run.h5"
    stopped(path, 20.0, precision="float32")
    check(whole, resumed(path, threads=2))


@pytest.mark.parametrize("every", [None, 7.0])
def test_longer(whole, tmp_path, every):
    path = tmp_path / "run.h5"
    simulated(path, 30.0, checkpoint_every=every)
    progress = At(None)

    run = resumed(path, until=DURATION, progress=progress)

    check(whole, run)
    assert run.duration == DURATION
    said = "starts from the beginning" if every is None else "goes on at 30 ms"
    assert any(said in m for m in progress.messages)


def test_complete_run_says_so(tmp_path):
    simulated(tmp_path / "run.h5", 20.0)
    before = (tmp_path / "run.h5").read_bytes()
    progress = At(None)
    run = resumed(tmp_path / "run.h5", progress=progress)
    assert run.status == "complete"
    assert any("has reached its end, 20 ms" in m for m in progress.messages)
    assert (tmp_path / "run.h5").read_bytes() == before


def test_signals_do_not_interrupt_the_packing_of_a_complete_run(tmp_path):
    path = tmp_path / "run.h5"
    simulated(path, 20.0)
    progress = At(None)
    progress.message = lambda text: [send(s)() for s in (signal.SIGUSR1, signal.SIGTERM)]
    assert resumed(path, progress=progress).status == "complete"


def test_end_cannot_come_before_the_planned_one(tmp_path):
    path = tmp_path / "run.h5"
    stopped(path, 20.0)
    with pytest.raises(ConfigError, match=r"until is 40.0, must be at least.*60 ms"):
        resumed(path, until=40.0)


def test_packed_in_between(whole, tmp_path):
    path = tmp_path / "run.h5"
    stopped(path, 20.0)
    pack(str(path))
    assert open_run(path).end == 20.0
    assert open_run(path).status == "stopped"
    assert open_run(path).digests == {}
    assert any("end: 60.0 and 20.0" in d for d in compare_bits(whole, open_run(path)).descriptions)
    check(whole, resumed(path))


def kept_moments(tmp_path, whole):
    """Return a run that was stopped at 40 ms and has checkpoints at 30 and 40 ms."""
    path = tmp_path / "run.h5"
    run = stopped(path, 40.0, checkpoint_every=10.0)
    assert run.checkpoints == [40.0, 30.0]
    return path


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "foreign"])
def test_damaged_checkpoint(whole, tmp_path, harm):
    path = kept_moments(tmp_path, whole)
    newest, older = (Path(place) for _, place in list_checkpoints(str(path)))
    damage(newest, harm)
    progress = At(None)

    run = resumed(path, progress=progress)

    assert any("goes on at 30 ms" in m for m in progress.messages)
    assert any(f"{newest} is damaged: an older one is taken" in m for m in progress.messages)
    check(whole, run)
    assert older.name == "step-000000000300.h5"


def damage(path, harm):
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 4
    elif harm == "cut":
        del content[len(content) * 2 // 3 :]
    elif harm == "empty":
        content.clear()
    else:
        content = bytearray(b"something else\n" * 100)
    path.write_bytes(content)


def test_damage_is_told_without_progress(whole, tmp_path, capsys):
    path = kept_moments(tmp_path, whole)
    damage(Path(list_checkpoints(str(path))[0][1]), "flip")
    check(whole, resumed(path))
    assert "is damaged: an older one is taken" in capsys.readouterr().err
    resumed(path)
    assert "the run has reached its end, 60 ms" in capsys.readouterr().err


def test_command_that_goes_on_can_be_copied(tmp_path):
    path = tmp_path / "two words.h5"
    with pytest.raises(StoppedError, match=r"simcore\.resume\('.*/two words\.h5', network\)$"):
        simulated(path, progress=At(send(signal.SIGTERM), 20.0))
    job = Job(str(path), 60.0, RunOptions(), named=True)
    assert job.way_on({"model_place": "brunel"}) == f"Go on with: simcore resume '{path}'"


@pytest.mark.parametrize(
    ("session", "launched", "error"),
    [
        (False, False, KeyboardInterrupt),
        (True, False, KeyboardInterrupt),
        (True, True, KeyboardInterrupt),
        (False, True, StoppedError),
    ],
)
def test_interrupt_stops_with_a_checkpoint(
    whole, tmp_path, capsys, monkeypatch, session, launched, error
):
    """An interactive session must not end, but a loop of the shell; ranks leave in order."""
    path = tmp_path / "run.h5"
    monkeypatch.setattr(supervisor, "in_session", lambda: session)
    job = LaunchedProcess(0, 1, "PMI_RANK") if launched else NOBODY
    monkeypatch.setattr(supervisor, "launched_process", lambda: job)
    with pytest.raises(error) as stopped:
        simulated(path, progress=At(send(signal.SIGINT), 20.0))
    text = "stopped at 20 ms as asked by Ctrl-C, with a checkpoint. Go on with: simcore.resume("
    assert text in str(stopped.value)
    assert (f"simcore: {text}" in capsys.readouterr().err) is (error is StoppedError)
    assert (open_run(path).status, open_run(path).checkpoints) == ("stopped", [20.0])
    check(whole, resumed(path))


def test_two_interrupts_stop_without_a_checkpoint(whole, tmp_path):
    path = tmp_path / "run.h5"
    with pytest.raises(KeyboardInterrupt, match=r"second Ctrl-C. Go on with: simcore.resume\("):
        simulated(path, progress=At(send(signal.SIGINT), 20.0, 20.0))
    run = open_run(path)
    assert (run.status, run.error, run.checkpoints) == ("stopped", "", [])
    check(whole, resumed(path))


def test_all_checkpoints_damaged(whole, tmp_path):
    path = kept_moments(tmp_path, whole)
    for _, place in list_checkpoints(str(path)):
        damage(Path(place), "flip")
    progress = At(None)
    check(whole, resumed(path, progress=progress))
    assert any("starts from the beginning" in m for m in progress.messages)


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_damaged_part(whole, tmp_path, harm):
    """What the part held is simulated again, from the last checkpoint before it."""
    path = kept_moments(tmp_path, whole)
    (part,) = (tmp_path / "run.h5.parts").glob("steps-000000000300-*400.h5")
    damage(part, harm)
    progress = At(None)
    check(whole, resumed(path, progress=progress))
    assert any("is damaged: what it and later parts held" in m for m in progress.messages)
    assert any("goes on at 30 ms" in m for m in progress.messages)


@pytest.mark.parametrize("harm", ["cut", "empty", "foreign"])
def test_damaged_output_file(whole, tmp_path, harm):
    path = kept_moments(tmp_path, whole)
    damage(path, harm)
    progress = At(None)
    check(whole, resumed(path, progress=progress))
    assert any("goes on at 40 ms" in m for m in progress.messages)
    assert any("taken from a checkpoint" in m for m in progress.messages)
    assert (tmp_path / "run.h5.damaged").exists()


def test_output_file_of_another_version_is_left_alone(whole, tmp_path):
    path = kept_moments(tmp_path, whole)
    with h5py.File(path, "r+") as file:
        file["simcore"].attrs["format_version"] = 3
    with pytest.raises(OutputError, match="format version is 3, must be 1 or 2"):
        resumed(path)
    assert not (tmp_path / "run.h5.damaged").exists()


def test_missing_output_file(whole, tmp_path):
    path = kept_moments(tmp_path, whole)
    path.unlink()
    check(whole, resumed(path))


def test_later_checkpoints_do_not_crowd_out_new_ones(whole, tmp_path):
    """A run that had to begin again keeps the checkpoints it writes, not those it cannot use."""
    path = kept_moments(tmp_path, whole)
    (part,) = (tmp_path / "run.h5.parts").glob("steps-000000000000-*.h5")
    damage(part, "flip")
    with pytest.raises(StoppedError):
        resumed(path, progress=At(send(signal.SIGTERM), 20.0), checkpoint_every=10.0)
    assert open_run(path).checkpoints == [20.0, 10.0]
    progress = At(None)
    check(whole, resumed(path, progress=progress))
    assert any("goes on at 20 ms" in m for m in progress.messages)


def test_waits_for_a_process_that_is_ending(whole, tmp_path):
    """As a large one that was killed, whose memory has to be taken back first."""
    path = kept_moments(tmp_path, whole)
    lock = Lock(str(path))
    threading.Timer(0.4, lock.release).start()
    check(whole, resumed(path))


def test_nothing_to_go_on_from(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        resumed(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no run")
    with pytest.raises(OutputError, match="is not an HDF5 file"):
        resumed(tmp_path / "text.h5")


def test_checkpoint_of_another_run(whole, tmp_path):
    path = kept_moments(tmp_path, whole)
    other = tmp_path / "other.h5"
    with pytest.raises(StoppedError):
        sc.simulate(
            every_feature(99), DURATION, output=other, comm=SerialComm(),
            progress=At(send(signal.SIGTERM), 40.0),
        )  # fmt: skip
    newest = list_checkpoints(str(path))[0][1]
    shutil.copy(list_checkpoints(str(other))[0][1], newest)
    progress = At(None)
    check(whole, resumed(path, progress=progress))
    assert any("is of another run" in m for m in progress.messages)


def changed(**options):
    """Return a small network, some of whose numbers are others."""
    given = {"seed": 3, "size": 20, "weight": 0.5, "tau_m": 10.0, "extra": False, **options}
    net = sc.Network(seed=given["seed"])
    E = net.population("E", given["size"], sc.LIF(I_e=500.0, tau_m=given["tau_m"]))
    net.connect(E, E, sc.FixedIndegree(3), weight=given["weight"], delay=1.0)
    if given["extra"]:
        net.population("I", 3, sc.LIF())
    net.record(E, "spikes")
    return net


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"seed": 4}, "seed was 3 and is 4"),
        ({"size": 21}, r"populations\[0\].size was 20 and is 21"),
        ({"weight": 0.6}, "weight.* was 0.5 and is 0.6"),
        ({"tau_m": 11.0}, "tau_m was 10.0 and is 11.0"),
        ({"extra": True}, "populations was a list of 1 and is a list of 2"),
    ],
)
def test_changed_model_is_refused(tmp_path, options, named):
    path = tmp_path / "run.h5"
    sc.simulate(changed(), 10.0, output=path, checkpoint_every=5.0, comm=SerialComm())
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=f"the model is not that of the run: .*{named}"):
        sc.resume(path, changed(**options), until=20.0, comm=SerialComm())
    assert path.read_bytes() == before


def test_run_of_a_version_with_other_options(tmp_path):
    path = tmp_path / "run.h5"
    sc.simulate(changed(), 10.0, output=path, comm=SerialComm())
    with h5py.File(path, "r+") as file:
        config = json.loads(file["simcore/config"][()])
        del config["checkpoint_wall"]
        file["simcore/config"][()] = json.dumps(config)
        del file["simcore/digests"]
        write_digests(file)
    with pytest.raises(OutputError, match="by an earlier version of simcore, which kept other"):
        sc.resume(path, changed(), until=20.0, comm=SerialComm())


@pytest.mark.parametrize(
    "name",
    [
        "simcore.discretization.fixed_point.FixedPoint.digest",
        "simcore.simulation.simulation.digest_numbers",
    ],
)
def test_other_numbers_from_the_same_model_are_refused(name, tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    sc.simulate(changed(), 10.0, output=path, comm=SerialComm())
    monkeypatch.setattr(name, lambda *given: "others")
    with pytest.raises(ConfigError, match="other numbers follow from it"):
        sc.resume(path, changed(), until=20.0, comm=SerialComm())


def test_what_a_script_keeps_does_not_hide_the_options(tmp_path):
    path = tmp_path / "run.h5"
    kept = {"dt": 5.0, "precision": "mine", "digest": "mine", "more": "mine"}
    sc.simulate(
        changed(), np.float32(10.0), output=path, checkpoint_every=np.int64(5), comm=SerialComm(),
        options=kept,
    )  # fmt: skip
    run = sc.resume(path, changed(), until=np.int64(20), comm=SerialComm())
    assert run.status == "complete"
    assert (run.duration, run.config["dt"], run.config["more"]) == (20.0, 0.1, "mine")


def test_script_may_use_none_of_it(tmp_path):
    """Without a file to go on with, signals keep their meaning."""
    before = signal.getsignal(signal.SIGTERM)
    seen = []
    progress = At(lambda: seen.append(signal.getsignal(signal.SIGTERM)), 10.0)
    run = sc.simulate(changed(), 40.0, comm=SerialComm(), progress=progress)
    assert seen == [before]
    assert run.checkpoints == []


def test_stop_without_checkpoints(whole, tmp_path):
    """A stop writes the only checkpoint."""
    path = tmp_path / "run.h5"
    assert stopped(path, 20.0, checkpoint_wall=None).checkpoints == [20.0]
    check(whole, resumed(path, checkpoint_wall=None))


def test_checkpoint_on_request(tmp_path):
    before = signal.getsignal(signal.SIGUSR1)
    path = tmp_path / "run.h5"
    progress = At(send(signal.SIGUSR1), 20.0)
    run = sc.simulate(changed(), 60.0, output=path, comm=SerialComm(), progress=progress)
    assert run.status == "complete"
    assert run.checkpoints == [60.0, 20.0]
    assert sum("checkpoint at" in m for m in progress.messages) == 2
    assert signal.getsignal(signal.SIGUSR1) == before


def test_checkpoints_by_the_clock(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("simcore.simulation.supervisor.monotonic", lambda: now[0])

    def later():
        now[0] += 0.5

    progress = At(later, *np.arange(20.0, 201.0, 20.0))
    sc.simulate(
        changed(), 200.0, output=tmp_path / "run.h5", comm=SerialComm(), progress=progress,
        checkpoint_wall=1.4,
    )  # fmt: skip
    written = [m.split()[2] for m in progress.messages if "checkpoint at" in m]
    assert written == ["60", "120", "180", "200"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint_every": -0.1}, "checkpoint_every is -0.1, must be > 0"),
        ({"checkpoint_every": 0.25}, "checkpoint_every is 0.25, must be a multiple of dt"),
        ({"checkpoint_wall": -1.0}, "checkpoint_wall is -1.0, must be > 0"),
        ({"max_rate": 0.0}, "max_rate is 0.0, must be > 0"),
        ({"checkpoint_wall": "5min"}, "checkpoint_wall is '5min', must be > 0"),
        ({"watchdog": -1.0}, r"watchdog is -1.0, must be in \[0, "),
        ({"watchdog": float("inf")}, r"watchdog is inf, must be in \[0, "),
        ({"max_rate": float("inf")}, "max_rate is inf, must be > 0 .* and finite"),
        ({"checkpoint_wall": float("inf")}, "checkpoint_wall is inf, must be > 0"),
    ],
)
def test_bad_options(tmp_path, options, message):
    with pytest.raises(sc.SimcoreError, match=message):
        sc.simulate(changed(), 10.0, output=tmp_path / "run.h5", comm=SerialComm(), **options)
    assert not list(tmp_path.iterdir())


def test_checkpoint_does_not_depend_on_the_division(tmp_path):
    contents = []
    for threads, partitioner in ((1, "block"), (3, "round_robin")):
        path = tmp_path / f"{threads}.h5"
        simulated(path, 20.0, threads=threads, partitioner=partitioner, checkpoint_every=20.0)
        with h5py.File(list_checkpoints(str(path))[0][1]) as file:
            group = file["simcore_checkpoint"]
            places = ["borders", "recent/steps", "recent/gids", "spike_counts"]
            for number, columns in group["state"].items():
                places += [f"state/{number}/{name}" for name in columns]
            assert {"state/0/V_m", "state/0/refractory", "state/6/g_ex"} < set(places)
            contents.append([(place, group[place][()].tobytes()) for place in places])
            assert group["recent/steps"].size > 50
    assert contents[0] == contents[1]
