"""Networks that several tests share, and ways to build, run and read them in one process."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

import simcore as sc
from simcore.construction.build import build_shard, build_shards
from simcore.construction.specification import specify_shards
from simcore.discretization.fixed_point import WeightForm
from simcore.io.recorder import probes
from simcore.kernels import Probe, make_threaded_backend
from simcore.library import load
from simcore.numerics.clock import Clock, Epoch
from simcore.numerics.spikes import NO_SPIKES
from simcore.partition import partition
from simcore.services.comm import SerialComm

SYNAPSE = np.dtype([(n, np.int64) for n in ("source", "target", "delay", "receptor", "weight")])


def synapses(shard):
    """Return the synapses of a shard, read from its tables and sorted.

    Source and target are global ids, the delay is in steps, the weight in quanta.
    """
    return np.sort(np.concatenate([np.zeros(0, SYNAPSE), *(_rows(shard, t) for t in shard.tables)]))


def _rows(shard, table):
    block, source, channel = (
        np.array(column, dtype=np.int64) for column in _run_of_each_synapse(shard, table)
    )
    words = table.words.astype(np.int64)
    rows = np.empty(words.size, SYNAPSE)
    rows["source"] = source
    rows["target"] = shard.neurons.gids[shard.blocks[block] + (words & 0xFFFF)]
    rows["delay"] = table.delays[channel]
    rows["receptor"] = table.receptors[channel]
    if table.form is WeightForm.DRAWN:
        rows["weight"] = (words >> 16).astype(np.int16).astype(np.int64) << table.shift
    elif table.form is WeightForm.EXACT:
        rows["weight"] = table.exact
    else:
        rows["weight"] = table.weights[channel]
    return rows


def _run_of_each_synapse(shard, table):
    """Return block, source and channel of each synapse, in the order in which they lie."""
    found = [
        (block, source, channel, begin, end)
        for block in range(shard.blocks.size - 1)
        for source in range(shard.network.n_neurons)
        for channel, begin, end in table.runs_of(block, source)
    ]
    *runs, begin, end = np.array(found, dtype=np.int64).reshape(-1, 5).T
    assert (begin[1:] == end[:-1]).all()
    assert (end > begin).all()
    assert begin.min(initial=0) == 0
    assert end.max(initial=0) == table.words.size
    assert table.rows[-1].tolist() == [len(found), table.words.size]
    return [np.repeat(column, end - begin) for column in runs]


def build(network, rank=0, n_ranks=1, partitioner="balanced", dt=0.1):
    """Return the shard of a rank."""
    return build_shard(network, partition(network, n_ranks, partitioner), rank, dt)


def specify(network, rank=0, n_ranks=1, partitioner="balanced", dt=0.1):
    """Return the shard of a rank before its synapses are drawn."""
    division = partition(network, n_ranks, partitioner)
    return specify_shards(network, division, range(rank, rank + 1), dt)[0]


def shard_for(backend, *given, **options):
    """Return what a backend takes: the shard of a rank, which a GPU builds itself."""
    return (specify if backend == "cuda" else build)(*given, **options)


def of_projection(rows, projection):
    """Return the synapses between the two sides of a projection."""
    from_source = projection.source.ids.contains(rows["source"])
    return rows[from_source & projection.target.ids.contains(rows["target"])]


@dataclass
class Result:
    """Spikes in their order, potentials by global id, and the samples of each probe."""

    steps: np.ndarray
    gids: np.ndarray
    V_m: np.ndarray
    samples: list

    def counts(self, network):
        """Return the number of spikes of each population."""
        firsts = [p.first for p in network.populations]
        populations = np.searchsorted(firsts, self.gids, side="right") - 1
        return np.bincount(populations, minlength=len(firsts)).tolist()


def make_run(network, backend="cpu", precision="float64", shards=None, dt=0.1, threads=1):
    """Return a backend that has the whole network, with the probes of its records."""
    if shards is None:
        make = specify_shards if backend == "cuda" else build_shards
        shards = make(network, partition(network, threads), range(threads), dt)
    sampled = [
        tuple(Probe(*p) for p in probes(network, shard.neurons, Clock(dt))) for shard in shards
    ]
    return make_threaded_backend(backend, shards, sampled, precision)


def advance(network, steps, backend="cpu", precision="float64", epochs=None, shard=None, **options):
    """Advance a network alone, in epochs of given lengths; return a `Result`."""
    run = make_run(network, backend, precision, shard and (shard,), **options)
    bounds = np.cumsum([0, *epochs]) if epochs is not None else [*range(0, steps, 1000), steps]
    assert bounds[-1] == steps
    spikes, samples = [], []
    for begin, end in pairwise(bounds):
        spikes.append(run.advance(Epoch(int(begin), int(end)), NO_SPIKES))
        samples.append(run.samples())
    return Result(
        np.concatenate([s.steps for s in spikes]),
        np.concatenate([s.gids for s in spikes]),
        run.potentials(),
        [np.concatenate(rows) for rows in zip(*samples, strict=True)],
    )


def differences(one, other):
    """Return what differs between two results, to the last bit; an empty list if nothing does."""
    found = [
        name
        for name in ("steps", "gids", "V_m")
        if not same_bits(getattr(one, name), getattr(other, name))
    ]
    pairs = zip(one.samples, other.samples, strict=True)
    return found + [f"samples {i}" for i, (a, b) in enumerate(pairs) if not same_bits(a, b)]


def same_bits(a, b):
    """Tell whether two arrays have the same type, shape and bits."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def serial(network, **options):
    """Return a `Simulation` of this process alone, also inside mpiexec."""
    return sc.Simulation(network, comm=SerialComm(), **options)


