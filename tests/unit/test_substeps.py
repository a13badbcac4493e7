"""Spikes within a step, where substeps and finer ones follow each other."""

import numpy as np
import pytest

import simcore as sc
from tests.networks import advance


class Ramp(sc.NeuronModel):
    """A potential that rises by 1 mV in 0.04 ms, and in finer substeps in its upper half."""

    parameters = "slope = 25 [mV/ms]  of the potential"
    state = "V_m = 0 [mV]  membrane potential"
    equations = "dV_m/dt = slope*(1 + 0*V_m*V_m/mV/mV)"
    receptors = "in [mV]: V_m += weight"
    threshold = "V_m >= 1*mV"
    reset = "V_m -= 1*mV"
    method = "rk4(3)"
    refine = "V_m >= 0.5*mV: 8"
    spikes_within = True


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_all_spikes_of_a_step_count(backend):
    net = sc.Network()
    cells = net.population("cells", 50, Ramp(), V_m=sc.Uniform(0.0, 0.9))
    net.record(cells, "V_m", interval=0.1, dtype="float64")

    result = advance(net, 40, backend)

    # Whatever rises is either there or has become a spike
    (V_m,) = result.samples
    spikes = np.zeros(V_m.shape, dtype=int)
    np.add.at(spikes, (result.steps, result.gids), 1)
    np.testing.assert_allclose(np.diff(V_m + spikes.cumsum(axis=0), axis=0), 2.5, atol=1e-12)
    assert spikes.max() == 3
