"""The network that many tests share, and the random ones, use everything that can be described."""

from typing import get_args

import simcore as sc
from simcore.description import neurons, stimulus
from simcore.description.connectivity import Rule
from simcore.description.distributions import Distribution
from tests.features import kinds, missing
from tests.networks import every_feature
from tests.strategies import DISTRIBUTIONS, RULES


def test_nothing_is_missing():
    assert len(kinds(Rule)) >= 7
    assert len(kinds(Distribution)) >= 4
    assert missing(every_feature()) == set()


def test_a_new_rule_is_missing():
    class Ring(Rule):
        """Connects every neuron with the next."""

    Ring.__module__ = Rule.__module__
    try:
        assert missing(every_feature()) == {"Ring"}
    finally:
        Ring.__module__ = __name__


def test_a_new_stimulus_is_missing(monkeypatch):
    monkeypatch.setattr(stimulus, "Stimulus", stimulus.Stimulus | type("Pulse", (), {}))

    assert missing(every_feature()) == {("Pulse", False), ("Pulse", True)}


def test_random_networks_have_all_rules_and_distributions():
    assert {kind.__name__ for kind in kinds(Rule)} == set(RULES)
    assert {kind.__name__ for kind in kinds(Distribution)} == set(DISTRIBUTIONS)


def test_all_that_is_public_is_of_a_known_kind():
    public = {kind for kind in map(vars(sc).get, sc.__all__) if isinstance(kind, type)}
    public -= {sc.Network, sc.Simulation, sc.Piecewise, Distribution}
    known = kinds(Rule) | kinds(Distribution)
    known |= {*get_args(stimulus.Stimulus), *get_args(neurons.Model)}

    assert {kind for kind in public if not issubclass(kind, Exception)} == known
