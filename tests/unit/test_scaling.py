"""Scaling studies: what is run, what the files tell, and how it is drawn."""

import csv
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import simcore as sc
from simcore.cli import main
from simcore.io import open_run
from simcore.models import brunel, microcircuit
from simcore.planning.scaling import PHASES, Point, Scaling, Timing, collect
from simcore.planning.scaling_table import table
from simcore.planning.study import Study, Trial, point, read_study, require_growth
from simcore.services.errors import ConfigError

SMALL = ("--set=order=50", "--duration=40")


def study(**changes):
    values = {"kind": "strong", "model": "brunel", "options": SMALL, "ranks": (1, 2)}
    return Study(**values | changes)


def timing(ranks, total, repetition=1, digest="same"):
    """Return a timing in which everything but the total is arbitrary."""
    phases = dict.fromkeys(PHASES, total / len(PHASES))
    trial = Trial(ranks, repetition, Path(f"ranks-{ranks}-run-{repetition}.h5"))
    return Timing(trial, 1, 100 * ranks, 1000, 5.0, 1.0, 0.5, total, phases, 0.1, 1e9, 2e9, digest)


def scaling(kind, totals):
    """Return a study with the given times by number of ranks."""
    grow = {"order": 50} if kind == "weak" else {}
    what = study(kind=kind, ranks=tuple(totals), grow=grow)
    points = [
        Point(ranks, 1, tuple(timing(ranks, t, i + 1) for i, t in enumerate(sorted(times))))
        for ranks, times in totals.items()
    ]
    return Scaling(what, tuple(points), ())


def test_weak_study_grows_and_shrinks_parameters():
    weak = study(kind="weak", grow={"order": 50}, shrink={"epsilon": 0.1}, ranks=(4, 1))

    assert weak.ranks == (1, 4)
    assert weak.settings(4) == {"order": 200, "epsilon": 0.025}
    assert "--set=order=200" in weak.arguments(4)
    assert "--set=epsilon=0.025" in weak.arguments(4)


def test_repetitions_come_round_after_round():
    order = [(t.ranks, t.repetition) for t in study(repetitions=2).trials(Path("x"))]

    assert order == [(1, 1), (2, 1), (1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"ranks": (1, 1)}, "ranks is '1,1', must be different"),
        ({"ranks": (0,)}, "ranks is '0'"),
        ({"repetitions": 0}, "repeat is 0"),
        ({"kind": "weak"}, "A weak study needs --grow"),
        ({"grow": {"order": 50}}, "a strong one has none"),
    ],
)
def test_a_study_refuses(changes, text):
    with pytest.raises(ConfigError, match=re.escape(text)):
        study(**changes)


def test_a_folder_holds_one_study(tmp_path):
    study().write(tmp_path)
    study(ranks=(1, 2, 4), repetitions=5).write(tmp_path)

    assert read_study(tmp_path) == study(ranks=(1, 2, 4), repetitions=5)
    with pytest.raises(ConfigError, match="of another study"):
        study(threads=2).write(tmp_path)
    with pytest.raises(ConfigError, match="holds no study"):
        read_study(tmp_path / "nowhere")


def test_weak_growth_keeps_the_load_of_a_rank():
    ranks = (1, 2, 8)
    require_growth({n: brunel.build(order=500 * n, epsilon=0.1 / n) for n in ranks})
    require_growth({n: microcircuit.build(N_scaling=0.1 * n, K_scaling=0.1) for n in ranks})

    with pytest.raises(ConfigError, match="synapses of a neuron is '250 on 1 and 2000 on 8"):
        require_growth({n: brunel.build(order=500 * n) for n in ranks})
    with pytest.raises(ConfigError, match="neurons of a rank is"):
        require_growth({n: brunel.build(order=500) for n in ranks})


def test_strong_speed_up_and_efficiency():
    found = scaling("strong", {2: [5.0, 4.0, 9.0], 8: [2.0, 2.0, 3.0]})

    assert [p.total for p in found.points] == [5.0, 2.0]
    assert found.points[0].spread == (4.0, 9.0)
    assert found.speed_up(2.0) == pytest.approx(5.0)
    assert found.efficiency(8, 2.0) == pytest.approx(5.0 / 8)


def test_weak_efficiency():
    found = scaling("weak", {1: [1.0], 4: [1.25]})

    assert found.efficiency(4, 1.25) == pytest.approx(0.8)
    assert "80%" in table(found)


