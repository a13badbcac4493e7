"""The digest of the numbers that follow from a description: all that is used is in it."""

import pkgutil
from dataclasses import replace

import numpy as np
import pytest

import simcore as sc
from simcore.discretization.fixed_point import fixed_point
from simcore.simulation.derived_digest import digest_numbers


def make():
    net = sc.Network(seed=3)
    delay = sc.Normal(1.5, 0.7, low=0.1)
    one = net.population("one", 40, sc.LIF(tau_syn=(0.5, 3.0)), V_m=sc.Lognormal(0.3, 0.5))
    net.connect(one, one, sc.FixedTotalNumber(300), weight=sc.Normal(2.0, 0.3), delay=delay)
    net.drive(one, sc.Poisson(8000.0, 1.0))
    return net


NETWORK = make()
POINTS = fixed_point(NETWORK, 0.1)


def above(function):
    """Return a function whose results are larger by a bit."""

    def changed(*given, **named):
        found = function(*given, **named)
        if isinstance(found, (tuple, np.ndarray)):
            return np.nextafter(found, np.inf)
        return replace(found, thresholds=found.thresholds + np.uint32(1))

    return changed


@pytest.mark.parametrize(
    "name",
    [
        "simcore.language.linear.propagators",
        "simcore.description.distributions.Lognormal.quantile",
        "simcore.simulation.derived_digest.poisson_table",
        "simcore.simulation.derived_digest.delay_table",
        "simcore.construction.binomial.probabilities",
    ],
)
def test_a_bit_changes_the_digest(name, monkeypatch):
    before = digest_numbers(NETWORK, POINTS, 0.1)
    assert digest_numbers(NETWORK, POINTS, 0.1) == before
    monkeypatch.setattr(name, above(pkgutil.resolve_name(name)))
    assert digest_numbers(NETWORK, POINTS, 0.1) != before


def test_digest_of_weights_does_not_depend_on_which_arrays_are_shared():
    (weights,) = POINTS.weights
    twice = replace(POINTS, weights=(weights, weights))
    copied = replace(POINTS, weights=(weights, replace(weights, values=weights.values.copy())))
    assert twice.digest() == copied.digest() != POINTS.digest()
