"""Memory: what a rank will take is known before the build, and what there is, is read right."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest

import simcore as sc
import simcore.services.memory
import simcore.shards.shard
from simcore.construction.build import build_shards
from simcore.discretization.fixed_point import fixed_point
from simcore.estimates.expected_synapses import Expectation
from simcore.estimates.host_memory import estimate
from simcore.kernels import make_backend
from simcore.models import brunel, microcircuit
from simcore.partition import partition
from simcore.services.comm import RehearsalComm, SerialComm
from simcore.services.errors import CapacityError
from simcore.services.memory import available_bytes, peak_bytes, require_memory
from simcore.shards.local_neurons import LocalNeurons
from tests.networks import build, every_feature

NETWORKS = {
    "brunel": lambda: brunel.build(order=100),
    "microcircuit": lambda: microcircuit.build(N_scaling=0.01, K_scaling=0.1, drive="dc"),
    "every feature": every_feature,
}


def estimated(network, neurons=None, dt=0.1, backend="cpu", threads=1):
    """Return the estimate of some neurons, or of all on several threads."""
    division = partition(network, threads)
    own = [division.owned(part) for part in range(threads)] if neurons is None else [neurons]
    return estimate(Expectation(network, fixed_point(network, dt), dt), own, backend)


def pair(n=1000, indegree=10, **options):
    net = sc.Network(seed=1)
    P = net.population("P", n, sc.LIF())
    net.connect(P, P, sc.FixedIndegree(indegree), **{"weight": 1.0, "delay": 1.0, **options})
    return net


@pytest.mark.parametrize("largest", [simcore.shards.shard.MAX_BLOCK, 64])
@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_estimate_of_the_tables_is_their_size(monkeypatch, name, n_ranks, largest):
    monkeypatch.setattr(simcore.shards.shard, "MAX_BLOCK", largest)
    network = NETWORKS[name]()
    for rank in range(n_ranks):
        shard = build(network, rank, n_ranks)
        found = estimated(network, shard.neurons)
        index = sum(t.index_nbytes for t in shard.tables)
        assert found.index == pytest.approx(index, rel=0.12)
        synapses = sum(t.words.nbytes + t.exact.nbytes for t in shard.tables)
        assert found.synapses == pytest.approx(synapses, rel=0.1)
        assert found.synapses + found.index == pytest.approx(shard.nbytes, rel=0.1)


def test_estimate_counts_the_time_step():
    network = pair(delay=sc.Uniform(1.0, 3.0))
    for dt in (0.5, 0.1):
        shard = build(network, dt=dt)
        assert estimated(network, dt=dt).index == pytest.approx(shard.tables[0].index_nbytes, 0.01)


@pytest.mark.parametrize(
    "options",
    [
        {"weight": sc.Normal(80.0, 24.0)},
        {"weight": sc.Normal(0.0, 24.0), "delay": sc.Uniform(1.0, 4.0)},
        {"rule": sc.OneToOne()},
        {"rule": sc.FixedOutdegree(1)},
        {"rule": sc.AllToAll(), "delay": sc.Uniform(1.0, 4.0)},
        {"rule": sc.PairwiseBernoulli(0.01)},
    ],
    ids=str,
)
@pytest.mark.parametrize("threads", [1, 3])
def test_estimate_of_any_rule_and_sign(options, threads):
    net = sc.Network(seed=1)
    P = net.population("P", 1500, sc.LIF())
    options = {"rule": sc.FixedIndegree(3), "weight": 1.0, "delay": 1.0, **options}
    net.connect(P, P, options.pop("rule"), **options)
    shards = build_shards(net, partition(net, threads), range(threads), 0.1)
    found = estimated(net, threads=threads)

    assert found.index == pytest.approx(sum(t.index_nbytes for s in shards for t in s.tables), 0.1)
    assert found.synapses + found.index == pytest.approx(sum(s.nbytes for s in shards), rel=0.1)


def test_estimate_takes_threads_for_shards_of_one_process():
    one, three = (estimated(NETWORKS["brunel"](), threads=n) for n in (1, 3))
    assert three.rank == one.rank
    assert three.synapses == pytest.approx(one.synapses, rel=0.01)


def test_spread_delays_in_a_large_sparse_network():
    found = estimated(pair(4_000_000, 10, delay=sc.Uniform(1.0, 101.0)))
    n_blocks, n_synapses = math.ceil(4e6 / 2**16), 4e7
    bits = n_blocks * 4_000_000 / 4
    assert 0.9 < (found.index - bits) / (12 * n_synapses) < 1.0


def test_rows_are_wider_where_there_are_very_many_synapses():
    wide, narrow = estimated(pair(1000, 2**23)), estimated(pair(1000, 2**20))
    assert wide.index - narrow.index == 8 * 1000


def test_the_keys_of_the_fullest_block_are_counted(monkeypatch):
    monkeypatch.setattr(simcore.shards.shard, "MAX_BLOCK", 100)
    net = sc.Network(seed=1)
    full = net.population("full", 100, sc.LIF())
    sparse = net.population("sparse", 100, sc.LIF())
    net.connect(full, full, sc.FixedIndegree(5000), weight=1.0, delay=1.0)
    net.connect(full, sparse, sc.FixedIndegree(10), weight=1.0, delay=1.0)
    indegrees = 200 * 8
    recipes = 2 * 900
    assert estimated(net).sorting == 2 * 5000 * 100 + indegrees + recipes


def test_the_reference_backend_has_a_ring():
    network = every_feature()
    shard = build(network)
    ring = make_backend("reference", shard).ring
    assert estimated(network, backend="reference").ring == ring.nbytes
    assert estimated(network, backend="auto").ring == 0


def test_a_rank_without_neurons_takes_what_any_process_takes():
    found = estimated(pair(), LocalNeurons(np.zeros(0, np.int64)))
    assert found.total == found.rank + found.sorting > 0
    assert (found.neurons, found.sorting) == (0, 900)


def test_the_total_is_the_sum_of_the_parts():
    found = estimated(every_feature(), backend="reference")
    parts = dataclasses.astuple(found)
    assert min(parts) > 0
    assert found.total == pytest.approx(sum(parts) - found.description)


def files(root, **contents):
    """Write files, given by name, into a folder."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (root / name.replace("__", ".")).write_text(f"{text}\n")


