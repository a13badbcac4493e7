"""Errors of ranks: all ranks fail together, or the whole job ends at once; none waits for ever."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from simcore.services.errors import CommError, SimcoreError

if TYPE_CHECKING:
    from simcore.services.comm import Comm

# How long a failing rank waits for the others to fail as well [s]
PATIENCE = 2.0


class PeerError(CommError):
    """Raised on a rank that is well because another one failed."""


@contextmanager
def fail_together(comm: Comm) -> Iterator[None]:
    """Let all ranks fail when one fails in the block, which holds no communication.

    Parameters
    ----------
    comm : Comm
        The ranks; all of them run the block.

    Raises
    ------
    PeerError
        On ranks that are well when others are not. Those raise their own error.
    SimcoreError
        On ranks that call `sys.exit` in the block, whatever the code.
    """
    own: Exception | None = None
    try:
        yield
    except Exception as error:
        own = error
    except SystemExit as error:
        own = SimcoreError(exit_call(error))
        own.__cause__ = error
    verdicts = comm.allgather(None if own is None else summary(own))
    if own is not None:
        raise own
    failed = [rank for rank, verdict in enumerate(verdicts) if verdict is not None]
    if failed:
        raise PeerError(f"rank {failed[0]}: {verdicts[failed[0]]}")


def summary(error: BaseException) -> str:
    """Return an error as a line; the class only where simcore did not foresee it."""
    text = str(error)
    if isinstance(error, SimcoreError) and text:
        return text
    return "".join(traceback.format_exception_only(error)).strip()


def exit_call(error: SystemExit) -> str:
    """Return what raised a `SystemExit` as text."""
    return f"called sys.exit({'' if error.code is None else repr(error.code)})"


def full(error: BaseException) -> str:
    """Return an error with its traceback."""
    return "".join(traceback.format_exception(error)).rstrip()


def report(
    comm: Comm, error: BaseException, describe: Callable[[BaseException], str] = full
) -> None:
    """Print an error on standard error, once where all ranks fail, and abort where only some do.

    Parameters
    ----------
    comm : Comm
        The ranks.
    error : BaseException
        What this rank failed of.
    describe : callable, optional
        Turns the error into text; with its traceback if left out.
    """
    text = None if isinstance(error, PeerError) else describe(error)
    texts = comm.meet(text, PATIENCE)
    if texts is None:
        print(f"rank {comm.rank}: {text or summary(error)}", file=sys.stderr, flush=True)
        comm.abort(1)
    _print(comm, texts)


def _print(comm: Comm, texts: list[str | None]) -> None:
    if comm.rank == 0:
        for line in _distinct(texts):
            print(line, file=sys.stderr, flush=True)


def _distinct(texts: list[str | None]) -> list[str]:
    ranks: dict[str, list[int]] = {}
    for rank, text in enumerate(texts):
        if text is not None:
            ranks.setdefault(text, []).append(rank)
    # Ranks need no mention where all say the same, or rank 0 alone speaks, as for the output file
    plain = len(ranks) == 1 and next(iter(ranks.values())) in ([0], list(range(len(texts))))
    return [t if plain else f"rank {_list(r)}: {t}" for t, r in ranks.items()]


def _list(ranks: list[int]) -> str:
    head = ", ".join(map(str, ranks[:4]))
    return head if len(ranks) <= 4 else f"{head} and {len(ranks) - 4} more"


class _Hook:
    """Reports what ends a script, so that the other ranks do not wait for this one."""

    def __init__(self, comm: Comm) -> None:
        self.comm = comm

    def __call__(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        report(self.comm, error.with_traceback(trace))


def install_hook(comm: Comm) -> None:
    """Report errors that nobody catches on all ranks, in place of Python's own report.

    A script must not call `sys.exit` on some ranks only: Python reports that nowhere, and the
    other ranks would wait.

    Parameters
    ----------
    comm : Comm
        The ranks of the job.
    """
    if not isinstance(sys.excepthook, _Hook):
        sys.excepthook = _Hook(comm)
