"""The script that measures the GPU backend keeps what it has, whatever becomes of the rest."""

import importlib
import json
import sys
from argparse import Namespace
from pathlib import Path
from time import perf_counter

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def everything(monkeypatch):
    """Return the script as a module."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.syspath_prepend(FOLDER / "gpu")
    yield importlib.import_module("everything")
    for name in ("everything", "common"):
        sys.modules.pop(name)


@pytest.fixture
def report(everything, tmp_path):
    return everything.Report(tmp_path / "gpu.json", 100.0, 20.0)


def options(**given):
    return Namespace(**{"backend": "cpu", "rounds": 1, **given})


def rows(report):
    """Return the rows in the file."""
    return json.loads(report.path.read_text())["rows"]


def parts(everything, monkeypatch, **given):
    """Put other parts in the place of those of the script."""
    monkeypatch.setattr(everything, "PARTS", {"device": everything.device, **given})


def test_a_part_that_fails_leaves_the_others_alone(everything, report, monkeypatch):
    def fail(report, options):
        report.add(what="first", found=1)
        raise ZeroDivisionError("nothing to share")

    def work(report, options):
        report.add(what="second", found=2)

    parts(everything, monkeypatch, first=fail, second=work)
    everything.run_parts(report, options(parts=["first", "second"]))
    found = rows(report)
    assert [row.get("found") for row in found if "found" in row] == [1, 2]
    assert ["nothing to share" in row["failed"] for row in found if "failed" in row] == [True]
    assert [row["part"] for row in found if row["what"] == "time"] == ["device", "first", "second"]


def test_a_device_that_cannot_be_asked_is_told(everything, report, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    everything.run_parts(report, options(parts=[], backend="cuda"))
    assert "cupy" in rows(report)[0]["failed"]


def test_rounds_are_repeated_while_there_is_time(everything, report, monkeypatch):
    clock = [0.0]

    def speed(report, options):
        report.add(what="speed")
        clock[0] += 30.0

    def others(report, options):
        report.add(what="others")

    parts(everything, monkeypatch, speed=speed, others=others)
    monkeypatch.setattr(everything, "perf_counter", lambda: clock[0])
    report.end = 70.0
    everything.run_parts(report, options(parts=["speed", "others"], rounds=9))
    done = [row["what"] for row in rows(report) if row["what"] != "time"]
    assert done == ["speed", "others", "speed"]


def test_no_part_begins_when_the_time_is_over(everything, report, monkeypatch):
    parts(everything, monkeypatch, late=pytest.fail)
    report.end = perf_counter() - 1.0
    everything.run_parts(report, options(parts=["late"]))
    assert {"what": "late", "left_out": "no time is left"} in rows(report)


def test_a_run_that_takes_too_long_is_ended_with_its_children(everything, report, tmp_path):
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import subprocess, sys\nprint('here', flush=True)\n"
        "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    )
    begin = perf_counter()
    code, said = everything.call([sys.executable, str(slow)], timeout=3.0)
    assert perf_counter() - begin < 30.0
    assert code == -9
    assert "here" in said
    assert "ended after 3 s" in said


def test_a_run_that_hangs_leaves_time_for_the_others(everything, report, monkeypatch):
    given = []
    monkeypatch.setattr(everything, "perf_counter", lambda: 0.0)

    def hang(*arguments, timeout):
        given.append(timeout)
        raise everything.RunFailed("ended")

    monkeypatch.setattr(everything, "run_simcore", hang)
    for report.end in (100.0, 15.0, -5.0):
        assert everything.measure(report, "speed", "brunel", {}) is None
    assert given == [20.0, 15.0, 1.0]


def test_a_size_that_fails_and_one_that_would_take_too_long(everything, report, monkeypatch):
    def fail(*given, timeout):
        report.end = perf_counter() + 1e-3
        raise everything.RunFailed("no room")

    monkeypatch.setattr(everything, "run_simcore", fail)
    everything.size(report, options(synapses=[4e6, 1e6], duration=10.0))
    first, second = rows(report)
    assert first["failed"] == "no room"
    assert second == {"what": "size", "synapses": 4e6, "left_out": "it would take too long"}


def test_sanitizer_runs_the_script_with_each_of_its_tools(
    everything, report, monkeypatch, tmp_path
):
    tool = tmp_path / "compute-sanitizer"
    tool.write_text('#!/bin/sh\necho "called with $2"\nshift 4\n"$@" && exit 9\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    report.patience = 100.0  # The first run may have to compile
    everything.sanitize(report, options())
    found = rows(report)
    assert [row["tool"] for row in found] == ["memcheck", "initcheck", "synccheck"]
    assert [(row["code"], row["said"]) for row in found] == [
        (9, f"called with {row['tool']}\n") for row in found
    ]
    monkeypatch.setattr(everything.shutil, "which", lambda name: None)
    everything.sanitize(report, options())
    assert rows(report)[-1]["left_out"] == "there is no compute-sanitizer here"


def test_unknown_part_is_told(everything, capsys):
    with pytest.raises(SystemExit):
        everything.main(["--rehearse", "tests", "colour"])
    assert "there is no part 'colour', but device, compile, tests" in capsys.readouterr().err


def test_without_a_gpu_nothing_is_started(everything, monkeypatch, capsys):
    monkeypatch.setattr(everything, "missing_for_gpu", lambda: "there is none")
    with pytest.raises(SystemExit):
        everything.main([])
    assert "there is none. Try the script with --rehearse." in capsys.readouterr().err


def test_rehearsal_of_a_part(everything, tmp_path, capsys):
    path = tmp_path / "new" / "gpu.json"
    everything.main(["--rehearse", "--synapses", "1e6", "--json", str(path), "size"])
    (row,) = [r for r in json.loads(path.read_text())["rows"] if r["what"] == "size"]
    assert row["synapses"] == pytest.approx(1e6, rel=0.01)
    assert row["delivered_per_s"] > 0.0
    assert row["bytes_per_synapse"] > 3.0
    assert "brunel" not in capsys.readouterr().err
