"""SONATA spike files of other programs, opened like a run."""

import gc
import json
import pickle
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore import analysis
from simcore.cli import main
from simcore.io import SonataFile, export_run
from simcore.services.errors import ConfigError, ModelError, OutputError

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


def test_what_is_told_makes_rates_right(tmp_path):
    """Silent neurons, and a recording that began late and went on after the last spike."""
    path = foreign(tmp_path / "spikes.h5", [600.0, 700.0, 900.0], np.array([0, 2, 2], np.uint64))
    guess = sc.open_run(path)
    assert guess.guessed == ["begin", "end", "sizes"]
    assert guess.rates()["E"] == pytest.approx(3 / (3 * 0.9))
    run = sc.open_run(path, sizes={"E": 10}, begin=500.0, end=1500.0)
    assert (run.record_from, run.end, run.guessed, run.guesses) == (500.0, 1500.0, [], "")
    assert run.rates()["E"] == pytest.approx(0.3)
    assert analysis.rates_per_neuron(run.select("E")).mean() == pytest.approx(0.3)

    # What is told is written, what is guessed stays a guess
    export_run(run, tmp_path / "told.h5")
    assert sc.open_run(tmp_path / "told.h5").rates()["E"] == pytest.approx(0.3)
    assert sc.open_run(tmp_path / "told.h5").guessed == []
    export_run(guess, tmp_path / "guess.h5", stop=800.0)
    assert sc.open_run(tmp_path / "guess.h5").guessed == ["begin", "sizes"]


def test_a_begin_with_a_spike_holds_it(tmp_path):
    path = foreign(tmp_path / "spikes.h5", [5.0, 6.0], np.array([0, 1], np.uint64))
    run = sc.open_run(path, begin=5.0, end=6.0)
    assert run.select("E").read().times.tolist() == [5.0, 6.0]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"begin": 6.0}, r"begin is 6.0, must be <= 5 ms, the first spike\. Choose a window"),
        ({"end": 8.0}, r"end is 8.0, must be >= 9 ms, the last spike\. Choose a window"),
        ({"end": -1.0}, "end is -1.0, must be > begin, 0 ms"),
        ({"end": float("nan")}, "end is nan, must be finite"),
    ],
)
def test_bad_window(tmp_path, told, message):
    path = foreign(tmp_path / "spikes.h5", [5.0, 9.0], np.array([0, 1], np.uint64))
    with pytest.raises(ConfigError, match=message):
        sc.open_run(path, **told)


def test_a_run_is_not_told_what_it_tells(tmp_path):
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file.create_group("simcore")
    with pytest.raises(ConfigError, match=r"end is 5\.0, must be left out"):
        sc.open_run(tmp_path / "run.h5", end=5.0)


def test_commands_tell_what_is_guessed(tmp_path, capsys):
    path = str(foreign(tmp_path / "spikes.h5", [5.0, 9.0], np.array([0, 1], np.uint64)))
    guess = "the recording begins at 0 ms; it ends with the last spike, at 9 ms; neurons are those"
    assert main(["info", path]) == 0
    assert guess in capsys.readouterr().out
    told = ["--sizes", "E=4", "--begin", "0", "--end", "1000"]
    assert main(["info", path, "--json", *told]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["rates"], values["guessed"]) == ({"E": 0.5}, [])
    assert main(["export", path, "-o", str(tmp_path / "out.csv")]) == 0
    assert guess in capsys.readouterr().out
    for bad in (["E"], ["E=1"], ["X=4"], ["E=4", "E=5"]):
        assert main(["info", path, "--sizes", *bad]) == 2
        assert "sizes" in capsys.readouterr().err


def test_ids_far_apart(tmp_path):
    """Neither time nor memory follows the largest id."""
    ids = np.array([7, 4 * 10**9, 2 * 10**7, 7], np.uint64)
    path = foreign(tmp_path / "spikes.h5", [1.0, 2.0, 4.0, 3.0], ids)
    tracemalloc.start()
    run = sc.open_run(path)
    found = analysis.summarize(run)["E"]
    some = run.select("E", neurons=[2 * 10**7, 4 * 10**9])
    assert some.read().times.tolist() == [2.0, 4.0]
    assert analysis.rates_per_neuron(some).tolist() == [250.0, 250.0]
    export_run(run, tmp_path / "out.h5")
    again = sc.open_run(tmp_path / "out.h5")
    assert tracemalloc.get_traced_memory()[1] < 2e8
    tracemalloc.stop()

    assert np.asarray(found.selection.neurons).tolist() == [7, 2 * 10**7, 4 * 10**9]
    assert found.rates.tolist() == [500.0, 250.0, 250.0]
    assert found.isi.n.tolist() == [1, 0, 0]
    assert again.recorded_ids("E").tolist() == [7, 2 * 10**7, 4 * 10**9]
    assert again.rates()["E"] == run.rates()["E"] == pytest.approx(4 / 3 / 0.004)
    assert run.n_neurons == 3
    assert "only those that fired of E, whose ids are far apart" in run.guesses
    with pytest.raises(ModelError, match=r"neurons is \[8\], must be one of the 3 in the file"):
        run.select("E", neurons=[7, 8])


def test_ids_of_many_neurons_are_those_up_to_the_largest(tmp_path):
    path = foreign(tmp_path / "spikes.h5", [1.0, 2.0], np.array([0, 60_000], np.uint64))
    assert sc.open_run(path).recorded_ids("E") == range(60_001)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"X": 3}, "population is 'X', must be one of"),
        ({"E": 39}, "sizes: 'E' is 39, must be > 39"),
        ({"E": 40.5}, "sizes: 'E' is 40.5, must be a whole number"),
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


def test_size_that_the_file_tells(tmp_path):
    """All neurons are recorded if the file tells their number only."""
    path = foreign(tmp_path / "spikes.h5", [1.0, 2.0], [0, 4], size=10)
    run = sc.open_run(path)
    assert (run.recorded_ids("E"), run.guessed) == (range(10), ["begin", "end"])


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
