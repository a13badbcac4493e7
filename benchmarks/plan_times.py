"""Predicted times beside those that other benchmarks measured on a quiet machine.

    python benchmarks/plan_times.py

Nothing runs. The timers are those kept in results/ by microcircuit.py and brunel.py: the longest of
all ranks for each phase; medians of the rounds. The work of a run is that of its plan. The costs
for a run are fitted to all runs but those of the same network and size on the same ranks; the last
column is for costs that are fitted to the same network and size on other ranks and threads alone.
"""

import argparse
import json
import statistics
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from common import HERE, Row, groups, layout, table, write_json

from simcore.cli.modelfile import find_model
from simcore.planning import CostModel, Planner, Rates, Setup
from simcore.planning.workload import Workload
from simcore.simulation.work_counts import COUNTS

# Files, parameters of the microcircuit, and model time of the timers [ms]
FILES = {
    "microcircuit_dc": ({"drive": "dc"}, 1100.0),
    "microcircuit_poisson": ({"drive": "poisson"}, 1100.0),
    "microcircuit_half_dc": ({"drive": "dc", "N_scaling": 0.5, "K_scaling": 0.5}, 1100.0),
    "microcircuit_half_poisson": ({"drive": "poisson", "N_scaling": 0.5, "K_scaling": 0.5}, 1100.0),
    "brunel": ({}, 1100.0),
    "brunel_sizes": ({}, 600.0),
}

HEADER = ("network", "synapses", "ranks", "RTF", "predicted", "ratio", "ratio, own network")


def kept() -> list[SimpleNamespace]:
    """Return the runs that were kept, as the cost model takes them."""
    runs = []
    for file, (parameters, timed) in FILES.items():
        rows = json.loads((HERE / "results" / f"{file}.json").read_text())["rows"]
        own = [row for row in rows if row["simulator"].startswith("simcore")]
        runs += [
            run_of(file, same, parameters, timed) for same in groups(own, "simulator", "synapses")
        ]
    return runs


def run_of(file: str, rows: list[Row], parameters: Row, timed: float) -> SimpleNamespace:
    """Return some equal runs as one."""
    first, name = rows[0], file.split("_")[0]
    words = first["simulator"].split()
    shape = layout("1")
    if len(words) > 1:
        shape = layout(words[1] if words[2].startswith("rank") else f"1x{words[1]}")
    if name == "brunel":
        n = first["synapses"] // 1000
        parameters = {"order": n // 5, "epsilon": 1000 / n, "V_reset": 10.0}
    model = find_model(name)
    network = model.network(parameters)
    if name == "brunel":
        network.records.clear()
    setup = Setup(shape.ranks, shape.threads, duration=timed, backend="cpu")
    load = Planner(network, rates_of(first, network))(setup)
    seconds = timed / 1e3
    run = SimpleNamespace(
        path=f"{file}, {first['synapses']:.3g} synapses, {shape.ranks}x{shape.threads}",
        network=f"{name}, {parameters['drive']}" if "drive" in parameters else name,
        synapses=first["synapses"], shape=shape, status="complete", timed=timed, dt=0.1,
        n_ranks=shape.ranks, session={"threads": shape.threads, "arithmetic": "cpu"},
    )  # fmt: skip
    run.timers = {
        phase: np.full(shape.ranks, statistics.median(row["phases_s"][phase] for row in rows))
        for phase in first["phases_s"]
    }
    run.shards = {
        name: np.broadcast_to(getattr(load.workload, name), shape.ranks) * seconds
        for name in COUNTS
    }
    run.shards["recorded"] = run.shards["recorded"] / shape.ranks
    run.shards["n_neurons"] = np.full(shape.ranks, load.neurons.mean)
    run.shards["n_synapses"] = np.full(shape.ranks, load.synapses.mean)
    return run


def rates_of(row: Row, network) -> Rates:
    """Return the rates that were measured, or the mean for all populations."""
    found = row.get("rates") or {}
    names = [p.name for p in network.populations]
    values = [found.get(name, row["mean_rate"]) for name in names]
    return Rates(np.array(values, dtype=float), "the run")


def ratio(run: SimpleNamespace, others: list[SimpleNamespace]) -> tuple[float, float]:
    """Return the predicted real-time factor, and that over the one measured."""
    found = CostModel.fit(others).predict(Workload.of(run)).real_time_factor
    return found, found / (1e3 * float(run.timers["run"].max()) / run.timed)


def main() -> None:
    """Predict and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()

    runs, rows, lines = kept(), [], []
    for run in runs:
        key = run.network, run.synapses
        others = [r for r in runs if (r.network, r.synapses, r.shape) != (*key, run.shape)]
        same = [r for r in others if (r.network, r.synapses) == key]
        predicted, close = ratio(run, others)
        measured = predicted / close
        row = {"run": run.path, "measured": measured, "predicted": predicted, "ratio": close}
        row["ratio_from_other_ranks_alone"] = ratio(run, same)[1] if same else None
        rows.append(row)
        alone = row["ratio_from_other_ranks_alone"]
        shape = f"{run.shape.ranks}" if run.shape.threads == 1 else f"1 x {run.shape.threads}"
        lines.append(
            (run.network, f"{run.synapses:.3g}", shape, f"{measured:.3f}", f"{predicted:.3f}",
             f"{close:.2f}", f"{alone:.2f}" if alone else "")
        )  # fmt: skip
    write_json(options.json, rows)
    print(table(HEADER, lines))


if __name__ == "__main__":
    main()
