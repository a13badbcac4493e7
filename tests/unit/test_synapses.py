"""The synapses as the GPU draws and keeps them: those of the host, in at most 6 bytes each."""

from functools import partial

import numpy as np
import pytest

import simcore as sc
from simcore.discretization.fixed_point import WeightForm, fixed_point
from simcore.estimates.expected_synapses import Expectation
from simcore.estimates.gpu_memory import estimate_device
from simcore.kernels.cuda import synapse_builder, synapses
from simcore.kernels.cuda.device import Device
from simcore.kernels.cuda.device_shard import DeviceShard
from simcore.kernels.cuda.launch_queue import LaunchQueue
from simcore.kernels.cuda.models import ModelSet
from simcore.kernels.cuda.structs import Parts, one_part
from simcore.kernels.cuda.synapse_builder import SynapseBuilder
from simcore.kernels.cuda.synapses import make_sections
from simcore.kernels.neuron_tables import make_neuron_tables
from simcore.partition import partition
from simcore.services.errors import CapacityError
from simcore.shards.gpu_synapse_layout import LAUNCH_BYTES, Sections, cut_targets
from tests.emulation.gpu import Gpu
from tests.networks import SYNAPSE, advance, build, differences, every_feature, specify
from tests.networks import synapses as synapses_of


@pytest.fixture
def gpu(monkeypatch):
    gpu = Gpu()
    gpu.install(monkeypatch)
    return gpu


def draw(shard, parts=None, report=lambda share: None):
    """Draw the synapses of a shard on a device; return its tables, and who drew them."""
    device = Device("float64", ModelSet(()))
    gids = device.upload(shard.neurons.gids)
    builder = SynapseBuilder(device, shard, parts or one_part(shard.neurons.size), gids, report)
    tables = builder.count(make_sections(shard))
    builder.put(tables)
    return tables, builder


def drawn(shard, tables):
    """Return the synapses that were drawn, sorted, as `tests.networks.synapses` does."""
    return np.sort(np.concatenate([np.zeros(0, SYNAPSE), *(unpacked(shard, t) for t in tables)]))


