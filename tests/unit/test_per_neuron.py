"""Parameters that differ from neuron to neuron: given one by one, or drawn."""

import functools
from fractions import Fraction

import numpy as np
import pytest

import simcore as sc
from simcore.description.drawing import driven, parameter
from simcore.discretization.tables import poisson_table, poisson_tables
from simcore.estimates.varying_memory import value_bytes
from simcore.kernels.cuda.models import ModelSet
from simcore.kernels.cuda.structs import Parts, make_pieces
from simcore.kernels.neuron_tables import make_neuron_tables
from simcore.kernels.poisson_groups import poisson_groups
from simcore.kernels.segments import SOURCE
from simcore.language.expression import evaluate, symbol
from simcore.language.linear_arrays import propagators_of_arrays
from simcore.language.program import make_program
from simcore.library import load
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import NO_SPIKES
from simcore.partition import partition
from simcore.services.errors import CapacityError, ModelError, SimcoreError
from tests.networks import advance, build, differences, make_run, same_bits, serial, specify
from tests.side_by_side import Ranks, on_ranks
from tests.unit.test_state import recent_of
from tests.varied import drawn, equal, network

# In which all that is driven spikes, and currents come and go
STEPS = 150


@functools.cache
def in_the_reference(value, precision="float64"):
    """Return what the network does in one shard of the reference."""
    net = network() if value is None else network(value)
    found = advance(net, STEPS, "reference", precision)
    assert min(found.counts(net)) > 10
    return found


@pytest.mark.parametrize(
    ("backend", "precision"),
    [("reference", "float64"), ("cpu", "float64"), ("cuda", "float64"), ("cuda", "float32")],
)
def test_equal_values_are_as_one(backend, precision, emulated_gpu):
    emulated_gpu.launches.clear()
    found = advance(network(equal), STEPS, backend, precision)
    assert set(emulated_gpu.launches) == ({"advance_team"} if backend == "cuda" else set())

    assert differences(found, in_the_reference(None, precision)) == []


@pytest.mark.parametrize(("backend", "threads"), [("cpu", 1), ("cpu", 2), ("cuda", 1)])
def test_drawn_values_do_not_depend_on_who_draws(backend, threads, emulated_gpu):
    wanted = in_the_reference(drawn)
    assert {"steps", "gids", "V_m"} <= set(differences(wanted, in_the_reference(None)))

    net = network(drawn)
    ranks = Ranks(net, partition(net, 3 * threads, "round_robin"), backend, threads=threads)
    found = ranks.advance(STEPS)
    ranks.close()

    assert differences(found, wanted) == []


def halves(in_one):
    """Return neurons of two kinds, in one population or in two."""
    net = sc.Network(seed=3)
    kinds = [
        {"tau_m": 8.0, "t_ref": 1.0, "E_L": -70.0, "I_e": 300.0},
        {"tau_m": 17.0, "t_ref": 2.5, "E_L": -66.0, "I_e": 900.0},
    ]
    model, names = load("iaf_psc_exp"), list(kinds[0])
    if in_one:
        each = {n: np.repeat([kinds[0][n], kinds[1][n]], 5) for n in names}
        views = net.population("N", 10, model(**each), V_m=[-65.0] * 5 + [-64.0] * 5)
        net.drive(views, sc.Current(np.repeat([80.0, 20.0], 5), start=2.0, stop=9.0))
        return net
    for k, V_m in enumerate((-65.0, -64.0)):
        own = net.population(f"N{k}", 5, model(**kinds[k]), V_m=V_m)
        net.drive(own, sc.Current((80.0, 20.0)[k], start=2.0, stop=9.0))
    return net


def test_two_halves_are_two_populations():
    one, two = (advance(halves(in_one), 300) for in_one in (True, False))

    assert one.gids.size == 20
    assert differences(one, two) == []


