"""Communication between ranks. No other module speaks MPI."""

from __future__ import annotations

import functools
import sys
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from simcore.services.errors import CommError, ConfigError, require
from simcore.services.failure import install_hook
from simcore.services.launcher import (
    LaunchedProcess,
    launched_process,
    require_launcher,
    require_world,
)

if TYPE_CHECKING:
    from mpi4py import MPI

# Bytes of one message, below the limit of counts in old MPI libraries
_MESSAGE_BYTES = 2**30

# How long a launcher may take to pass on what was printed [s]
_PASSED_ON = 0.3


class Comm(ABC):
    """The ranks of a run. All of them call the same methods in the same order.

    Attributes
    ----------
    rank : int
        This process, in [0, size).
    size : int
        Number of processes.
    """

    rank: int
    size: int

    @abstractmethod
    def bcast(self, value: Any) -> Any:
        """Return rank 0's value on every rank."""

    @abstractmethod
    def gather(self, value: Any) -> list[Any] | None:
        """Return the values of all ranks on rank 0, None on the others."""

    @abstractmethod
    def allgather(self, value: Any) -> list[Any]:
        """Return the values of all ranks on every rank."""

    @abstractmethod
    def gather_array(self, array: NDArray[Any]) -> list[NDArray[Any]] | None:
        """Return the arrays of all ranks on rank 0, None on the others; shapes may differ."""

    @abstractmethod
    def allreduce_sum(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the sum over ranks of arrays of one shape and type."""

    @abstractmethod
    def allreduce_min(self, value: int) -> int:
        """Return the smallest value of any rank."""

    @abstractmethod
    def allreduce_max(self, value: int) -> int:
        """Return the largest value of any rank."""

    @abstractmethod
    def barrier(self) -> None:
        """Wait until every rank has come here."""

    @abstractmethod
    def allgather_into(self, send: NDArray[np.int64], recv: NDArray[np.int64]) -> None:
        """Fill `recv` with the `send` of all ranks in order, all of one size."""

    @abstractmethod
    def allgatherv_into(
        self, send: NDArray[np.int64], recv: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        """Fill `recv` with the `send` of all ranks in order, ``counts[r]`` numbers from rank r."""

    @abstractmethod
    def meet(self, value: Any, seconds: float) -> list[Any] | None:
        """Return the values of all ranks, or None when one does not come here within `seconds`.

        It tells an error of all ranks from that of some. After None only `abort` is left.
        """

    @abstractmethod
    def finalize(self) -> None:
        """Leave in order, together with all ranks; nothing can be said after it."""

    @abstractmethod
    def abort(self, code: int) -> NoReturn:
        """End the processes of all ranks at once with an exit code."""


class RehearsalComm(Comm):
    """One rank of several, alone: the others agree with it and send nothing.

    Any rank of any number of ranks can so be built and timed on one machine.

    Parameters
    ----------
    rank, size : int
        Which rank of how many.
    """

    def __init__(self, rank: int, size: int) -> None:
        require(size >= 1, "RehearsalComm: size", size, ">= 1", error=ConfigError)
        require(0 <= rank < size, "RehearsalComm: rank", rank, f"in [0, {size})", error=ConfigError)
        self.rank, self.size = rank, size

    def bcast(self, value: Any) -> Any:
        """Return the value."""
        return value

    def gather(self, value: Any) -> list[Any] | None:
        """Return the value once per rank on rank 0, None on the others."""
        return self.allgather(value) if self.rank == 0 else None

    def allgather(self, value: Any) -> list[Any]:
        """Return the value once per rank."""
        return [value] * self.size

    def gather_array(self, array: NDArray[Any]) -> list[NDArray[Any]] | None:
        """Return the array and empty ones for the others on rank 0, None on the others."""
        array = np.asarray(array)
        empty = np.empty((0, *array.shape[1:]), dtype=array.dtype)
        return [array] + [empty] * (self.size - 1) if self.rank == 0 else None

    def allreduce_sum(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of the array."""
        return np.array(array)

    def allreduce_min(self, value: int) -> int:
        """Return the value."""
        return int(value)

    def allreduce_max(self, value: int) -> int:
        """Return the value."""
        return int(value)

    def barrier(self) -> None:
        """Do nothing."""

    def allgather_into(self, send: NDArray[np.int64], recv: NDArray[np.int64]) -> None:
        """Fill `recv` with `send` in its place and 0 elsewhere."""
        begin = self.rank * send.size
        recv[:] = 0
        recv[begin : begin + send.size] = send

    def allgatherv_into(
        self, send: NDArray[np.int64], recv: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        """Fill the place of `send` in `recv`."""
        begin = int(counts[: self.rank].sum())
        recv[begin : begin + send.size] = send

    def meet(self, value: Any, seconds: float) -> list[Any] | None:
        """Return the value once per rank."""
        return [value] * self.size

    def finalize(self) -> None:
        """Do nothing."""

    def abort(self, code: int) -> NoReturn:
        """Leave the process."""
        sys.exit(code)


class SerialComm(RehearsalComm):
    """The one rank of a run without MPI."""

    def __init__(self) -> None:
        super().__init__(0, 1)


class MPIComm(Comm):
    """The ranks of an MPI communicator, on duplicates of it.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        The communicator; MPI.COMM_WORLD if left out.
    """

    def __init__(self, comm: MPI.Comm | None = None) -> None:
        from mpi4py import MPI

        base = MPI.COMM_WORLD if comm is None else comm
        self._mpi = MPI
        self._comm = base.Dup()
        self._distress = base.Dup()
        self._value, self._result = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self.rank, self.size = self._comm.rank, self._comm.size

    def bcast(self, value: Any) -> Any:
        """Return rank 0's value on every rank."""
        return self._comm.bcast(value)

    def gather(self, value: Any) -> list[Any] | None:
        """Return the values of all ranks on rank 0, None on the others."""
        return self._comm.gather(value)

    def allgather(self, value: Any) -> list[Any]:
        """Return the values of all ranks on every rank."""
        return self._comm.allgather(value)

    def gather_array(self, array: NDArray[Any]) -> list[NDArray[Any]] | None:
        """Return the arrays of all ranks on rank 0, None on the others; shapes may differ."""
        array = np.ascontiguousarray(array)
        forms = self._comm.gather((array.shape, array.dtype))
        if forms is None:
            for piece in _pieces(array):
                self._comm.Send(piece, 0)
            return None
        arrays = [array] + [np.empty(shape, dtype) for shape, dtype in forms[1:]]
        for rank in range(1, self.size):
            for piece in _pieces(arrays[rank]):
                self._comm.Recv(piece, rank)
        return arrays

    def allreduce_sum(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the sum over ranks of arrays of one shape and type."""
        total = np.empty_like(array, order="C")
        self._comm.Allreduce(np.ascontiguousarray(array), total)
        return total

    def allreduce_min(self, value: int) -> int:
        """Return the smallest value of any rank."""
        return self._allreduce(value, self._mpi.MIN)

    def allreduce_max(self, value: int) -> int:
        """Return the largest value of any rank."""
        return self._allreduce(value, self._mpi.MAX)

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        self._comm.Barrier()

    def allgather_into(self, send: NDArray[np.int64], recv: NDArray[np.int64]) -> None:
        """Fill `recv` with the `send` of all ranks in order, all of one size."""
        self._comm.Allgather(send, recv)

    def allgatherv_into(
        self, send: NDArray[np.int64], recv: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        """Fill `recv` with the `send` of all ranks in order, ``counts[r]`` numbers from rank r."""
        self._comm.Allgatherv(send, (recv, counts))

    def meet(self, value: Any, seconds: float) -> list[Any] | None:
        """Return the values of all ranks, or None when one does not come here within `seconds`."""
        request = self._distress.Ibarrier()
        deadline = time.monotonic() + seconds
        while not request.Test():
            if time.monotonic() > deadline:
                return None
            time.sleep(0.01)
        return self._distress.allgather(value)

    def finalize(self) -> None:
        """Leave MPI, together with all ranks."""
        sys.stdout.flush()
        sys.stderr.flush()
        self._mpi.Finalize()

    def abort(self, code: int) -> NoReturn:
        """End the processes of all ranks at once with an exit code."""
        sys.stdout.flush()
        sys.stderr.flush()
        # Launchers drop what they have not yet passed on
        time.sleep(_PASSED_ON)
        self._mpi.COMM_WORLD.Abort(code)
        raise SystemExit(code)

    def _allreduce(self, value: int, op: MPI.Op) -> int:
        self._value[0] = value
        self._comm.Allreduce(self._value, self._result, op)
        return int(self._result[0])


def world() -> Comm:
    """Return the ranks this process was started with.

    Serial unless an MPI launcher started the process; mpi4py is imported only then.

    Raises
    ------
    CommError
        When mpi4py is missing, or MPI sees another number of processes than the launcher started.
    """
    launch = launched_process()
    if launch.size == 1 and not _mpi_in_use():
        return SerialComm()
    return _mpi_world(launch)


def _mpi_in_use() -> bool:
    mpi = sys.modules.get("mpi4py.MPI")
    return mpi is not None and mpi.Is_initialized() and mpi.COMM_WORLD.size > 1


@functools.cache
def _mpi_world(launch: LaunchedProcess) -> Comm:
    mpi = _import_mpi(launch)
    require_world(launch, mpi.COMM_WORLD.size, mpi.Get_library_version())
    comm = MPIComm()
    if comm.size > 1:
        install_hook(comm)
    return comm


def _import_mpi(launch: LaunchedProcess) -> Any:
    try:
        import mpi4py

        # MPI that is of another kind than its launcher aborts as it starts: look at it before
        begins = mpi4py.rc.initialize and "mpi4py.MPI" not in sys.modules
        if begins:
            mpi4py.rc(initialize=False, finalize=True)
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        count = "several" if launch.size is None else launch.size
        raise CommError(
            f"mpi4py: cannot be imported ({error}), but the launcher started {count} processes. "
            "Install it with its MPI library: pip install 'simcore[mpi]'."
        ) from error
    require_launcher(launch, MPI.Get_library_version())
    if begins:
        MPI.Init_thread()
    return MPI


def _pieces(array: NDArray[Any]) -> list[NDArray[np.uint8]]:
    flat = array.reshape(-1).view(np.uint8)
    return [flat[at : at + _MESSAGE_BYTES] for at in range(0, flat.size, _MESSAGE_BYTES)]
