"""Export: every format read back, by the readers of other projects where there are some."""

import csv
import sys
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore import analysis
from simcore.cli import main
from simcore.cli.export import read_about
from simcore.io import RunWriter, excerpt, export_run, import_nest
from simcore.io.about import About
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, ModelError, OutputError

CLOCK = Clock(0.1)
N_STEPS = 10_000
FORMATS = ("sonata", "csv", "nest", "nwb")
RECORDED = {"E": range(80), "I": range(0, 20, 2), "one,\n50 %": range(3), "silent": range(4)}
SIZES = {"E": 80, "I": 20, "one,\n50 %": 3, "silent": 4}


def network():
    net = sc.Network(seed=7)
    e, i, one, silent = (net.population(name, size, sc.LIF()) for name, size in SIZES.items())
    net.population("source", 10, sc.PoissonSource(rate=10.0))
    net.record([e, i[:20:2], one, silent], "spikes")
    net.record(e[5:9], "V_m", interval=2.0, dtype="float64")
    return net


def spikes():
    """Return steps and gids: some in every step, those of I with even ids, one of the third."""
    rng = np.random.default_rng(2)
    key = np.unique(rng.integers(0, N_STEPS * 100, 30_000))
    steps, gids = key // 100, key % 100
    keep = (gids < 80) | (gids % 2 == 0)
    place = np.searchsorted(steps[keep], 5000)
    return np.insert(steps[keep], place, 4999), np.insert(gids[keep], place, 102)


