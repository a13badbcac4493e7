"""Who started this process: an MPI launcher, Slurm, or nobody. Only the environment is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from simcore.services.errors import CommError

# Variables of rank and size: MPICH and Slurm's PMI, Open MPI, MVAPICH
_LAUNCHERS = (
    ("PMI_RANK", "PMI_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
)

# Variables of rank of launchers that do not tell the size
_RANK_ONLY = ("PMIX_RANK", "PALS_RANKID")

# Variables of the rank among those on the same machine: MPICH, Open MPI, MVAPICH, Cray, Slurm
_LOCAL = (
    "MPI_LOCALRANKID",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "PALS_LOCAL_RANKID",
    "SLURM_LOCALID",
)

# Slurm's batch script, interactive shell and the like carry step ids from here on
_SPECIAL_STEPS = 0xFFFFFFF0


@dataclass(frozen=True)
class LaunchedProcess:
    """One process of a job, as its launcher sees it.

    Parameters
    ----------
    rank : int
        Number of the process, from 0.
    size : int or None
        Number of processes; None when the launcher does not tell.
    source : str
        The environment variable that told.
    """

    rank: int
    size: int | None
    source: str


NOBODY = LaunchedProcess(0, 1, "")


def launched_process(environ: Mapping[str, str] | None = None) -> LaunchedProcess:
    """Return how the launcher numbered this process.

    Where several left their marks, such as mpiexec inside a Slurm step, the largest job counts.

    Parameters
    ----------
    environ : mapping, optional
        The environment; that of the process if left out.
    """
    environ = os.environ if environ is None else environ
    found = [_read(environ, rank, size) for rank, size in _LAUNCHERS]
    if _in_slurm_step(environ):
        size = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environ else "SLURM_NTASKS"
        found.append(_read(environ, "SLURM_PROCID", size))
    sized = [launch for launch in found if launch is not None]
    if sized:
        return max(sized, key=lambda launch: launch.size or 0)
    for name in _RANK_ONLY:
        rank = _number(environ, name)
        if rank is not None:
            return LaunchedProcess(rank, None, name)
    return NOBODY


def local_rank(environ: Mapping[str, str] | None = None) -> int:
    """Return the number of this process among those on the same machine; 0 if nobody tells.

    Parameters
    ----------
    environ : mapping, optional
        The environment; that of the process if left out.
    """
    environ = os.environ if environ is None else environ
    known = [number for name in _LOCAL if (number := _number(environ, name)) is not None]
    return known[0] if known else 0


def require_launcher(
    launch: LaunchedProcess, library: str, environ: Mapping[str, str] | None = None
) -> None:
    """Raise `CommError` if MPI would abort as it starts, because it is of another kind.

    Called before MPI is initialised, since nothing can be said after it.

    Parameters
    ----------
    launch : LaunchedProcess
        What the launcher told.
    library : str
        Name and version of the MPI library.
    environ : mapping, optional
        The environment; that of the process if left out.
    """
    environ = os.environ if environ is None else environ
    name = _name(library)
    if _is_mpich(library) and launch.source.startswith("OMPI_"):
        raise CommError(
            f"mpiexec: it is that of Open MPI ({launch.source}), but mpi4py uses {name}, must be "
            f"of one MPI library. {_start(library)}; or let mpi4py use Open MPI: "
            "pip install --force-reinstall --no-binary mpi4py mpi4py."
        )

    # The options it was built with are part of the version
    speaks = "PMI_RANK" in environ or "PMIX_RANK" not in environ or "pmix" in library.lower()
    if library.startswith("MPICH ") and not speaks:
        raise CommError(
            f"launcher: it speaks PMIx (PMIX_RANK), but mpi4py uses {name}, which does not. "
            f"{_start(library)}."
        )


def require_world(launch: LaunchedProcess, size: int, library: str) -> None:
    """Raise `CommError` unless MPI sees as many processes as the launcher started.

    Parameters
    ----------
    launch : LaunchedProcess
        What the launcher told.
    size : int
        Size of MPI's world.
    library : str
        Name and version of the MPI library.
    """
    if launch.size in (None, 1, size):
        return
    raise CommError(
        f"mpiexec: it started {launch.size} processes ({launch.source}), but MPI sees {size}, "
        "must be equal. The launcher does not belong to the MPI library of mpi4py, "
        f"{_name(library)}. {_start(library)}. For independent runs pass comm=SerialComm()."
    )


def _start(library: str) -> str:
    """Return how processes of an MPI library are started, as far as this environment tells."""
    tool, slurm = ("mpichversion", "pmi2") if _is_mpich(library) else ("ompi_info", "pmix")
    own = Path(sys.executable).parent / "mpiexec"
    known = own.exists() and own.with_name(tool).exists()
    launcher = own if known else "the mpiexec of that library"
    return f"Start with {launcher}, or in Slurm with srun --mpi={slurm}"


def _is_mpich(library: str) -> bool:
    """Tell whether a library is MPICH or one of its relatives."""
    return any(name in library for name in ("MPICH", "Intel(R) MPI", "MVAPICH"))


def _name(library: str) -> str:
    line = library.splitlines()[0].partition(",")[0]
    return " ".join(line.replace("Version:", "").strip("\0").split())


def _in_slurm_step(environ: Mapping[str, str]) -> bool:
    step = _number(environ, "SLURM_STEP_ID")
    return step is not None and step < _SPECIAL_STEPS


def _read(environ: Mapping[str, str], rank_name: str, size_name: str) -> LaunchedProcess | None:
    rank, size = _number(environ, rank_name), _number(environ, size_name)
    return None if rank is None or size is None else LaunchedProcess(rank, size, size_name)


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else None


def n_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
