"""The writer: layout, order, chunks, digests, and what can go wrong."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore.io import RunWriter, open_run, pack, reports
from simcore.io import writer as module
from simcore.io.atomic_file import make_folder
from simcore.io.parts import Lock, is_being_written
from simcore.io.schema import to_json
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, OutputError

CLOCK = Clock(0.1)
REPOSITORY = Path(__file__).parents[2]


def network(record=True):
    net = sc.Network(seed=7)
    e = net.population("E", 80, sc.LIF())
    i = net.population("I", 20, sc.LIF())
    noise = net.population("noise", 5, sc.PoissonSource(rate=10.0))
    net.drive(e, sc.Poisson(rate=1000.0, weight=1.0))
    if record:
        net.record([e, i], "spikes")
        net.record(e[10:20:3], "V_m", interval=0.5)
    return net, (e, i, noise)


@dataclass
class GoingOn:
    """Where a writer goes on."""

    uuid: str
    begin: int
    recorded: int
    has_header: bool


def train(n, seed=1, size=100, per_step=3):
    """Return n spikes of `size` neurons, sorted, without doubles."""
    rng = np.random.default_rng(seed)
    key = np.unique(rng.integers(0, n // per_step * size, 2 * n))[:n]
    assert key.size == n
    return key // size, key % size


def write(path, steps, gids, pieces=1, duration=1e5, **kwargs):
    net, _ = network()
    with RunWriter(path, net, CLOCK, {"duration": duration}, **kwargs) as writer:
        bounds = np.linspace(0, steps[-1] + 1, pieces + 1).astype(int)
        for begin, end in pairwise(bounds):
            chosen = (steps >= begin) & (steps < end)
            writer.append(end, steps[chosen], gids[chosen])
            if pieces > 1:
                writer.commit()
        writer.finish(np.array([1, 2, 3]), {}, {})


def unfinished(path):
    """Write a run of two parts that was killed, and return how it goes on."""
    net, _ = network()
    writer = RunWriter(path, net, CLOCK, {"duration": 100.0})
    for end in (300, 600):
        writer.append(end, np.array([end - 1]), np.array([3]))
        writer.commit()
    writer._lock.release()
    return GoingOn(writer.uuid, 0, 600, True)


def test_complete_run_without_space_for_one_file_stays_complete(tmp_path, monkeypatch):
    """All is recorded then: when there is space, nothing has to be simulated again."""
    path = tmp_path / "run.h5"

    def full(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "pack_locked", full)
        with pytest.raises(OutputError, match="No space left on device"):
            write(path, *train(300))
    run = open_run(path)
    assert (run.status, run.spike_counts) == ("complete", {"E": 1, "I": 2, "noise": 3})
    pack(path)
    assert open_run(path).digests
    assert not (tmp_path / "run.h5.parts").exists()


@pytest.mark.parametrize("change", ["packed", "shorter", "another run"])
def test_run_that_changed_meanwhile_is_not_continued(tmp_path, change):
    """Between the look at the files and the lock lies the build of the network."""
    path = tmp_path / "run.h5"
    going_on = unfinished(path)
    if change == "packed":
        pack(path)
    elif change == "shorter":
        (tmp_path / "run.h5.parts/steps-000000000300-000000000600.h5").unlink()
    else:
        unfinished(tmp_path / "other.h5")
        os.replace(tmp_path / "other.h5", path)
    before = open_run(path).end
    net, _ = network()
    with pytest.raises(OutputError, match="changed by another process meanwhile"):
        RunWriter(path, net, CLOCK, {"duration": 100.0}, going_on=going_on)
    assert open_run(path).end == before
    assert not is_being_written(str(path), unknown=True)


def test_writer_that_cannot_go_on_lets_go_of_the_file(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    going_on = unfinished(path)
    net, _ = network()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "atomic_file", full)
        with pytest.raises(OutputError, match="No space left on device"):
            RunWriter(path, net, CLOCK, {"duration": 100.0}, going_on=going_on)
    with RunWriter(path, net, CLOCK, {"duration": 100.0}, going_on=going_on) as writer:
        writer.finish(np.zeros(3), {}, {})
    assert open_run(path).status == "complete"


def test_new_folder_is_on_the_disk(tmp_path, monkeypatch):
    """Else a crash of the machine could take it away, with synced files in it."""
    synced = []
    monkeypatch.setattr("simcore.io.atomic_file._sync", synced.append)
    for _ in range(2):
        make_folder(str(tmp_path / "run.h5.checkpoints"))
    assert synced == [str(tmp_path)]


def test_readers_do_not_keep_a_writer_out(tmp_path):
    """To see whether a run is going on they hold its lock, for a moment."""
    path = str(tmp_path / "run.h5")
    unfinished(path)
    done = threading.Event()

    def look():
        while not done.is_set():
            is_being_written(path, unknown=False)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(200):
            Lock(path).release()
    finally:
        done.set()
        for reader in readers:
            reader.join()


def test_run_that_goes_on_is_not_packed(tmp_path):
    path = tmp_path / "run.h5"
    net, _ = network()
    with RunWriter(path, net, CLOCK, {"duration": 100.0}) as writer:
        writer.append(300, np.array([2]), np.array([3]))
        writer.commit()
        with pytest.raises(OutputError, match="is being written by another process"):
            pack(path)
        writer.append(600, np.array([302]), np.array([3]))
        writer.commit()
    assert open_run(path).end == 60.0


def test_packing_without_space_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    unfinished(path)
    with monkeypatch.context() as patch:
        patch.setattr("simcore.io.packing._size", lambda tables: 2**60)
        with pytest.raises(OutputError, match=r"cannot be made one file: .*Free some space"):
            pack(path)
    assert open_run(path).end == 60.0
    pack(path)
    assert open_run(path).spikes("E").times.size == 2


def test_layout(tmp_path):
    path = tmp_path / "run.h5"
    net, _ = network()
    config = {"duration": 100.0, "record_from": 2.0, "n_ranks": 2, "hosts": ["a", "b"], "x": [1.5]}
    with RunWriter(path, net, CLOCK, config) as writer:
        samples = [np.arange(8.0).reshape(2, 4)]
        writer.append(30, np.array([20, 20, 25]), np.array([3, 85, 4]), samples)
        writer.finish(
            np.array([2, 1, 9]),
            {"update": np.array([1.0, 2.0])},
            {"n_neurons": np.array([50, 55]), "bytes": np.array([1, 2])},
        )
    with h5py.File(path) as f:
        assert f.attrs["magic"] == 0x0A7A
        assert f.attrs["magic"].dtype == np.uint32
        assert f.attrs["version"].tolist() == [0, 1]
        assert set(f["spikes"]) == {"E", "I"}
        spikes = f["spikes/E"]
        assert h5py.check_enum_dtype(spikes.attrs.get_id("sorting").dtype)["by_time"] == 2
        assert spikes.attrs["sorting"] == 2
        assert spikes["timestamps"].dtype == np.float64
        assert spikes["timestamps"].attrs["units"] == "ms"
        assert spikes["timestamps"].compression is None
        assert spikes["timestamps"][:].tolist() == [2.1, 2.6]
        assert spikes["node_ids"].dtype == np.uint64
        assert spikes["node_ids"][:].tolist() == [3, 4]
        assert f["spikes/I/node_ids"][:].tolist() == [5]
        report = f["report/E"]
        assert report["data"].dtype == np.float32
        assert report["data"].attrs["units"] == "mV"
        assert report["data"][:].tolist() == np.arange(8.0).reshape(2, 4).tolist()
        assert report["mapping/node_ids"][:].tolist() == [10, 13, 16, 19]
        assert report["mapping/index_pointers"][:].tolist() == [0, 1, 2, 3, 4]
        assert report["mapping/index_pointer"] == report["mapping/index_pointers"]
        assert report["mapping/element_ids"][:].tolist() == [0, 0, 0, 0]
        assert report["mapping/element_pos"][:].tolist() == [0, 0, 0, 0]
        assert report["mapping/time"][:] == pytest.approx([2.5, 3.5, 0.5])
        assert report["mapping/time"].attrs["units"] == "ms"
        run = f["simcore"]
        assert run.attrs["status"] == "complete"
        assert run["spike_counts"][:].tolist() == [2, 1, 9]
        assert run["timers/update"][:].tolist() == [1.0, 2.0]
        assert run["shards/bytes"][:].tolist() == [1, 2]
        assert json.loads(run["network"].asstr()[()])["populations"][2]["name"] == "noise"
        assert json.loads(run["config"].asstr()[()]) == config
        assert run["versions"].attrs["simcore"] == sc.__version__
        assert run["versions"].attrs["h5py"] == h5py.__version__


@pytest.mark.parametrize(("grid", "n"), [((0.1, 0.1), 19), ((0.1, 0.1), 43), ((0.5, 0.5), 9)])
def test_other_readers_count_all_samples(tmp_path, grid, n):
    """They divide the time by the interval, and cut what is left."""
    with h5py.File(tmp_path / "report.h5", "w") as file:
        report = reports.Report("E", "E", "V_m", "mV", grid[1])
        ids = np.arange(2, dtype=np.uint64)
        report = reports.create_samples(file, report, ids, "f4", n, grid[0])
        start, stop, interval = report["mapping/time"][()]
    assert (start, interval) == grid
    assert int((stop - start) / interval) == n
    assert stop == pytest.approx(start + n * interval, rel=1e-14)


def test_json_stays_standard():
    value = {"a": np.float64(1.5), "b": [np.inf, np.arange(2)], "c": (None, True, "x")}
    text = to_json(value)
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": 1.5,
        "b": ["inf", [0, 1]],
        "c": [None, True, "x"],
    }


def test_division_into_appends_does_not_matter(tmp_path):
    steps, gids = train(60_000)
    digests = set()
    for pieces in (1, 3, 50):
        path = tmp_path / f"{pieces}.h5"
        write(path, steps, gids, pieces)
        run = open_run(path)
        times, ids = run.spikes("E")
        e = gids < 80
        assert np.array_equal(times, CLOCK.times(steps[e] + 1))
        assert np.array_equal(ids, gids[e])
        assert np.array_equal(run.spikes("I").node_ids, gids[~e] - 80)
        digests.add(run.digest("E"))
    assert len(digests) == 1


def test_digest_is_that_of_the_file(tmp_path):
    write(tmp_path / "run.h5", *train(20_000), pieces=3)
    run = open_run(tmp_path / "run.h5")
    times, ids = run.spikes("I")
    pairs = np.stack([times.view("<u8"), ids], axis=1)
    assert run.digest("I") == hashlib.sha256(pairs.tobytes()).hexdigest()


def test_parts_are_written_when_they_are_large_or_old(tmp_path, monkeypatch):
    net, _ = network()
    path = tmp_path / "run.h5"
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "PART_BYTES", 16 * 100)
    with RunWriter(path, net, CLOCK, {"duration": 1e5}) as writer:
        one = np.ones(1, dtype=np.int64)
        writer.append(10, one, one)
        assert writer.end == 0
        writer.append(20, np.full(99, 15), np.arange(99))
        assert writer.end == 20
        now[0] += 1.9
        writer.append(30, 25 * one, one)
        assert writer.end == 20
        now[0] += 0.2
        writer.append(40, 35 * one, one)
        assert writer.end == 40
        now[0] += 1000.0
        writer.append(50, 45 * one[:0], one[:0])
        assert writer.end == 50
        now[0] += 9.0
        writer.append(60, 55 * one, one)
        assert writer.end == 50
    assert open_run(path).end == 6.0


def test_no_space_is_left_reserved(tmp_path):
    write(tmp_path / "run.h5", *train(1000))
    status = (tmp_path / "run.h5").stat()
    assert status.st_blocks * 512 < status.st_size + 16 * 4096


def test_existing_file(tmp_path):
    path = tmp_path / "run.h5"
    write(path, *train(100))
    first = open_run(path).uuid
    with pytest.raises(OutputError, match=r"run\.h5' exists.*overwrite=True or --overwrite"):
        write(path, *train(100))
    assert open_run(path).uuid == first
    write(path, *train(100), overwrite=True)
    assert open_run(path).uuid != first


def test_overwrite_follows_a_link(tmp_path):
    write(tmp_path / "run.h5", *train(100))
    (tmp_path / "link.h5").symlink_to(tmp_path / "run.h5")
    write(tmp_path / "link.h5", *train(200), overwrite=True)
    assert (tmp_path / "link.h5").is_symlink()
    assert open_run(tmp_path / "run.h5").spikes("E").times.size > 100


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match=r"no folder '.*missing'\. Create it first"):
        write(tmp_path / "missing" / "run.h5", *train(100))
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="is a folder, must be the name of a file"):
            write(tmp_path, *train(100), overwrite=overwrite)
    with pytest.raises(OutputError, match="cannot be created: "):
        write("/proc/run.h5", *train(100))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        write(tmp_path / "run.h5", *train(100))


def test_wrong_config_leaves_no_file(tmp_path):
    net, _ = network()
    path = tmp_path / "run.h5"
    with pytest.raises(ConfigError, match="config: duration is None"):
        RunWriter(path, net, CLOCK, {})
    assert not path.exists()


def test_error_in_the_run(tmp_path):
    net, _ = network()
    path = tmp_path / "run.h5"

    def crash():
        with RunWriter(path, net, CLOCK, {"duration": 10}) as writer:
            writer.append(3, np.array([1, 2]), np.array([5, 5]))
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        crash()
    run = open_run(path)
    assert (run.status, run.error) == ("failed", "ValueError: boom")
    assert run.spikes("E").times.tolist() == [0.2, 0.3]


def test_block_left_early(tmp_path):
    net, _ = network()
    path = tmp_path / "run.h5"
    with RunWriter(path, net, CLOCK, {"duration": 10}) as writer:
        writer.append(3, np.array([1, 2]), np.array([5, 5]))
        assert open_run(path).status == "running"
    run = open_run(path)
    assert run.status == "interrupted"
    assert run.spikes("E").times.tolist() == [0.2, 0.3]
    assert run.rates()["E"] == pytest.approx(2 / 80 / 0.3e-3)


def test_network_without_records(tmp_path):
    net, _ = network(record=False)
    with RunWriter(tmp_path / "run.h5", net, CLOCK, {"duration": 1000.0}) as writer:
        writer.finish(np.array([80, 40, 50]), {}, {})
    run = open_run(tmp_path / "run.h5")
    assert run.recorded == []
    assert dict(run.rates()) == {"E": 1.0, "I": 2.0, "noise": 10.0}


def test_full_disk(small_disk):
    path = small_disk / "run.h5"
    net, _ = network()
    steps = np.arange(8192)
    done = []

    def fill():
        with RunWriter(path, net, CLOCK, {"duration": 1e7}) as writer:
            for n in range(1000):
                writer.append((n + 1) * 8192, steps + n * 8192, np.full(8192, 3))
                writer.commit()
                done.append(n)

    with pytest.raises(OutputError, match=r"run\.h5' cannot be written: No space left.*readable"):
        fill()
    n = len(done)
    run = open_run(path)
    assert 5 < n < 30
    assert run.status in ("failed", "interrupted")
    times = run.spikes("E").times
    assert np.array_equal(times, CLOCK.times(np.arange(n * 8192) + 1))
    assert not list(small_disk.rglob("*.tmp"))


def test_disk_full_at_the_end(small_disk):
    """When there is no space for one file of all, the parts stay."""
    net, _ = network()
    path = small_disk / "run.h5"

    def fill_late():
        with RunWriter(path, net, CLOCK, {"duration": 1e5}) as writer:
            writer.append(50_000, np.arange(50_000), np.full(50_000, 3))
            writer.commit()
            (small_disk / "other").write_bytes(
                bytes(shutil.disk_usage(small_disk).free - 1_200_000)
            )
            writer.finish(np.array([50_000, 0, 0]), {}, {})

    with pytest.raises(OutputError, match="No space left"):
        fill_late()
    assert open_run(path).spikes("E").times.size == 50_000
    (small_disk / "other").unlink()
    pack(path)
    run = open_run(path)
    assert run.spikes("E").times.size == 50_000
    assert list(small_disk.iterdir()) == [path]


def test_disk_full_from_the_start(small_disk):
    (small_disk / "other").write_bytes(bytes(2_500_000))
    with pytest.raises(OutputError, match="No space left"):
        write(small_disk / "run.h5", *train(100))
    assert [p.name for p in small_disk.iterdir()] == ["other"]


def test_only_one_may_write(tmp_path):
    net, _ = network()
    path = tmp_path / "run.h5"
    with RunWriter(path, net, CLOCK, {"duration": 10}):
        for options in ({"overwrite": True}, {"going_on": GoingOn("x", 0, 0, True)}):
            with pytest.raises(OutputError, match="is being written by another process"):
                RunWriter(path, net, CLOCK, {"duration": 10}, **options)
    assert open_run(path).status == "interrupted"


def test_what_an_older_run_left_is_no_part_of_a_new_one(tmp_path):
    net, _ = network()
    folder = tmp_path / "run.h5.parts"
    folder.mkdir()
    (folder / "steps-000000000000-000000000100.h5").write_text("old")
    (folder / "steps-000000000100-000000000200.h5.tmp").write_text("older")
    with RunWriter(tmp_path / "run.h5", net, CLOCK, {"duration": 10.0}, overwrite=True):
        assert [p.name for p in folder.iterdir()] == ["lock"]


def test_begins_in_a_folder_of_parts_that_is_empty(tmp_path):
    """As a kill before the first file leaves it; that is not the run of somebody else."""
    net, _ = network()
    folder = tmp_path / "run.h5.parts"
    folder.mkdir()
    (folder / "lock").touch()
    with RunWriter(tmp_path / "run.h5", net, CLOCK, {"duration": 10.0}) as writer:
        writer.append(100, np.arange(100), np.full(100, 3))
    with pytest.raises(OutputError, match=r"run.h5' exists. Pass overwrite"):
        RunWriter(tmp_path / "run.h5", net, CLOCK, {"duration": 10.0})
    (tmp_path / "run.h5").unlink()
    with pytest.raises(OutputError, match=r"run.h5.parts' exists. Pass overwrite"):
        RunWriter(tmp_path / "run.h5", net, CLOCK, {"duration": 10.0})


def test_going_on(tmp_path):
    """A second writer goes on after the last part; what the first had in memory is lost."""
    net, _ = network()
    path = tmp_path / "run.h5"
    config = {"duration": 10.0, "n_ranks": 1}
    steps, gids = np.arange(100), np.arange(100) % 80
    with RunWriter(path, net, CLOCK, config) as writer:
        writer.append(30, steps[:30], gids[:30])
        writer.commit()
        (tmp_path / "run.h5.parts" / "steps-000000000030-000000000040.h5.tmp").write_text("half")
    config = {**config, "n_ranks": 3}
    with RunWriter(
        path, net, CLOCK, config, going_on=GoingOn(open_run(path).uuid, 0, 30, True)
    ) as writer:
        assert writer.end == 30
        assert open_run(path).n_ranks == 3
        writer.append(100, steps[30:], gids[30:])
        writer.finish(np.array([100, 0, 0]), {}, {}, model_time=7.0)
    run = open_run(path)
    assert np.array_equal(run.spikes("E").node_ids, gids)
    assert [s["n_ranks"] for s in run.sessions] == [1, 3]
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]


KILLED = """
import numpy as np, simcore as sc, sys
from simcore.numerics.clock import Clock
from simcore.io import RunWriter
net = sc.Network()
net.record([net.population(n, 50, sc.LIF()) for n in "AB"], "spikes")
net.record(net.populations[0], "V_m", interval=0.1)
with RunWriter(sys.argv[1], net, Clock(0.1), {"duration": 1e9}) as writer:
    print("ready", flush=True)
    gids = np.arange(100)
    for step in range(0, 10**9, 200):
        steps = np.repeat(np.arange(step, step + 200), 100)
        writer.append(step + 200, steps, np.tile(gids, 200), [np.full((200, 50), -65.0)])
        writer.commit()
"""


@pytest.mark.parametrize("seconds", [0.02, 0.11, 0.3])
def test_kill(tmp_path, seconds):
    path = tmp_path / "run.h5"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], cwd=REPOSITORY, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    run = open_run(path)
    assert run.status == "interrupted"
    n = round(run.end * 10) * 50
    for name in "AB":
        times, ids = run.spikes(name)
        assert np.array_equal(ids, np.arange(n) % 50)
        assert np.array_equal(times, (np.arange(n) // 50 + 1) / 10)
    assert (run.V_m("A").values == -65.0).all()
    assert run.V_m("A").times.size == n // 50
