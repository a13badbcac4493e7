"""The cortical microcircuit on this machine, beside other simulators in the same run.

    python benchmarks/microcircuit.py --ranks 1 2 --drive dc
    python benchmarks/microcircuit.py --ranks 1 2 --scale 0.5 --rounds 3 --peers genn brian2 \\
        --genn-python genn/bin/python --brian2-python brian2/bin/python

Each round runs every simulator once, one after the other, so that their ratio holds even where the
machine is shared. Prints a table of medians and writes JSON. Each peer runs in the Python given
for it, by default this one; one that is not installed there, fails, or needs more memory than there
is, is listed as such.

The real-time factor is wall-clock time over model time after the build and after the first
``--presim`` ms, for all. simcore keeps all spikes in a file meanwhile, the peers only count them.
The build leaves out what Brian 2 and GeNN take to generate and compile code, and simcore's
compilation, which is kept from run to run. Memory is the peak of all processes, for Brian 2 of the
compiled program alone. The last columns tell whether all simulate the same network: the mean rate,
and the largest deviation of a population's rate from the first row's, a few percent at half the
network over one second.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from common import (
    Layout,
    Row,
    RunFailed,
    available_memory,
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

PEERS = {"nest": "NEST", "brian2": "Brian 2", "genn": "GeNN"}
MODULES = {"nest": "nest", "brian2": "brian2", "genn": "pygenn"}

# Synapses of the full network, and how many a thread of NEST can number
SYNAPSES, NEST_LIMIT = 298_880_968, 2**27

# Memory of a synapse [B], to leave out what this machine cannot hold
SYNAPSE_BYTES = {"nest": 42, "brian2": 36, "genn": 11}

HEADER = (
    "simulator", "cores", "build [s]", "RTF", "min..max", "ratio", "memory [GB]",
    "rate [1/s]", "off by",
)  # fmt: skip


def simcore_row(options: argparse.Namespace, shape: Layout, folder: str) -> Row:
    """Run simcore once."""
    parameters = {
        "N_scaling": options.scale,
        "K_scaling": options.scale,
        "drive": options.drive,
        "seed": options.seed,
    }
    times = ("--presim", options.presim, "--duration", options.duration)
    record = ("--record-from", options.presim)
    found = run_simcore("microcircuit", parameters, folder, shape, *times, *record)
    phases = {phase: max(seconds) for phase, seconds in found["times_s"].items()}
    return {
        "simulator": shape.simulator,
        "cores": shape.cores,
        "build_s": phases["build"],
        "rtf": found["rtf"],
        "memory_gb": found["peak_gb"],
        "bytes_per_synapse": found["synapse_bytes"] / found["synapses"],
        "synapses": found["synapses"],
        "mean_rate": 1e3 * found["spikes"] / found["neurons"] / options.duration,
        "rates": found["rates"],
        # Of the whole run, the first milliseconds too
        "phases_s": phases,
    }


def nest_threads(scale: float) -> int:
    """Return the threads for NEST: the cores, or a multiple where a thread holds too little."""
    threads = n_cores()
    while SYNAPSES * scale**2 >= NEST_LIMIT * threads:
        threads += n_cores()
    return threads


def peer_row(options: argparse.Namespace, peer: str, threads: int, folder: str) -> Row:
    """Run one of the peers once, see peers/."""
    python = getattr(options, f"{peer}_python")
    duration = options.nest_duration if peer == "nest" else options.duration
    arguments = ["--n-scaling", options.scale, "--k-scaling", options.scale]
    arguments += ["--drive", options.drive, "--seed", options.seed]
    arguments += ["--presim", options.presim, "--duration", duration]
    arguments += [] if peer == "genn" else ["--threads", threads]
    found = run_peer(python, f"microcircuit_{peer}.py", folder, *arguments)
    times = found["times_s"]
    return {
        "simulator": PEERS[peer],
        "cores": min(threads, n_cores()),
        "build_s": times["build"] if "build" in times else times["create"] + times["connect"],
        "rtf": found["rtf"],
        "memory_gb": found["peak_rss_gb"],
        "version": found[MODULES[peer]],
        "synapses": found["synapses"],
        "mean_rate": found["mean_rate"],
        "rates": found.get("rates"),
        "phases_s": times,
    }


def why_not(options: argparse.Namespace, peer: str) -> str:
    """Return why a peer cannot be run, empty if it can."""
    needed = SYNAPSES * options.scale**2 * SYNAPSE_BYTES[peer] / 1e9
    if needed > available_memory():
        return f"needs {needed:.0f} GB"
    return why_missing(getattr(options, f"{peer}_python"), MODULES[peer])


def jobs(options: argparse.Namespace) -> list[tuple[str, int]]:
    """Return each peer and its threads."""
    threads = {
        "nest": [nest_threads(options.scale)],
        "brian2": options.brian2_threads,
        "genn": [1],
    }
    return [(peer, n) for peer in options.peers for n in threads[peer]]


def deviation(row: Row, reference: Row) -> str:
    """Return by how much the rate of a population differs from the reference at most, as text."""
    if not row["rates"]:
        return ""
    known = {name: rate for name, rate in reference["rates"].items() if rate > 0.0}
    largest = max((abs(row["rates"][name] / rate - 1.0) for name, rate in known.items()), default=0)
    return f"{largest:.1%}"


def report(rows: list[Row], missing: dict[str, str]) -> str:
    """Return the medians of the rounds as text, and why peers could not be run."""
    kinds = groups(rows, "simulator", "cores")
    first = kinds[0][0]
    reference = median(kinds[0], "rtf")
    lines = []
    for same in kinds:
        row = same[0]
        build, rtf, memory = (median(same, key) for key in ("build_s", "rtf", "memory_gb"))
        cells = [row["simulator"], str(row["cores"]), f"{build:.1f}", f"{rtf:.2f}"]
        cells += [spread(same, "rtf"), f"{rtf / reference:.2f}", f"{memory:.2f}"]
        lines.append((*cells, f"{row['mean_rate']:.2f}", deviation(row, first)))
    empty = ("",) * (len(HEADER) - 3)
    lines += [(PEERS[peer], "", why, *empty) for peer, why in missing.items()]
    return table(HEADER, lines)


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--ranks", type=layout, nargs="+", default=[Layout(2, 1)],
        metavar="N", help="ranks, or ranks and threads of each as in 1x2",
    )  # fmt: skip
    parser.add_argument("--drive", choices=("dc", "poisson"), default="dc")
    parser.add_argument("--scale", type=float, default=1.0, help="share of neurons and synapses")
    parser.add_argument("--presim", type=float, default=100.0, metavar="MS")
    parser.add_argument("--duration", type=float, default=1000.0, metavar="MS")
    parser.add_argument("--nest-duration", type=float, default=200.0, metavar="MS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--no-nest", action="store_true", help="leave NEST out of the peers")
    parser.add_argument("--nest-python", "--nest", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--brian2-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--genn-python", default=sys.executable, metavar="PYTHON")
    threads = sorted({1, n_cores()})
    parser.add_argument("--brian2-threads", type=int, nargs="+", default=threads, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    options.peers = [p for p in options.peers if not (p == "nest" and options.no_nest)]
    return options


def run_round(options: argparse.Namespace, folder: str, missing: dict[str, str]) -> list[Row]:
    """Run every simulator once; a peer that fails is added to `missing`, and not tried again."""
    rows = [simcore_row(options, ranks, folder) for ranks in options.ranks]
    for peer, threads in jobs(options):
        if peer in missing:
            continue
        try:
            rows.append(peer_row(options, peer, threads, folder))
        except RunFailed as error:
            print(error, file=sys.stderr)
            missing[peer] = "failed"
    return rows


def main() -> None:
    """Run the rounds and report."""
    options = parse_arguments()
    reasons = {peer: why_not(options, peer) for peer in options.peers}
    missing = {peer: why for peer, why in reasons.items() if why}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        compile_kernels(folder)
        for _ in range(options.rounds):
            rows += run_round(options, folder, missing)
    write_json(options.json, rows, missing={PEERS[peer]: why for peer, why in missing.items()})
    print(machine())
    print(report(rows, missing))


if __name__ == "__main__":
    main()
