"""Some of the points of `python -m tests.faults.points`, chosen by dice."""

import random
import zlib
from itertools import count

import pytest

from tests.faults.points import SCENES, kill, undisturbed

# Of the operations of each scene every so manieth is tried, from one of the first on
STRIDE, FIRST = 19, 10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return undisturbed(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("name", SCENES)
def test_killed_at_an_operation(name, whole, tmp_path):
    dice = random.Random(zlib.crc32(name.encode()))
    points = count(dice.randrange(FIRST), STRIDE)
    found = dict(kill(SCENES[name], whole, tmp_path / "scene", points))
    assert found
    assert not any(found.values()), found


def test_crash_loses_what_was_not_synced(whole, tmp_path, monkeypatch):
    """A writer that does not sync would be found out."""
    monkeypatch.setattr("simcore.io.atomic_file._sync", lambda path: None)
    found = dict(kill(SCENES["run"], whole, tmp_path / "scene", [40]))
    assert any(found.values())
