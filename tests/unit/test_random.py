"""Draws: Philox as published, the same from NumPy and compiled, for every id and index."""

import numpy as np
import pytest
from scipy import stats

from simcore.construction import binomial
from simcore.numerics import philox, random

# Random123, kat_vectors: counter, key, and Philox 4x32-10 of them
KNOWN_ANSWERS = [
    (
        (0x00000000, 0x00000000, 0x00000000, 0x00000000),
        (0x00000000, 0x00000000),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def as_draw(counter, key):
    """Return seed, stream, gid and index whose draw has this counter and key."""
    c0, c1, c2, c3 = counter
    return key[0] | key[1] << 32, c3, c1 | (c2 & 0xFFFF) << 32, c0 | (c2 >> 16) << 32


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(counter, key, answer):
    seed, stream, gid, index = as_draw(counter, key)

    assert random.philox4x32(counter, key).tolist() == list(answer)
    assert random.draw(seed, stream, gid, index).tolist() == list(answer)
    compiled = philox.draw(*map(np.uint64, (seed, stream, gid, index)))
    assert [int(word) for word in compiled] == list(answer)


def test_numbers_of_a_step_have_a_word_each_and_lie_between_0_and_1():
    ends = np.array([0, 1, 2**31, 2**32 - 130, 2**32 - 1], dtype=np.uint32)
    words = np.append(ends, random.draw(5, 1, np.arange(50_000), 0).ravel())
    wide = random.uniform_of_word(words, np.dtype("float64"))
    narrow = random.uniform_of_word(words, np.dtype("float32"))

    assert (narrow == wide.astype(np.float32)).all()
    assert wide[:2].tolist() == [2.0**-32] * 2
    assert (float(wide.max()), float(narrow.max())) == (1 - 129 * 2.0**-32, 1 - 2.0**-24)
    assert stats.kstest(wide[5:], "uniform").pvalue > 0.01

    drawn = random.draw_step(9, np.arange(3), 77, 6)
    calls = [random.draw(9, random.stream(random.STEP, k), np.arange(3), 77) for k in (0, 1)]
    assert [d.tolist() for d in drawn] == np.concatenate(calls, axis=1).T[:6].tolist()


def test_counters_of_many_dimensions():
    counters = np.array([[c for c, _, _ in KNOWN_ANSWERS]] * 2, dtype=np.uint32)

    words = random.philox4x32(counters, KNOWN_ANSWERS[1][1])

    assert words.shape == (2, 3, 4)
    assert words.dtype == np.uint32
    assert words[1, 1].tolist() == list(KNOWN_ANSWERS[1][2])


def keys_of_draws():
    """Return seeds, streams, gids and indices, most of them above 32 bits."""
    rng = np.random.default_rng(1)
    edges = [0, 1, 2**16, 2**32 - 1, 2**32, 2**32 + 1, 2**47 - 1, 2**48 - 1]
    pairs = [(g, i) for g in edges for i in edges]
    pairs += rng.integers(0, 2**48, (300, 2)).tolist()
    seeds = rng.integers(0, 2**64, len(pairs), dtype=np.uint64).tolist()
    streams = rng.integers(0, 2**32, len(pairs)).tolist()
    return [(seed, s, *pair) for seed, s, pair in zip(seeds, streams, pairs, strict=True)]


def test_compiled_draws_are_those_of_numpy():
    drawn = keys_of_draws()

    compiled = [[int(w) for w in philox.draw(*map(np.uint64, one))] for one in drawn]

    assert compiled == [random.draw(*one).tolist() for one in drawn]


@pytest.mark.parametrize("begin", [0, 2**32 - 5])
def test_many_draws_are_single_ones(begin):
    seed, stream, gid, count = 2**63 + 5, random.stream(random.CONNECT, 7), 2**40 + 3, 12
    words = np.zeros((4, count + 2), dtype=np.uint32)

    philox.draw_many(
        np.uint64(seed), np.uint64(stream), np.uint64(gid), np.uint64(begin), count, *words
    )

    expected = random.draw(seed, stream, gid, begin + np.arange(count))
    np.testing.assert_array_equal(words[:, :count].T, expected)
    assert not words[:, count:].any()


def test_every_part_of_the_name_makes_another_draw():
    names = [
        (seed, random.stream(purpose, number), gid, index)
        for seed in (0, 1, 2**32, 2**63)
        for purpose in (random.CONNECT, random.STIMULUS)
        for number in (0, 1, 2**24 - 1)
        for gid in (0, 1, 2**16, 2**32, 2**47)
        for index in (0, 1, 2**16, 2**32, 2**47)
    ]

    words = {tuple(random.draw(*name).tolist()) for name in names}

    assert len(words) == len(names)


def test_purposes_are_different():
    names = ("CONNECT", "INDEGREE", "STIMULUS", "SOURCE", "INITIAL_V_M", "OUTDEGREE")
    purposes = [getattr(random, name) for name in names]

    assert len(set(purposes)) == len(purposes)
    assert all(0 < random.stream(p, 2**24 - 1) < 2**32 for p in purposes)


def test_gids_and_indices_are_broadcast():
    grid = random.draw(3, 4, np.arange(5)[:, None], np.arange(6))

    assert grid.shape == (5, 6, 4)
    assert grid[2, 3].tolist() == random.draw(3, 4, 2, 3).tolist()


def test_uniform_lies_inside_the_open_interval():
    least = random.uniform(np.zeros((1, 4), dtype=np.uint32))
    most = random.uniform(np.full((1, 4), 2**32 - 1, dtype=np.uint32))

    assert least == 2.0**-53
    assert most == 1.0 - 2.0**-53


def test_uniform_is_uniform():
    numbers = random.uniform(random.draw(9, random.stream(random.SOURCE, 1), np.arange(20_000), 0))

    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 4 / np.sqrt(numbers.size)


def test_compiled_uniform_is_that_of_numpy():
    key = np.uint64(2**60 + 1), np.uint64(random.stream(random.INDEGREE, 3))
    gids = [0, 1, 2**31, 2**40]

    compiled = [binomial.uniform(*key, gid, 0) for gid in gids]

    assert compiled == random.uniform(random.draw(*map(int, key), gids, 0)).tolist()