def unpacked(shard, table):
    section, n_parts = table.section, table.parts.n
    arrays = {name: buffer.read() for name, buffer in table.buffers.items()}
    lengths = np.diff(arrays["rows"].astype(np.int64))
    sources = np.arange(section.n_sources)
    if n_parts == 1:
        groups = arrays["sources"].reshape(-1, 3)
        has_row = np.unpackbits(groups[:, 0].copy().view(np.uint8), bitorder="little") == 1
        sources = sources[has_row]
        assert (lengths > 0).all()
        assert groups[:, 1].tolist() == before(has_row.reshape(-1, 64).sum(axis=1))
        each = np.zeros(section.n_sources, dtype=np.int64)
        each[has_row] = lengths
        assert groups[:, 2].tolist() == before(each.reshape(-1, 64).sum(axis=1))
    lengths = lengths.reshape(-1, n_parts)
    assert len(lengths) == len(sources)
    assert np.count_nonzero(lengths) == table.n_rows
    assert lengths.sum() == table.n_synapses

    n = table.n_synapses
    place = arrays["low"][:n].astype(np.int64) | arrays["high"][:n].astype(np.int64) << 16
    channel, target = place >> section.target_bits, place & (1 << section.target_bits) - 1
    lids = section.lids[0] + target
    parts = np.repeat(np.tile(np.arange(n_parts), len(sources)), lengths.reshape(-1))
    assert (parts == lids // table.parts.size).all()
    rows = np.empty(n, SYNAPSE)
    rows["source"] = np.repeat(sources, lengths.sum(axis=1))
    rows["target"] = shard.neurons.gids[lids]
    rows["delay"] = section.spec.delays[channel]
    rows["receptor"] = section.spec.receptors[channel]
    if section.spec.form is WeightForm.CONSTANT:
        rows["weight"] = section.spec.weights[channel]
    elif section.spec.form is WeightForm.DRAWN:
        weights = arrays["weights"].astype(np.int16).astype(np.int64)
        rows["weight"] = weights << section.spec.shift
    else:
        high = arrays["high_weights"].astype(np.int64)
        rows["weight"] = (high << 16) + arrays["weights"]
    return rows


def before(numbers):
    return (np.cumsum(numbers) - numbers).tolist()


def in_sections(monkeypatch, size):
    """Cut targets into sections of a size."""
    cut = synapses.cut_targets

    def smaller(form, points, n_channels, n_neurons, *given):
        wide = cut(form, points, n_channels, n_neurons, *given).high_bytes
        return Sections(n_neurons, size, wide)

    monkeypatch.setattr(synapses, "cut_targets", smaller)


@pytest.mark.parametrize("chunk", [3, 2**18])
@pytest.mark.parametrize("section", [8, 40, None])
@pytest.mark.parametrize("size", [7, 107])
def test_synapses_are_those_of_the_host(monkeypatch, gpu, chunk, section, size):
    monkeypatch.setattr(synapse_builder, "CHUNK", chunk)
    if section:
        in_sections(monkeypatch, section)
    shard, own = build(every_feature()), specify(every_feature())
    tables, builder = draw(own, Parts(own.neurons.size, size))
    assert {t.section.spec.form for t in tables} == set(WeightForm)
    assert (drawn(shard, tables) == synapses_of(shard)).all()
    assert builder.shortest == shard.min_remote_delay == 2**62
    assert len(tables) >= (12 if section == 8 else 3)
    met = sum(table.fan_out[:, 1] for table in tables)
    assert met.tolist() == shard.inventory().fan_out[:, 1].tolist()


@pytest.mark.parametrize("size", [7, 107])
@pytest.mark.parametrize("rank", range(3))
def test_ranks_draw_what_the_host_does(gpu, rank, size):
    network = every_feature()
    shard, own = build(network, rank, 3), specify(network, rank, 3)
    tables, builder = draw(own, Parts(own.neurons.size, size))
    assert (drawn(own, tables) == synapses_of(shard)).all()
    assert own.earliest <= builder.shortest == shard.min_remote_delay < 2**62


RULES = {
    "all": sc.AllToAll,
    "few": partial(sc.FixedIndegree, 3),
    "many": partial(sc.FixedIndegree, 500),
    "few distinct": partial(sc.FixedIndegree, 3, allow_multapses=False),
    "half": partial(sc.FixedIndegree, 50, allow_multapses=False),
    "most": partial(sc.FixedIndegree, 98, allow_multapses=False),
    "every one": partial(sc.FixedIndegree, 99, allow_multapses=False),
    "rare": partial(sc.PairwiseBernoulli, 0.01),
    "common": partial(sc.PairwiseBernoulli, 0.6),
    "total": partial(sc.FixedTotalNumber, 5000),
    "outdegree": partial(sc.FixedOutdegree, 30),
}


@pytest.mark.parametrize("slots", [2**8, 2**12, 2**26])
@pytest.mark.parametrize("rule", RULES)
def test_rules(monkeypatch, gpu, rule, slots):
    """Each rule with and without autapses, and with room for few or many warps."""
    monkeypatch.setattr(synapse_builder, "SCRATCH_BYTES", slots)
    net = sc.Network(seed=2**61 + 7)
    a, b = net.population("a", 100, sc.LIF()), net.population("b", 100, sc.LIF())
    for target, autapses in ((a, False), (b, True)):
        given = RULES[rule](allow_autapses=autapses)
        net.connect(a, target, given, weight=sc.Normal(1.0, 2.0), delay=sc.Uniform(0.5, 2.0))
    net.connect(b, b, sc.OneToOne(), weight=1.0, delay=1.0)
    own = specify(net)
    tables, _ = draw(own)
    assert (drawn(own, tables) == synapses_of(build(net))).all()


def test_synapses_that_are_lost_are_missed(gpu, monkeypatch):
    launch = SynapseBuilder._launch

    def some(self, kernel, *given):
        if kernel.function.name != "count_listed":
            launch(self, kernel, *given)

    monkeypatch.setattr(SynapseBuilder, "_launch", some)
    with pytest.raises(CapacityError, match=r"synapses counted is \d+, must be \d+, as many as"):
        draw(specify(every_feature()))


@pytest.mark.parametrize(("section", "n_units"), [(8, 3), (30, 3), (64, 1)])
def test_several_sections_give_the_same_results(monkeypatch, emulated_gpu, section, n_units):
    network = every_feature()
    wanted = advance(network, 300, "reference")
    in_sections(monkeypatch, section)
    monkeypatch.setattr(emulated_gpu, "units", n_units)
    assert differences(advance(network, 300, "cuda"), wanted) == []


def test_progress_is_reported(gpu):
    shares = []
    draw(specify(every_feature()), report=shares.append)
    assert (np.diff(shares) >= 0).all()
    assert shares[-1] == pytest.approx(1.0)
    assert len(shares) >= 2 * len(every_feature().projections)


def test_more_synapses_of_a_target_than_the_sums_allow_for(gpu, monkeypatch):
    net = sc.Network()
    a = net.population("a", 10, sc.LIF())
    net.connect(a, a, sc.FixedTotalNumber(500), weight=1.0, delay=1.0)
    monkeypatch.setattr("simcore.discretization.fixed_point.indegree_bound", lambda projection: 51)
    with pytest.raises(CapacityError, match=r"'a' to 'a': a target received \d+ synapses.*for 51"):
        draw(specify(net))


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
    own = specify(net)
    (section,) = make_sections(own)
    assert sum(np.dtype(d).itemsize for n, d in section.arrays(1).values() if n) == expected
    tables, _ = draw(own)
    assert (drawn(own, tables) == synapses_of(build(net))).all()
    wanted, found = (advance(net, 100, backend) for backend in ("reference", "cuda"))
    assert differences(found, wanted) == []


@pytest.mark.parametrize(
    ("channels", "neurons", "synapses", "size", "high"),
    [
        (1, 2**24, 1e10, 2**24, 1),
        (2, 2**24, 1e11, 2**23, 1),
        (2, 2**24, 5e6, 2**24, 2),
        (256, 2**16, 1e9, 2**16, 1),
        (2**16, 100, 1e3, 100, 1),
        (2**16, 300, 1e3, 300, 2),
        (2**16, 2**17, 1e9, 2**16, 2),
        (1, 3, 0.0, 3, 1),
    ],
)
def test_sections(channels, neurons, synapses, size, high):
    """Targets are cut where narrow places save more than shorter rows cost."""
    points = fixed_point(sc.Network(), 0.1)
    found = cut_targets(WeightForm.CONSTANT, points, channels, neurons, 2**24, synapses)
    assert (found.size, found.high_bytes) == (size, high)
    assert found.bounds[-1] == neurons
    assert 2**found.target_bits * channels <= 2 ** (16 + 8 * high) or channels == 1


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
def test_rows_as_short_as_those_of_ten_million_neurons(monkeypatch, gpu, drawn):
    """A thousandth of the neurons, and sections of a thousandth as many."""
    small = 2**10
    cut = cut_targets

    def smaller(form, points, n_channels, n_neurons, n_sources, n_synapses):
        given = n_neurons * small, n_sources * small, n_synapses * small
        found = cut(form, points, n_channels, *given)
        return Sections(n_neurons, -(-found.size // small), found.high_bytes)

    monkeypatch.setattr(synapses, "cut_targets", smaller)
    tables, _ = draw(specify(sparse(10**7 // small, 100, drawn)))
    each = sum(t.nbytes for t in tables) / sum(t.n_synapses for t in tables)
    assert each < (4.0 if not drawn else 6.0)


def resident(gpu, shard):
    """Put a shard on a device; return what was allocated at most, and is now [B]."""
    gpu.free = gpu.least = 2**40
    neuron_tables = make_neuron_tables(shard, np.dtype("float64"))
    own = Device("float64", ModelSet(neuron_tables.programs, neuron_tables.varying))
    found = DeviceShard(own, shard, neuron_tables, ())
    launches = LaunchQueue(own, own.grid(), found.n_words)
    assert launches.under_way == 0
    return 2**40 - gpu.least, 2**40 - gpu.free


def test_memory_is_what_was_said(gpu, monkeypatch):
    """What is allocated for synapses, and for all, is what was asked about before."""
    asked = []
    monkeypatch.setattr(
        "simcore.kernels.cuda.device_shard.require_gpu_memory",
        lambda needed, free: asked.append(needed - LAUNCH_BYTES),
    )
    peak, kept = resident(gpu, specify(every_feature()))
    before, after = asked
    assert after == pytest.approx(kept, abs=1000)
    assert before == pytest.approx(kept, rel=0.01)
    assert peak - kept < 2e6


@pytest.mark.parametrize(("case", "n_ranks"), [("plain", 1), ("trains", 1), ("sources", 64)])
def test_estimate_is_what_is_allocated(gpu, case, n_ranks):
    net = sparse(20_000, 20, True)
    if case == "trains":
        times = np.arange(1, 50_001) * 0.1
        trains = sc.SpikeTrains(times, np.zeros(times.size, dtype=np.int64))
        net.connect(
            net.population("given", 5, trains), net.populations[0], sc.FixedIndegree(1),
            weight=40.0, delay=1.5,
        )  # fmt: skip
    if case == "sources":
        # Counting takes more than what comes later
        net = sc.Network(seed=1)
        many = net.population("many", 1_000_000, sc.SpikeTrains([1.0], [0]))
        net.connect(many, net.population("one", 1, sc.LIF()), sc.FixedIndegree(10), 1.0, 1.0)
    rank = int(partition(net, n_ranks).owner(net.n_neurons - 1))
    peak, kept = resident(gpu, specify(net, rank, n_ranks))
    expectation = Expectation(net, fixed_point(net, 0.1), 0.1)
    expected = estimate_device(expectation, partition(net, n_ranks).owned(rank))
    assert peak == pytest.approx(expected.total, rel=0.02)
    assert (peak > 1.2 * kept) == (expected.counting > 1e6) == (case == "sources")


@pytest.mark.parametrize("drawn", [False, True])
def test_estimate_is_what_a_build_takes(gpu, drawn):
    net = sparse(20_000, 100, drawn)
    tables, _ = draw(specify(net))
    assert sum(table.nbytes for table in tables) == pytest.approx(expected_bytes(net), rel=0.02)
