"""The same everywhere: spikes and potentials are those of a lone rank, to the last bit."""

import numpy as np
import pytest

import simcore as sc
import simcore.io.recorder
import simcore.partition
import simcore.shards.recording_buffers
from simcore.construction.build import build_shards
from simcore.models import microcircuit
from simcore.partition import PARTITIONERS, RangePartition
from simcore.services.comm import SerialComm
from tests.networks import every_feature, same_bits
from tests.ranks.compare import alone, differing, half_silent, outcome, pair
from tests.side_by_side import nearly_all

PRECISIONS = ("float64", "float32")
REFERENCE = {"backend": "reference", "precision": "float64"}


@pytest.mark.parametrize(
    ("backend", "precision", "partitioner"),
    [
        *(("cpu", precision, name) for precision in PRECISIONS for name in PARTITIONERS),
        ("reference", "float64", "balanced"),
    ],
)
def test_every_feature(assert_same, comm, parallel_assert, backend, precision, partitioner):
    simulation, expected = assert_same(
        "features", every_feature(), 40.0, partitioner, backend, precision
    )

    parallel_assert(comm, expected["steps"].size > 1000, "the network is nearly silent")
    # The shortest delay of all is two steps
    epoch = 2 if comm.size > 1 else 1000
    parallel_assert(comm, simulation.epoch_steps == epoch, f"epoch of {simulation.epoch_steps}")


@pytest.mark.parametrize("partitioner", PARTITIONERS)
def test_threads_in_ranks(assert_same, comm, parallel_assert, partitioner):
    simulation, _ = assert_same(
        "features", every_feature(), 40.0, partitioner, "cpu", "float64", threads=3
    )

    parallel_assert(comm, len(simulation.shards) == 3, "not three shards")


def test_ranks_with_threads_of_their_own(assert_same, comm, parallel_assert):
    threads = 1 + 2 * (comm.rank % 2)
    simulation, _ = assert_same(
        "features", every_feature(), 40.0, "balanced", "cpu", "float64", threads
    )

    parallel_assert(comm, len(simulation.shards) == threads, f"not {threads} shards")


def test_files_of_a_run(ranks, comm, parallel_assert, mpi_tmp_path, monkeypatch):
    """They are equal on any ranks, also where less may wait for a flush."""
    net = every_feature()
    with monkeypatch.context() as patch:
        for module in (simcore.io.recorder, simcore.shards.recording_buffers):
            patch.setattr(module, "FLUSH_BYTES", 3000)
        run = sc.simulate(net, 40.0, output=mpi_tmp_path / "ranks.h5", comm=ranks)
    wrong = []
    if comm.rank == 0:
        lone = sc.simulate(net, 40.0, output=mpi_tmp_path / "alone.h5", comm=SerialComm())
        wrong = [n for n in lone.populations if run.digest(n) != lone.digest(n)]
        for name in lone.populations:
            pairs = zip(run.spikes(name), lone.spikes(name), strict=True)
            wrong += [f"spikes of {name}" for a, b in pairs if not same_bits(a, b)]
        for report in lone.reports:
            a, b = (r.dataset(report.place)[:] for r in (run, lone))
            wrong += [] if same_bits(a, b) and np.isfinite(a).all() else [str(report)]
        wrong += [] if run.spike_counts == lone.spike_counts else ["counts"]
        wrong += [] if sum(run.shards["n_neurons"]) == net.n_neurons else ["shards"]

    parallel_assert(comm, not wrong, f"{wrong} differ")


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("partitioner", ["block", "round_robin"])
def test_few_neurons_leave_ranks_empty(assert_same, comm, parallel_assert, backend, partitioner):
    simulation, expected = assert_same("pair", pair(), 30.0, partitioner, backend)

    sizes = comm.allgather(simulation.neurons.size)
    parallel_assert(comm, sizes.count(0) == max(0, comm.size - 2), f"sizes are {sizes}")
    parallel_assert(comm, expected["steps"].size > 10, "the pair is silent")


def test_empty_ranks_can_be_sampled(ranks, comm, parallel_assert, mpi_tmp_path):
    net = sc.Network(seed=3)
    net.record(net.population("lone", 1, sc.LIF(I_e=700.0)), "V_m", interval=0.1)

    values = sc.simulate(net, 3.0, output=mpi_tmp_path / "run.h5", comm=ranks).V_m("lone").values

    parallel_assert(comm, values.shape == (30, 1), f"shape is {values.shape}")
    parallel_assert(comm, bool(np.isfinite(values).all()), "samples are missing")


def test_silent_ranks(assert_same, comm, parallel_assert):
    _, expected = assert_same("silent", half_silent(), 40.0, "block", "cpu")

    spikes = expected["gids"]
    parallel_assert(comm, spikes.size > 100, "nobody fires")
    parallel_assert(comm, bool((spikes < 40).all()), "the silent half fires")


def test_any_division(assert_same, comm, monkeypatch):
    def lopsided(network, n_ranks):
        # Ranges of 11 neurons; the last rank owns every third, rank 0 what lies at the end
        bounds = [*range(0, network.n_neurons, 11), network.n_neurons]
        owners = [(n_ranks - 1) if i % 3 else i % n_ranks for i in range(len(bounds) - 1)]
        return RangePartition(bounds, [*owners[:-1], 0], n_ranks)

    monkeypatch.setitem(PARTITIONERS, "lopsided", lopsided)

    assert_same("features", every_feature(), 40.0, "lopsided", "cpu")


