"""Everything that is to be known of the GPU backend, in one command that takes ten minutes.

    python benchmarks/gpu/everything.py --json benchmarks/results/gpu.json

It needs simcore with CuPy, NVRTC and a GPU, pytest for the tests, and the extra mpi for the part
with several ranks; see benchmarks/README.md for a machine without a network. In this order, after
a look at the device:

1. compile  the smallest networks on both backends: a fresh machine compiles here, not below
2. tests    the tests marked gpu
3. identity the cortical microcircuit at full scale, 1 s: digests of the GPU, with its blocks as a
            team and as a grid (docs/design.md), and of the CPU
4. speed    its real-time factor, with direct current and Poisson input, with and without recording,
            and by a grid
5. ranks    the microcircuit on 1, 2 and 4 ranks that share the GPU
6. size     Brunel's network from 10^8 synapses on: events per second, bytes of a synapse, and the
            bytes of delivered synapses as a share of the bandwidth that a copy reaches
7. sanitize compute-sanitizer, where CUDA's tools are installed: wrong addresses, memory read before
            it was written, and barriers that not all threads reach, in a small network

What time remains goes to more rounds of the speed. Each row has the seconds of every phase; update,
deliver and copy are times on the device, taken with events. The JSON file is written after each
measurement, and a part that fails leaves the others alone. A run that takes longer than --patience,
or goes on at the time limit, is ended; a size that would end after it, judged by the last one, is
left out and said so. To share the work between commands:

    python benchmarks/gpu/everything.py compile tests identity speed --json gpu.json
    python benchmarks/gpu/everything.py compile ranks size sanitize --json gpu_size.json

With `--rehearse` the script itself is tried where there is no GPU, with the backend cpu and small
networks:

    python benchmarks/gpu/everything.py --rehearse
"""

import argparse
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import (
    HERE,
    Layout,
    Row,
    RunFailed,
    call,
    groups,
    machine,
    median,
    run_simcore,
    table,
    write_json,
)

from simcore.discretization.fixed_point import fixed_point
from simcore.estimates.expected_synapses import Expectation
from simcore.estimates.gpu_memory import estimate_device
from simcore.kernels.cuda.availability import missing_for_gpu
from simcore.models import brunel
from simcore.partition import partition

ROOT = Path(__file__).parents[2]
ONE_RANK = Layout(1, 1)
DT = 0.1

# Inputs of each neuron of Brunel's network: as many as in cortex where there are neurons enough
INDEGREES = ((5e9, 10_000), (0.0, 1000))

# A synapse with a constant weight on the device, see simcore/shards/gpu_synapse_layout.py [B]
PLACE_BYTES = 3

HEADER = (
    "what", "case", "layout", "RTF", "events/s", "update [s]", "deliver [s]", "copy [s]",
    "build [s]", "B/synapse", "of bandwidth",
)  # fmt: skip

# What `--rehearse` takes in place of the defaults
REHEARSAL = {
    "backend": "cpu", "scale": 0.02, "duration": 50.0, "rounds": 1, "synapses": [1e6, 4e6],
}  # fmt: skip


class Report:
    """What was measured so far, in a file.

    Parameters
    ----------
    path : Path or None
        The file.
    limit : float
        Time for all of it [s].
    patience : float
        Time for one run [s].

    Attributes
    ----------
    device : dict
        What measures.
    """

    def __init__(self, path: Path | None, limit: float, patience: float) -> None:
        self.path, self.patience, self.rows = path, patience, []
        self.device: Row = {"name": "none"}
        self.end = perf_counter() + limit

    def left(self) -> float:
        """Return the time that is left [s]."""
        return self.end - perf_counter()

    def turn(self) -> float:
        """Return the time that a run may take [s]; one that hangs leaves some for the others."""
        return max(1.0, min(self.left(), self.patience))

    def add(self, **row: Any) -> Row:
        """Keep a measurement, and return it."""
        self.rows.append(row)
        print(row, flush=True)
        self.save()
        return row

    def save(self) -> None:
        """Write the file."""
        write_json(self.path, self.rows, gpu=self.device)