def test_a_timing_is_what_the_file_tells(tmp_path):
    path = tmp_path / "ranks-1-run-1.h5"
    run = sc.simulate(brunel.build(order=50), 40.0, output=path, record_from=10.0)
    found = Timing.of(Trial(1, 1, path), run)

    assert found.model_time == 0.04
    assert found.total == pytest.approx(run.timers["run"][0] / 0.04)
    assert sum(found.phases.values()) == pytest.approx(found.total, rel=1e-6)
    assert found.phases["update"] == pytest.approx(run.timers["update"][0] / 0.04)
    assert found.rate == pytest.approx(sum(run.spike_counts.values()) / 250 / 0.03)
    assert found.memory == found.all_memory == run.shards["peak_bytes"][0]
    assert found.n_synapses == run.shards["n_synapses"].sum()


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A strong study on one rank, run twice by two calls."""
    folder = tmp_path_factory.mktemp("study")
    call = [sys.executable, "-m", "simcore", "scale", "run", "brunel", "--strong", "--ranks=1",
            *SMALL, "-o", str(folder)]  # fmt: skip
    printed = [
        subprocess.run([*call, f"--repeat={n}", "--predict=4"], capture_output=True, text=True)
        for n in (1, 2)
    ]
    assert [done.returncode for done in printed] == [0, 0], printed
    return folder, [done.stdout for done in printed]


@pytest.mark.slow
def test_run_keeps_what_is_complete_and_writes_everything(ran):
    folder, (first, second) = ran

    assert "1 rank, run 1 (1 of 1)" in first
    assert "complete already, and kept: 1 of 2 runs\n1 rank, run 2 (1 of 1)" in second
    assert "the spikes of all runs are identical" in second
    assert "* on 4 ranks everything is predicted, nothing measured" in second
    assert (folder / "scaling.txt").read_text() in second
    assert (folder / "scaling.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "speedup.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_csv_has_measured_and_predicted_rows(ran):
    folder, _ = ran
    with (folder / "scaling.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (folder / "runs.csv").open() as file:
        runs = list(csv.DictReader(file))

    assert [(row["ranks"], row["origin"]) for row in rows] == [
        ("1", "measured"),
        ("4", "predicted"),
    ]
    times = [open_run(folder / name).timers["run"][0] / 0.04 for name in (r["file"] for r in runs)]
    assert [float(r["real_time_factor"]) for r in runs] == pytest.approx(times)
    assert float(rows[0]["real_time_factor"]) == pytest.approx(min(times))
    assert sum(float(rows[0][name]) for name in PHASES) == pytest.approx(min(times), rel=1e-6)
    assert float(rows[1]["memory_of_a_rank_bytes"]) > 5e7


@pytest.mark.slow
def test_collect_names_what_is_missing_and_what_differs(ran, tmp_path):
    folder, _ = ran
    more = replace(read_study(folder), ranks=(1, 2))
    names = [point(folder, 1, n).name for n in (1, 2)]
    for name in names:
        (tmp_path / name).write_bytes((folder / name).read_bytes())

    assert "ranks-2-run-1.h5 is missing, and left out" in collect(more, tmp_path).notes

    sc.simulate(brunel.build(order=50, seed=2), 40.0, output=tmp_path / names[1], overwrite=True)
    assert any(note.startswith("THE SPIKES DIFFER") for note in collect(more, tmp_path).notes)

    (tmp_path / names[0]).unlink()
    (tmp_path / names[1]).unlink()
    with pytest.raises(ConfigError, match="no run of the study is complete"):
        collect(more, tmp_path)


def test_a_failed_run_is_named_and_the_others_go_on(tmp_path, capfd):
    launcher = f"{sys.executable} -c raise(SystemExit('no_such_launcher'))"
    code = main(["scale", "run", "brunel", "--strong", "--ranks=1,2", "--repeat=1", *SMALL,
                 f"--launcher={launcher}", "-o", str(tmp_path)])  # fmt: skip
    printed = capfd.readouterr()

    assert code == 2
    assert printed.err.count("failed, see") == 2
    assert "no_such_launcher" in printed.err
    assert "no run of the study is complete" in printed.err


def test_submit_prints_an_array_for_each_number_of_ranks(tmp_path, capsys):
    scripts = Path(__file__).parents[2] / "slurm"
    code = main(["scale", "submit", "brunel", "--weak", "--grow=order=50", "--shrink=epsilon=0.1",
                 "--ranks=1,4", "--threads=2", "--repeat=3", f"--scripts={scripts}", "--dry-run",
                 "--sbatch=--time=5", "--predict=8", "-o", str(tmp_path)])  # fmt: skip
    lines = capsys.readouterr().out.splitlines()

    assert code == 0
    assert [line.split()[2] for line in lines[:2]] == ["--ntasks=1", "--ntasks=4"]
    assert all("--cpus-per-task=2 --array=1,2,3" in line for line in lines[:2])
    assert lines[1].endswith(
        f"--time=5 {scripts}/scale.sbatch {tmp_path}/ranks-4 brunel --set=order=200 "
        "--set=epsilon=0.025 --no-progress"
    )
    assert "--dependency=afterany:ARRAY1:ARRAY2 --kill-on-invalid-dep=yes" in lines[2]
    assert lines[2].endswith(f"{scripts}/collect.sbatch {tmp_path} --predict 8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run", "brunel", "--strong", "--ranks=1,x"], "are no numbers from 1 on, such as 1,2,4"),
        (["run", "brunel", "--weak", "--ranks=1", "--predict=0"], "'0' are no numbers from 1 on"),
        (["run", "brunel", "--ranks=1"], "one of the arguments --strong --weak is required"),
        (["run", "brunel", "--weak", "--grow=order=big", "--ranks=1"], "must be NAME=NUMBER"),
        (["run", "brunel", "--weak", "--grow=ordre=5", "--ranks=1"], "Did you mean 'order'"),
        (["submit", "brunel", "--strong", "--ranks=1", "--scripts=nowhere"], "with --scripts"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(arguments, text, tmp_path, capsys):
    try:
        code = main(["scale", *arguments, "-o", str(tmp_path / "study")])
    except SystemExit as error:
        code = error.code

    assert code == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


def test_imbalance_is_that_of_the_work():
    two = np.array([1.0, 1.0])
    timers = {"build": two, "run": 9.0 * two, "deliver": two, "update": np.array([1.0, 3.0])}
    run = SimpleNamespace(
        n_ranks=2, timed=1e3, timers=timers, duration=1e3, record_from=0.0, recorded=[],
        populations=["E"], n_neurons=10, spike_counts={"E": 20}, session={},
        shards={"n_synapses": two, "peak_bytes": two},
    )  # fmt: skip

    found = Timing.of(Trial(2, 1, Path("run.h5")), run)

    assert found.imbalance == pytest.approx(4.0 / 3.0 - 1.0)
    assert (found.phases["update"], found.phases["other"], found.total) == (2.0, 6.0, 9.0)
    assert (found.digest, found.rate) == ("", 2.0)
