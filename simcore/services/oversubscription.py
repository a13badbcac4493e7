"""More ranks and threads than cores: a job that is many times slower says why."""

from __future__ import annotations

import os
import platform
import warnings

from simcore.services.comm import Comm
from simcore.services.launcher import n_cores
from simcore.services.progress import Progress

# One process: node, process id, threads, and its cores as bits
Process = tuple[str, int, int, int]


def warn_of_oversubscription(comm: Comm, threads: int, progress: Progress) -> None:
    """Say once, on rank 0, that a node has more ranks and threads than cores; collective.

    Parameters
    ----------
    comm : Comm
        The ranks.
    threads : int
        Threads of this rank.
    progress : Progress
        Where to say it.
    """
    found = comm.gather((platform.node(), os.getpid(), int(threads), _cores()))
    text = "" if found is None else crowd(found)
    if text and progress.enabled:
        progress.message(text)
    elif text:
        warnings.warn(text, RuntimeWarning, stacklevel=2)


def crowd(processes: list[Process]) -> str:
    """Return what to say of the node that has most threads for each of its cores; "" if all fit.

    Parameters
    ----------
    processes : list of (str, int, int, int)
        Node, process id, threads, and cores as bits, of each rank.
    """
    worst, text = 1.0, ""
    # A rehearsal stands for several ranks, but is one process
    alone = set(processes)
    for node in sorted({process[0] for process in alone}):
        here = [process for process in alone if process[0] == node]
        n_threads, n_here = sum(process[2] for process in here), 0
        for process in here:
            n_here |= process[3]
        share = n_threads / max(1, n_here.bit_count())
        if share > worst:
            worst, text = share, _describe(node, len(here), n_threads, n_here.bit_count())
    return text


def _describe(node: str, n_ranks: int, n_threads: int, cores: int) -> str:
    if n_ranks == 1:
        who = f"{n_threads} threads"
    elif n_threads == n_ranks:
        who = f"{n_ranks} ranks"
    else:
        who = f"{n_threads} threads of {n_ranks} ranks"
    where = "1 core" if cores == 1 else f"{cores} cores"
    return (
        f"{who} on {where} of {node}: use fewer. They wait for each other, so a run takes "
        "many times as long"
    )


def _cores() -> int:
    """Return the cores that this process may use, a bit for each."""
    try:
        return sum(1 << core for core in os.sched_getaffinity(0))
    except AttributeError:
        return (1 << n_cores()) - 1
