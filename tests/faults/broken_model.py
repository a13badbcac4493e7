"""The network of `model.py`, with something that goes wrong on one rank in the middle of a run."""

import os
import resource
import signal

import numpy as np
from model import build as describe

import simcore as sc
from simcore.services.launcher import launched_process
from simcore.simulation.simulation import Simulation

# Model time at which it goes wrong [ms]
TIME = 200.0


def build(fault: str, trigger: str, rank: int = 1, seed: int = 12) -> sc.Network:
    """Describe the network, and prepare a fault on one rank while a file `trigger` exists."""
    if launched_process().rank == rank and os.path.exists(trigger):
        _prepare({"raise": _fail, "memory": _use_all_memory, "hang": _hang}[fault])
    return describe(seed)


def _prepare(action):
    advance = Simulation.advance

    def advance_and_fail(self, steps, recorder=None):
        if self.step * self.clock.dt >= TIME:
            action()
        advance(self, steps, recorder)

    Simulation.advance = advance_and_fail


def _fail():
    raise ZeroDivisionError("as the test wants it")


def _use_all_memory():
    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
    kept = [np.empty(2**27) for _ in range(64)]
    del kept


def _hang():
    os.kill(os.getpid(), signal.SIGSTOP)
