"""Everything that is to be known of the GPU backend, in one command that takes ten minutes.

    python benchmarks/gpu/everything.py --json benchmarks/results/gpu.json

It needs CuPy, a GPU, and mpi4py for the part with several ranks. In this order:

1. tests    the tests marked gpu
2. identity the cortical microcircuit at full scale, 1 s: digests of the GPU and of the CPU
3. speed    its real-time factor, with direct current and Poisson input, with and without recording
4. ranks    the microcircuit on 1, 2 and 4 ranks that share the GPU
5. size     Brunel's network from 10^8 synapses on: events per second, bytes of a synapse, and the
            bytes of delivered synapses as a share of the bandwidth that a copy reaches

Each row has the seconds of every phase; update, deliver and copy are times on the device, taken
with events. The JSON file is written after each measurement. What would end after the time limit,
judged by the last size, is left out and said so; 2 * 10^10 synapses take minutes to build:

    python benchmarks/gpu/everything.py size --synapses 2e10 --json benchmarks/results/gpu_size.json

With `--backend cpu` the script itself can be tried where there is no GPU:

    python benchmarks/gpu/everything.py --backend cpu --scale 0.05 --duration 200 --synapses 1e6 4e6
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import Layout, Row, RunFailed, groups, machine, median, run_simcore, table, write_json

from simcore.fixed_point import fixed_point
from simcore.models import brunel
from simcore.partition import estimate_gpu

ROOT = Path(__file__).parents[2]
ONE_RANK = Layout(1, 1)
DT = 0.1

# Inputs of each neuron of Brunel's network: as many as in cortex where there are neurons enough
INDEGREES = ((5e9, 10_000), (0.0, 1000))

# A synapse with a constant weight on the device, see simcore/places.py [B]
PLACE_BYTES = 3

HEADER = (
    "what", "case", "layout", "RTF", "events/s", "update [s]", "deliver [s]", "copy [s]",
    "build [s]", "B/synapse", "of bandwidth",
)  # fmt: skip


class Report:
    """What was measured so far, in a file.

    Parameters
    ----------
    path : Path or None
        The file.
    device : dict
        What measures.
    """

    def __init__(self, path: Path | None, device: Row) -> None:
        self.path, self.device, self.rows = path, device, []

    def add(self, **row: Any) -> Row:
        """Keep a measurement, and return it."""
        self.rows.append(row)
        print(row, flush=True)
        self.save()
        return row

    def save(self) -> None:
        """Write the file."""
        write_json(self.path, self.rows, gpu=self.device)


def gpu() -> Row:
    """Return the name of the GPU, and the versions that drive it."""
    import cupy

    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(cupy.cuda.Device().id)
    return {
        "name": properties["name"].decode(),
        "multiprocessors": properties["multiProcessorCount"],
        "memory_gb": properties["totalGlobalMem"] / 1e9,
        "cupy": cupy.__version__,
        "runtime": runtime.runtimeGetVersion(),
        "driver": runtime.driverGetVersion(),
        "copy_bytes_per_s": copy_bandwidth(),
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
    events = found["spikes"] * found["synapses"] / found["neurons"]
    return report.add(
        what=what, model=model, parameters=parameters, given=list(map(str, given)),
        case=case(parameters, given),
        layout=shape.simulator, rtf=found["rtf"], build_s=seconds["build"],
        synapses=found["synapses"], neurons=found["neurons"], spikes=found["spikes"],
        digest=found["digest"], times_s=seconds, events_per_s=events / seconds["run"],
        delivered_per_s=events / max(seconds["deliver"], 1e-9),
    )  # fmt: skip


def case(parameters: Row, given: tuple[object, ...]) -> str:
    """Return what tells a measurement from others, as text."""
    words = [f"{name}={value:.3g}" for name, value in parameters.items() if name != "drive"]
    drive = [parameters["drive"]] if "drive" in parameters else []
    kept = ["not recorded"] if "--no-spikes" in given else []
    return " ".join([*drive, *words, *kept])


def tests(report: Report, options: argparse.Namespace) -> None:
    """Run the tests marked gpu."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    report.add(what="tests", code=done.returncode, said=done.stdout[-2000:])


def microcircuit(options: argparse.Namespace, drive: str) -> Row:
    """Return the parameters of the microcircuit."""
    return {"drive": drive, "N_scaling": options.scale, "K_scaling": options.scale}


