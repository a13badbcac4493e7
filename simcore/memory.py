"""How much memory a shard takes, and how much there is: known before anything is allocated."""

from __future__ import annotations

import os
from pathlib import Path

from simcore.comm import Comm
from simcore.degrees import n_synapses
from simcore.errors import CapacityError
from simcore.fixed_point import FixedPoint, Form
from simcore.network import Network

# State, history and buffers of a neuron [B]
_NEURON = 128

# Interpreter, libraries and compiled kernels of a rank [B]
_RANK = 250e6

_SYNAPSE = {Form.CONSTANT: 2, Form.DRAWN: 4, Form.EXACT: 6}
_SORT_KEY = 2


def estimated_bytes(network: Network, points: FixedPoint, n_local: int) -> float:
    """Return the memory that a rank with `n_local` neurons needs at most, about [B].

    Parameters
    ----------
    network : Network
        The model.
    points : FixedPoint
        Its weights; they tell how many bytes a synapse takes.
    n_local : int
        Neurons of the rank.
    """
    share = n_local / network.n_neurons
    synapses = sum(
        n_synapses(p) * (_SYNAPSE[points.weights[p.id].form] + _SORT_KEY)
        for p in network.projections
    )
    return _RANK + n_local * _NEURON + share * synapses


def available_bytes() -> float:
    """Return the memory that this process may still take [B]; infinity where nobody knows.

    The smaller of what Linux has available and what the control group allows.
    """
    limits = [_meminfo(), _control_group()]
    return min(limits)


def require_memory(comm: Comm, host: str, needed: float) -> None:
    """Raise `CapacityError` on all ranks unless every host has room for its ranks.

    Parameters
    ----------
    comm : Comm
        The ranks; all of them call this.
    host : str
        Name of this rank's host.
    needed : float
        What this rank needs [B].

    Raises
    ------
    CapacityError
        Naming the host, what is needed and what there is.
    """
    ranks = comm.allgather((host, needed, available_bytes()))
    for name in dict.fromkeys(host for host, _, _ in ranks):
        total = sum(n for h, n, _ in ranks if h == name)
        room = min(a for h, _, a in ranks if h == name)
        if total > room:
            count = sum(h == name for h, _, _ in ranks)
            raise CapacityError(
                f"memory on host {name!r}: {count} ranks need about {total / 1e9:.3g} GB, must be "
                f"below the {room / 1e9:.3g} GB available. "
                "Use more hosts, or a smaller or sparser network."
            )


def _meminfo() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    values = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024.0 * int(values[0]) if values else float("inf")


def _control_group() -> float:
    """Return what the process's control group (version 2) still allows [B]."""
    try:
        entries = Path("/proc/self/cgroup").read_text().splitlines()
        path = next(line.split("::", 1)[1] for line in entries if line.startswith("0::"))
        folder = Path("/sys/fs/cgroup") / path.lstrip("/")
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
    except (OSError, StopIteration, ValueError):
        return float("inf")
    return float("inf") if limit == "max" else float(int(limit) - used)


def peak_bytes() -> int:
    """Return the largest memory this process has had so far [B]."""
    import resource

    scale = 1 if os.uname().sysname == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