def every_feature(seed=12):
    """Describe a small network with every rule, distribution, model, stimulus and kind of record.

    All forms of weights, one and two receptors and delta synapses occur in one shard; the
    shortest delay is two steps, the longest 3.5 ms. `tests/unit/test_every_feature.py` checks
    that nothing public is missing.
    """
    net = sc.Network(seed=seed)
    one = net.population(
        "one", 40, sc.LIF(tau_syn=2.0, t_ref=1.0, I_e=400.0), V_m=sc.Normal(8.0, 6.0, high=19.0)
    )
    two = net.population(
        "two",
        24,
        sc.LIF(E_L=-65.0, V_th=-50.0, V_reset=-67.0, tau_m=15.0, tau_syn=(1.0, 4.0)),
        V_m=sc.Uniform(-70.0, -51.0),
    )
    jumps = net.population("jumps", 31, sc.LIF(tau_m=20.0, t_ref=0.5), V_m=5.0)
    bursts = net.population("bursts", 5, sc.PoissonSource(rate=6000.0, start=3.0, stop=35.0))
    trains = net.population("trains", 4, sc.SpikeTrains(*_trains(seed)))
    still = net.population("still", 3, sc.LIF(), V_m=0.5 * sc.Lognormal(0.7, 0.5))
    leaks = net.population("leaks", 9, load("iaf_cond_exp")(tau_syn_ex=3.0), V_m=-62.0, g_ex=2.0)
    copies = net.population("copies", 4, load("parrot_neuron")())
    lists = {"tau_sfa": [20.0, 5.0], "q_sfa": [5.0, 2.0], "tau_stc": [10.0], "q_stc": [9.0]}
    escape = load("gif_psc_exp")(lambda_0=300.0, Delta_V=4.0, t_ref=1.0, **lists)
    noisy = net.population("noisy", 7, escape, V_m=sc.Uniform(-70.0, -40.0))
    pulses = sc.Piecewise([0.0, 2.1, 7.0, 20.0], [900.0, 7000.0, 0.0, 2000.0])
    regular = net.population("regular", 6, sc.GammaSource(0.5 * pulses, shape=4, stop=30.0))

    normal = sc.Normal(1.5, 0.75, low=0.15, high=3.5)
    net.connect(bursts, one, sc.FixedIndegree(3), weight=60.0, delay=sc.Uniform(0.2, 2.0))
    net.connect(bursts, jumps, sc.PairwiseBernoulli(0.4), weight=0.6, delay=0.4)
    net.connect(trains, two[:20], sc.AllToAll(), weight=sc.Normal(300.0, 30.0), delay=normal)
    net.connect(trains, one[5:9], sc.OneToOne(), weight=sc.Constant(900.0), delay=2.0)
    net.connect(
        one,
        one,
        sc.FixedIndegree(8, allow_autapses=False, allow_multapses=False),
        weight=sc.Lognormal(3.0, 0.5, high=200.0),
        delay=sc.Normal(1.0, 1.0, low=0.3, high=3.0, outside="clip"),
    )
    net.connect(one, two, sc.FixedTotalNumber(300), weight=sc.Normal(150.0, 15.0), delay=normal)
    net.connect(two, one, sc.PairwiseBernoulli(0.3), weight=-120.0, delay=sc.Uniform(0.25, 0.95))
    net.connect(
        two, two, sc.FixedOutdegree(6, False, False), weight=sc.Uniform(-90.0, 60.0), delay=0.3
    )
    inhibition = -20.0 * sc.Lognormal(1.2, 0.4)
    net.connect(jumps, two, sc.FixedOutdegree(4), weight=inhibition, delay=normal)
    net.connect(two, jumps, sc.Edges(*_edges(seed)))
    net.connect(jumps, jumps, sc.AllToAll(allow_autapses=False), weight=-0.05, delay=0.2)
    net.connect(one, still, sc.FixedIndegree(2), weight=1.0, delay=1.0)
    net.connect(one, leaks, sc.FixedIndegree(6), weight=1.5, delay=1.2)
    net.connect(two, leaks, sc.FixedIndegree(2), weight=sc.Normal(0.5, 4.0), delay=0.7)
    net.connect(leaks, one, sc.FixedIndegree(2), weight=70.0, delay=0.8, receptor="1")
    net.connect(trains, copies, sc.OneToOne(), weight=1.0, delay=0.4)
    net.connect(copies, two, sc.FixedIndegree(1), weight=40.0, delay=0.4, receptor="in")
    net.connect(one, noisy, sc.FixedIndegree(5), weight=50.0, delay=0.9)
    net.connect(noisy, two, sc.FixedIndegree(2), weight=60.0, delay=1.1)
    net.connect(regular, one, sc.FixedIndegree(2), weight=50.0, delay=0.6)
    _connect_with_themselves(net, one, two, jumps)
    net.connect(bursts, jumps, sc.Edges([0, 1, 1, 4], [30, 2, 2, 7]), weight=0.7, delay=0.6)
    some = np.arange(31) % 5 % 3 == 1
    net.connect(one[::3], jumps[some], sc.FixedIndegree(4), weight=0.03, delay=0.8)
    net.connect(jumps[some], jumps[1::2], sc.FixedTotalNumber(90, False), weight=0.02, delay=0.9)

    net.drive(one, sc.Poisson(rate=8000.0, weight=25.0))
    net.drive(two, sc.Poisson(rate=9000.0, weight=80.0))
    net.drive(two[3:], sc.Poisson(rate=2000.0, weight=-50.0, start=10.1, stop=30.0))
    net.drive(jumps, sc.Poisson(rate=12000.0, weight=0.12))
    net.drive(jumps, sc.Poisson(rate=pulses, weight=0.2, start=1.0))
    net.drive(leaks, sc.Poisson(rate=3000.0, weight=0.4, receptor="ex"))
    net.drive(jumps[:7], sc.Current(40.0))
    net.drive(one[10:30], sc.Current(500.0, start=5.0, stop=12.3))
    net.drive([one[25:], two], sc.Current(-100.0, start=12.3, stop=20.0))
    net.drive(two[1::2], sc.Poisson(rate=1000.0, weight=20.0))
    net.drive(jumps[some], sc.Poisson(rate=500.0, weight=0.1, stop=40.0))
    net.drive(leaks[[1, 2, 5]], sc.Current(30.0))

    recorded = [one, two[::2], jumps[~some], bursts, trains, still, leaks, copies, noisy, regular]
    net.record(recorded, "spikes")
    net.record(one[::3], "V_m", interval=0.5)
    net.record(two[2:9], "V_m", interval=0.1, dtype="float64")
    net.record(jumps, "V_m", interval=2.0, dtype="float64")
    net.record(leaks[3:], "V_m", interval=0.1, dtype="float64")
    net.record([two[[0, 3, 4, 17]], leaks[::2]], "refractory", interval=0.3)
    net.record(two[::5], ["I_ex", "V_m"], interval=0.4, dtype="float64")
    net.record(leaks, ["g_in", "g_ex"], interval=0.7, dtype="float64")
    return net


