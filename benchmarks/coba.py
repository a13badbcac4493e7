"""The network of Vogels and Abbott with conductances (COBA), simcore beside NEST and Brian 2.

    python benchmarks/coba.py --rounds 3
    python benchmarks/coba.py --rounds 3 --brian2-python brian2/bin/python

4000 neurons, each program with one thread; in each round one after the other. The real-time factor
is time over model time after the build and the first ``--presim`` ms; that of the processor's time
holds where other programs share the cores too, and the ratios are of it. Spikes are counted, not
kept. How many there are differs between the programs, since the network bursts at random, so the
rate stands beside. For simcore the last columns tell which shares of the run, the first ms
included, updates of neurons and synaptic events take.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from common import (
    Layout,
    Row,
    groups,
    machine,
    median,
    run_peer,
    run_simcore,
    spread,
    table,
    why_missing,
    write_json,
)

PEERS = {"nest": "NEST", "brian2": "Brian 2"}
HEADER = (
    "simulator", "build [s]", "RTF", "min..max", "RTF of CPU time", "ratio", "rate [1/s]",
    "update", "deliver",
)  # fmt: skip


def simcore_row(options: argparse.Namespace, folder: str) -> Row:
    """Run simcore once."""
    times = ("--presim", options.presim, "--duration", options.duration)
    found = run_simcore("coba", {"seed": options.seed}, folder, Layout(1, 1), *times, "--no-spikes")
    seconds = {phase: values[0] for phase, values in found["times_s"].items()}
    return {
        "simulator": "simcore",
        "build_s": seconds["build"],
        "rtf": found["rtf"],
        "cpu_rtf": found["cpu_rtf"],
        "mean_rate": 1e3 * found["spikes"] / found["neurons"] / found["duration_ms"],
        "update_share": seconds["update"] / seconds["run"],
        "deliver_share": seconds["deliver"] / seconds["run"],
        "phases_s": seconds,
    }


def peer_row(options: argparse.Namespace, peer: str, folder: str) -> Row:
    """Run one of the peers once, see peers/."""
    arguments = ["--seed", options.seed, "--presim", options.presim]
    arguments += ["--duration", options.duration]
    arguments += ["--threads", 1] if peer == "nest" else []
    found = run_peer(getattr(options, f"{peer}_python"), f"coba_{peer}.py", folder, *arguments)
    times = found["times_s"]
    return {
        "simulator": PEERS[peer],
        "build_s": times["build"] if "build" in times else times["create"] + times["connect"],
        "rtf": found["rtf"],
        "cpu_rtf": 1e3 * times["simulate_cpu"] / options.duration,
        "mean_rate": found["mean_rate"],
        "version": found[peer],
        "phases_s": times,
    }


def report(rows: list[Row], missing: dict[str, str]) -> str:
    """Return the medians of the rounds as text, and why peers could not be run."""
    lines = []
    reference = median(groups(rows, "simulator")[0], "cpu_rtf")
    for same in groups(rows, "simulator"):
        cells = [same[0]["simulator"], f"{median(same, 'build_s'):.2f}"]
        cells += [f"{median(same, 'rtf'):.3f}", spread(same, "rtf", 3)]
        cpu = median(same, "cpu_rtf")
        cells += [f"{cpu:.3f}", f"{cpu / reference:.1f}"]
        cells.append(f"{median(same, 'mean_rate'):.1f}")
        for key in ("update_share", "deliver_share"):
            cells.append(f"{median(same, key):.0%}" if key in same[0] else "")
        lines.append(cells)
    empty = ("",) * (len(HEADER) - 2)
    lines += [[PEERS[peer], why, *empty] for peer, why in missing.items()]
    return table(HEADER, lines)


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--presim", type=float, default=200.0, metavar="MS")
    parser.add_argument("--duration", type=float, default=2000.0, metavar="MS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    for peer in PEERS:
        parser.add_argument(f"--{peer}-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def main() -> None:
    """Run the rounds and report."""
    options = parse_arguments()
    reasons = {p: why_missing(getattr(options, f"{p}_python"), p) for p in options.peers}
    missing = {peer: why for peer, why in reasons.items() if why}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        # Compile before anything is measured
        run_simcore("coba", {}, folder, Layout(1, 1), "--presim", 0.0, "--duration", 10.0)
        for _ in range(options.rounds):
            rows.append(simcore_row(options, folder))
            rows += [peer_row(options, p, folder) for p in options.peers if p not in missing]
    write_json(options.json, rows, missing={PEERS[peer]: why for peer, why in missing.items()})
    print(machine())
    print(report(rows, missing))


if __name__ == "__main__":
    main()
