"""Portable functions: right, and equal to the last bit in NumPy, Numba and C++."""

import ctypes
import math
import os
import shutil
import subprocess
from decimal import Decimal, localcontext

import numpy as np
import pytest

from simcore.numerics import portable
from simcore.numerics.jit import njit

EXP_ENDS = [0.0, -0.0, math.inf, -math.inf, math.nan, 1e300, -1e300, 5e-324, 709.0, -709.0]

C = """
#include <cstdint>
#include <cstring>

template <class To, class From> static To bits(From x) {{
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}}

static double power(int64_t n) {{ return bits<double>((n + 1023) << 52); }}
static float power32(int32_t n) {{ return bits<float>((n + 127) << 23); }}

static double exponential(double x) {{
    static const double c[] = {{{EXP}}};
    x = x < {LEAST} ? {LEAST} : x;
    x = x > {MOST} ? {MOST} : x;
    const double shifted = x * {INV_LN2} + {MAGIC}, k = shifted - {MAGIC};
    const double r = (x - k * {LN2_HIGH}) - k * {LN2_LOW}, r2 = r * r, r4 = r2 * r2;
    const double low = (c[1] * r + c[0]) + (c[3] * r + c[2]) * r2;
    const double high = (c[5] * r + c[4]) + (c[7] * r + c[6]) * r2;
    const double q = (low + high * r4) + (c[9] * r + c[8]) * (r4 * r4);
    const int64_t n = bits<int64_t>(shifted) - {MAGIC_BITS}, half = n >> 1;
    return ((q * r2 + r) + 1.0) * power(half) * power(n - half);
}}

static float exponential(float x) {{
    static const float c[] = {{{EXP32}}};
    x = x < {LEAST32}f ? {LEAST32}f : x;
    x = x > {MOST32}f ? {MOST32}f : x;
    const float shifted = x * {INV_LN2_32}f + {MAGIC32}f, k = shifted - {MAGIC32}f;
    const float r = (x - k * {LN2_HIGH32}f) - k * {LN2_LOW32}f, r2 = r * r;
    const float q = ((c[1] * r + c[0]) + (c[3] * r + c[2]) * r2) + c[4] * (r2 * r2);
    const int32_t n = bits<int32_t>(shifted) - {MAGIC32_BITS}, half = n >> 1;
    return ((q * r2 + r) + 1.0f) * power32(half) * power32(n - half);
}}

extern "C" void all(int64_t n, const double *x, double *y, const float *x32, float *y32) {{
    for (int64_t i = 0; i < n; ++i) y[i] = exponential(x[i]), y32[i] = exponential(x32[i]);
}}
"""

compiled, compiled32 = (njit(f, inline="always") for f in (portable.exp, portable.exp32))


@njit
def fill(x, y, x32, y32):
    for i in range(x.size):
        y[i] = compiled(x[i])
        y32[i] = compiled32(x32[i])


# Arguments of exp, and how g++ is asked to optimize: SIMCORE_EXPONENTIALS=10000000 asks for more
N = int(os.environ.get("SIMCORE_EXPONENTIALS", 0))
OPTIONS = [["-O0"], ["-O3", "-march=native"]]
OPTIONS += [["-O1"], ["-O2"], ["-O3"], ["-O2", "-march=native"]] if N else []


