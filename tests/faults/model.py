"""A small network with every feature, to be killed."""

import simcore as sc
from tests.networks import every_feature


def build(seed: int = 12) -> sc.Network:
    """Describe it, and record the spikes of all neurons and samples of four populations."""
    network = every_feature(seed)
    network.records[:] = [r for r in network.records if r.variable != "spikes"]
    network.record(network.populations, "spikes")
    return network
