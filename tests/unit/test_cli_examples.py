"""The examples run as they are; the first on one rank and on two, with the same spikes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simcore.io import open_run

ROOT = Path(__file__).parents[2]
MPIEXEC = Path(sys.executable).parent / "mpiexec"
START = (
    "import runpy, sys; sys.path.append(sys.argv[1]); "
    "runpy.run_path(sys.argv[2], run_name='__main__')"
)


def run_example(name, folder, ranks):
    """Run an example in a folder of its own; return what it printed."""
    folder.mkdir()
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMPI", "SLURM"))}
    launcher = [] if ranks == 1 else [str(MPIEXEC), "-n", str(ranks)]
    example = str(ROOT / "examples" / name)
    done = subprocess.run(
        [*launcher, sys.executable, "-c", START, str(ROOT), example],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not MPIEXEC.exists(), reason="needs mpiexec beside the Python")
def test_brunel(tmp_path):
    printed = [run_example("brunel.py", tmp_path / str(ranks), ranks) for ranks in (1, 2)]
    runs = [open_run(tmp_path / str(ranks) / "brunel.h5") for ranks in (1, 2)]

    assert printed[0].startswith("population")
    assert printed[0] == printed[1]
    assert [run.digest("E") for run in runs] == [runs[0].digest("E")] * 2

    # Mean field (Siegert): 32.0 /s
    assert runs[0].rates()["E"] == pytest.approx(32.4, abs=0.5)


@pytest.mark.slow
def test_tutorial(tmp_path):
    printed = run_example("tutorial.py", tmp_path / "1", 1)

    assert "rate 32." in printed
    assert (tmp_path / "1" / "tutorial.png").stat().st_size > 10_000
