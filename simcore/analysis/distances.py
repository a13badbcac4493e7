"""How far the statistics of two runs are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simcore.analysis.summary import Summary
from simcore.services.extras import load


@dataclass(frozen=True)
class Distances:
    """Distances between the distributions of a population in two runs.

    Parameters
    ----------
    rate, cv, correlation : float
        Of the rates of neurons, of the CV of their intervals, and of the correlations of counts of
        pairs: Kolmogorov-Smirnov distances, see `ks_distance`.
    """

    rate: float
    cv: float
    correlation: float


def ks_distance(one: ArrayLike, other: ArrayLike) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples.

    It is the largest difference of their empirical distribution functions, from 0 to 1. Values
    that are NaN are left out.

    Parameters
    ----------
    one, other : array_like
        The samples.

    Returns
    -------
    float
        NaN when a sample is empty.
    """
    stats = load("scipy.stats", "analysis", "distances")
    samples = [np.ravel(np.asarray(sample, dtype=np.float64)) for sample in (one, other)]
    a, b = (sample[~np.isnan(sample)] for sample in samples)
    if not a.size or not b.size:
        return float("nan")
    return float(stats.ks_2samp(a, b, method="asymp").statistic)


def compare(one: Mapping[str, Summary], other: Mapping[str, Summary]) -> dict[str, Distances]:
    """Return the distances of the populations that two runs have in common.

    Parameters
    ----------
    one, other : mapping of str to Summary
        What `summarize` returned.
    """
    return {
        name: Distances(
            ks_distance(a.rates, b.rates),
            ks_distance(a.isi.cv, b.isi.cv),
            ks_distance(a.correlations.pairs, b.correlations.pairs),
        )
        for name, a in one.items()
        if (b := other.get(name)) is not None
    }