@pytest.mark.parametrize("place", ["first", "last"])
def test_one_rank_with_nearly_everything(assert_same, comm, parallel_assert, monkeypatch, place):
    def crowded(network, n_ranks):
        return nearly_all(network.n_neurons, 0 if place == "first" else n_ranks - 1, n_ranks)

    monkeypatch.setitem(PARTITIONERS, "crowded", crowded)

    simulation, _ = assert_same("features", every_feature(), 40.0, "crowded", "cpu")

    sizes = sorted(comm.allgather(simulation.neurons.size))
    expected = [1] * (comm.size - 1) + [simulation.network.n_neurons - comm.size + 1]
    parallel_assert(comm, sizes == expected, f"sizes are {sizes}")


def test_only_remote_synapses_force_a_meeting(assert_same, comm, parallel_assert):
    # Fast within each half, slow between them
    net = sc.Network(seed=4)
    neuron, V_m = sc.LIF(I_e=1500.0), sc.Uniform(0.0, 19.0)
    halves = [net.population(name, 30, neuron, V_m=V_m) for name in ("left", "right")]
    for here, there in (halves, halves[::-1]):
        net.connect(here, here, sc.FixedIndegree(5), weight=0.2, delay=0.1)
        net.connect(here, there, sc.FixedIndegree(5), weight=-0.3, delay=3.0)

    simulation, expected = assert_same("halves", net, 50.0, "block", "cpu")

    epoch = {1: 1000, 2: 30}.get(comm.size, 1)
    parallel_assert(comm, simulation.epoch_steps == epoch, f"epoch of {simulation.epoch_steps}")
    parallel_assert(comm, expected["steps"].size > 300, "the halves are silent")


def test_running_in_pieces(ranks, comm, parallel_assert):
    # The spikes of the last epoch of a piece arrive in the next
    simulation = sc.Simulation(every_feature(), comm=ranks, backend="cpu")

    def in_pieces(_):
        run = simulation.run

        def pieces(duration, kept):
            for piece in (0.1, 0.3, 9.6, 17.7, 12.3):
                run(piece, kept)

        simulation.run = pieces

    found = outcome(simulation, 40.0, in_pieces)
    expected = None
    if comm.rank == 0:
        expected = alone("features", every_feature(), 40.0, **REFERENCE)
    names = differing(ranks, found, expected)
    parallel_assert(comm, names == [], f"{names} differ")


@pytest.mark.parametrize("partitioner", ["balanced", "round_robin"])
def test_microcircuit(assert_same, comm, parallel_assert, partitioner):
    net = microcircuit.build(N_scaling=0.1, K_scaling=0.1, drive="poisson")

    _, expected = assert_same("microcircuit", net, 100.0, partitioner, "cpu")

    parallel_assert(comm, expected["steps"].size > 1000, "the microcircuit is silent")


class TestTheComparisonCanFail:
    """A rank that is not like the others is found out, so the tests above mean something."""

    @pytest.fixture
    def found_out(self, ranks, comm, parallel_assert):
        def check(make, change=None):
            expected = None
            if comm.rank == 0:
                expected = alone("features for a while", every_feature(), 15.0, backend="cpu")
            found = outcome(make(), 15.0, change)
            names = differing(ranks, found, expected)
            parallel_assert(comm, "V_m" in names, f"only {names} differ")
            return names

        return check

    def test_by_another_seed_on_one_rank(
        self, ranks, comm, parallel_assert, found_out, monkeypatch
    ):
        def other_seed(network, *arguments):
            return build_shards(every_feature(seed=13), *arguments)

        def make():
            if comm.rank == comm.size - 1:
                monkeypatch.setattr(simcore.construction.build, "build_shards", other_seed)
            return sc.Simulation(every_feature(), comm=ranks, backend="cpu")

        names = found_out(make)

        parallel_assert(comm, {"steps", "gids"} <= set(names), f"only {names} differ")

    def test_by_one_neuron_that_starts_a_picovolt_higher(self, ranks, comm, found_out):
        def lift(simulation):
            lids = np.flatnonzero(simulation.neurons.gids == 105)
            backend = simulation.backend
            backend.flat[backend.places.of_column(lids, "V_m")] += 1e-9

        found_out(lambda: sc.Simulation(every_feature(), comm=ranks, backend="reference"), lift)

    def test_by_one_lost_spike(self, ranks, comm, found_out):
        def lose(simulation):
            advance = simulation.backend.advance

            def forgetful(epoch, remote):
                spikes = advance(epoch, remote)
                own = comm.rank == comm.size - 1 and epoch.begin <= 100 < epoch.end
                return sc.numerics.spikes.Spikes(spikes.origin, spikes.words[1:]) if own else spikes

            simulation.backend.advance = forgetful

        # On one rank the shard delivers its own spikes, so that only the record lacks one
        names = None
        if comm.size > 1:
            names = found_out(
                lambda: sc.Simulation(every_feature(), comm=ranks, backend="cpu"), lose
            )
        assert names is None or "steps" in names