def test_propagators_of_arrays_are_those_of_numbers():
    """To the last bit, also where time constants are equal, or nearly so."""
    rng = np.random.default_rng(1)
    for name in ("iaf_psc_exp", "iaf_psc_alpha", "glif_psc", "mat2_psc_exp"):
        model = load(name)()
        values = {"h": 0.1, "quantum0": 2.0**-9, "quantum1": 2.0**-9}
        each = {n: v * np.exp(rng.normal(0.0, 0.8, 60)) for n, v in model.values.items()}
        for n in {"tau_syn_ex", "tau_syn_in"} & set(each):
            each[n][:9] = each["tau_m"][:9]
            each[n][9:15] = np.nextafter(each["tau_m"][9:15], 99.0)
            each[n][15:20] = each["tau_m"][15:20] * (1.0 + 1e-9)
        for number in make_program(model).numbers:
            found = np.broadcast_to(evaluate(number, values | each), 60)
            alone = [
                evaluate(number, values | {n: v[k] for n, v in each.items()}) for k in range(60)
            ]
            np.testing.assert_array_equal(found, alone)


def test_what_is_not_certain_is_computed_with_more_digits():
    """A number that may be 0 or a little off it is left to the other way."""
    asked = []

    def alone(values):
        asked.append(values["x"])
        return 7.0

    x, y = symbol("x", fixed=True), symbol("y", fixed=True)
    values = {"x": np.array([3.0, 5.0]), "y": np.array([3.0, 4.0])}
    found = propagators_of_arrays([[x, x / y - y / x]], (0, 1), values, Fraction(1), alone)

    assert asked == [3.0]
    assert found[0] == 7.0
    assert found[1] == pytest.approx((np.exp(5.0) - 1.0) / 5.0 * (5 / 4 - 4 / 5), rel=1e-15)


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
def test_a_run_goes_on(backend, emulated_gpu):
    """Before, while and after currents flow that differ from neuron to neuron."""
    net, wanted = network(drawn), in_the_reference(drawn)
    for step in (20, 60, 120) if backend == "cpu" else (60,):
        before, after = make_run(net, backend), make_run(net, backend)
        spikes = before.advance(Epoch(0, step), NO_SPIKES)
        after.restore(before.state(), step, recent_of(spikes.steps, spikes.gids, step, 15))
        rest = after.advance(Epoch(step, STEPS), NO_SPIKES)

        assert same_bits(np.append(spikes.gids, rest.gids), wanted.gids)
        assert same_bits(after.potentials(), wanted.V_m)


def test_draws_are_those_of_seed_population_parameter_and_neuron():
    net = sc.Network(seed=7)
    given = {"tau_m": sc.Uniform(5.0, 15.0), "C_m": sc.Uniform(5.0, 15.0)}
    A, B = (net.population(name, 50, sc.LIF(**given)) for name in "AB")
    gids = A.view().gids()
    tau_m = parameter(A, "tau_m", gids)

    assert np.array_equal(parameter(A, "tau_m", gids[::-7]), tau_m[::-7])
    others = [parameter(A, "C_m", gids), parameter(B, "tau_m", B.view().gids())]
    other = sc.Network(seed=8).population("A", 50, sc.LIF(**given))
    others.append(parameter(other, "tau_m", gids))
    for values in others:
        assert 5.0 < values.min() < 6.0 < 14.0 < values.max() < 15.0
        assert abs(np.corrcoef(values, tau_m)[0, 1]) < 0.4


def test_rates_one_by_one_are_those_of_populations():
    """Groups are cut where the rate changes, and at the borders of blocks; 0 has none."""
    rates = np.repeat([0.0, 500.0, 9000.0, 500.0], 3)
    net = sc.Network(seed=2)
    net.population("N", 3, sc.LIF())
    net.population("S", 12, sc.PoissonSource(rates))
    M = net.population("M", 12, sc.LIF())
    net.drive(M[2:5], sc.Poisson([100.0, 100.0, 300.0], 1.0))
    net.drive(M[[0, 7, 8]], sc.Poisson([100.0, 300.0, 300.0], 1.0))
    groups, thresholds, _ = poisson_groups(build(net))

    bounds = [(17, 19), (19, 20), (15, 16), (22, 24), (6, 9), (9, 12), (12, 15)]
    assert groups[["begin", "end"]].tolist() == bounds
    assert set(groups["first_member"].tolist()) == {-1}
    rates = [100.0, 300.0, 100.0, 300.0, 500.0, 9000.0, 500.0]
    for group, rate in zip(groups, rates, strict=True):
        table, first = poisson_table(rate * 1e-4), group["first_threshold"]
        assert group["smallest"] == table.first
        own = thresholds[first : first + group["n_thresholds"]]
        assert np.array_equal(own, table.thresholds)


