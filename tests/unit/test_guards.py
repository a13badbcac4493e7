"""Guards, the watchdog and signals: what has gone wrong is said, and the job ends."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import simcore as sc
from simcore.numerics.clock import Epoch
from simcore.numerics.spikes import NO_SPIKES
from simcore.services.comm import SerialComm
from simcore.services.errors import StateError
from simcore.services.signals import Signals, orderly_end
from simcore.simulation.watchdog import Watchdog
from tests.networks import make_run


def network(current=0.0, start=0.0, rate=0.0):
    net = sc.Network(seed=2)
    net.population("calm", 30, sc.LIF())
    group = net.population("wild", 40, sc.LIF(t_ref=0.5, C_m=1e-3))
    net.drive(group[5:7], sc.Current(current, start=start))
    noise = net.population("noise", 10, sc.PoissonSource(rate=rate))
    net.record([group, noise], "spikes")
    return net


@pytest.mark.parametrize("options", [{}, {"backend": "reference"}, {"threads": 3}])
def test_state_that_is_not_finite(tmp_path, options):
    """A current of -1e306 pA drives a small neuron's potential to minus infinity."""
    path = tmp_path / "run.h5"
    with pytest.raises(StateError) as caught:
        sc.simulate(
            network(-1e306, start=45.0), 200.0, output=path, comm=SerialComm(),
            checkpoint_every=20.0, **options,
        )  # fmt: skip
    text = str(caught.value)
    assert "population 'wild': V_m of neuron 5 and 1 others of this rank is -inf" in text
    assert "between 40 and 60 ms, must be finite" in text
    run = sc.open_run(path)
    assert run.status == "failed"
    assert "StateError" in run.error
    assert run.checkpoints == [40.0, 20.0]


@pytest.mark.parametrize(("backend", "threads"), [("reference", 1), ("cpu", 1), ("cpu", 3)])
def test_backends_name_the_neurons(backend, threads):
    run = make_run(network(-1e306), backend, threads=threads)
    assert run.not_finite() == {}
    run.advance(Epoch(0, 200), NO_SPIKES)
    (wrong,) = run.not_finite().items()
    assert (wrong[0], wrong[1].tolist()) == ("V_m", [35, 36])


@pytest.mark.parametrize("record_from", [0.0, 250.0])
def test_rate_beyond_the_limit(tmp_path, record_from):
    net = network(current=0.01, start=110.0)
    options = {"comm": SerialComm(), "record_from": record_from}
    with pytest.raises(StateError) as caught:
        sc.simulate(net, 300.0, output=tmp_path / "run.h5", max_rate=4.0, **options)
    text = str(caught.value)
    assert "population 'wild': its rate from 100 to 200 ms is " in text
    assert "must be at most 4 1/s (option --max-rate); neuron " in text
    assert text.split("; neuron ")[1].startswith(("5 spiked most", "6 spiked most"))
    run = sc.simulate(net, 300.0, output=tmp_path / "other.h5", max_rate=400.0, **options)
    assert run.status == "complete"


def test_rate_is_that_of_the_neurons(tmp_path):
    """The limit is on the mean rate: 60 Poisson neurons of 50 1/s stay below 60 and above 40."""
    net = sc.Network(seed=2)
    net.record(net.population("noise", 60, sc.PoissonSource(rate=50.0)), "spikes")
    run = sc.simulate(net, 200.0, output=tmp_path / "a.h5", max_rate=60.0, comm=SerialComm())
    assert 40 < run.rates()["noise"] < 60
    with pytest.raises(StateError, match="from 0 to 100 ms"):
        sc.simulate(net, 200.0, output=tmp_path / "b.h5", max_rate=40.0, comm=SerialComm())


HANGING = """
import threading, time
from simcore.simulation.watchdog import Watchdog
def where_it_hangs():
    {hang}
with Watchdog(2.0, 3) as dog:
    for _ in range(20):
        time.sleep(0.1)
        dog.beat()
    print("beats were heard", flush=True)
    where_it_hangs()
"""


REST = """
    with dog.rest():
        time.sleep(2.5)
        dog.beat()
        print("rested", flush=True)
    threading.Event().wait()
"""


