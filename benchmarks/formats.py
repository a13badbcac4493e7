"""What import and export of many spikes cost, in time and memory.

    python benchmarks/formats.py --spikes 1e7

Random spikes of 80 000 neurons in 8 populations, 10 s long, are written as four files of NEST's
recording backend, imported, and exported to every format. Each row is a process of its own; its
memory is the largest that it ever had, that of its libraries included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import Row, machine, table, write_json

N_POPULATIONS, SIZE, N_FILES, DURATION = 8, 10_000, 4, 10_000.0

# What is measured, each on the files in the folder `sys.argv[1]`
ACTIONS = {
    "import 4 .dat": "import_nest(files, 'nest.h5', populations, dt=0.1, end=10_000.0)",
    "open": "sc.open_run('nest.h5')",
    "export sonata": "export_run(sc.open_run('nest.h5'), 'out.h5')",
    "export csv": "export_run(sc.open_run('nest.h5'), 'out.csv')",
    "export nest": "export_run(sc.open_run('nest.h5'), 'out.dat')",
    "export nwb": "export_run(sc.open_run('nest.h5'), 'out.nwb')",
    "to_neo": "analysis.to_neo(sc.open_run('nest.h5'))",
}

PROGRAM = """
import json, os, resource, sys, time
import simcore as sc
from simcore import analysis
from simcore.io import export_run, import_nest

os.chdir(sys.argv[1])
files = [name for name in sorted(os.listdir()) if name.startswith("spike_recorder")]
populations = json.loads(sys.argv[2])
begin = time.perf_counter()
{action}
seconds = time.perf_counter() - begin
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({{"seconds": seconds, "memory_mb": memory / 1e6}}))
"""


def write_recordings(folder: Path, n: int) -> None:
    """Write files as NEST does, sorted by time each, a quarter of the neurons in each."""
    rng = np.random.default_rng(1)
    for k in range(N_FILES):
        with open(folder / f"spike_recorder-1-{k}.dat", "w") as file:
            file.write("# NEST version: 3.8.0\n# RecordingBackendASCII version: 2\n")
            file.write("sender\ttime_ms\n")
            left, step = n // N_FILES, 1
            while left:
                m = min(left, 2**18)
                steps = np.sort(rng.integers(step, step + 10 * DURATION * m * N_FILES // n, m))
                senders = rng.integers(0, N_POPULATIONS * SIZE // N_FILES, m) * N_FILES + k + 1
                values = np.stack([senders, np.minimum(steps, 10 * DURATION) / 10], axis=1)
                file.write("%d\t%.3f\n" * m % tuple(values.ravel().tolist()))
                left, step = left - m, steps[-1]


def measure(folder: Path, name: str, n: int) -> Row:
    """Run one action in a process of its own."""
    ids = {f"P{k}": (k * SIZE + 1, (k + 1) * SIZE) for k in range(N_POPULATIONS)}
    program = PROGRAM.format(action=ACTIONS[name])
    command = [sys.executable, "-c", program, str(folder), json.dumps(ids)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return {"action": name, "spikes": n, **found, "ns_per_spike": 1e9 * found["seconds"] / n}


def report(rows: list[Row]) -> str:
    """Return the rows as text."""
    return table(
        ("action", "spikes", "time [s]", "ns per spike", "memory [MB]"),
        (
            (r["action"], f"{r['spikes']:.0e}", f"{r['seconds']:.1f}", f"{r['ns_per_spike']:.0f}",
             f"{r['memory_mb']:.0f}")
            for r in rows
        ),
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spikes", type=float, nargs="+", default=[1e7])
    parser.add_argument("--actions", nargs="+", choices=ACTIONS, default=list(ACTIONS))
    parser.add_argument("--folder", help="where the files lie for a while")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    rows = []
    for n in map(int, options.spikes):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            write_recordings(Path(folder), n)
            for name in options.actions:
                rows.append(measure(Path(folder), name, n))
                print(f"{name}: {rows[-1]['seconds']:.1f} s", file=sys.stderr)
    print(machine())
    print(report(rows))
    write_json(options.json, rows)


if __name__ == "__main__":
    main()
