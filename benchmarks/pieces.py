"""The pieces of a run, each beside a ceiling measured in the same run on one core of this machine.

    python benchmarks/pieces.py
    python benchmarks/pieces.py --scale 0.2 --only update deliver

========= ==================================== ===================================================
piece     what is measured                     its ceiling
========= ==================================== ===================================================
update    a neuron and step, no input          copying the bytes that a neuron reads and writes
models    a neuron and step of each model of   NEST's, without input, where it is installed
          the library, which spikes
poisson   a Poisson number                     one word of Philox
deliver   a synaptic event of the microcircuit adding all synapses in the order of memory
build     a synapse of the microcircuit        two calls of Philox, and writing it twice
exchange  an exchange between two ranks        the bare Allgather of buffers of the same size
epoch     Python and calls of an empty epoch   calling a compiled function with no arguments
parts     what a Poisson number and an event
          are made of
blocks    a synaptic event, with targets cut
          into more or fewer blocks
========= ==================================== ===================================================

Times are the shortest of several repetitions, in nanoseconds, those of exchange and epoch in
microseconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numba
import numpy as np
from common import call_python, run_peer, table, why_missing, write_json

import simcore as sc
import simcore.shards.shard as shard_module
from simcore import library
from simcore.construction.build import build_shard
from simcore.discretization.fixed_point import WeightForm
from simcore.discretization.tables import poisson_table
from simcore.kernels import make_backend
from simcore.kernels.cpu import poisson as poisson_kernels
from simcore.models import microcircuit
from simcore.numerics.clock import Epoch
from simcore.numerics.philox import draw_many
from simcore.numerics.spikes import NO_SPIKES, Spikes
from simcore.partition import partition
from simcore.services.comm import SerialComm, world
from simcore.simulation.spike_exchange import SpikeExchange

REPEATS = 5
STEPS = 1000
PIECES = ("update", "models", "poisson", "deliver", "build", "exchange", "epoch", "parts", "blocks")


def shortest(function, repeats=REPEATS):
    """Return the shortest time that a call of a function took [s]."""
    times = []
    for _ in range(repeats):
        begin = perf_counter()
        function()
        times.append(perf_counter() - begin)
    return min(times)


def phase_times(network):
    """Return the shortest time of delivery and of update in some steps [s], and the shard."""
    shard = build_shard(network, partition(network, 1), 0, 0.1)
    backend = make_backend("cpu", shard)
    backend.warm_up()
    found = {"deliver": [], "update": [], "spikes": []}
    for repeat in range(REPEATS + 1):
        before = backend.phase_seconds()
        spikes = backend.advance(Epoch(repeat * STEPS, (repeat + 1) * STEPS), NO_SPIKES)
        after = backend.phase_seconds()
        for phase in ("deliver", "update"):
            found[phase].append(after[phase] - before[phase])
        found["spikes"].append(spikes.gids.copy())
    return {name: values[1:] for name, values in found.items()}, shard


def neurons(kind, n, rate=0.0):
    """Describe neurons without synapses, and with Poisson input if it has a rate [1/s]."""
    net = sc.Network(seed=1)
    currents = {"tau_syn": 0.5} if kind == "exp" else {}
    group = net.population("n", n, sc.LIF(V_th=1e6, **currents), V_m=sc.Uniform(-10.0, 10.0))
    if rate:
        net.drive(group, sc.Poisson(rate=rate, weight=0.1))
    return net


def update(options):
    """Measure a step of a neuron."""
    rows = []
    n = int(77_169 * options.scale)
    for kind, size in (("exp", 8 + 8 + 2 + 4 + 1), ("delta", 8 + 2 + 4 + 1)):
        seconds = min(phase_times(neurons(kind, n))[0]["update"]) / (STEPS * n)
        old, new = np.zeros(size * n, np.uint8), np.zeros(size * n, np.uint8)
        ceiling = shortest(lambda a=old, b=new: np.copyto(b, a), 200) / n
        rows.append(row(f"update, {kind}", 1e9 * seconds, 1e9 * ceiling, "ns"))
    return rows


# Constant currents [pA], and parameters, with which neurons spike
CURRENTS = {"izhikevich": 8.0, "izhikevich_2003": 8.0, "gif_psc_exp": 150.0, "gif_cond_exp": 150.0,
            "glif_psc": 250.0, "mat2_psc_exp": 400.0}  # fmt: skip
CURRENT = 500.0
GIVEN = {
    "iaf_psc_alpha_multisynapse": {"tau_syn": [0.5, 2.0]},
    "iaf_psc_exp_multisynapse": {"tau_syn": [0.5, 2.0]},
    "ignore_and_fire": {"rate": 20.0},
}


def models(options):
    """Measure a step of a neuron of each model of the library, as it comes."""
    peers = {}
    if not why_missing(sys.executable, "nest"):
        with tempfile.TemporaryDirectory() as folder:
            peers = run_peer(sys.executable, "models_nest.py", folder, "--models", *library.names())
    rows = []
    n = int(20_000 * options.scale)
    for name in library.names():
        net = sc.Network(seed=1)
        model = library.load(name)(**GIVEN.get(name, {}))
        group = net.population("n", n, model)
        if model.definition.cls.input_current in model.values:
            net.drive(group, sc.Current(CURRENTS.get(name, CURRENT)))
        found, _ = phase_times(net)
        rate = np.mean([gids.size for gids in found["spikes"]]) / (n * STEPS * 1e-4)
        measured = 1e9 * min(found["update"]) / (STEPS * n)
        rows.append(row(f"update, {name}, {rate:.0f}/s", measured, peers.get(name), "ns"))
    return rows


def poisson(options):
    """Measure a Poisson number, by the difference that it makes to an update."""
    n = int(77_169 * options.scale)
    words = [np.zeros(4096, np.uint32) for _ in range(4)]
    key = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(0)
    draw_many(*key, 4096, *words)
    ceiling = shortest(lambda: draw_many(*key, 4096, *words), 200) / (4 * 4096)
    plain = min(phase_times(neurons("exp", n))[0]["update"])
    rows = []
    for rate in (8_000.0, 20_000.0):
        with_input = min(phase_times(neurons("exp", n, rate))[0]["update"])
        seconds = (with_input - plain) / (STEPS * n)
        rows.append(row(f"poisson, {rate / 1e3:g} kHz", 1e9 * seconds, 1e9 * ceiling, "ns"))
    return rows


@numba.njit
def add_all(words, row, down):
    """Add synapses with drawn weights in the order of memory."""
    for word in words:
        row[word & np.uint32(0xFFFF)] += np.int32(word & np.uint32(0xFFFF0000)) >> down


def deliver(options):
    """Measure a synaptic event of the microcircuit."""
    net = microcircuit.build(N_scaling=options.scale, K_scaling=options.scale, drive="dc")
    found, shard = phase_times(net)
    (synapses,) = shard.tables
    assert synapses.form is WeightForm.DRAWN
    degrees = outdegrees(synapses, net.n_neurons)
    events = [degrees[gids].sum() for gids in found["spikes"]]
    seconds = min(t / n for t, n in zip(found["deliver"], events, strict=True))
    arrived, down = np.zeros(2**16, np.int32), np.int32(16 - synapses.shift)
    add_all(synapses.words[:1], arrived, down)
    ceiling = shortest(lambda: add_all(synapses.words, arrived, down)) / synapses.n_synapses
    kept = shard.nbytes / shard.n_synapses
    return [
        row("deliver, microcircuit", 1e9 * seconds, 1e9 * ceiling, "ns"),
        row("bytes of a synapse", kept, 4.0, "B"),
    ]


def outdegrees(synapses, n_sources):
    """Return the number of synapses of each source."""
    bits = np.unpackbits(synapses.sources[:, :, 0].copy().view(np.uint8), axis=1, bitorder="little")
    _, source = np.nonzero(bits)
    lengths = np.diff(synapses.rows[:, 1].astype(np.int64))
    return np.bincount(source, weights=lengths, minlength=n_sources)


def build(options):
    """Measure a synapse of the build."""
    net = microcircuit.build(N_scaling=options.scale, K_scaling=options.scale, drive="dc")
    division = partition(net, 1)
    build_shard(microcircuit.build(N_scaling=0.01, K_scaling=0.01), division, 0, 0.1)
    shard = build_shard(net, division, 0, 0.1)
    n = shard.n_synapses
    del shard
    seconds = shortest(lambda: build_shard(net, division, 0, 0.1), 3) / n
    words = [np.zeros(4096, np.uint32) for _ in range(4)]
    key = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(0)
    draw_many(*key, 4096, *words)
    philox = shortest(lambda: draw_many(*key, 4096, *words), 200) / 4096
    write = shortest(lambda: np.full(n, 1, np.uint32), 3) / n
    return [row("build, microcircuit", 1e9 * seconds, 1e9 * (2 * philox + 2 * write), "ns")]


def exchange(options):
    """Measure an exchange between two ranks, in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "exchange.json"
        call_python(sys.executable, Path(__file__), "--exchange", "--json", report, ranks=2)
        found = json.loads(report.read_text())
    return [row("exchange, 25 spikes", found["ours"], found["bare"], "us")]


