"""The cortical microcircuit on this machine, beside NEST in the same run.

    python benchmarks/microcircuit.py --ranks 2 --drive dc
    python benchmarks/microcircuit.py --ranks 1 2 --rounds 3 --no-nest

Each round runs every simulator once, one after the other, so that their ratio holds even where the
machine is shared. Prints a table and writes JSON. NEST runs in the Python given by ``--nest``, by
default this one. Real-time factors do not count the build, and NEST's not the first ``--presim``
ms.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import simcore as sc
from simcore.models.microcircuit import POPULATIONS

HERE = Path(__file__).parent


def run_simcore(options, ranks, folder):
    """Run simcore once; return what the file and the operating system say of it."""
    output = Path(folder) / f"simcore-{ranks}.h5"
    model = [f"N_scaling={options.scale}", f"K_scaling={options.scale}", f"drive={options.drive}"]
    command = [str(Path(sys.executable).parent / "mpiexec"), "-n", str(ranks)] if ranks > 1 else []
    command += [sys.executable, "-m", "simcore", "run", "microcircuit", "--no-progress"]
    for setting in (*model, f"seed={options.seed}"):
        command += ["--set", setting]
    command += ["--duration", str(options.presim + options.duration), "--output", str(output)]
    command += ["--overwrite", "--record-from", str(options.presim)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    run = sc.open_run(output)
    timers = {phase: seconds.max() for phase, seconds in run.timers.items()}
    return {
        "simulator": "simcore",
        "cores": ranks,
        "build_s": timers["build"],
        "rtf": 1e3 * timers["run"] / run.duration,
        "memory_gb": run.shards["peak_bytes"].sum() / 1e9,
        "bytes_per_synapse": run.shards["bytes"].sum() / run.shards["n_synapses"].sum(),
        "rates": {name: run.rates()[name] for name in POPULATIONS},
        "phases_s": timers,
    }


def run_nest(options, folder):
    """Run NEST once, see peers/microcircuit_nest.py."""
    report = Path(folder) / "nest.json"
    command = [options.nest, str(HERE / "peers" / "microcircuit_nest.py"), "--json", str(report)]
    command += ["--drive", options.drive, "--seed", str(options.seed), "--threads", "4"]
    command += ["--n-scaling", str(options.scale), "--k-scaling", str(options.scale)]
    command += ["--presim", str(options.presim), "--duration", str(options.nest_duration)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(report.read_text())
    return {
        "simulator": "NEST",
        "cores": os.cpu_count(),
        "build_s": found["times_s"]["create"] + found["times_s"]["connect"],
        "rtf": found["rtf"],
        "memory_gb": found["peak_rss_gb"],
        "phases_s": found["times_s"],
    }


def table(rows):
    """Return the medians of the rounds as text."""
    lines = [f"{'simulator':<10} {'cores':>5} {'build [s]':>10} {'RTF':>8} {'memory [GB]':>12}"]
    for key in dict.fromkeys((r["simulator"], r["cores"]) for r in rows):
        same = [r for r in rows if (r["simulator"], r["cores"]) == key]
        build, rtf, memory = (
            statistics.median(r[name] for r in same) for name in ("build_s", "rtf", "memory_gb")
        )
        lines.append(f"{key[0]:<10} {key[1]:>5} {build:>10.1f} {rtf:>8.2f} {memory:>12.2f}")
    return "\n".join(lines)


def main():
    """Run the rounds and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=int, nargs="+", default=[2])
    parser.add_argument("--drive", choices=("dc", "poisson"), default="dc")
    parser.add_argument("--scale", type=float, default=1.0, help="share of neurons and synapses")
    parser.add_argument("--presim", type=float, default=100.0, metavar="MS")
    parser.add_argument("--duration", type=float, default=1000.0, metavar="MS")
    parser.add_argument("--nest-duration", type=float, default=200.0, metavar="MS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--nest", default=sys.executable, help="a Python that has NEST")
    parser.add_argument("--no-nest", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            rows += [run_simcore(options, ranks, folder) for ranks in options.ranks]
            if not options.no_nest:
                rows.append(run_nest(options, folder))
    print(table(rows))
    if options.json:
        command = " ".join(["python", *sys.argv])
        machine = f"{platform.machine()}, {platform.system()} {platform.release()}"
        text = json.dumps({"command": command, "machine": machine, "rows": rows}, indent=1)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
