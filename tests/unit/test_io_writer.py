"""The writer: layout, order, chunks, digests, and what can go wrong."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore.clock import Clock
from simcore.errors import ConfigError, OutputError
from simcore.io import RunWriter, open_run
from simcore.io.append import ChunkBuffer
from simcore.io.schema import SPIKE_CHUNK, to_json

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


def train(n, seed=1, size=100, per_step=3):
    """Return n spikes of `size` neurons, sorted, without doubles."""
    rng = np.random.default_rng(seed)
    key = np.unique(rng.integers(0, n // per_step * size, 2 * n))[:n]
    assert key.size == n
    return key // size, key % size


def write(path, steps, gids, pieces=1, duration=1e5, **kwargs):
    net, _ = network()
    with RunWriter(path, net, CLOCK, {"duration": duration}, **kwargs) as writer:
        for s, g in zip(np.array_split(steps, pieces), np.array_split(gids, pieces), strict=True):
            writer.append(s, g)
        writer.finish(np.array([1, 2, 3]), {}, {})


def test_layout(tmp_path):
    path = tmp_path / "run.h5"
    net, _ = network()
    config = {"duration": 100.0, "record_from": 2.0, "n_ranks": 2, "hosts": ["a", "b"], "x": [1.5]}
    with RunWriter(path, net, CLOCK, config) as writer:
        writer.append(np.array([20, 20, 25]), np.array([3, 85, 4]))
        writer.append_potentials(0, np.arange(8.0).reshape(2, 4))
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
        assert report["mapping/element_ids"][:].tolist() == [0, 0, 0, 0]
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


def test_json_stays_standard():
    value = {"a": np.float64(1.5), "b": [np.inf, np.arange(2)], "c": (None, True, "x")}
    text = to_json(value)
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": 1.5,
        "b": ["inf", [0, 1]],
        "c": [None, True, "x"],
    }


@pytest.mark.parametrize("n", [0, 1, SPIKE_CHUNK - 1, SPIKE_CHUNK, SPIKE_CHUNK + 1, 20_000])
def test_chunk_buffer_keeps_order(n):
    values = np.arange(n)
    for pieces in (1, 2, 7, 1000):
        buffer = ChunkBuffer(SPIKE_CHUNK)
        taken = []
        for part in np.array_split(values, pieces):
            buffer.add(part)
            if due := buffer.due(rest=False):
                taken.append(buffer.take(rest=False))
                assert due % SPIKE_CHUNK == 0
                assert taken[-1].size == due
        if buffer.due(rest=True):
            taken.append(buffer.take(rest=True))
        assert buffer.due(rest=True) == 0
        assert np.array_equal(np.concatenate([np.zeros(0, int), *taken]), values)


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


def test_whole_chunks_reach_the_file_at_once(tmp_path):
    net, _ = network()
    steps = np.arange(2 * SPIKE_CHUNK + 5)
    path = tmp_path / "run.h5"
    with RunWriter(path, net, CLOCK, {"duration": 1e5}) as writer:
        writer.append(steps, np.zeros_like(steps))
        copy = tmp_path / "copy.h5"
        shutil.copy(path, copy)
        run = open_run(copy)
        assert run.status == "running"
        assert run.spikes("E").times.size == 2 * SPIKE_CHUNK
        writer.append(steps[:3] + steps.size, np.zeros(3, int))
        writer.finish(np.zeros(3), {}, {})
    assert open_run(path).spikes("E").times.size == steps.size + 3


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
            writer.append(np.array([1, 2]), np.array([5, 5]))
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
        writer.append(np.array([1, 2]), np.array([5, 5]))
    run = open_run(path)
    assert run.status == "running"
    assert run.spikes("E").times.tolist() == [0.2, 0.3]
    assert run.rates()["E"] == pytest.approx(2 / 80 / 0.3e-3)


def test_network_without_records(tmp_path):
    net, _ = network(record=False)
    with RunWriter(tmp_path / "run.h5", net, CLOCK, {"duration": 1000.0}) as writer:
        writer.finish(np.array([80, 40, 50]), {}, {})
    run = open_run(tmp_path / "run.h5")
    assert run.recorded == []
    assert dict(run.rates()) == {"E": 1.0, "I": 2.0, "noise": 10.0}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_full_disk(small_disk):
    path = small_disk / "run.h5"
    net, _ = network()
    steps = np.arange(SPIKE_CHUNK)
    done = []

    def fill():
        with RunWriter(path, net, CLOCK, {"duration": 1e7}) as writer:
            for n in range(1000):
                writer.append(steps + n * SPIKE_CHUNK, np.full(SPIKE_CHUNK, 3))
                done.append(n)

    with pytest.raises(OutputError, match=r"run\.h5' cannot be written: No space left.*readable"):
        fill()
    n = len(done)
    run = open_run(path)
    assert 10 < n < 30
    assert run.status == "failed"
    assert "No space left" in run.error
    times = run.spikes("E").times
    assert np.array_equal(times, CLOCK.times(np.arange(n * SPIKE_CHUNK) + 1))


def test_disk_full_at_the_end(small_disk):
    net, _ = network()

    def fill_late():
        with RunWriter(small_disk / "run.h5", net, CLOCK, {"duration": 1e7}) as writer:
            writer.append(np.arange(SPIKE_CHUNK - 1), np.full(SPIKE_CHUNK - 1, 3))
            (small_disk / "other").write_bytes(bytes(shutil.disk_usage(small_disk).free))

    with pytest.raises(OutputError, match="No space left"):
        fill_late()
    run = open_run(small_disk / "run.h5")
    assert run.status == "failed"
    assert run.spikes("E").times.size == 0


def test_disk_full_from_the_start(small_disk):
    (small_disk / "other").write_bytes(bytes(2_500_000))
    with pytest.raises(OutputError, match="No space left"):
        write(small_disk / "run.h5", *train(100))
    assert not (small_disk / "run.h5").exists()


KILLED = """
import numpy as np, simcore as sc, sys
from simcore.clock import Clock
from simcore.io import RunWriter
net = sc.Network()
net.record([net.population(n, 50, sc.LIF()) for n in "AB"], "spikes")
net.record(net.populations[0], "V_m", interval=0.1)
with RunWriter(sys.argv[1], net, Clock(0.1), {"duration": 1e9}) as writer:
    print("ready", flush=True)
    gids = np.arange(100)
    for step in range(0, 10**9, 200):
        writer.append(np.repeat(np.arange(step, step + 200), 100), np.tile(gids, 200))
        writer.append_potentials(0, np.full((200, 50), -65.0))
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
    assert run.status == "running"
    for name in "AB":
        times, ids = run.spikes(name)
        assert times.size % SPIKE_CHUNK == 0
        assert np.array_equal(ids, np.arange(times.size) % 50)
        assert np.array_equal(times, (np.arange(times.size) // 50 + 1) / 10)
    assert (run.V_m("A").values == -65.0).all()
