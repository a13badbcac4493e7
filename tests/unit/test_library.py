"""Models of the library: their place in the documentation, and where formulas divide by zero."""

import re
from pathlib import Path

import numpy as np
import pytest

from simcore import library
from simcore.language.expression import evaluate
from simcore.language.interpreter import advance
from simcore.language.program import make_program
from simcore.library import load


@pytest.mark.parametrize("real", ["float64", "float32"])
def test_rates_of_channels_are_finite_at_all_potentials(real):
    cls = load("hh_cond_exp_traub")
    for above in (13.0, 15.0, 40.0):
        model = cls(V_T=-60.0, E_L=above - 60.0)
        program, values = make_program(model), {"h": 0.1, "quantum0": 1.0, "quantum1": 1.0}
        values |= model.values
        starts = [evaluate(model.definition.starts[name], values) for name in program.states]
        states = [(start + np.array([0, 1e-15, 1e-7])).astype(real) for start in starts]
        numbers = np.array(program.values(values), real)

        none = np.zeros(3, np.int32)
        advance(program, numbers, states, np.zeros(3, np.int16), 20, [none, none])

        assert np.isfinite(states).all()
        V_m = states[0]
        assert np.ptp(V_m) < 1e-3


def test_the_documentation_has_all_models():
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    section = text.partition("## The library")[2].partition("\n## ")[0]

    assert sorted(re.findall(r"^\| (\w+) \|", section, re.MULTILINE)) == sorted(
        ["model", *library.names()]
    )
    assert all("Source:" in (library.load(name).__doc__ or "") for name in library.names())
