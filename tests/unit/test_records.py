"""Records of any column: what is sampled, how it lies in the file, and who reads it."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore import analysis
from simcore.analysis.samples import coarser
from simcore.analysis.verification import compare_bits
from simcore.cli.info import run_values, spike_file_text, spike_file_values
from simcore.io import RunWriter, export_run, reports, schema
from simcore.io.run_summary import run_summary
from simcore.numerics.clock import Clock, Epoch
from simcore.numerics.spikes import NO_SPIKES
from simcore.services.errors import ModelError
from simcore.shards.recording_buffers import sampled_bytes
from tests.networks import advance, make_run, same_bits

CLOCK = Clock(0.1)
N = 20


def network():
    """Describe two models, several columns of each, a column twice, and names that collide."""
    net = sc.Network(seed=3)
    E = net.population("E", 9, sc.iaf_cond_exp())
    net.population("E.w", 2, sc.LIF())
    slow = net.population("I", 5, sc.aeif_cond_exp())
    net.record(E[1::3], ["V_m", "g_ex"], interval=0.2)
    net.record(E, "V_m", interval=0.5, dtype="float64")
    net.record([E[:2], slow], "refractory", interval=0.4)
    net.record(slow[2:], "w", interval=1.0)
    return net


def values(record, n):
    """Return rows that tell record, neuron and time."""
    ids = np.array(record.target.indices)
    return 0.25 * np.arange(n)[:, None] + ids + 100.0 * len(record.variable)


@pytest.fixture
def path(tmp_path):
    net, none = network(), np.zeros(0, np.int64)
    with RunWriter(tmp_path / "run.h5", net, CLOCK, {"duration": 0.1 * N}) as writer:
        for begin, end in ((0, 7), (7, N)):
            rows = []
            for record in net.sampled:
                steps = reports.sample_interval(record, CLOCK)
                rows.append(values(record, end // steps)[begin // steps :])
            writer.append(end, none, none, rows)
            writer.commit()
        writer.finish(np.zeros(3, np.int64), {}, {})
    return tmp_path / "run.h5"


LABELS = {
    "E": ("E", "V_m", "mV"),
    "E.V_m": ("E", "V_m", "mV"),
    "E.g_ex": ("E", "g_ex", "nS"),
    "E.refractory": ("E", "refractory", "steps"),
    "I.refractory": ("I", "refractory", "steps"),
    "I.w": ("I", "w", "pA"),
}


def test_a_report_for_each_record(path):
    run = sc.open_run(path)

    found = {r.label: (r.population, r.variable, r.unit) for r in run.reports}
    assert found == LABELS
    for record in network().sampled:
        which = record.target.population.name, record.variable
        data = run.samples(*which, interval=record.interval)
        expected = values(record, int(0.1 * N / record.interval + 1e-9)).astype(record.dtype)
        assert same_bits(data.values, expected)
        assert data.times == pytest.approx(record.interval * (1 + np.arange(len(expected))))
        assert data.node_ids.tolist() == list(record.target.indices)
        lazy = run.dask_samples(*which, 0.5, 1.5, record.interval)
        inside = (data.times > 0.5 + 1e-9) & (data.times < 1.5 + 1e-9)
        assert same_bits(lazy.values.compute(), expected[inside])
    assert "g_ex [nS] of E every 0.2 ms; " in run_summary(run)["samples"]


def test_labels_are_no_names_of_other_populations():
    net = network()
    clashing = net.population("E.g_in", 1, sc.LIF())
    net.record(net.populations[0], "g_in")
    net.record(net.populations[0], "g_in", interval=5.0)
    net.record(clashing, "V_m")

    labels = [s.report.label for s in reports.samples_of(net, CLOCK)]
    assert labels[-3:] == ["E.g_in.2", "E.g_in.3", "E.g_in"]
    assert len(set(labels)) == len(labels)


def test_what_was_not_recorded(path):
    run = sc.open_run(path)

    with pytest.raises(ModelError, match=r"V_m of population 'E' was recorded every 0.2, 0.5 ms: "):
        run.V_m("E")
    with pytest.raises(ModelError, match=r"w of .* every 3 ms; recorded are .*'w every 1 ms'\]"):
        run.samples("I", "w", interval=3.0)


def test_files_of_version_1_are_read(path):
    with h5py.File(path, "r+") as file:
        file["simcore"].attrs["format_version"] = 1
        for label in set(LABELS) - {"E"}:
            del file[f"report/{label}"]
        for name in ("population", "variable"):
            del file["report/E"].attrs[name]
    run = sc.open_run(path)

    assert run.reports == [reports.Report("E", "E", "V_m", "mV", 0.2)]
    assert run.V_m("E").values.shape == (10, 3)


def test_a_run_of_version_1_goes_on(tmp_path, monkeypatch):
    """Its output file and its first part are of version 1, and all is packed into one of 2."""
    net, none = sc.Network(seed=1), np.zeros(0, np.int64)
    net.record(net.population("E", 3, sc.LIF()), "V_m", interval=1.0)
    path, rows = tmp_path / "run.h5", np.arange(12.0).reshape(4, 3)
    create = reports.create_samples

    def without_attributes(*given):
        group = create(*given)
        group.attrs.clear()
        return group

    with monkeypatch.context() as patch:
        patch.setattr(reports, "create_samples", without_attributes)
        patch.setattr(schema, "FORMAT_VERSION", 1)
        writer = RunWriter(path, net, CLOCK, {"duration": 4.0})
        writer.append(20, none, none, [rows[:2]])
        writer.commit()
        writer._lock.release()
    assert sc.open_run(path).reports == [reports.Report("E", "E", "V_m", "mV", 1.0)]
    going_on = SimpleNamespace(uuid=writer.uuid, begin=0, recorded=20, has_header=True)
    with RunWriter(path, net, CLOCK, {"duration": 4.0}, going_on=going_on) as writer:
        writer.append(40, none, none, [rows[2:]])
        writer.finish(np.zeros(1, np.int64), {}, {})

    assert sc.open_run(path).V_m("E").values.tolist() == rows.tolist()
    with h5py.File(path) as file:
        assert file["simcore"].attrs["format_version"] == 2


def test_reports_of_other_programs(tmp_path):
    with h5py.File(tmp_path / "cai.h5", "w") as file:
        file.create_group("spikes")
        report = reports.Report("E", "E", "?", "mM", 0.5)
        group = reports.create_samples(file, report, np.arange(2, dtype=np.uint64), "f4", 4, 0.5)
        group.attrs.clear()
    run = sc.open_run(tmp_path / "cai.h5")

    assert run.samples("E", "unknown").values.shape == (4, 2)
    with pytest.raises(ModelError, match=r"V_m of .* recorded are \['unknown every 0.5 ms'\]"):
        run.V_m("E")


def test_exports_hold_all_reports(path, tmp_path):
    run = sc.open_run(path)
    export_run(run, tmp_path / "out.h5", start=0.4)
    copy = sc.open_run(tmp_path / "out.h5")

    assert copy.reports == run.reports
    assert copy.sizes == {"E": 9, "I": 5}
    assert "g_ex [nS] of E every 0.2 ms; " in spike_file_text(copy)
    assert spike_file_values(copy)["reports"] == run_values(run)["reports"]
    for r in run.reports:
        ours = run.samples(r.population, r.variable, 0.4, interval=r.interval)
        theirs = copy.samples(r.population, r.variable, interval=r.interval)
        assert same_bits(theirs.values, ours.values.astype("f4"))
        assert theirs.times == pytest.approx(ours.times)
    assert compare_bits(run, run).samples == sum(run.dataset(r.place)[:].size for r in run.reports)


def test_a_changed_sample_is_told_with_its_column(path, tmp_path):
    (tmp_path / "other.h5").write_bytes(path.read_bytes())
    with h5py.File(tmp_path / "other.h5", "r+") as file:
        file["report/E.g_ex/data"][4, 1] += 1.0
    runs = (sc.open_run(p) for p in (path, tmp_path / "other.h5"))
    (found,) = compare_bits(*runs).differences

    assert (found.quantity, found.population) == ("g_ex", "E")
    assert found.text == "neuron 4 at 1.0 ms: 405.0 and 406.0 nS"


@pytest.mark.peer("libsonata")
@pytest.mark.parametrize("label", list(LABELS))
def test_libsonata_reads_each_report(path, tmp_path, label):
    import libsonata

    export_run(sc.open_run(path), tmp_path / "out.h5")
    report = libsonata.ElementReportReader(str(tmp_path / "out.h5"))[label]
    population, variable, unit = LABELS[label]

    interval = report.times[2]
    ours = sc.open_run(path).samples(population, variable, interval=interval)
    assert report.data_units == unit
    assert np.array_equal(report.get().data, ours.values.astype(np.float32))


@pytest.mark.peer("bmtk")
def test_bmtk_reads_each_report(path):
    from bmtk.utils.reports import CompartmentReport

    for label in ("E", "E.g_ex", "I.w"):
        report = CompartmentReport(str(path))[label]
        assert report.units() == LABELS[label][2]
        assert report.data().shape == sc.open_run(path).dataset(f"report/{label}/data").shape


@pytest.mark.peer("pynwb")
def test_nwb_has_a_series_with_its_unit_for_each_report(path, tmp_path):
    import pynwb

    export_run(sc.open_run(path), tmp_path / "out.nwb")
    assert pynwb.validate(path=str(tmp_path / "out.nwb")) == []
    with pynwb.NWBHDF5IO(str(tmp_path / "out.nwb"), "r") as io:
        series = io.read().acquisition
        found = {
            name: (s.unit, s.conversion, s.rate, s.data.shape)
            for name, s in series.items()
            if isinstance(s, pynwb.TimeSeries)
        }
    assert found == {
        "V_m_E": ("volts", 1e-3, 5000.0, (10, 3)),
        "V_m_E_": ("volts", 1e-3, 2000.0, (4, 9)),
        "g_ex_E": ("siemens", 1e-9, 5000.0, (10, 3)),
        "refractory_E": ("steps", 1.0, 2500.0, (5, 2)),
        "refractory_I": ("steps", 1.0, 2500.0, (5, 5)),
        "w_I": ("amperes", 1e-12, 1000.0, (2, 3)),
    }


@pytest.mark.peer("neo")
def test_neo_has_a_signal_with_its_unit_for_each_report(path):
    signals = analysis.to_neo(sc.open_run(path)).segments[0].analogsignals

    found = {(s.name, s.dimensionality.string) for s in signals}
    assert found == {
        ("V_m of E", "mV"), ("g_ex of E", "nS"), ("refractory of E", "dimensionless"),
        ("refractory of I", "dimensionless"), ("w of I", "pA"),
    }  # fmt: skip
    assert {s.annotations["unit"] for s in signals} == {"mV", "nS", "steps", "pA"}


def test_every_column_is_that_of_the_state():
    """What a record has of the last step is what a checkpoint would keep, or E_L above it."""
    net = sc.Network(seed=2)
    exact = sc.LIF(E_L=-65.0, V_th=-50.0, V_reset=-67.0, tau_syn=(1.0, 4.0), I_e=500.0)
    for name, model, weight in (("exact", exact, 900.0), ("cond", sc.iaf_cond_exp(I_e=900.0), 9.0)):
        group = net.population(name, 8, model)
        net.drive(group, sc.Poisson(rate=6000.0, weight=weight))
        net.drive(group, sc.Poisson(rate=900.0, weight=-weight))
        net.record(group[::2], [c.name for c in group.neuron.layout.columns], interval=0.1)
    found = advance(net, 60, "reference").samples
    run = make_run(net, "reference")
    run.advance(Epoch(0, 60), NO_SPIKES)
    columns = run.state().columns

    assert len(found) == 8
    for record, rows in zip(net.sampled, found, strict=True):
        population, column = record.target.population, record.column
        kept = columns[population.id][column.name][::2]
        rest = column.relative_to
        above = population.neuron.values[rest] if rest else 0.0
        assert rows[-1].tolist() == (kept + above).tolist()
        assert np.ptp(rows) > 0.0
    assert {r.column.relative_to for r in net.sampled} == {None, "E_L"}


def test_buffers_count_all_records():
    net = network()
    per_ms = {"V_m": 3 / 0.2 + 9 / 0.5, "g_ex": 3 / 0.2, "refractory": 7 / 0.4, "w": 3.0}

    assert sampled_bytes(net, CLOCK) == pytest.approx(8 * 0.1 * sum(per_ms.values()))


def test_a_report_shows_each_column(path, tmp_path):
    page = analysis.report(path, tmp_path / "report").read_text()

    for title in ("Membrane potentials of single neurons", "g_ex of single neurons"):
        assert title in page
    assert "g_ex of the first recorded neurons of a population, in nS, over model time" in page
    assert "w of single neurons" in page


def test_statistics_of_a_column(path):
    run = sc.open_run(path)
    rows = run.samples("I", "w").values.astype(float)
    found = analysis.sample_statistics(run, "I", "w")

    assert found.neuron_mean.tolist() == rows.mean(axis=0).tolist()
    assert found.edges[1] - found.edges[0] == 2.0**-5
    assert found.histogram.sum() == rows.size
    wide, counts = coarser(found.edges, found.histogram, 0.25)
    expected, _ = np.histogram(rows, wide)
    assert counts.tolist() == expected.tolist()
