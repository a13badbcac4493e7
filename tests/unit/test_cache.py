"""Compiled kernels are kept by any user on any machine, and what is damaged counts as absent."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import pytest

import simcore as sc
from simcore.models import brunel
from simcore.numerics import jit
from simcore.services import cache
from simcore.services.comm import SerialComm
from tests.conftest import lack_of_mpi, mpiexec, rank_environment

ROOT = Path(__file__).parents[2]

# Where the kernels are that the tests have compiled
USER_CACHE = os.environ.get("NUMBA_CACHE_DIR") or os.path.expanduser(
    os.environ.get("XDG_CACHE_HOME") or "~/.cache"
)

# A user id without an entry, as containers and batch systems have them
NOBODY = 12345

# Exit code of a process that cannot become this user
UNABLE = 77


@pytest.fixture
def places(monkeypatch, tmp_path):
    """Return the folders where kernels are looked for, all empty, of which the first was named."""
    found = {name: tmp_path / name for name in ("named", "user", "temporary")}
    for path in found.values():
        path.mkdir()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(found["named"]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(found["user"]))
    monkeypatch.setattr(tempfile, "tempdir", str(found["temporary"]))
    cache._complain.cache_clear()
    return found


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def as_nobody(work):
    """Do something as a user without an entry; return what went wrong, empty if nothing did."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            except OSError:
                os._exit(UNABLE)
            work()
        except BaseException:
            os.write(write, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        text = told.read()
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == UNABLE:
        pytest.skip("this root cannot become another user")
    return text


def test_the_first_place_that_can_be_written(places):
    for name in ("named", "user", "temporary"):
        cache.store("kernel", name.encode())
        assert cache.load("kernel") == name.encode()
        assert len(files(places[name])) == 1

        # A file where a folder should be cannot be written, whoever asks
        shutil.rmtree(places[name])
        places[name].write_text("")


def test_what_is_kept_in_any_place_is_used(places, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    cache.store("kernel", b"code")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(places["named"]))
    assert cache.load("kernel") == b"code"
    assert not files(places["named"])


def test_functions_that_enclose_others_are_told_apart(places):
    """As the kernels that deliver: one text, for each form of weights another function."""

    def adder(amount):
        def add(value):
            return value + amount

        return add

    def outer(inner):
        call = jit.njit(inner)

        @jit.njit
        def apply(value):
            return call(value)

        return apply

    for _ in range(2):
        made = [outer(adder(amount)) for amount in (1, 20)]
        assert [apply(300) for apply in made] == [301, 320]
    assert [sum(apply.stats.cache_hits.values()) for apply in made] == [1, 1]


@pytest.mark.parametrize("damage", ["", "x", "\0" * 64, None], ids=["empty", "x", "zeros", "cut"])
def test_damaged_code_is_compiled_again(places, damage):
    def add(a, b):
        return a + b

    assert jit.njit(add)(1, 2) == 3
    (kept,) = files(places["named"])
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] if damage is None else damage.encode())
    assert jit.njit(add)(1, 2) == 3
    assert jit.njit(add).stats.cache_hits == {}
    assert kept.read_bytes()[-8:] == whole[-8:]

    # Loaded where it is whole
    again = jit.njit(add)
    assert again(3, 4) == 7
    assert sum(again.stats.cache_hits.values()) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.ESTALE])
def test_where_nothing_can_be_kept_a_line_says_what_it_costs(places, monkeypatch, capsys, code):
    def fail(path, content):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "write_bytes", fail)
    cache.store("one", b"code")
    cache.store("two", b"code")
    assert cache.load("one") is None
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{str(places['named'] / 'simcore-kernels')!r}: {os.strerror(code)}; " in line
    assert "so each start compiles them again" in line
    assert line.endswith("Set NUMBA_CACHE_DIR to a folder that can be written.")


@pytest.fixture
def outside(places, monkeypatch):
    """Return a folder that every user may read, with a folder for temporary files."""
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("home", ["", "/", "{folder}/home"])
def test_user_without_an_entry(outside, monkeypatch, home):
    """Whose home is not known, is the root folder, or has a cache that can only be read."""
    monkeypatch.setenv("HOME", str(outside / "home"))
    cache.store("whole", b"of another user")
    monkeypatch.setenv("HOME", home.format(folder=outside))
    if not home:
        monkeypatch.delenv("HOME")

    def work():
        assert cache.load("whole") == (b"of another user" if "home" in home else None)
        cache.store("kernel", b"code")
        assert cache.load("kernel") == b"code"
        (path,) = files(outside / "tmp")
        assert path.parts[-4] == f"simcore-cache-{NOBODY}"
        assert not path.parents[2].stat().st_mode & 0o077

    assert as_nobody(work) == ""


def test_folder_that_another_user_made_is_left_alone(outside, monkeypatch):
    monkeypatch.setenv("HOME", "/")
    (outside / "tmp" / f"simcore-cache-{NOBODY}").mkdir()
    (outside / "tmp" / f"simcore-cache-{NOBODY}").chmod(0o777)

    def work():
        cache.store("kernel", b"code")
        assert cache.load("kernel") is None

    assert as_nobody(work) == ""
    assert not files(outside / "tmp")


@pytest.fixture(scope="module")
def compiled():
    """Let the tests' own folder have all that a run needs."""
    sc.simulate(brunel.build(order=20), 5.0, comm=SerialComm())


@pytest.mark.skipif(lack_of_mpi() is not None, reason=str(lack_of_mpi()))
@pytest.mark.timeout(300)
def test_ranks_of_a_user_without_an_entry(compiled, outside):
    """There is no home, and what others have compiled can only be read."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root, and setpriv")
    (outside / "results").mkdir()
    os.chown(outside / "results", NOBODY, NOBODY)
    # Let the user read this environment, wherever it is, and write nothing
    rights = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *rights]
    if subprocess.run([*user, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this root cannot become another user that may read")
    command = [mpiexec(), "-n", "2", sys.executable, "-m", "mpi4py", "-m", "simcore", "run"]
    model = ["brunel", "--set", "order=20", "--duration", "5", "--no-progress"]
    environment = rank_environment(2) | {"NUMBA_CACHE_DIR": str(USER_CACHE)}
    for name in ("HOME", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    done = subprocess.run(
        [*user, *command, *model], cwd=outside / "results", capture_output=True, text=True,
        env=environment | {"TMPDIR": str(outside / "tmp")},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "output: " in done.stdout
