"""How far dask is, on every scheduler; and spikes for pictures, in any blocks."""

import io
import re
import subprocess
import sys
import time
import types

import dask
import numpy as np
import pytest

import simcore as sc
from simcore.analysis import engine as module
from simcore.analysis.bins import Bins
from simcore.analysis.density import DensityReduction, DotsReduction
from simcore.analysis.engine import engine
from simcore.io import RunWriter
from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, DamagedError
from simcore.services.progress import TaskProgress

# Analyses a run, and tells which libraries were loaded for it
PROGRAM = """
import sys
import simcore as sc
from simcore import analysis

found = analysis.summarize(sc.open_run(sys.argv[1]))
print(found["E"].n_spikes, *sys.modules)
"""


@dask.delayed
def slow(number):
    time.sleep(0.02)
    return number


@pytest.fixture
def lines(monkeypatch):
    """Report every task on a stream that is not a terminal."""
    stream = io.StringIO()

    def work(*arguments):
        made = TaskProgress(*arguments, stream=stream)
        made._interval, made._due = 0.0, 0.0
        return made

    monkeypatch.setattr(module, "TaskProgress", work)
    monkeypatch.setattr(module, "_INTERVAL", 0.05)
    return stream


@pytest.mark.parametrize("scheduler", ["threads", "synchronous", "processes", "cluster:1"])
def test_progress_on_every_scheduler(lines, scheduler):
    with engine(scheduler, progress=True):
        tasks = [slow(k) for k in range(20)]
        assert dask.compute(*tasks) == tuple(range(20))
    printed = lines.getvalue().splitlines()
    assert printed
    found = [re.match(r"(\d+) of (\d+) tasks, .* left", line).groups() for line in printed]
    done, total = np.array(found, dtype=int).T
    # A cluster may have done some tasks before the first look at it
    assert (total <= 20).all()
    assert scheduler == "cluster:1" or (total == 20).all()
    assert (np.diff(done) >= 0).all()
    assert 0 < done[-1] <= total[-1]


def test_current_client_is_taken(lines):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.Client(processes=False, **options), engine(progress=True):
        dask.compute(*[slow(k) for k in range(20)])
    assert re.search(r"\d+ of \d+ tasks, ", lines.getvalue())


def test_cluster_has_as_many_workers_as_cores_that_may_be_used(monkeypatch):
    """Not as many as the machine has; the cluster itself is not started."""
    asked = []
    distributed = types.SimpleNamespace(LocalCluster=lambda **options: asked.append(options))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 5, 7})
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    module._local_cluster(distributed, "cluster", "")
    assert asked[0]["n_workers"] == 3


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"address": '])
def test_scheduler_file_without_an_address(tmp_path, monkeypatch, content):
    monkeypatch.setattr(module, "_FLUSH", 0.0)
    file = tmp_path / "scheduler.json"
    file.write_text(content)
    with (
        pytest.raises(ConfigError, match=r"scheduler\.json': the file has no address of a sched"),
        engine(str(file)),
    ):
        pass


def test_missing_file_names_the_node_of_a_worker(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    path = str(tmp_path / "run.h5")
    with pytest.raises(DamagedError, match=r"run\.h5' does not exist$"):
        sc.open_run(path)
    monkeypatch.setattr("socket.gethostname", lambda: "n17")
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.Client(processes=False, **options),
        pytest.raises(DamagedError, match=r"does not exist on node 'n17'\. The workers"),
    ):
        dask.compute(dask.delayed(sc.open_run)(path))


def test_silence_without_progress(lines):
    with engine("threads"):
        dask.compute(slow(1))
    assert not lines.getvalue()


START = "from simcore.analysis.spawning import require_guard; require_guard('processes')"


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (["{start}"], True),
        (["if True:", "    {start}"], True),
        (["def main():", "    {start}", "main()"], True),
        (['if __name__ == "__main__":', "    pass", "{start}"], True),
        (['if __name__ == "__main__":', "    {start}"], False),
        (["def main():", "    {start}", "if '__main__' == __name__:", "    main()"], False),
    ],
)
def test_processes_must_not_run_a_script_again(tmp_path, monkeypatch, lines, refused):
    path = tmp_path / "script.py"
    path.write_text("\n".join(lines).format(start=START))
    main = types.ModuleType("__main__")
    main.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "__main__", main)
    code = compile(path.read_text(), str(path), "exec")

    if not refused:
        exec(code, vars(main))
        return
    with pytest.raises(ConfigError, match=f"again, up to line {len(lines)}, which must stand"):
        exec(code, vars(main))


@pytest.mark.parametrize("scheduler", ["processes", "cluster:1"])
def test_schedulers_of_processes_ask_for_a_guard(monkeypatch, scheduler):
    def refuse(name):
        raise ConfigError(f"no guard: {name}")

    monkeypatch.setattr(module, "require_guard", refuse)
    with pytest.raises(ConfigError, match=f"no guard: {scheduler}"), engine(scheduler):
        pass


TIMES = np.round(np.sort(np.random.default_rng(1).integers(1, 1000, 5000)) * 0.1, 1)
PLACES = np.random.default_rng(2).integers(0, 13, 5000)


def reduced(reduction, cuts):
    """Return what a reduction finds in blocks that end at some spikes."""
    ends = [*cuts, TIMES.size]
    parts = [
        reduction.partial(TIMES[a:b], PLACES[a:b]) for a, b in zip([0, *cuts], ends, strict=True)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = reduction.combine(total, part)
    return reduction.finish(total)


@pytest.mark.parametrize("cuts", [[], [1], [700, 701, 3000]])
def test_density(cuts):
    bins = Bins(200, 60, 10, 0.1)
    found = reduced(DensityReduction(bins, 13, 5), cuts)
    rows = PLACES * 5 // 13
    columns = np.floor((TIMES - 0.05 - 20.0) / 6.0).astype(int)
    for row in range(5):
        n = sum(1 for place in range(13) if place * 5 // 13 == row)
        for column in range(10):
            count = np.sum((rows == row) & (columns == column))
            assert found[row, column] == pytest.approx(count / n / 6e-3)


@pytest.mark.parametrize("cuts", [[], [1], [700, 701, 3000]])
def test_dots(cuts):
    found = reduced(DotsReduction((20.0, 35.0), np.array([2, 5, 12]), 13), cuts)
    inside = (TIMES > 20.0) & (TIMES <= 35.0) & np.isin(PLACES, [2, 5, 12])
    assert found.times.tolist() == TIMES[inside].tolist()
    assert np.array([2, 5, 12])[found.rows].tolist() == PLACES[inside].tolist()


def test_statistics_load_only_what_they_need(tmp_path):
    net = sc.Network()
    net.record(net.population("E", 4, sc.LIF()), "spikes")
    with RunWriter(tmp_path / "run.h5", net, Clock(0.1), {"duration": 100.0}) as writer:
        writer.append(1000, np.arange(0, 1000, 10), np.arange(100) % 4)
        writer.finish(np.array([100]), {}, {})
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "run.h5")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    n_spikes, *loaded = done.stdout.split()
    assert n_spikes == "100"
    assert not {"distributed", "scipy.signal", "scipy.stats", "matplotlib"} & set(loaded)


def test_what_dask_is_set_to_is_taken():
    seen = []

    def get(graph, keys, **options):
        seen.append(len(keys))
        return dask.get(graph, keys, **options)

    with dask.config.set(scheduler=get):
        assert module.compute(slow(1), slow(2)) == (1, 2)
    assert seen == [2]