def device(report: Report, options: argparse.Namespace) -> None:
    """Tell what measures."""
    if options.backend == "cuda":
        report.device = gpu()


def gpu() -> Row:
    """Return the name of the GPU, and the versions that drive it."""
    import cupy

    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(cupy.cuda.Device().id)
    bandwidth = copy_bandwidth()

    # This process lives on beside those that are measured
    cupy.get_default_memory_pool().free_all_blocks()
    return {
        "name": properties["name"].decode(),
        "multiprocessors": properties["multiProcessorCount"],
        "memory_gb": properties["totalGlobalMem"] / 1e9,
        "cupy": cupy.__version__,
        "runtime": runtime.runtimeGetVersion(),
        "driver": runtime.driverGetVersion(),
        "free_gb": runtime.memGetInfo()[0] / 1e9,
        "copy_bytes_per_s": bandwidth,
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
    timeout: float | None = None,
) -> Row | None:
    """Run simcore once, in the time of a turn if none is given [s], and keep what it found."""
    timeout = report.turn() if timeout is None else timeout
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = run_simcore(model, parameters, folder, shape, *given, timeout=timeout)
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
    options = {"--no-spikes": "not recorded", "--grid": "grid"}
    return " ".join([*drive, *words, *(text for key, text in options.items() if key in given)])


def first_runs(report: Report, options: argparse.Namespace) -> None:
    """Run what is compiled once on a machine, with constant and with drawn weights."""
    small = {"drive": "poisson", "N_scaling": 0.01, "K_scaling": 0.01}
    for backend in dict.fromkeys(("cpu", options.backend)):
        times = ("--presim", 0.0, "--duration", 10.0, "--backend", backend)
        measure(report, "compile", "brunel", {"order": 20}, *times)
        measure(report, "compile", "microcircuit", small, *times)


def tests(report: Report, options: argparse.Namespace) -> None:
    """Run the tests marked gpu."""
    files = [p for p in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.gpu" in p.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--durations=5", *map(str, files)]
    code, said = call(command, report.turn(), cwd=ROOT)
    report.add(what="tests", code=code, said=said[-4000:])


def microcircuit(options: argparse.Namespace, drive: str) -> Row:
    """Return the parameters of the microcircuit."""
    return {"drive": drive, "N_scaling": options.scale, "K_scaling": options.scale}


def identity(report: Report, options: argparse.Namespace) -> None:
    """Compare the spikes of the GPU with those of the CPU."""
    times = ("--presim", 0.0, "--duration", min(1000.0, options.duration))
    rows = [
        measure(
            report, "identity", "microcircuit", microcircuit(options, "poisson"), *times,
            "--backend", *backend,
        )
        for backend in ((options.backend,), (options.backend, "--grid"), ("cpu",))
    ]  # fmt: skip
    same = None not in rows and len({row["digest"] for row in rows if row}) == 1
    report.add(what="identity", identical=same)


