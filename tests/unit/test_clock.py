"""Times on the grid, and those beyond it."""

import math

import pytest

import simcore as sc
from simcore.clock import Clock
from simcore.errors import ModelError
from simcore.kernels.plan import make_plan
from tests.networks import build


def test_times_are_rounded_to_steps():
    times = [0.0, 0.04, 0.05, 12.34, 1e308, math.inf]
    assert [Clock(0.1).steps_rounded(t) for t in times] == [0, 0, 1, 123, 2**62, 2**62]


@pytest.mark.parametrize("time", [1e18, 1e308])
def test_times_that_no_step_has(time):
    with pytest.raises(ModelError, match=r"duration is 1e\+.*, must be below 4\.61e\+17 ms"):
        Clock(0.1).steps(time, "duration")
    net = sc.Network()
    net.population("a", 1, sc.SpikeTrains([time]))
    with pytest.raises(
        ModelError, match=r"'a': times contains 1e\+.*, must be below 4\.61e\+17 ms"
    ):
        make_plan(build(net), "f8")
