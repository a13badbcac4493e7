"""Networks drawn at random, and the memory of their ranks beside the plan.

    python -m tests.faults.memory
    python -m tests.faults.memory --draws 3 17 --parts

Each network is simulated by new processes. Every rank tells the largest memory it ever had, and
what was planned for it with the rates of the run.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import simcore as sc

Row = dict[str, Any]

# How far a plan may be from what was measured, where that is large enough to count [B]
TOLERANCE, COUNTS = 0.1, 200e6

REPOSITORY = Path(__file__).parents[2]

NEURON = sc.LIF(tau_syn=0.5, tau_m=10.0, C_m=250.0, t_ref=2.0, E_L=-65.0, V_th=-50.0, V_reset=-65.0)


@dataclass(frozen=True)
class Draw:
    """A network, and how it is run.

    Parameters
    ----------
    kind : str
        Which of `KINDS`.
    n : int
        Its size.
    rate : float
        Spikes of its sources [1/s].
    dt, duration : float
        Time step, and length of the run [ms].
    ranks : int
        Number of ranks.
    saves : bool
        Whether it writes a checkpoint.
    """

    kind: str
    n: int
    rate: float
    dt: float
    duration: float
    ranks: int
    saves: bool = False


def unconnected(net: sc.Network, draw: Draw) -> None:
    """Sources that spike, and nothing else."""
    net.record(net.population("P", draw.n, sc.PoissonSource(draw.rate)), "spikes")


def driven(net: sc.Network, draw: Draw) -> None:
    """Unconnected neurons with two receptors and a noise of their own."""
    P = net.population("P", draw.n, sc.LIF(tau_syn=(0.5, 2.0), t_ref=2.0))
    net.drive(P, sc.Poisson(8000.0, 200.0))
    net.drive(P, sc.Current(300.0))
    net.record(P, "spikes")


def burst(net: sc.Network, draw: Draw) -> None:
    """Sources that are on for a moment, all of them."""
    middle = draw.duration / 2
    S = net.population("S", draw.n, sc.PoissonSource(draw.rate, middle, middle + 10 * draw.dt))
    P = net.population("P", draw.n, NEURON)
    net.connect(S, P, sc.FixedIndegree(20), weight=1.0, delay=sc.Uniform(draw.dt, 20 * draw.dt))
    net.record([S, P], "spikes")


def hub(net: sc.Network, draw: Draw) -> None:
    """A source with a synapse at every neuron, drawn by source; and some at random."""
    S = net.population("S", 3, sc.PoissonSource(draw.rate))
    P = net.population("P", draw.n, NEURON)
    net.connect(S, P, sc.FixedOutdegree(draw.n), weight=1.0, delay=1.0)
    net.record(P, "spikes")


def hub_to_all(net: sc.Network, draw: Draw) -> None:
    """The same with all pairs."""
    S = net.population("S", 3, sc.PoissonSource(draw.rate))
    P = net.population("P", draw.n, NEURON)
    net.connect(S, P, sc.AllToAll(), weight=sc.Normal(2.0, 0.5), delay=sc.Uniform(1.0, 3.0))
    net.record(P, "spikes")


def sink(net: sc.Network, draw: Draw) -> None:
    """A few targets that hear every source, each once."""
    S = net.population("S", draw.n, sc.PoissonSource(draw.rate))
    P = net.population("P", 3, NEURON)
    net.connect(S, P, sc.FixedIndegree(draw.n // 2, allow_multapses=False), weight=1e-3, delay=1.0)
    net.record(S, "spikes")


def given(net: sc.Network, draw: Draw) -> None:
    """Edges given one by one, with a hub among them."""
    rng = np.random.default_rng(1)
    S = net.population("S", draw.n, sc.PoissonSource(draw.rate))
    P = net.population("P", draw.n, NEURON)
    sources, targets = rng.integers(0, draw.n, (2, 3 * draw.n))
    sources[: draw.n] = 0
    weights, delays = rng.normal(1.0, 0.1, sources.size), rng.uniform(1.0, 3.0, sources.size)
    net.connect(S, P, sc.Edges(sources, targets, weights, delays))
    net.record(P, "spikes")


def projections(net: sc.Network, draw: Draw) -> None:
    """Many populations, each connected to all."""
    k = round(draw.n**0.5)
    all_of_them = [net.population(f"P{i}", 20, NEURON) for i in range(k)]
    delay = sc.Normal(15 * draw.dt, 5 * draw.dt, low=draw.dt)
    net.connect(all_of_them, all_of_them, sc.FixedIndegree(2), weight=1.0, delay=delay)
    net.record(all_of_them, "spikes")


def potentials(net: sc.Network, draw: Draw) -> None:
    """Neurons whose potential is kept in every step."""
    P = net.population("P", draw.n, NEURON)
    net.drive(P, sc.Current(300.0))
    net.record(P, "V_m", interval=draw.dt)


def sparse(net: sc.Network, draw: Draw) -> None:
    """Excitation and inhibition at random, with spread delays."""
    E = net.population("E", draw.n * 4 // 5, NEURON)
    I = net.population("I", draw.n // 5, NEURON)  # noqa: E741
    S = net.population("S", draw.n, sc.PoissonSource(draw.rate))
    delay = sc.Normal(20 * draw.dt, 8 * draw.dt, low=draw.dt)
    net.connect([E, S], [E, I], sc.FixedIndegree(80), weight=sc.Normal(1.0, 0.2), delay=delay)
    net.connect(I, [E, I], sc.FixedIndegree(20), weight=sc.Normal(-4.0, 0.2), delay=10 * draw.dt)
    net.record([E, I, S], "spikes")


KINDS = {
    kind.__name__: kind
    for kind in (unconnected, driven, burst, hub, hub_to_all, sink, given, projections,
                 potentials, sparse)
}  # fmt: skip

# Smallest and largest size of each, for 200 MB to 1 GB on a rank
SIZES = {
    "unconnected": (3e5, 2e6),
    "driven": (3e5, 2e6),
    "burst": (5e4, 3e5),
    "hub": (3e5, 1e6),
    "hub_to_all": (3e5, 1e6),
    "sink": (3e5, 1e6),
    "given": (1e5, 6e5),
    "projections": (1e3, 4e4),
    "potentials": (2e4, 2e5),
    "sparse": (5e4, 4e5),
}


def drawn(number: int) -> Draw:
    """Return the draw of a number, the same every time; all kinds take turns."""
    dice = random.Random(number)
    kind = list(KINDS)[number % len(KINDS)]
    low, high = (math.log(size) for size in SIZES[kind])
    dt = dice.choice([0.1, 0.1, 0.5, 1.0])
    return Draw(
        kind=kind,
        n=round(math.exp(dice.uniform(low, high))),
        rate=dice.choice([5.0, 50.0, 300.0]) if kind != "burst" else 0.2e3 / dt,
        dt=dt,
        duration=dt * dice.choice([60, 200]),
        ranks=dice.choice([1, 1, 2, 3]),
        saves=dice.random() < 0.3,
    )


def network_of(draw: Draw) -> sc.Network:
    """Return the network of a draw."""
    net = sc.Network(seed=1)
    KINDS[draw.kind](net, draw)
    return net


def measure(draw: Draw, folder: Path) -> list[Row]:
    """Run a network in new processes; return what each rank took, and what was planned [B].

    A process that had to compile kernels, which takes memory, is followed by another.
    """
    from tests.conftest import mpiexec, rank_environment

    report = folder / "report.json"
    launcher = [str(mpiexec()), "-n", str(draw.ranks)] if draw.ranks > 1 else []
    modules = ["-m", "mpi4py", "-m"] if draw.ranks > 1 else ["-m"]
    command = [*launcher, sys.executable, *modules, "tests.faults.memory"]
    command += ["--one", json.dumps(vars(draw)), "--report", str(report)]
    rows: list[Row] = []
    while not rows or any(row["compiled"] for row in rows):
        done = subprocess.run(
            command, cwd=REPOSITORY, env=rank_environment(0), capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{draw}: {done.stdout}{done.stderr}")
        rows = json.loads(report.read_text())
    return rows


def run_one(draw: Draw, report: Path) -> None:
    """Run a network on the ranks there are; rank 0 writes what they took."""
    from numba.core import event

    from simcore.services.comm import world
    from simcore.services.memory import peak_bytes

    comm = world()
    compiled = event.RecordingListener()
    event.register("numba:compile", compiled)
    network = network_of(draw)
    run = sc.simulate(
        network, draw.duration, dt=draw.dt, output=report.with_suffix(".h5"), overwrite=True,
        backend="cpu", comm=comm, checkpoint_every=draw.duration if draw.saves else None,
    )  # fmt: skip
    found = comm.gather((peak_bytes(), len(compiled.buffer)))
    if found is None:
        return
    from simcore.planning import Planner, Setup, choose_rates

    rates = choose_rates(network, draw.duration, {}, {"the run": dict(run.rates())})
    planner = Planner(network, rates, draw.dt)
    setup = Setup(draw.ranks, 1, draw.dt, draw.duration, "cpu")
    plans = [planner.of_rank(setup, rank) for rank in range(draw.ranks)]
    rows = [
        {
            "measured": peak,
            "compiled": bool(n_compiled),
            "planned": plan.peak,
            "parts": {**plan.memory, "recording": plan.recording},
        }
        for (peak, n_compiled), plan in zip(found, plans, strict=True)
    ]
    report.write_text(json.dumps(rows))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, nargs="+", default=list(range(30)), metavar="N")
    parser.add_argument("--parts", action="store_true", help="show what takes the memory [MB]")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(Draw(**json.loads(options.one)), options.report)
        return
    print(f"{'kind':12} {'size':>8} {'rate':>6} {'dt':>4} ranks  measured [MB]  planned  ratio")
    far = 0
    for number in options.draws:
        draw = drawn(number)
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(draw, Path(folder))
        for rank, row in enumerate(rows):
            ratio = row["planned"] / row["measured"]
            wrong = row["measured"] > COUNTS and abs(ratio - 1.0) > TOLERANCE
            far += wrong
            print(
                f"{draw.kind:12} {draw.n:8} {draw.rate:6g} {draw.dt:4g} {rank}/{draw.ranks} "
                f"{'saves' if draw.saves else '     '} {row['measured'] / 1e6:12.0f} "
                f"{row['planned'] / 1e6:8.0f} {ratio:6.2f}{' far' if wrong else ''}",
                flush=True,
            )
            if options.parts:
                print({k: round(v / 1e6, 1) for k, v in row["parts"].items() if v >= 1e5})
    print(f"{far} ranks are farther than {TOLERANCE:.0%} from their plan")
    sys.exit(far > 0)


if __name__ == "__main__":
    main()
