"""Ways to break the promise that results do not depend on the partition."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from simcore.construction import synapse_draws
from simcore.kernels import first_values, reference
from simcore.kernels.cpu import threads
from simcore.kernels.reference import ReferenceBackend
from simcore.language import interpreter
from simcore.numerics import random
from tests.side_by_side import Ranks


def initial_V_by_local_id(monkeypatch):
    """Draw initial potentials by the place of a neuron in its shard."""
    monkeypatch.setattr(first_values, "random", by_local_id())


def stimulus_by_local_id(monkeypatch):
    """Draw Poisson numbers by the place of a neuron in its shard."""
    monkeypatch.setattr(reference, "random", by_local_id())


def noise_by_local_id(monkeypatch):
    """Draw the random numbers of a model by the place of a neuron in its segment."""

    def draw_step(seed, gids, step, n):
        return random.draw_step(seed, np.arange(gids.size), step, n)

    wrong = SimpleNamespace(**{**vars(random), "draw_step": draw_step})
    monkeypatch.setattr(interpreter, "random", wrong)


def by_local_id():
    def draw(seed, stream, gids, index):
        return random.draw(seed, stream, np.arange(np.size(gids)), index)

    return SimpleNamespace(**{**vars(random), "draw": draw})


def synapses_by_local_id(monkeypatch):
    """Draw synapses by the place of the target in its shard."""
    visit = synapse_draws.visit_targets

    def wrong(form, kind, key, targets, *others):
        return visit(form, kind, key, (np.arange(targets[0].size), targets[1]), *others)

    monkeypatch.setattr(synapse_draws, "visit_targets", wrong)


def sums_in_order_of_arrival(monkeypatch):
    """Sum the input in single precision, in which the order of additions matters."""
    init = ReferenceBackend.__init__

    def wrong(self, *given):
        init(self, *given)
        self.ring = self.ring.astype(np.float32)

    monkeypatch.setattr(ReferenceBackend, "__init__", wrong)


def epochs_too_long(monkeypatch):
    """Let spikes between ranks arrive one step too late."""
    init = Ranks.__init__

    def wrong(self, *given, **options):
        init(self, *given, **options)
        self.longest += 1

    monkeypatch.setattr(Ranks, "__init__", wrong)


def meetings_too_rare(monkeypatch):
    """Let spikes between threads arrive one step too late."""
    make = threads.make_teams
    monkeypatch.setattr(
        threads, "make_teams", lambda size, interval, room: make(size, interval + 1, room)
    )
