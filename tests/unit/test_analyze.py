"""Reports: complete pages and right numbers for runs of each kind, and clear errors."""

import csv
import io
import json
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore import analysis
from simcore.analysis import reduction
from simcore.analysis.reporting import collect, distributions, sections
from simcore.analysis.reporting.files import FILES, NEURON_FIELDS
from simcore.analysis.reporting.numbers import FIELDS
from simcore.cli import main
from simcore.io import RunWriter, access, open_run
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, ModelError, OutputError
from simcore.services.progress import TaskProgress

ROOT = Path(__file__).parents[2]
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """What a page holds, and whether its tags are balanced."""

    def __init__(self, path):
        super().__init__()
        self.images, self.links, self.ids, self.open = [], [], [], []
        self.texts, self.titles = [], []
        self.feed(Path(path).read_text("utf-8"))
        assert not self.open
        self.text = " ".join(self.texts)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "img":
            self.images.append(found)
        self.links += [found[name] for name in ("href", "src") if name in found]
        self.ids += [found["id"]] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h3":
            self.titles.append(data)
        self.texts.append(" ".join(data.split()))


def written(path, sizes, steps, gids, n_steps=20_000, dt=0.1, results=({}, {})):
    """Return the path of a run with given spikes of populations."""
    net = sc.Network(seed=1)
    for name, size in sizes.items():
        net.record(net.population(name, size, sc.LIF()), "spikes")
    with RunWriter(path, net, Clock(dt), {"duration": n_steps * dt}) as writer:
        writer.append(n_steps, np.asarray(steps, np.int64), np.asarray(gids, np.int64))
        writer.finish(np.zeros(len(sizes), np.int64), *results)
    return path