def identity(report: Report, options: argparse.Namespace) -> None:
    """Compare the spikes of the GPU with those of the CPU."""
    times = ("--presim", 0.0, "--duration", min(1000.0, options.duration))
    rows = [
        measure(
            report, "identity", "microcircuit", microcircuit(options, "poisson"), *times,
            "--backend", backend,
        )
        for backend in (options.backend, "cpu")
    ]  # fmt: skip
    same = None not in rows and rows[0]["digest"] == rows[1]["digest"]
    report.add(what="identity", identical=same)


def speed(report: Report, options: argparse.Namespace) -> None:
    """Measure the real-time factor of the microcircuit."""
    times = ("--presim", 500.0, "--duration", options.duration, "--backend", options.backend)
    for _ in range(options.rounds):
        if options.left() < options.limit / 2:
            report.add(what="speed", left_out="a round more would leave no time for the rest")
            return
        for drive in ("dc", "poisson"):
            for kept in ((), ("--no-spikes",)):
                given = (microcircuit(options, drive), *times, *kept)
                measure(report, "speed", "microcircuit", *given)


def ranks(report: Report, options: argparse.Namespace) -> None:
    """Let several ranks share the GPU."""
    times = ("--presim", 100.0, "--duration", min(1000.0, options.duration))
    for n in (1, 2, 4):
        given = (microcircuit(options, "dc"), *times, "--backend", options.backend)
        measure(report, "ranks", "microcircuit", *given, shape=Layout(n, 1))


def size(report: Report, options: argparse.Namespace) -> None:
    """Measure larger and larger networks."""
    times = ("--presim", 50.0, "--duration", min(200.0, options.duration))
    took, last = 0.0, 1.0
    for synapses in sorted(options.synapses):
        if options.left() < took * synapses / last:
            report.add(what="size", synapses=synapses, left_out="it would take too long")
            continue
        indegree = next(k for least, k in INDEGREES if synapses >= least)
        n = round(synapses / indegree)
        parameters = {"order": n // 5, "epsilon": indegree / n, "V_reset": 10.0}
        begin = perf_counter()
        given = (parameters, *times, "--backend", options.backend, "--no-spikes")
        row = measure(report, "size", "brunel", *given)
        took, last = perf_counter() - begin, synapses
        if row is not None:
            bandwidth = report.device.get("copy_bytes_per_s", float("nan"))
            row["bytes_per_synapse"] = bytes_per_synapse(parameters)
            row["bandwidth_share"] = row["delivered_per_s"] * PLACE_BYTES / bandwidth
            report.save()


def bytes_per_synapse(parameters: Row) -> float:
    """Return what a synapse of Brunel's network takes on the device, all of the shard counted."""
    network = brunel.build(**parameters)
    n, points = network.n_neurons, fixed_point(network, DT)
    return estimate_gpu(network, points, n, DT) / (n * parameters["epsilon"] * n)


PARTS = {"tests": tests, "identity": identity, "speed": speed, "ranks": ranks, "size": size}


def lines(rows: list[Row]) -> list[tuple[str, ...]]:
    """Return the medians of equal measurements as lines of a table."""
    found = []
    for group in groups((r for r in rows if "rtf" in r), "what", "case", "layout", "digest"):
        row = group[0]
        phases = [f"{row['times_s'].get(name, 0.0):.3f}" for name in ("update", "deliver", "copy")]
        found.append(
            (
                row["what"], row["case"], row["layout"], f"{median(group, 'rtf'):.4f}",
                f"{median(group, 'events_per_s'):.2e}", *phases, f"{row['build_s']:.1f}",
                f"{row.get('bytes_per_synapse', float('nan')):.2f}",
                f"{row.get('bandwidth_share', float('nan')):.4f}",
            )
        )  # fmt: skip
    return found


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=list(PARTS), choices=PARTS, metavar="PART")
    parser.add_argument("--duration", type=float, default=10000.0, metavar="MS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--synapses", type=float, nargs="+", default=[1e8, 1e9, 5e9], metavar="N")
    parser.add_argument("--scale", type=float, default=1.0, help="of the microcircuit")
    parser.add_argument("--backend", default="cuda", metavar="NAME")
    parser.add_argument("--limit", type=float, default=570.0, metavar="S")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    begin = perf_counter()
    options.left = lambda: options.limit - (perf_counter() - begin)
    report = Report(options.json, gpu() if options.backend == "cuda" else {"name": "none"})
    for part in options.parts:
        PARTS[part](report, options)
    print(machine(), report.device)
    print(table(HEADER, lines(report.rows)))


if __name__ == "__main__":
    main()
