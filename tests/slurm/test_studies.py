"""Studies and analyses on a real Slurm: arrays and a job that collects, a dask cluster in a job."""

import csv
import importlib.util
import re

import pytest

import simcore as sc
from simcore.io import open_run
from simcore.models import brunel
from tests.slurm.cluster import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_weak_study_is_submitted_run_and_collected(cluster, tmp_path):
    printed = cluster.sourced(
        "simcore", "scale", "submit", "brunel", "--weak", "--grow", "order=50", "--shrink",
        "epsilon=0.1", "--ranks", "1,2", "--repeat", "2", "--duration", "50", "-o", "study",
        "--scripts", str(REPOSITORY / "slurm"), folder=tmp_path,
    )  # fmt: skip
    found = re.search(r"arrays (\d+), (\d+); job (\d+) collects", printed)
    assert found, printed
    state = cluster.finished(found[3])

    assert state["JobState"] == "COMPLETED", cluster.log(found[3])
    folder = tmp_path / "study"
    runs = [open_run(folder / f"ranks-{n}-run-{k}.h5") for n in (1, 2) for k in (1, 2)]
    assert [(run.n_ranks, run.n_neurons) for run in runs] == [(1, 250)] * 2 + [(2, 500)] * 2
    with (folder / "scaling.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["ranks"], row["runs"], row["origin"]) for row in rows] == [
        ("1", "2", "measured"), ("2", "2", "measured"),
    ]  # fmt: skip
    fastest = min(run.timers["run"].max() / 0.05 for run in runs[2:])
    assert float(rows[1]["real_time_factor"]) == pytest.approx(fastest)
    assert "the spikes of all runs of one size are identical" in cluster.log(found[3])
    assert (folder / "scaling.png").exists()


@pytest.mark.skipif(
    importlib.util.find_spec("simcore.cli.analyze") is None, reason="needs simcore analyze"
)
@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs distributed")
def test_analysis_on_a_dask_cluster_inside_a_job(cluster, tmp_path):
    sc.simulate(brunel.build(order=50), 200.0, output=tmp_path / "run.h5")
    job = cluster.submit("--nodes=2", "--ntasks=2", "--cpus-per-task=1", "analyze.sbatch", "run.h5",
                         "-o", "report", folder=tmp_path)  # fmt: skip
    state = cluster.finished(job)

    assert state["JobState"] == "COMPLETED", cluster.log(job)
    assert len(re.findall(r"Start worker at:", cluster.log(job))) == 2, cluster.log(job)
    assert list((tmp_path / "report").glob("*.html"))
    assert not list(tmp_path.glob("dask-*"))
