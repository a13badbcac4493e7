"""Import of spikes that NEST recorded."""

import json
import subprocess
import sys

import numpy as np
import pytest

import simcore as sc
from simcore.cli import main
from simcore.cli.importing import read_populations
from simcore.io import import_nest, nest_text, sorting
from simcore.services.errors import ConfigError, DamagedError, OutputError

HEAD = "# NEST version: 3.8.0\n# RecordingBackendASCII version: 2\n"
MS = HEAD + "sender\ttime_ms\n"
STEPS = HEAD + "sender\ttime_step\ttime_offset\n"
IDS = {"E": (1, 8), "I": (11, 12)}


@pytest.fixture
def few_lines(monkeypatch):
    """Read a file in pieces of 3 lines."""
    monkeypatch.setattr(nest_text, "_LINES", 3)


def taken(tmp_path, *texts, ending="dat", **options):
    """Import files of these texts, and return what was said and the spikes of each population."""
    files = []
    for k, text in enumerate(texts):
        files.append(tmp_path / f"spike_recorder-13-{k}.{ending}")
        files[-1].write_text(text)
    said = import_nest(files, tmp_path / "out.h5", options.pop("ids", IDS), **options)
    run = sc.open_run(tmp_path / "out.h5")
    found = {}
    for name in run.recorded:
        times, node_ids = run.spikes(name)
        found[name] = list(zip(times.tolist(), node_ids.tolist(), strict=True))
    return said, found, run


@pytest.mark.parametrize("ends", ["\n", "\n\n"])
def test_files_of_two_threads(tmp_path, few_lines, ends):
    one = MS + "2\t1.300\n4\t1.300\n12\t0.700\n8\t99.999\n" + ends
    two = MS + "1\t1.300\n11\t2.000\n3\t0.100\n"
    said, found, run = taken(tmp_path, one, two, dt=0.1, end=100.0)

    assert found["E"] == [(0.1, 2), (1.3, 0), (1.3, 1), (1.3, 3), (99.999, 7)]
    assert found["I"] == [(0.7, 1), (2.0, 0)]
    assert (said.counts, said.n_outside, said.window) == ({"E": 5, "I": 2}, 0, (0.0, 100.0))
    assert (run.sizes, run.dt, run.record_from, run.end) == ({"E": 8, "I": 2}, 0.1, 0.0, 100.0)
    assert run.recorded_ids("E") == range(8)
    assert run.guessed == []
    assert run.rates()["I"] == 10.0


def test_times_in_steps(tmp_path, few_lines):
    lines = "2\t13\t0.000\n1\t14\t0.025\n12\t3\t0.000\n11\t3\t0.1\n"
    _, found, _ = taken(tmp_path, STEPS + lines, dt=0.1)

    assert found["E"] == [(1.3, 1), (1.4 - 0.025, 0)]
    assert found["I"] == [(0.3 - 0.1, 0), (0.3, 1)]


def test_files_of_both_kinds(tmp_path):
    _, found, _ = taken(tmp_path, MS + "1\t0.2\n", STEPS + "1\t1\t0.0\n", dt=0.1)

    assert found["E"] == [(0.1, 0), (0.2, 0)]


OLD = {
    "ms": ("2\t1.300\t\n1\t0.1\t\n", "12\t0.700\n"),
    "steps": ("2\t13\t\n1\t1\t\n", "12\t7\n"),
    "steps and offsets": ("2\t14\t0.1\t\n1\t1\t0.000\t\n", "12\t7\t0.0\n"),
}


@pytest.mark.parametrize("name", OLD)
def test_what_nest_2_wrote(tmp_path, few_lines, name):
    """No header, a tabulator at the end of lines, and an empty file where nobody fired."""
    if name != "ms":
        with pytest.raises(ConfigError, match=r"\.gdf' has times in steps"):
            taken(tmp_path, *OLD[name], ending="gdf")
    _, found, _ = taken(tmp_path, *OLD[name], "", ending="gdf", dt=0.1, end=2.0)

    assert found["E"] == [(0.1, 0), (pytest.approx(1.3), 1)]
    assert found["I"] == [(0.7, 1)]


def test_header_with_a_mark(tmp_path):
    _, found, _ = taken(tmp_path, HEAD + "# sender\ttime_ms\n1\t0.2\n")

    assert found["E"] == [(0.2, 0)]


