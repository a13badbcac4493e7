"""The arithmetic of a step, behind one contract."""

from collections.abc import Sequence

import numpy as np

from simcore.kernels.backend import Backend, Probe
from simcore.kernels.cuda.availability import free_gpu_bytes, missing_for_gpu, name_of_gpu
from simcore.services.errors import ConfigError, require
from simcore.services.progress import ShareCallback
from simcore.shards.shard import Shard
from simcore.shards.shard_spec import ShardSpec

BACKENDS = ("cpu", "cuda", "reference")

MAX_THREADS = 1024

__all__ = [
    "BACKENDS",
    "Backend",
    "Probe",
    "check_backend",
    "choose_backend",
    "free_gpu_bytes",
    "make_backend",
    "make_threaded_backend",
    "name_of_gpu",
]


def check_backend(name: str, precision: str, threads: int = 1) -> None:
    """Raise `ConfigError` unless there is such a backend, for this precision and many threads."""
    valid = ", ".join(("auto", *BACKENDS))
    require(name in ("auto", *BACKENDS), "backend", name, f"one of {valid}", error=ConfigError)
    known = precision in ("float64", "float32")
    require(known, "precision", precision, "float64 or float32", error=ConfigError)
    valid = f"a whole number from 1 to {MAX_THREADS}"
    whole = isinstance(threads, (int, np.integer)) and not isinstance(threads, bool)
    require(whole and 1 <= threads <= MAX_THREADS, "threads", threads, valid, error=ConfigError)
    alone = threads == 1 or name not in ("cuda", "reference")
    require(alone, "threads", threads, f"1 with the backend {name!r}", error=ConfigError)
    if name == "cuda":
        missing = missing_for_gpu()
        remedy = "Choose cpu, or mend that."
        require(
            not missing, "backend", name, f"one that works here, but {missing}", remedy, ConfigError
        )


def choose_backend(name: str, threads: int = 1) -> tuple[str, str]:
    """Return which backend "auto" stands for on this machine, and why it is not the GPU.

    Parameters
    ----------
    name : str
        A backend, or "auto".
    threads : int
        Threads of each rank; with several it is the CPU's.
    """
    if name != "auto":
        return name, ""
    missing = f"there are {threads} threads" if threads > 1 else missing_for_gpu()
    return ("cpu", missing) if missing else ("cuda", "")


def make_backend(
    name: str,
    shard: ShardSpec,
    probes: tuple[Probe, ...] = (),
    precision: str = "float64",
    report: ShareCallback = lambda share: None,
) -> Backend:
    """Return the backend of that name for a shard.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "reference"}
        The backend; "auto" takes the GPU where there is one.
    shard : ShardSpec
        What the rank owns: for "cuda" a `ShardSpec`, for all others a `Shard`, built from one.
    probes : tuple of Probe
        What to sample.
    precision : {"float64", "float32"}
        Type of the state.
    report : callable, optional
        Called now and then with the share, from 0 to 1, of what the backend builds itself.

    Raises
    ------
    ConfigError
        When there is no such backend or precision.
    """
    check_backend(name, precision)
    name, _ = choose_backend(name)
    if name == "cuda":
        from simcore.kernels.cuda.backend import CudaBackend

        return CudaBackend(shard, probes, precision, report)
    assert isinstance(shard, Shard)
    if name == "reference":
        from simcore.kernels.reference import ReferenceBackend

        return ReferenceBackend(shard, probes, precision)
    from simcore.kernels.cpu.backend import CpuBackend

    return CpuBackend(shard, probes, precision)


def make_threaded_backend(
    name: str,
    shards: Sequence[ShardSpec],
    probes: Sequence[tuple[Probe, ...]],
    precision: str = "float64",
    report: ShareCallback = lambda share: None,
) -> Backend:
    """Return the backend of that name for the shards of a rank, each with a thread of its own.

    Parameters
    ----------
    name : {"auto", "cpu"}
        The backend; "cuda" and "reference" as well where there is one shard.
    shards : sequence of ShardSpec
        What the rank owns, see `make_backend`.
    probes : sequence of tuple of Probe
        What to sample of each shard.
    precision : {"float64", "float32"}
        Type of the state.
    report : callable, optional
        See `make_backend`.

    Raises
    ------
    ConfigError
        When there is no such backend or precision.
    """
    check_backend(name, precision, len(shards))
    if len(shards) == 1:
        return make_backend(name, shards[0], probes[0], precision, report)
    from simcore.kernels.cpu.threads import ThreadedCpuBackend

    built = [shard for shard in shards if isinstance(shard, Shard)]
    assert len(built) == len(shards)
    return ThreadedCpuBackend(built, probes, precision)
