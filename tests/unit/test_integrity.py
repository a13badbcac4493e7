"""Files that know whether they are whole: seals, digests, and what damage does to readers."""

import contextlib
import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import simcore as sc
from simcore.analysis.verification import compare_bits
from simcore.cli import main
from simcore.cli.info import run_text, run_values
from simcore.io import export_run, open_run, pack
from simcore.io.checkpoint import list_checkpoints
from simcore.io.integrity import check
from simcore.services.comm import SerialComm
from simcore.services.errors import DamagedError, OutputError
from simcore.simulation.resumption import inspect_run
from tests.faults.mutations import TARGETS, guarded, network


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Return a folder with the files of each target."""
    folder = tmp_path_factory.mktemp("start")
    for name, target in TARGETS.items():
        (folder / name).mkdir()
        with contextlib.chdir(folder / name):
            target.make()
    return folder


@pytest.fixture
def complete(start, tmp_path):
    return shutil.copytree(start / "run", tmp_path / "complete") / "run.h5"


@pytest.fixture
def interrupted(start, tmp_path):
    return shutil.copytree(start / "interrupted", tmp_path / "interrupted") / "run.h5"


def flip(path, place):
    content = bytearray(Path(path).read_bytes())
    content[place] ^= 16
    Path(path).write_bytes(content)


def place_of(path, name):
    with h5py.File(path, "r") as file:
        return file[name].id.get_offset()


DATASETS = [
    "spikes/E/timestamps", "spikes/I/node_ids", "report/E/data", "report/E/mapping/node_ids",
    "report/E/mapping/time", "report/E/mapping/element_ids", "simcore/populations/size",
    "simcore/spike_counts", "simcore/timers/run",
]  # fmt: skip


@pytest.mark.parametrize("name", DATASETS)
def test_flipped_bit_names_the_dataset(complete, capsys, name):
    flip(complete, place_of(complete, name) + 1)

    assert main(["verify", str(complete)]) == 1
    assert f"{complete}: /{name}. Copy it again." in capsys.readouterr().out
    assert main(["info", "--check", "--json", str(complete)]) == 1
    (file, *_) = json.loads(capsys.readouterr().out)["check"]["files"]
    assert (file["whole"], file["damage"]) == (False, [f"/{name}"])


def test_whole_files(complete, interrupted, tmp_path, capsys):
    assert main(["verify", str(complete)]) == 0
    assert capsys.readouterr().out.startswith("whole: ")
    assert main(["info", "--check", str(interrupted)]) == 0
    out = capsys.readouterr().out
    files = check(interrupted)
    assert [Path(file.path).parent.name.partition(".h5")[2] for file in files] == [
        "", *[".parts"] * (len(files) - 3), *[".checkpoints"] * 2,
    ]  # fmt: skip
    assert out.startswith("whole: ")
    assert f"in {len(files)} files" in out
    assert "status   stopped" in out
    export_run(open_run(complete), tmp_path / "spikes.h5")
    assert main(["verify", str(tmp_path / "spikes.h5")]) == 0


def test_every_text_and_attribute_is_covered(complete, capsys):
    """An attribute or text that a program changed is named, though the seal is gone."""
    with h5py.File(complete, "r+") as file:
        file["spikes/E"].attrs["note"] = "added by hand"
    assert main(["verify", str(complete)]) == 0
    assert "another program wrote to it" in capsys.readouterr().out
    with h5py.File(complete, "r+") as file:
        names = [*file["simcore"].attrs]
        file["simcore"].attrs["dt"] = 0.2
        file["spikes/E"].attrs["recorded"] = [0, 3, 1]
        text = file["simcore/network"].asstr()[()]
        file["simcore/network"][()] = text.replace("2000.0", "2001.0")
    assert set(names) >= {"seed", "uuid", "status", "duration", "record_from", "end"}
    (damage,) = (file.damage for file in check(complete) if not file.whole)
    assert sorted(damage) == [
        "/simcore/network",
        "attribute 'dt' of /simcore",
        "attribute 'recorded' of /spikes/E",
    ]


def test_digests_are_those_of_the_document(complete):
    """As docs/file-format.md tells how to compute them."""
    import hashlib

    with h5py.File(complete, "r") as file:
        table = json.loads(file["simcore/digests"].asstr()[()])
        data = file["report/E/data"][()]
    text = f"{data.dtype.str}{data.shape}".encode()
    assert table["/report/E/data"][""] == hashlib.sha256(text + data.tobytes()).hexdigest()
    unit = hashlib.sha256(json.dumps("mV").encode()).hexdigest()
    assert table["/report/E/data"]["units"] == unit


def test_parts_and_checkpoints(interrupted, capsys):
    part = sorted(interrupted.parent.glob("run.h5.parts/*.h5"))[0]
    _, checkpoint = list_checkpoints(str(interrupted))[0]
    for path, remedy in ((part, "simulates it again"), (checkpoint, "An older checkpoint")):
        flip(path, 900)
        assert main(["verify", str(path)]) == 1
        assert main(["verify", str(interrupted)]) == 1
        out = capsys.readouterr().out
        assert f"{path}: some of its bytes" in out
        assert remedy in out
        flip(path, 900)
    part.unlink()
    assert main(["verify", str(interrupted)]) == 1
    assert "what was recorded before it is missing" in capsys.readouterr().out


def test_what_has_no_seal(start, capsys):
    path = start / "sonata" / "foreign.h5"
    assert main(["verify", str(path)]) == 2
    assert "neither a seal nor digests" in capsys.readouterr().err


def test_seal_that_is_damaged_itself(complete):
    size = complete.stat().st_size
    for place in (size - 1, size - 35, size - 44):
        flip(complete, place)
        assert not check(complete)[0].whole
        flip(complete, place)
    os.truncate(complete, size - 20)
    assert not check(complete)[0].whole


@pytest.mark.parametrize("block", [2**20, 3, 7])
def test_two_files_of_any_origin(tmp_path, monkeypatch, capsys, block):
    """Spikes of one time may stand in any order in files of other programs."""
    monkeypatch.setattr("simcore.analysis.verification._BLOCK", block)
    paths = [tmp_path / "one.h5", tmp_path / "other.h5"]
    times, ids = np.repeat(np.arange(1.0, 7.0), 5), np.tile(np.arange(5), 6)
    rolled = np.concatenate([np.roll(ids[:5], k) for k in range(6)])
    for path, found in zip(paths, (ids, rolled), strict=True):
        with h5py.File(path, "w") as file:
            file["spikes/E/timestamps"], file["spikes/E/node_ids"] = times, found
    assert main(["verify", *map(str, paths)]) == 0
    assert "identical: 30 spikes" in capsys.readouterr().out
    with h5py.File(paths[1], "r+") as file:
        file["spikes/E/node_ids"][17] = 9
    assert main(["verify", *map(str, paths)]) == 1
    assert "at 4.0 ms, and neuron" in capsys.readouterr().out


def test_run_and_its_export(complete, tmp_path):
    run = open_run(complete)
    export_run(run, tmp_path / "spikes.h5")
    found = compare_bits(run, sc.open_run(tmp_path / "spikes.h5"))
    assert found.identical
    assert found.spikes == 30
    assert found.samples == 36


SPOTS = ["superblock", "network", "report/E/mapping/node_ids", "uuid", "middle", "end"]


@pytest.mark.parametrize("spot", SPOTS)
def test_damaged_header_is_put_aside(interrupted, spot, capsys):
    content = interrupted.read_bytes()
    places = {"superblock": 40, "middle": len(content) // 2, "end": len(content) - 1}
    with h5py.File(interrupted) as file:
        places["uuid"] = content.index(str(file["simcore"].attrs["uuid"]).encode())
    places["network"] = content.index(b'"populations"')
    place = places[spot] if spot in places else place_of(interrupted, spot)
    flip(interrupted, place)
    with pytest.raises(
        OutputError, match=r"is not what was written: .*|is (truncated or )?damaged"
    ):
        pack(str(interrupted))

    run = sc.resume(interrupted, network(), backend="reference", comm=SerialComm())

    assert "is taken from a checkpoint" in capsys.readouterr().err
    assert compare_bits(open_run(interrupted.parent / "whole.run"), run).identical
    assert Path(f"{interrupted}.damaged").exists()


def test_damaged_file_that_holds_data_is_left_alone(complete, interrupted):
    """What it holds may have taken days, and most of it is well."""
    flip(complete, place_of(complete, "spikes/E/timestamps"))
    before = complete.read_bytes()
    with pytest.raises(OutputError, match=r"Copy it again, or move it away, then all"):
        inspect_run(str(complete))
    assert complete.read_bytes() == before
    shutil.rmtree(f"{interrupted}.checkpoints")
    flip(interrupted, 40)
    with pytest.raises(OutputError, match=r"Copy it again, or start the run anew"):
        inspect_run(str(interrupted))


@pytest.mark.parametrize("folder", ["parts", "checkpoints"])
def test_folder_that_cannot_be_entered(interrupted, folder, monkeypatch, capsys):
    listed = os.listdir

    def refuse(path):
        if str(path).endswith(folder):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "listdir", refuse)
    for arguments in (["info", "--json"], ["verify"], ["resume"]):
        assert main([*arguments, str(interrupted)]) in (1, 2)
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{folder}' cannot be read: Permission denied. Ask its owner" in line
    with pytest.raises(OutputError, match="cannot be read: Permission denied"):
        sc.simulate(network(), 1.0, output=interrupted, overwrite=True, comm=SerialComm())


def test_part_that_must_not_be_read_is_not_thrown_away(interrupted, monkeypatch):
    def refuse(path, *mode):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("simcore.io.atomic_file.open", refuse, raising=False)
    with pytest.raises(OutputError, match=r"cannot be read: Permission denied\. Make it"):
        inspect_run(str(interrupted))


# How many mutations of each target are tried; all of them: python -m tests.faults.mutations
N_MUTATIONS = {"nest": 8, "run file": 8}


@pytest.mark.parametrize("name", TARGETS)
def test_mutations(start, tmp_path, name):
    for k in range(N_MUTATIONS.get(name, 4)):
        wrong, in_hdf5 = guarded(name, start / name, tmp_path / f"{k}", f"{name} {k}")
        assert in_hdf5 or not wrong


def others(value):
    """Yield a value of JSON with one of its parts changed, or the name of one."""
    yield from (other for other in (None, "x", [3]) if other != value)
    if isinstance(value, dict):
        for key in value:
            yield {name + "~" * (name == key): part for name, part in value.items()}
            yield from ({**value, key: part} for part in others(value[key]))
    elif isinstance(value, list) and value:
        yield from ([part, *value[1:]] for part in others(value[0]))


def test_options_that_cannot_be(complete):
    for name in ("config", "sessions"):
        run = open_run(complete)
        for other in others(getattr(run, name)):
            setattr(run, name, other)
            with contextlib.suppress(DamagedError):
                run_text(run)
                run_values(run)
    run = open_run(complete)
    del run.config["weights"]["largest_rounding"]
    with pytest.raises(DamagedError, match=r"'largest_rounding' is missing\. Copy it again\."):
        run_text(run)
    with h5py.File(complete, "r+") as file:
        file["simcore/config"][()] = "3"
    with pytest.raises(DamagedError, match="is damaged"):
        open_run(complete)


@pytest.mark.parametrize("grid", [(1.0, 0.0), (1.0, -1.0), (1e300, 1.0), (1.0, np.nan)])
def test_samples_at_times_that_cannot_be(start, tmp_path, capsys, grid):
    shutil.copy(start / "sonata/foreign.h5", tmp_path)
    with h5py.File(tmp_path / "foreign.h5", "r+") as file:
        file["report/E/mapping/time"][::2] = grid
    assert main(["export", str(tmp_path / "foreign.h5"), "-o", str(tmp_path / "out.h5")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "is damaged: samples from" in line
    assert line.endswith("must be at times that ascend. Copy it again.")


@pytest.mark.parametrize("values", [np.nan, b"x", np.zeros(0), np.ones(2), np.ones((1, 1))])
def test_numbers_of_ranks_that_cannot_be(complete, capsys, values):
    with h5py.File(complete, "r+") as file:
        del file["simcore/timers/update"]
        file["simcore/timers/update"] = np.atleast_1d(values)
    assert main(["info", str(complete)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "is damaged" in line
    assert "must be a finite number for each rank. Copy it again." in line


@pytest.mark.parametrize(
    ("field", "value"), [("node_ids", 2**40), ("node_ids", 12), ("timestamps", np.nan)]
)
def test_spike_that_cannot_have_been_recorded(complete, field, value):
    from simcore import analysis

    with h5py.File(complete, "r+") as file:
        file[f"spikes/E/{field}"][3] = value
    with pytest.raises(OutputError, match="is damaged: population 'E' has a spike of neuron"):
        analysis.population_rate(open_run(complete).select("E"), 1.0)
