"""The raster picture."""

import subprocess
import sys

import numpy as np
import pytest

import simcore as sc
from simcore.analysis.raster import _stack, raster
from simcore.io import RunWriter, open_run
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, ModelError, OutputError

pytest.importorskip("matplotlib", reason="needs matplotlib, which is not installed")

SIZES = {"A": 900, "B": 90, "C": 10, "silent": 5, "unrecorded": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    net = sc.Network()
    populations = [net.population(name, size, sc.LIF()) for name, size in SIZES.items()]
    net.record(populations[:4], "spikes")
    key = np.unique(np.random.default_rng(1).integers(0, 3000 * 1000, 10_000))
    place = tmp_path_factory.mktemp("run") / "run.h5"
    with RunWriter(place, net, Clock(0.1), {"duration": 300.0}) as writer:
        writer.append(3000, key // 1000, key % 1000)
        writer.finish(np.arange(5), {}, {})
    return open_run(place)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"window": (10.0, 20.0)},
        {"populations": ["B", "silent"]},
        {"max_neurons": 100},
        {"populations": ["silent"]},
    ],
)
def test_picture(run, tmp_path, options):
    raster(run, tmp_path / "raster.png", **options)
    assert (tmp_path / "raster.png").read_bytes()[:4] == b"\x89PNG"


def test_rows_are_shared_in_proportion(run):
    bands = _stack(run, run.recorded, 200)
    assert [b.name for b in bands] == ["A", "B", "C", "silent"]
    assert [b.ids.size for b in bands] == [179, 18, 4, 4]
    assert [b.bottom for b in bands] == [26, 8, 4, 0]
    assert np.array_equal(np.unique(bands[0].ids), bands[0].ids)
    assert bands[0].ids.max() < 900


def test_small_networks_are_drawn_whole(run):
    bands = _stack(run, ["B", "C"], 2000)
    assert [b.ids.tolist() for b in bands] == [list(range(90)), list(range(10))]


def test_nothing_to_draw(run, tmp_path):
    path = tmp_path / "raster.png"
    with pytest.raises(ModelError, match="raster: populations is"):
        raster(run, path, populations=[])
    with pytest.raises(ModelError, match="'unrecorded' were not recorded"):
        raster(run, path, populations=["unrecorded"])
    with pytest.raises(ConfigError, match="raster: window"):
        raster(run, path, window=(5.0, 5.0))
    with pytest.raises(ConfigError, match="raster: max_neurons"):
        raster(run, path, max_neurons=0)


def test_picture_that_cannot_be_written(run, tmp_path):
    for name in ("missing/raster.png", "raster.unknown"):
        with pytest.raises(OutputError, match="cannot be written"):
            raster(run, tmp_path / name)


def test_pyplot_and_the_backend_are_left_alone(run, tmp_path):
    code = (
        "import sys; from simcore.io import open_run; from simcore.analysis.raster import raster; "
        "raster(open_run(sys.argv[1]), sys.argv[2]); assert 'matplotlib.pyplot' not in sys.modules"
    )
    command = [sys.executable, "-c", code, run.path, str(tmp_path / "raster.png")]
    subprocess.run(command, check=True)
