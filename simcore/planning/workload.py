"""What ranks have to do in a second of model time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simcore.description.rates import windows
from simcore.estimates.expected_synapses import Expectation, TableCounts
from simcore.estimates.gpu_memory import device_tables
from simcore.io.access import blaming
from simcore.numerics.clock import Clock
from simcore.planning.files import file_sizes
from simcore.planning.ranks import Ranks
from simcore.planning.rates import Rates, on_share, segment_rates
from simcore.services.errors import ConfigError, require
from simcore.shards.local_neurons import Lids
from simcore.simulation.work_counts import COUNTS, poisson_processes

if TYPE_CHECKING:
    from simcore.io.reader import Run


# Model time between two looks at a run, which end an epoch, also where a device stops for it [s]
CHECK, DEVICE_CHECK = 0.02, 1.0


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
        Runs of these synapses, see `simcore.shards.shard.SynapseTable`.
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
        threads = run.session.get("threads", 1)
        alike = not isinstance(threads, list)
        valid = "the same number for all ranks"
        require(alike, f"{subject}: threads", threads, valid, error=ConfigError)
        seconds = run.timed / 1e3
        with blaming(run.path):
            counts = {name: run.shards[name] / seconds for name in COUNTS}
            return cls(
                n_ranks=run.n_ranks,
                threads=int(threads),
                n_neurons=run.shards["n_neurons"].astype(np.float64),
                n_synapses=run.shards["n_synapses"].astype(np.float64),
                steps=1e3 / run.dt,
                meetings=float(counts.pop("meetings").max()),
                epochs=float(counts.pop("epochs").max()),
                recorded=float(counts.pop("recorded").sum()),
                **counts,
            )


def expected_workload(
    expectation: Expectation, ranks: Ranks, chosen: NDArray[np.int64], rates: Rates, epoch: int
) -> Workload:
    """Return what some ranks have to do in a second of model time.

    Parameters
    ----------
    expectation : Expectation
        What is expected of the network.
    ranks : Ranks
        What every rank owns.
    chosen : ndarray of int64, shape (n,)
        Which ranks.
    rates : Rates
        How often neurons spike.
    epoch : int
        Steps between two exchanges.
    """
    network, setup = expectation.network, ranks.setup
    steps = 1e3 / setup.dt
    emitted = segment_rates(expectation, rates)
    spikes = float(emitted @ expectation.sizes)
    delivery = np.zeros((chosen.size, 3))
    for i, rank in enumerate(chosen):
        for shard in ranks.shards(int(rank)):
            for table, runs in _tables(expectation, shard, setup.backend):
                delivery[i] += emitted @ table.synapses, emitted @ runs, spikes * table.n_blocks
    neurons = np.array([float(p.neuron is not None) for p in network.populations])
    draws = np.zeros(chosen.size)
    for view, process in poisson_processes(network):
        parts = windows(process.rate, process.start, process.stop)
        share = sum(on_share(start, stop, setup.duration) for rate, start, stop in parts if rate)
        draws += ranks.inside(view)[chosen] * steps * share
    sent = ranks.per_neuron(rates.values)[chosen]
    files = file_sizes(network, rates, setup.dt)

    # A run is looked at after whole epochs, each look ends one
    look = DEVICE_CHECK if setup.backend == "cuda" else CHECK
    piece = max(1 if setup.n_ranks == 1 else epoch, int(Clock(setup.dt).nearest(1e3 * look)))
    epochs = steps / piece * -(-piece // epoch)
    return Workload(
        n_ranks=setup.n_ranks,
        threads=setup.threads,
        n_neurons=ranks.n_neurons[chosen].astype(np.float64),
        n_synapses=ranks.n_synapses[chosen],
        steps=steps,
        updates=ranks.per_neuron(neurons)[chosen] * steps,
        draws=draws,
        events=delivery[:, 0],
        runs=delivery[:, 1],
        lookups=delivery[:, 2],
        sent=sent,
        received=spikes - sent,
        meetings=epochs if setup.n_ranks > 1 else 0.0,
        epochs=epochs,
        recorded=files["spikes"] + files["samples"],
    )


def _tables(
    expectation: Expectation, neurons: Lids, backend: str
) -> list[tuple[TableCounts, NDArray[np.float64]]]:
    """Return the tables of a shard, each with its runs; those of a GPU are rows."""
    if backend == "cuda":
        return [(table, table.rows) for table, _ in device_tables(expectation, neurons)]
    return [(table, table.runs) for table in expectation.tables(neurons)]
