"""What recording and checkpoints cost, on the cortical microcircuit.

    python benchmarks/reliability.py --ranks 2 --duration 10000 --rounds 3

Each round runs the same simulation with less and less: with spikes and checkpoints, with spikes
only, and with neither. Two figures are given, because runs on a shared machine differ by more than
what is to be measured: the share of the run that its own timers say, with the wait for other ranks
in it, and the ratio of the times of whole runs. A checkpoint is also given in seconds and in MB.
"""

import argparse
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
    run_simcore,
    spread,
    table,
    write_json,
)

# What is kept, and the options of simcore_run.py that leave out the rest
VARIANTS: dict[str, tuple[str, ...]] = {
    "spikes and checkpoints": (),
    "spikes": ("--checkpoint-wall", "0"),
    "neither": ("--checkpoint-wall", "0", "--no-spikes"),
}

HEADER = (
    "kept", "RTF", "min..max", "ratio", "record", "checkpoints", "each [s]", "number", "size [MB]",
)  # fmt: skip


def row(options: argparse.Namespace, name: str, shape: Layout, folder: str) -> Row:
    """Run simcore once."""
    parameters = {"drive": options.drive, "N_scaling": options.scale, "K_scaling": options.scale}
    times = ("--presim", 0.0, "--duration", options.duration, "--checkpoint-wall", options.wall)
    found = run_simcore("microcircuit", parameters, folder, shape, *times, *VARIANTS[name])
    seconds = {phase: max(values) for phase, values in found["times_s"].items()}
    number = found["n_checkpoints"]
    return {
        "kept": name,
        "simulator": shape.simulator,
        "rtf": 1e3 * seconds["run"] / options.duration,
        "record_share": seconds["record"] / seconds["run"],
        "checkpoint_share": seconds.get("checkpoint", 0.0) / seconds["run"],
        "n_checkpoints": number,
        "checkpoint_s": seconds.get("checkpoint", 0.0) / number if number else 0.0,
        "checkpoint_mb": found["checkpoint_bytes"] / 1e6,
    }


def report(rows: list[Row]) -> str:
    """Return the medians of the rounds as text."""
    bare = median([r for r in rows if r["kept"] == "neither"], "rtf")
    lines = []
    for same in groups(rows, "kept"):
        cells = [same[0]["kept"], f"{median(same, 'rtf'):.2f}", spread(same, "rtf")]
        cells += [f"{median(same, 'rtf') / bare:.3f}", f"{median(same, 'record_share'):.2%}"]
        cells += [f"{median(same, 'checkpoint_share'):.2%}", f"{median(same, 'checkpoint_s'):.3f}"]
        cells += [f"{median(same, 'n_checkpoints'):.0f}", f"{median(same, 'checkpoint_mb'):.1f}"]
        lines.append(cells)
    return table(HEADER, lines)


def main() -> None:
    """Run the rounds and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=layout, default=Layout(2, 1), metavar="N")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--drive", choices=("dc", "poisson"), default="dc")
    parser.add_argument("--duration", type=float, default=10000.0, metavar="MS")
    parser.add_argument("--wall", type=float, default=10.0, metavar="S", help="between checkpoints")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compile_kernels(folder)
        rows = [
            row(options, name, options.ranks, folder)
            for _ in range(options.rounds)
            for name in VARIANTS
        ]
    write_json(options.json, rows)
    print(machine())
    print(report(rows))


if __name__ == "__main__":
    main()
