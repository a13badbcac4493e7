"""Sorting spikes in bounded memory."""

import os
import subprocess
import sys

import numpy as np
import pytest

from simcore.io import sorting
from simcore.io.sorting import SortedSpikes, sort


@pytest.fixture
def small(monkeypatch):
    """Sort in runs of 64 spikes."""
    monkeypatch.setattr(sorting, "_RUN", 64)
    monkeypatch.setattr(sorting, "_STRIDE", 8)


def spikes(n, n_times=50, n_ids=20, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, n_times, n) / 10, rng.integers(0, n_ids, n).astype(np.uint64)


def cut(times, ids, size):
    return [(times[k : k + size], ids[k : k + size]) for k in range(0, times.size, size)]


def through(blocks, folder):
    """Return what comes out, and the sizes of its blocks."""
    with SortedSpikes(iter(blocks), str(folder)) as found:
        out = list(found)
        assert found.size == sum(t.size for t, _ in out)
    times = np.concatenate([np.zeros(0), *(t for t, _ in out)])
    ids = np.concatenate([np.zeros(0, np.uint64), *(i for _, i in out)])
    return times, ids, [t.size for t, _ in out]


def expected(times, ids):
    order = np.lexsort((ids, times))
    return times[order], ids[order]


@pytest.mark.parametrize("size", [1, 7, 64, 65, 10_000])
@pytest.mark.parametrize("n", [0, 1, 8, 63, 64, 65, 1000, 5003])
@pytest.mark.parametrize("n_times", [1, 50, 10**6])
def test_any_blocks(small, tmp_path, n, size, n_times):
    times, ids = spikes(n, n_times)

    found = through(cut(times, ids, size), tmp_path)

    assert np.array_equal(found[0], expected(times, ids)[0])
    assert np.array_equal(found[1], expected(times, ids)[1])


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_blocks_stay_small(small, tmp_path, order):
    times, ids = expected(*spikes(6400, 10**6))

    sizes = through(cut(times[order], ids[order], 64), tmp_path)[2]

    # A run, and a stride of each of the hundred runs
    assert max(sizes) <= 64 + 100 * 8
    assert len(sizes) > 6400 // (64 + 100 * 8)


def test_one_block_of_all_equal_spikes(small, tmp_path):
    times, ids = np.full(1000, 0.3), np.full(1000, 5, dtype=np.uint64)

    found = through([(times, ids)], tmp_path)

    assert found[0].tolist() == times.tolist()
    assert found[1].tolist() == ids.tolist()


@pytest.mark.parametrize("largest", [0, 2**32, 2**53, 2**64 - 1])
def test_large_ids(largest):
    times, ids = spikes(1000)
    ids += np.uint64(largest - 20 if largest else 0)

    found = sort(times, ids)

    assert np.array_equal(found, expected(times, ids))


def test_nothing_is_left_in_the_folder(tmp_path):
    with SortedSpikes([spikes(100)], str(tmp_path)) as found:
        assert next(iter(found))[0].size == 100
        assert os.listdir(tmp_path) == []


def test_error_of_the_source_passes(tmp_path):
    def blocks():
        yield spikes(10)
        raise ValueError("line 3")

    with pytest.raises(ValueError, match="line 3"):
        SortedSpikes(blocks(), str(tmp_path))


PROGRAM = """
import resource, sys
import numpy as np
from simcore.io.sorting import SortedSpikes

def blocks():
    rng = np.random.default_rng(1)
    for _ in range(16):
        yield rng.integers(0, 10**5, 2**20) / 10, rng.integers(0, 10**5, 2**20).astype(np.uint64)

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
last, n = (-1.0, 0), 0
with SortedSpikes(blocks(), sys.argv[1]) as spikes:
    for times, ids in spikes:
        steps = np.diff(times)
        assert (times[0], ids[0]) >= last and (steps >= 0).all()
        assert (np.diff(ids.astype(np.int64))[steps == 0] >= 0).all()
        last, n = (times[-1], ids[-1]), n + times.size
print(n, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_memory_is_bounded(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=100
    )

    assert done.returncode == 0, done.stderr
    n, megabytes = map(int, done.stdout.split())
    assert n == 2**24
    assert megabytes < 200  # The spikes alone take 256
