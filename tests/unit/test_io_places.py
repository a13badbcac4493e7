"""Any file system and any name: a run is written there, or one error says what to do."""

import errno
import os

import h5py
import pytest

from simcore.io import open_run, pack
from simcore.io import writer as module
from simcore.io.atomic_file import make_folder
from simcore.io.parts import check_output
from simcore.services.errors import OutputError, cause, remedy
from tests.unit.test_io_writer import train, unfinished, write


@pytest.mark.parametrize(
    "name", ["two words.h5", "Übung µ.h5", "two\nlines.h5", "'\"$x`.h5", "\udcff.h5", "x" * 243]
)
def test_names(tmp_path, name):
    unfinished(tmp_path / name)
    pack(tmp_path / name)
    assert open_run(tmp_path / name).spikes("E").times.size == 2
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["x" * 244, "ü" * 125])
def test_names_that_leave_no_room_for_an_ending(tmp_path, name):
    size = len(name.encode())
    message = rf"has {size} bytes, must have at most 243, .* Choose a shorter name\.$"
    with pytest.raises(OutputError, match=message):
        check_output(tmp_path / name, overwrite=False)


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EACCES, errno.EIO])
def test_what_cannot_be_read_says_why(tmp_path, monkeypatch, code):
    def fail(*options, **more):
        raise OSError(code, os.strerror(code))

    with pytest.raises(OutputError, match=r"cannot be read: File name too long$"):
        open_run(tmp_path / ("x" * 300))
    monkeypatch.setattr(h5py, "File", fail)
    with pytest.raises(OutputError, match=rf"run\.h5' cannot be read: {os.strerror(code)}$"):
        open_run(tmp_path / "run.h5")


def test_link_into_a_folder_that_is_not_there(tmp_path):
    link = tmp_path / "run.h5"
    link.symlink_to(tmp_path / "missing" / "run.h5")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"run\.h5' is a link to .*no folder '.*missing'\."):
            write(link, *train(100), overwrite=overwrite)
    assert os.listdir(tmp_path) == ["run.h5"]

    # The folder is enough: the file is made in it
    (tmp_path / "missing").mkdir()
    write(link, *train(100))
    assert link.is_symlink()
    assert os.listdir(tmp_path / "missing") == ["run.h5"]


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "run.h5")
    with pytest.raises(OutputError, match="is no regular file, must be the name of a file"):
        write(tmp_path / "run.h5", *train(100), overwrite=True)
    assert (tmp_path / "run.h5").is_fifo()


def test_folder_that_was_removed_is_not_made_again(tmp_path):
    with pytest.raises(FileNotFoundError):
        make_folder(str(tmp_path / "gone" / "run.h5.checkpoints"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
def test_file_system_without_locks(tmp_path, monkeypatch, code):
    """What HDF5 does where the system refuses a lock; tests/faults does it with a real refusal."""

    class Refusing(h5py.File):
        def __init__(self, name, mode="r", locking=None, **options):
            if mode == "w" and locking is not False:
                raise OSError(code, os.strerror(code))
            super().__init__(name, mode, locking=locking, **options)

    monkeypatch.setattr(h5py, "File", Refusing)
    write(tmp_path / "run.h5", *train(100))
    assert open_run(tmp_path / "run.h5").status == "complete"


SPACE, RIGHTS, OTHER = "Free some space", "Make the folder writable", "Look after the folder"


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, SPACE),
        (errno.EDQUOT, SPACE),
        (errno.EACCES, RIGHTS),
        (errno.EPERM, RIGHTS),
        (errno.EROFS, RIGHTS),
        (errno.ESTALE, OTHER),
        (errno.EIO, OTHER),
    ],
)
def test_advice_fits_the_error(tmp_path, monkeypatch, code, advice):
    text = os.strerror(code)

    def fail(*options, **more):
        raise OSError(code, text)

    path = tmp_path / "run.h5"
    unfinished(path)
    with monkeypatch.context() as patch:
        patch.setattr("simcore.io.packing.atomic_file", fail)
        with pytest.raises(OutputError, match=rf"one file: {text}\. {advice}.* still there\.$"):
            pack(path)
        patch.setattr(module, "atomic_file", fail)
        with pytest.raises(OutputError, match=rf"cannot be created: {text}\. {advice}.* place\.$"):
            write(tmp_path / "new.h5", *train(100))


def test_what_hdf5_says_is_understood():
    error = RuntimeError("Can't decrement id ref count (errno = 28, error message = 'No space')")
    assert (cause(error), remedy(error)) == (os.strerror(errno.ENOSPC), SPACE)
    assert cause(RuntimeError("something else")) == "something else"
    assert remedy(RuntimeError("something else")).startswith(OTHER)
