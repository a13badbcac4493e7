"""SONATA spike files of other programs, opened like a run."""

import gc
import json
import pickle
import shutil
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore import analysis
from simcore.cli import main
from simcore.errors import ModelError, OutputError
from simcore.io import SonataFile, export_run

SORTING = {"none": 0, "by_id": 1, "by_time": 2}


def empty_folder(tmp_path, monkeypatch):
    """Return a folder that temporary files go to."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def written(path, sorting="by_time", populations=("E", "I"), units="ms", n=2000, **attributes):
    """Write a file, and return times and ids of its spikes by population."""
    rng = np.random.default_rng(1)
    found = {}
    with h5py.File(path, "w") as file:
        spikes = file.create_group("spikes")
        spikes.attrs.update(attributes)
        for name in populations:
            times, ids = rng.uniform(0.0, 500.0, n), rng.integers(0, 40, n)
            order = {
                "by_time": np.argsort(times),
                "by_id": np.lexsort((times, ids)),
                "none": np.arange(n),
            }[sorting]
            group = spikes.create_group(name)
            group.attrs.create("sorting", SORTING[sorting], dtype=h5py.enum_dtype(SORTING, "u1"))
            group["timestamps"], group["node_ids"] = times[order], ids[order].astype(np.uint64)
            group["timestamps"].attrs["units"] = units
            found[name] = times, ids
    return found


@pytest.mark.parametrize("sorting", SORTING)
def test_spikes_in_any_order(tmp_path, sorting):
    spikes = written(tmp_path / "spikes.h5", sorting)
    run = sc.open_run(tmp_path / "spikes.h5")
    assert isinstance(run, SonataFile)
    assert run.populations == run.recorded == ["E", "I"]
    assert run.end == max(times.max() for times, _ in spikes.values())
    for name, (times, ids) in spikes.items():
        order = np.argsort(times)
        found = run.spikes(name)
        assert np.array_equal(found.times, times[order])
        assert np.array_equal(found.node_ids, ids[order])
        assert np.array_equal(run.dask_spikes(name).node_ids.compute(), ids[order])

        inside = (times > 100.0) & (times <= 200.0)
        window = run.spikes(name, 100.0, 200.0)
        assert window.times.size == inside.sum()
        one = run.spikes(name, 100.0, 200.0, neurons=[3, 5])
        assert one.times.size == (inside & np.isin(ids, [3, 5])).sum()


def test_statistics_of_a_foreign_file(tmp_path):
    times, ids = written(tmp_path / "spikes.h5", "by_id")["E"]
    selection = sc.open_run(tmp_path / "spikes.h5", sizes={"E": 50}).select("E", 0.0, 400.0)
    rates = analysis.rates_per_neuron(selection)
    counts = np.bincount(ids[times <= 400.0], minlength=50)
    assert rates == pytest.approx(counts / 0.4)
    edges, binned = analysis.population_rate(selection, 12.5)
    expected = np.histogram(times, np.arange(0.0, 401.0, 12.5))[0]
    assert binned * 50 * 12.5e-3 == pytest.approx(expected)
    assert edges[-1] == pytest.approx(400.0)


def test_selection_travels_to_other_processes(tmp_path):
    written(tmp_path / "spikes.h5", "none")
    selection = sc.open_run(tmp_path / "spikes.h5").select("E")
    assert len(pickle.dumps(selection)) < 2000
    run = sc.open_run(tmp_path / "spikes.h5")
    again = pickle.loads(pickle.dumps(run.select("E")))
    assert np.array_equal(again.read().times, run.spikes("E").times)


def test_window_and_step_of_an_exported_file(tmp_path):
    written(tmp_path / "spikes.h5", begin=-10.0, end=1000.0, dt=0.1)
    run = sc.open_run(tmp_path / "spikes.h5")
    assert (run.record_from, run.end, run.dt) == (-10.0, 1000.0, 0.1)


def test_spike_at_zero_is_inside(tmp_path):
    with h5py.File(tmp_path / "spikes.h5", "w") as file:
        group = file.create_group("spikes/E")
        group["timestamps"], group["node_ids"] = [0.0, 1.0], np.array([0, 1], np.uint64)
    run = sc.open_run(tmp_path / "spikes.h5")
    assert run.record_from < 0.0
    assert run.select("E").read().times.size == 2


def test_no_spike(tmp_path):
    written(tmp_path / "spikes.h5", n=0)
    run = sc.open_run(tmp_path / "spikes.h5", sizes={"E": 10})
    assert run.spikes("E").times.size == 0
    assert (analysis.rates_per_neuron(run.select("E")) == 0.0).all()
    assert run.rates()["E"] == 0.0


def test_info(tmp_path, capsys):
    written(tmp_path / "spikes.h5", end=500.0)
    assert main(["info", str(tmp_path / "spikes.h5")]) == 0
    text = capsys.readouterr().out
    assert "80 neurons in 2 populations" in text
    assert "0 to 500 ms" in text
    assert main(["info", "--json", str(tmp_path / "spikes.h5")]) == 0
    assert json.loads(capsys.readouterr().out)["rates"]["E"] == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"X": 3}, "population is 'X', must be one of"),
        ({"E": 39}, "sizes: 'E' is 39, must be > 39"),
    ],
)
def test_bad_sizes(tmp_path, sizes, message):
    written(tmp_path / "spikes.h5")
    with pytest.raises(ModelError, match=message):
        sc.open_run(tmp_path / "spikes.h5", sizes)


def test_sizes_do_not_touch_what_the_file_tells(tmp_path):
    path = foreign(tmp_path / "spikes.h5", [1.0, 2.0], [0, 4], recorded=[0, 10, 2], size=10)
    run = sc.open_run(path)
    assert (run.sizes, run.recorded_ids("E")) == ({"E": 10}, range(0, 10, 2))
    run = sc.open_run(path, sizes={"E": 20})
    assert (run.sizes, run.recorded_ids("E")) == ({"E": 20}, range(0, 10, 2))


def test_no_room_for_sorting(tmp_path, monkeypatch):
    written(tmp_path / "spikes.h5", "by_id", n=1000)
    folder = empty_folder(tmp_path, monkeypatch)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=47_999))
    message = f"takes 48,000 bytes in '{folder}', where 47,999 are free. Set TMPDIR to"
    with pytest.raises(OutputError, match=message):
        sc.open_run(tmp_path / "spikes.h5")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=48_000))
    assert sc.open_run(tmp_path / "spikes.h5").spikes("E").times.size == 1000


def test_disk_that_is_full_while_sorting(tmp_path, monkeypatch, small_disk):
    written(tmp_path / "spikes.h5", "by_id", n=100_000)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with pytest.raises(OutputError, match="takes 4,800,000 bytes"):
        sc.open_run(tmp_path / "spikes.h5")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9))
    with pytest.raises(OutputError, match=r"cannot be sorted in .*: No space left .* Set TMPDIR"):
        sc.open_run(tmp_path / "spikes.h5")
    assert not list(small_disk.iterdir())


def test_copy_goes_with_its_reader(tmp_path, monkeypatch):
    written(tmp_path / "spikes.h5", "by_id")
    folder = empty_folder(tmp_path, monkeypatch)
    run = sc.open_run(tmp_path / "spikes.h5")
    lazy = run.dask_spikes("E")
    del run
    assert len(list(folder.iterdir())) == 1
    assert lazy.times.compute().size == 2000
    del lazy
    gc.collect()
    assert not list(folder.iterdir())


# Shows a file, and waits when its spikes are sorted
PROGRAM = """
import sys, time
from simcore.cli import main
from simcore.io import sonata

