"""What the benchmarks of whole programs share: the machine, runs, medians, tables and JSON."""

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simcore.services.launcher import n_cores

HERE = Path(__file__).parent
Row = dict[str, Any]


def machine() -> str:
    """Return processor, cores, memory and system of this machine."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    system = f"{platform.system()} {platform.release()}"
    return f"{model}, {n_cores()} cores, {memory:.0f} GB, {system}"


class RunFailed(RuntimeError):
    """A program that was to be measured failed; the message is what it printed."""


def available_memory() -> float:
    """Return the memory that new programs may take [GB]."""
    info = Path("/proc/meminfo")
    if not info.exists():
        return float("inf")
    found = dict(line.split(":") for line in info.read_text().splitlines())
    return int(found["MemAvailable"].split()[0]) * 1024 / 1e9


def call_python(
    python: str,
    script: Path,
    *arguments: object,
    ranks: int = 1,
    timeout: float | None = None,
) -> None:
    """Run a script, quietly; raise `RunFailed` when it fails, or takes longer than that [s]."""
    command = [python, str(script), *map(str, arguments)]
    if ranks > 1:
        mpiexec = Path(sys.executable).parent / "mpiexec"
        command = [str(mpiexec), "-n", str(ranks), python, "-m", "mpi4py", *command[1:]]
    code, said = call(command, timeout)
    if code != 0:
        raise RunFailed(f"{' '.join(command)}\n{said}")


def call(command: list[str], timeout: float | None = None, **options: Any) -> tuple[int, str]:
    """Run a command; return its exit code, -9 where it took longer, and what it printed."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, **options,
    ) as process:  # fmt: skip
        try:
            said, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # A launcher alone would leave its ranks behind
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = process.communicate()
            said += f"\nended after {timeout:.0f} s"
    return process.returncode, said


class Layout(NamedTuple):
    """Ranks, and threads of each."""

    ranks: int
    threads: int

    @property
    def cores(self) -> int:
        """Number of cores in use."""
        return self.ranks * self.threads

    @property
    def simulator(self) -> str:
        """What the tables call it."""
        kinds = [f"{self.ranks} ranks"] if self.ranks > 1 else []
        kinds += [f"{self.threads} threads"] if self.threads > 1 else []
        return ", ".join(["simcore", *kinds])


def layout(text: str) -> Layout:
    """Return ranks and threads of a text like "2" or "1x2"."""
    ranks, _, threads = text.partition("x")
    return Layout(int(ranks), int(threads or 1))


def run_simcore(
    model: str,
    parameters: Row,
    folder: str,
    layout: Layout,
    *arguments: object,
    timeout: float | None = None,
) -> Row:
    """Run simcore_run.py once; return what it found, see `call_python`."""
    report = Path(folder) / f"simcore-{layout.ranks}x{layout.threads}.json"
    output = ("--output", report.with_suffix(".h5"), "--json", report)
    script = HERE / "simcore_run.py"
    given = (model, "--parameters", json.dumps(parameters), "--threads", layout.threads)
    call_python(
        sys.executable, script, *given, *arguments, *output, ranks=layout.ranks, timeout=timeout
    )
    return json.loads(report.read_text())


def compile_kernels(folder: str) -> None:
    """Run simcore once, so that no measured run has to compile."""
    for model in ("brunel", "microcircuit"):
        size = {"order": 20} if model == "brunel" else {"N_scaling": 0.01, "K_scaling": 0.01}
        for shape in (Layout(1, 1), Layout(1, 2)):
            run_simcore(model, size, folder, shape, "--duration", 10.0, "--presim", 0.0)


def run_peer(python: str, script: str, folder: str, *arguments: object) -> Row:
    """Run one of the scripts in peers/ once; return what it found."""
    report = Path(folder) / f"{Path(script).stem}.json"
    call_python(python, HERE / "peers" / script, *arguments, "--json", report)
    return json.loads(report.read_text())


def why_missing(python: str, module: str) -> str:
    """Return why a Python cannot import a module, empty if it can."""
    done = subprocess.run(
        [python, "-c", f"import {module}"], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    return "not installed" if f"No module named '{module}'" in done.stderr else "import fails"


def groups(rows: Iterable[Row], *keys: str) -> list[list[Row]]:
    """Return the rows that agree in some values, in the order of the first of each group."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(found.values())


def median(rows: Iterable[Row], key: str) -> float:
    """Return the median of one value over rows."""
    return statistics.median(row[key] for row in rows)


def spread(rows: Sequence[Row], key: str, digits: int = 2) -> str:
    """Return the smallest and the largest value as text."""
    values = [row[key] for row in rows]
    return f"{min(values):.{digits}f}..{max(values):.{digits}f}"


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return lines of cells as aligned text, the first column to the left."""
    cells = [tuple(header), *map(tuple, lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if i else text.ljust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def write_json(path: Path | None, rows: list[Row], **more: Any) -> None:
    """Write what was run, where, and the rows; nothing without a path."""
    if path is None:
        return
    # Absolute paths belong to one machine
    given = [Path(text).name if text.startswith("/") else text for text in sys.argv]
    result = {"command": " ".join(["python", *given]), "machine": machine(), **more, "rows": rows}

    # Whoever ends this meanwhile leaves what was there before
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(path)
