"""How much memory there is, and whether what a run will take fits: known before the build."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from simcore.services.comm import Comm
from simcore.services.errors import CapacityError

_ROOT = Path("/")


def available_bytes(root: Path = _ROOT) -> float:
    """Return the memory that this process may still take [B]; infinity where nobody knows.

    The smaller of what Linux has available and what the control groups allow.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.
    """
    return min([_meminfo(root), *_control_groups(root)])


def require_memory(comm: Comm, host: str, needed: float) -> None:
    """Raise `CapacityError` on all ranks unless every host has room for its ranks.

    Parameters
    ----------
    comm : Comm
        The ranks; all of them call this.
    host : str
        Name of this rank's host.
    needed : float
        What this rank needs [B].

    Raises
    ------
    CapacityError
        Naming the host, what is needed and what there is.
    """
    hosts = defaultdict(list)
    for name, *figures in comm.allgather((host, needed, available_bytes())):
        hosts[name].append(figures)

    for name, ranks in hosts.items():
        total = sum(needed for needed, _ in ranks)
        room = min(available for _, available in ranks)
        if total > room:
            raise CapacityError(
                f"memory on host {name!r}: its {len(ranks)} rank(s) need about "
                f"{total / 1e9:.3g} GB, must be below the {room / 1e9:.3g} GB available. "
                "Use more hosts, or a smaller or sparser network."
            )


@dataclass(frozen=True)
class GpuShare:
    """What a rank needs of its GPU.

    Parameters
    ----------
    gpu : str
        Name of the GPU, another one for each on a host.
    needed : float
        What the rank needs [B].
    free : float
        What is free on the GPU, when all ranks have begun to use theirs [B].
    """

    gpu: str
    needed: float
    free: float


def require_memory_of_gpus(comm: Comm, host: str, share: GpuShare | None) -> None:
    """Raise `CapacityError` on all ranks unless every GPU has room for its ranks.

    Parameters
    ----------
    comm : Comm
        The ranks; all of them call this.
    host : str
        Name of this rank's host.
    share : GpuShare or None
        What this rank needs of its GPU; None if it uses none.

    Raises
    ------
    CapacityError
        Naming the GPU, the host, what is needed and what there is, and how many GPUs would do.
    """
    gpus = defaultdict(list)
    for name, other in comm.allgather((host, share)):
        if other is not None:
            gpus[name, other.gpu].append(other)

    for (name, gpu), shares in gpus.items():
        total = sum(other.needed for other in shares)
        room = min(other.free for other in shares)
        if total > room:
            everyone = [other for group in gpus.values() for other in group]
            raise CapacityError(
                f"memory of GPU {gpu!r} on host {name!r}: its {len(shares)} rank(s) need about "
                f"{total / 1e9:.3g} GB, must be at most the {room / 1e9:.3g} GB free. "
                f"{_enough_gpus(everyone, room)}, or a smaller or sparser network."
            )


def _enough_gpus(shares: Sequence[GpuShare], room: float) -> str:
    """Return how many GPUs with so much room would do for all ranks [B]."""
    together = int(room / max(share.needed for share in shares))
    if together:
        return f"Use {math.ceil(len(shares) / together)} such GPUs for the {len(shares)} ranks"
    n = math.ceil(sum(share.needed for share in shares) / max(room, 1.0))
    return f"Use {n} such GPUs, with a rank on each"


@dataclass(frozen=True)
class _Hierarchy:
    """Where one version of the control groups keeps its figures.

    Parameters
    ----------
    folder : str
        The topmost group, below the root.
    limit, used : str
        Files of a group: the most it may have, and what it has [B].
    reclaimable : str
        Line of ``memory.stat``: page cache that gives way to a process [B].
    """

    folder: str
    limit: str
    used: str
    reclaimable: str


_V1 = _Hierarchy(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file",
)
_V2 = _Hierarchy("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def _meminfo(root: Path) -> float:
    return 1024.0 * _entry(root / "proc/meminfo", "MemAvailable:", float("inf"))


def _control_groups(root: Path) -> Iterator[float]:
    """Yield what each control group of this process, and each above it, still allows [B]."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        hierarchy = _V1 if controllers else _V2

        # A container may see the path of its host, whose groups then lie above what is mounted
        names = [name for name in path.split("/") if name not in ("", "..")]
        group = PurePosixPath(*names)
        for level in (group, *group.parents):
            yield _room(root / hierarchy.folder / level, hierarchy)


def _room(group: Path, hierarchy: _Hierarchy) -> float:
    """Return what a control group still allows [B]; infinity where it sets no limit."""
    try:
        limit = (group / hierarchy.limit).read_text().strip()
        used = int((group / hierarchy.used).read_text())
        if limit == "max":
            return float("inf")
        reclaimable = _entry(group / "memory.stat", hierarchy.reclaimable, 0.0)
        return max(0.0, int(limit) - max(0.0, used - reclaimable))
    except (OSError, ValueError):
        return float("inf")


def _entry(path: Path, name: str, default: float) -> float:
    """Return the number after a name in a file of the kernel."""
    try:
        rows = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return default
    return next((float(row[1]) for row in rows if row and row[0] == name), default)


def peak_bytes(root: Path = _ROOT) -> int:
    """Return the largest memory this process has had so far [B].

    Linux tells it for the program; what the system tells elsewhere may hold the memory of a large
    program that started this one.
    """
    import resource

    if kilobytes := _entry(root / "proc/self/status", "VmHWM:", 0.0):
        return round(1024 * kilobytes)
    scale = 1 if os.uname().sysname == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
