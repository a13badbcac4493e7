"""The built-in networks do what others found them to do, see `EXPECTED` of each.

Ranges are those of the articles, of NEST and of independent programs, with the spread of their
seeds. `SIMCORE_LONG_PEERS=1` takes three seeds in place of one. All run at their full size, even
hpc_benchmark with its 126.6 million synapses of 2 bytes each.
"""

import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from simcore import library
from simcore.cli.modelfile import builtin_names, find_model
from simcore.models import sudoku
from simcore.services.errors import ModelError

ROOT = Path(__file__).parents[2]
SEEDS = (1, 2, 3) if os.environ.get("SIMCORE_LONG_PEERS") else (1,)

CASES = [
    pytest.param(name, activity, seed, id=f"{name} {activity.name} {seed}".replace("  ", " "))
    for name in builtin_names()
    for activity in getattr(find_model(name).module, "EXPECTED", ())
    for seed in SEEDS
]

# The one solution of the Sudoku
SOLVED = "314957682879216534562348197258469371641732859937581246725193468496825713183674925"


@pytest.fixture(scope="module")
def networks():
    """Return the program that measures networks."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        import networks
    finally:
        sys.path.remove(folder)
    yield networks
    for name in ("networks", "common"):
        sys.modules.pop(name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "activity", "seed"), CASES)
def test_network_does_what_others_found(networks, name, activity, seed):
    found = networks.find(find_model(name).module, activity, seed)["found"]

    wrong = {what: value for what, value in found.items() if not activity.contains(what, value)}
    assert not wrong, {what: activity.expected(what) for what in wrong}


def test_documents_have_every_network():
    table = (ROOT / "docs" / "validation.md").read_text()

    for case in CASES:
        name, activity, _ = case.values
        assert f"`{activity.command(name)}`" in table
        for what in activity.ranges:
            assert f"| {what} | " in table
            assert f"| {activity.expected(what)} |" in table


def test_networks_and_neurons_have_names_of_their_own():
    assert not {*builtin_names()} & {*library.names()}


def test_sudoku_counts_what_is_right():
    solved = sudoku.grid(SOLVED)
    assert (sudoku.units_right(solved), sudoku.givens_kept(solved)) == (27, 29)

    # A digit that is not given lies in a row, a column and a box
    solved[0, 0] = 1
    assert (sudoku.units_right(solved), sudoku.givens_kept(solved)) == (24, 29)
    # Exchanged with its neighbour, which is given, it leaves row and box right
    solved[0, 1] = 3
    assert (sudoku.units_right(solved), sudoku.givens_kept(solved)) == (25, 28)


@pytest.mark.slow
def test_example_solves_the_sudoku(capsys):
    runpy.run_path(str(ROOT / "examples" / "sudoku.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()

    assert lines[:9] == str(sudoku.grid(sudoku.PUZZLE)).splitlines()
    assert lines[-10].endswith("27 of 27 rows, columns and boxes are right")
    assert lines[-9:] == str(sudoku.grid(SOLVED)).splitlines()


def test_digits_inhibit_what_the_rules_forbid():
    inhibits = sudoku.inhibits()
    forbidden = np.zeros((9, 9, 9), dtype=bool)
    forbidden[0, 1:, 4] = forbidden[1:, 0, 4] = forbidden[:3, :3, 4] = forbidden[0, 0] = True
    forbidden[0, 0, 4] = False

    assert (inhibits[4] == forbidden.ravel()).all()
    assert (inhibits == inhibits.T).all()
    assert (inhibits.sum(axis=0) == 28).all()


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("sudoku", {"puzzle": "12"}, r"sudoku: puzzle is '12', must be 81 digits"),
        ("sudoku", {"puzzle": "x" * 81}, r"must be 81 digits, row by row"),
        ("hpc_benchmark", {"scale": 0.0}, r"hpc_benchmark: scale is 0.0, must be > 0"),
        ("ignore_and_fire_network", {"slowest": 0.0}, r"slowest is 0.0, must be > 0 \[1/s\]"),
        ("izhikevich_network", {"N_I": 0}, r"izhikevich_network: N_I is 0, must be >= 1"),
        ("cuba", {"N_stimulus": 4000}, r"cuba: N_stimulus is 4000, must be in \[1, 3200\]"),
        ("coba", {"N_stimulus": 0}, r"coba: N_stimulus is 0, must be in \[1, 3200\]"),
    ],
)
def test_what_cannot_be_built_is_told(name, parameters, message):
    with pytest.raises(ModelError, match=message):
        find_model(name).module.build(**parameters)
