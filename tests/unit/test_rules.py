"""Connection rules: what they promise exactly, and the distributions they draw from.

Random numbers are fixed by the seed, so a test passes always or never; a p-value below 1e-3 is
one seed in a thousand.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

import simcore as sc
from simcore.construction import binomial, explicit
from simcore.description.ids import Ids
from tests.networks import build, synapses

LEAST_P = 1e-3

NOBODY = Ids(0, range(0)).packed


def connect(rule, sources=120, targets=80, weight=1.0, delay=1.0, seed=5, tau_syn=2.0):
    """Return the synapses of one projection and their shard.

    With a pair of slices for `sources`, these are the views of one population of `targets`
    neurons that are connected.
    """
    net = sc.Network(seed=seed)
    net.population("before", 3, sc.LIF())
    if isinstance(sources, tuple):
        E = net.population("E", targets, sc.LIF(tau_syn=tau_syn))
        a, b = (E[s] for s in sources)
    else:
        a = net.population("a", sources, sc.PoissonSource(rate=1.0))
        b = net.population("b", targets, sc.LIF(tau_syn=tau_syn))
    net.connect(a, b, rule, weight=weight, delay=delay)
    shard = build(net)
    return synapses(shard), shard


def matrix(rule, sources=120, targets=80, **options):
    """Return the number of synapses between each pair, shape (n_targets, n_sources)."""
    rows, shard = connect(rule, sources, targets, **options)
    projection = shard.network.projections[0]
    counts = np.zeros((projection.target.size, projection.source.size), dtype=int)
    target = projection.target.ids.position(rows["target"])
    source = projection.source.ids.position(rows["source"])
    assert min([*target, *source, 0]) == 0
    np.add.at(counts, (target, source), 1)
    return counts


ALL = (slice(None), slice(None))


def uniform(counts, variance=1.0):
    """Return the p-value of equal expected counts, each with `variance` times that of Poisson."""
    counts = np.asarray(counts, dtype=float)
    statistic = ((counts - counts.mean()) ** 2).sum() / counts.mean() / variance
    return two_sided(stats.chi2(counts.size - 1), statistic)


def two_sided(distribution, value):
    """Return the p-value of a value that is too small or too large."""
    return 2 * min(distribution.cdf(value), distribution.sf(value))


def within(count, n, p):
    """Return the two-sided p-value of a binomial count."""
    return two_sided(stats.binom(n, p), count) if 0 < p < 1 else float(count == n * p)


class TestFixedIndegree:
    def test_every_target_receives_the_same_number(self):
        counts = matrix(sc.FixedIndegree(37))

        assert (counts.sum(axis=1) == 37).all()

    def test_sources_are_uniform(self):
        counts = matrix(sc.FixedIndegree(400), sources=50, targets=60)

        assert uniform(counts.sum(axis=0)) > LEAST_P
        assert uniform(counts.ravel(), variance=1 - 1 / 50) > LEAST_P

    def test_targets_draw_independently(self):
        counts = matrix(sc.FixedIndegree(400), sources=50, targets=60)

        z = np.corrcoef(counts)[np.triu_indices(60, 1)] * np.sqrt(50)
        assert stats.kstest(z, "norm").pvalue > LEAST_P

    def test_autapses_occur_where_allowed(self):
        counts = matrix(sc.FixedIndegree(30), ALL, 100)

        assert within(np.trace(counts), 3000, 0.01) > LEAST_P

    def test_autapses_are_left_out_where_not(self):
        counts = matrix(sc.FixedIndegree(300, allow_autapses=False), ALL, 40)
        off_diagonal = counts[~np.eye(40, dtype=bool)]

        assert np.trace(counts) == 0
        assert (counts.sum(axis=1) == 300).all()
        assert uniform(off_diagonal, variance=1 - 1 / 39) > LEAST_P

    @pytest.mark.parametrize("indegree", [0, 1, 20, 21, 39, 40])
    def test_distinct_sources(self, indegree):
        counts = matrix(sc.FixedIndegree(indegree, allow_multapses=False), 40, 300)

        assert counts.max(initial=0) <= 1
        assert (counts.sum(axis=1) == indegree).all()
        if 0 < indegree < 40:
            # Numbers without replacement vary less, and sum to the total
            left = (1 - indegree / 40) * 40 / 39
            assert uniform(counts.sum(axis=0), variance=left) > LEAST_P

    @pytest.mark.parametrize("indegree", [7, 15, 19])
    def test_distinct_sources_without_autapses(self, indegree):
        rule = sc.FixedIndegree(indegree, allow_autapses=False, allow_multapses=False)
        counts = matrix(rule, (slice(None), slice(5, 15)), 20)
        diagonal = counts[np.arange(10), np.arange(5, 15)]

        assert counts.max() == 1
        assert (counts.sum(axis=1) == indegree).all()
        assert not diagonal.any()

    def test_sets_of_distinct_sources_are_equally_likely(self):
        counts = matrix(sc.FixedIndegree(3, allow_multapses=False), 6, 4000)
        _, found = np.unique(counts, axis=0, return_counts=True)

        assert found.size == 20
        assert uniform(found) > LEAST_P


class TestFixedOutdegree:
    def test_every_source_sends_the_same_number(self):
        counts = matrix(sc.FixedOutdegree(33))

        assert (counts.sum(axis=0) == 33).all()

    def test_targets_are_uniform(self):
        counts = matrix(sc.FixedOutdegree(400), sources=60, targets=50)

        assert uniform(counts.sum(axis=1)) > LEAST_P
        assert uniform(counts.ravel(), variance=1 - 1 / 50) > LEAST_P

    def test_autapses(self):
        allowed = matrix(sc.FixedOutdegree(30), ALL, 100)
        forbidden = matrix(sc.FixedOutdegree(30, allow_autapses=False), ALL, 100)

        assert within(np.trace(allowed), 3000, 0.01) > LEAST_P
        assert np.trace(forbidden) == 0
        assert (forbidden.sum(axis=0) == 30).all()

    @pytest.mark.parametrize("outdegree", [0, 3, 12, 19])
    def test_distinct_targets_without_autapses(self, outdegree):
        rule = sc.FixedOutdegree(outdegree, allow_autapses=False, allow_multapses=False)
        counts = matrix(rule, ALL, 20)

        assert counts.max(initial=0) <= 1
        assert (counts.sum(axis=0) == outdegree).all()
        assert np.trace(counts) == 0

    def test_chunks_do_not_matter(self, monkeypatch):
        whole = matrix(sc.FixedOutdegree(7))
        monkeypatch.setattr(explicit, "_CHUNK", 20)

        assert (matrix(sc.FixedOutdegree(7)) == whole).all()


class TestFixedTotalNumber:
    @pytest.mark.parametrize("n", [0, 1, 79, 12_345])
    def test_total_is_exact(self, n):
        assert matrix(sc.FixedTotalNumber(n)).sum() == n

    def test_pairs_are_uniform(self):
        counts = matrix(sc.FixedTotalNumber(60_000), 40, 70)

        assert uniform(counts.sum(axis=1)) > LEAST_P
        assert uniform(counts.sum(axis=0)) > LEAST_P
        assert uniform(counts) > LEAST_P

    @pytest.mark.parametrize("n_targets", [2, 3, 5])
    def test_indegrees_are_multinomial(self, n_targets):
        total, repeats = 4, 4000
        wanted, stream = np.arange(n_targets), np.uint64(11)
        found = {}
        for seed in range(repeats):
            shares = binomial.split_total(
                np.uint64(seed), stream, total, 10, NOBODY, n_targets, wanted
            )
            found[tuple(shares.tolist())] = found.get(tuple(shares.tolist()), 0) + 1

        outcomes = [s for s in itertools.product(range(5), repeat=n_targets) if sum(s) == total]
        law = stats.multinomial(total, [1 / n_targets] * n_targets)
        expected = repeats * law.pmf(outcomes)
        observed = [found.get(s, 0) for s in outcomes]
        assert sum(observed) == repeats
        assert stats.chisquare(observed, expected).pvalue > LEAST_P

    def test_autapses_occur_where_allowed(self):
        counts = matrix(sc.FixedTotalNumber(20_000), ALL, 50)

        assert within(np.trace(counts), 20_000, 1 / 50) > LEAST_P

    def test_pairs_without_autapses_are_uniform(self):
        # Targets 20 to 29 are sources as well, and have one partner less
        views = slice(10, 30), slice(20, 50)
        counts = matrix(sc.FixedTotalNumber(50_000, allow_autapses=False), views, 60)
        allowed = np.ones((30, 20), dtype=bool)
        allowed[np.arange(10), np.arange(10, 20)] = False

        assert counts.sum() == 50_000
        assert not counts[~allowed].any()
        assert uniform(counts[allowed]) > LEAST_P
        by_target = counts.sum(axis=1), 50_000 * allowed.sum(axis=1) / allowed.sum()
        assert stats.chisquare(*by_target).pvalue > LEAST_P


class TestPairwiseBernoulli:
    @pytest.mark.parametrize("p", [0.02, 0.3, 0.8])
    def test_probability_of_a_pair(self, p):
        counts = matrix(sc.PairwiseBernoulli(p), 110, 130)

        assert counts.max() == 1
        assert within(counts.sum(), counts.size, p) > LEAST_P
        assert uniform(counts.sum(axis=1), variance=1 - p) > LEAST_P
        assert uniform(counts.sum(axis=0), variance=1 - p) > LEAST_P

    def test_indegrees_are_binomial(self):
        indegrees = matrix(sc.PairwiseBernoulli(0.3), 10, 5000).sum(axis=1)

        expected = 5000 * stats.binom(10, 0.3).pmf(np.arange(11))
        observed = np.bincount(indegrees, minlength=11)
        tail = expected < 5
        observed = [*observed[~tail], observed[tail].sum()]
        assert stats.chisquare(observed, [*expected[~tail], expected[tail].sum()]).pvalue > LEAST_P

    @pytest.mark.parametrize(("p", "expected"), [(0.0, 0), (1.0, 1)])
    def test_certain_cases(self, p, expected):
        assert (matrix(sc.PairwiseBernoulli(p)) == expected).all()

    def test_autapses(self):
        allowed = matrix(sc.PairwiseBernoulli(0.5), ALL, 200)
        forbidden = matrix(sc.PairwiseBernoulli(0.5, allow_autapses=False), ALL, 200)
        certain = matrix(sc.PairwiseBernoulli(1.0, allow_autapses=False), ALL, 30)

        assert within(np.trace(allowed), 200, 0.5) > LEAST_P
        assert np.trace(forbidden) == 0
        assert within(forbidden.sum(), 200 * 199, 0.5) > LEAST_P
        assert (certain == 1 - np.eye(30)).all()


class TestBinomial:
    @pytest.mark.parametrize("p", [1e-8, 0.003, 0.2, 0.5, 0.97, 1 - 1e-8])
    @pytest.mark.parametrize("n", [1, 2, 15, 16, 400, 300_000_000])
    def test_inversion_gives_every_value_its_share(self, n, p):
        u = (np.arange(4000) + 0.5) / 4000
        found, counts = np.unique([binomial.binomial(n, p, x) for x in u], return_counts=True)

        law = stats.binom(n, p)
        # A share holds as many points of the grid as its length says, but for its ends
        np.testing.assert_allclose(counts, 4000 * law.pmf(found), atol=1.001, rtol=1e-6)
        missing = np.setdiff1d(law.ppf(np.linspace(0.001, 0.999, 999)), found)
        assert (4000 * law.pmf(missing) < 1.001).all()

    def test_certain_cases(self):
        assert [binomial.binomial(n, p, 0.3) for n, p in [(0, 0.5), (9, 0.0), (9, 1.0)]] == [
            0,
            0,
            9,
        ]

    @pytest.mark.parametrize("u", [2.0**-53, 1 - 2.0**-53])
    def test_ends_of_the_unit_interval(self, u):
        for n, p in itertools.product([1, 60, 10**6, 3 * 10**8], [1e-9, 0.1, 0.5, 0.999]):
            # All values outside lie beyond 12 standard deviations
            assert abs(binomial.binomial(n, p, u) - n * p) <= 12 * np.sqrt(n * p * (1 - p)) + 32


class TestGivenPairs:
    def test_one_to_one(self):
        counts = matrix(sc.OneToOne(), (slice(3, 13), slice(8, 18)), 20)

        assert (counts == np.eye(10)).all()

    @pytest.mark.parametrize("autapses", [True, False])
    def test_all_to_all(self, autapses):
        counts = matrix(sc.AllToAll(allow_autapses=autapses), (slice(0, 9), slice(5, 12)), 20)
        expected = np.ones((7, 9))
        if not autapses:
            expected[np.arange(4), np.arange(5, 9)] = 0

        assert (counts == expected).all()

    @pytest.mark.parametrize("chunk", [7, 2**20])
    def test_edges(self, chunk, monkeypatch):
        monkeypatch.setattr(explicit, "_CHUNK", chunk)
        rng = np.random.default_rng(3)
        ends = rng.integers(0, 30, 200), rng.integers(0, 20, 200)
        weights, delays = rng.normal(0.0, 50.0, 200), rng.uniform(0.06, 4.0, 200)

        edges = sc.Edges(*ends, weights=weights, delays=delays)
        rows, shard = connect(edges, 30, 20, None, None, tau_syn=(1.0, 2.0))

        quantum = shard.fixed_point.weights[0].quantum
        expected = np.zeros(200, rows.dtype)
        expected["source"], expected["target"] = ends[0] + 3, ends[1] + 33
        expected["weight"] = np.rint(weights / quantum)
        expected["delay"] = np.floor(delays / 0.1 + 0.5)
        expected["receptor"] = weights < 0
        np.testing.assert_array_equal(rows, np.sort(expected))
        assert quantum < 1e-4

    def test_edges_with_drawn_values(self):
        ends = np.arange(30).repeat(2), np.arange(60) % 20
        drawn = {"weight": sc.Uniform(1.0, 2.0), "delay": sc.Uniform(0.1, 2.0)}

        rows, _ = connect(sc.Edges(*ends), 30, 20, **drawn)

        pairs = sorted(zip(ends[0] + 3, ends[1] + 33, strict=True))
        assert list(zip(rows["source"], rows["target"], strict=True)) == pairs
        assert np.unique(rows["weight"]).size > 50
        assert np.unique(rows["delay"]).size > 10

    def test_edges_with_equal_delays(self):
        delays = np.full(9, 1.7)

        rows, shard = connect(sc.Edges(np.arange(9), np.arange(9), delays=delays), delay=None)

        assert rows["delay"].tolist() == [17] * 9
        assert shard.max_delay == 17

    @pytest.mark.parametrize("values", [{"weights": [], "delays": []}, {}])
    def test_no_edges(self, values):
        none = np.zeros(0, dtype=int)
        given = {"weight": None, "delay": None} if values else {}

        rows, shard = connect(sc.Edges(none, none, **values), **given)

        assert rows.size == shard.n_synapses == 0


NORMAL = sc.Normal(87.8, 8.78, low=0.0)
DELAY = sc.Normal(1.5, 0.75, low=0.05)
RULES = {
    "drawn by target": sc.FixedIndegree(250),
    "distinct": sc.FixedIndegree(100, allow_multapses=False),
    "total": sc.FixedTotalNumber(20_000),
    "pairs": sc.PairwiseBernoulli(0.9),
    "all": sc.AllToAll(),
    "drawn by source": sc.FixedOutdegree(150),
    "edges": sc.Edges(np.arange(120).repeat(160), np.tile(np.arange(80), 240)),
}


@pytest.fixture(scope="module", params=RULES)
def drawn(request):
    """Synapses with normal weights and delays, from each of the rules."""
    return connect(RULES[request.param], weight=NORMAL, delay=DELAY)


class TestValues:
    def test_delays_are_distributed_as_asked(self, drawn):
        rows, _ = drawn
        upto = [DELAY.cdf((d + 0.5) * 0.1) for d in range(41)]
        expected = rows.size * np.diff([0.0, *upto, 1.0])
        observed = np.bincount(np.minimum(rows["delay"], 41), minlength=42)

        assert observed[0] == 0
        tail = expected < 8
        observed = [*observed[~tail], observed[tail].sum()]
        assert stats.chisquare(observed, [*expected[~tail], expected[tail].sum()]).pvalue > LEAST_P

    def test_weights_are_distributed_as_asked(self, drawn):
        rows, shard = drawn
        weights = rows["weight"] * shard.fixed_point.weights[0].quantum

        assert stats.kstest(weights, stats.norm(87.8, 8.78).cdf).pvalue > LEAST_P
        assert weights.min() > 0.0

    def test_values_are_independent(self, drawn):
        rows, _ = drawn
        names = ("source", "target", "delay", "weight")

        limit = 5 / np.sqrt(rows.size)
        for a, b in itertools.combinations(names, 2):
            assert abs(stats.spearmanr(rows[a], rows[b]).statistic) < limit, (a, b)

    def test_neighbours_are_independent(self, drawn):
        rows, _ = drawn
        weights = rows[np.lexsort((rows["source"], rows["target"]))]["weight"]

        assert abs(np.corrcoef(weights[:-1], weights[1:])[0, 1]) < 5 / np.sqrt(rows.size)


@pytest.mark.parametrize(
    ("weight", "law"),
    [
        (sc.Uniform(-3.0, 9.0), stats.uniform(-3.0, 12.0)),
        (sc.Lognormal(1.0, 0.6), stats.lognorm(s=0.6, scale=np.e)),
        (sc.Normal(-20.0, 9.0, high=0.0), stats.truncnorm(-np.inf, 20 / 9, -20.0, 9.0)),
    ],
)
def test_distributions_of_weights(weight, law):
    rows, shard = connect(sc.FixedIndegree(300), weight=weight, tau_syn=(1.0, 2.0))
    weights = rows["weight"] * shard.fixed_point.weights[0].quantum

    assert stats.kstest(weights, law.cdf).pvalue > LEAST_P
    assert ((rows["receptor"] == 1) == (rows["weight"] < 0)).all()


def test_redrawing_and_clipping_differ():
    bounds = {"low": 10.0, "high": 12.0}
    redrawn, shard = connect(sc.FixedIndegree(300), weight=sc.Normal(10.0, 2.0, **bounds))
    clipped, other = connect(
        sc.FixedIndegree(300), weight=sc.Normal(10.0, 2.0, **bounds, outside="clip")
    )
    redrawn = redrawn["weight"] * shard.fixed_point.weights[0].quantum
    clipped = clipped["weight"] * other.fixed_point.weights[0].quantum
    ends = [np.isclose(clipped, end, atol=1e-3).sum() for end in (10.0, 12.0)]

    assert stats.kstest(redrawn, stats.truncnorm(0.0, 1.0, 10.0, 2.0).cdf).pvalue > LEAST_P
    assert within(ends[0], clipped.size, 0.5) > LEAST_P
    assert within(ends[1], clipped.size, stats.norm.sf(1.0)) > LEAST_P


def test_projections_and_seeds_draw_for_themselves():
    net = sc.Network(seed=8)
    E = net.population("E", 100, sc.LIF(tau_syn=1.0))
    for weight in (1.0, 2.0):
        net.connect(E, E, sc.FixedIndegree(20), weight=weight, delay=1.0)
    rows = synapses(build(net))
    light = rows["weight"] == rows["weight"].min()
    again = matrix(sc.FixedIndegree(20), ALL, 100, seed=9)

    def pairs(chosen):
        counts = np.zeros((100, 100))
        np.add.at(counts, (chosen["target"], chosen["source"]), 1)
        return counts.ravel()

    counts = [pairs(rows[light]), pairs(rows[~light]), again.ravel()]
    for one, other in itertools.combinations(counts, 2):
        assert one.sum() == other.sum() == 2000
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.05


def test_many_sources_are_drawn_evenly():
    # More sources than a word of 32 bits tells apart evenly would leave gaps
    rows, _ = connect(sc.FixedIndegree(20_000), sources=300_000, targets=2)

    assert stats.kstest((rows["source"] - 3) / 300_000, "uniform").pvalue > LEAST_P
    assert np.unique(rows["source"] % 16, return_counts=True)[1].min() > 2200
