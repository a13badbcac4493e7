"""Verify: two runs are identical, or it is said where they differ first."""

import json
import shutil

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore.analysis import verification as module
from simcore.analysis.verification import compare_bits
from simcore.cli import main
from simcore.io import open_run
from simcore.services.comm import SerialComm
from tests.networks import every_feature


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def simulated(path, seed=12, duration=40.0, **options):
    return sc.simulate(
        every_feature(seed), duration, output=path, comm=SerialComm(), overwrite=True, **options
    )


@pytest.fixture(scope="module")
def run(folder):
    return simulated(folder / "run.h5")


@pytest.fixture
def copy(run, tmp_path):
    """Return a copy of the run, to be changed."""
    return shutil.copy(run.path, tmp_path / "copy.h5")


def first(run, path):
    (difference,) = compare_bits(run, open_run(path)).differences
    return difference


def test_other_threads_and_backends_are_identical(run, folder, capsys):
    for name, options in (("threads", {"threads": 3}), ("reference", {"backend": "reference"})):
        other = simulated(folder / f"{name}.h5", **options)
        found = compare_bits(run, other)
        assert found.identical
        assert found.spikes == sum(run.spikes(n).times.size for n in run.recorded) > 1000
        assert found.samples == sum(run.dataset(r.place)[:].size for r in run.reports)
        assert found.descriptions == ()
        assert main(["verify", run.path, other.path]) == 0
        assert capsys.readouterr().out.startswith("identical: ")


def test_another_seed(run, folder, capsys):
    other = simulated(folder / "seed.h5", seed=13)

    assert main(["verify", run.path, other.path]) == 1
    out = capsys.readouterr().out
    assert out.startswith("different, first at")
    assert "other seed: 12 and 13" in out
    assert main(["verify", "--json", run.path, other.path]) == 1
    assert json.loads(capsys.readouterr().out)["identical"] is False


@pytest.mark.parametrize("block", [2**20, 7])
def test_one_spike_of_another_neuron(run, copy, monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    with h5py.File(copy, "r+") as file:
        ids = file["spikes/one/node_ids"]
        place = ids.shape[0] // 2
        before, time = int(ids[place]), float(file["spikes/one/timestamps"][place])
        ids[place] = before + 1

    found = first(run, copy)
    assert (found.quantity, found.population, found.time) == ("spikes", "one", time)
    assert found.text == f"neuron {before} at {time!r} ms, and neuron {before + 1} at {time!r} ms"


def test_spikes_that_end_early(run, copy):
    with h5py.File(copy, "r+") as file:
        group = file["spikes/one"]
        time = float(group["timestamps"][-1])
        for name in ("timestamps", "node_ids"):
            kept = group[name][:-1]
            del group[name]
            group[name] = kept

    found = first(run, copy)
    assert found.time == time
    assert "is in one only" in found.text


@pytest.mark.parametrize("block", [2**20, 7])
def test_one_bit_of_a_potential(run, copy, monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    with h5py.File(copy, "r+") as file:
        (name,) = (n for n in file if "report" in n)
        data = file[name]["two/data"]
        row, column = data.shape[0] - 1, data.shape[1] - 1
        data[row, column] = np.nextafter(data[row, column], np.inf)
    found = first(run, copy)

    times = run.samples("two", interval=0.1).times
    assert (found.quantity, found.population, found.time) == ("V_m", "two", times[-1])


def test_population_that_one_run_lacks(run, copy):
    with h5py.File(copy, "r+") as file:
        del file["spikes/one"]

    found = first(run, copy)
    assert (found.population, found.time, found.text) == ("one", None, f"only in {run.path}")


def test_shorter_run_is_different(run, folder):
    found = compare_bits(run, simulated(folder / "short.h5", duration=20.0))

    assert not found.identical
    assert all(d.time > 20.0 for d in found.differences)
    assert found.descriptions == ("duration: 40.0 and 20.0", "end: 40.0 and 20.0")


def test_what_is_no_run(run, tmp_path, capsys):
    assert main(["verify", run.path, str(tmp_path / "none.h5")]) == 2
    assert "does not exist" in capsys.readouterr().err