def test_tables_of_many_rates_are_those_of_each():
    means = np.unique(np.append(np.logspace(-9.0, 4.0, 60), [0.0, 1.0, 2.0, 10.0]))
    smallest, thresholds, firsts = poisson_tables(means)

    for k, mean in enumerate(means):
        table = poisson_table(float(mean))
        assert smallest[k] == table.first
        assert np.array_equal(thresholds[firsts[k] : firsts[k + 1]], table.thresholds)


@pytest.mark.parametrize(
    ("describe", "message"),
    [
        (lambda net: sc.LIF(tau_m=[10.0, 0.0]), r"^LIF: tau_m\[1\] is 0\.0, must be > 0 \[ms\]"),
        (lambda net: sc.LIF(V_th=[[1.0]]), "^LIF: V_th is .*must be a finite number, a distrib"),
        (lambda net: sc.LIF(V_th=["a"]), "^LIF: V_th is .*must be a finite number, a distrib"),
        (lambda net: sc.LIF(C_m=[1.0, np.inf]), r"^LIF: C_m\[1\] is inf, must be a finite number"),
        (lambda net: sc.LIF(V_reset=[0.0, 30.0]), r": V_reset\[1\] is 30\.0, must satisfy V_reset"),
        (lambda net: sc.LIF(tau_syn=sc.Uniform(1.0, 2.0)), "tau_syn is .*which all neurons of a"),
        (
            lambda net: load("glif_psc")(tau_syn=[sc.Uniform(1.0, 2.0)]),
            "^glif_psc: tau_syn is Uniform.*that all neurons of a population share",
        ),
        (
            lambda net: net.population("A", 3, sc.LIF(tau_m=[1.0, 2.0])),
            "^population 'A': tau_m is <2 values: 1.0, 2.0>, must be one number.* or 3 values",
        ),
        (
            lambda net: net.population("A", 3, sc.LIF(), V_m=[1.0, 2.0]),
            "^population 'A': V_m is <2 values: .*, or 3 values",
        ),
        (
            lambda net: net.drive(net.population("A", 3, sc.LIF())[1:], sc.Current([1.0] * 3)),
            r"^drive of 'A\[1:3\]': amplitude is <3 values: .*, or 2 values",
        ),
        (lambda net: sc.Poisson([1.0, -1.0], 1.0), r"^Poisson: rate\[1\] is -1\.0, must be >= 0"),
        (
            lambda net: sc.PoissonSource(sc.Uniform(-2.0, -1.0)),
            "^PoissonSource: rate: largest value",
        ),
    ],
)
def test_values_that_are_refused(describe, message):
    with pytest.raises(ModelError, match=message):
        describe(sc.Network())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tau_m": sc.Normal(1.0, 0.5)}, "'A': tau_m of neuron .* is drawn as -.* tau_m > 0. Give"),
        ({"t_ref": sc.Uniform(0.0, 9e4)}, "'A': t_ref of neuron .* must be below 3276.8 ms"),
        (
            {"t_ref": [1.0, 2.0] * 200 + [1e5]},
            "'A': t_ref of neuron 400 is 100000.0, must be below",
        ),
    ],
)
def test_draws_that_are_refused(given, message):
    net = sc.Network()
    net.population("A", 401, sc.LIF(**given))

    with pytest.raises((ModelError, CapacityError), match=message):
        serial(net, backend="reference")


