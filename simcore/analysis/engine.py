"""Which of dask's schedulers does the work, and how far it is."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from simcore.analysis.spawning import require_guard
from simcore.services.errors import ConfigError, OutputError
from simcore.services.extras import load
from simcore.services.launcher import n_cores
from simcore.services.memory import available_bytes
from simcore.services.progress import TaskProgress

if TYPE_CHECKING:
    from distributed import Client

LOCAL = ("threads", "processes", "synchronous")

FORMS = "threads, processes, synchronous, cluster, cluster:N, tcp://HOST:PORT or FILE.json"

# Time to wait for a scheduler, for what it writes, and between two looks at its work [s]
_PATIENCE, _FLUSH, _INTERVAL = 15.0, 1.0, 0.5


@contextmanager
def engine(scheduler: str | None = None, progress: bool = False) -> Iterator[None]:
    """Let dask work in some way inside this context.

    Parameters
    ----------
    scheduler : str, optional
        ``"threads"``, ``"processes"`` or ``"synchronous"``: in this process or beside it.
        ``"cluster"`` or ``"cluster:N"``: a cluster of N processes on this machine, as many as this
        process may use cores if N is left out. ``"tcp://HOST:PORT"``, or the file that
        ``dask scheduler --scheduler-file FILE.json`` wrote: a cluster that is there already; its
        workers must see the files of the run under the same paths. If left out, what dask is set
        to, which is threads unless there is a `distributed.Client`.
    progress : bool
        Whether to tell on standard error how much of the work is done.

    Raises
    ------
    ConfigError
        When there is no such scheduler, it cannot be reached, or its processes would run the
        calling script again.
    OutputError
        When a worker of a cluster died.
    """
    import dask

    with ExitStack() as stack:
        if scheduler == "processes":
            _require_guard(scheduler)
        if scheduler in LOCAL:
            stack.enter_context(dask.config.set(scheduler=local_scheduler(scheduler)))
            client = None
        elif scheduler is not None:
            client = stack.enter_context(_connect(scheduler))
        else:
            client = _current_client()
        if progress:
            stack.enter_context(_watch(client) if client else _count_tasks())
        yield


def compute(*values: Any) -> tuple[Any, ...]:
    """Return the results of lazy values of dask, computed together.

    The scheduler is the one of `engine`, or else what dask is set to.
    """
    import dask
    from dask.base import compute as work

    chosen = dask.config.get("scheduler", None)
    if chosen in ("processes", "multiprocessing"):
        _require_guard(chosen)

    # dask would load distributed, which takes longer than a small analysis, to look for a client
    if "distributed" in sys.modules or chosen:
        return tuple(work(*values))
    return tuple(work(*values, scheduler=local_scheduler("threads")))


def _require_guard(scheduler: str) -> None:
    """Raise `ConfigError` if the processes of dask would run the calling script again."""
    import dask

    # A fork imports nothing
    if dask.config.get("multiprocessing.context", "spawn") != "fork":
        require_guard(scheduler)


def local_scheduler(name: str) -> Any:
    """Return the function of a scheduler of this machine; dask would load distributed for a name.

    Parameters
    ----------
    name : {"threads", "processes", "synchronous"}
        Its name.
    """
    from dask.base import named_schedulers

    return named_schedulers[name]


@contextmanager
def _connect(scheduler: str) -> Iterator[Client]:
    """Make a cluster, or connect to one that is there."""
    distributed = load("distributed", "analysis", f"scheduler {scheduler!r}")
    name, _, number = scheduler.partition(":")
    with ExitStack() as stack:
        if name == "cluster":
            require_guard(scheduler)
            cluster = stack.enter_context(_local_cluster(distributed, scheduler, number))
            client = stack.enter_context(distributed.Client(cluster))
        else:
            client = stack.enter_context(_remote_client(distributed, scheduler))
        try:
            yield client
        except distributed.scheduler.KilledWorker as error:
            raise OutputError(
                f"scheduler {scheduler!r}: workers died, most likely for lack of memory: {error}. "
                "Take fewer workers, or give each more memory."
            ) from error


def _local_cluster(distributed: Any, scheduler: str, number: str) -> Any:
    """Return a cluster on this machine, of processes with one thread each."""
    n = n_cores() if scheduler == "cluster" else _positive(number)
    if n is None:
        raise ConfigError(f"scheduler is {scheduler!r}, must be cluster:N with N >= 1 workers")
    available = available_bytes()
    limit = int(available / n) if available < float("inf") else "auto"
    return distributed.LocalCluster(
        n_workers=n, threads_per_worker=1, memory_limit=limit, dashboard_address=None,
        silence_logs=logging.ERROR,
    )  # fmt: skip


def _remote_client(distributed: Any, scheduler: str) -> Any:
    """Return a client of a cluster that is there already, given its address or its file."""
    if scheduler.endswith(".json"):
        address = _read_address(scheduler)
    elif "://" in scheduler:
        address = scheduler
    else:
        raise ConfigError(f"scheduler is {scheduler!r}, must be {FORMS}")
    try:
        client = distributed.Client(address, timeout=_PATIENCE)
        client.wait_for_workers(1, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"scheduler {scheduler!r} cannot be reached, or has no worker: {error}"
        ) from error
    return client


def _read_address(path: str) -> str:
    """Return the address that a scheduler wrote into its file."""
    remedy = (
        f"Start a cluster with `dask scheduler --scheduler-file {path}`, and workers with the "
        "same option."
    )
    deadline = time.monotonic() + _FLUSH
    while True:
        try:
            with open(path, encoding="utf-8") as file:
                return str(json.load(file)["address"])
        except FileNotFoundError as error:
            raise ConfigError(f"scheduler {path!r}: there is no such file. {remedy}") from error
        except OSError as error:
            raise ConfigError(f"scheduler {path!r} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"scheduler {path!r}: the file has no address of a scheduler. {remedy}"
                ) from error
        # It may be written just now
        time.sleep(0.05)


def _positive(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _current_client() -> Client | None:
    """Return the client that dask uses now, if there is one."""
    if "distributed" not in sys.modules:
        return None
    import distributed

    try:
        return distributed.get_client()
    except ValueError:
        return None


def _count_tasks() -> Any:
    """Return a context that reports the tasks that a scheduler without a client finishes."""
    from dask.callbacks import Callback

    work: list[TaskProgress] = []

    def start(graph: Any) -> None:
        work.append(TaskProgress("read", len(graph), "tasks"))

    def posttask(*_: Any) -> None:
        work[-1].advance(1)

    def finish(*_: Any) -> None:
        work.pop().__exit__()

    return Callback(start=start, posttask=posttask, finish=finish)


@contextmanager
def _watch(client: Client) -> Iterator[None]:
    """Report the tasks that a cluster finishes, from a thread of its own."""
    done = threading.Event()
    thread = threading.Thread(target=_look, args=(client, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _look(client: Client, done: threading.Event) -> None:
    work = None
    while not done.wait(_INTERVAL):
        try:
            left = client.run_on_scheduler(count_left, client=client.id)
        except OSError:
            # Whoever waits for the results will tell that the cluster is gone
            return
        if work is None or left > work.total - work.done:
            work = TaskProgress("read", left, "tasks")
        work.advance(work.total - work.done - left)
        if left == 0:
            work.__exit__()
            work = None


def count_left(client: str, dask_scheduler: Any = None) -> int:
    """Return how many tasks are not done yet that a client waits for; runs on the scheduler."""
    state = dask_scheduler.clients.get(client)
    stack = [task for task in (state.wants_what if state else ()) if task.state != "memory"]
    seen = set(stack)
    while stack:
        for task in stack.pop().waiting_on or ():
            if task not in seen:
                seen.add(task)
                stack.append(task)
    return len(seen)
