"""Plans beside measurements: memory, synapses and time of the microcircuit and of Brunel's network.

    python benchmarks/plan.py
    python benchmarks/plan.py --scale 0.3 --synapses 1e7 --ranks 1 2

Every network runs on each number of ranks, and at half its size on those that have a core each.
The plan of a run takes its rates from it, and its costs from all runs with a core for each rank
but those of the same network at the same size and number of ranks; so the time it predicts is of
a run that it has not seen. Of several rounds the fastest run counts. Where there are more ranks
than cores, they take turns, and time means nothing: such a run is short, and for its time rank 1
is rehearsed, alone on a core.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import Layout, Row, compile_kernels, machine, n_cores, run_simcore, table, write_json

from simcore.cli.modelfile import find_model
from simcore.io import open_run
from simcore.io.reader import Run
from simcore.planning import CostModel, Planner, Setup, choose_rates

INDEGREE = 1000

# Length of a run in which ranks take turns [ms]
CROWDED = 20.0

HEADER = (
    "network", "ranks", "synapses", "sigma", "memory [GB]", "planned", "ratio",
    "RTF", "predicted", "ratio",
)  # fmt: skip


def networks(options: argparse.Namespace, share: float) -> dict[str, tuple[str, Row]]:
    """Return model and parameters by name, at a share of their size."""
    n = round(options.synapses * share / INDEGREE)
    scale = options.scale * share
    return {
        "microcircuit": ("microcircuit", {"drive": "dc", "N_scaling": scale, "K_scaling": scale}),
        "brunel": ("brunel", {"order": n // 5, "epsilon": INDEGREE / n, "V_reset": 10.0}),
    }


def run_all(options: argparse.Namespace, folder: str) -> list[Row]:
    """Run everything, and keep the fastest run of each kind."""
    wanted = [(share, n) for share in (1.0, 0.5) for n in options.ranks]
    wanted = [(share, n) for share, n in wanted if share == 1.0 or n <= n_cores()]
    rows: dict[tuple[str, float, int], Row] = {}
    for number in range(options.rounds):
        for share, n in wanted:
            for name, (model, parameters) in networks(options, share).items():
                own = Path(folder) / f"{name}-{share}-{n}-{number}"
                own.mkdir()
                duration = options.duration if n <= n_cores() else CROWDED
                times = ("--duration", duration, "--presim", 0.0)
                found = run_simcore(model, parameters, str(own), Layout(n, 1), *times)
                run = str(own / f"simcore-{n}x1.h5")
                row = {"network": name, "share": share, "ranks": n, "rtf": found["rtf"]}
                row |= {"model": model, "parameters": parameters, "run": run}
                known = rows.get((name, share, n))
                if known is None or row["rtf"] < known["rtf"]:
                    rows[name, share, n] = row
    return list(rows.values())


def compare(row: Row, rows: list[Row]) -> Row:
    """Return what was planned for a run beside what was measured."""
    run = open_run(row["run"])
    same = ("network", "share", "ranks")
    others = [open_run(r["run"]) for r in rows if r["ranks"] <= n_cores()
              and any(r[key] != row[key] for key in same)]  # fmt: skip
    network = find_model(row["model"]).network(row["parameters"])
    rates = choose_rates(network, run.duration, {}, {"the run": dict(run.rates())})
    crowded = row["ranks"] > n_cores()
    planner = Planner(network, rates, costs=CostModel.fit(others))
    plan = planner(Setup(row["ranks"], duration=run.duration))
    expected = [planner.of_rank(plan.setup, r) for r in range(row["ranks"])]
    peaks = np.array([e.peak for e in expected])
    synapses = np.array([e.workload.n_synapses[0] for e in expected])
    measured = run.shards["peak_bytes"]
    return {
        **{key: row[key] for key in (*same, "model", "parameters")},
        "rtf": factor(run),
        "synapses": run.shards["n_synapses"].tolist(),
        "synapses_planned": synapses.tolist(),
        "sigma": float(
            np.abs(run.shards["n_synapses"] - synapses).max() / math.sqrt(max(synapses))
        ),
        "peak_bytes": measured.tolist(),
        "peak_bytes_planned": peaks.tolist(),
        "memory_ratio": max((peaks / measured).tolist(), key=lambda x: abs(math.log(x))),
        "rtf_predicted": plan.time.real_time_factor,
        "time_ratio": None if crowded else plan.time.real_time_factor / factor(run),
        "phases": {k: run.timers[k].tolist() for k in run.timers},
        "phases_predicted": {k: float(v.max()) for k, v in plan.time.phases.items()},
        "extrapolated": plan.time.extrapolated,
        "rehearsal": rehearsal(row, others) if crowded else None,
    }


def factor(run: Run) -> float:
    """Return the real-time factor of a run."""
    return 1e3 * float(run.timers["run"].max()) / run.timed


def rehearsal(row: Row, others: list[Run]) -> Row:
    """Rehearse a rank in a process of its own; return the time of its own work."""
    given = [f"--set={k}={json.dumps(v)}" for k, v in row["parameters"].items()]
    runs = [row["run"], *(run.path for run in others)]
    command = [
        sys.executable,
        "-m",
        "simcore",
        "plan",
        row["model"],
        *given,
        "--json",
        "--rehearse",
    ]
    command += ["1", "--backend", "cpu", "--ranks", str(row["ranks"]), "--from", *runs[1:]]
    rates = open_run(row["run"]).rates()
    command += [f"--rate={name}={rate}" for name, rate in rates.items()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    phases = found["time"]["phases_s_per_s"]
    return {
        "measured": sum(found["rehearsal"]["phases_s_per_s"].values()),
        "predicted": phases["update"] + phases["deliver"],
    }


def time_cells(row: Row) -> tuple[str, str, str]:
    """Return time, prediction and ratio as text; nothing where ranks took turns."""
    if row["time_ratio"] is None:
        return "", "", ""
    return f"{row['rtf']:.3f}", f"{row['rtf_predicted']:.3f}", f"{row['time_ratio']:.2f}"


def report(rows: list[Row]) -> str:
    """Return the comparison as text."""
    lines = []
    for r in rows:
        name = r["network"] if r["share"] == 1.0 else f"{r['network']}, half"
        worst = int(np.argmax(r["peak_bytes"]))
        lines.append(
            (
                name, str(r["ranks"]), f"{sum(r['synapses']):.4g}", f"{r['sigma']:.1f}",
                f"{r['peak_bytes'][worst] / 1e9:.3f}",
                f"{r['peak_bytes_planned'][worst] / 1e9:.3f}", f"{r['memory_ratio']:.2f}",
                *time_cells(r),
            )
        )  # fmt: skip
    texts = [table(HEADER, lines)]
    texts += [
        f"{r['network']}, rank 1 of {r['ranks']} alone: update and deliver "
        f"{r['rehearsal']['measured']:.3f} s in a second of model time, predicted "
        f"{r['rehearsal']['predicted']:.3f}, ratio "
        f"{r['rehearsal']['predicted'] / r['rehearsal']['measured']:.2f}"
        for r in rows
        if r["rehearsal"]
    ]
    return "\n".join(texts)


def main() -> None:
    """Run, plan, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the microcircuit")
    parser.add_argument("--synapses", type=float, default=1e8, help="of Brunel's network")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--duration", type=float, default=1000.0, metavar="MS")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        compile_kernels(folder)
        rows = run_all(options, folder)
        found = [compare(row, rows) for row in rows]
    write_json(options.json, found, rounds=options.rounds)
    print(machine())
    print(report(found))


if __name__ == "__main__":
    main()
