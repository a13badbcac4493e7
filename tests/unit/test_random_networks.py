"""Any network, divided in any way, does what it does alone in the reference, to the last bit."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import simcore as sc
import simcore.shards.shard
from simcore import library
from simcore.language.model import NeuronModel
from simcore.partition import PARTITIONERS
from simcore.simulation import spike_exchange
from tests import mutants
from tests.features import ROLES, VIEWS, differing, used, wanted
from tests.networks import advance, build, differences, same_bits, synapses
from tests.ranks.compare import outcome
from tests.side_by_side import Ranks, dismiss, divide, on_ranks
from tests.strategies import LIMIT, SINGLE, WANTED, examples, networks

pytestmark = LIMIT
STEPS = 150

# Parts of the library whose models are drawn together, so that all of them are
GROUPS = [library.names()[k::4] for k in range(4)]


@dataclass(frozen=True)
class Case:
    """A network, and a way to run it."""

    network: sc.Network
    dt: float
    owners: list[int]
    n_ranks: int
    threads: int
    backend: str
    precision: str
    epochs: list[int]
    largest_block: int

    def __repr__(self):
        ways = {k: v for k, v in vars(self).items() if k != "network"}
        return f"Case({ways}, {self.network.describe()})"


@st.composite
def cases(draw, names=None):
    """Draw a network and a way to run it, on up to seven ranks with up to three threads."""
    dt = draw(st.sampled_from([0.1, 0.1, 0.25]))
    network = draw(networks(dt, names))
    backend = draw(st.sampled_from(["cpu", "cpu", "cpu", "reference"]))
    threads = draw(st.sampled_from([1, 1, 1, 2, 3])) if backend == "cpu" else 1
    n_ranks = draw(st.sampled_from([1, 2, 2, 3, 4, 5, 6, 7]))
    both = WANTED is not None or of_library(network) <= SINGLE
    return Case(
        network,
        dt,
        draw(owners(network.n_neurons, n_ranks * threads)),
        n_ranks,
        threads,
        backend,
        draw(st.sampled_from(["float64", "float32"])) if both else "float64",
        draw(st.lists(st.integers(1, 40), min_size=1, max_size=5)),
        draw(st.sampled_from([1, 3, 10, 2**15])),
    )


@st.composite
def owners(draw, n_neurons, n_parts):
    """Draw the owner of each neuron; parts may own nothing, or nearly everything."""
    part = st.integers(0, n_parts - 1)
    if draw(st.integers(0, 3)):
        return draw(st.lists(part, min_size=n_neurons, max_size=n_neurons))
    found = [draw(part)] * n_neurons
    for gid in draw(st.lists(st.integers(0, n_neurons - 1), max_size=4)):
        found[gid] = draw(part)
    return found


def of_library(network):
    """Return the names of the models of the library in a network."""
    return {p.model.name for p in network.populations if isinstance(p.model, NeuronModel)}


def alone(case):
    """Return what the network does in one shard of the reference."""
    return advance(case.network, STEPS, "reference", case.precision, dt=case.dt)


def side_by_side(case):
    """Return what the network does on the ranks of the case."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simcore.shards.shard, "MAX_BLOCK", 2 * case.largest_block)
        division = divide(case.owners, case.n_ranks * case.threads)
        ranks = Ranks(case.network, division, case.backend, case.precision, case.threads, case.dt)
        found = ranks.advance(STEPS, case.epochs)
        ranks.close()
        return found


def crossing(case, spikes):
    """Count the spikes that have a synapse in another part than their own."""
    rows, owners = synapses(build(case.network, dt=case.dt)), np.array(case.owners)
    far = owners[rows["source"]] != owners[rows["target"]]
    return int(np.isin(spikes.gids, rows["source"][far]).sum())


def share(counts, least):
    """Return the share of examples with at least so many spikes."""
    return np.mean(np.array(counts) >= least)


@pytest.mark.slow
def test_any_network_in_any_division():
    counts, crossed, features, names = [], [], set(), set()

    def check(case):
        expected = alone(case)
        counts.append(expected.gids.size)
        crossed.append(crossing(case, expected))
        features.update(used(case.network), differing(case.network))
        names.update(of_library(case.network))
        assert differences(side_by_side(case), expected) == []

    for group in GROUPS:
        examples(25)(given(cases(group))(check))()

    assert {f for f in wanted() if isinstance(f, str) or f[0] in (*ROLES, *VIEWS)} <= features
    given_or_drawn = product(("parameter", "rate", "amplitude"), (True, False))
    assert features >= set(given_or_drawn)
    assert names >= set(library.names())
    # Networks that are silent, or whose parts do not hear of each other, show nothing
    assert share(counts, 50) > 0.5
    assert share(crossed, 20) > 0.2
    assert sum(crossed) > 30 * len(crossed)


def simulated(case):
    """Return what the network does in simulations that exchange their spikes themselves."""

    def work(comm):
        options = {"backend": case.backend, "precision": case.precision, "threads": case.threads}
        simulation = sc.Simulation(case.network, comm, dt=case.dt, partitioner="drawn", **options)
        found = outcome(simulation, STEPS * case.dt)
        dismiss(simulation.backend)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PARTITIONERS, "drawn", lambda _, n_parts: divide(case.owners, n_parts))
        # Small buffers, so that spikes need a second round as well
        patch.setattr(spike_exchange, "_SMALLEST", 2)
        return on_ranks(case.n_ranks, work)[0]


def test_any_network_in_simulations():
    crossed = []

    @examples(25)
    @given(cases())
    def check(case):
        expected, found = alone(case), simulated(case)
        crossed.append(crossing(case, expected))
        wrong = [name for name in found if not same_bits(found[name], getattr(expected, name))]
        assert wrong == []

    check()

    assert share(crossed, 20) > 0.1


@pytest.mark.parametrize(
    "breach",
    [mutants.initial_V_by_local_id, mutants.stimulus_by_local_id, mutants.epochs_too_long],
)
def test_random_networks_find_a_breach(monkeypatch, breach):
    """Few examples are enough to find what breaks the promise, else `find` raises an error."""
    breach(monkeypatch)

    def found_out(case):
        several = len(set(case.owners)) > 1
        return several and "V_m" in differences(side_by_side(case), alone(case))

    find(cases(), found_out, settings=settings(examples(120), phases=[Phase.generate]))