def test_all_ranks_fail_of_a_value_that_one_draws():
    net = sc.Network(seed=4)
    A = net.population("A", 4000, sc.LIF())
    rate = sc.Normal(3.3, 1.0, high=9.0)
    net.drive(A, sc.Poisson(rate, 1.0))
    wrong = np.flatnonzero(driven(net.drives[0], "rate", A.view().gids()) < 0.0)
    assert wrong.size > 0

    def work(comm):
        with pytest.raises(SimcoreError) as error:
            sc.Simulation(net, comm=comm, backend="reference", partitioner="block")
        return str(error.value)

    texts = on_ranks(2, work)
    first = "drive of 'A': rate of neuron "
    assert all(first in text for text in texts)


def test_a_description_tells_arrays_by_digest():
    given = sc.LIF(tau_m=np.linspace(5.0, 9.0, 50), E_L=sc.Uniform(-3.0, 0.0), t_ref=2.0)
    found = given.describe()

    assert found["tau_m"].keys() == {"n_values", "digest"}
    assert found["E_L"] == sc.Uniform(-3.0, 0.0).describe()
    assert found["t_ref"] == 2.0
    same = sc.LIF(tau_m=np.linspace(5.0, 9.0, 50), E_L=sc.Uniform(-3.0, 0.0), t_ref=2.0)
    other = sc.LIF(tau_m=np.linspace(5.0, 9.1, 50), E_L=sc.Uniform(-3.0, 0.0), t_ref=2.0)
    assert (given, hash(given)) == (same, hash(same))
    assert given != other
    assert other.describe()["tau_m"] != found["tau_m"]
    assert given.neuron() == same.neuron() != other.neuron()


def test_an_array_that_is_changed_later_changes_nothing():
    values = np.array([5.0, 6.0])
    model, before = sc.LIF(tau_m=values), sc.LIF(tau_m=[5.0, 6.0])
    values[:] = 1.0

    assert model == before


def test_shared_values_take_no_memory():
    """A constant distribution is a number; what differs takes a column for each number."""
    net = sc.Network()
    one = net.population("one", 1000, sc.LIF(tau_m=sc.Constant(9.0)))
    net.population("each", 1000, sc.LIF(tau_m=sc.Uniform(5.0, 9.0)))
    assert one.neuron.values["tau_m"] == 9.0
    tables = make_neuron_tables(build(net), np.dtype(np.float64))

    assert [len(varying) for varying in tables.varying] == [0, 2]
    assert tables.numbers.size == 2 * 5 + 2 * 1000
    assert value_bytes(net, build(net).neurons, 0.1) == 2 * 8 * 1000


@pytest.mark.parametrize("size", [10, 50, 1000])
def test_pieces_on_a_device_have_the_values_of_their_neurons(size):
    """Each part finds the values of its own neurons, and their changes, one column a number."""
    shard = specify(network(drawn))
    tables = make_neuron_tables(shard, np.dtype("float64"))
    parts = Parts(shard.neurons.size, size)
    pieces = make_pieces(tables, parts, ModelSet(tables.programs, tables.varying))
    origins = np.searchsorted(tables.segments["begin"], np.arange(shard.neurons.size), "right") - 1
    behind = pieces.numbers.size
    for lid, origin in enumerate(origins):
        part = lid // parts.size
        piece = pieces.segments[pieces.first_segments[part] + pieces.segment_of[lid]]
        segment = tables.segments[origin]
        n = len(tables.varying[segment["kind"]]) if segment["kind"] != SOURCE else 0
        own, theirs = (
            np.arange(n) * piece["size"],
            np.arange(n) * (segment["end"] - segment["begin"]),
        )
        own += pieces.first_values[part] + piece["first_value"] + lid % parts.size - piece["begin"]
        theirs += segment["first_value"] + lid - segment["begin"]
        assert np.array_equal(pieces.values[own], tables.numbers[theirs])
        assert changes_of(pieces.changes, behind + own) == changes_of(tables.changes, theirs)
    assert pieces.first_values[-1] == pieces.values.size


def changes_of(changes, places):
    """Return the changes of some numbers, by their order."""
    steps, which, values = changes
    order = {int(place): k for k, place in enumerate(places)}
    return [
        (int(step), order[int(place)], float(value))
        for step, place, value in zip(steps, which, values, strict=True)
        if int(place) in order
    ]
