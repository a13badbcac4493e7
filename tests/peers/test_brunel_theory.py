"""Brunel's network against the mean-field theory of its rates.

N. Brunel, J. Comput. Neurosci. 8, 183-208 (2000), eq. 21 and 22: the rate of a neuron with white
noise as input (Siegert), where mean and variance of the input follow from the rate itself.

The theory takes input for white noise and neurons for independent; a network with jumps of finite
size whose neurons synchronise now and then deviates from it. How far was measured: three seeds
each over one second, and NEST 3.10 over one second (benchmarks/peers/brunel_nest.py), in 1/s:

================== ====== ================= =====
g, eta, V_reset    theory simcore           NEST
================== ====== ================= =====
5, 2, 0 mV         32.03  32.09 32.16 32.09
5, 2, 10 mV        37.95  37.72 37.71 37.39 37.76
4.5, 0.9, 10 mV    6.52   5.95  5.57  6.12  5.18
6, 4, 10 mV        55.84  58.86 58.71 58.53 58.34
================== ====== ================= =====

The third is the slow, synchronous state, which fluctuates from second to second. The last three are
the states C, D and B of the paper, which `test_networks.py` holds in ranges narrower than the
distance to the theory.
"""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import erfcx

from simcore.models import brunel
from tests.networks import advance

TAU_M, THETA, T_REF = 20.0, 20.0, 2.0  # [ms, mV]
J, CE, CI = 0.1, 1000, 250  # [mV]
SIZE = 12_500
TRANSIENT, DURATION = 200, 1200  # [ms]


def siegert(mu, sigma, V_reset):
    """Return the rate [1/s] of a neuron with white noise of that mean and deviation [mV]."""
    # exp(x**2) * (1 + erf(x)), without overflow
    area, _ = quad(lambda x: erfcx(-x), (V_reset - mu) / sigma, (THETA - mu) / sigma, limit=200)
    return 1000.0 / (T_REF + TAU_M * np.sqrt(np.pi) * area)


def mean_field(g, eta, V_reset):
    """Return the rate [1/s] at which the network keeps itself going."""
    external = brunel.external_rate(eta, J, CE, TAU_M, THETA)

    def excess(rate):
        mu = 1e-3 * TAU_M * J * (external + (CE - g * CI) * rate)
        variance = 1e-3 * TAU_M * J**2 * (external + (CE + g**2 * CI) * rate)
        return siegert(mu, np.sqrt(variance), V_reset) - rate

    return brentq(excess, 1e-3, 400.0)


@pytest.mark.parametrize(
    ("state", "rate"),
    [
        ((5.0, 2.0, 0.0), 32.0),
        ((5.0, 2.0, 10.0), 38.0),
        ((4.5, 0.9, 10.0), 6.5),
        ((6, 4, 10), 55.8),
    ],
)
def test_theory_gives_the_published_rates(state, rate):
    assert mean_field(*state) == pytest.approx(rate, abs=0.06)


def test_network_fires_as_the_theory_says():
    net = brunel.build()

    result = advance(net, 10 * DURATION)

    late = result.steps >= 10 * TRANSIENT
    rate = late.sum() / SIZE / (DURATION - TRANSIENT) * 1000.0
    assert rate == pytest.approx(mean_field(5.0, 2.0, 0.0), rel=0.01)
    # Excitatory and inhibitory neurons have the same input
    halves = [
        np.sum(late & (result.gids < 10_000)) / 10_000,
        np.sum(late & (result.gids >= 10_000)) / 2500,
    ]
    assert halves[0] == pytest.approx(halves[1], rel=0.05)
