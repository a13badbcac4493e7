"""The exchange gives every rank the spikes of all others, however many there are."""

import numpy as np
import pytest

from simcore.numerics.spikes import GID_BITS, NO_SPIKES, Spikes
from simcore.services.comm import MPIComm
from simcore.simulation import spike_exchange
from simcore.simulation.spike_exchange import SpikeExchange


@pytest.fixture(scope="module")
def ranks(comm):
    return MPIComm(comm)


def spikes_of(rank, epoch, count):
    """Return spikes that tell rank and epoch they are of; every rank can make those of all."""
    rng = np.random.default_rng([rank, epoch])
    offsets = np.sort(rng.integers(0, 2**15, count))
    gids = rng.integers(0, 2**47, count)
    return Spikes(1000 * epoch, offsets << GID_BITS | gids)


def trade(comm, meeting, counts):
    """Take part in epochs with counts[epoch][rank] spikes; return what went wrong."""
    wrong = []
    for epoch, row in enumerate(counts):
        meeting.start(spikes_of(comm.rank, epoch, row[comm.rank]))
        received = meeting.wait()
        others = [spikes_of(r, epoch, row[r]).words for r in range(comm.size) if r != comm.rank]
        expected = np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *others]))
        if not np.array_equal(np.sort(received.words), expected):
            wrong.append(f"epoch {epoch}: {received.size} spikes instead of {expected.size}")
        if expected.size and received.origin != 1000 * epoch:
            wrong.append(f"epoch {epoch}: origin {received.origin}")
    return wrong


def room(meeting):
    """Return how many spikes of a rank fit its buffers."""
    return meeting._room


def rows(comm, epochs, seed, most):
    """Return numbers of spikes that differ between ranks; with silent ones."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, most, (epochs, comm.size)) * rng.integers(0, 2, (epochs, comm.size))


def test_all_spikes_arrive(comm, ranks, parallel_assert):
    wrong = trade(comm, SpikeExchange(ranks), rows(comm, 80, 1, 50))

    parallel_assert(comm, not wrong, wrong)


def test_nothing_to_say(comm, ranks, parallel_assert):
    meeting = SpikeExchange(ranks)

    first = meeting.wait()
    wrong = trade(comm, meeting, np.zeros((5, comm.size), dtype=int))

    parallel_assert(comm, first.size == 0 and not wrong, wrong)


@pytest.mark.parametrize("beyond", [-1, 0, 1, 1000, 100_000])
@pytest.mark.parametrize("who", ["all", "first", "last"])
def test_bursts_are_not_lost(comm, ranks, parallel_assert, beyond, who):
    meeting = SpikeExchange(ranks)
    counts = np.full((6, comm.size), 3)
    chosen = {"all": slice(None), "first": 0, "last": comm.size - 1}[who]
    counts[2:4, chosen] = room(meeting) + beyond

    wrong = trade(comm, meeting, counts)

    parallel_assert(comm, not wrong, wrong)
    # The first burst takes a second round; then there is room
    expected = int(beyond > 0 and comm.size > 1)
    parallel_assert(comm, meeting.overflows == expected, f"{meeting.overflows} second rounds")
    sizes = comm.allgather(room(meeting))
    parallel_assert(comm, len(set(sizes)) == 1, f"rooms are {sizes}")


def test_growing_bursts(comm, ranks, parallel_assert):
    counts = np.array([[2**k + r for r in range(comm.size)] for k in range(17)])

    wrong = trade(comm, SpikeExchange(ranks), counts)

    parallel_assert(comm, not wrong, wrong)


def test_buffers_shrink_again(comm, ranks, parallel_assert, monkeypatch):
    monkeypatch.setattr(spike_exchange, "_WINDOW", 8)
    meeting = SpikeExchange(ranks)
    small = room(meeting)
    counts = np.full((40, comm.size), 4)
    counts[3] = 5000

    wrong = trade(comm, meeting, counts[:8])
    large = room(meeting)
    wrong += trade(comm, meeting, counts[4:])

    parallel_assert(comm, not wrong, wrong)
    parallel_assert(comm, large >= 5000 or comm.size == 1, f"room for {large} after the burst")
    parallel_assert(comm, room(meeting) <= small, f"room for {room(meeting)} in the end")


def test_random_traffic(comm, ranks, parallel_assert, monkeypatch):
    monkeypatch.setattr(spike_exchange, "_WINDOW", 4)
    counts = np.concatenate([rows(comm, 25, k, most) for k, most in enumerate((10, 3000, 2, 400))])

    wrong = trade(comm, SpikeExchange(ranks), counts)

    parallel_assert(comm, not wrong, wrong)


def test_warming_up_is_not_counted(comm, ranks, parallel_assert):
    meeting = SpikeExchange(ranks)

    meeting.warm_up()
    idle = meeting.seconds
    wrong = trade(comm, meeting, rows(comm, 40, 9, 100))

    parallel_assert(comm, idle == 0.0 and not wrong, wrong)
    timed = meeting.seconds > 0.0 if comm.size > 1 else meeting.seconds == 0.0
    parallel_assert(comm, timed, f"{meeting.seconds} s")
    parallel_assert(comm, 0.0 <= meeting.waiting_share <= 1.0, f"share {meeting.waiting_share}")


def test_lone_rank_hears_nothing(comm, parallel_assert):
    from simcore.services.comm import SerialComm

    meeting = SpikeExchange(SerialComm())
    meeting.start(spikes_of(0, 0, 10))

    parallel_assert(comm, meeting.wait().size == NO_SPIKES.size, "spikes come back")
