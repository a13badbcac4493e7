"""Whether the blocks of a launch have neurons of their own, and how much memory they need."""

import numpy as np
import pytest

import simcore as sc
from simcore.kernels.cuda import team
from simcore.kernels.cuda.backend import CudaBackend
from simcore.kernels.cuda.device import Device
from simcore.kernels.cuda.device_shard import DeviceShard
from simcore.kernels.cuda.models import ModelSet
from simcore.kernels.cuda.structs import Parts, make_pieces
from simcore.kernels.cuda.synapses import make_sections
from simcore.kernels.cuda.team import team_parts
from simcore.kernels.neuron_tables import make_neuron_tables
from simcore.kernels.segments import SOURCE
from tests.emulation.gpu import Gpu
from tests.networks import every_feature, specify


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


def resident(shard):
    neuron_tables = make_neuron_tables(shard, np.dtype("float64"))
    return DeviceShard(
        Device("float64", ModelSet(neuron_tables.programs, neuron_tables.varying)),
        shard,
        neuron_tables,
        (),
    )


def test_team_of_a_rank_alone(gpu):
    found = resident(specify(network()))
    assert (found.n_parts, found.team.interval) == (3, 16)
    assert found.team.room == 16 * 32
    assert resident(specify(network(delay=0.7))).team.interval == 7


def test_small_networks_take_few_blocks():
    shard = specify(network(n=70))
    assert team_parts(shard, make_sections(shard), 132) == Parts(70, 35)
    shard = specify(network(n=20))
    assert team_parts(shard, make_sections(shard), 132) == Parts(20, 20)


@pytest.mark.parametrize("delay", [3.1, 3.2])
def test_no_team_where_launches_are_short(delay):
    shard = specify(network(delay=delay), rank=0, n_ranks=2, partitioner="round_robin")
    assert shard.earliest == round(10 * delay)
    assert (team_parts(shard, make_sections(shard), 3) is None) == (delay < 3.2)


@pytest.mark.parametrize("indegree", [11, 12])
def test_no_team_where_rows_are_short(indegree):
    """Rows of 12 synapses on the average are 4 for each of 3 blocks."""
    shard = specify(network(n=128, indegree=indegree))
    sections = make_sections(shard)
    assert sections[0].n_sources == 128
    assert (team_parts(shard, sections, 3) is None) == (indegree < 12)


def test_no_team_where_the_memory_of_a_block_is_small(gpu, monkeypatch):
    monkeypatch.setattr(team, "FEWEST_SYNAPSES", 1)
    shard = specify(every_feature())
    needed = resident(shard).team.shared_bytes
    gpu.shared = needed
    assert resident(shard).team is not None
    gpu.shared = needed - 1
    found = resident(shard)
    assert (found.team, found.n_parts) == (None, 1)


def test_blocks_are_as_many_as_parts_and_get_what_they_need(gpu, monkeypatch):
    monkeypatch.setattr(team, "FEWEST_SYNAPSES", 1)
    run = CudaBackend(specify(every_feature()))
    run.warm_up()
    (function,) = (f for f in gpu.functions if f.name == "advance_team")
    assert (function.name, function.shared) == (
        "advance_team", run._resident.team.shared_bytes,
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 10, 36, 107])
def test_pieces_are_those_of_the_plan(size):
    """Each neuron keeps its constants and groups, and each change reaches all of its pieces."""
    shard = specify(every_feature())
    neuron_tables, parts = (
        make_neuron_tables(shard, np.dtype("float64")),
        Parts(shard.neurons.size, size),
    )
    models = ModelSet(neuron_tables.programs[::-1], neuron_tables.varying[::-1])
    pieces = make_pieces(neuron_tables, parts, models)
    part = np.arange(shard.neurons.size) // size
    own = pieces.first_segments[part] + pieces.segment_of
    origin = (
        np.searchsorted(neuron_tables.segments["begin"], np.arange(part.size), side="right") - 1
    )
    kinds = np.append(neuron_tables.programs, None)
    known = np.append(models.programs, None)
    assert (
        known[pieces.segments["kind"][own]] == kinds[neuron_tables.segments["kind"][origin]]
    ).all()
    assert (pieces.segments["duration"][own] == neuron_tables.segments["duration"][origin]).all()
    for lid in range(part.size):
        piece = pieces.segments[own[lid]]
        first = pieces.first_groups[part[lid]] + piece["first_group"]
        over = (neuron_tables.groups["begin"] <= lid) & (lid < neuron_tables.groups["end"])
        streams = pieces.groups[first : first + piece["n_groups"], 0]
        assert streams.tolist() == neuron_tables.groups["stream"][over].tolist()
    steps, _, _ = pieces.changes
    assert (np.diff(steps) >= 0).all()
    assert steps.size > 0
    for lid in range(part.size):
        segment, piece = neuron_tables.segments[origin[lid]], pieces.segments[own[lid]]
        first = pieces.first_numbers[part[lid]] + piece["first_number"]
        n = 0 if segment["kind"] == SOURCE else len(kinds[segment["kind"]].numbers)
        wanted = slice(segment["first_number"], segment["first_number"] + n)
        assert (pieces.numbers[first : first + n] == neuron_tables.numbers[wanted]).all()
        mine, theirs = (
            changes(pieces.changes, first, n),
            changes(neuron_tables.changes, wanted.start, n),
        )
        assert mine == theirs
    for what in ("segments", "groups", "columns", "numbers"):
        assert pieces.most(what) == max(np.diff(getattr(pieces, f"first_{what}")))


def changes(given, first, n):
    """Return step, number and new value of the changes of some numbers, in their order."""
    steps, which, values = given
    mine = (first <= which) & (which < first + n)
    return list(zip(steps[mine], which[mine] - first, values[mine], strict=True))