def copy(*_):
    print("copied", flush=True)
    time.sleep(60.0)

sonata.schema.fill_spikes = copy
sys.exit(main(["info", sys.argv[1]]))
"""


def test_copy_goes_on_sigterm(tmp_path, monkeypatch):
    written(tmp_path / "spikes.h5", "by_id")
    folder = empty_folder(tmp_path, monkeypatch)
    monkeypatch.setenv("TMPDIR", str(folder))
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "spikes.h5")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "copied\n"
        assert len(list(folder.iterdir())) == 1
        process.terminate()
        assert process.wait(timeout=30.0) == 143
    assert not list(folder.iterdir())


def test_one_population_by_its_name(tmp_path):
    written(tmp_path / "spikes.h5", populations=("E", "EI"))
    run = sc.open_run(tmp_path / "spikes.h5")
    assert list(analysis.summarize(run, "EI")) == ["EI"]
    (exported,) = export_run(run, tmp_path / "out.csv", None, "EI").spikes
    assert exported.population == "EI"


def test_wrong_units(tmp_path):
    written(tmp_path / "spikes.h5", units="s")
    with pytest.raises(OutputError, match="units is 's', must be 'ms'"):
        sc.open_run(tmp_path / "spikes.h5")


def test_unequal_lengths(tmp_path):
    with h5py.File(tmp_path / "spikes.h5", "w") as file:
        group = file.create_group("spikes/E")
        group["timestamps"], group["node_ids"] = [0.0, 1.0], [1]
    with pytest.raises(OutputError, match="arrays of equal length"):
        sc.open_run(tmp_path / "spikes.h5")


def test_other_file(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1]
    with pytest.raises(OutputError, match="neither the output of simcore nor a SONATA spike file"):
        sc.open_run(tmp_path / "other.h5")


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        ([], "at least one"),
        ([0.5], "must be node ids"),
        ([3, 99], r"neurons is \[99\], must be in"),
    ],
)
def test_bad_neurons(tmp_path, neurons, message):
    written(tmp_path / "spikes.h5")
    with pytest.raises(ModelError, match=message):
        sc.open_run(tmp_path / "spikes.h5").spikes("E", neurons=neurons)


def foreign(path, times, ids, **attributes):
    """Write a file of one population, E."""
    with h5py.File(path, "w") as file:
        group = file.create_group("spikes/E")
        group["timestamps"], group["node_ids"] = times, ids
        group.attrs.update(attributes)
    return path


def test_times_in_single_precision(tmp_path):
    times = np.arange(1.0, 20_001.0, dtype=np.float32)
    path = foreign(tmp_path / "spikes.h5", times, np.zeros(times.size, np.uint32))
    run = sc.open_run(path)
    assert run.spikes("E").times.dtype == np.float64
    assert run.dask_spikes("E").node_ids.compute().dtype == np.uint64
    assert (analysis.population_rate(run.select("E"), 1.0).rates == 1000.0).all()


def test_times_between_the_steps_of_a_known_grid(tmp_path):
    path = tmp_path / "spikes.h5"
    foreign(path, [0.04, 1.0, 1.02, 2.04, 9.99], np.zeros(5, np.uint64))
    with h5py.File(path, "a") as file:
        file["spikes"].attrs.update(begin=0.0, end=10.0, dt=0.1)
    rates = analysis.population_rate(sc.open_run(path).select("E"), 1.0).rates
    assert (rates / 1000.0).tolist() == [2, 1, 1, 0, 0, 0, 0, 0, 0, 1]


def test_borders_of_windows_in_decimals(tmp_path):
    path = tmp_path / "spikes.h5"
    foreign(path, 0.1 * np.arange(1, 31), np.zeros(30, np.uint64))
    with h5py.File(path, "a") as file:
        file["spikes"].attrs.update(begin=0.0, end=3.0, dt=0.1)
    run = sc.open_run(path)
    for k in range(30):
        assert run.spikes("E", k / 10, (k + 1) / 10).times.size == 1
    selection = run.select("E", 0.26, 2.96)
    width = 0.1
    counts = analysis.population_rate(selection, width).rates * width * 1e-3
    assert selection.read().times.size == round(counts.sum()) == 27


@pytest.mark.parametrize(
    ("times", "ids", "attributes", "message"),
    [
        ([1.0, np.nan], [0, 1], {}, "a time is nan, must be finite"),
        ([1.0, np.inf], [0, 1], {}, "a time is inf, must be finite"),
        ([1.0, 2.0], [0, -1], {}, "a node id is negative or"),
        ([1.0, 2.0], [0, 2**40], {}, "a node id is negative or 4294967296 or more"),
        ([1.0, 2.0], [0, 9], {"recorded": [0, 2, 1]}, "a node id is 9, but recorded are"),
        ([1.0, 2.0], [0, 9], {"size": 9}, "size is 9, but recorded are"),
        ([1.0, 2.0], [0.5, 1.5], {}, "types are float64 and float64, must be numbers"),
        (np.array([b"1", b"2"]), [0, 1], {}, "types are .S1 and int64|types are"),
    ],
)
def test_strange_numbers(tmp_path, times, ids, attributes, message):
    path = foreign(tmp_path / "spikes.h5", times, ids, **attributes)
    with pytest.raises(OutputError, match=message):
        sc.open_run(path)


def test_layout_without_populations(tmp_path):
    with h5py.File(tmp_path / "spikes.h5", "w") as file:
        file["spikes/timestamps"], file["spikes/gids"] = [1.0], [0]
    with pytest.raises(OutputError, match="is no population"):
        sc.open_run(tmp_path / "spikes.h5")


def test_spikes_that_are_no_group(tmp_path):
    with h5py.File(tmp_path / "spikes.h5", "w") as file:
        file["spikes"] = [1.0]
    with pytest.raises(OutputError, match="'/spikes' is no group"):
        sc.open_run(tmp_path / "spikes.h5")
