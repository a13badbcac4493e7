"""Neurons that solve a Sudoku by inhibiting each other.

In each of the 81 cells a population stands for each digit. It inhibits the populations of the
same digit in its row, column and box, and those of the other digits in its cell. All neurons would
fire by themselves, so in each cell one digit wins; noise lets the network leave what contradicts
itself. Whether it finds the solution within some seconds is luck; `examples/sudoku.py` watches it.
Parameters as in NEST's example by J. Gille, S. Furber and A. Rowley, which goes back to one for
SpiNNaker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import simcore as sc
from simcore.models import Activity
from simcore.services.errors import require

if TYPE_CHECKING:
    from simcore.io import Run

# Row by row, 0 where the digit is not given: puzzle 4 of NEST's example
PUZZLE = "010000002870000504502000090050409001000732000900501040020000408406000013100000020"

# Neurons of a population
SIZE = 5

# Weights of inhibition, of what gives digits, and of noise [pA], for a membrane of 0.25 pF;
# delay [ms]
J, J_GIVEN, J_NOISE, DELAY = -0.2, 1.3, 1.6, 1.0

# Length of the window in which the digit with most spikes wins [ms]
WINDOW = 100.0

EXPECTED = (
    Activity(
        {
            "rate [1/s]": (30.5, 32.5),
            "rate of winners [1/s]": (230.0, 265.0),
            "givens kept": (29, 29),
            "units right": (14, 27),
            "synapses": (510_300, 510_300),
        },
        "NEST 3.10: 31.2 to 31.8 /s, winners 235 to 258 /s, all givens kept, 18 to 25 of the 27 "
        "rows, columns and boxes right where it is not solved",
        stop=10_000.0,
    ),
)


def build(
    puzzle: str = PUZZLE,
    given_rate: float = 200.0,
    noise_rate: float = 350.0,
    seed: int = 1,
) -> sc.Network:
    """Describe a network that solves a Sudoku.

    Parameters
    ----------
    puzzle : str
        81 digits, row by row, 0 where none is given.
    given_rate : float
        Rate of the Poisson spikes that each neuron of a given digit gets [1/s].
    noise_rate : float
        Rate of the Poisson spikes that each neuron gets [1/s].
    seed : int
        Seed of all random numbers.

    Returns
    -------
    Network
    """
    givens = grid(puzzle)
    neuron = sc.iaf_psc_exp(
        E_L=-65.0, V_th=-50.0, V_reset=-70.0, C_m=0.25, tau_m=20.0, t_ref=2.0,
        tau_syn_ex=5.0, tau_syn_in=5.0, I_e=0.5,
    )  # fmt: skip
    net = sc.Network(seed=seed)
    neurons = net.population("digits", 9 * 9 * 9 * SIZE, neuron, V_m=sc.Uniform(-65.0, -55.0))

    # Connect all neurons of a population to all of each that it inhibits
    pairs = inhibits().repeat(SIZE, axis=0).repeat(SIZE, axis=1)
    net.connect(neurons, neurons, sc.Edges(*np.nonzero(pairs)), weight=J, delay=DELAY)

    net.drive(neurons, sc.Poisson(noise_rate, J_NOISE))
    for row, column in np.argwhere(givens > 0):
        first = SIZE * (81 * row + 9 * column + givens[row, column] - 1)
        net.drive(neurons[first : first + SIZE], sc.Poisson(given_rate, J_GIVEN))

    net.record(neurons, "spikes")
    return net


def grid(puzzle: str) -> NDArray[np.int64]:
    """Return a puzzle as an array of digits, shape (9, 9)."""
    valid = "81 digits, row by row, 0 where none is given"
    digits = isinstance(puzzle, str) and puzzle.isascii() and puzzle.isdecimal()
    require(digits and len(puzzle) == 81, "sudoku: puzzle", puzzle, valid)
    return np.array(list(puzzle), dtype=np.int64).reshape(9, 9)


def inhibits() -> NDArray[np.bool_]:
    """Return whether a population (row) inhibits another (column), shape (729, 729).

    Population 81 row + 9 column + digit - 1 stands for a digit in a cell.
    """
    row, column, digit = np.unravel_index(np.arange(9 * 9 * 9), (9, 9, 9))
    box = 3 * (row // 3) + column // 3

    def equal(a: NDArray[np.int64]) -> NDArray[np.bool_]:
        return a[:, None] == a[None, :]

    same_cell = equal(row) & equal(column)
    same_unit = equal(row) | equal(column) | equal(box)
    rivals: NDArray[np.bool_] = np.where(same_cell, ~equal(digit), same_unit & equal(digit))
    return rivals


def counts(run: Run, stop: float) -> NDArray[np.int64]:
    """Return the spikes of each digit in each cell in the window before `stop`, (9, 9, 9)."""
    _, neurons = run.spikes("digits", start=stop - WINDOW, stop=stop)
    populations = neurons.astype(np.int64) // SIZE
    return np.bincount(populations, minlength=9 * 9 * 9).reshape(9, 9, 9)


def winners_rate(run: Run, stop: float) -> float:
    """Return the mean rate of the digits that win in the window before `stop` [ms]."""
    return float(counts(run, stop).max(axis=2).mean()) / SIZE / (1e-3 * WINDOW)


def solution(run: Run, stop: float) -> NDArray[np.int64]:
    """Return the digit that wins in each cell in the window before `stop` [ms], shape (9, 9)."""
    return counts(run, stop).argmax(axis=2) + 1


def givens_kept(found: NDArray[np.int64], puzzle: str = PUZZLE) -> int:
    """Return how many of the digits of a puzzle are where they were given."""
    givens = grid(puzzle)
    return int((found == givens)[givens > 0].sum())


def units_right(found: NDArray[np.int64]) -> int:
    """Return how many of the 27 rows, columns and boxes have each digit once."""
    boxes = found.reshape(3, 3, 3, 3).swapaxes(1, 2).reshape(9, 9)
    units = np.sort(np.concatenate([found, found.T, boxes]), axis=1)
    return int((units == np.arange(1, 10)).all(axis=1).sum())


MEASURES: dict[str, Callable[[Run], float]] = {
    "rate of winners [1/s]": lambda run: winners_rate(run, run.end),
    "givens kept": lambda run: givens_kept(solution(run, run.end)),
    "units right": lambda run: units_right(solution(run, run.end)),
}
