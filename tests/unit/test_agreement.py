"""What ranks must have in common is compared, with one error on all; the rest may differ."""

import argparse
import itertools
import threading

import numpy as np
import pytest

import simcore as sc
from simcore.cli.resume import _options
from simcore.io.run_summary import run_summary
from simcore.partition import PARTITIONERS, RangePartition, share_out
from simcore.planning.workload import Workload
from simcore.services import agreement
from simcore.services.agreement import require_same
from simcore.services.comm import SerialComm
from simcore.services.errors import ConfigError, ModelError
from simcore.services.oversubscription import crowd
from tests.networks import every_feature, same_bits
from tests.ranks.compare import outcome
from tests.side_by_side import dismiss, on_ranks


def small():
    net = sc.Network(seed=5)
    E = net.population("E", 40, sc.LIF(I_e=600.0), V_m=sc.Uniform(0.0, 19.0))
    net.connect(E, E, sc.FixedIndegree(5), weight=0.1, delay=1.0)
    net.record(E, "spikes")
    return net


def refused(action):
    """Return what each of two ranks raises."""

    def work(comm):
        try:
            action(comm)
        except Exception as error:
            # Nobody leaves while another still reads what was posted
            comm.barrier()
            return error
        raise AssertionError("accepted")

    return on_ranks(2, work)


def check_refused(errors, kind, text):
    assert [type(error) for error in errors] == [kind, kind]
    assert text in str(errors[0])
    assert str(errors[0]) == str(errors[1])


@pytest.mark.parametrize("partitioner", ["balanced", "round_robin"])
def test_ranks_with_different_threads_and_backends(partitioner):
    threads, backends = (1, 3, 1), ("reference", "cpu", "cpu")

    def work(comm):
        rank = comm.rank
        options = {"threads": threads[rank], "backend": backends[rank], "partitioner": partitioner}
        simulation = sc.Simulation(every_feature(), comm=comm, **options)
        found = outcome(simulation, 20.0)
        dismiss(simulation.backend)
        return found

    found = on_ranks(3, work)[0]

    expected = outcome(sc.Simulation(every_feature(), comm=SerialComm(), backend="cpu"), 20.0)
    assert expected["gids"].size > 500
    assert [name for name in expected if not same_bits(found[name], expected[name])] == []


def test_file_tells_the_threads_of_each_rank(tmp_path):
    def work(comm):
        backend = ("cpu", "reference")[comm.rank]
        options = {"threads": 2 - comm.rank, "backend": backend, "comm": comm}
        # The name that rank 0 gives counts
        output = tmp_path / "run.h5" if comm.rank == 0 else None
        return sc.simulate(small(), 20.0, output=output, **options)

    run = on_ranks(2, work)[1]

    assert run.path == str(tmp_path / "run.h5")
    assert run.config["threads"] == [2, 1]
    assert run.session["arithmetic"] == "cpu and reference"
    assert run.spike_counts["E"] > 10
    assert run_summary(run)["ranks"].startswith("2 of 1 to 2 threads on ")
    assert _options(run.config, argparse.Namespace()).threads == 1
    with pytest.raises(ConfigError, match=r"threads is \[2, 1\], must be the same number"):
        Workload.of(run)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("dt", (0.1, 0.05)),
        ("partitioner", ("balanced", "block")),
        ("precision", ("float64", "float32")),
    ],
)
def test_simulations_with_different_options(name, values):
    errors = refused(lambda comm: sc.Simulation(small(), comm=comm, **{name: values[comm.rank]}))

    text = f"{name} is {values[0]!r} on rank 0 and {values[1]!r} on rank 1, must be the same"
    check_refused(errors, ConfigError, text)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("duration", (20.0, 30.0)),
        ("dt", (0.1, 0.05)),
        ("record_from", (0.0, 5.0)),
        ("partitioner", ("round_robin", "block")),
        ("precision", ("float32", "float64")),
        ("checkpoint_every", (None, 10.0)),
        ("checkpoint_wall", (900.0, None)),
        ("max_rate", (None, 100.0)),
        ("watchdog", (0.0, 60.0)),
    ],
)
def test_runs_with_different_options(tmp_path, name, values):
    def start(comm):
        options = {"duration": 20.0} | {name: values[comm.rank]}
        sc.simulate(small(), output=tmp_path / "run.h5", comm=comm, **options)

    text = f"{name} is {values[0]!r} on rank 0 and {values[1]!r} on rank 1, must be the same"
    check_refused(refused(start), ConfigError, text)
    assert not (tmp_path / "run.h5").exists()


