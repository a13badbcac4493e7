"""Everything that is to be known of the GPU backend, in one command that takes minutes.

    python benchmarks/gpu/everything.py --json benchmarks/results/gpu.json

It needs CuPy, a GPU, and mpi4py for the part with several ranks. In this order:

1. tests    the tests marked gpu
2. identity the cortical microcircuit at full scale, 1 s: digests of the GPU and of the CPU
3. speed    its real-time factor, with direct current and Poisson input, with and without recording
4. size     Brunel's network from 10^8 synapses on: events per second, bytes per synapse, and the
            bytes of delivered synapses as a share of the bandwidth that a copy reaches
5. ranks    the microcircuit on 1, 2 and 4 ranks that share the GPU

The JSON file is written after each measurement, so that nothing is lost when time runs out.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import Layout, Row, RunFailed, machine, run_simcore, table, write_json

ROOT = Path(__file__).parents[2]
ONE_RANK = Layout(1, 1)

# Inputs of each neuron of Brunel's network, and words of a synapse with a constant weight [B]
INDEGREE, WORD_BYTES = 1000, 2

HEADER = ("what", "model", "layout", "RTF", "events/s", "build [s]", "B/synapse")


class Report:
    """What was measured so far, in a file.

    Parameters
    ----------
    path : Path or None
        The file.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.rows = path, []

    def add(self, **row: Any) -> None:
        """Keep a measurement."""
        self.rows.append(row)
        print(row, flush=True)
        write_json(self.path, self.rows, gpu=gpu())


def gpu() -> Row:
    """Return the name of the GPU, and the versions that drive it."""
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return {
        "name": properties["name"].decode(),
        "multiprocessors": properties["multiProcessorCount"],
        "memory_gb": properties["totalGlobalMem"] / 1e9,
        "cupy": cupy.__version__,
        "runtime": cupy.cuda.runtime.runtimeGetVersion(),
    }


def copy_bandwidth() -> float:
    """Return the bytes per second that a copy on the GPU reads and writes."""
    import cupy

    source = cupy.zeros(2**31, dtype=cupy.uint8)
    target = cupy.empty_like(source)
    best = 0.0
    for _ in range(5):
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        cupy.copyto(target, source)
        end.record()
        end.synchronize()
        best = max(best, 2 * source.nbytes / cupy.cuda.get_elapsed_time(begin, end) * 1e3)
    return best


def measure(
    report: Report,
    what: str,
    model: str,
    parameters: Row,
    *given: object,
    shape: Layout = ONE_RANK,
) -> Row | None:
    """Run simcore once, and keep what it found."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = run_simcore(model, parameters, folder, shape, *given)
        except RunFailed as error:
            report.add(what=what, model=model, parameters=parameters, failed=str(error)[-2000:])
            return None
    seconds = {phase: max(values) for phase, values in found["times_s"].items()}
    row = {
        "what": what, "model": model, "parameters": parameters, "given": list(map(str, given)),
        "layout": shape.simulator, "rtf": found["rtf"], "build_s": seconds["build"],
        "synapses": found["synapses"], "neurons": found["neurons"], "spikes": found["spikes"],
        "bytes_per_synapse": found["synapse_bytes"] / found["synapses"],
        "digest": found["digest"], "times_s": seconds,
        "events_per_s": found["spikes"] * found["synapses"] / found["neurons"] / seconds["run"],
    }  # fmt: skip
    report.add(**row)
    return row


def tests(report: Report, options: argparse.Namespace) -> None:
    """Run the tests marked gpu."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    report.add(what="tests", code=done.returncode, said=done.stdout[-2000:])


def identity(report: Report, options: argparse.Namespace) -> None:
    """Compare the spikes of the GPU with those of the CPU."""
    times = ("--presim", 0.0, "--duration", 1000.0)
    rows = [
        measure(report, "identity", "microcircuit", {"drive": "poisson"}, *times, *given)
        for given in (("--backend", "cuda"), ("--backend", "cpu"))
    ]
    same = None not in rows and rows[0]["digest"] == rows[1]["digest"]
    report.add(what="identity", identical=same)


def speed(report: Report, options: argparse.Namespace) -> None:
    """Measure the real-time factor of the microcircuit."""
    times = ("--presim", 500.0, "--duration", options.duration, "--backend", "cuda")
    for _ in range(options.rounds):
        for drive in ("dc", "poisson"):
            for kept in ((), ("--no-spikes",)):
                measure(report, "speed", "microcircuit", {"drive": drive}, *times, *kept)


def size(report: Report, options: argparse.Namespace) -> None:
    """Measure larger and larger networks."""
    bandwidth = copy_bandwidth()
    report.add(what="copy", bytes_per_s=bandwidth)
    times = ("--presim", 50.0, "--duration", 200.0, "--backend", "cuda", "--no-spikes")
    for synapses in options.synapses:
        n_neurons = round(synapses / INDEGREE)
        parameters = {"order": n_neurons // 5, "epsilon": INDEGREE / n_neurons, "V_reset": 10.0}
        row = measure(report, "size", "brunel", parameters, *times)
        if row is not None:
            share = row["events_per_s"] * WORD_BYTES / bandwidth
            report.add(what="share of the bandwidth", synapses=row["synapses"], share=share)


def ranks(report: Report, options: argparse.Namespace) -> None:
    """Let several ranks share the GPU."""
    times = ("--presim", 100.0, "--duration", 1000.0, "--backend", "cuda")
    for n in (1, 2, 4):
        shape = Layout(n, 1)
        measure(report, "ranks", "microcircuit", {"drive": "dc"}, *times, shape=shape)


PARTS = {"tests": tests, "identity": identity, "speed": speed, "size": size, "ranks": ranks}


def lines(rows: list[Row]) -> list[tuple[str, ...]]:
    """Return the measurements as lines of a table."""
    return [
        (
            row["what"], str(row["parameters"]), row["layout"], f"{row['rtf']:.3f}",
            f"{row['events_per_s']:.2e}", f"{row['build_s']:.1f}",
            f"{row['bytes_per_synapse']:.2f}",
        )
        for row in rows
        if "rtf" in row
    ]  # fmt: skip


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=list(PARTS), choices=PARTS, metavar="PART")
    parser.add_argument("--duration", type=float, default=10000.0, metavar="MS")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--synapses", type=float, nargs="+", default=[1e8, 1e9, 5e9], metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    report = Report(options.json)
    for part in options.parts:
        PARTS[part](report, options)
    print(machine(), gpu())
    print(table(HEADER, lines(report.rows)))


if __name__ == "__main__":
    main()
