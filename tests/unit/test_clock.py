"""Times as steps: the same rule wherever a time is given."""

import warnings

import numpy as np
import pytest

import simcore as sc
from simcore.construction.projection_tables import make_projection_tables
from simcore.description.distributions import Constant, Normal
from simcore.discretization.fixed_point import fixed_point
from simcore.discretization.tables import delay_table
from simcore.numerics.clock import Clock, Grid
from simcore.services.errors import ModelError

STEPS = np.array([0.1, 0.025, 1 / 3, 0.3, 1e-4, 0.7, 6.4])
HALVES = [0.15, 0.25, 0.35, 0.45, 3276.65]


@pytest.mark.parametrize("dt", STEPS)
def test_multiples_of_a_step_lie_on_the_grid(dt):
    grid, n = Grid(float(dt)), np.arange(1, 200_000, 7)
    added = np.cumsum(np.full(1000, dt))

    for times, steps in ((n * dt, n), (added, np.arange(1, 1001))):
        assert not grid.off(times).any()
        for turn in (grid.down, grid.nearest, grid.up):
            np.testing.assert_array_equal(turn(times), steps)
    assert (grid.nearest((n + 0.5) * dt) == n + 1).all()


@pytest.mark.parametrize("time", [0.05, 100.05, 50_000.05, 5e6 + 0.05, 1e9 + 0.01, 50_000.0001])
def test_times_between_steps_are_refused_however_late(time):
    net = sc.Network()
    net.population("S", 1, sc.SpikeTrains([0.1, time]))

    with pytest.raises(ModelError, match=r"interval is .*, must be a multiple of dt = 0\.1 ms"):
        Clock(0.1).steps(time, "interval")
    with pytest.raises(ModelError, match=r"population 'S': times contains .* Round the times"):
        fixed_point(net, 0.1)


def test_halves_go_up_in_delays():
    net = sc.Network()
    E = net.population("E", 5, sc.LIF())
    net.connect(E, E, sc.Edges(range(5), range(5), delays=HALVES), weight=1.0)
    (projection,) = net.projections
    recipe = make_projection_tables(projection, fixed_point(net, 0.1), 0.1)

    assert recipe.edge_delays.tolist() == [2, 3, 4, 5, 32_767]
    assert [delay_table(Constant(t), 0.1, "delay").first for t in HALVES] == [2, 3, 4, 5, 32_767]
    # Half of the values are clipped to one of the halves
    for half, steps in ((0.15, 2), (0.35, 4), (0.75, 8)):
        table = delay_table(Normal(half, 0.01, high=half, outside="clip"), 0.1, "delay")
        assert table.last == steps
        assert table.probabilities()[-1] == pytest.approx(0.5)


def test_refractory_times_go_up_and_windows_down():
    clock = Clock(0.1)

    assert clock.up([0.0, 0.04, 0.1, 0.3, 0.31, 2.0]).tolist() == [0, 1, 1, 3, 4, 20]
    assert clock.window(10.06, 10.14) == (100, 101)
    assert clock.window(0.7, 7.77) == (7, 77)
    assert clock.window(0.1 + 0.2 - 0.3, np.inf) == (0, 2**62)


@pytest.mark.parametrize("time", [1e300, 1.7e308, -1.7e308])
def test_times_beyond_all_runs(time):
    clock, never = Clock(0.1), 2**62 if time > 0 else -(2**62)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(
            ModelError, match=r"time is -?1\.?7?e\+30., must be below 7\.04e\+13 steps"
        ):
            clock.steps(time, "time")
        for turn in (clock.down, clock.nearest, clock.up):
            assert turn(time) == never
        assert not clock.off(time)
        assert clock.recorded_until(time) == time
        assert clock.recorded_steps(np.array([time])) == never - 1
