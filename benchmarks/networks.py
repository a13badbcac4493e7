"""The built-in networks beside what others found them to do.

    python benchmarks/networks.py
    python benchmarks/networks.py brunel cuba --seeds 1 2 3
    python benchmarks/networks.py --seeds 1 2 3 --docs docs/validation.md

Runs each state that a network of `simcore/models/` has in its `EXPECTED`, measures it, and prints
a table in Markdown; `--docs` puts it into a file, between two comments there. Ends with exit code 1
where a measure is out of its range.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from types import ModuleType

import numpy as np
from common import Row, machine, write_json

import simcore as sc
from simcore import analysis
from simcore.cli.modelfile import builtin_names, find_model
from simcore.io import Run
from simcore.models import Activity

# Between these two lines of a document stands the table
BEGIN, END = "<!-- benchmarks/networks.py -->", "<!-- end -->"

# Intervals that a neuron must have to count for the CV
FEWEST_INTERVALS = 5

# Bins and segments of spectra [ms]: up to 1 kHz, 2 Hz apart
BIN, SEGMENT = 0.5, 500.0

HEADER = ("network", "command", "measure", "found", "expected", "source")


def rate(run: Run) -> float:
    """Return the mean rate of all neurons [1/s]."""
    seconds = 1e-3 * (run.end - run.record_from)
    return sum(run.spike_counts.values()) / run.n_neurons / seconds


def mean_cv(run: Run) -> float:
    """Return the mean coefficient of variation of the intervals of neurons with some spikes."""
    found = [analysis.isi_statistics(run.select(name)) for name in run.recorded]
    cvs = [isi.cv[isi.n >= FEWEST_INTERVALS] for isi in found]
    return float(np.concatenate(cvs).mean())


def peak(run: Run, low: float = 0.0, high: float = np.inf) -> float:
    """Return where the spectrum of the first population is largest [Hz]."""
    width = max(BIN, run.dt)
    frequencies, power = analysis.power_spectrum(run.select(run.recorded[0]), width, SEGMENT)
    inside = (frequencies >= low) & (frequencies <= high)
    return float(frequencies[inside][power[inside].argmax()])


def largest_share(run: Run) -> float:
    """Return which share of the neurons fires in the step with most spikes."""
    rates = [
        run.sizes[name] * analysis.population_rate(run.select(name), run.dt).rates
        for name in run.recorded
    ]
    return float(np.sum(rates, axis=0).max()) * 1e-3 * run.dt / run.n_neurons


def last_spikes(run: Run) -> float:
    """Return how many spikes there are in the last 10 ms."""
    return sum(run.spikes(name, start=run.end - 10.0)[0].size for name in run.recorded)


def n_synapses(run: Run) -> float:
    """Return the number of synapses that were built."""
    return int(run.shards["n_synapses"].sum())


MEASURES = {
    "rate [1/s]": rate,
    "CV": mean_cv,
    "peak of the spectrum [Hz]": peak,
    "largest share in a step": largest_share,
    "spikes in the last 10 ms": last_spikes,
    "synapses": n_synapses,
}


def measure(run: Run, name: str, module: ModuleType) -> float:
    """Return a measure of a run by its name."""
    own = getattr(module, "MEASURES", {})
    if name in own:
        return own[name](run)
    if found := re.fullmatch(r"rate of (\w+) \[1/s\]", name):
        return run.rates()[found[1]]
    if found := re.fullmatch(r"peak from (\d+) to (\d+) Hz \[Hz\]", name):
        return peak(run, float(found[1]), float(found[2]))
    return MEASURES[name](run)


def expectations(names: list[str]) -> Iterator[tuple[str, ModuleType, Activity]]:
    """Return name, module and activity of all that some networks are expected to do."""
    for name in names:
        module = find_model(name).module
        for activity in getattr(module, "EXPECTED", ()):
            yield name, module, activity


def find(module: ModuleType, activity: Activity, seed: int, folder: str | None = None) -> Row:
    """Run a network as its activity asks, and measure it."""
    output = None if folder is None else Path(folder) / "run.h5"
    begin = process_time()
    network = module.build(**activity.parameters, seed=seed)
    run = sc.simulate(
        network, activity.stop, dt=activity.dt, record_from=activity.start, output=output,
        overwrite=True,
    )  # fmt: skip
    seconds = process_time() - begin
    found = {name: measure(run, name, module) for name in activity.ranges}
    return {"seed": seed, "cpu_s": seconds, "found": found}


def cell(values: list[float]) -> str:
    """Return the values of all seeds as text."""
    texts = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in (min(values), max(values))]
    return " to ".join(dict.fromkeys(texts))


def lines(rows: list[Row]) -> Iterator[str]:
    """Return the table in Markdown."""
    yield f"| {' | '.join(HEADER)} |"
    yield "|" + "---|" * len(HEADER)
    for name, _, activity in expectations(list(dict.fromkeys(row["network"] for row in rows))):
        command = activity.command(name)
        same = [row["found"] for row in rows if row["command"] == command]
        title = f"{name} {activity.name}".strip()
        about = [title, f"`{command}`"]
        source = activity.source
        for what in activity.ranges:
            values = [found[what] for found in same]
            yield f"| {' | '.join([*about, what, cell(values), activity.expected(what), source])} |"
            about, source = ["", ""], ""


def put(path: Path, text: str) -> None:
    """Put a table into a document, in the place of the last one."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{path}: has no lines {BEGIN!r} and {END!r}, must have them around the table")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> None:
    """Run all networks and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="NAME", help="all, if left out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the table there")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()

    rows: list[Row] = []
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for name, module, activity in expectations(options.networks or builtin_names()):
            for seed in options.seeds:
                row = find(module, activity, seed, folder)
                rows.append({"network": name, "command": activity.command(name), **row})
                print(name, activity.name, row, file=sys.stderr, flush=True)
                wrong += [
                    f"{name} {activity.name}, seed {seed}: {what} is {value:.4g}, expected "
                    f"{activity.expected(what)}"
                    for what, value in row["found"].items()
                    if not activity.contains(what, value)
                ]
    write_json(options.json, rows)
    text = "\n".join(lines(rows))
    if options.docs is not None:
        put(options.docs, text)
    print(machine())
    print(text)
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
