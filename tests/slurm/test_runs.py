"""The scripts that run a model, as they are, on a real Slurm of two nodes."""

import subprocess
import sys

import pytest

from simcore.io import open_run
from tests.slurm.cluster import REPOSITORY, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SMALL = ("brunel", "--set", "order=100", "--duration", "300", "--no-progress")
LONG = ("brunel", "--set", "order=100", "--duration", "8000", "--no-progress")


def simcore(*arguments, folder):
    """Run a command of simcore here; return its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "simcore", *arguments], cwd=folder, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def require_same_spikes(folder, model, output):
    """Compare a run of a job with one here, without a launcher."""
    assert simcore("run", *model, "--output", "local.h5", folder=folder)[0] == 0
    code, text = simcore("verify", "local.h5", output, folder=folder)
    assert (code, text.split(":")[0]) == (0, "identical"), text
    assert sum(open_run(folder / output).spike_counts.values()) > 1000


def test_cpu_job_on_two_nodes(cluster, tmp_path):
    # With no more of the login shell than the scripts need
    job = cluster.submit("--nodes=2", "--ntasks=3", "--export=SIMCORE_SITE", "cpu.sbatch", *SMALL,
                         "--output", "job.h5", folder=tmp_path)  # fmt: skip
    state = cluster.finished(job)

    assert (state["JobState"], state["Account"]) == ("COMPLETED", "lab")
    assert state["NodeList"] == "n[1-2]"
    assert open_run(tmp_path / "job.h5").n_ranks == 3
    require_same_spikes(tmp_path, SMALL, "job.h5")


def test_a_mistake_ends_the_job(cluster, tmp_path):
    job = cluster.submit("--ntasks=2", "cpu.sbatch", "no_such_model", folder=tmp_path)
    state = cluster.finished(job)

    assert (state["JobState"], state["ExitCode"]) == ("FAILED", "2:0")
    assert "model 'no_such_model' is unknown" in cluster.log(job)


def test_gpu_job_gives_each_rank_a_gpu(cluster, tmp_path):
    job = cluster.submit(
        "--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1", "gpu.sbatch", *SMALL,
        "--backend", "cpu", "--output", "job.h5", folder=tmp_path,
    )  # fmt: skip
    state = cluster.finished(job)

    assert state["JobState"] == "COMPLETED", cluster.log(job)
    said = [line.split(": ", 1) for line in cluster.log(job).splitlines() if ": " in line]
    seen = {rank: [text for number, text in said if number == str(rank)] for rank in range(4)}
    assert seen == {0: ["n1", "0"], 1: ["n1", "1"], 2: ["n2", "0"], 3: ["n2", "1"]}
    assert open_run(tmp_path / "job.h5").n_ranks == 4


def test_long_run_is_checkpointed_requeued_and_resumed(cluster, tmp_path):
    job = cluster.submit("--nodes=2", "--ntasks=2", "requeue.sbatch", "job.h5", *LONG,
                         folder=tmp_path)  # fmt: skip
    wait_for((tmp_path / "job.h5").exists, 60, "the output file", lambda: cluster.log(job))
    cluster.call("scancel", "--batch", "--signal=USR1", job)
    cluster.hurry(job)
    state = cluster.finished(job)

    run = open_run(tmp_path / "job.h5")
    assert (state["JobState"], state["Restarts"]) == ("COMPLETED", "1"), cluster.log(job)
    assert [session["begin"] > 0 for session in run.sessions] == [False, True]
    assert "job.h5: not done after start 1, queued again" in cluster.log(job)
    require_same_spikes(tmp_path, LONG, "job.h5")


def test_time_limit_asks_for_a_checkpoint_and_requeues(cluster, tmp_path):
    endless = ("brunel", "--set", "order=100", "--duration", "10000000", "--no-progress")
    job = cluster.submit("--time=2", "--signal=B:USR1@60", "--ntasks=1", "requeue.sbatch", "job.h5",
                         *endless, folder=tmp_path)  # fmt: skip

    # Slurm looks at time limits every half a minute
    wait_for(
        lambda: cluster.job(job).get("Restarts") == "1",
        150,
        "the requeue",
        lambda: cluster.log(job),
    )
    run = open_run(tmp_path / "job.h5")
    assert (run.status, len(run.checkpoints)) == ("stopped", 1)
    assert "as asked by SIGTERM, with a checkpoint" in cluster.log(job)
    cluster.call("scancel", job)


def test_without_the_site_file_a_job_says_what_to_do(cluster, tmp_path):
    script = str(REPOSITORY / "slurm/cpu.sbatch")
    job = cluster.call("sbatch", "--parsable", "--ntasks=1", script, folder=tmp_path).strip()
    state = cluster.finished(job)

    assert state["JobState"] == "FAILED"
    log = cluster.log(job)
    assert "SIMCORE_SITE: is not set, run first: source slurm/site.sh" in log
    assert "in place of --export=NONE use --export=SIMCORE_SITE" in log
