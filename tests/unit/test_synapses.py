"""The synapses as the GPU keeps them: nothing is lost, and at most 6 bytes each."""

from dataclasses import replace

import numpy as np
import pytest

import simcore as sc
from simcore import shard as shards
from simcore.fixed_point import Form, fixed_point
from simcore.kernels.cuda import synapses
from simcore.kernels.cuda.device import Device
from simcore.kernels.cuda.launches import Launches
from simcore.kernels.cuda.machine import Parts
from simcore.kernels.cuda.residence import Residence
from simcore.kernels.cuda.synapses import make_sections
from simcore.kernels.plan import make_plan
from simcore.partition import Expectation, estimate_device, partition
from simcore.places import blocks_together
from tests.emulation.gpu import Gpu
from tests.networks import advance, build, differences, every_feature


def unpacked(section):
    """Return source, target, delay, receptor and weight in quanta of all synapses of a section."""
    groups = section.groups()
    chunks = list(section.chunks(groups))
    firsts = np.concatenate([c.rows for c in chunks]).astype(np.int64)
    low, high, weights, high_weights = (
        np.concatenate([c.arrays[name] for c in chunks])
        for name in ("low", "high", "weights", "high_weights")
    )
    bits = groups[:, 0]
    sources = [
        64 * g + k for g, word in enumerate(bits.tolist()) for k in range(64) if word >> k & 1
    ]
    assert len(sources) == section.n_rows
    if section.parts.n > 1:
        sources = np.arange(section.n_sources)
    assert firsts.shape == (len(sources), section.parts.n)
    assert firsts.size + 1 == section.n_row_words
    lengths = np.diff(np.append(firsts, section.n_synapses)).reshape(firsts.shape)
    assert np.count_nonzero(lengths.sum(axis=1)) == section.n_rows
    place = low.astype(np.int64) | high.astype(np.int64) << 16
    channel, target = place >> section.target_bits, place & (1 << section.target_bits) - 1
    table = section.table
    if table.form is Form.CONSTANT:
        weights = table.weights[channel]
    elif table.form is Form.DRAWN:
        weights = weights.astype(np.int16)
    else:
        weights = (high_weights.astype(np.int64) << 16) + weights
    parts = np.repeat(np.tile(np.arange(section.parts.n), len(sources)), lengths.reshape(-1))
    assert (parts == (section.origin + target) // section.parts.size).all()
    rows = np.repeat(sources, lengths.sum(axis=1)), section.origin + target
    return (
        *rows,
        table.delays[channel],
        table.receptors[channel],
        weights.astype(np.int64) << table.shift,
    )


def originals(shard, table):
    """Return the same of all synapses of a table of the host."""
    found = []
    for block in range(shard.blocks.size - 1):
        for source in range(shard.network.n_neurons):
            for channel, begin, end in table.runs_of(block, source):
                words = table.words[begin:end].astype(np.int64)
                weights = np.full(words.size, table.weights[channel], dtype=np.int64)
                if table.form is Form.DRAWN:
                    weights = (words >> 16).astype(np.int16).astype(np.int64) << table.shift
                elif table.form is Form.EXACT:
                    weights = table.exact[begin:end].astype(np.int64)
                same = (source, table.delays[channel], table.receptors[channel])
                source_of, delays, receptors = (np.full(words.size, value) for value in same)
                targets = shard.blocks[block] + (words & 0xFFFF)
                found.append((source_of, targets, delays, receptors, weights))
    return [np.concatenate(column) for column in zip(*found, strict=True)]


def in_order(columns):
    rows = np.stack([np.asarray(c, dtype=np.int64) for c in columns])
    return rows[:, np.lexsort(rows[::-1])]


@pytest.mark.parametrize("chunk", [100, 2**22])
@pytest.mark.parametrize("block", [8, 40, 2**16])
@pytest.mark.parametrize("together", [None, 1, 3])
@pytest.mark.parametrize("size", [7, 107])
def test_nothing_is_lost(monkeypatch, chunk, block, together, size):
    monkeypatch.setattr(synapses, "CHUNK", chunk)
    monkeypatch.setattr(shards, "MAX_BLOCK", block)
    if together:
        monkeypatch.setattr(synapses, "blocks_together", lambda *_: together)
    shard = build(every_feature())
    parts = Parts(shard.neurons.size, size)
    sections = [replace(section, parts=parts) for section in make_sections(shard)]
    for table in shard.tables:
        own = [unpacked(s) for s in sections if s.table is table]
        columns = [np.concatenate(column) for column in zip(*own, strict=True)]
        assert (in_order(columns) == in_order(originals(shard, table))).all()
    if together == 1 and block == 8:
        assert len(sections) > 12


@pytest.mark.parametrize(("block", "together"), [(8, 1), (8, 3), (40, 2)])
def test_several_sections_give_the_same_results(monkeypatch, emulated_gpu, block, together):
    network = every_feature()
    wanted = advance(network, 300, "reference")
    monkeypatch.setattr(shards, "MAX_BLOCK", block)
    monkeypatch.setattr(synapses, "blocks_together", lambda *_: together)
    assert differences(advance(network, 300, "cuda"), wanted) == []


@pytest.mark.parametrize(("indegree", "expected"), [(10, 7), (1000, 6)])
def test_weights_given_one_by_one(monkeypatch, emulated_gpu, indegree, expected):
    """The more synapses a neuron has, the fewer bits each of their weights needs."""
    net = sc.Network(seed=3)
    times, n = np.arange(1, 6) * 1.0, 1000
    source = net.population("source", n, sc.SpikeTrains(times, np.arange(5)))
    target = net.population("target", 3, sc.LIF(tau_syn=2.0))
    sources = np.tile(np.arange(indegree), 3)
    weights = np.linspace(-9.0, 10.0, sources.size)
    edges = sc.Edges(sources, np.repeat(np.arange(3), indegree), weights=weights)
    net.connect(source, target, edges, delay=1.0)
    shard = build(net)
    (section,) = make_sections(shard)
    assert sum(np.dtype(d).itemsize for n, d in section.arrays(1).values() if n) == expected
    (table,) = shard.tables
    assert (in_order(unpacked(section)) == in_order(originals(shard, table))).all()
    wanted, found = (advance(net, 100, backend) for backend in ("reference", "cuda"))
    assert differences(found, wanted) == []


@pytest.mark.parametrize(
    ("channels", "high", "expected"),
    [
        (1, 1, 256),
        (2, 1, 128),
        (128, 1, 2),
        (257, 1, 0),
        (2**16, 1, 0),
        (1, 2, 2**16),
        (2**16, 2, 1),
    ],
)
def test_blocks_of_a_section(channels, high, expected):
    assert blocks_together(2**16, channels, high) == expected


def sparse(n, indegree, drawn):
    """Describe a network of two populations with delays of 1 to 3 ms."""
    net = sc.Network(seed=3)
    groups = [net.population(name, n // 2, sc.LIF(tau_syn=2.0)) for name in "ab"]
    for source in groups:
        weight = sc.Normal(40.0, 4.0) if drawn else 40.0
        delay = sc.Uniform(1.0, 3.0) if drawn else 1.5
        net.connect(source, groups, sc.FixedIndegree(indegree // 2), weight=weight, delay=delay)
    return net


def expected_bytes(net):
    """Return what the synapses of a network and their index are expected to take on one GPU."""
    found = estimate_device(
        Expectation(net, fixed_point(net, 0.1), 0.1), partition(net, 1, "block").owned(0)
    )
    return found.synapses + found.index


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize(("n", "indegree"), [(10**7, 1000), (2 * 10**7, 1000), (2 * 10**6, 10**4)])
def test_large_networks_take_six_bytes_a_synapse(n, indegree, drawn):
    net = sparse(n, indegree, drawn)
    assert (5.0 if drawn else 3.0) < expected_bytes(net) / (n * indegree) < (6.0 if drawn else 4.0)


@pytest.mark.parametrize("drawn", [False, True])
def test_rows_as_short_as_those_of_ten_million_neurons(monkeypatch, drawn):
    """A thousandth of the neurons, in blocks and places of a thousandth as many."""
    small = 2**10
    monkeypatch.setattr(shards, "MAX_BLOCK", 2**16 // small)
    monkeypatch.setattr(
        synapses,
        "blocks_together",
        lambda largest, *given: blocks_together(largest * small, *given),
    )
    shard = build(sparse(10**7 // small, 1000, drawn))
    (table,) = shard.tables
    assert table.n_synapses / len(table.rows) < 7.0
    assert table.nbytes / table.n_synapses > (3.8 if not drawn else 7.5)
    sections = make_sections(shard)
    assert sum(s.nbytes for s in sections) / shard.n_synapses < (4.0 if not drawn else 6.0)


def test_memory_is_what_was_said(monkeypatch):
    """What is allocated for synapses, and for all, is what was asked about before."""
    gpu = Gpu()
    gpu.install(monkeypatch)
    shard = build(every_feature())
    asked = []
    monkeypatch.setattr(
        "simcore.kernels.cuda.residence.require_gpu_memory",
        lambda needed, free: asked.append(needed),
    )
    gpu.free = 2**40
    own, plan = Device("float64"), make_plan(shard, np.dtype("float64"))
    residence = Residence(own, shard, plan, ())
    Launches(own, own.grid(), residence.n_words)
    assert asked[0] - 2**24 == pytest.approx(2**40 - gpu.free, abs=1000)


@pytest.mark.parametrize("case", ["plain", "trains"])
def test_estimate_is_what_is_allocated(monkeypatch, case):
    gpu = Gpu()
    gpu.install(monkeypatch)
    gpu.free = 2**40
    net = sparse(20_000, 20, True)
    if case == "trains":
        times = np.arange(1, 50_001) * 0.1
        trains = sc.SpikeTrains(times, np.zeros(times.size, dtype=np.int64))
        net.connect(
            net.population("given", 5, trains), net.populations[0], sc.FixedIndegree(1),
            weight=40.0, delay=1.5,
        )  # fmt: skip
    shard = build(net)
    own, plan = Device("float64"), make_plan(shard, np.dtype("float64"))
    residence = Residence(own, shard, plan, ())
    Launches(own, own.grid(), residence.n_words)
    points = fixed_point(net, 0.1)
    expected = estimate_device(Expectation(net, points, 0.1), partition(net, 1, "block").owned(0))
    assert 2**40 - gpu.free == pytest.approx(expected.total, rel=0.02)


@pytest.mark.parametrize("drawn", [False, True])
def test_estimate_is_what_a_build_takes(drawn):
    n = 20_000
    net = sparse(n, 200, drawn)
    found = sum(section.nbytes for section in make_sections(build(net)))
    assert found == pytest.approx(expected_bytes(net), rel=0.02)


def test_host_holds_one_chunk_beside_the_shard(monkeypatch):
    monkeypatch.setattr(synapses, "CHUNK", 20_000)
    (section,) = make_sections(build(sparse(4000, 100, True)))
    chunks = [chunk.arrays["low"].size for chunk in section.chunks(section.groups())]
    assert sum(chunks) == section.n_synapses == 400_000
    assert max(chunks) <= 20_000
    assert len(chunks) < 25
