"""A short campaign of kills at random moments, always with the same dice."""

import pytest

from tests.conftest import lack_of_mpi, remove_segments, segments
from tests.faults.campaign import campaign, table

N_KILLS = 6


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(lack_of_mpi() is not None, reason=str(lack_of_mpi()))
def test_killed_at_random(tmp_path):
    before = segments()
    try:
        chains = campaign(N_KILLS, 3, tmp_path)
    finally:
        remove_segments(segments() - before)
    assert not [(chain.failure, *chain.commands) for chain in chains if chain.failure]
    strikes = [strike for chain in chains for strike in chain.strikes]
    assert len(strikes) == N_KILLS
    assert table(strikes).count("\n") >= 4
    assert not list(tmp_path.glob("run-*"))
