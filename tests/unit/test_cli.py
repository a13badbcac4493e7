"""The command line: arguments, precedence, exit codes, and errors that are printed once."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import simcore
import simcore.simulation.job
from simcore import cli
from simcore.cli.parameters import parse_time
from simcore.io import open_run
from simcore.services.errors import CapacityError, ConfigError

ROOT = Path(__file__).parents[2]
MPIEXEC = Path(sys.executable).parent / "mpiexec"


class Rates(dict):
    """Mean rates that print as a table, as those of a run."""

    def __repr__(self):
        return "\n".join(["population  rate [1/s]", *(f"{k}  {v:.3f}" for k, v in self.items())])


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Record the calls of simulate in place of simulating, in an empty folder."""
    calls = []

    def simulate(network, duration, **options):
        calls.append(SimpleNamespace(network=network, duration=duration, **options))
        return SimpleNamespace(
            path=options["output"],
            duration=duration,
            timed=duration,
            rates=lambda: Rates({p.name: 1.5 for p in network.populations}),
            timers={"build": np.array([3.0]), "run": np.array([0.25])},
        )

    monkeypatch.setattr(simcore.simulation.job, "simulate", simulate)
    monkeypatch.chdir(tmp_path)
    return calls


def run(*words):
    return cli.main(["run", *words])


def test_run_hands_everything_to_simulate(calls):
    code = run(
        "brunel", "--set", "order=20", "--set", "g=6", "--duration", "0.05s", "--dt", "0.2ms",
        "--seed", "4", "--backend", "reference", "--partitioner", "block", "--precision",
        "float32", "--output", "x.h5", "--overwrite", "--record-from", "10 ms", "--no-progress",
        "--checkpoint-every", "2s", "--checkpoint-wall", "0", "--max-rate", "200",
        "--watchdog", "1.5min",
    )  # fmt: skip
    (call,) = calls

    assert code == 0
    assert [p.size for p in call.network.populations] == [80, 20]
    assert call.network.seed == 4
    assert (call.duration, call.dt, call.record_from) == (50.0, 0.2, 10.0)
    assert (call.backend, call.partitioner, call.precision) == ("reference", "block", "float32")
    assert (call.output, call.overwrite) == ("x.h5", True)
    assert call.options == {
        "model": "brunel",
        "model_place": "brunel",
        "parameters": {"order": 20, "g": 6.0},
        "model_seed": 4,
        "records": {"spikes": None},
    }
    assert (call.checkpoint_every, call.checkpoint_wall) == (2000.0, 0.0)
    assert (call.max_rate, call.watchdog) == (200.0, 90.0)
    assert not call.progress.enabled
    assert call.comm.size == 1


def test_run_has_defaults(calls):
    assert run("brunel", "--set", "order=20") == 0

    assert calls[0].output == "brunel.h5"
    assert not calls[0].overwrite
    assert (calls[0].duration, calls[0].backend) == (1000.0, "auto")
    assert calls[0].progress.enabled
    assert (calls[0].checkpoint_every, calls[0].checkpoint_wall) == (None, 900.0)
    assert (calls[0].max_rate, calls[0].watchdog) == (None, 600.0)


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("10s", "ms", 10_000.0),
        ("15min", "s", 900.0),
        ("1.5 h", "s", 5400.0),
        ("500ms", "s", 0.5),
        ("500", "ms", 500.0),
        (2.5, "s", 2.5),
        (0, "s", 0.0),
        ("0.7ms", "ms", 0.7),
        ("1e3", "ms", 1000.0),
    ],
)
def test_times(text, unit, expected):
    assert parse_time("x", text, unit) == expected


@pytest.mark.parametrize("text", ["soon", "10 days", "-3s", "nan", "", "s", "1..2s", "1e999"])
def test_what_is_no_time(text):
    with pytest.raises(ConfigError, match=r"x is .*, must be a time such as 30s, 15min, 2h"):
        parse_time("x", text, "s")


def test_command_line_replaces_the_file(calls, tmp_path):
    (tmp_path / "study.toml").write_text(
        'model = "brunel"\n'
        "parameters = {order = 30, eta = 3.0, seed = 1}\n"
        "run = {duration = 200.0, seed = 2, dt = 0.5}\n"
        "record = {spikes = ['I']}\n"
        "output = {file = 'a.h5', overwrite = true}\n"
    )
    run("study.toml")
    run("study.toml", "--set", "order=20", "--duration", "100", "--output", "b.h5", "--seed", "3")
    run("study.toml", "--set", "seed=5")
    first, second, third = calls

    assert (first.duration, first.dt, first.network.seed) == (200.0, 0.5, 2)
    assert [p.size for p in first.network.populations] == [120, 30]
    assert (first.output, first.overwrite) == ("a.h5", True)
    assert [r.target.name for r in first.network.records] == ["I"]
    assert (second.duration, second.dt, second.network.seed) == (100.0, 0.5, 3)
    assert second.options["parameters"] == {"order": 20, "eta": 3.0, "seed": 1}
    assert second.output == "b.h5"
    assert third.network.seed == 5


