"""What statistics return where there is little: NaN where they are not defined."""

import json
import warnings

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore import analysis
from simcore.analysis.reporting.numbers import FIELDS
from simcore.analysis.summary import Widths
from simcore.io import reports
from simcore.io.schema import to_json

NAN = float("nan")

# Spikes as (time, neuron), number of neurons, and the end of the window; bins are 1 ms wide, and
# 4 ms for Fano factors and correlations
EVERY = tuple((0.5 + t, n) for t in range(8) for n in range(2))
CASES = {
    "no spike": ((), 2, 8.0),
    "no neuron": ((), 0, 8.0),
    "one spike": (((2.5, 0),), 2, 8.0),
    "two spikes": (((2.5, 0), (3.0, 0)), 2, 8.0),
    "one neuron": (((0.5, 0), (2.5, 0), (6.0, 0)), 1, 8.0),
    "one bin": (((0.5, 0), (0.6, 0), (0.8, 1)), 2, 1.0),
    "constant": (EVERY, 2, 8.0),
    "at once": (((2.5, 0), (2.5, 0), (2.5, 0), (2.5, 0)), 2, 8.0),
}

# By case: the rate of neuron 0 and of all, its mean interval, CV, LV and Fano factor, synchrony,
# correlation of neurons 0 and 1, and power summed over frequencies ("+": some)
EXPECTED = {
    "no spike": (0, 0, NAN, NAN, NAN, NAN, NAN, NAN, 0),
    "no neuron": (None, NAN, None, None, None, None, NAN, None, NAN),
    "one spike": (125, 62.5, NAN, NAN, NAN, 0.5, 0.875, NAN, "+"),
    "two spikes": (250, 125, 0.5, NAN, NAN, 1, 1.75, NAN, "+"),
    "one neuron": (375, 375, 2.75, 3 / 11, 3 * (3 / 11) ** 2 / 1, 1 / 6, 0.625, None, "+"),
    "one bin": (2000, 1500, 0.1, NAN, NAN, NAN, NAN, NAN, None),
    "constant": (1000, 1000, 1, 0, 0, 0, 0, NAN, 0),
    "at once": (500, 250, 0, NAN, NAN, 2, 3.5, NAN, "+"),
}

WIDTHS = Widths(rate=1.0, synchrony=1.0, correlation=4.0, fano=4.0, segment=8.0)


def opened(path, spikes, n_neurons, end):
    with h5py.File(path, "w") as file:
        group = file.create_group("spikes/E")
        group["timestamps"] = np.array([time for time, _ in spikes], dtype=np.float64)
        group["node_ids"] = np.array([neuron for _, neuron in spikes], dtype=np.uint64)
        file["spikes"].attrs["dt"] = 0.1
    return sc.open_run(path, sizes={"E": n_neurons}, begin=0.0, end=end)


@pytest.mark.parametrize("case", CASES)
def test_statistics_of_little(tmp_path, case):
    run = opened(tmp_path / "spikes.h5", *CASES[case])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = analysis.summarize(run, widths=WIDTHS)["E"]
        mean_rate = found.population_rate.rates.mean()
        row = json.loads(to_json({k: f.value(found) for k, f in FIELDS.items()}, nan=None))

    def of_first(values):
        return values[0] if values.size else None

    pairs, power = found.correlations.matrix[:1, 1:2], found.spectrum.power
    statistics = (
        of_first(found.rates), found.rate, of_first(found.isi.mean), of_first(found.isi.cv),
        of_first(found.isi.lv), of_first(found.fano), found.synchrony, of_first(pairs.ravel()),
        power.sum() if power.size else None,
    )  # fmt: skip
    for value, expected in zip(statistics, EXPECTED[case], strict=True):
        if expected == "+":
            assert value > 1e-3
        elif expected is None:
            assert value is None
        else:
            assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert mean_rate == pytest.approx(found.rate, nan_ok=True)

    # Tables have null where there is no number
    assert (row["synchrony"] is None) == np.isnan(found.synchrony)
    assert (row["rate_sd"] is None) == (CASES[case][1] < 2)
    assert (row["silent"] is None) == (CASES[case][1] < 1)


@pytest.mark.parametrize(
    ("shape", "sd", "neuron_sd"), [((1, 1), NAN, NAN), ((3, 1), NAN, 0), ((1, 2), 0, NAN)]
)
def test_potentials_of_little(tmp_path, shape, sd, neuron_sd):
    """Constant ones; a lone neuron or sample has no spread."""
    run = opened(tmp_path / "spikes.h5", (), 2, 8.0)
    ids = np.arange(shape[1], dtype=np.uint64)
    with h5py.File(run.path, "a") as file:
        potential = reports.Report("E", "E", "V_m", "mV", 1.0)
        report = reports.create_samples(file, potential, ids, "f4", shape[0], 1.0)
        report["data"][:] = -61.25
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = analysis.potential_statistics(sc.open_run(run.path), "E")
    assert (found.mean == -61.25).all()
    assert (found.neuron_mean == -61.25).all()
    assert found.sd.tolist() == pytest.approx([sd] * shape[0], nan_ok=True)
    assert found.neuron_sd.tolist() == pytest.approx([neuron_sd] * shape[1], nan_ok=True)
