"""Runs on several ranks, compared with a run on one."""

from __future__ import annotations

import numpy as np

import simcore as sc
from tests.networks import same_bits, serial


class Kept:
    """A recorder that keeps all spikes."""

    def __init__(self):
        self.spikes = []

    def record(self, epoch, spikes, emitted=0):
        self.spikes.append((spikes.steps, spikes.gids))


def outcome(simulation, duration, change=None):
    """Run a simulation; return steps, gids and potentials of all ranks, on rank 0."""
    kept = Kept()
    if change is not None:
        change(simulation)
    simulation.run(duration, kept)
    steps, gids = (np.concatenate(arrays) for arrays in zip(*kept.spikes, strict=True))
    ranks = simulation.comm.gather(
        (steps, gids, simulation.neurons.gids, simulation.backend.potentials())
    )
    if ranks is None:
        return None
    steps, gids, owned, V_m = (np.concatenate(arrays) for arrays in zip(*ranks, strict=True))
    order, places = np.lexsort((gids, steps)), np.argsort(owned)
    return {"steps": steps[order], "gids": gids[order], "V_m": V_m[places]}


ALONE = {}


def alone(name, network, duration, **options):
    """Return the outcome without other ranks; it is computed once, on rank 0."""
    key = name, duration, tuple(options.items())
    if key not in ALONE:
        ALONE[key] = outcome(serial(network, **options), duration)
    return ALONE[key]


def differing(ranks, found, expected):
    """Return on all ranks the names of what differs."""
    names = None
    if found is not None:
        names = [name for name in expected if not same_bits(found[name], expected[name])]
    return ranks.bcast(names)


def pair():
    """Describe two neurons that keep each other firing."""
    net = sc.Network()
    pair = net.population("pair", 2, sc.LIF(tau_m=5.0, I_e=2500.0), V_m=sc.Uniform(0.0, 15.0))
    net.connect(pair, pair, sc.AllToAll(), weight=1.5, delay=sc.Uniform(0.1, 2.0))
    net.record(pair, "V_m", interval=1.0)
    return net


def half_silent():
    """Describe a network whose first half is driven, while the second only listens."""
    net = sc.Network(seed=2)
    loud = net.population("loud", 40, sc.LIF(I_e=700.0), V_m=sc.Uniform(0.0, 19.0))
    quiet = net.population("quiet", 40, sc.LIF(tau_syn=3.0))
    net.connect(loud, [loud, quiet], sc.FixedIndegree(6), weight=0.1, delay=0.7)
    return net
