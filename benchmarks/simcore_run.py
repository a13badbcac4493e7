"""One run of simcore, as the scripts in peers/ do it for other simulators.

Wall-clock time is taken when the first ``--presim`` ms of model time have passed, and at the end;
the build and what comes before are not counted. The timers of the output file cover the whole run.

    python benchmarks/simcore_run.py brunel --parameters '{"order": 2000}' --json a.json
"""

import argparse
import importlib
import json
import sys
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

import simcore as sc
from simcore.io.reader import Run
from simcore.kernels.cuda import team
from simcore.services.comm import world
from simcore.services.digest import digest_json
from simcore.services.progress import Progress


class Stopwatch(Progress):
    """Reports nothing, but keeps when which model time was reached.

    Attributes
    ----------
    reached : dict of float to (float, float)
        Wall-clock time and processor time of this rank [s] by model time [ms].
    """

    def __init__(self) -> None:
        super().__init__(0.0, enabled=False)
        self.reached: dict[float, tuple[float, float]] = {}
        self.n_checkpoints = 0

    def message(self, text: str) -> None:
        """Count the checkpoints."""
        self.n_checkpoints += text.startswith("checkpoint at")

    def running(self, model_ms: float) -> None:
        """Keep the time; called now and then at the same model time on all ranks."""
        super().running(model_ms)
        self.reached[round(model_ms, 6)] = perf_counter(), process_time()

    def since(self, model_ms: float) -> tuple[float, float, float]:
        """Return what passed from `model_ms` to the end.

        Returns
        -------
        tuple of float
            Model time [ms], wall-clock time and processor time [s].
        """
        begin = min(t for t in self.reached if t >= model_ms)
        end = max(self.reached)
        wall, cpu = np.subtract(self.reached[end], self.reached[begin]).tolist()
        return end - begin, wall, cpu


def report(run: Run, stopwatch: Stopwatch, presim: float) -> dict[str, object]:
    """Return what the stopwatch and the file say."""
    measured, wall, cpu = stopwatch.since(presim)
    return {
        "versions": run.versions,
        "neurons": run.n_neurons,
        "synapses": int(run.shards["n_synapses"].sum()),
        "measured_ms": measured,
        "rtf": 1e3 * wall / measured,
        "cpu_rtf": 1e3 * cpu / measured,
        "duration_ms": run.duration,
        "record_from_ms": run.record_from,
        "spikes": sum(run.spike_counts.values()),
        "rates": dict(run.rates()),
        "digest": digest_json(run.digests),
        "times_s": {phase: seconds.tolist() for phase, seconds in run.timers.items()},
        "synapse_bytes": int(run.shards["bytes"].sum()),
        "peak_gb": float(run.shards["peak_bytes"].sum() / 1e9),
        "n_checkpoints": stopwatch.n_checkpoints,
        "checkpoint_bytes": max((p.stat().st_size for p in checkpoints(run)), default=0),
    }


def checkpoints(run: Run) -> list[Path]:
    """Return the files of the checkpoints beside the output."""
    return list(Path(f"{run.path}.checkpoints").glob("*.h5"))


def main() -> None:
    """Build, simulate and write what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="one of those built in")
    parser.add_argument("--parameters", type=json.loads, default={}, metavar="JSON")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--backend", default="cpu", metavar="NAME")
    parser.add_argument("--presim", type=float, default=100.0, metavar="MS")
    parser.add_argument("--duration", type=float, default=1000.0, metavar="MS")
    parser.add_argument("--record-from", type=float, default=0.0, metavar="MS")
    parser.add_argument("--no-spikes", action="store_true", help="count spikes, keep none")
    parser.add_argument("--grid", action="store_true", help="let a GPU's blocks share all neurons")
    parser.add_argument("--checkpoint-wall", type=float, default=0.0, metavar="S")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    options = parser.parse_args()

    network = importlib.import_module(f"simcore.models.{options.model}").build(**options.parameters)
    if options.no_spikes:
        network.records.clear()
    if options.grid:
        team.FEWEST_STEPS = sys.maxsize
    stopwatch = Stopwatch()
    run = sc.simulate(
        network,
        options.presim + options.duration,
        record_from=options.record_from,
        output=options.output,
        overwrite=True,
        threads=options.threads,
        backend=options.backend,
        progress=stopwatch,
        checkpoint_wall=options.checkpoint_wall or None,
    )
    if world().rank == 0:
        text = json.dumps(report(run, stopwatch, options.presim), indent=1)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
