"""Models by name, Python file and TOML file; mistakes are told with the nearest valid name."""

import json
from typing import Literal

import pytest

import simcore as sc
from simcore.cli.modelfile import builtin_names, find_model
from simcore.cli.options import CommandOptions
from simcore.cli.parameters import check_call, convert, parse_assignment
from simcore.cli.runfile import RunFile, read_run
from simcore.io.schema import to_json
from simcore.models import brunel, microcircuit
from simcore.services.errors import ConfigError, ModelError

SMALL = """
import simcore as sc

def build(n: int = 10, rate: float = 5.0, label: str = "x"):
    net = sc.Network(seed=3)
    E = net.population("E", n, sc.LIF())
    I = net.population("I", 5, sc.LIF())
    net.drive(E, sc.Poisson(rate=rate, weight=1.0))
    net.record([E, I], "spikes")
    net.record(E, "V_m")
    return net
"""


@pytest.fixture
def small(tmp_path):
    """Return the path of a small model file."""
    path = tmp_path / "small.py"
    path.write_text(SMALL)
    return path


@pytest.fixture
def toml(tmp_path, small):
    """Return a function that writes a run file of the small model and reads it."""

    def write(text, model="small.py"):
        path = tmp_path / "study.toml"
        path.write_text(f'model = "{model}"\n{text}')
        return read_run(str(path))

    return write


def recorded(network):
    return [(r.variable, r.target.name) for r in network.records]


def test_builtin_models_are_listed():
    assert {"brunel", "microcircuit"} <= set(builtin_names())


@pytest.mark.parametrize("name", ["brunel", "microcircuit"])
def test_builtin_models_build(name):
    run = read_run(name)

    assert run.name == name
    assert isinstance(run.model.network({}), sc.Network)
    assert run.options == CommandOptions()


def test_brunel_is_that_of_the_paper():
    net = brunel.build()

    assert [p.size for p in net.populations] == [10_000, 2_500]
    assert [p.rule.indegree for p in net.projections] == [1000, 1000, 250, 250]
    assert {d.stimulus.rate for d in net.drives} == {20_000.0}
    assert [p.weight.describe() for p in net.projections[2:]] == [sc.Constant(-0.5).describe()] * 2


@pytest.mark.parametrize("parameters", [{"order": 0}, {"epsilon": 1.5}, {"J": 0.0}])
def test_brunel_checks_its_parameters(parameters):
    with pytest.raises(ModelError, match=f"brunel: {next(iter(parameters))}"):
        brunel.build(**parameters)


def test_reference_rates_are_those_of_full_scale():
    model = find_model("microcircuit")

    assert model.reference_rates({})["L4E"] == 4.414
    assert model.reference_rates({"drive": "dc"})["L6I"] == 7.673
    assert list(model.reference_rates({})) == list(microcircuit.POPULATIONS)
    assert model.reference_rates({"N_scaling": 0.1}) is None
    assert find_model("brunel").reference_rates({}) is None


def test_unknown_model_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'microcircus' is unknown.*mean 'microcircuit'.*brunel"):
        read_run("microcircus")


def test_python_file(small):
    run = read_run(str(small))
    network = run.model.network(run.model.arguments({"n": 20, "rate": 7}))

    assert run.name == "small"
    assert network.populations[0].size == 20
    assert network.drives[0].stimulus.rate == 7.0


def test_python_file_imports_its_neighbours(small, tmp_path):
    (tmp_path / "sizes_of_small.py").write_text("N = 17")
    small.write_text(SMALL.replace("n: int = 10", "n=N") + "\n")
    small.write_text("from sizes_of_small import N\n" + small.read_text())

    assert read_run(str(small)).model.network({}).populations[0].size == 17


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", r"small\.py: has no function build"),
        ("build = 3", r"small\.py: has no function build"),
        ("import nothing_like_it", r"small\.py: cannot be imported: ModuleNotFoundError.*line 1"),
        ("def build(:", r"small\.py: cannot be imported: SyntaxError"),
        ("import sys\nsys.exit(3)", r"small\.py: cannot be imported: called sys\.exit\(3\)"),
        (
            "import sys\ndef build():\n    sys.exit('no data')",
            r"small\.py: build\(\) failed: called sys\.exit\('no data'\) .*py, line 3",
        ),
        ("def build():\n    return 1 / 0", r"build\(\) failed: ZeroDivisionError.*py, line 2"),
        ("def build():\n    return 7", r"small\.py: build\(\) returned 7, must return"),
        ("import simcore as sc\nbuild = lambda: sc.LIF(tau_m=-1.0)", r"small\.py: LIF: tau_m"),
    ],
)
def test_python_file_that_fails_is_named(small, source, message):
    small.write_text(source)

    with pytest.raises(ModelError, match=message):
        read_run(str(small)).model.network({})


