"""``simcore analyze``: a report of a run, with pictures and numbers."""

from __future__ import annotations

import argparse

from simcore.cli.foreign import add_told, open_told
from simcore.cli.parameters import parse_time, parse_window
from simcore.cli.parser import STYLE, Commands
from simcore.services.comm import Comm

_TEXT = """\
Make a report of a run: one page with pictures that needs no network, report.html, and the numbers
behind it as JSON and CSV. It shows rasters, rates, distributions of rates, irregularity and
correlations, spectra, membrane potentials where they were recorded, and where the time went. RUN
may be a run that is still going on, or a SONATA spike file of another program.

Spikes are read in blocks, so that memory stays small however many there are."""

_EXAMPLES = """\
examples:
  simcore analyze run.h5                             writes run-report/report.html
  simcore analyze run.h5 --window 500 1500 --populations L4E L4I
  simcore analyze run.h5 --compare other.h5 -o comparison
  simcore analyze spikes.h5 --sizes E=8000 I=2000 --end 1000
  simcore analyze run.h5 --scheduler cluster:4       four processes on this machine
  simcore analyze run.h5 --scheduler scheduler.json  a dask cluster that is there already

files in DIR, described in docs/analysis-report.md:
  report.html       the page
  numbers.json      all numbers but those of single neurons
  populations.csv   a row for each population
  neurons.csv       a row for each neuron
  rates.csv         rates of populations over time
  spectra.csv       power spectra of the rates
  distances.csv     Kolmogorov-Smirnov distances of the two runs, with --compare
"""


def add_analyze(commands: Commands) -> None:
    """Add the arguments of ``simcore analyze``."""
    parser = commands.add_parser(
        "analyze", help="make a report with pictures and numbers", description=_TEXT,
        epilog=_EXAMPLES, **STYLE,
    )  # fmt: skip
    parser.set_defaults(command=analyze, parallel=False)
    add = parser.add_argument
    add("run", metavar="RUN", help="output file of a run, or a SONATA spike file")
    add("--compare", metavar="OTHER", help="another run to compare with")
    add("-o", "--output", metavar="DIR",
        help="folder to write to; a report that is there is replaced (RUN without its ending, "
        "-report)")  # fmt: skip
    add("--window", nargs=2, metavar=("A", "B"), default=(None, None),
        help="only after A, up to and with B, in ms or such as 2s (all that is recorded)",
        )  # fmt: skip
    add("--populations", nargs="+", metavar="NAME", help="only these (all)")
    add("--bin", metavar="TIME",
        help="width of the bins of the rates over time, such as 5ms (at most 250 bins)",
        )  # fmt: skip
    add("--scheduler", metavar="S", default="threads",
        help="which of dask's schedulers works: threads, processes, synchronous; cluster or "
        "cluster:N for N processes on this machine; tcp://HOST:PORT or a scheduler file "
        "FILE.json for a dask cluster that sees the same files (threads)")  # fmt: skip
    add("--no-progress", action="store_true", help="do not tell how far it is")
    add_told(parser)


def analyze(arguments: argparse.Namespace, comm: Comm) -> None:
    """Write the report."""
    from simcore.analysis import report

    page = report(
        open_told(arguments.run, arguments),
        arguments.output,
        other=arguments.compare,
        window=parse_window(arguments.window),
        populations=arguments.populations,
        bin_width=None if arguments.bin is None else parse_time("bin", arguments.bin, "ms"),
        scheduler=arguments.scheduler,
        progress=not arguments.no_progress,
    )
    print(f"report: {page}")
