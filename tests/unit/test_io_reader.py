"""The reader: windows, rates, dask, and files that are not what they should be."""

import math
import pickle
import shutil
import subprocess
import sys
from itertools import pairwise, product

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore.analysis.verification import compare_bits
from simcore.io import RunWriter, open_run, pack, reader
from simcore.io.access import _BLOCK, kept_open, open_file
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, ModelError, OutputError

CLOCK = Clock(0.1)
N_STEPS = 40_000
DURATION = N_STEPS / 10


def spikes():
    """Return steps and gids: about one spike a step of 100 neurons, many steps with several."""
    rng = np.random.default_rng(2)
    key = np.unique(rng.integers(0, N_STEPS * 100, 45_000))
    return key // 100, key % 100


def network():
    net = sc.Network(seed=7)
    e, i, silent, source = (
        net.population("E", 80, sc.LIF()),
        net.population("I", 20, sc.LIF()),
        net.population("silent", 4, sc.LIF()),
        net.population("source", 10, sc.PoissonSource(rate=10.0)),
    )
    net.record([e, i[:20:2], silent], "spikes")
    net.record(i[3:7], "V_m", interval=2.0)
    assert source.first == 104
    return net


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    steps, gids = spikes()
    keep = (gids < 80) | (gids % 2 == 0)
    samples = np.arange(4.0 * (DURATION // 2)).reshape(-1, 4)
    place = tmp_path_factory.mktemp("run") / "run.h5"
    with RunWriter(place, network(), CLOCK, {"duration": DURATION, "n_ranks": 2}) as writer:
        writer.append(N_STEPS, steps[keep], gids[keep], [samples])
        counts = np.bincount(np.searchsorted([80, 100, 104], gids, side="right"), minlength=4)
        counts[3] = 400
        writer.finish(
            counts,
            {"update": np.ones(2), "deliver": np.zeros(2)},
            {"n_neurons": np.array([52, 52])},
        )
    return place


@pytest.fixture
def run(path):
    return open_run(path)


def test_description(run, path):
    assert run.path == str(path)
    assert run.status == "complete"
    assert run.populations == ["E", "I", "silent", "source"]
    assert run.recorded == ["E", "I", "silent"]
    assert run.sizes == {"E": 80, "I": 20, "silent": 4, "source": 10}
    assert run.n_neurons == 114
    assert (run.seed, run.dt, run.duration, run.record_from) == (7, 0.1, DURATION, 0.0)
    assert run.n_ranks == 2
    assert run.config["n_ranks"] == 2
    assert run.network["populations"][0]["name"] == "E"
    assert list(run.timers) == ["update", "deliver"]
    assert run.timers["update"].tolist() == [1.0, 1.0]
    assert run.shards["n_neurons"].tolist() == [52, 52]
    assert run.created <= run.finished
    assert "114 neurons in 4 populations" in repr(run)
    assert run.recorded_ids("I") == range(0, 20, 2)


WINDOWS = [
    (None, None), (None, 100.0), (3900.0, None), (1000.0, 1200.0), (0.0, DURATION), (0.05, 0.1),
    (-5.0, 0.0), (500.0, 500.0), (DURATION, 1e9),
]  # fmt: skip


@pytest.mark.parametrize(("start", "stop"), WINDOWS)
def test_windows(run, start, stop):
    steps, gids = spikes()
    times = CLOCK.times(steps + 1)
    inside = gids < 80
    inside &= times > (-np.inf if start is None else start)
    inside &= times <= (np.inf if stop is None else stop)
    found = run.spikes("E", start, stop)
    assert np.array_equal(found.times, times[inside])
    assert np.array_equal(found.node_ids, gids[inside])
    lazy = run.dask_spikes("E", start, stop)
    assert np.array_equal(lazy.times.compute(), found.times)
    assert np.array_equal(lazy.node_ids.compute(), found.node_ids)


@pytest.mark.parametrize("window", [(700.0, 600.0), (math.nan, 600.0), (0.0, math.nan)])
def test_windows_that_end_before_they_begin(run, window):
    for ask in (run.spikes, run.dask_spikes, run.V_m, run.dask_V_m, run.select):
        with pytest.raises(ConfigError, match="window is"):
            ask("I", *window)
    with pytest.raises(ConfigError, match=r"must be \(start, stop\) in this order"):
        run.rates(*window)


def test_windows_at_every_border_of_blocks(run):
    times = run.spikes("E").times
    assert times.size > 4 * _BLOCK
    for place in (_BLOCK, 2 * _BLOCK, 3 * _BLOCK, times.size - 1):
        for border in times[place - 2 : place + 2]:
            before = int(np.sum(times <= border))
            assert run.spikes("E", None, border).times.size == before
            assert run.spikes("E", border, None).times.size == times.size - before


def test_neighbouring_windows_share_nothing(run):
    parts = [run.spikes("I", t, t + 100.0).times for t in np.arange(0.0, DURATION, 100.0)]
    assert np.array_equal(np.concatenate(parts), run.spikes("I").times)


def test_silent_population(run):
    assert run.spikes("silent").times.size == 0
    assert run.spikes("silent", 1.0, 2.0).node_ids.size == 0
    assert run.dask_spikes("silent").times.compute().size == 0
    assert run.rates(0.0, 100.0)["silent"] == 0.0


def test_dask_tasks_open_the_file_themselves(run):
    lazy = run.dask_spikes("E")
    again = pickle.loads(pickle.dumps(lazy.times))
    assert float(again.max().compute(scheduler="threads")) == run.spikes("E").times.max()


def test_dask_chunks_are_whole(run, monkeypatch):
    monkeypatch.setattr("simcore.io.selection._DASK_CHUNK", 5000)
    lazy = run.dask_spikes("E")
    assert lazy.times.chunks[0][:-1] == (5000,) * (len(lazy.times.chunks[0]) - 1)
    assert np.array_equal(lazy.times.compute(), run.spikes("E").times)


def test_potentials(run):
    times, ids, values = run.V_m("I")
    assert times[:3].tolist() == [2.0, 4.0, 6.0]
    assert times[-1] == DURATION
    assert ids.tolist() == [3, 4, 5, 6]
    assert values.shape == (times.size, 4)
    part = run.V_m("I", 4.0, 10.0)
    assert part.times.tolist() == [6.0, 8.0, 10.0]
    assert np.array_equal(part.values, values[2:5])


def test_rates_of_the_whole_run(run):
    _, gids = spikes()
    rates = run.rates()
    assert rates["E"] == np.sum(gids < 80) / 80 / (DURATION / 1000)
    assert rates["source"] == 10.0
    assert list(rates) == run.populations
    lines = str(rates).splitlines()
    assert lines[0].split("  ")[0] == "population"
    assert len({len(line) for line in lines}) == 1
    assert lines[4].split() == ["source", "10", "400", "10.000"]


def test_rates_of_a_window(run):
    steps, gids = spikes()
    rates = run.rates(1000.0, 2000.0)
    inside = (steps >= 10_000) & (steps < 20_000)
    assert list(rates) == run.recorded
    assert rates["E"] == np.sum(inside & (gids < 80)) / 80
    assert rates.rows["I"].neurons == 10
    assert rates["I"] == np.sum(inside & (gids >= 80) & (gids % 2 == 0)) / 10
    assert (rates.start, rates.stop) == (1000.0, 2000.0)
    assert run.rates(stop=1e9).stop == DURATION


def test_unknown_names(run):
    for query in (run.spikes, run.V_m, run.dask_spikes):
        with pytest.raises(ModelError, match=r"no population 'X'; there are \['E', 'I'"):
            query("X")
    with pytest.raises(ModelError, match="spikes of population 'source' were not recorded"):
        run.spikes("source")
    with pytest.raises(ModelError, match=r"V_m of population 'E' was not recorded.*\['I'\]"):
        run.V_m("E")
    with pytest.raises(ModelError, match=r"I_ex of population 'I' was not.*\['V_m every .* ms'\]"):
        run.samples("I", "I_ex")


def test_missing_file(tmp_path):
    with pytest.raises(OutputError, match=r"none\.h5' does not exist"):
        open_run(tmp_path / "none.h5")
    with pytest.raises(OutputError, match="is a folder"):
        open_run(tmp_path)


def test_text_file(tmp_path):
    (tmp_path / "a.h5").write_text("hello\n" * 1000)
    with pytest.raises(OutputError, match=r"a\.h5' is not an HDF5 file"):
        open_run(tmp_path / "a.h5")


def test_foreign_hdf5_file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.arange(3)
    with pytest.raises(OutputError, match="not the output of simcore"):
        open_run(tmp_path / "a.h5")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_file(tmp_path, path, share):
    content = path.read_bytes()
    (tmp_path / "a.h5").write_bytes(content[: int(share * len(content))])
    with pytest.raises(OutputError, match=r"a\.h5' is truncated or damaged"):
        open_run(tmp_path / "a.h5")


def test_unknown_version(tmp_path, path):
    (tmp_path / "a.h5").write_bytes(path.read_bytes())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["simcore"].attrs["format_version"] = 99
    with pytest.raises(OutputError, match=r"format version is 99, must be 1 or 2\. Read it with"):
        open_run(tmp_path / "a.h5")


def test_missing_part(tmp_path, path):
    (tmp_path / "a.h5").write_bytes(path.read_bytes())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["simcore/config"]
    with pytest.raises(OutputError, match=r"a\.h5' is damaged.*config"):
        open_run(tmp_path / "a.h5")


def test_run_in_progress(tmp_path):
    place = tmp_path / "run.h5"
    steps = np.arange(1000)
    code = "from simcore.io import open_run; import sys; r = open_run(sys.argv[1]); "
    code += "print(r.status, r.end, r.spikes('E').times.size, round(r.rates()['E'], 3))"
    with RunWriter(place, network(), CLOCK, {"duration": 1e4}) as writer:
        writer.append(1000, steps, np.zeros_like(steps))
        writer.commit()
        writer.append(2000, steps + 1000, np.zeros_like(steps))
        other = subprocess.run(
            [sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=False
        )
        assert other.stdout.split() == ["running", "100.0", "1000", "125.0"], other.stderr
        before = open_run(place)
        writer.commit()
        assert before.spikes("E").times.size == 1000
        assert open_run(place).spikes("E").times.size == 2000
        writer.finish(np.zeros(4), {}, {})
    with pytest.raises(OutputError, match=r"the run has ended meanwhile\. Open it again"):
        before.spikes("E")


def test_run_that_ends_while_it_is_opened(tmp_path, monkeypatch):
    """Its parts are gone when they are opened: the file that has them all is opened instead."""
    place = tmp_path / "run.h5"
    look = reader.list_sources
    in_parts(place, [N_STEPS // 2])

    def ending(path):
        found = look(path)
        pack(path)
        return found

    monkeypatch.setattr(reader, "list_sources", ending)
    run = open_run(place)
    assert run.files == [str(place)]
    assert run.spikes("E").times.size > 0


def test_run_that_completes_while_it_is_opened(tmp_path, monkeypatch):
    """The lock is released between the looks at the files and at the lock: it was not killed."""
    place = tmp_path / "run.h5"
    writing = reader.is_being_written
    with RunWriter(place, network(), CLOCK, {"duration": DURATION}) as writer:

        def ending(path, unknown):
            writer.finish(np.zeros(4), {}, {})
            return writing(path, unknown)

        monkeypatch.setattr(reader, "is_being_written", ending)
        assert open_run(place).status == "complete"


def test_no_spike_is_seen_twice_while_parts_are_removed(tmp_path, monkeypatch):
    """The output file has them all already, but the parts are still there."""
    place = tmp_path / "run.h5"
    in_parts(place, [N_STEPS // 2])
    before = open_run(place)
    monkeypatch.setattr("simcore.io.packing.remove_parts", lambda path: None)
    pack(place)
    with pytest.raises(OutputError, match=r"the run has ended meanwhile\. Open it again"):
        before.spikes("E")


def in_parts(place, cuts):
    """Write the run in several parts, and leave it like that."""
    steps, gids = spikes()
    keep = (gids < 80) | (gids % 2 == 0)
    steps, gids = steps[keep], gids[keep]
    samples = np.arange(4.0 * (DURATION // 2)).reshape(-1, 4)
    with RunWriter(place, network(), CLOCK, {"duration": DURATION}) as writer:
        for begin, end in pairwise([0, *cuts, N_STEPS]):
            chosen = (steps >= begin) & (steps < end)
            rows = samples[begin // 20 : end // 20]
            writer.append(end, steps[chosen], gids[chosen], [rows])
            writer.commit()
    return open_run(place)


@pytest.mark.parametrize("cuts", [[20_000], [1, 19, 20, 21, 30_000, 39_999]])
def test_parts_read_as_one(run, tmp_path, cuts):
    parts = in_parts(tmp_path / "run.h5", cuts)
    assert parts.status == "interrupted"
    assert compare_bits(run, parts).identical
    steps = spikes()[0]
    borders = [0.0, 0.1, 1.9, 2.0, 2000.0, 2000.05, 3999.9, DURATION, *CLOCK.times(steps[:20])]
    for start, stop in product([None, *borders], [None, *borders]):
        if start is not None and stop is not None and start > stop:
            continue
        one, other = run.spikes("E", start, stop), parts.spikes("E", start, stop)
        assert np.array_equal(one.times, other.times)
        assert np.array_equal(one.node_ids, other.node_ids)
    lazy = parts.dask_spikes("E", 1.0, 3500.0)
    assert np.array_equal(lazy.node_ids.compute(), run.spikes("E", 1.0, 3500.0).node_ids)
    for window in ((None, None), (1999.0, 2001.0), (2.0, 2.0)):
        for one, other in zip(run.V_m("I", *window), parts.V_m("I", *window), strict=True):
            assert np.array_equal(one, other)


def test_packed_parts_are_the_file(run, tmp_path):
    path = str(tmp_path / "run.h5")
    in_parts(path, [1, 20_000, 39_999])
    pack(path)
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]
    packed = open_run(path)
    assert compare_bits(run, packed).identical
    assert packed.digest("E") == run.digest("E")
    assert packed.end == DURATION
    with h5py.File(path) as file, h5py.File(run.path) as other:
        assert np.array_equal(file["report/I/mapping/time"], other["report/I/mapping/time"])


def test_part_of_another_run(tmp_path):
    in_parts(tmp_path / "run.h5", [10_000])
    in_parts(tmp_path / "other.h5", [10_000])
    (part,) = (tmp_path / "other.h5.parts").glob("*-000000010000.h5")
    shutil.copy(part, tmp_path / "run.h5.parts")
    with pytest.raises(OutputError, match=r"is of another run\. Move it away"):
        open_run(tmp_path / "run.h5").spikes("E")


def test_part_that_is_missing_ends_the_run_before_it(tmp_path):
    parts = in_parts(tmp_path / "run.h5", [10_000, 20_000, 30_000])
    times = parts.spikes("E").times
    (gone,) = (tmp_path / "run.h5.parts").glob("*-000000030000.h5")
    gone.unlink()
    shorter = open_run(tmp_path / "run.h5")
    assert shorter.end == 2000.0
    assert np.array_equal(shorter.spikes("E").times, times[times <= 2000.0])


def test_open_beside_another_reader(path):
    for options in ({}, {"locking": "best-effort"}):
        with h5py.File(path, "r", **options):
            assert open_run(path).status == "complete"


def test_files_that_are_kept_open(path, tmp_path):
    damaged = tmp_path / "damaged.h5"
    shutil.copy(path, damaged)
    with kept_open():
        with open_file(str(path)) as one:
            pass
        with kept_open(), open_file(str(path)) as other:
            assert other is one
        with pytest.raises(OutputError, match="is damaged"), open_file(str(damaged)) as file:
            file["nothing"]
        assert all((one, file))
    assert not any((one, file))
    with open_file(str(path)) as other:
        assert other is not one