def speed(report: Report, options: argparse.Namespace) -> None:
    """Measure the real-time factor of the microcircuit."""
    times = ("--presim", 500.0, "--duration", options.duration, "--backend", options.backend)
    for drive in ("dc", "poisson"):
        for kept in ((), ("--no-spikes",), ("--no-spikes", "--grid")):
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
        if report.left() < took * synapses / last:
            report.add(what="size", synapses=synapses, left_out="it would take too long")
            continue
        indegree = next(k for least, k in INDEGREES if synapses >= least)
        n = round(synapses / indegree)
        parameters = {"order": n // 5, "epsilon": indegree / n, "V_reset": 10.0}
        begin = perf_counter()
        given = (parameters, *times, "--backend", options.backend, "--no-spikes")
        row = measure(report, "size", "brunel", *given, timeout=max(1.0, report.left()))
        took, last = perf_counter() - begin, synapses
        if row is not None:
            bandwidth = report.device.get("copy_bytes_per_s", float("nan"))
            row["bytes_per_synapse"] = bytes_per_synapse(parameters)
            row["bandwidth_share"] = row["delivered_per_s"] * PLACE_BYTES / bandwidth
            report.save()


def sanitize(report: Report, options: argparse.Namespace) -> None:
    """Look for mistakes of the kernels that need not change a result."""
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        report.add(what="sanitize", left_out="there is no compute-sanitizer here")
        return
    script = [sys.executable, str(HERE / "simcore_run.py"), "brunel", "--backend", options.backend]
    given = ["--parameters", '{"order": 200}', "--presim", "0", "--duration", "20"]
    for tool in ("memcheck", "initcheck", "synccheck"):
        with tempfile.TemporaryDirectory() as folder:
            files = ["--output", f"{folder}/run.h5", "--json", f"{folder}/run.json"]
            command = [sanitizer, "--tool", tool, "--error-exitcode", "9"]
            code, said = call([*command, *script, *given, *files], report.turn())
        report.add(what="sanitize", tool=tool, code=code, said=said[-2000:])


def bytes_per_synapse(parameters: Row) -> float:
    """Return what a synapse of Brunel's network takes on the device, all of the shard counted."""
    network = brunel.build(**parameters)
    n, expectation = network.n_neurons, Expectation(network, fixed_point(network, DT), DT)
    found = estimate_device(expectation, partition(network, 1).owned(0))
    return found.total / (n * parameters["epsilon"] * n)


PARTS = {
    "device": device, "compile": first_runs, "tests": tests, "identity": identity, "speed": speed,
    "ranks": ranks, "size": size, "sanitize": sanitize,
}  # fmt: skip


def run_parts(report: Report, options: argparse.Namespace) -> None:
    """Run all parts that were asked for, then more rounds of the speed while there is time."""
    parts = dict.fromkeys(("device", *options.parts))
    took = {part: run_part(part, report, options) for part in parts}
    for _ in range(options.rounds - 1 if "speed" in took else 0):
        if report.left() > took["speed"]:
            run_part("speed", report, options)


def run_part(part: str, report: Report, options: argparse.Namespace) -> float:
    """Run a part, keep why it failed if it does, and return the time it took [s]."""
    begin = perf_counter()
    if report.left() <= 0.0:
        report.add(what=part, left_out="no time is left")
        return 0.0
    try:
        PARTS[part](report, options)
    except Exception:
        report.add(what=part, failed=traceback.format_exc()[-2000:])
    seconds = perf_counter() - begin
    report.add(what="time", part=part, seconds=seconds)
    return seconds


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


def main(arguments: list[str] | None = None) -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--duration", type=float, default=10000.0, metavar="MS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--synapses", type=float, nargs="+", default=[1e8, 1e9, 5e9, 2e10], metavar="N"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the microcircuit")
    parser.add_argument("--backend", default="cuda", metavar="NAME")
    parser.add_argument("--limit", type=float, default=570.0, metavar="S", help="of all (570)")
    parser.add_argument("--patience", type=float, default=150.0, metavar="S", help="of a run (150)")
    parser.add_argument("--rehearse", action="store_true", help="try the script without a GPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to keep what was measured")
    options = parser.parse_args(arguments)
    if options.rehearse:
        parser.set_defaults(**REHEARSAL)
        options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {sorted(unknown)[0]!r}, but {', '.join(PARTS)}")
    options.parts = options.parts or list(PARTS)
    if options.backend == "cuda" and (lack := missing_for_gpu()):
        parser.error(f"{lack}. Try the script with --rehearse.")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
    report = Report(options.json, options.limit, options.patience)
    run_parts(report, options)
    print(machine(), report.device)
    print(table(HEADER, lines(report.rows)))


if __name__ == "__main__":
    main()