def test_recording_given_twice(tmp_path):
    one, other = MS + "1\t0.2\n", MS + "1\t0.3\n"
    with pytest.raises(ConfigError, match=r"13-0\.dat' and '.*13-2\.dat' have the same content"):
        taken(tmp_path, one, other, one)
    path = tmp_path / "spike_recorder-13-0.dat"
    with pytest.raises(ConfigError, match="are the same file, so their spikes would count twice"):
        import_nest([path, f"{tmp_path}/../{tmp_path.name}/{path.name}"], tmp_path / "o.h5", IDS)
    assert not list(tmp_path.glob("*.h5"))


def test_repeated_spikes_are_told(tmp_path, monkeypatch):
    """Also across the blocks in which sorted spikes come."""
    lines = "".join(f"{i}\t{t}.0\n" for t in range(1, 9) for i in (1, 2, 12))
    monkeypatch.setattr(sorting, "_RUN", 8)
    monkeypatch.setattr(sorting, "_STRIDE", 2)
    assert taken(tmp_path, MS + lines)[0].n_repeated == 0
    again = STEPS + "1\t10\t0.0\n" + "12\t80\t0.0\n" * 2
    said, _, _ = taken(tmp_path, MS + lines, again, dt=0.1, overwrite=True)
    assert (said.n_repeated, said.counts) == (3, {"E": 17, "I": 10})


def test_window(tmp_path):
    text = MS + "".join(f"1\t{t}\n" for t in (5.0, 10.0, 10.1, 20.0, 20.1))
    said, found, run = taken(tmp_path, text, begin=10.0, end=20.0)

    assert [time for time, _ in found["E"]] == [10.1, 20.0]
    assert said.n_outside == 3
    assert (run.record_from, run.end) == (10.0, 20.0)


def test_end_is_the_last_spike_unless_told(tmp_path):
    said, _, run = taken(tmp_path, MS + "1\t7.0\n2\t3.0\n")

    assert said.window == (0.0, 7.0)
    assert run.end == 7.0
    assert run.guessed == ["end"]


def test_silent_files(tmp_path):
    _, found, run = taken(tmp_path, MS, MS, end=100.0)

    assert found == {"E": [], "I": []}
    assert run.rates()["E"] == 0.0
    with pytest.raises(ConfigError, match="no spike after 0 ms"):
        taken(tmp_path, MS, overwrite=True)


@pytest.mark.parametrize("n", [2, 300])
def test_many_populations(tmp_path, n):
    ids = {f"p{k:03}": (10 * k + 1, 10 * k + 10) for k in range(n)}
    rng = np.random.default_rng(1)
    senders, times = rng.integers(1, 10 * n + 1, 3000), rng.integers(1, 1000, 3000) / 10
    lines = "".join(f"{i}\t{t:.3f}\n" for i, t in zip(senders, times, strict=True))
    _, found, _ = taken(tmp_path, MS + lines, ids=ids)

    for k in range(n):
        inside = (senders - 1) // 10 == k
        pairs = zip(times[inside].tolist(), ((senders[inside] - 1) % 10).tolist(), strict=True)
        assert found[f"p{k:03}"] == sorted(pairs)


