"""A file system that refuses locks, with a library before that of the system."""

import errno
import os
import shutil
import subprocess
import sys

import pytest

LIBRARY = """
#include <errno.h>
#include <stdlib.h>

int flock(int fd, int operation)
{
    errno = atoi(getenv("REFUSED_WITH"));
    return -1;
}
"""

# All that opens files: a run, its resumption, an export, an import, readers
PROGRAM = """
import fcntl, os, sys
import numpy as np
import simcore as sc
from simcore.cli import main
from simcore.services.comm import SerialComm
from simcore.models import brunel

network = brunel.build(order=20)
care = {"comm": SerialComm(), "checkpoint_every": 10.0}
for code in sys.argv[1:]:
    os.environ["REFUSED_WITH"] = code
    try:
        fcntl.flock(0, fcntl.LOCK_SH)
    except OSError as error:
        assert error.errno == int(code)
    else:
        raise SystemExit("locks are not refused")
    run = sc.simulate(network, 20.0, output=f"{code}.h5", **care)
    whole = run.spikes("E").times
    assert run.status == "complete" and whole.size
    assert not np.setdiff1d(whole, sc.resume(f"{code}.h5", network, until=30.0, **care)
                            .spikes("E").times).size
    assert main(["export", f"{code}.h5", "-o", f"{code}.sonata.h5"]) == 0
    assert main(["verify", f"{code}.h5", f"{code}.h5"]) == 0
    assert main(["info", f"{code}.sonata.h5"]) == 0
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = next((found for name in ("cc", "gcc", "g++") if (found := shutil.which(name))), None)
    if compiler is None:
        pytest.skip("needs a compiler: cc, gcc or g++")
    folder = tmp_path_factory.mktemp("library")
    (folder / "refuse.c").write_text(LIBRARY)
    command = [compiler, "-x", "c", "refuse.c", "-shared", "-fPIC", "-o", "refuse.so"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "refuse.so"


def test_files_are_written_where_locks_are_refused(library, tmp_path):
    codes = [str(code) for code in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)]
    environment = os.environ | {"LD_PRELOAD": str(library)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *codes],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
