"""The memory of new processes beside what was planned for them; see `tests.faults.memory`."""

import pytest

from tests.faults.memory import COUNTS, TOLERANCE, Draw, measure

# Each takes 200 to 400 MB and some seconds
DRAWS = [
    Draw("unconnected", 600_000, 50.0, 1.0, 60.0, 1),
    Draw("burst", 100_000, 2000.0, 0.1, 6.0, 2),
    Draw("hub", 400_000, 5.0, 0.1, 6.0, 1, saves=True),
    Draw("projections", 22_500, 5.0, 0.1, 6.0, 1),
    Draw("potentials", 60_000, 5.0, 0.5, 20.0, 3),
]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.kind)
def test_memory_is_as_planned(draw, tmp_path):
    for row in measure(draw, tmp_path):
        assert row["measured"] > COUNTS
        assert row["planned"] == pytest.approx(row["measured"], rel=TOLERANCE), row["parts"]