def write(path, complete=True):
    steps, gids = spikes()
    samples = np.arange(4.0 * (N_STEPS // 20)).reshape(-1, 4) / 3.0
    half = np.searchsorted(steps, 7000)
    with RunWriter(path, network(), CLOCK, {"duration": N_STEPS / 10}) as writer:
        writer.append(7000, steps[:half], gids[:half], [samples[:350]])
        writer.commit()
        if not complete:
            yield sc.open_run(path)
        writer.append(N_STEPS, steps[half:], gids[half:], [samples[350:]])
        writer.finish(np.zeros(5, dtype=int), {}, {})
    if complete:
        yield sc.open_run(path)


@pytest.fixture(scope="module", params=["complete", "running"])
def run(tmp_path_factory, request):
    yield from write(tmp_path_factory.mktemp("run") / "run.h5", request.param == "complete")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    yield from write(tmp_path_factory.mktemp("run") / "run.h5")


@pytest.fixture
def in_pieces(monkeypatch):
    """Read and group spikes in many small pieces."""
    monkeypatch.setattr(excerpt, "_BLOCK", 1000)
    monkeypatch.setattr(excerpt, "_GROUP", 3000)


WINDOWS = [(None, None), (100.0, 350.5), (499.9, 500.0)]


def expected(run, name, window):
    found = run.spikes(name, *window)
    return found.times, found.node_ids


@pytest.mark.parametrize("window", WINDOWS)
def test_sonata(run, tmp_path, in_pieces, window):
    done = export_run(run, tmp_path / "out.h5", None, None, *window)
    copy = sc.open_run(tmp_path / "out.h5")

    begin, end = (0.0, run.end) if window[0] is None else window
    assert (copy.record_from, copy.end, copy.dt) == (begin, end, 0.1)
    assert copy.recorded == sorted(RECORDED)
    assert copy.sizes == SIZES
    n = 0
    for name, ids in RECORDED.items():
        found = copy.spikes(name)
        times, node_ids = expected(run, name, window)
        assert np.array_equal(found.times, times)
        assert np.array_equal(found.node_ids, node_ids)
        assert copy.recorded_ids(name) == ids
        assert copy.rates()[name] == run.rates(begin, end)[name]
        n += times.size
    assert done.n_spikes == n
    assert copy.reported == ["E"]
    ours, theirs = run.V_m("E", *window), copy.V_m("E")
    assert np.allclose(ours.times, theirs.times, rtol=0.0, atol=1e-9)
    assert np.array_equal(ours.node_ids, theirs.node_ids)
    assert np.array_equal(ours.values.astype(np.float32), theirs.values)


def test_sonata_is_not_compressed(run, tmp_path):
    export_run(run, tmp_path / "out.h5")
    found = []
    with h5py.File(tmp_path / "out.h5") as file:
        file.visititems(lambda _, o: found.append(o) if isinstance(o, h5py.Dataset) else None)
        assert len(found) == 2 * len(RECORDED) + 6
        assert all(d.compression is None and d.chunks is None for d in found)
        assert dict(file["spikes"].attrs) == {"begin": 0.0, "end": run.end, "dt": 0.1}


def test_exported_file_is_exported_again(whole, tmp_path):
    export_run(whole, tmp_path / "one.h5", populations=["I"], start=200.0)
    export_run(sc.open_run(tmp_path / "one.h5"), tmp_path / "two.h5", stop=400.0)

    found = sc.open_run(tmp_path / "two.h5").spikes("I")
    times, node_ids = expected(whole, "I", (200.0, 400.0))
    assert np.array_equal(found.times, times)
    assert np.array_equal(found.node_ids, node_ids)


def test_potentials_without_spikes(tmp_path):
    net = sc.Network()
    net.record(net.population("E", 30, sc.LIF())[5:9], "V_m", interval=1.0)
    with RunWriter(tmp_path / "run.h5", net, CLOCK, {"duration": 10.0}) as writer:
        none = np.zeros(0, np.int64)
        writer.append(100, none, none, [np.arange(40.0).reshape(10, 4)])
        writer.finish(np.array([0]), {}, {})
    export_run(sc.open_run(tmp_path / "run.h5"), tmp_path / "out.h5")

    copy = sc.open_run(tmp_path / "out.h5")
    assert (copy.populations, copy.recorded, copy.sizes) == (["E"], [], {"E": 30})
    assert (copy.record_from, copy.end) == (0.0, 10.0)
    assert np.array_equal(copy.V_m("E").values, np.arange(40.0).reshape(10, 4))
    with pytest.raises(ModelError, match="spikes of population 'E' were not recorded"):
        copy.spikes("E")


def test_foreign_file_without_time_step(tmp_path):
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        group = file.create_group("spikes/E")
        group["timestamps"] = np.array([3.25, 1.0 / 3.0])
        group["node_ids"] = np.array([4, 2], dtype=np.uint64)
    run = sc.open_run(tmp_path / "foreign.h5")

    for name in ("out.h5", "out.csv", "out.dat"):
        export_run(run, tmp_path / name)
    with h5py.File(tmp_path / "out.h5") as file:
        attributes = dict(file["spikes"].attrs)
        assert attributes.pop("guessed").tolist() == ["begin", "end"]
        assert attributes == {"begin": 0.0, "end": 3.25}
        assert not {"recorded", "size"} & set(file["spikes/E"].attrs)
        assert file["spikes/E/timestamps"][()].tolist() == [1.0 / 3.0, 3.25]
    assert (tmp_path / "out.csv").read_text().splitlines()[1:] == [f"{1 / 3!r},E,2", "3.25,E,4"]
    assert (tmp_path / "out.dat").read_text().splitlines()[3:] == [f"3\t{1 / 3!r}", "5\t3.25"]


@pytest.mark.parametrize("window", WINDOWS)
def test_csv(run, tmp_path, in_pieces, window):
    export_run(run, tmp_path / "out.csv", None, None, *window)

    with open(tmp_path / "out.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["timestamps", "population", "node_ids"]
    assert list(dict.fromkeys(row[1] for row in rows)) == [
        name for name in RECORDED if expected(run, name, window)[0].size
    ]
    for name in RECORDED:
        times, node_ids = expected(run, name, window)
        assert [float(row[0]) for row in rows if row[1] == name] == times.tolist()
        assert [int(row[2]) for row in rows if row[1] == name] == node_ids.tolist()


@pytest.mark.parametrize("window", WINDOWS)
def test_nest_and_back(run, tmp_path, in_pieces, window):
    export_run(run, tmp_path / "out.dat", None, None, *window)
    ids = {"E": (1, 80), "I": (81, 100), "one,\n50 %": (101, 103), "silent": (104, 107)}
    begin, end = (0.0, run.end) if window[0] is None else window
    import_nest([tmp_path / "out.dat"], tmp_path / "back.h5", ids, 0.1, begin, end)

    back = sc.open_run(tmp_path / "back.h5")
    for name in RECORDED:
        found = back.spikes(name)
        times, node_ids = expected(run, name, window)
        assert np.array_equal(found.times, times)
        assert np.array_equal(found.node_ids, node_ids)


@pytest.mark.peer("pynwb")
@pytest.mark.parametrize("window", WINDOWS)
def test_nwb(run, tmp_path, in_pieces, window):
    import pynwb

    path = str(tmp_path / "out.nwb")
    export_run(run, path, None, None, *window)
    begin, end = (0.0, run.end) if window[0] is None else window

    assert pynwb.validate(path=path) == []
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        assert file.identifier == run.uuid
        populations = file.acquisition["populations"]
        assert dict(zip(populations["population"], populations["size"], strict=True)) == SIZES
        units = file.units
        assert len(units) == sum(map(len, RECORDED.values()))
        assert units.resolution == 0.1 / 1000.0
        row = 0
        for name, ids in RECORDED.items():
            times, node_ids = expected(run, name, window)
            for k in ids:
                assert (units["population"][row], units["node_id"][row]) == (name, k)
                assert np.array_equal(units["spike_times"][row], times[node_ids == k] / 1000.0)
                assert units["obs_intervals"][row].tolist() == [[begin / 1000, end / 1000]]
                row += 1
        ours, theirs = run.V_m("E", *window), file.acquisition["V_m_E"]
        assert file.acquisition["V_m_E_neurons"]["node_id"][:].tolist() == [5, 6, 7, 8]
        assert np.array_equal(theirs.data[()], ours.values)
        assert (theirs.unit, theirs.conversion) == ("volts", 1e-3)
        if ours.times.size > 1:
            assert theirs.rate == 500.0
            assert theirs.starting_time == pytest.approx(ours.times[0] / 1000.0, abs=1e-12)


@pytest.mark.peer("pynwb", "nwbinspector")
def test_nwb_as_its_inspector_sees_it(whole, tmp_path):
    import nwbinspector

    importance = nwbinspector.Importance.BEST_PRACTICE_VIOLATION
    told = {
        "institution": "Institute", "experimenter": ["Doe, Jane", "Roe, John"], "session_id": "one",
        "session_description": "A test", "session_start_time": "2024-05-17T09:00:00+02:00",
        "subject": {"subject_id": "model", "species": "Mus musculus", "sex": "U", "age": "P60D"},
    }  # fmt: skip
    # Of itself a simulation has no subject, and archives refuse it
    for about, complaints in (({}, {"check_subject_exists"}), (told, set())):
        export_run(whole, tmp_path / "out.nwb", overwrite=True, about=about)
        found = nwbinspector.inspect_nwbfile(
            nwbfile_path=str(tmp_path / "out.nwb"), importance_threshold=importance,
            config=nwbinspector.load_config("dandi"),
        )  # fmt: skip
        assert {message.check_function_name for message in found} == complaints
    with h5py.File(tmp_path / "out.nwb") as file:
        assert file["general/institution"].asstr()[()] == "Institute"
        assert file["general/experimenter"].asstr()[()].tolist() == ["Doe, Jane", "Roe, John"]
        assert file["session_description"].asstr()[()] == "A test"
        assert file["session_start_time"].asstr()[()] == "2024-05-17T09:00:00+02:00"


def test_about_as_texts_and_in_a_file(tmp_path):
    texts = ["institution=A = B", "experimenter=Doe, Jane", "subject.sex=U", "subject.age=P1D"]
    found = read_about(texts)
    assert found["institution"] == "A = B"
    assert found["subject"] == {"sex": "U", "age": "P1D"}
    file = tmp_path / "about.toml"
    file.write_text('session_start_time = 2024-05-17\nlab = "L"\n[subject]\nsex = "U"\n')
    about = About.of(read_about([str(file)]))
    assert about.fields == {"session_start_time": datetime(2024, 5, 17, tzinfo=UTC), "lab": "L"}
    assert about.subject == {"sex": "U"}


@pytest.mark.parametrize(
    ("given", "to", "text"),
    [
        (["institution"], "nwb", "'institution' must be FIELD=TEXT"),
        (["lab=a", "lab=b"], "nwb", "'lab' is given twice"),
        (["mood=good"], "nwb", r"field is 'mood', must be one of \['session_description'"),
        (["subject.name=x"], "nwb", r"field is 'subject.name', must be one of \['subject.subj"),
        (["subject=x", "subject.sex=U"], "nwb", "'subject=x' must be FIELD=TEXT"),
        (["lab="], "nwb", "about: lab is '', must be a text"),
        (["session_start_time=today"], "nwb", "is 'today', must be a time in ISO 8601"),
        (["lab=a"], "csv", "must be left out: csv has no place for it"),
    ],
)
def test_bad_about(whole, tmp_path, given, to, text):
    with pytest.raises(ConfigError, match=text):
        export_run(whole, tmp_path / "out", to, about=read_about(given))
    assert not list(tmp_path.iterdir())


@pytest.mark.peer("neo")
@pytest.mark.parametrize("window", WINDOWS)
def test_neo(run, in_pieces, window):
    block = analysis.to_neo(run, None, *window)
    (segment,) = block.segments
    begin, end = (0.0, run.end) if window[0] is None else window

    trains = iter(segment.spiketrains)
    for name, ids in RECORDED.items():
        times, node_ids = expected(run, name, window)
        for k in ids:
            train = next(trains)
            assert train.annotations == {"population": name, "node_id": k}
            assert np.array_equal(train.rescale("ms").magnitude, times[node_ids == k])
            assert (float(train.t_start), float(train.t_stop)) == (begin, end)
            assert train.dimensionality.string == "ms"
    assert next(trains, None) is None
    (signal,) = segment.analogsignals
    ours = run.V_m("E", *window)
    assert np.array_equal(signal.magnitude, ours.values)
    assert signal.array_annotations["node_id"].tolist() == [5, 6, 7, 8]
    assert signal.dimensionality.string == "mV"
    if ours.times.size > 1:
        assert np.allclose(signal.times.rescale("ms").magnitude, ours.times)


@pytest.mark.peer("neo")
def test_neo_of_chosen_neurons(whole):
    segment = analysis.to_neo(whole, "E", 100.0, 300.0, neurons=[3, 6, 70]).segments[0]

    assert [t.annotations["node_id"] for t in segment.spiketrains] == [3, 6, 70]
    found = whole.spikes("E", 100.0, 300.0, neurons=[6])
    assert np.array_equal(segment.spiketrains[1].magnitude, found.times)
    (signal,) = segment.analogsignals
    assert np.array_equal(signal.magnitude[:, 0], whole.V_m("E", 100.0, 300.0).values[:, 1])
    with pytest.raises(ModelError, match="neurons"):
        analysis.to_neo(whole, "E", neurons=[80])


@pytest.mark.peer("libsonata")
def test_libsonata(run, tmp_path):
    import libsonata

    path = str(tmp_path / "out.h5")
    export_run(run, path, start=100.0, stop=500.0)
    reader = libsonata.SpikeReader(path)
    assert sorted(reader.get_population_names()) == sorted(RECORDED)
    for name in RECORDED:
        times, node_ids = expected(run, name, (100.0, 500.0))
        assert reader[name].sorting == "by_time"
        assert reader[name].get() == list(zip(node_ids.tolist(), times.tolist(), strict=True))
    report = libsonata.ElementReportReader(path)["E"]
    ours = run.V_m("E", 100.0, 500.0)
    assert np.array_equal(report.get().data, ours.values.astype(np.float32))
    assert report.times == (102.0, 502.0, 2.0)


@pytest.mark.peer("bmtk")
@pytest.mark.parametrize("name", ["out.h5", "out.csv"])
def test_bmtk(run, tmp_path, name):
    from bmtk.utils.reports.spike_trains import SpikeTrains

    export_run(run, tmp_path / name, populations=["E", "I"], start=100.0, stop=500.0)
    path = str(tmp_path / name)
    found = SpikeTrains.load(path) if name == "out.h5" else SpikeTrains.from_csv(path, sep=",")

    assert sorted(found.populations) == ["E", "I"]
    for population in ("E", "I"):
        times, node_ids = expected(run, population, (100.0, 500.0))
        for k in (0, 4, 18):
            theirs = found.get_times(k, population)
            assert np.array_equal(np.sort(theirs), times[node_ids == k])


@pytest.mark.peer("bmtk")
def test_bmtk_potentials(whole, tmp_path):
    from bmtk.utils.reports import CompartmentReport

    export_run(whole, tmp_path / "out.h5", populations=["E"], start=100.0, stop=500.0)
    for path, window in ((tmp_path / "out.h5", (100.0, 500.0)), (whole.path, (None, None))):
        ours, report = whole.V_m("E", *window), CompartmentReport(str(path))["E"]
        assert report.node_ids().tolist() == [5, 6, 7, 8]
        assert (report.units(), report.n_steps()) == ("mV", ours.times.size)
        assert np.allclose(report.data(), ours.values)
        assert np.allclose(report.data(node_id=7)[:, 0], ours.values[:, 2])


@pytest.mark.parametrize("to", FORMATS)
def test_nothing_but_silence(whole, tmp_path, to):
    if to == "nwb":
        pytest.importorskip("pynwb")
    found = export_run(whole, tmp_path / "out", to, ["silent"])

    assert found.n_spikes == 0
    if to in ("csv", "nest"):
        assert len((tmp_path / "out").read_text().splitlines()) == {"csv": 1, "nest": 3}[to]
    elif to == "sonata":
        assert sc.open_run(tmp_path / "out").rates()["silent"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"to": "matlab"}, ConfigError, "format is 'matlab', must be one of"),
        ({"populations": ["X"]}, ModelError, "nothing was recorded of population 'X'.*'E', 'I'"),
        ({"populations": ["source"]}, ModelError, "nothing was recorded of population 'source'"),
        ({"start": 1000.0}, ConfigError, "within what is recorded, 0 to 1000 ms"),
        ({"start": 5.0, "stop": 5.0}, ConfigError, "window"),
    ],
)
def test_bad_arguments(whole, tmp_path, arguments, error, text):
    with pytest.raises(error, match=text):
        export_run(whole, tmp_path / "out.csv", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "text"), [("out", "ending is ''"), ("out.mat", r"'\.mat'")])
