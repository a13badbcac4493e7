"""A network whose state is large beside what it records."""

import simcore as sc


def build(seed: int = 12) -> sc.Network:
    """Describe it."""
    network = sc.Network(seed=seed)
    neurons = network.population("neurons", 108_000, sc.LIF(I_e=400.0))
    network.connect(neurons[:10], neurons[:10], sc.AllToAll(), weight=10.0, delay=5.0)
    network.record(neurons[:10], "spikes")
    return network