def poisson(path, sizes, rate=10.0, seed=1, n_steps=20_000, **options):
    n = sum(sizes.values())
    chosen = np.random.default_rng(seed).random((n_steps, n), dtype=np.float32) < rate * 1e-4
    return written(path, sizes, *np.nonzero(chosen), n_steps, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    timers = {name: np.array([1.0, 2.0]) for name in ("build", "run", "update", "waiting")}
    shards = {"n_neurons": np.array([40, 40]), "n_synapses": np.array([0, 0])}
    path = tmp_path_factory.mktemp("run") / "run.h5"
    return poisson(path, {"E": 60, "I": 20}, results=(timers, shards))


@pytest.fixture(scope="module")
def page(run):
    return analysis.report(run)


@pytest.fixture
def no_pictures(monkeypatch):
    """Leave out the pictures, which take longer than the numbers."""
    monkeypatch.setattr(sections, "sections_of", lambda *_: [])


def rows(folder, name):
    with (Path(folder) / name).open(newline="") as file:
        return list(csv.DictReader(file))


def check_page(path):
    """Check what every page must fulfil, and return it."""
    page = Page(path)
    for image in page.images:
        assert len(image["alt"]) > 10
        assert image["src"].startswith(("data:image/png;base64,", "data:image/svg+xml;base64,"))
    for link in page.links:
        assert link.startswith(("data:", "#"))
        assert not link.startswith("#") or link[1:] in page.ids
    style = Path(path).read_text("utf-8").partition("</style>")[0]
    assert "http" not in style
    assert "url(" not in style
    assert "nan" not in page.text.split()
    return page


def test_page_is_complete(page):
    found = check_page(page)

    assert found.titles == [
        "Spikes from 0 to 2000 ms", "Population rates over time", "Firing rates",
        "Irregularity: CV", "Irregularity: LV", "Variability: Fano factor", "Correlation of pairs",
        "Intervals between spikes", "Power spectra", "Time in each part of the simulation",
    ]  # fmt: skip
    assert len(found.images) == len(found.titles)
    assert {"run", "spikes", "rates", "distributions", "spectra", "time", "numbers"} <= set(
        found.ids
    )
    for text in ("complete", "80 neurons in 2 populations", "Real-time factor 1:", "run.h5"):
        assert text in found.text
    for name in FILES:
        assert (page.parent / name).is_file() == (name != "distances.csv")
        assert (name in found.text) == (name != "distances.csv")


def test_drawing_is_reported(run, tmp_path, monkeypatch):
    stream = io.StringIO()

    def work(*arguments, enabled):
        made = TaskProgress(*arguments, stream=stream, enabled=enabled)
        made._interval, made._due = 0.0, 0.0
        return made

    monkeypatch.setattr(sections, "TaskProgress", work)
    analysis.report(run, tmp_path / "silent")
    assert not stream.getvalue()
    analysis.report(run, tmp_path / "told", progress=True)
    lines = stream.getvalue().splitlines()
    # Ten pictures, and a density of spikes where the dots do not show all
    assert lines[0].startswith("1 of 11 pictures, ")
    assert lines[-1] == "11 of 11 pictures, 0 s left (100%)"
    assert len(lines) == 11


def test_numbers_are_the_statistics(run, page):
    numbers = json.loads((page.parent / "numbers.json").read_text())
    summaries = analysis.summarize(open_run(run))
    table = {row["population"]: row for row in rows(page.parent, "populations.csv")}
    assert list(numbers["populations"]) == list(table) == ["E", "I"]
    for name, summary in summaries.items():
        row = numbers["populations"][name]
        assert list(row) == list(FIELDS)
        assert row["spikes"] == summary.n_spikes == open_run(run).spikes(name).times.size
        assert row["rate"] == pytest.approx(summary.rates.mean())
        assert row["cv"] == pytest.approx(np.nanmean(summary.isi.cv))
        assert row["lv"] == pytest.approx(np.nanmean(summary.isi.lv))
        assert row["fano"] == pytest.approx(np.nanmean(summary.fano))
        assert row["correlation"] == pytest.approx(summary.correlations.pairs.mean())
        assert row["synchrony"] == pytest.approx(summary.synchrony)
        assert {k: float(v) for k, v in table[name].items() if k != "population"} == row
        assert numbers["spectra"]["power"][name] == summary.spectrum.power.tolist()
        assert numbers["intervals"]["counts"][name] == summary.isi.histogram.tolist()
    assert numbers["run"]["seed"] == 1
    assert numbers["window_ms"] == [0.0, 2000.0]
    assert numbers["time"]["phases_s"]["rest"] == [0.0, 0.0]
    assert numbers["time"]["imbalance"]["run"] == pytest.approx(4 / 3)


def test_tables_are_the_statistics(run, page):
    summary = analysis.summarize(open_run(run))["I"]
    neurons = [row for row in rows(page.parent, "neurons.csv") if row["population"] == "I"]
    assert list(neurons[0]) == list(NEURON_FIELDS)
    assert [int(row["node_id"]) for row in neurons] == list(range(20))
    for key, values in (
        ("rate", summary.rates), ("cv", summary.isi.cv), ("lv", summary.isi.lv),
        ("fano", summary.fano), ("isi_mean", summary.isi.mean),
    ):  # fmt: skip
        assert [float(row[key]) for row in neurons] == pytest.approx(values, nan_ok=True)
    rates = rows(page.parent, "rates.csv")
    expected = analysis.population_rate(open_run(run).select("I"), 10.0)
    assert [float(row["begin_ms"]) for row in rates] == pytest.approx(expected.edges[:-1])
    assert [float(row["I"]) for row in rates] == pytest.approx(expected.rates)
    spectra = rows(page.parent, "spectra.csv")
    assert [float(row["I"]) for row in spectra] == pytest.approx(summary.spectrum.power)
    assert [float(r["frequency_Hz"]) for r in spectra] == pytest.approx(
        summary.spectrum.frequencies
    )


def test_fields_are_documented():
    text = (ROOT / "docs/analysis-report.md").read_text("utf-8")
    names = {*FIELDS, *NEURON_FIELDS, *FILES}
    assert not [name for name in names if f"`{name}`" not in text]


def test_numbers_of_the_file_are_documented(page):
    text = (ROOT / "docs/analysis-report.md").read_text("utf-8")
    numbers = json.loads((page.parent / "numbers.json").read_text())
    assert not [name for name in numbers if f"`{name}`" not in text]


@pytest.mark.parametrize("scheduler", ["synchronous", "processes", "cluster:2"])
def test_schedulers_agree_to_the_last_bit(run, tmp_path, monkeypatch, scheduler, no_pictures):
    monkeypatch.setattr(reduction, "_BLOCK_SPIKES", 500)
    monkeypatch.setattr(reduction, "_SPIKES_PER_NEURON", 0)
    one = analysis.report(run, tmp_path / "one", scheduler="threads").parent
    other = analysis.report(run, tmp_path / "other", scheduler=scheduler).parent
    for name in set(FILES) - {"report.html", "distances.csv"}:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.fixture
def cluster(tmp_path):
    """A dask scheduler and a worker, started as in a job; gives the scheduler file."""
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    commands = [
        ["scheduler", "--scheduler-file", str(file), "--host", "127.0.0.1", "--port", "0",
         "--no-dashboard"],
        ["worker", "--scheduler-file", str(file), "--host", "127.0.0.1", "--nthreads", "1",
         "--no-dashboard", "--no-nanny"],
    ]  # fmt: skip
    started = [subprocess.Popen([*dask, *command], **quiet) for command in commands]
    try:
        for _ in range(300):
            if file.is_file() and file.stat().st_size:
                break
            assert started[0].poll() is None
            time.sleep(0.1)
        yield file
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(20)


@pytest.mark.slow
def test_cluster_that_is_there(run, cluster, tmp_path, no_pictures):
    one = analysis.report(run, tmp_path / "one").parent
    address = json.loads(cluster.read_text())["address"]
    for place, scheduler in (("file", str(cluster)), ("address", address)):
        other = analysis.report(run, tmp_path / place, scheduler=scheduler).parent
        for name in ("numbers.json", "neurons.csv"):
            assert (one / name).read_bytes() == (other / name).read_bytes()


def test_compared_runs(run, tmp_path):
    other = poisson(tmp_path / "other.h5", {"E": 60, "I": 20}, rate=20.0, seed=2)
    page = analysis.report(run, tmp_path / "report", other=other)
    found = check_page(page)
    assert "Distances between the two runs" in found.titles
    assert "natural spread" not in found.text
    expected = analysis.compare(
        analysis.summarize(open_run(run)), analysis.summarize(open_run(other))
    )
    table = rows(page.parent, "distances.csv")
    numbers = json.loads((page.parent / "numbers.json").read_text())["comparison"]
    for row in table:
        distances = vars(expected[row.pop("population")])
        assert {name: float(value) for name, value in row.items()} == pytest.approx(distances)
    assert numbers["other"]["run"]["path"] == str(other)
    assert numbers["distances"]["E"] == pytest.approx(vars(expected["E"]))


def test_later_report_leaves_nothing_of_an_earlier_one(run, tmp_path, no_pictures):
    analysis.report(run, tmp_path / "report", other=run)
    assert (tmp_path / "report/distances.csv").is_file()
    analysis.report(run, tmp_path / "report")
    assert not (tmp_path / "report/distances.csv").exists()


def test_compared_runs_that_differ_in_more_than_spikes(run, tmp_path):
    other = poisson(tmp_path / "other.h5", {"X": 5, "E": 60}, n_steps=2000, dt=0.5)
    page = Page(analysis.report(run, tmp_path / "report", other=other))
    for text in ("Only in this run: I.", "Only in the other run: X.", "The time steps differ"):
        assert text in page.text
    lone = poisson(tmp_path / "lone.h5", {"X": 5}, n_steps=2000)
    with pytest.raises(ConfigError, match="no population whose spikes can be compared"):
        analysis.report(run, tmp_path / "none", other=lone)
    assert not (tmp_path / "none").exists()


def test_natural_spread_of_the_microcircuit_only(tmp_path):
    from simcore.analysis.reporting.differences import natural_spread

    full = SimpleNamespace(config={"model": "microcircuit", "parameters": {"drive": "dc"}})
    small = SimpleNamespace(config={"model": "microcircuit", "parameters": {"N_scaling": 0.1}})
    assert natural_spread(full, full)["rate"]["L5I"] == 0.03
    assert natural_spread(full, small) == natural_spread(full, SimpleNamespace()) == {}


def test_many_populations(tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "SERIES", 30)
    monkeypatch.setattr(collect, "DRAWN", 20)
    labelled = []
    monkeypatch.setattr(distributions, "label_rows", lambda _, names: labelled.append(names))
    sizes = {f"P{k}": 4 for k in range(40)}
    one = poisson(tmp_path / "one.h5", sizes, n_steps=5000)
    other = poisson(tmp_path / "other.h5", sizes, n_steps=5000, seed=2)
    found = check_page(analysis.report(one, tmp_path / "report", other=other))
    assert found.titles.count("Firing rates") == 2
    assert len(rows(tmp_path / "report", "populations.csv")) == 40
    assert len(rows(tmp_path / "report", "distances.csv")) == 40

    # Series are written of some only, and the page says so
    numbers = json.loads((tmp_path / "report/numbers.json").read_text())
    assert len(numbers["populations"]) == 40
    for key, values in (("rates", "rates"), ("intervals", "counts"), ("spectra", "power")):
        assert list(numbers[key][values]) == list(sizes)[:30]
        assert len(numbers["comparison"]["other"].get(key, {}).get(values, [])) in (0, 30)
    for table in ("rates.csv", "spectra.csv"):
        assert list(rows(tmp_path / "report", table)[0])[1:] == list(sizes)[:30]
    assert "are written of the first 30 of 40 populations" in found.text

    # Pictures have no more rows than there is room for, and their captions say so
    assert labelled == [list(sizes)[::2]] * 6
    assert found.text.count("20 of 40 populations are drawn, evenly spaced ones.") == 9


def test_cost_of_many_small_populations(tmp_path, monkeypatch, no_pictures):
    opened, tasks, path = [], [], tmp_path / "run.h5"
    poisson(path, {f"P{k}": 1 for k in range(100)}, n_steps=500)
    opens, compute = h5py.File, reduction.compute
    monkeypatch.setattr(h5py, "File", lambda *args, **kw: opened.append(args) or opens(*args, **kw))
    monkeypatch.setattr(reduction, "compute", lambda *work: tasks.extend(work) or compute(*work))
    analysis.report(path)
    assert len(tasks) == 4
    assert len(opened) < 20

    # Every access opens the file again where many are open already
    monkeypatch.setattr(access, "_MOST_KEPT", 0)
    before = (tmp_path / "run-report/numbers.json").read_bytes()
    analysis.report(path)
    assert len(opened) > 200
    assert (tmp_path / "run-report/numbers.json").read_bytes() == before


def test_potentials(tmp_path):
    net = sc.Network(seed=3)
    group = net.population("E", 10, sc.LIF(), V_m=sc.Uniform(-60.0, -50.0))
    net.drive(group, sc.Current(400.0))
    net.record(group, "spikes")
    net.record(group[:3], "V_m", interval=1.0)
    sc.simulate(net, 100.0, output=str(tmp_path / "run.h5"), backend="reference")
    found = check_page(analysis.report(tmp_path / "run.h5", tmp_path / "report"))
    assert "Membrane potentials of single neurons" in found.titles
    numbers = json.loads((tmp_path / "report/numbers.json").read_text())
    statistics = analysis.potential_statistics(open_run(tmp_path / "run.h5"), "E")
    assert numbers["potentials"]["E"]["counts"] == statistics.histogram.tolist()
    assert numbers["potentials"]["E"]["neuron_mean_mV"] == statistics.neuron_mean.tolist()


def test_window_populations_and_bin(run, tmp_path, no_pictures):
    page = analysis.report(run, tmp_path, window=(500.0, 1500.0), populations=["I"], bin_width=100)
    numbers = json.loads((page.parent / "numbers.json").read_text())
    assert list(numbers["populations"]) == ["I"]
    assert numbers["rates"]["edges_ms"] == pytest.approx(np.arange(500.0, 1501.0, 100.0))
    expected = open_run(run).spikes("I", 500.0, 1500.0).times.size
    assert numbers["populations"]["I"]["spikes"] == expected


@pytest.mark.parametrize(
    ("sizes", "steps", "gids", "n_steps", "text"),
    [
        ({"E": 30, "I": 3}, [], [], 10_000, "There are no spikes in this window"),
        ({"E": 1}, np.arange(7, 10_000, 100), np.zeros(100, int), 10_000, "fewer than two neurons"),
        ({"E": 30}, [4000], [3], 10_000, "no neuron has two spikes"),
        ({"E": 30}, [0], [3], 1, "the window is too short"),
    ],
    ids=["no spikes", "one neuron", "one spike", "one step"],
)
def test_little_to_show(tmp_path, sizes, steps, gids, n_steps, text):
    path = written(tmp_path / "run.h5", sizes, steps, gids, n_steps)
    found = check_page(analysis.report(path))
    assert text in found.text
    assert len(rows(tmp_path / "run-report", "neurons.csv")) == sum(sizes.values())


def test_nothing_recorded(tmp_path):
    net = sc.Network()
    net.population("E", 5, sc.LIF())
    with RunWriter(tmp_path / "run.h5", net, Clock(0.1), {"duration": 10.0}) as writer:
        writer.append(100, np.zeros(0, np.int64), np.zeros(0, np.int64))
        writer.finish(np.zeros(1), {}, {})
    found = check_page(analysis.report(tmp_path / "run.h5"))
    assert "Spikes were not recorded of E." in found.text


def test_run_that_goes_on(tmp_path):
    net = sc.Network()
    net.record(net.population("E", 5, sc.LIF()), "spikes")
    with RunWriter(tmp_path / "run.h5", net, Clock(0.1), {"duration": 100.0}) as writer:
        begun = Page(analysis.report(tmp_path / "run.h5"))
        writer.append(500, np.array([3, 70]), np.array([0, 1]))
        writer.commit()
        later = Page(analysis.report(tmp_path / "run.h5"))
        writer.append(1000, np.zeros(0, np.int64), np.zeros(0, np.int64))
        writer.finish(np.zeros(1), {}, {})
    assert "Nothing has been recorded yet" in begun.text
    assert "still going on: the report shows what was recorded up to 50 ms of 100" in later.text


def test_foreign_spikes(tmp_path):
    rng = np.random.default_rng(1)
    with h5py.File(tmp_path / "spikes.h5", "w") as file:
        group = file.create_group("spikes/V1")
        group["timestamps"] = rng.random(500) * 1000.0
        group["node_ids"] = rng.integers(0, 50, 500).astype(np.uint64)
    found = check_page(analysis.report(tmp_path / "spikes.h5"))
    assert "50 neurons in the populations V1" in found.text
    assert "Guessed, because the file does not tell: the recording begins at 0 ms" in found.text
    numbers = json.loads((tmp_path / "spikes-report/numbers.json").read_text())
    assert numbers["run"]["guessed"] == ["begin", "end", "sizes"]


def test_names_are_escaped(tmp_path):
    name = 'a,"b"\n<100%>&\r$1'
    path = poisson(tmp_path / "run.h5", {name: 5}, n_steps=2000)
    found = check_page(analysis.report(path))
    assert r'a,"b"\n<100%>&\r$1' in found.text
    for table in ("neurons.csv", "populations.csv"):
        assert {row["population"] for row in rows(tmp_path / "run-report", table)} == {name}
    for table in ("rates.csv", "spectra.csv"):
        assert list(rows(tmp_path / "run-report", table)[0])[1:] == [name]
    assert r'a,"b"\n<100%>&\r$1  ' in str(open_run(path).rates())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"window": (3000.0, 4000.0)},
            ConfigError,
            r"window is \(3000.0, 4000.0\), must be within",
        ),
        ({"window": (500.0, 400.0)}, ConfigError, "window is"),
        ({"populations": ["X"]}, ModelError, r"population is 'X', must be one of \['E', 'I'\]"),
        ({"bin_width": 0.25}, ConfigError, "bin is 0.25, must be a multiple of 1 ms"),
        ({"scheduler": "magic"}, ConfigError, "scheduler is 'magic', must be threads"),
        ({"scheduler": "cluster:0"}, ConfigError, "must be cluster:N with N >= 1"),
        ({"scheduler": "none.json"}, ConfigError, "no such file"),
    ],
)
def test_bad_arguments_leave_nothing_behind(run, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        analysis.report(run, tmp_path / "report", **options)
    assert not (tmp_path / "report").exists()


def test_scheduler_that_is_not_there(run, tmp_path, monkeypatch):
    from simcore.analysis import engine

    monkeypatch.setattr(engine, "_PATIENCE", 0.5)
    with pytest.raises(ConfigError, match="cannot be reached"):
        analysis.report(run, tmp_path / "report", scheduler="tcp://127.0.0.1:1")


def test_folder_of_someone_else(run, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="holds other files"):
        analysis.report(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(OutputError, match="cannot be written"):
        analysis.report(run, tmp_path / "thesis.tex")


def test_failed_report_leaves_the_old_one(run, tmp_path, no_pictures):
    page = analysis.report(run, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError):
        analysis.report(run, tmp_path, window=(9e9, None))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert page.is_file()


def test_missing_library(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigError, match=r"pip install 'simcore\[analysis\]'"):
        analysis.report(run, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_command(run, tmp_path, capsys, no_pictures):
    shutil.copy(run, tmp_path / "run.h5")
    assert main(["analyze", str(tmp_path / "run.h5"), "--window", "0", "500"]) == 0
    page = tmp_path / "run-report" / "report.html"
    assert capsys.readouterr().out == f"report: {page}\n"
    assert page.is_file()


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [(b"text", 1, "not an HDF5 file"), (None, 1, "does not exist")],
)
def test_command_with_a_bad_file(tmp_path, capsys, content, code, message):
    path = tmp_path / "run.h5"
    if content:
        path.write_bytes(content)
    assert main(["analyze", str(path)]) == code
    assert message in capsys.readouterr().err


def test_command_with_a_damaged_file(run, tmp_path, capsys):
    whole = run.read_bytes()
    (tmp_path / "run.h5").write_bytes(whole[: len(whole) // 2])
    assert main(["analyze", str(tmp_path / "run.h5")]) == 1
    assert "truncated or damaged" in capsys.readouterr().err
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    assert main(["analyze", str(tmp_path / "foreign.h5")]) == 1
    assert "neither the output of simcore nor" in capsys.readouterr().err
    shutil.copy(run, tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5", "a") as file:
        file["simcore"].attrs["format_version"] = 99
    assert main(["analyze", str(tmp_path / "new.h5")]) == 1
    assert "format version is 99" in capsys.readouterr().err