@pytest.mark.parametrize("name", ["nowhere.py", "nowhere.toml"])
def test_missing_file(name):
    with pytest.raises(ConfigError, match=f"'{name}' does not exist"):
        read_run(name)


def test_seed_is_passed_to_the_model_or_set(small):
    assert find_model("brunel").network({"order": 20}, seed=9).seed == 9
    assert read_run(str(small)).model.network({}, seed=9).seed == 9
    assert read_run(str(small)).model.network({}).seed == 3
    with pytest.raises(ModelError, match="seed"):
        read_run(str(small)).model.network({}, seed=-1)


def test_toml_sets_everything(toml):
    run = toml("""
        [parameters]
        n = 30
        [run]
        duration = 200
        dt = 0.2
        seed = 8
        backend = "cpu"
        partitioner = "block"
        precision = "float32"
        threads = 3
        [record]
        from = 50.0
        [output]
        file = "out.h5"
        overwrite = true
        raster = "out.png"
    """)

    assert run.name == "study"
    assert run.parameters == {"n": 30}
    assert run.options == CommandOptions(
        duration=200.0,
        dt=0.2,
        seed=8,
        backend="cpu",
        partitioner="block",
        precision="float32",
        threads=3,
        record_from=50.0,
        output="out.h5",
        overwrite=True,
        raster="out.png",
    )


def test_toml_names_a_builtin_model(toml):
    assert toml("", model="brunel").model.name == "brunel"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("", [("spikes", "E"), ("spikes", "I"), ("V_m", "E")]),
        ("spikes = ['I']", [("V_m", "E"), ("spikes", "I")]),
        ("spikes = 'I'", [("V_m", "E"), ("spikes", "I")]),
        ("spikes = true", [("V_m", "E"), ("spikes", "E"), ("spikes", "I")]),
        ("spikes = false", [("V_m", "E")]),
        ("V_m = []", [("spikes", "E"), ("spikes", "I")]),
        ("spikes = false\nV_m = {population = 'I', n = 2}", [("V_m", "I[0:2]")]),
        (
            "spikes = false\nV_m = [{population = 'I'}, {population = 'E', n = 3}]",
            [("V_m", "I"), ("V_m", "E[0:3]")],
        ),
        (
            "spikes = false\nrefractory = [{population = 'I'}, {population = 'I', interval = 5.0}]",
            [("V_m", "E"), ("refractory", "I"), ("refractory", "I")],
        ),
    ],
)
def test_records_replace_those_of_the_model(toml, record, expected):
    run = toml(f"[record]\n{record}")
    network = run.model.network({})
    run.apply_records(network)

    assert recorded(network) == expected
    again = run.recorded(json.loads(to_json(run.records)))
    assert again.records == run.records
    assert RunFile("old", run.model).recorded({"spikes": None, "V_m": None}).samples == {}


def test_records_have_interval_and_type(toml):
    run = toml("[record]\nV_m = {population = 'E', interval = 0.5, dtype = 'float64'}")
    network = run.model.network({})
    run.apply_records(network)

    assert (network.records[-1].interval, network.records[-1].dtype) == (0.5, "float64")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[runs]\ndt = 0.1", r"section 'runs' is unknown. Did you mean 'run'\?"),
        ("[run]\nduratoin = 1.0", r"\[run\] key 'duratoin' is unknown. Did you mean 'duration'"),
        ("[run]\nduration = 'long'", r"\[run\]: duration is 'long', must be a time such as"),
        ("[run]\nduration = true", r"duration is True, must be a number"),
        ("[run]\nseed = 1.5", r"seed is 1.5, must be a whole number"),
        ("run = 3", r"\[run\] is 3, must be a table"),
        ("[output]\noverwrite = 1", r"overwrite is 1, must be true or false"),
        ("[output]\nfiles = 'x'", r"\[output\] key 'files' is unknown. Did you mean 'file'"),
        ("[record]\nspike = true", r"\[record\] key 'spike' is unknown. Did you mean 'spikes'"),
        ("[record]\nspikes = 3", r"spikes is 3, must be true or false or a text or a list"),
        ("[record]\nspikes = [3]", r"population of spikes is 3, must be a text"),
        ("[record]\ng_ex = 3", r"key 'g_ex' is unknown.* Valid: .*any other column as a table"),
        ("[record]\nfrom = [5.0]", r"from is \[5.0\], must be a number|record_from is \[5.0\]"),
        ("[record]\nV_m = 3", r"V_m is 3, must be a table or a list"),
        ("[record]\nV_m = {n = 3}", r"'population' is missing"),
        ("[record]\nV_m = {population = 'E', num = 3}", r"key 'num' is unknown"),
        ("[record]\nV_m = {population = 'E', n = 'all'}", r"V_m: n is 'all', must be a whole"),
        ("[run]\nduration = ", r"study.toml: is no valid TOML"),
    ],
)
def test_mistakes_in_toml(toml, text, message):
    with pytest.raises(ConfigError, match=message):
        toml(text)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("V_m = {population = 'E', n = -5}", r"\[record\] V_m: n is -5, must be at least 1"),
        ("g_ex = {population = 'E'}", r"\[record\] g_ex: .*column of LIF"),
    ],
)
def test_records_that_the_model_cannot_have(toml, record, message):
    run = toml(f"[record]\n{record}")
    with pytest.raises(ConfigError, match=message):
        run.apply_records(run.model.network({}))


