"""Threads that advance the parts of one rank together.

Every thread has a part of the rank's neurons, as a rank has of the network's. Threads meet as
often as a spike of one part could reach another, in compiled code: each posts how many spikes it
has, waits for the others, and reads theirs. Between epochs a thread waits at its mailbox, and
after a while without mail it leaves. A thread that fails breaks the team up, so that none waits
for ever.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcore.kernels.cpu.intrinsics import add, exchange, load, replace, store, yield_core
from simcore.numerics.jit import njit

# int64 in a cache line, so that no two threads write to the same
LINE = 8

_SPINS = 2000
_PATIENCE = 20_000

LEFT = -1

COUNT, FULL = 0, 1

_ARRIVED, _MEETINGS, _BROKEN = 0, LINE, 2 * LINE


class ThreadTeam(NamedTuple):
    """What the threads of a rank share.

    Parameters
    ----------
    member : int
        Number of this thread; the first is that of the simulation itself.
    size : int
        Number of threads.
    interval : int
        Most steps from one meeting to the next.
    barrier : ndarray of int64, shape (3 * LINE,)
        Threads that have arrived, the number of meetings so far, and whether the team broke up.
    posts : ndarray of int64, shape (2, size, LINE)
        For even and odd meetings: spikes of each thread since the epoch began, and whether it
        has no room for more.
    words : ndarray of int64, shape (2, size, room)
        For even and odd epochs: the spikes, see `simcore.numerics.spikes`.
    mail : ndarray of int64, shape (size * LINE,)
        Number of the epoch to advance by, or `LEFT` by a thread that has gone.
    orders : ndarray of int64, shape (4,)
        First step, the one after the last, step of remote spikes with offset 0, and their number.
    remote : ndarray of int64
        The remote spikes.
    seen : ndarray of int64, shape (size,)
        This thread's own: how many spikes of each other it has entered in this epoch.
    """

    member: int
    size: int
    interval: int
    barrier: NDArray[np.int64]
    posts: NDArray[np.int64]
    words: NDArray[np.int64]
    mail: NDArray[np.int64]
    orders: NDArray[np.int64]
    remote: NDArray[np.int64]
    seen: NDArray[np.int64]


def make_teams(size: int, interval: int, room: int) -> list[ThreadTeam]:
    """Return the views that `size` threads have of what they share.

    Parameters
    ----------
    size : int
        Number of threads.
    interval : int
        Most steps from one meeting to the next.
    room : int
        Spikes that a thread can post in an epoch.
    """

    def zeros(*shape: int) -> NDArray[np.int64]:
        return np.zeros(shape, dtype=np.int64)

    shared = zeros(3 * LINE), zeros(2, size, LINE), zeros(2, size, room)
    mail = np.full(size * LINE, LEFT, dtype=np.int64)
    orders, remote = zeros(4), zeros(1024)
    return [
        ThreadTeam(member, size, interval, *shared, mail, orders, remote, zeros(size))
        for member in range(size)
    ]


@njit
def meet(team):
    """Wait until all threads have come here; return whether they did."""
    number = load(team.barrier, _MEETINGS)
    if add(team.barrier, _ARRIVED, 1) == team.size - 1:
        store(team.barrier, _ARRIVED, 0)
        store(team.barrier, _MEETINGS, number + 1)
        return True
    spins = 0
    while load(team.barrier, _MEETINGS) == number:
        if load(team.barrier, _BROKEN) != 0:
            return False
        spins += 1
        if spins > _SPINS:
            yield_core()
    return True


@njit
def n_meetings(team):
    """Return how often the threads have met."""
    return load(team.barrier, _MEETINGS)


@njit
def break_up(team):
    """Let no thread wait for another any more."""
    store(team.barrier, _BROKEN, 1)


def is_broken(team: ThreadTeam) -> bool:
    """Return whether the team broke up."""
    return bool(team.barrier[_BROKEN])


def last_counts(team: ThreadTeam) -> NDArray[np.int64]:
    """Return how many spikes each thread had at the last meeting."""
    half = (int(team.barrier[_MEETINGS]) - 1) & 1
    return team.posts[half, :, COUNT]


@njit
def call(team, number, begin, end, origin, remote, gone):
    """Ask the other threads to advance by an epoch.

    Parameters
    ----------
    team : ThreadTeam
        What the threads share.
    number : int
        Number of the epoch.
    begin, end : int
        First step, and the one after the last.
    origin, remote : int, ndarray of int64
        Spikes of other ranks, no more than there is room for.
    gone : ndarray of uint8, shape (size,)
        Receives 1 for each thread that had left and must be started again.
    """
    orders = team.orders
    orders[0], orders[1], orders[2], orders[3] = begin, end, origin, remote.size
    for i in range(remote.size):
        team.remote[i] = remote[i]
    for member in range(1, team.size):
        gone[member] = exchange(team.mail, member * LINE, number) == LEFT


@njit
def wait_for_mail(team, last):
    """Return the number of the next epoch, or `LEFT` when none came for a while.

    Parameters
    ----------
    team : ThreadTeam
        What the threads share.
    last : int
        Number of the last epoch.
    """
    place = team.member * LINE
    for spins in range(_SPINS + _PATIENCE):
        mail = load(team.mail, place)
        if mail != last:
            return mail
        if load(team.barrier, _BROKEN) != 0:
            break
        if spins > _SPINS:
            yield_core()
    mail = replace(team.mail, place, last, LEFT)
    return LEFT if mail == last else mail
