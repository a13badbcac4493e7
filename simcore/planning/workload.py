"""What ranks have to do in a second of model time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.errors import ConfigError, require
from simcore.work import COUNTS

if TYPE_CHECKING:
    from simcore.io.reader import Run


@dataclass(frozen=True)
class Workload:
    """What the ranks of a run have to do, each in a second of model time.

    Where many ranks have equal loads, one entry may stand for all of them.

    Parameters
    ----------
    n_ranks, threads : int
        Ranks in all, and threads of each.
    n_neurons, n_synapses : ndarray of float64, shape (n,)
        What each rank owns.
    steps : float
        Steps in a second.
    updates : ndarray of float64, shape (n,)
        Updates of neurons.
    draws : ndarray of float64, shape (n,)
        Poisson numbers drawn.
    events : ndarray of float64, shape (n,)
        Synapses that deliver a spike.
    runs : ndarray of float64, shape (n,)
        Runs of these synapses, see `simcore.shard.SynapseTable`.
    lookups : ndarray of float64, shape (n,)
        Rows looked for: spikes of the whole network times blocks of targets.
    sent, received : ndarray of float64, shape (n,)
        Spikes of its own neurons, and those of the other ranks that reach it.
    meetings : float
        Exchanges between ranks.
    epochs : float
        Calls of the backend.
    recorded : float
        What all ranks together add to the file [B].
    """

    n_ranks: int
    threads: int
    n_neurons: NDArray[np.float64]
    n_synapses: NDArray[np.float64]
    steps: float
    updates: NDArray[np.float64]
    draws: NDArray[np.float64]
    events: NDArray[np.float64]
    runs: NDArray[np.float64]
    lookups: NDArray[np.float64]
    sent: NDArray[np.float64]
    received: NDArray[np.float64]
    meetings: float
    epochs: float
    recorded: float

    @classmethod
    def of(cls, run: Run) -> Workload:
        """Return what the ranks of a complete run did, from its file.

        Raises
        ------
        ConfigError
            When the run is not complete, or the file does not tell.
        """
        subject = f"run {run.path!r}"
        done = run.status == "complete" and run.timed > 0.0
        require(done, f"{subject}: status", run.status, "complete", error=ConfigError)
        missing = [name for name in COUNTS if name not in run.shards]
        if missing:
            raise ConfigError(
                f"{subject}: its file does not tell {', '.join(missing)}, the work of the ranks. "
                "It is of an older version of simcore: run it again."
            )
        seconds = run.timed / 1e3
        counts = {name: run.shards[name] / seconds for name in COUNTS}
        return cls(
            n_ranks=run.n_ranks,
            threads=int(run.session.get("threads", 1)),
            n_neurons=run.shards["n_neurons"].astype(np.float64),
            n_synapses=run.shards["n_synapses"].astype(np.float64),
            steps=1e3 / run.dt,
            meetings=float(counts.pop("meetings").max()),
            epochs=float(counts.pop("epochs").max()),
            recorded=float(counts.pop("recorded").sum()),
            **counts,
        )
