"""Models that a user writes, as documentation and examples show them, keep all promises."""

import re
import runpy

import numpy as np
import pytest

import simcore as sc
from simcore.services.comm import SerialComm
from simcore.services.errors import ConfigError
from tests.networks import advance, differences
from tests.unit.test_cli_examples import MPIEXEC, ROOT, run_example

EXAMPLE = runpy.run_path(str(ROOT / "examples" / "interneurons.py"))


def documented():
    """Return the model that the documentation writes."""
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    code = text.partition("## A model of one's own")[2]
    names = {}
    exec(re.search(r"```python\n(.*?)```", code, re.S)[1], names)
    return names["adaptive_threshold"]


def adapting():
    """Return a network of the documented model."""
    net = sc.Network(seed=2)
    cells = net.population("E", 30, documented()(alpha=1.0), V_m=sc.Uniform(-70.0, -56.0))
    net.connect(cells, cells, sc.FixedIndegree(5), weight=40.0, delay=0.3)
    net.drive(cells, sc.Poisson(9000.0, weight=60.0))
    net.record(cells, "spikes")
    return net


NETWORKS = {"documented": adapting, "example": lambda: EXAMPLE["build"](n=20, n_inputs=12)}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", NETWORKS)
def test_backends_agree(name, precision, emulated_gpu):
    net = NETWORKS[name]()
    expected = advance(net, 400, "reference", precision)
    assert np.unique(expected.gids).size > 10
    for backend in ("cpu", "cuda"):
        assert differences(advance(net, 400, backend, precision), expected) == []


@pytest.mark.parametrize("name", NETWORKS)
def test_run_that_is_resumed_is_the_same(name, tmp_path):
    whole, begun = tmp_path / "whole.h5", tmp_path / "begun.h5"
    net, comm = NETWORKS[name], SerialComm()
    sc.simulate(net(), 40.0, output=whole, comm=comm)
    sc.simulate(net(), 20.0, output=begun, comm=comm, checkpoint_every=10.0)
    resumed = sc.resume(begun, net(), until=40.0, comm=comm, threads=2)
    (population,) = resumed.populations
    assert resumed.digest(population) == sc.open_run(whole).digest(population)


def test_edited_model_is_refused(tmp_path):
    path, comm = tmp_path / "run.h5", SerialComm()
    sc.simulate(EXAMPLE["build"](n=20, n_inputs=12), 10.0, output=path, comm=comm)

    class wang_buzsaki(EXAMPLE["wang_buzsaki"]):
        receptors = "gaba [nS]: g_syn += 2*weight"

    net = sc.Network(seed=1)
    cells = net.population("I", 20, wang_buzsaki(I_e=100.0), V_m=sc.Uniform(-70.0, -50.0))
    rule = sc.PairwiseBernoulli(0.6)
    net.connect(cells, cells, rule, weight=10.0 / 12, delay=0.5)
    net.record(cells, "spikes")
    net.record(cells[0], "V_m", interval=0.1)
    with pytest.raises(ConfigError, match="receptors"):
        sc.resume(path, net, until=20.0, comm=comm)


@pytest.mark.slow
@pytest.mark.skipif(not MPIEXEC.exists(), reason="needs mpiexec beside the Python")
def test_interneurons_find_a_rhythm(tmp_path):
    printed = [run_example("interneurons.py", tmp_path / str(ranks), ranks) for ranks in (1, 2)]
    assert printed[0] == printed[1]

    # Wang and Buzsaki (1996): about 40 Hz
    rate, synchrony = map(float, re.findall(r"[\d.]+(?=/s|$)", printed[0].strip()))
    assert 36.0 < rate < 42.0
    assert synchrony > 20.0