def _connect_with_themselves(net, one, two, jumps):
    """Connect populations with themselves by every rule, with and without autapses."""
    clipped = sc.Lognormal(2.5, 0.4, low=8.0, high=18.0, outside="clip")
    slow = 0.5 * sc.Lognormal(0.7, 0.5, low=0.6, high=6.0)
    net.connect(one, one[5:], sc.FixedTotalNumber(90), weight=clipped, delay=1.5)
    net.connect(two, two, sc.FixedTotalNumber(40, allow_autapses=False), weight=40.0, delay=slow)
    net.connect(one[:20], one[9:], sc.FixedOutdegree(3, False), weight=20.0, delay=0.6)
    net.connect(jumps, jumps, sc.FixedOutdegree(2), weight=0.04, delay=0.9)
    net.connect(jumps, jumps[:9], sc.PairwiseBernoulli(0.2, False), weight=0.1, delay=0.9)
    net.connect(two[5:], two, sc.PairwiseBernoulli(0.1), weight=-15.0, delay=0.5)
    net.connect(two, two, sc.FixedIndegree(2), weight=-15.0, delay=0.5)
    net.connect(one[2:5], one[3:6], sc.AllToAll(), weight=30.0, delay=1.1)


def _trains(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 4, 40)
    return np.sort(rng.integers(1, 400, 40)) / 10, ids


def _edges(seed):
    rng = np.random.default_rng(seed + 1)
    ends = rng.integers(0, 24, 150), rng.integers(0, 31, 150)
    return (*ends, rng.normal(0.2, 0.4, 150), rng.integers(2, 30, 150) / 10)