def test_run_reports_rates_times_and_file(calls, capsys):
    run("brunel", "--set", "order=20")
    out = capsys.readouterr().out

    assert "E  1.500" in out
    assert "reference" not in out
    assert "build      3.000      3.000      3.000" in out
    assert "real-time factor: 0.25 (0.25 s for 1 s of model time)" in out
    assert out.endswith("output: brunel.h5\n")


def test_reference_rates_stand_beside(calls, capsys):
    run("microcircuit")
    lines = capsys.readouterr().out.splitlines()

    assert lines[0].endswith("reference")
    assert lines[1] == "L23E  1.500      0.903"


def test_raster_is_drawn_after_the_run(calls, monkeypatch, capsys):
    drawn = []
    plot = SimpleNamespace(raster=lambda run, path: drawn.append(path))
    monkeypatch.setitem(sys.modules, "simcore.analysis.raster", plot)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)

    assert run("brunel", "--set", "order=20", "--raster", "x.png") == 0
    assert drawn == ["x.png"]
    assert capsys.readouterr().out.endswith("raster: x.png\n")


def test_raster_that_cannot_be_drawn_stops_the_run_before_it_starts(calls, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run("brunel", "--raster", "x.png") == 2
    assert "pip install 'simcore[plot]'" in capsys.readouterr().err

    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    assert run("brunel", "--raster", "nowhere/x.png") == 1
    assert "folder 'nowhere' does not exist" in capsys.readouterr().err
    assert run("brunel", "--raster", ".") == 1
    assert "raster: '.' cannot be written" in capsys.readouterr().err
    assert not calls


def test_run_and_info_go_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(
        'model = "brunel"\nparameters = {order = 25}\nrun = {duration = 40.0}\n'
        "record = {from = 10.0, V_m = {population = 'E', n = 2}}\n"
    )
    assert run("study.toml", "--no-progress") == 0
    assert "  update" in capsys.readouterr().out
    assert run("study.toml", "--no-progress") == 1
    assert "study.h5' exists" in capsys.readouterr().err

    assert cli.main(["info", "study.h5"]) == 0
    assert "brunel(order=25)" in capsys.readouterr().out
    assert cli.main(["info", "study.h5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sizes"] == {"E": 100, "I": 25}
    assert told["record_from"] == 10.0
    assert told["rates"].keys() == {"E", "I"}
    assert len(told["timers"]["run"]) == 1


def test_resume_with_an_infinite_parameter_and_a_moved_model(tmp_path, monkeypatch, capsys):
    """JSON has no infinity: the file has it as text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(
        "import simcore as sc\n"
        "def build(stop: float = 5.0):\n"
        "    net = sc.Network(seed=1)\n"
        "    net.drive(net.population('E', 3, sc.LIF()), sc.Current(900.0, stop=stop))\n"
        "    return net\n"
    )
    assert run("model.py", "--set", "stop=inf", "--duration", "20", "--no-progress") == 0
    assert cli.main(["resume", "model.h5", "--until", "30", "--no-progress"]) == 0
    assert "output: " in capsys.readouterr().out
    assert open_run("model.h5").duration == 30.0

    (tmp_path / "model.py").rename(tmp_path / "moved.py")
    again = ["resume", "model.h5", "--until", "40", "--no-progress"]
    assert cli.main(again) == 2
    assert "model.py' does not exist" in (told := capsys.readouterr().err)
    assert "Name it by --model if it was moved" in told
    assert cli.main([*again, "--model", "moved.py"]) == 0


def test_interval_of_looks_is_checked(tmp_path, capsys):
    assert cli.main(["info", "run.h5", "--follow", "--interval", "-1"]) == 2
    assert "interval is -1.0, must be at least 0.01 s" in capsys.readouterr().err


def test_info_of_no_file(capsys):
    assert cli.main(["info", "nowhere.h5"]) == 1
    assert "nowhere.h5' does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["brunell"], 2, "Did you mean 'brunel'?"),
        (["brunel", "--set", "odrer=1"], 2, "Did you mean 'order'?"),
        (["brunel", "--set", "order=many"], 2, "order is 'many', must be a whole number"),
        (["brunel", "--set", "order"], 2, "must be NAME=VALUE"),
        (["brunel", "--set", "epsilon=2"], 1, "brunel: epsilon is 2.0, must be in (0, 1]"),
        (["microcircuit", "--set", "drive=ac"], 1, "microcircuit: drive is 'ac'"),
        (["brunel", "--seed", "-1"], 1, "seed is -1"),
    ],
)
def test_errors_are_one_line(calls, capsys, words, code, message):
    assert run(*words) == code
    err = capsys.readouterr().err

    assert message in err
    assert err.startswith("simcore: error: ")
    assert err.count("\n") == 1
    assert not calls


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (CapacityError("too large"), 1, "simcore: error: too large\n"),
        (ZeroDivisionError("by zero"), 1, "ZeroDivisionError: by zero\nsimcore: error: this was"),
    ],
)
def test_errors_of_the_run(calls, monkeypatch, capsys, error, code, message):
    def simulate(*arguments, **options):
        raise error

    monkeypatch.setattr(simcore.simulation.job, "simulate", simulate)

    assert run("brunel", "--set", "order=20") == code
    err = capsys.readouterr().err
    assert message in err
    assert ("Traceback" in err) == isinstance(error, ZeroDivisionError)


def test_interrupt_has_its_code(calls, monkeypatch, capsys):
    def simulate(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(simcore.simulation.job, "simulate", simulate)

    assert run("brunel", "--set", "order=20") == 130
    assert "interrupted" in capsys.readouterr().err


def test_interrupted_command_dies_of_the_signal():
    """A shell goes on with its loop after any exit code."""
    script = (
        "import atexit, sys; from simcore import __main__ as m; m.cli.main = lambda: {}; "
        "code = m.main(); atexit.register(print, 'cleaned', end=''); sys.exit(code)"
    )
    for code, end in ((130, -signal.SIGINT), (75, 75)):
        command = [sys.executable, "-c", script.format(code)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (end, "cleaned", "")


@pytest.mark.parametrize(
    "words",
    [[], ["ruin"], ["run"], ["run", "x", "--seed", "long"], ["run", "x", "--dur", "1"]],
)
def test_usage_errors(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)

    assert stopped.value.code == 2
    assert "usage: simcore" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["nan", "0", "-1", "long", "0.05", "inf"])
def test_durations_that_cannot_be_exit_alike(text, capsys):
    assert cli.main(["run", "brunel", "--set", "order=20", "--duration", text]) == 2
    error = capsys.readouterr().err
    assert error.startswith("simcore: error: duration is ")
    assert "must be a" in error


@pytest.mark.parametrize("words", [[], ["run"], ["info"], ["models"]])
def test_help_teaches_with_examples(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*words, "--help"])

    assert stopped.value.code == 0
    assert "examples:" in capsys.readouterr().out


def test_example_in_the_help_is_a_valid_run_file(tmp_path):
    from simcore.cli.run import _TEXT
    from simcore.cli.runfile import read_run

    text = _TEXT[_TEXT.index("  model = ") : _TEXT.index("Options given")]
    path = tmp_path / "help.toml"
    path.write_text(text)
    study = read_run(str(path))
    network = study.model.network(study.parameters)
    study.apply_records(network)

    assert len(network.records) == 3


def test_example_file_is_valid():
    from simcore.cli.runfile import read_run

    study = read_run(str(ROOT / "examples" / "brunel.toml"))

    assert study.model.arguments(study.parameters)["g"] == 6.0
    assert study.spikes is True


def test_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])

    assert capsys.readouterr().out == f"simcore {simcore.__version__}\n"


def test_models_are_listed(capsys):
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out

    assert "brunel: Sparsely connected" in out
    assert "microcircuit: The cortical microcircuit" in out
    assert "  order = 2500, g = 5.0," in out
    assert "thalamus_start = 700.0,\n" in out


def test_one_model_is_shown_with_its_parameters(capsys):
    assert cli.main(["models", "microcircuit"]) == 0
    out = capsys.readouterr().out

    assert "Potjans" in out
    assert '  drive = "poisson"\n      Input from other areas' in out
    assert "  thalamus_start = 700.0\n      When, and for how long [ms]." in out


def test_a_network_is_shown_with_what_is_expected_of_it(capsys):
    assert cli.main(["models", "brunel"]) == 0
    out = capsys.readouterr().out

    assert (
        "\n\nexpected activity:\n  A, synchronous regular\n  simcore run brunel --set g=3 " in out
    )
    assert "--duration 700 --record-from 200\n      rate [1/s]: 330 to 336\n" in out
    assert "      synapses: 15625000\n      from independent program: 332.5" in out


def test_models_as_json(capsys):
    cli.main(["models", "--json"])
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    parameters = {p["name"]: p for p in models["brunel"]["parameters"]}

    assert parameters["order"]["type"] == "int"
    assert parameters["order"]["default"] == 2500
    assert all(p["text"] for model in models.values() for p in model["parameters"])


def test_ranks_but_the_first_are_silent(monkeypatch, capsys):
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("PMI_SIZE", "2")

    with pytest.raises(SystemExit):
        cli.main(["run"])
    assert cli.main(["models"]) == 0
    assert capsys.readouterr() == ("", "")


def test_reader_that_leaves_is_no_error(monkeypatch):
    class Left(io.TextIOWrapper):
        def write(self, text):
            raise BrokenPipeError

    with open(os.devnull, "wb") as sink:
        monkeypatch.setattr(sys, "stdout", Left(sink))
        assert cli.main(["models"]) == 1


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("ascii", rb"out\xb5.h5"), ("latin-1", b"out\xb5.h5"), ("utf-8", "outµ.h5".encode())],
)
def test_any_encoding_takes_any_name(calls, monkeypatch, encoding, told):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding=encoding))
    assert run("brunel", "--set", "order=20", "--output", "outµ.h5", "--no-progress") == 0
    assert b"output: " + told in printed.getvalue()
    assert sys.stdout.errors == "strict"


def test_output_without_room_is_one_error(monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert cli.main(["models"]) == 1
    error = "standard output or a file: No space left on device. Free some space."
    assert capsys.readouterr().err == f"simcore: error: {error}\n"
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as ended:
            cli.main(["--help"])
    assert ended.value.code == 0


def test_closed_streams_give_no_file_their_numbers(monkeypatch):
    """Else the next file that is opened becomes standard output, and gets what is printed."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            for number, name in enumerate(("stdin", "stdout", "stderr")):
                os.close(number)
                setattr(sys, name, None)
            code = cli.main(["models"])
            code += os.open(os.devnull, os.O_RDONLY) < 3
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def start(*words, ranks=None, script=None):
    """Run the command in processes of its own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMPI", "SLURM"))}
    launcher = [] if ranks is None else [str(MPIEXEC), "-n", str(ranks)]
    what = ["-m", "simcore", *words] if script is None else ["-c", script]
    return subprocess.run(
        [*launcher, sys.executable, *what],
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
    )


needs_mpi = pytest.mark.skipif(not MPIEXEC.exists(), reason="needs mpiexec beside the Python")


def test_module_is_a_command():
    done = start("models")

    assert done.returncode == 0
    assert "brunel" in done.stdout


@needs_mpi
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "the following arguments are required: MODEL"),
        (["run", "brunel", "--set", "odrer=1"], "Did you mean 'order'?"),
    ],
)
def test_ranks_print_a_mistake_once(words, message):
    done = start(*words, ranks=3)

    assert done.returncode == 2
    assert done.stderr.count(message) == 1
    assert "Abort" not in done.stderr


@needs_mpi
def test_model_that_exits_on_one_rank_ends_the_command_on_all(tmp_path):
    model = tmp_path / "leaving.py"
    model.write_text(
        "import sys\n"
        "import simcore as sc\n"
        "from simcore.services.launcher import launched_process\n"
        "def build():\n"
        "    if launched_process().rank == 1: sys.exit('no data')\n"
        "    return sc.Network()\n"
    )
    done = start("run", str(model), ranks=3)

    assert done.returncode == 1
    assert done.stderr.count("leaving.py: build() failed: called sys.exit('no data')") == 1
    assert "Abort" not in done.stderr


@needs_mpi
def test_error_on_one_rank_ends_the_command_on_all():
    script = """
import sys
import simcore.simulation.job
from simcore.cli import main
from simcore.cli.parameters import parse_time
from simcore.services.errors import CapacityError, ConfigError
from simcore.io import open_run

def simulate(network, duration, *, comm, **options):
    if comm.rank == 1:
        raise CapacityError("too large")
    comm.barrier()

simcore.simulation.job.simulate = simulate
sys.exit(main(["run", "brunel", "--set", "order=20"]))
"""
    done = start(ranks=3, script=script)

    assert done.returncode != 0
    assert done.stderr.count("rank 1: simcore: error: too large") == 1
