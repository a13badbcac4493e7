"""Tables of Poisson numbers, delays and weights against exact probabilities."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simcore.construction.synapse_draws import to_channels
from simcore.description.distributions import Constant, Lognormal, Normal, Uniform
from simcore.discretization.tables import delay_table, discrete_table, poisson_table, weight_table
from simcore.services.errors import CapacityError, ModelError

# Each probability is rounded to a word: by half a word at either end
WORD = 2.0**-32

MEANS = [0.0, 1e-9, 1e-4, 0.12, 1.6, 2.32, 17.0, 300.0, 10_000.0]
DELAYS = {
    "excitatory": Normal(1.5, 0.75, low=0.05),
    "inhibitory": Normal(0.75, 0.375, low=0.05),
    "clipped": Normal(1.0, 1.0, low=0.1, high=2.0, outside="clip"),
    "uniform": Uniform(0.1, 12.0),
    "lognormal": Lognormal(0.5, 0.4, low=0.1, high=60.0),
    "constant": Constant(1.5),
}


def probability_of(table, values):
    """Return the probabilities that a table gives to whole numbers."""
    padded = np.zeros(np.size(values))
    inside = (values >= table.first) & (values <= table.last)
    padded[inside] = table.probabilities()[values[inside] - table.first]
    return padded


@pytest.mark.parametrize("mean", MEANS)
def test_poisson_probabilities_are_exact(mean):
    table = poisson_table(mean)
    values = np.arange(int(mean + 12 * math.sqrt(mean) + 30))

    found = probability_of(table, values)

    np.testing.assert_allclose(found, stats.poisson.pmf(values, mean), atol=1.01 * WORD, rtol=1e-9)
    assert table.probabilities().sum() == 1.0


@pytest.mark.parametrize("mean", [m for m in MEANS if m > 1e-5])
def test_poisson_mean_and_variance(mean):
    table = poisson_table(mean)
    values = np.arange(table.first, table.last + 1)

    p = table.probabilities()

    assert p @ values == pytest.approx(mean, rel=1e-5)
    assert p @ (values - mean) ** 2 == pytest.approx(mean, rel=1e-4)


def test_poisson_mean_that_is_too_large():
    with pytest.raises(CapacityError, match=r"events per time step is 10001\.0, must be <= 10000"):
        poisson_table(10_001.0)


@pytest.mark.parametrize("name", DELAYS)
@pytest.mark.parametrize("dt", [0.1, 0.025])
def test_delays_are_rounded_to_the_nearest_step(name, dt):
    delay = DELAYS[name]
    table = delay_table(delay, dt, "delay")
    # No borders between steps, so that an atom may lie on one
    grid = np.arange(table.last + 3)
    borders = np.nextafter((grid + 0.5) * dt, 0.0)
    upto = np.array([delay.cdf(x) for x in borders])

    found = probability_of(table, grid)

    np.testing.assert_allclose(found, np.diff(upto, prepend=0.0), atol=1.01 * WORD)
    assert table.first >= 1


def test_delays_on_the_border_are_rounded_up():
    halves = [delay_table(Constant(0.25 + 0.5 * k), 0.5, "delay") for k in range(5)]

    assert [t.first for t in halves] == [t.last for t in halves] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("delay", "error", "message"),
    [
        (Constant(0.04), ModelError, r"a to b: delay \[ms\] is 0\.04, must be at least one time"),
        (Normal(1.5, 0.75), ModelError, r"a to b: delay .*low=0\.05"),
        (Constant(-1.0), ModelError, r"a to b: delay \[ms\] is -1\.0"),
        (Constant(-1e308), ModelError, r"a to b: delay \[ms\] is -1e\+308"),
        (Constant(1e308), CapacityError, r"is 1e\+308, must be below 3276\.8"),
        (
            Constant(3276.8),
            CapacityError,
            r"a to b: delay \[ms\] is 3276\.8, must be below 3276\.8",
        ),
    ],
)
def test_delays_out_of_range(delay, error, message):
    with pytest.raises(error, match=message):
        delay_table(delay, 0.1, "a to b")


def test_delays_up_to_the_longest():
    assert delay_table(Constant(3276.7), 0.1, "delay").last == 2**15 - 1


@pytest.mark.parametrize(
    ("weight", "scipy"),
    [
        (Normal(87.8, 8.78, low=0.0), stats.norm(87.8, 8.78)),
        (Uniform(-1.0, 3.0), stats.uniform(-1.0, 4.0)),
        (Lognormal(0.2, 0.3), stats.lognorm(s=0.3, scale=math.exp(0.2))),
    ],
)
def test_weights_are_equally_likely(weight, scipy):
    values = weight_table(weight)

    assert values.shape == (65536,)
    assert values.mean() == pytest.approx(scipy.mean(), rel=1e-5)
    assert values.std() == pytest.approx(scipy.std(), rel=1e-3)
    # A value stands for its share of the distribution, and lies within
    assert stats.kstest(values, scipy.cdf).statistic <= 2.0**-16


def test_weights_with_a_heavy_tail():
    with pytest.raises(CapacityError, match=r"Lognormal.* 65536 values keep is .*Bound the heavy"):
        weight_table(Lognormal(0.0, 3.0))

    assert weight_table(Lognormal(0.0, 3.0, high=1e4)).max() <= 1e4


def tables():
    found = {f"Poisson {mean}": poisson_table(mean) for mean in MEANS}
    return found | {name: delay_table(delay, 0.1, name) for name, delay in DELAYS.items()}


@pytest.mark.parametrize("name", tables())
def test_values_change_at_the_thresholds(name):
    table = tables()[name]
    for k, threshold in enumerate(table.thresholds.tolist()):
        following = np.searchsorted(table.thresholds, threshold, side="right")
        assert table(np.uint32(threshold)) == table.first + following
        assert table(np.uint32(threshold - 1)) <= table.first + k
    assert table(np.uint32(0)) == table.first
    assert table(np.uint32(2**32 - 1)) == table.last


@pytest.mark.parametrize("name", tables())
def test_guided_search_finds_the_same_values(name):
    table = tables()[name]
    near = [table.thresholds.astype(np.int64) + d for d in (-1, 0, 1)]
    edges = (np.arange(1025) << 22)[:, None] + [-1, 0, 1]
    rng = np.random.default_rng(5)
    words = np.concatenate([*near, edges.ravel(), rng.integers(0, 2**32, 5000)])
    words = words[(words >= 0) & (words < 2**32)].astype(np.uint32)
    indices, weights = np.zeros((2, words.size), dtype=np.int32)
    channel_of = np.repeat(np.arange(table.thresholds.size + 1, dtype=np.int32), 2)

    to_channels(
        words.size,
        (words, words),
        (table.thresholds, table.guide),
        np.array([7], dtype=np.int32),
        channel_of,
        indices,
        weights,
    )

    np.testing.assert_array_equal(table.first + indices, table(words))
    assert (weights == 7).all()


@given(
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40).filter(lambda p: sum(p) > 1e-3),
    st.integers(-5, 1000),
)
def test_any_whole_number_has_a_table(weights, first):
    p = np.array(weights) / np.sum(weights)
    table = discrete_table(first, np.minimum(np.cumsum(p), 1.0))
    values = first + np.arange(p.size)

    np.testing.assert_allclose(probability_of(table, values), p, atol=1.01 * WORD)
    assert table.first >= first
    assert table.last < first + p.size
    assert (np.diff(table.thresholds.astype(np.int64)) >= 0).all()
    starts = np.searchsorted(table.thresholds, np.arange(1024) << 22, side="right")
    np.testing.assert_array_equal(table.guide[:-1], starts)