def measure_exchange(path):
    """Measure exchanges as one of the ranks, and write what rank 0 found."""
    comm = world()
    ours, n = SpikeExchange(comm), 5000
    ours.warm_up()
    spikes = Spikes(0, np.arange(25, dtype=np.int64))

    def meet():
        ours.start(spikes)
        ours.wait()

    def bare():
        comm.allgather_into(send, receive)

    send, receive = np.zeros(63, np.int64), np.zeros(63 * comm.size, np.int64)
    times = {}
    for name, function in (("ours", meet), ("bare", bare)):
        times[name] = min(
            shortest(lambda f=function: [f() for _ in range(n)], 1) / n for _ in range(REPEATS)
        )
    if comm.rank == 0:
        path.write_text(json.dumps({name: 1e6 * t for name, t in times.items()}))


@numba.njit
def nothing():
    """Return."""


def epoch(options):
    """Measure the time of an epoch of one step of one neuron."""
    simulation = sc.Simulation(neurons("exp", 1), comm=SerialComm())
    simulation.warm_up()
    simulation.epoch_steps = 1
    n = 10_000
    seconds = shortest(lambda: simulation.run(0.1 * n)) / n
    nothing()
    ceiling = shortest(lambda: [nothing() for _ in range(n)]) / n
    return [row("epoch, one neuron", 1e6 * seconds, 1e6 * ceiling, "us")]


