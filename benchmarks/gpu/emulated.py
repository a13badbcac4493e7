"""The kernels of the GPU on the CPU, at the size of the real thing: slow, but without a GPU.

    python benchmarks/gpu/emulated.py --duration 50

The CUDA sources are compiled by g++ and run as in the tests (tests/emulation/). They draw the
cortical microcircuit and advance it as on a GPU with as many multiprocessors and as much shared
memory as an H200 has, with its blocks as a team and as a grid, in epochs of 10 ms of which two are
under way. Spikes and potentials are compared with those of the CPU backend, to the last bit; how
long it takes says nothing about a GPU.
"""

import argparse
import sys
from hashlib import sha256
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

from common import Row, table, write_json

import simcore as sc
from simcore import kernels
from simcore.models import microcircuit
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import Spikes
from simcore.services.comm import SerialComm
from tests.emulation.gpu import Gpu

# Multiprocessors of an H200, and the memory of one that a block may have [B]
UNITS, SHARED = 132, 227 * 1024

# Threads of a block that are emulated: at least as many as blocks, whose posts they wait for
THREADS = 160


class Counting:
    """Takes the place of a recorder: counts spikes, and adds them to a digest."""

    def __init__(self) -> None:
        self.n_spikes, self.digest = 0, sha256()

    def record(self, epoch: Epoch, spikes: Spikes, emitted: int = 0) -> None:
        """Take the spikes of an epoch."""
        self.n_spikes += spikes.size
        self.digest.update(np.array([epoch.begin, epoch.end]).tobytes() + spikes.words.tobytes())


def measure(way: str, scale: float, duration: float) -> Row:
    """Run the microcircuit on the CPU, or on the emulated GPU as a team or a grid."""
    gpu = Gpu(shape=(UNITS, THREADS), shared=SHARED if way == "team" else 0)
    gpu.units = UNITS
    with pytest.MonkeyPatch.context() as patch:
        gpu.install(patch)
        patch.setattr(kernels, "missing_for_gpu", lambda: "")
        network = microcircuit.build(drive="poisson", N_scaling=scale, K_scaling=scale)
        backend = "cpu" if way == "cpu" else "cuda"
        begin = perf_counter()
        simulation = sc.Simulation(network, backend=backend, comm=SerialComm())
        simulation.epoch_steps = 100
        built = perf_counter()

        recorder = Counting()
        simulation.run(duration, recorder)
        launches, held = dict(gpu.launches), simulation.inventory[0]
        assert set(launches) <= {f"advance_{way}"}, f"{way}: {launches} instead"
        return {
            "way": way,
            "synapses": held.n_synapses,
            "bytes_per_synapse": held.nbytes / held.n_synapses,
            "launches": sum(launches.values()),
            "spikes": recorder.n_spikes,
            "spikes_digest": recorder.digest.hexdigest(),
            "potentials_digest": sha256(simulation.backend.potentials().tobytes()).hexdigest(),
            "build_s": built - begin,
            "run_s": perf_counter() - built,
        }


def main() -> None:
    """Run all ways, and compare them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--duration", type=float, default=50.0, metavar="MS")
    parser.add_argument("--scale", type=float, default=1.0, help="of the microcircuit")
    parser.add_argument("--ways", nargs="+", default=["cpu", "team", "grid"], metavar="WAY")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to keep the results")
    options = parser.parse_args()
    rows = []
    for way in options.ways:
        rows.append(measure(way, options.scale, options.duration))
        print(rows[-1], flush=True)
        write_json(options.json, rows)
    names = ("synapses", "spikes", "spikes_digest", "potentials_digest")
    same = all(row[name] == rows[0][name] for row in rows for name in names)
    header = ("way", "B/synapse", "spikes", "of spikes", "of potentials", "build [s]", "run [s]")
    lines = [
        (
            row["way"], f"{row['bytes_per_synapse']:.2f}", str(row["spikes"]),
            row["spikes_digest"][:8], row["potentials_digest"][:8], f"{row['build_s']:.1f}",
            f"{row['run_s']:.1f}",
        )
        for row in rows
    ]  # fmt: skip
    print(table(header, lines))
    print("identical" if same else "DIFFERENT")
    sys.exit(not same)


if __name__ == "__main__":
    main()