def test_runs_that_are_resumed_differently(tmp_path):
    path = tmp_path / "run.h5"
    sc.simulate(small(), 10.0, output=path, comm=SerialComm())

    def go_on(comm, **options):
        sc.resume(path, small(), comm=comm, **{k: v[comm.rank] for k, v in options.items()})

    ends = refused(lambda comm: go_on(comm, until=(20.0, 30.0)))
    rates = refused(lambda comm: go_on(comm, until=(20.0, 20), max_rate=(None, 5.0)))

    check_refused(ends, ConfigError, "until is 20.0 on rank 0 and 30.0 on rank 1")
    check_refused(rates, ConfigError, "max_rate is None on rank 0 and 5.0 on rank 1")


@pytest.mark.parametrize(
    ("durations", "recorders", "text"),
    [
        ((5.0, 10.0), (None, None), "duration is 5.0 on rank 0 and 10.0 on rank 1"),
        ((5.0, 5.0), (None, object()), "whether a recorder is given is False on rank 0 and True"),
    ],
)
def test_simulations_that_run_differently(durations, recorders, text):
    def start(comm):
        simulation = sc.Simulation(small(), comm=comm, backend="reference")
        simulation.run(durations[comm.rank], recorders[comm.rank])

    check_refused(refused(start), ConfigError, text)


@pytest.mark.parametrize("wrong", [{"backend": "gpu2"}, {"dt": "long"}, {"threads": 0}])
def test_option_that_is_wrong_on_one_rank(wrong):
    """The other one is not left waiting."""

    def start(comm):
        sc.simulate(small(), 20.0, comm=comm, **(wrong if comm.rank else {}))

    well, own = refused(start)

    assert isinstance(own, ConfigError)
    assert str(well) == f"rank 1: {own}"


def test_nodes_with_different_versions(monkeypatch):
    versions = iter(["1.0", "2.0"])
    monkeypatch.setattr(agreement, "_version", lambda: next(versions))

    errors = refused(lambda comm: sc.Simulation(small(), comm=comm))

    assert "the version of simcore is '" in str(errors[0])
    assert str(errors[0]) == str(errors[1])


def test_division_that_differs_between_ranks(monkeypatch):
    """Each rank believes that it owns the first half, so the second would be missing."""
    turn = itertools.count()
    lock = threading.Lock()

    def swapped(network, n_parts):
        with lock:
            owners = [0, 1] if next(turn) else [1, 0]
        half = network.n_neurons // 2
        return RangePartition([0, half, network.n_neurons], owners, n_parts)

    monkeypatch.setitem(PARTITIONERS, "swapped", swapped)

    errors = refused(lambda comm: sc.Simulation(small(), comm=comm, partitioner="swapped"))

    check_refused(errors, ModelError, "partition: the digest of who owns which neuron is '")


def test_division_that_leaves_neurons_out(monkeypatch):
    monkeypatch.setitem(PARTITIONERS, "short", lambda net, n: RangePartition([0, 39], [0], n))

    with pytest.raises(ModelError, match="partition: neurons is 39, must be 40, each with one"):
        share_out(small(), [1], 0, "short")


@pytest.mark.parametrize("name", PARTITIONERS)
def test_threads_of_all_ranks_share_all_neurons(name):
    threads = [2, 1, 4]
    found = [share_out(small(), threads, rank, name) for rank in range(3)]

    parts = [part for _, own in found for part in own]
    owned = np.concatenate([found[0][0].gids(part) for part in parts])
    assert parts == list(range(7))
    assert sorted(owned.tolist()) == list(range(40))
    assert len({division.digest() for division, _ in found}) == 1


@pytest.mark.parametrize("values", [(1, 1.0), (1.0, np.float64(1.0)), (np.int64(3), 3), ("a", "a")])
def test_equal_values_agree(values):
    on_ranks(2, lambda comm: require_same(comm, {"x": values[comm.rank]}))


def test_message_shows_long_values_in_short():
    values = ["a" * 500, None]
    errors = refused(lambda comm: require_same(comm, {"x": values[comm.rank]}, "Do this."))
    check_refused(errors, ConfigError, "aaa... on rank 0 and None on rank 1")
    assert str(errors[0]).endswith("Do this.")
    assert len(str(errors[0])) < 200


@pytest.mark.parametrize(
    ("processes", "text"),
    [
        ([("a", 1, 1, 0b1), ("a", 2, 1, 0b10)], ""),
        ([("a", 1, 2, 0b11), ("b", 1, 2, 0b11)], ""),
        # A rehearsal: one process that stands for many
        ([("a", 1, 1, 0b1)] * 50, ""),
        ([("a", n, 1, 0b11) for n in range(6)], "6 ranks on 2 cores of a: use fewer"),
        ([("a", 1, 3, 0b11)], "3 threads on 2 cores of a: use fewer"),
        (
            [("a", 1, 1, 0b1), ("b", 1, 2, 0b1), ("b", 2, 1, 0b1)],
            "3 threads of 2 ranks on 1 core of",
        ),
    ],
)
def test_crowded_nodes_are_named(processes, text):
    found = crowd(processes)
    assert found.startswith(text)
    assert bool(found) == bool(text)
