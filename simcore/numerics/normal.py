"""The standard normal distribution, with the same result on every processor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simcore.numerics.portable import FloatArray, exp, log

# (1 + x) exp(x^2 / 2) times the tail beyond x is a sum of Chebyshev's polynomials of
# u = 1.25 - 11.25 / (x + 5), for x in [0, 40]; fitted in 50 digits
_TAIL = (
    0.46860786734654186,
    -0.05922878091938386,
    -0.008508224564511025,
    0.011872510077037792,
    -0.005412554757134159,
    0.0016354719793813964,
    -0.00035330742024987583,
    5.155011144325859e-05,
    -3.521590642781252e-06,
    -3.756163086290092e-07,
    1.1437461079554068e-07,
    -4.512812526403734e-09,
    -2.0630576075329094e-09,
    2.4824908320015e-10,
    3.529791632600294e-11,
    -7.64073710104425e-12,
    -6.959013472466542e-13,
    2.1706067015942935e-13,
    1.824826316975675e-14,
    -6.15079245233031e-15,
    -6.361595300883678e-16,
    1.7208917831475406e-16,
    2.579029873370042e-17,
)


def normal_cdf(z: ArrayLike) -> Any:
    """Return the standard normal cumulative distribution function at `z`, a number or an array."""
    x = np.minimum(np.abs(np.asarray(z, dtype=np.float64)), 40.0)
    u = 1.25 - 11.25 / (x + 5.0)
    twice = u + u

    # Clenshaw's sum
    before = after = 0.0 * u
    for coefficient in _TAIL[:0:-1]:
        before, after = coefficient + twice * before - after, before
    fraction = (_TAIL[0] + u * before - after) / (1.0 + x)

    # The square of a few bits is exact, and what is left of the exponent small
    near = np.floor(x * 16.0) * 0.0625
    tail = exp(-0.5 * near * near) * exp(-0.5 * (x - near) * (x + near)) * fraction
    return np.where(np.asarray(z) > 0.0, 1.0 - tail, tail)[()]


def normal_quantile(u: ArrayLike) -> FloatArray:
    """Return the standard normal quantile function at `u`, each in (0, 1).

    Rational approximations of relative accuracy 1e-16: algorithm AS 241, PPND16 (M. J. Wichura,
    Applied Statistics 37, 477-484, 1988).
    """
    u = np.atleast_1d(np.asarray(u, dtype=np.float64))
    q = u - 0.5
    z = np.empty_like(q)

    # Centre
    centre = np.abs(q) <= 0.425
    r = 0.180625 - q[centre] * q[centre]
    z[centre] = q[centre] * _ratio(r, _CENTRE)

    # Tails
    tail = ~centre
    r = np.sqrt(-log(np.minimum(u[tail], 1.0 - u[tail])))
    near = _ratio(r - 1.6, _NEAR_TAIL)
    far = _ratio(r - 5.0, _FAR_TAIL)
    z[tail] = np.copysign(np.where(r <= 5.0, near, far), q[tail])
    return z


def _ratio(r: FloatArray, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> FloatArray:
    above, below = (_polynomial(r, c) for c in coefficients)
    return np.asarray(above / below)


def _polynomial(r: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    found = np.full_like(r, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        found = found * r + coefficient
    return found


_CENTRE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_NEAR_TAIL = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_FAR_TAIL = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)
