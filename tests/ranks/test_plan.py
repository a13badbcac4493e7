"""What a plan says of ranks, beside what the ranks of a run did."""

import numpy as np
import pytest

import simcore as sc
from simcore.planning import Planner, Setup, Workload, choose_rates
from tests.networks import every_feature

# One, two, and one between the first and the last
RANKS = (1, 2, 3)


@pytest.mark.parametrize("partitioner", ["balanced", "block", "round_robin"])
def test_a_run_does_what_was_planned(comm, ranks, parallel_assert, mpi_tmp_path, partitioner):
    network = every_feature()
    run = sc.simulate(
        network, 40.0, output=mpi_tmp_path / "run.h5", partitioner=partitioner, comm=ranks
    )
    rates = choose_rates(network, 40.0, {}, {"the run": dict(run.rates())})
    planner = Planner(network, rates)
    setup = Setup(comm.size, duration=40.0, backend="cpu", partitioner=partitioner)
    plan = planner(setup)
    planned = [planner.of_rank(setup, rank).workload for rank in range(comm.size)]
    done = Workload.of(run)

    def near(name, relative):
        expected = np.array([getattr(load, name)[0] for load in planned])
        found = getattr(done, name)
        scale = max(found.max(), 1.0)
        return bool((np.abs(expected - found) <= relative * scale).all())

    wrong = [
        name
        for name, relative in {
            "n_neurons": 0.0,
            "n_synapses": 0.1,
            "updates": 0.0,
            "draws": 1e-9,
            "events": 0.2,
            "runs": 0.2,
            "lookups": 0.01,
        }.items()
        if not near(name, relative)
    ]
    parallel_assert(comm, not wrong, f"planned otherwise than done: {wrong}")
    whole = plan.workload.meetings, plan.workload.epochs
    expected = done.meetings, done.epochs
    parallel_assert(comm, whole == pytest.approx(expected, rel=0.02), f"{whole}, not {expected}")
    sent = sum(load.sent[0] for load in planned)
    parallel_assert(comm, sent == pytest.approx(done.sent.sum(), rel=0.01), f"{sent} spikes")
    total = done.sent + done.received
    parallel_assert(comm, bool((total == total[0]).all()), "every rank receives all spikes")


def test_memory_of_the_synapses(comm, ranks, parallel_assert, mpi_tmp_path):
    net = sc.Network(seed=1)
    P = net.population("P", 20_000, sc.LIF())
    net.connect(P, P, sc.FixedIndegree(1000), weight=sc.Normal(80.0, 20.0), delay=1.0)
    run = sc.simulate(net, 10.0, output=mpi_tmp_path / "run.h5", backend="cpu", comm=ranks)
    planner = Planner(net, choose_rates(net, 10.0, {"": 0.0}, {}))
    shards = [planner.of_rank(Setup(comm.size), rank).table_bytes for rank in range(comm.size)]
    found = run.shards["bytes"]
    parallel_assert(comm, shards == pytest.approx(found, rel=0.02), f"{shards}, not {found}")
