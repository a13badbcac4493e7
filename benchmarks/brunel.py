"""Brunel's network on this machine: beside NEST, and simcore alone from small to large.

    python benchmarks/brunel.py --synapses 1e7 --ranks 1 2 --rounds 3
    python benchmarks/brunel.py --synapses 1e7 1e8 1e9 --ranks 2

Delta synapses with constant weights and a delay of 1.5 ms; every neuron has 800 excitatory and 200
inhibitory inputs and Poisson input of 20 kHz, and is reset to 10 mV, so that the rate is the same
at any size, 43 /s.
Spikes are counted, not kept. The real-time factor leaves out the build and the first ``--presim``
ms. What a rank needs for one of each, time of all ranks over the number:

build       ns per synapse built
event       ns of delivery per synaptic event, a spike times its synapses
update      ns per neuron and step, with its Poisson input
"""

import argparse
import sys
import tempfile
from pathlib import Path

from common import (
    Layout,
    Row,
    compile_kernels,
    groups,
    layout,
    machine,
    median,
    n_cores,
    run_peer,
    run_simcore,
    spread,
    table,
    why_missing,
    write_json,
)

# Inputs of each neuron, reset [mV] as in the paper, and the time step [ms]
INDEGREE, V_RESET, DT = 1000, 10.0, 0.1

HEADER = (
    "simulator", "synapses", "cores", "build [s]", "RTF", "min..max", "rate [1/s]",
    "build [ns]", "event [ns]", "update [ns]", "B/synapse", "memory [GB]",
)  # fmt: skip
COSTS = ("build_ns", "event_ns", "update_ns", "bytes_per_synapse")


def simcore_row(options: argparse.Namespace, synapses: int, shape: Layout, folder: str) -> Row:
    """Run simcore once."""
    n_neurons = synapses // INDEGREE
    parameters = {
        "order": n_neurons // 5,
        "epsilon": INDEGREE / n_neurons,
        "V_reset": V_RESET,
        "seed": options.seed,
    }
    times = ("--presim", options.presim, "--duration", options.duration)
    found = run_simcore("brunel", parameters, folder, shape, *times, "--no-spikes")
    seconds = found["times_s"]
    events = found["spikes"] * found["synapses"] / found["neurons"]
    updates = found["neurons"] * found["duration_ms"] / DT
    return {
        "simulator": shape.simulator,
        "cores": shape.cores,
        "synapses": found["synapses"],
        "neurons": found["neurons"],
        "build_s": max(seconds["build"]),
        "rtf": found["rtf"],
        "mean_rate": 1e3 * found["spikes"] / found["neurons"] / found["duration_ms"],
        "build_ns": 1e9 * shape.threads * sum(seconds["build"]) / found["synapses"],
        "event_ns": 1e9 * shape.threads * sum(seconds["deliver"]) / max(events, 1.0),
        "update_ns": 1e9 * shape.threads * sum(seconds["update"]) / updates,
        "bytes_per_synapse": found["synapse_bytes"] / found["synapses"],
        "memory_gb": found["peak_gb"],
        "phases_s": {phase: max(values) for phase, values in seconds.items()},
    }


def nest_row(options: argparse.Namespace, synapses: int, folder: str) -> Row:
    """Run NEST once, see peers/brunel_nest.py."""
    arguments = ["--order", synapses // INDEGREE // 5, "--inputs", INDEGREE]
    arguments += ["--v-reset", V_RESET]
    arguments += ["--seed", options.seed, "--threads", n_cores()]
    arguments += ["--presim", options.presim, "--duration", options.duration]
    found = run_peer(options.nest_python, "brunel_nest.py", folder, *arguments)
    return {
        "simulator": "NEST",
        "cores": n_cores(),
        "synapses": found["synapses"],
        "neurons": found["neurons"],
        "build_s": found["times_s"]["create"] + found["times_s"]["connect"],
        "rtf": found["rtf"],
        "mean_rate": found["mean_rate"],
        "memory_gb": found["peak_rss_gb"],
        "version": found["nest"],
        "phases_s": found["times_s"],
    }


def report(rows: list[Row], notes: list[tuple[int, str]]) -> str:
    """Return the medians of the rounds as text; `notes` tell why NEST was left out."""
    lines = []
    for same in groups(rows, "synapses", "simulator", "cores"):
        first = same[0]
        cells = [first["simulator"], f"{first['synapses']:.0e}", str(first["cores"])]
        cells += [f"{median(same, 'build_s'):.2f}", f"{median(same, 'rtf'):.2f}"]
        cells += [spread(same, "rtf"), f"{median(same, 'mean_rate'):.1f}"]
        cells += [f"{median(same, key):.2f}" if key in first else "" for key in COSTS]
        lines.append((*cells, f"{median(same, 'memory_gb'):.2f}"))
    empty = ("",) * (len(HEADER) - 4)
    lines += [("NEST", f"{synapses:.0e}", "", why, *empty) for synapses, why in notes]
    return table(HEADER, lines)


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--synapses", type=float, nargs="+", default=[1e7], metavar="N")
    parser.add_argument(
        "--ranks", type=layout, nargs="+", default=[Layout(1, 1), Layout(2, 1)],
        metavar="N", help="ranks, or ranks and threads of each as in 1x2",
    )  # fmt: skip
    parser.add_argument("--presim", type=float, default=100.0, metavar="MS")
    parser.add_argument("--duration", type=float, default=1000.0, metavar="MS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers", nargs="*", choices=("nest",), default=["nest"])
    parser.add_argument("--nest-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument(
        "--nest-limit", type=float, default=2e7, metavar="N", help="most synapses given to NEST"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    options.synapses = [round(n) for n in options.synapses]
    unit = 5 * INDEGREE
    if any(n % unit or n < INDEGREE**2 for n in options.synapses):
        parser.error(f"--synapses: multiples of {unit}, at least {INDEGREE**2}")
    return options


def nest_notes(options: argparse.Namespace) -> list[tuple[int, str]]:
    """Return the sizes without NEST, and why."""
    if "nest" not in options.peers:
        return []
    why = why_missing(options.nest_python, "nest")
    if why:
        return [(n, why) for n in options.synapses]
    return [(n, "left out") for n in options.synapses if n > options.nest_limit]


def main() -> None:
    """Run the rounds and report."""
    options = parse_arguments()
    notes = nest_notes(options)
    without = {n for n, _ in notes} if options.peers else set(options.synapses)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        compile_kernels(folder)
        for synapses in options.synapses:
            for _ in range(options.rounds):
                rows += [simcore_row(options, synapses, n, folder) for n in options.ranks]
                if synapses not in without:
                    rows.append(nest_row(options, synapses, folder))
    write_json(options.json, rows, without_nest=dict(notes))
    print(machine())
    print(report(rows, notes))


if __name__ == "__main__":
    main()
