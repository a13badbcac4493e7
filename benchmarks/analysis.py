"""How fast runs are analysed, and in how much memory, beside Elephant and bmtk.

    python benchmarks/analysis.py --spikes 1e8 --peer-spikes 5e5 --rounds 3

The tasks stand in peers/spikes.py. The spikes are made up: Poisson processes with the populations
and mean rates of the cortical microcircuit, and lognormal rates within a population. Every program
starts as a process of its own, so its time includes imports, and its memory is the largest that the
process had. The peers hold all spikes in memory as Python objects, so they get a shorter file, and
simcore gets it too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import HERE, Row, groups, machine, median, spread, table, write_json

import simcore as sc
from simcore.io import RunWriter
from simcore.models import microcircuit
from simcore.numerics.clock import Clock

STEPS = 10_000
CLOCK = Clock(0.1)

HEADER = ("program", "task", "spikes", "time [s]", "min..max", "ns/spike", "memory [GB]", "ratio")


def write_file(path: Path, n_spikes: float) -> None:
    """Write a run with about so many spikes, second by second."""
    net = sc.Network(seed=1)
    rng = np.random.default_rng(1)
    rates = []
    for name, size, rate in zip(
        microcircuit.POPULATIONS, microcircuit.SIZES, microcircuit.RATES, strict=True
    ):
        net.record(net.population(name, int(size), sc.LIF()), "spikes")
        each = rng.lognormal(sigma=0.8, size=int(size))
        rates.append(rate * each / each.mean())
    ends = np.cumsum(np.concatenate(rates))
    seconds = max(1, round(n_spikes / ends[-1]))
    counts = np.zeros(len(net.populations), dtype=np.int64)
    firsts = [p.first for p in net.populations]
    with RunWriter(path, net, CLOCK, {"duration": 1000.0 * seconds}) as writer:
        for second in range(seconds):
            n = rng.poisson(ends[-1])
            gids = np.searchsorted(ends, rng.random(n) * ends[-1])
            steps = rng.integers(0, STEPS, n)
            # A neuron spikes at most once in a step
            keys = np.unique(steps * ends.size + gids)
            steps, gids = keys // ends.size, keys % ends.size
            writer.append((second + 1) * STEPS, second * STEPS + steps, gids)
            counts += np.bincount(np.searchsorted(firsts, gids, side="right") - 1, minlength=8)
        writer.finish(counts, {}, {})


def row(program: str, task: str, path: Path) -> Row:
    """Let a program do a task in a process of its own; return its time and memory."""
    begin = time.perf_counter()
    command = [sys.executable, str(HERE / "peers" / "spikes.py"), program, task, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{program} failed at {task!r}")
    return {
        "program": program,
        "task": task,
        "file": path.stem,
        **json.loads(text.splitlines()[-1]),
        "time_s": time.perf_counter() - begin,
        "memory_gb": usage.ru_maxrss * 1024 / 1e9,
    }


def report(rows: list[Row]) -> str:
    """Return medians as a table, and the ratios of the peers to simcore."""
    lines = []
    for found in groups(rows, "file", "task", "program"):
        first, seconds = found[0], median(found, "time_s")
        ours = [
            r
            for r in rows
            if r["program"] == "simcore"
            and (r["file"], r["task"]) == (first["file"], first["task"])
        ]
        lines.append(
            (
                first["program"],
                first["task"],
                f"{first['spikes']:,}",
                f"{seconds:.2f}",
                spread(found, "time_s"),
                f"{1e9 * seconds / first['spikes']:.0f}",
                f"{median(found, 'memory_gb'):.2f}",
                f"{seconds / median(ours, 'time_s'):.1f}",
            )
        )
    return table(HEADER, lines)


def main() -> None:
    """Make the files, run all tasks in turns, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--spikes", type=float, default=1e8, help="spikes of the large file")
    add("--peer-spikes", type=float, default=5e5, help="spikes of the file that peers read too")
    add("--rounds", type=int, default=3, help="how often everything is measured")
    add("--folder", type=Path, help="where the files lie; made there if missing")
    add("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        large, small = folder / "large.h5", folder / "small.h5"
        for path, n in ((large, options.spikes), (small, options.peer_spikes)):
            if not path.exists():
                write_file(path, n)
        jobs = [("simcore", task, large) for task in ("everything", "window")]
        jobs += [(p, "elephant's part", small) for p in ("simcore", "elephant")]
        jobs += [(p, "bmtk's part", small) for p in ("simcore", "bmtk")]
        row("simcore", "everything", small)
        rows = [row(*job) for _ in range(options.rounds) for job in jobs]
    print(machine())
    print(report(rows))
    write_json(options.json, rows)


if __name__ == "__main__":
    main()
