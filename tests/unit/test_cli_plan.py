"""``simcore plan`` as a user calls it."""

import json
import math
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import simcore as sc
from simcore.cli import main
from simcore.cli.parameters import parse_size
from simcore.models import brunel
from simcore.planning import Rates, Setup, rehearse
from simcore.services.errors import ConfigError
from tests.networks import build, every_feature

SMALL = ["brunel", "--set", "order=20", "--backend", "cpu"]


@pytest.fixture
def plan(capsys):
    """Return a function that calls `simcore plan`; it returns exit code, output and errors."""

    def call(*arguments):
        code = main(["plan", *arguments])
        done = capsys.readouterr()
        return code, done.out, done.err

    return call


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the file of a run that was timed."""
    path = str(tmp_path_factory.mktemp("runs") / "timed.h5")
    sc.simulate(brunel.build(order=20), 100.0, output=path, backend="cpu")
    return path


def test_a_plan_as_text(plan):
    code, out, _ = plan(*SMALL, "--ranks", "3", "--rate", "10", "--memory", "1GB")
    assert code == 0
    for text in (
        "network  100 neurons in 2 populations, 1,000 synapses",
        "ranks    3, backend cpu, partitioner balanced, steps of 0.1 ms",
        "rates    10 /s in the mean, from given",
        "epoch    1.5 ms: 700 exchanges in a second of model time",
        "fits     yes: a rank needs",
        "1 rank would do",
        "not predicted: give runs that were timed with --from",
    ):
        assert text in out
    assert re.search(r"neurons +33 +33 +34", out)
    assert "unknown" not in out


def test_a_plan_as_json_has_what_the_text_has(plan):
    code, out, _ = plan(*SMALL, "--ranks", "2", "--threads", "2", "--rate", "10", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["n_synapses"] == 1000
    assert found["n_neurons_of_rank"] == {"min": 50, "mean": 50, "max": 50}
    assert found["files"]["spikes_bytes_per_s"] == 100 * 10 * 16
    assert found["memory_bytes"]["peak"]["max"] > found["memory_bytes"]["process"]["max"] > 1e8
    assert found["rates_per_s"] == {"E": 10.0, "I": 10.0}
    assert found["time"] is None
    assert found["setup"]["threads"] == 2

    # What rank 0 takes to record is in the largest peak, which a user asks for
    parts = {k: spread["max"] for k, spread in found["memory_bytes"].items() if k != "peak"}
    in_turn = max(parts.pop("sorting"), parts.pop("spikes") + found["recording_bytes"])
    assert found["recording_bytes"] > 1e7
    assert found["memory_bytes"]["peak"]["max"] == pytest.approx(sum(parts.values()) + in_turn)


def test_without_rates_a_plan_says_what_is_missing(plan):
    code, out, _ = plan(*SMALL, "--json")
    assert code == 0
    assert json.loads(out)["spikes_of_rank_per_s"]["mean"] is None
    _, out, _ = plan(*SMALL)
    assert "rates    unknown: give --rate or --from" in out


def test_a_run_that_does_not_fit_has_an_exit_code(plan):
    big = ["brunel", "--set", "order=2000000", "--set", "epsilon=1e-3", "--rate", "5"]
    code, out, _ = plan(*big, "--memory", "2GB")
    assert code == 1
    ranks = int(re.search(r"([\d,]+) ranks would do", out)[1].replace(",", ""))
    assert plan(*big, "--memory", "2GB", "--ranks", str(ranks))[0] == 0
    assert plan(*big, "--memory", "2GB", "--ranks", str(ranks - 1))[0] == 1
    code, out, _ = plan(*big, "--ranks", "1000000")
    assert code == 0
    assert "fits     no, all ranks on this machine" in out
    code, out, _ = plan(*big, "--memory", "100MB")
    assert "no number of ranks would do" in out


def test_a_plan_for_gpus_needs_none(plan):
    code, out, _ = plan("microcircuit", "--gpu-memory", "80GB", "--ranks", "2")
    assert code == 0
    assert "memory of its GPU" in out
    assert "1 GPU would do" in out


def test_rates_of_the_model_and_of_a_run(plan, run):
    assert "from the model" in plan("microcircuit", "--ranks", "4")[1]
    _, out, _ = plan(*SMALL, "--ranks", "2", "--from", run)
    assert f"from {run}" in out
    _, out, _ = plan("brunel", "--set", "order=40", "--backend", "cpu", "--from", run)
    assert "of another size" in out


def test_time_is_predicted_from_runs_of_any_model(plan, run):
    _, out, _ = plan(*SMALL, "--ranks", "8", "--from", run)
    assert "predicted time in a second of model time" in out
    assert "fitted to 1 run(s)" in out
    assert "extrapolated" in out
    assert "rounds: not in the fit" in out
    code, out, _ = plan("microcircuit", "--backend", "cpu", "--ranks", "8", "--from", run, "--json")
    time = json.loads(out)["time"]
    assert code == 0
    assert 0.0 < time["real_time_factor"] < math.inf
    assert 0.0 < time["efficiency"] <= 2.0
    assert time["fitted_to"] == [run]


def test_costs_without_rates_predict_nothing(plan, run):
    model = str(every_feature_file(run))
    _, out, _ = plan(model, "--backend", "cpu", "--from", run)
    assert "not predicted: rates are unknown, give --rate" in out


def every_feature_file(run):
    """Write a model file of other populations beside a run."""
    from pathlib import Path

    path = Path(run).parent / "features.py"
    path.write_text("from tests.networks import every_feature as build\n")
    return path


def test_a_run_file_is_planned_as_it_would_run(plan, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        'model = "brunel"\n[parameters]\norder = 20\n[run]\nthreads = 2\nbackend = "cpu"\n'
        'dt = 0.5\n[record]\nspikes = false\nV_m = {population = "E", n = 10, interval = 0.5}\n'
    )
    found = json.loads(plan(str(path), "--rate", "1", "--json")[1])
    assert (found["setup"]["threads"], found["setup"]["dt_ms"]) == (2, 0.5)
    assert found["files"]["spikes_bytes_per_s"] == 0.0
    assert found["files"]["samples_bytes_per_s"] == 10 * 2000 * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ranks", "0"], "ranks is 0, must be a whole number of at least 1"),
        (["--ranks", "-3"], "ranks is -3"),
        (["--ranks", "4", "--rehearse", "4"], r"rank is 4, must be in \[0, 4\)"),
        (["--ranks", "4", "--rehearse", "-1"], "rank is -1"),
        (["--memory", "much"], "memory is 'much', must be a size such as 80GB"),
        (["--gpu-memory", "80"], "gpu-memory is '80', must be a size"),
        (["--memory", "0GB"], "memory is '0GB'"),
        (["--rate", "fast"], "rate is 'fast', must be HZ or NAME=HZ"),
        (["--rate", "X=3"], "rate: population is 'X', must be one of E, I"),
        (["--rate", "E=-3"], "rate of E is -3"),
        (["--cores", "0"], "cores is 0"),
        (["--threads", "0"], "threads is 0"),
        (["--threads", "2", "--backend", "cuda"], "threads is 2, must be 1 with"),
        (["--backend", "cpu", "--gpu-memory", "1GB"], "backend is 'cpu', must be cuda or auto"),
        (["--backend", "abacus"], "backend is 'abacus'"),
        (["--partitioner", "fair"], "partitioner is 'fair'"),
        (["--dt", "0"], "dt is 0"),
        (["--duration", "-1"], "duration is '-1'"),
        (["--from", "nowhere.h5"], "from: .*nowhere.h5"),
    ],
)
def test_mistakes_are_named(plan, arguments, message):
    code, out, err = plan("brunel", *arguments)
    assert code == 2
    assert out == ""
    assert re.search(f"error: .*{message}", err)


def test_a_file_that_is_no_run_is_refused(plan, tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("nothing")
    code, _, err = plan(*SMALL, "--from", str(path))
    assert code == 2
    assert "text.h5" in err


def test_runs_of_another_backend_are_refused(plan, run):
    code, _, err = plan("brunel", "--gpu-memory", "1GB", "--from", run)
    assert code == 2
    assert "from: backend of the runs is 'cpu', must be 'cuda'" in err


def test_a_network_without_populations_is_refused(plan, tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("import simcore as sc\ndef build():\n    return sc.Network()\n")
    code, _, err = plan(str(path))
    assert code == 1
    assert "populations" in err


def test_a_rehearsal_is_shown_beside_the_plan(plan, run):
    code, out, _ = plan(*SMALL, "--ranks", "4", "--from", run, "--rehearse", "3")
    assert code == 0
    assert "rehearsal of rank 3" in out
    assert re.search(r"neurons +25 +25 +1.00", out)
    assert re.search(r"synapses +250 +250 +1.00", out)
    assert re.search(r"deliver \[s/s\] +[\d.e-]+ +[\d.e-]+ +[\d.]+", out)
    _, out, _ = plan(*SMALL, "--ranks", "4", "--rehearse", "0")
    assert "only built, not advanced: rates are unknown" in out


def test_a_rehearsal_as_json(plan):
    _, out, _ = plan(*SMALL, "--ranks", "4", "--rate", "50", "--rehearse", "1", "--json")
    found = json.loads(out)["rehearsal"]
    assert (found["rank"], found["n_neurons"], found["n_synapses"]) == (1, 25, 250)
    assert found["model_time_ms"] >= 100.0


@pytest.mark.parametrize("threads", [1, 2])
def test_a_rehearsal_builds_the_rank_of_a_real_run(threads):
    network = every_feature()
    rates = Rates(np.full(len(network.populations), 20.0), "a test")
    setup = Setup(3, threads, backend="cpu")
    found = rehearse(network, setup, 2, rates, 2)
    shards = [build(network, 2 * threads + k, 3 * threads) for k in range(threads)]
    assert found.n_synapses == sum(s.n_synapses for s in shards)
    assert found.table_bytes == sum(s.nbytes for s in shards)
    assert found.n_neurons == sum(s.neurons.size for s in shards)
    assert found.peak_bytes >= found.build_bytes > 0
    others = network.n_neurons - found.n_neurons
    assert found.received == pytest.approx(20.0 * others, rel=0.3)
    assert found.sent > 0.0
    assert set(found.phases) >= {"update", "deliver"}


def test_a_rehearsal_of_a_rank_without_neurons():
    network = brunel.build(order=1, epsilon=1.0)
    rates = Rates(np.array([500.0, 500.0]), "a test")
    setup = Setup(9, backend="cpu")
    found = rehearse(network, setup, 8, rates, 15)
    assert (found.n_neurons, found.n_synapses, found.sent) == (0, 0, 0.0)
    assert found.received > 0.0


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("80GB", 80e9), ("16 GiB", 16 * 2**30), ("1.5TB", 1.5e12), ("512B", 512), ("3kB", 3e3)],
)
def test_sizes(text, bytes_):
    assert parse_size("memory", text) == bytes_


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1.2.3GB", "1PB", "8"])
def test_what_is_no_size(text):
    with pytest.raises(ConfigError, match="must be a size such as 80GB"):
        parse_size("memory", text)


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    out = capsys.readouterr().out
    for text in (
        "examples:",
        "--rehearse",
        "--gpu-memory",
        "exit code is 1 if the run does not fit",
    ):
        assert text in out


def test_a_rehearsal_holds_two_bits_of_every_neuron_elsewhere():
    network = brunel.build(order=8_000_000, epsilon=1e-6)
    setup = Setup(10_000, backend="cpu")
    rates = Rates(np.full(2, 0.01), "a test")
    tracemalloc.start()
    found = rehearse(network, setup, 9_999, rates, 15)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.n_neurons == 4000
    assert found.received == pytest.approx(4e5, rel=0.1)

    # A byte for each would be 40 MB; the exchange has 1 kB for a rank
    bits = network.n_neurons / 4
    assert most < 2 * bits + 4e7


@pytest.mark.slow
def test_the_memory_of_a_rank_of_many_is_as_planned():
    # First a small one, so that the other finds its kernels compiled
    call_rehearsal("order=40", "epsilon=0.1", "--ranks", "2")
    found = call_rehearsal("order=1600000", "epsilon=5e-4", "--ranks", "2000")
    assert found["rehearsal"]["n_synapses"] == 4000 * 4000
    planned = found["memory_bytes"]["peak"]["mean"]
    assert planned > 1.8 * found["memory_bytes"]["process"]["max"]
    assert found["rehearsal"]["peak_bytes"] == pytest.approx(planned, rel=0.1)


def call_rehearsal(order, epsilon, *arguments):
    """Rehearse rank 1 in a process of its own; return the plan and what was measured."""
    settings = ["--set", order, "--set", epsilon, "--backend", "cpu", "--rate", "1"]
    command = [sys.executable, "-m", "simcore", "plan", "brunel", *settings, *arguments]
    done = subprocess.run(
        [*command, "--rehearse", "1", "--json"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)
