"""Numbers as text: equal to what Python and NumPy write and read, to the last bit."""

import warnings
from io import StringIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcore.io.text import format_lines, parse_lines

COLUMNS = np.dtype([("sender", "u8"), ("time_ms", "f8")])


def slowly(text):
    """Return what NumPy reads, None for text that it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.loadtxt(StringIO(text), dtype=COLUMNS, comments=None, ndmin=1)
        except ValueError:
            return None


@settings(max_examples=500, deadline=None)
@given(st.text("0123456789.\t\n\r -+e", max_size=30))
def test_any_text(text):
    found = parse_lines(text.encode() + b"\n", COLUMNS)
    if found is not None:
        assert found.tolist() == slowly(text).tolist()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**15 - 1), st.floats(0.0, 1e9), st.integers(0, 5))))
def test_numbers_of_any_length(values):
    text = "".join(f"{number}\t{time:.{n}f}\n" for number, time, n in values)
    found = parse_lines(text.encode(), COLUMNS)
    assert found["sender"].tolist() == [number for number, _, _ in values]
    assert found["time_ms"].tolist() == [float(f"{time:.{n}f}") for _, time, n in values]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", []),
        ("\n\n", []),
        ("1\t2.5\n\n3\t.5\n4\t5.\n", [(1, 2.5), (3, 0.5), (4, 5.0)]),
        ("007\t.000000000000001\n", [(7, 1e-15)]),
        ("1\t0.000000000000001\n", None),
        ("1\t-2.5\n", None),
        ("1\t2e3\n", None),
        ("1 2.5\n", None),
        ("1\t2.5\t3\n", None),
        ("1\n", None),
        ("1\t\n", None),
        ("1\t.\n", None),
        ("1.0\t2.5\n", None),
        ("1\t2.5.1\n", None),
        ("1\t2.5\r\n", None),
        ("\t1\t2.5\n", None),
        ("1234567890123456\t2.5\n", None),
    ],
)
def test_what_is_plain(text, rows):
    found = parse_lines(text.encode(), COLUMNS)
    assert (None if found is None else found.tolist()) == rows


def decimals(n):
    """Return a strategy of numbers with up to so many digits after the dot."""
    return st.integers(0, 10**12).map(lambda k: k / 10**n)


@pytest.mark.parametrize("n", range(10))
def test_times_of_a_grid(n):
    times = np.arange(100_000) / 10**n
    ids = np.arange(100_000)
    assert format_lines(times, b"\t", ids, b"\n").decode().splitlines() == [
        f"{t!r}\t{k}" for t, k in zip(times.tolist(), ids.tolist(), strict=True)
    ]


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(-1e9, 1e17), *(decimals(n) for n in range(8))),
            st.one_of(st.integers(0, 10**6), st.integers(0, 2**64 - 1)),
        ),
        min_size=1,
    )
)
def test_lines(values):
    times, ids = np.array([t for t, _ in values]), np.array([k for _, k in values], np.uint64)
    text = format_lines(times, ",größe,".encode(), ids, b"\n").decode()
    assert text == "".join(f"{t!r},größe,{k}\n" for t, k in values)


def test_numbers_that_are_not_plain():
    whole, times = np.array([5, -3, 0]), np.array([-0.0, 1e-7, 1e22])
    assert format_lines(whole, b" ", times, b"\n") == b"5 -0.0\n-3 1e-07\n0 1e+22\n"
