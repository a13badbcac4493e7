"""Neurons that solve a Sudoku: which digits win, until all are right.

The network finds the solution by chance: with one of the seeds 1 to 16 it does so within 10 s.

    python examples/sudoku.py
"""

import simcore as sc
from simcore.models import sudoku

SEED = 2
DURATION = 3000.0  # [ms]

run = sc.simulate(sudoku.build(seed=SEED), DURATION)
print(sudoku.grid(sudoku.PUZZLE))

time, right = 0.0, 0
while right < 27 and time < DURATION:
    time += sudoku.WINDOW
    found = sudoku.solution(run, time)
    right = sudoku.units_right(found)
    print(f"{time:.0f} ms: {right} of 27 rows, columns and boxes are right")
print(found)