def hung(hang):
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGING.format(hang=hang)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done, time.monotonic() - begin


def test_watchdog_ends_what_hangs():
    done, seconds = hung("threading.Event().wait()")
    assert done.returncode == 1
    assert done.stdout == "beats were heard\n"
    assert "rank 3 made no progress for 2 s" in done.stderr
    assert "where_it_hangs" in done.stderr
    assert seconds < 20.0


def test_watchdog_ends_a_stuck_interpreter():
    """A pattern that takes for ever, in C code that holds the lock of the interpreter."""
    done, seconds = hung("import re; re.match('(a*)*$', 'a' * 60 + 'b')")
    assert done.returncode == 1
    assert done.stdout == "beats were heard\n"
    assert "where_it_hangs" in done.stderr
    assert seconds < 40.0


def watchers():
    """Return how many watchdogs watch; threads of runs before may still be leaving."""
    return [thread.name for thread in threading.enumerate()].count("watchdog")


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_watchdog_lets_a_run_that_goes_on(seconds):
    assert watchers() == 0
    with Watchdog(seconds, 0) as dog:
        assert watchers() == (seconds > 0)
        for _ in range(15):
            time.sleep(0.1)
            dog.beat()
    assert watchers() == 0


def test_watchdog_that_is_over_does_not_come_back(monkeypatch):
    """Whoever reports progress may keep its beat."""
    armed = []
    monkeypatch.setattr("faulthandler.dump_traceback_later", lambda *a, **k: armed.append(1))
    with Watchdog(0.1, 0) as dog:
        pass
    time.sleep(0.05)
    dog.beat()
    assert armed == [1]


def test_watchdog_listens_to_the_run(monkeypatch, tmp_path):
    beats = []
    monkeypatch.setattr(Watchdog, "beat", lambda self: beats.append(1))
    sc.simulate(network(), 100.0, output=tmp_path / "run.h5", comm=SerialComm())
    assert len(beats) >= 6


def test_watchdog_that_rests_and_wakes():
    """It says nothing while it rests, and afterwards what hangs again has the whole time."""
    done, _ = hung(REST)
    assert done.returncode == 1
    assert done.stdout == "beats were heard\nrested\n"
    assert "where_it_hangs" in done.stderr


class Watched(SerialComm):
    """Notes whether a watchdog watches whenever ranks would wait for each other."""

    def __init__(self):
        super().__init__()
        self.watchers = []

    def bcast(self, value):
        self.watchers.append(watchers())
        return super().bcast(value)

    def allgather(self, value):
        self.watchers.append(watchers())
        return super().allgather(value)

    def allreduce_sum(self, array):
        self.watchers.append(watchers())
        return super().allreduce_sum(array)


def test_everything_that_ranks_do_together_is_watched(tmp_path):
    comm, path = Watched(), tmp_path / "run.h5"
    options = {"comm": comm, "backend": "reference"}

    sc.simulate(network(), 20.0, output=path, **options)
    sc.resume(path, network(), until=30.0, **options)
    sc.resume(path, network(), **options)

    assert len(comm.watchers) > 40
    assert set(comm.watchers) == {1}


def test_signals_are_noted_and_given_back():
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    with Signals() as signals:
        assert not signals.stops
        os.kill(os.getpid(), signal.SIGUSR1)
        assert (signals.checkpoint, signals.stops) == (True, set())
        for number in numbers[:3]:
            os.kill(os.getpid(), number)
        assert signals.stops == set(numbers[:3])
    assert [signal.getsignal(number) for number in numbers] == before


def test_second_interrupt_ends_at_once(capfd):
    with Signals(way="Go on there", speaks=True):
        os.kill(os.getpid(), signal.SIGINT)
        assert "Press it again to end the run at once" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt, match=r"second Ctrl-C\. Go on there"):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("context", [Signals, orderly_end])
def test_signal_that_is_ignored_stays_ignored(context):
    """As SIGHUP under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with context():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_work_that_is_ended_cleans_up(number):
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, orderly_end():
        os.kill(os.getpid(), number)
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) == before


def test_signals_outside_the_main_thread():
    seen = []

    def work():
        with Signals() as signals:
            seen.append(signals.stops)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [set()]