@pytest.mark.parametrize("record", ["spikes = ['e1']", "V_m = {population = 'e1'}"])
def test_unknown_population_in_toml(toml, record):
    run = toml(f"[record]\n{record}")

    with pytest.raises(ConfigError, match=r"population 'e1' is unknown.*Valid: E, I"):
        run.apply_records(run.model.network({}))


@pytest.mark.parametrize("first", ["", "model = 3", "models = 'brunel'"])
def test_toml_without_a_model(tmp_path, first):
    path = tmp_path / "study.toml"
    path.write_text(first)

    with pytest.raises(ConfigError, match="model"):
        read_run(str(path))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a = 1.5", 1.5),
        ("a=.5", 0.5),
        ("a=1e3", 1000.0),
        ("a=true", True),
        ("a=dc", "dc"),
        ('a="1"', "1"),
        ("a=[1, 2]", [1, 2]),
        ("a=b=c", "b=c"),
    ],
)
def test_assignments(text, value):
    assert parse_assignment(text)[:2] == ("a", value)


@pytest.mark.parametrize("text", ["a", "=1", "a="])
def test_no_assignment(text):
    with pytest.raises(ConfigError, match="must be NAME=VALUE"):
        parse_assignment(text)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, float, 1.0),
        (1000.0, int, 1000),
        (None, float | None, None),
        (2, float | None, 2.0),
        ("dc", Literal["dc", "poisson"], "dc"),
        ([1, 2], tuple[int, int], (1, 2)),
        ([1], list[int], [1]),
        ("free", object, "free"),
    ],
)
def test_conversions(value, kind, expected):
    converted = convert("it", value, kind)

    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ("abc", float, "a number"),
        (1.5, int, "a whole number"),
        (True, int, "a whole number"),
        (1, bool, "true or false"),
        (1, str, "a text"),
        ("ac", Literal["dc", "poisson"], "'dc' or 'poisson'"),
        ("abc", float | None, "a number"),
        (float("inf"), int, "a whole number"),
    ],
)
def test_wrong_types(value, kind, words):
    with pytest.raises(ConfigError, match=f"^it is .*, must be {words}$"):
        convert("it", value, kind)


def test_calls_are_checked_against_the_signature():
    def build(size, rate=1, name="x", flag=False, *, depth: int = 2):
        """Take some parameters."""

    assert check_call("it", build, {"size": "any", "rate": 1.5}) == {"size": "any", "rate": 1.5}
    assert check_call("it", build, {"size": 1, "name": 5}, {"name": "5"})["name"] == "5"
    for values, message in [
        ({}, "'size' is missing"),
        ({"size": 1, "rat": 2}, "'rat' is unknown. Did you mean 'rate'"),
        ({"size": 1, "rate": "fast"}, "it: rate is 'fast', must be"),
        ({"size": 1, "flag": "True"}, "it: flag is 'True', must be true or false"),
        ({"size": 1, "depth": 0.5}, "it: depth is 0.5, must be a whole number"),
    ]:
        with pytest.raises(ConfigError, match=message):
            check_call("it", build, values)


def test_calls_with_free_names_are_not_checked():
    assert check_call("it", lambda **names: names, {"anything": 1}) == {"anything": 1}
