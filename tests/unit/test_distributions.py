"""Distributions against SciPy, and what they refuse."""

import math

import numpy as np
import pytest
from scipy import stats

from simcore.description.distributions import (
    Constant,
    Lognormal,
    Normal,
    Scaled,
    Uniform,
    as_distribution,
    normal_cdf,
    normal_quantile,
)
from simcore.discretization.tables import weight_table
from simcore.services.errors import ModelError

U = np.concatenate([[2.0**-54, 1e-9, 1e-4], np.linspace(0.001, 0.999, 999), [1 - 1e-9]])


def clipped(base, low, high):
    """Return cdf and quantile function of a clipped distribution of SciPy."""
    return (
        lambda x: np.where(x < low, 0.0, np.where(x >= high, 1.0, base.cdf(x))),
        lambda u: np.clip(base.ppf(u), low, high),
    )


def redrawn(base, low, high):
    """Return cdf and quantile function of a truncated distribution of SciPy."""
    below, above = base.cdf(low), base.cdf(high)
    return (
        lambda x: (base.cdf(np.clip(x, low, high)) - below) / (above - below),
        lambda u: base.ppf(below + (above - below) * u),
    )


def plain(base):
    return base.cdf, base.ppf


NORMAL = stats.norm(-3.0, 2.0)
LOGNORMAL = stats.lognorm(s=0.7, scale=math.exp(1.2))
CASES = {
    "uniform": (Uniform(-2.0, 5.0), plain(stats.uniform(-2.0, 7.0))),
    "normal": (Normal(-3.0, 2.0), plain(NORMAL)),
    "normal above": (Normal(-3.0, 2.0, low=-4.0), redrawn(NORMAL, -4.0, math.inf)),
    "normal below": (Normal(-3.0, 2.0, high=-3.5), redrawn(NORMAL, -math.inf, -3.5)),
    "normal between": (Normal(-3.0, 2.0, -4.0, 1.0), redrawn(NORMAL, -4.0, 1.0)),
    "normal clipped": (
        Normal(-3.0, 2.0, -4.0, 1.0, outside="clip"),
        clipped(NORMAL, -4.0, 1.0),
    ),
    "lognormal": (Lognormal(1.2, 0.7), plain(LOGNORMAL)),
    "lognormal between": (Lognormal(1.2, 0.7, 1.0, 9.0), redrawn(LOGNORMAL, 1.0, 9.0)),
    "lognormal clipped": (
        Lognormal(1.2, 0.7, low=2.0, outside="clip"),
        clipped(LOGNORMAL, 2.0, math.inf),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_quantiles_are_those_of_scipy(name):
    ours, (_, quantile) = CASES[name]

    np.testing.assert_allclose(ours.quantile(U), quantile(U), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_cdf_is_that_of_scipy(name):
    ours, (cdf, _) = CASES[name]
    x = np.concatenate([np.linspace(-12.0, 20.0, 641), ours.quantile(U)])

    found = [ours.cdf(value) for value in x]

    np.testing.assert_allclose(found, cdf(x), rtol=1e-12, atol=1e-15)


def test_constant():
    same = Constant(1.5)

    assert same.constant
    assert not Normal(0.0, 1.0).constant
    assert same.quantile(U).tolist() == [1.5] * U.size
    assert (same.cdf(np.nextafter(1.5, 0.0)), same.cdf(1.5)) == (0.0, 1.0)


def test_normal_quantile_in_the_far_tails():
    u = np.concatenate([np.logspace(-300, -2, 400), np.linspace(0.01, 0.99, 999)])

    np.testing.assert_allclose(normal_quantile(u), stats.norm.ppf(u), rtol=1e-14, atol=1e-16)
    assert normal_quantile(1.0 - 2.0**-40)[0] == pytest.approx(stats.norm.isf(2.0**-40), rel=1e-14)


def test_normal_quantile_inverts_the_cdf():
    z = np.linspace(-8.0, 5.0, 261)

    np.testing.assert_allclose(normal_quantile([normal_cdf(x) for x in z]), z, atol=1e-9)


@pytest.mark.parametrize(
    ("value", "expected"), [(3, 3.0), (np.float32(0.5), 0.5), (np.int64(-2), -2)]
)
def test_numbers_become_constants(value, expected):
    assert as_distribution(value, "weight") == Constant(expected)


def test_descriptions_hold_all_parameters():
    assert Normal(1.0, 2.0, low=0.0).describe() == {
        "distribution": "Normal",
        "mean": 1.0,
        "sd": 2.0,
        "low": 0.0,
        "high": None,
        "outside": "redraw",
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(0.0, 0.0), r"Normal: sd is 0\.0, must be > 0"),
        (lambda: Normal(math.nan, 1.0), "Normal: mean is nan, must be finite"),
        (lambda: Normal(0.0, 1.0, low=1.0, high=1.0), "Normal: low is 1.0, must be below high"),
        (lambda: Normal(0.0, 1.0, low=6.0), "share of draws between low and high"),
        (lambda: Normal(0.0, 1.0, outside="wrap"), "Normal: outside is 'wrap'"),
        (lambda: Normal(0.0, 1.0, low=math.inf), "Normal: low is inf"),
        (lambda: Lognormal(0.0, -1.0), "Lognormal: sigma is -1.0, must be > 0"),
        (lambda: Lognormal(0.0, 1.0, high=-1.0), "share of draws between low and high"),
        (lambda: Uniform(2.0, 1.0), "Uniform: low is 2.0, must be below high = 1.0"),
        (lambda: Uniform(0.0, math.inf), "Uniform: high is inf, must be finite"),
        (lambda: Constant("1"), "Constant: value is '1', must be finite"),
        (
            lambda: as_distribution("1.5", "E to E: weight"),
            "E to E: weight is '1.5', must be a num",
        ),
        (lambda: as_distribution(math.inf, "E to E: weight"), "E to E: weight is inf"),
        (lambda: as_distribution(True, "E to E: weight"), "E to E: weight is True"),
    ],
)
def test_bad_parameters_are_named(make, message):
    with pytest.raises(ModelError, match=message):
        make()


def test_multiples_of_distributions():
    positive = Lognormal(0.3, 0.5)
    negative = -Lognormal(0.3, 0.5)
    cut = Normal(1.0, 1.0, low=0.0, outside="clip")

    assert weight_table(negative).tolist() == (-weight_table(positive)[::-1]).tolist()
    assert (np.float64(-2.0) * positive, positive * -2) == (Scaled(-2.0, positive),) * 2
    assert (2.0 * positive).cdf(3.0) == positive.cdf(1.5)
    assert negative.cdf(-1.5) == pytest.approx(1.0 - positive.cdf(1.5), abs=1e-15)
    # The share that is cut lies at 0
    assert (-cut).cdf(0.0) == 1.0
    assert (-cut).cdf(-1e-9) == pytest.approx(1.0 - cut.cdf(0.0))
    assert (-Constant(2.0)).constant
    assert negative.describe()["of"] == positive.describe()
    for factor in (0.0, np.nan, "2"):
        with pytest.raises(ModelError, match="Scaled: factor is"):
            factor * positive