def parts(options):
    """Measure what a Poisson number and a synaptic event are made of, in the cache."""
    n, number = 64 * poisson_kernels.TILE, poisson_table(1.6)
    gids, one = np.arange(n), np.uint64(1)
    counts, arrived = np.zeros((4, n), np.uint16), np.zeros(n, np.int32)
    none = number.thresholds[:0]

    def refill(thresholds):
        poisson_kernels.refill(one, one, gids, one, number.first, thresholds, 0, counts)

    def add_counts():
        poisson_kernels.add_counts(counts[0], np.int32(3), arrived)

    refill(number.thresholds)
    add_counts()
    whole, drawing = (
        shortest(lambda t=t: refill(t), 50) / (4 * n) for t in (number.thresholds, none)
    )
    generator = np.random.default_rng(1)
    words = generator.integers(0, 2**15, 2**16).astype(np.uint32)
    row_of_input, down = np.zeros(2**16, np.int32), np.int32(3)
    add_all(words[:1], row_of_input, down)
    adding = shortest(lambda: add_all(words, row_of_input, down), 200) / words.size
    return [
        row("poisson: drawing", 1e9 * drawing, None, "ns"),
        row("poisson: comparing", 1e9 * (whole - drawing), None, "ns"),
        row("poisson: adding to the input", 1e9 * shortest(add_counts, 200) / n, None, "ns"),
        row("event: adding, from the cache", 1e9 * adding, None, "ns"),
    ]


def blocks(options):
    """Measure a synaptic event with targets cut into more or fewer blocks."""
    rows, usual = [], shard_module.MAX_BLOCK
    for size in (usual // 4, usual // 2, usual, 2 * usual):
        shard_module.MAX_BLOCK = size
        rows.append(deliver(options)[0] | {"piece": f"deliver, {size // 2} targets a block"})
    shard_module.MAX_BLOCK = usual
    return rows


def row(piece, measured, ceiling, unit):
    """Return a row of the table."""
    return {"piece": piece, "measured": measured, "ceiling": ceiling, "unit": unit}


def main():
    """Measure the pieces and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the microcircuit")
    parser.add_argument("--only", nargs="+", choices=PIECES, default=PIECES)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--exchange", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.exchange:
        measure_exchange(options.json)
        return

    rows = [found for name in options.only for found in globals()[name](options)]
    lines = [
        (
            r["piece"],
            f"{r['measured']:.2f}",
            f"{r['ceiling']:.2f}" if r["ceiling"] else "",
            r["unit"],
            f"{r['measured'] / r['ceiling']:.1f}" if r["ceiling"] else "",
        )
        for r in rows
    ]
    print(table(("piece", "measured", "ceiling", "unit", "ratio"), lines))
    write_json(options.json, rows, scale=options.scale)


if __name__ == "__main__":
    main()