def arguments(n=N // 2 or 200_000):
    """Return numbers over the whole range of float64 and float32, their ends included."""
    rng = np.random.default_rng(7)
    x, x32 = (
        np.concatenate([EXP_ENDS, rng.uniform(-least, most, n), rng.normal(0.0, 3.0, n)])
        for least, most in ((750.0, 712.0), (106.0, 90.0))
    )
    with np.errstate(over="ignore"):
        return x, x32.astype(np.float32)


def same(a, b):
    """Return whether numbers have the same bits; one that is none may have any."""
    return a.dtype == b.dtype and bool(
        ((a.view(f"i{a.itemsize}") == b.view(f"i{b.itemsize}")) | (np.isnan(a) & np.isnan(b))).all()
    )


@pytest.fixture(scope="module")
def exponentials():
    x, x32 = arguments()
    with np.errstate(over="ignore"):
        return x, x32, portable.exp(x), portable.exp32(x32)


def test_exp_is_the_same_in_numba(exponentials):
    x, x32, expected, expected32 = exponentials
    found, found32 = np.empty_like(x), np.empty_like(x32)
    fill(x, found, x32, found32)
    assert same(found, expected)
    assert same(found32, expected32)


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_exp_is_the_same_in_c(exponentials, options, tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("needs g++, which is not installed")
    x, x32, expected, expected32 = exponentials
    numbers = {name: repr(value) for name, value in vars(portable).items() if name.isupper()}
    names = [name for name in numbers if isinstance(getattr(portable, name), (float, np.float32))]
    numbers |= {name: repr(float(getattr(portable, name))) for name in names}
    numbers["EXP"] = ", ".join(map(repr, portable.EXP))
    numbers["EXP32"] = ", ".join(f"{float(c)!r}f" for c in portable.EXP32)
    source, library = tmp_path / "exp.cpp", tmp_path / "exp.so"
    source.write_text(C.format(**numbers))
    command = ["g++", *options, "-ffp-contract=off", "-shared", "-fPIC", "-o", library, source]
    subprocess.run(command, check=True)

    found, found32 = np.empty_like(x), np.empty_like(x32)
    places = [ctypes.c_void_p(a.ctypes.data) for a in (x, found, x32, found32)]
    ctypes.CDLL(str(library)).all(ctypes.c_int64(x.size), *places)
    assert same(found, expected)
    assert same(found32, expected32)


def test_exp_at_its_ends():
    largest, smallest = 709.782712893384, -745.1332191019411
    with np.errstate(over="ignore"):
        found = portable.exp(
            np.array([0.0, -0.0, -math.inf, math.inf, largest, np.nextafter(largest, 800.0), 1e300])
        )
        found32 = portable.exp32(np.array([0.0, -math.inf, 88.72283, 1e30], dtype=np.float32))
    assert found[[0, 1, 2, 3, 5, 6]].tolist() == [1.0, 1.0, 0.0, math.inf, math.inf, math.inf]
    assert math.isfinite(found[4])
    assert portable.exp(np.array([smallest, np.nextafter(smallest, -800.0)])).tolist() == [
        5e-324,
        0.0,
    ]
    assert math.isnan(portable.exp(np.array([math.nan]))[0])
    assert found32[[0, 1, 3]].tolist() == [1.0, 0.0, math.inf]
    assert math.isfinite(found32[2])


def errors(found, exact):
    """Return differences from exact decimal numbers, in units of the last place."""
    with localcontext(prec=40):
        units = [Decimal(float(np.spacing(abs(y)))) for y in found]
        return [
            float(abs(Decimal(float(y)) - e) / unit)
            for y, e, unit in zip(found, exact, units, strict=True)
        ]


def test_functions_are_right():
    rng, n = np.random.default_rng(3), N // 100 or 1500
    x = np.concatenate([rng.uniform(-745.0, 709.7, n), rng.uniform(-1.0, 1.0, 500)])
    x32 = np.concatenate([rng.uniform(-103.9, 88.7, n), rng.uniform(-1.0, 1.0, 500)])
    x32 = x32.astype(np.float32)
    y = np.concatenate([np.exp(x[:n]), 1.0 + 0.5 * x[n:], 1.0 + 1e-9 * x[n:]])
    with localcontext(prec=40):
        assert max(errors(portable.exp(x), [Decimal(float(v)).exp() for v in x])) < 1.1
        assert max(errors(portable.exp32(x32), [Decimal(float(v)).exp() for v in x32])) < 1.1
        assert max(errors(portable.log(y), [Decimal(float(v)).ln() for v in y])) < 1.0
    ends = portable.log([0.0, -1.0, math.inf, math.nan, 1.0, 5e-324])
    np.testing.assert_array_equal(ends[:-1], [-math.inf, math.nan, math.inf, math.nan, 0.0])
    assert ends[-1] == math.log(5e-324)


@pytest.mark.parametrize("n", [1, 2, 7, 16, 1001])
def test_sums(n):
    values = np.random.default_rng(n).normal(size=(3, n))
    np.testing.assert_allclose(
        portable.total(values), [math.fsum(row) for row in values], rtol=1e-14
    )
    share = np.arange(1.0, n + 1.0)
    mean = np.average(values[0], weights=share)
    spread = np.sqrt(np.average((values[0] - mean) ** 2, weights=share))
    assert portable.standard_deviation(values[0], share) == pytest.approx(spread, abs=1e-15)
