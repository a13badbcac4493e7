"""What the tests on a real Slurm share: a cluster, and a site file that is filled in."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import simcore as sc
from simcore.models import brunel
from tests.slurm.cluster import REPOSITORY, Cluster, lack_of_slurm


@pytest.fixture(scope="package")
def cluster(tmp_path_factory):
    """Two nodes, and `slurm/site.sh` filled in for them and for the environment of this test."""
    if lack := lack_of_slurm():
        pytest.skip(lack)
    if not Path(sys.prefix, "bin/activate").exists():
        pytest.skip("needs a virtual environment, as `make env` makes it")
    # Compile once, in one process, so that no job spends its time on it
    sc.simulate(brunel.build(order=50), 10.0)
    site = tmp_path_factory.mktemp("site") / "site.sh"
    site.write_text(filled_in())
    with Cluster(site) as running:
        yield running


def filled_in() -> str:
    """Return the site file with an account, partitions and an environment."""
    text = (REPOSITORY / "slurm/site.sh").read_text()
    values = {
        "account": "lab",
        "partition": "all",
        "gpu_partition": "all",
        "environment": sys.prefix,
    }
    for name, value in values.items():
        text, n = re.subn(rf'^{name}=".*"$', f'{name}="{value}"', text, flags=re.MULTILINE)
        assert n == 1, f"slurm/site.sh has no line for {name}"
    return text