BAD = {
    "empty": ("", "is no recording of NEST"),
    "text": ("hello\nworld\nagain\n", "is no recording of NEST"),
    "old, with weights": ("1\t2.0\t0.5\n", "is no recording of NEST"),
    "old, cut in a line": ("1\t2.0\n2\t3.", "is truncated: its last line has no end"),
    "old, short line": ("1\t2.0\n2\n", "line 2 is '2', must have"),
    "binary": ("\x00\x01\x89HDF\r\n\x1a\n" * 9, "is no recording of NEST"),
    "multimeter": (HEAD + "sender\ttime_ms\tV_m\n1\t2.0\t-65\n", "columns are .*'V_m'"),
    "cut in a line": (MS + "1\t2.0\n2\t3.", "is truncated: its last line has no end"),
    "cut in the head": (HEAD + "sender\ttim", "is truncated"),
    "short line": (MS + "1\t2.0\n2\n3\t4.0\n", "line 5 is '2', must have"),
    "long line": (MS + "1\t2.0\n" * 9 + "2\t3.0\t4.0\n", "line 13 is"),
    "negative": (MS + "-1\t2.0\n", "line 4 is .-1"),
    "word": (MS + "1\tlate\n", "line 4 is .*late"),
    "nan": (MS + "1\tnan\n", "a time is nan"),
    "too large": (MS + "99999999999999999999\t1.0\n", "line 4 is .9999"),
    "strange": (MS + "1\t2.0\n9\t2.0\n", "sender is 9, must be in .* E 1 to 8, I 11 to 12"),
    "zero": (MS + "0\t2.0\n", "sender is 0"),
    "beyond": (MS + "13\t2.0\n", "sender is 13"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path, few_lines, name):
    text, message = BAD[name]
    with pytest.raises(DamagedError, match=rf"(?s)recorder-13-1\.dat'.*{message}"):
        taken(tmp_path, MS + "1\t1.0\n", text, end=100.0)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".dat", ".dat"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ids": {}}, "populations is {}, must be at least one"),
        ({"ids": {"E": (8, 1)}}, r"population 'E': ids is \(8, 1\)"),
        ({"ids": {"E": (0, 1)}}, r"population 'E': ids is \(0, 1\)"),
        ({"ids": {"E": (1, 8), "I": (8, 9)}}, "'E' and 'I' share ids: 1 to 8 and 8 to 9"),
        ({"ids": {"a/b": (1, 8)}}, "a/b"),
        ({"dt": -1.0}, "dt is -1.0"),
        ({"begin": 5.0, "end": 5.0}, "window"),
        ({"begin": float("nan")}, "window"),
    ],
)
def test_bad_options(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        taken(tmp_path, MS + "1\t1.0\n", **options)
    assert not (tmp_path / "out.h5").exists()


def test_steps_need_the_resolution(tmp_path):
    with pytest.raises(ConfigError, match=r"has times in steps\. Tell the resolution"):
        taken(tmp_path, STEPS + "1\t1\t0.0\n")


def test_missing_file(tmp_path):
    with pytest.raises(DamagedError, match=r"none\.dat' cannot be read: No such file"):
        import_nest([tmp_path / "none.dat"], tmp_path / "out.h5", IDS)
    with pytest.raises(DamagedError, match="directory"):
        import_nest([tmp_path], tmp_path / "out.h5", IDS)


def test_output_exists(tmp_path):
    taken(tmp_path, MS + "1\t1.0\n")
    with pytest.raises(OutputError, match="exists"):
        taken(tmp_path, MS + "2\t1.0\n")
    assert taken(tmp_path, MS + "2\t1.0\n", overwrite=True)[1]["E"] == [(1.0, 1)]


def test_full_disk(tmp_path, small_disk):
    text = MS + "1\t1.0\n" * 300_000
    (tmp_path / "a.dat").write_text(text)
    with pytest.raises(OutputError, match=r"cannot be written: .*No space left"):
        import_nest([tmp_path / "a.dat"], small_disk / "out.h5", IDS)
    assert not list(small_disk.iterdir())


def test_populations_as_texts():
    assert read_populations(["L23E=1:20683", "b=c=5:5"][:1]) == {"L23E": (1, 20683)}
    assert read_populations(["E=1:8", "I=9:10"]) == {"E": (1, 8), "I": (9, 10)}
    assert read_populations(["b=c=5:5"]) == {"b=c": (5, 5)}


def test_populations_in_files(tmp_path):
    lines, toml = tmp_path / "population_nodeids.dat", tmp_path / "populations.toml"
    lines.write_text("1 8\n9 10\n\n")
    toml.write_text("E = [1, 8]\nI = [9, 10]\n")

    assert read_populations([str(lines)]) == {"population_0": (1, 8), "population_1": (9, 10)}
    assert read_populations([str(lines)], ["E", "I"]) == {"E": (1, 8), "I": (9, 10)}
    assert read_populations([str(toml)]) == {"E": (1, 8), "I": (9, 10)}


def test_populations_in_json(tmp_path):
    """As the microcircuit writes them, all ids of each population, with its recorders."""
    file = tmp_path / "nodes.json"
    nodes = {"L23E": list(range(1, 9)), "L23I": [9, 10], "L4E": [11], "spike_recorder_L23E": [12]}
    file.write_text(json.dumps(nodes, indent=4))

    assert read_populations([str(file)]) == {"L23E": (1, 8), "L23I": (9, 10), "L4E": (11, 11)}


@pytest.mark.parametrize(
    ("given", "names", "text"),
    [
        (["E=1"], None, "'E=1' must be NAME=FIRST:LAST"),
        (["E=1:8", "I"], None, "'I' must be"),
        (["E=1:8", "setup.cfg"], None, "Put the recordings before --populations"),
        (["E=1:8", "E=9:10"], None, "'E' is given twice"),
        (["E=1:8"], ["E"], "names: only for a file"),
        (["a.toml"], ["E"], "names: only for a file"),
        (["none.dat"], None, "'none.dat' must be .* or a file: .*No such file"),
        (["one.dat"], ["E", "I"], "are 2 names, but 'one.dat' has 1 populations"),
        (["three.dat"], None, "line 2 is '1 2 3', must be two ids"),
        (["a.toml"], None, "E is 5, must be"),
        (["b.toml"], None, "b.toml"),
        (["a.json"], None, "must be a table of ids"),
        (["b.json"], None, "E has 3 ids from 1 to 4, must be"),
        (["c.json"], None, "c.json': Expecting value"),
    ],
)
def test_bad_populations(tmp_path, monkeypatch, given, names, text):
    monkeypatch.chdir(tmp_path)
    files = {
        "setup.cfg": "", "one.dat": "1 8\n", "three.dat": "1 2\n1 2 3\n", "a.toml": "E = 5\n",
        "b.toml": "E = \n", "a.json": "[1]", "b.json": '{"E": [1, 3, 4]}', "c.json": "",
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=text):
        read_populations(given, names)


def test_command(tmp_path, capsys):
    path, out = tmp_path / "a.dat", tmp_path / "out.h5"
    path.write_text(MS + "1\t1.0\n12\t7.0\n1\t8.0\n")
    populations = ["--populations", "E=1:8", "I=11:12"]
    assert main(["import", str(path), "-o", str(out), *populations, "--end", "7.5"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: 2 spikes, 0 to 7.5 ms",
        "  E: 8 neurons, 1 spikes",
        "  I: 2 neurons, 1 spikes",
        "1 spikes outside of this time were left out",
    ]
    assert main(["import", str(path), "-o", str(out), *populations, "--overwrite"]) == 0
    assert "taken to end with the last spike" in capsys.readouterr().out
    assert main(["import", str(path), "-o", str(out), "--populations", "E"]) == 2
    assert "must be NAME=FIRST:LAST" in capsys.readouterr().err


PROGRAM = """
import sys
import nest
import numpy as np

folder = sys.argv[1]
nest.ResetKernel()
nest.set(resolution=0.1, local_num_threads=2, data_path=folder)
E = nest.Create("iaf_psc_exp", 20, {"I_e": 500.0})
I = nest.Create("iaf_psc_exp", 5, {"I_e": 600.0})
found = {}
for name, nodes, steps in (("E", E, False), ("I", I, True)):
    nodes.tau_m = np.linspace(9.0, 12.0, len(nodes)).tolist()
    to_file = {"record_to": "ascii", "label": name, "time_in_steps": steps}
    nest.Connect(nodes, nest.Create("spike_recorder", params=to_file))
    found[name] = nest.Create("spike_recorder")
    nest.Connect(nodes, found[name])
nest.Simulate(200.0)
arrays = {n + key: values for n, r in found.items() for key, values in r.get("events").items()}
np.savez(folder + "/known.npz", E=E.tolist(), I=I.tolist(), **arrays)
"""


@pytest.mark.slow
@pytest.mark.peer("nest")
def test_what_nest_writes(tmp_path):
    """NEST is not imported here: it takes over the process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    known = np.load(tmp_path / "known.npz")
    files = sorted(tmp_path.glob("*.dat"))
    assert len(files) == 4
    ids = {name: (int(known[name][0]), int(known[name][-1])) for name in "EI"}
    said = import_nest(files, tmp_path / "out.h5", ids, dt=0.1, end=200.0)

    run = sc.open_run(tmp_path / "out.h5")
    for name in "EI":
        senders, times = known[f"{name}senders"], known[f"{name}times"]
        order = np.lexsort((senders, times))
        found = run.spikes(name)
        assert said.counts[name] == times.size > 50
        assert np.array_equal(found.node_ids, senders[order] - ids[name][0])
        assert np.allclose(found.times, times[order], rtol=0.0, atol=1e-9)
        # To the last bit what our clock tells
        assert np.array_equal(found.times, np.rint(10.0 * found.times) / 10.0)