def test_unknown_ending(whole, tmp_path, name, text):
    with pytest.raises(ConfigError, match=text):
        export_run(whole, tmp_path / name)


def test_output_exists(whole, tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"out\.csv' exists"):
        export_run(whole, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "mine"
    export_run(whole, tmp_path / "out.csv", overwrite=True)
    assert (tmp_path / "out.csv").read_text().startswith("timestamps")


def test_run_is_not_overwritten(whole):
    with pytest.raises(ConfigError, match="another file than the run"):
        export_run(whole, whole.path, overwrite=True)
    assert sc.open_run(whole.path).spikes("E").times.size


@pytest.mark.parametrize(("to", "module"), [("nwb", "pynwb"), ("neo", "neo")])
def test_missing_library(whole, tmp_path, monkeypatch, to, module):
    monkeypatch.setitem(sys.modules, module, None)
    text = rf"{module} is not installed. Install it with pip install 'simcore\[interop\]'"
    with pytest.raises(ConfigError, match=text):
        analysis.to_neo(whole) if to == "neo" else export_run(whole, tmp_path / "out.nwb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", FORMATS)
def test_full_disk(whole, small_disk, to):
    if to == "nwb":
        pytest.importorskip("pynwb")
    (small_disk / "other").write_bytes(bytes(3_000_000))
    with pytest.raises(OutputError, match=r"cannot be written: .*No space left"):
        export_run(whole, small_disk / "out", to)
    assert [p.name for p in small_disk.iterdir()] == ["other"]


def test_command(whole, tmp_path, capsys):
    out = str(tmp_path / "out.dat")
    arguments = ["export", whole.path, "-o", out, "--populations", "E", "I"]
    assert main([*arguments, "--window", "0", "500"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: {sum(whole.spikes(n, 0.0, 500.0).times.size for n in 'EI'):,} spikes of E, I; "
        "0 to 500 ms",
        "its populations, for NEST's ids: --populations E=1:80 I=81:100",
    ]
    assert main(arguments) == 1
    assert "exists" in capsys.readouterr().err
    assert main(["export", whole.path, "-o", "x.csv", "--populations", "X"]) == 2
    assert "nothing was recorded of population 'X'" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none.h5"), "-o", "x.csv"]) == 1
    assert "does not exist" in capsys.readouterr().err
