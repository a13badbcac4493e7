"""Progress: one rewritten line on a terminal, few plain lines elsewhere."""

import io

import pytest

from simcore.services import progress
from simcore.services.progress import Progress, TaskProgress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """A clock that goes only when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    clock = Clock()
    monkeypatch.setattr(progress, "perf_counter", clock)
    return clock


def drive(report, clock, seconds_per_ms=0.1):
    """Go through a build of 5 s and a run of 1000 ms."""
    for share in range(6):
        report.building(share / 5)
        clock.now += 1.0
    report.built(6.0, 1200, 34000)
    for ms in range(0, 1001, 5):
        report.running(float(ms))
        clock.now += 5 * seconds_per_ms
    clock.now -= 5 * seconds_per_ms
    report.finished()


def test_plain_lines_are_few(clock):
    stream = io.StringIO()
    drive(Progress(1000.0, stream), clock)
    lines = stream.getvalue().splitlines()

    assert lines[0] == "building the network (0%)"
    assert lines[1] == "built 1,200 neurons and 34,000 synapses in 6 s"
    assert lines[2] == "0 of 1000 ms (0%)"
    assert lines[3] == "100 of 1000 ms, real-time factor 100, 1:30 min left (10%)"
    assert lines[-1] == "simulated 1000 ms in 1:40 min, real-time factor 100"
    assert len(lines) == 14
    assert "\r" not in stream.getvalue()


def test_terminal_has_one_line_rewritten(clock):
    stream = Terminal()
    drive(Progress(1000.0, stream), clock)
    text = stream.getvalue()

    assert text.count("\n") == 2
    assert "[############............]  50%  500 of 1000 ms, real-time factor 100" in text
    assert text.endswith("\r\x1b[Ksimulated 1000 ms in 1:40 min, real-time factor 100\n")


def test_terminal_line_never_wraps(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    stream = Terminal()
    drive(Progress(1000.0, stream), clock)
    rewritten = [part for part in stream.getvalue().split("\r\x1b[K") if "\n" not in part]

    assert max(map(len, rewritten)) == 29


def test_dumb_terminal_gets_plain_lines(clock, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    drive(Progress(1000.0, stream), clock)

    assert "\r" not in stream.getvalue()


def test_disabled_is_silent(clock):
    stream = io.StringIO()
    drive(Progress(1000.0, stream, enabled=False), clock)

    assert stream.getvalue() == ""


def test_pace_counts_from_where_the_run_began(clock):
    stream = io.StringIO()
    report = Progress(1000.0, stream)
    report.running(500.0)
    clock.now += 50.0
    report.running(600.0)

    assert "real-time factor 500, 3:20 min left (60%)" in stream.getvalue()


def test_message_does_not_mix_with_the_line(clock):
    stream = Terminal()
    report = Progress(1000.0, stream)
    report.running(0.0)
    report.message("checkpoint written")

    assert stream.getvalue().endswith("\r\x1b[Kcheckpoint written\n")


def test_closed_stream_does_not_end_the_run(clock):
    stream = Terminal()
    report = Progress(1000.0, stream)
    stream.close()
    drive(report, clock)

    assert not report.enabled


def work(stream, clock, seconds):
    """Go through 1000 spikes in ten parts."""
    with TaskProgress("read", 1000, "spikes", stream) as report:
        for _ in range(10):
            clock.now += seconds / 10
            report.advance(100)


def test_work_tells_what_is_left(clock):
    stream = io.StringIO()
    work(stream, clock, 50.0)

    assert stream.getvalue().splitlines() == [
        "200 of 1,000 spikes, 40 s left (20%)",
        "400 of 1,000 spikes, 30 s left (40%)",
        "600 of 1,000 spikes, 20 s left (60%)",
        "800 of 1,000 spikes, 10 s left (80%)",
        "1,000 of 1,000 spikes, 0 s left (100%)",
    ]


def test_work_leaves_no_line_on_a_terminal(clock):
    stream = Terminal()
    work(stream, clock, 50.0)

    assert (
        "read  [############............]  50%  500 of 1,000 spikes, 25 s left" in stream.getvalue()
    )
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_work_done_at_once_is_silent(clock, stream):
    work(stream, clock, 0.1)

    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.01234, "0.0123 s"), (59.0, "59 s"), (61.0, "1:01 min"), (7530.0, "2:05:30 h")],
)
def test_duration_in_words(seconds, text):
    assert duration(seconds) == text
