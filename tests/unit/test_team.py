"""Whether the blocks of a launch have neurons of their own, and how much memory they need."""

import numpy as np
import pytest

import simcore as sc
from simcore.kernels.cuda import team
from simcore.kernels.cuda.backend import CudaBackend
from simcore.kernels.cuda.device import Device
from simcore.kernels.cuda.machine import Parts, make_pieces
from simcore.kernels.cuda.models import ModelSet
from simcore.kernels.cuda.residence import Residence
from simcore.kernels.cuda.synapses import make_sections
from simcore.kernels.cuda.team import team_parts
from simcore.kernels.plan import SOURCE, make_plan
from tests.emulation.gpu import Gpu
from tests.networks import draft, every_feature


@pytest.fixture
def gpu(monkeypatch):
    gpu = Gpu()
    gpu.install(monkeypatch)
    return gpu


def network(n=96, indegree=40, delay=2.0):
    net = sc.Network(seed=5)
    one = net.population("one", n, sc.LIF(tau_syn=2.0))
    net.connect(one, one, sc.FixedIndegree(indegree), weight=1.0, delay=delay)
    return net


def residence(shard):
    plan = make_plan(shard, np.dtype("float64"))
    return Residence(Device("float64", ModelSet(plan.programs)), shard, plan, ())


def test_team_of_a_rank_alone(gpu):
    found = residence(draft(network()))
    assert (found.n_parts, found.team.interval) == (3, 16)
    assert found.team.room == 16 * 32
    assert residence(draft(network(delay=0.7))).team.interval == 7


def test_small_networks_take_few_blocks():
    shard = draft(network(n=70))
    assert team_parts(shard, make_sections(shard), 132) == Parts(70, 35)
    shard = draft(network(n=20))
    assert team_parts(shard, make_sections(shard), 132) == Parts(20, 20)


@pytest.mark.parametrize("delay", [3.1, 3.2])
def test_no_team_where_launches_are_short(delay):
    shard = draft(network(delay=delay), rank=0, n_ranks=2, partitioner="round_robin")
    assert shard.earliest == round(10 * delay)
    assert (team_parts(shard, make_sections(shard), 3) is None) == (delay < 3.2)


@pytest.mark.parametrize("indegree", [11, 12])
def test_no_team_where_rows_are_short(indegree):
    """Rows of 12 synapses on the average are 4 for each of 3 blocks."""
    shard = draft(network(n=128, indegree=indegree))
    sections = make_sections(shard)
    assert sections[0].n_sources == 128
    assert (team_parts(shard, sections, 3) is None) == (indegree < 12)


def test_no_team_where_the_memory_of_a_block_is_small(gpu, monkeypatch):
    monkeypatch.setattr(team, "FEWEST_SYNAPSES", 1)
    shard = draft(every_feature())
    needed = residence(shard).team.shared_bytes
    gpu.shared = needed
    assert residence(shard).team is not None
    gpu.shared = needed - 1
    found = residence(shard)
    assert (found.team, found.n_parts) == (None, 1)


def test_blocks_are_as_many_as_parts_and_get_what_they_need(gpu, monkeypatch):
    monkeypatch.setattr(team, "FEWEST_SYNAPSES", 1)
    run = CudaBackend(draft(every_feature()))
    run.warm_up()
    (function,) = (f for f in gpu.functions if f.name == "advance_team")
    assert (function.name, function.shared) == (
        "advance_team", run._residence.team.shared_bytes,
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 10, 36, 107])
def test_pieces_are_those_of_the_plan(size):
    """Each neuron keeps its constants and groups, and each change reaches all of its pieces."""
    shard = draft(every_feature())
    plan, parts = make_plan(shard, np.dtype("float64")), Parts(shard.neurons.size, size)
    models = ModelSet(plan.programs[::-1])
    pieces = make_pieces(plan, parts, models)
    part = np.arange(shard.neurons.size) // size
    own = pieces.first_segments[part] + pieces.segment_of
    origin = np.searchsorted(plan.segments["begin"], np.arange(part.size), side="right") - 1
    kinds = np.append(plan.programs, None)
    known = np.append(models.programs, None)
    assert (known[pieces.segments["kind"][own]] == kinds[plan.segments["kind"][origin]]).all()
    assert (pieces.segments["duration"][own] == plan.segments["duration"][origin]).all()
    for lid in range(part.size):
        piece = pieces.segments[own[lid]]
        first = pieces.first_groups[part[lid]] + piece["first_group"]
        over = (plan.groups["begin"] <= lid) & (lid < plan.groups["end"])
        streams = pieces.groups[first : first + piece["n_groups"], 0]
        assert streams.tolist() == plan.groups["stream"][over].tolist()
    steps, _, _ = pieces.changes
    assert (np.diff(steps) >= 0).all()
    assert steps.size > 0
    for lid in range(part.size):
        segment, piece = plan.segments[origin[lid]], pieces.segments[own[lid]]
        first = pieces.first_numbers[part[lid]] + piece["first_number"]
        n = 0 if segment["kind"] == SOURCE else len(kinds[segment["kind"]].numbers)
        wanted = slice(segment["first_number"], segment["first_number"] + n)
        assert (pieces.numbers[first : first + n] == plan.numbers[wanted]).all()
        mine, theirs = changes(pieces.changes, first, n), changes(plan.changes, wanted.start, n)
        assert mine == theirs
    for what in ("segments", "groups", "columns", "numbers"):
        assert pieces.most(what) == max(np.diff(getattr(pieces, f"first_{what}")))


def changes(given, first, n):
    """Return step, number and new value of the changes of some numbers, in their order."""
    steps, which, values = given
    mine = (first <= which) & (which < first + n)
    return list(zip(steps[mine], which[mine] - first, values[mine], strict=True))