def v2(root, path, limit, used, reclaimable=0):
    stat = f"anon 5\nactive_file 7\ninactive_file {reclaimable}"
    files(root / "sys/fs/cgroup" / path, memory__max=limit, memory__current=used, memory__stat=stat)


def v1(root, path, limit, used, reclaimable=0):
    folder = root / "sys/fs/cgroup/memory" / path
    stat = f"inactive_file 1\ntotal_inactive_file {reclaimable}"
    files(folder, memory__limit_in_bytes=limit, memory__usage_in_bytes=used, memory__stat=stat)


@pytest.fixture
def root(tmp_path):
    """Return a root with 1 GiB available and no control groups."""
    files(tmp_path / "proc", meminfo="MemTotal: 9999999 kB\nMemAvailable: 1048576 kB")
    (tmp_path / "proc/self").mkdir()
    return tmp_path


def test_available_without_control_groups(root):
    assert available_bytes(root) == 2**30


def test_available_where_nobody_knows(tmp_path):
    assert available_bytes(tmp_path) == np.inf


def test_available_in_a_group_of_version_2(root):
    files(root / "proc/self", cgroup="0::/job")
    v2(root, "job", 1000, 600)
    assert available_bytes(root) == 400


def test_the_tightest_group_counts(root):
    files(root / "proc/self", cgroup="0::/slurm/job/step")
    v2(root, "slurm", 10_000, 9_700)
    v2(root, "slurm/job", 5_000, 4_800)
    v2(root, "slurm/job/step", "max", 4_000)
    assert available_bytes(root) == 200


def test_page_cache_that_gives_way_is_available(root):
    files(root / "proc/self", cgroup="0::/job")
    v2(root, "job", 1000, 900, reclaimable=700)
    assert available_bytes(root) == 800


def test_a_group_above_its_limit_has_no_room(root):
    files(root / "proc/self", cgroup="0::/job")
    v2(root, "job", 1000, 1100)
    assert available_bytes(root) == 0


def test_available_in_a_group_of_version_1(root):
    files(root / "proc/self", cgroup="5:cpu,cpuacct:/other\n4:memory:/slurm/job\n0::/")
    v1(root, "", 2**63 - 4096, 50)
    v1(root, "slurm", 1000, 950, reclaimable=200)
    v1(root, "slurm/job", 2**63 - 4096, 40)
    v1(root, "other", 1, 1)
    assert available_bytes(root) == 250


@pytest.mark.parametrize("path", ["/docker/0123", "/../.."])
def test_a_container_sees_its_own_group_at_the_top(root, path):
    files(root / "proc/self", cgroup=f"0::{path}")
    v2(root, "", 1000, 100)
    assert available_bytes(root) == 900


def test_a_group_that_cannot_be_read_sets_no_limit(root):
    files(root / "proc/self", cgroup="0::/job")
    files(root / "sys/fs/cgroup/job", memory__max="many", memory__current="few")
    assert available_bytes(root) == 2**30


def test_this_machine_has_memory():
    assert available_bytes() > 0
    assert 2**20 < peak_bytes() < 2**50


class Hosts(RehearsalComm):
    """Ranks on several hosts, with what each of them would say."""

    def __init__(self, ranks):
        super().__init__(0, len(ranks))
        self.ranks = ranks

    def allgather(self, value):
        return self.ranks


def test_hosts_with_room_are_accepted():
    require_memory(SerialComm(), "a", 1.0)
    require_memory(Hosts([("a", 4e9, 9e9), ("a", 4e9, 8e9), ("b", 9e9, 9e9)]), "a", 4e9)


def test_a_host_without_room_is_named():
    ranks = [("a", 3e9, 9e9), ("b", 5e9, 9e9), ("a", 3e9, 9e9), ("b", 5e9, 8.5e9)]
    with pytest.raises(CapacityError, match=r"host 'b': its 2 rank\(s\) .* 10 GB, .* 8.5 GB"):
        require_memory(Hosts(ranks), "a", 3e9)


def test_a_simulation_that_cannot_fit_is_refused(monkeypatch):
    monkeypatch.setattr(simcore.services.memory, "available_bytes", lambda: 1e6)
    with pytest.raises(CapacityError, match="Use more hosts, or a smaller or sparser network"):
        sc.Simulation(pair(), comm=SerialComm(), backend="reference")


def test_peak_is_not_that_of_the_program_that_started_this_one():
    program = "import numpy; from simcore.services.memory import peak_bytes; print(peak_bytes())"
    ballast = np.ones(50_000_000)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert 1e7 < int(done.stdout) < ballast.nbytes
    assert peak_bytes() > ballast.nbytes
