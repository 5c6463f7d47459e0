"""A process of its own: how it begins, talks and ends, in every way that one can end."""

from __future__ import annotations

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.core.errors import BundleError, EngineDead, InvalidRequest, Unavailable
from attendant.processes.child import Child

from tests.processes.services import make, make_none

PATIENCE_S = 300


def quiet(line: str) -> None:
    """Nobody reads how far it is."""


class Heard:
    """What comes of a service, in order."""

    def __init__(self) -> None:
        self.reports: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.deaths: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def next(self) -> Any:
        return self.reports.get(timeout=PATIENCE_S)

    def death(self) -> BaseException:
        return self.deaths.get(timeout=PATIENCE_S)


@contextmanager
def running(*numbers: int) -> Iterator[tuple[Child, list[Heard]]]:
    """A process with an echo of each number, started. It is gone afterwards, and with it all that it took."""
    before = taken()
    child = Child("echoes")
    heard = [Heard() for _ in numbers]
    try:
        child.make(quiet, make, *numbers)
        for index, each in enumerate(heard):
            child.start(index, each.reports.put, each.deaths.put)
        yield child, heard
    finally:
        child.kill()
        assert child.wait(PATIENCE_S)
    eventually(lambda: no_more_than(before))


def taken() -> tuple[int, int]:
    """Descriptors and threads of this process."""
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def no_more_than(before: tuple[int, int]) -> bool:
    """Whether no more is taken; of an earlier test, something may have been on its way out."""
    return all(now <= then for now, then in zip(taken(), before, strict=True))


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


def exists(pid: int) -> bool:
    """Whether there is such a process, be it dead and not reaped."""
    return Path(f"/proc/{pid}").exists()


def test_it_makes_what_it_is_ordered_and_says_how_far_it_is() -> None:
    child, lines = Child("echoes"), list[str]()
    pid, group, folder = child.make(lines.append, make, 1, 2)
    assert lines == ["making 2"]
    assert (pid, group, folder) == (child.pid, child.pid, os.getcwd())
    assert os.getsid(child.pid) == os.getsid(0), "or the scheduler would share the processors out between them"
    assert child.pid != os.getpid()
    assert child.alive
    child.kill()
    assert child.wait(PATIENCE_S)
    assert not child.alive
    assert not exists(child.pid)


def test_commands_and_reports_keep_their_order_and_find_their_service() -> None:
    with running(1, 2) as (child, (one, two)):
        for number in range(200):
            child.tell(number % 2, number)
        assert [one.next() for _ in range(100)] == [(1, number) for number in range(0, 200, 2)]
        assert [two.next() for _ in range(100)] == [(2, number) for number in range(1, 200, 2)]


def test_arrays_cross_both_ways() -> None:
    with running(1) as (child, (one,)):
        image = np.random.default_rng(0).standard_normal((3, 224, 224)).astype(np.float32)
        child.tell(0, {"image": image})
        assert (one.next()[1]["image"] == image).all()


def test_it_ends_when_its_last_service_stops_and_says_the_last_word() -> None:
    with running(1, 2) as (child, (one, two)):
        child.stop(0)
        assert one.next() == (1, "stopped")
        child.tell(1, "still here")
        assert two.next() == (2, "still here")
        child.stop(1)
        assert two.next() == (2, "stopped")
        assert child.wait(PATIENCE_S)
        child.stop(1)  # again
        assert one.deaths.empty()
        assert two.deaths.empty()


def test_services_that_never_started_can_be_stopped() -> None:
    child = Child("echoes")
    child.make(quiet, make, 1, 2)
    child.stop(0)
    child.stop(1)
    assert child.wait(PATIENCE_S)


@pytest.mark.parametrize(
    ("word", "how"),
    [("segfault", "was ended by SIGSEGV"), ("exit", "ended with status 7"), (signal.SIGKILL, "was ended by SIGKILL")],
)
def test_every_service_hears_of_a_crash_once(word: str | int, how: str) -> None:
    with running(1, 2) as (child, heard):
        if isinstance(word, str):
            child.tell(0, word)
        else:
            os.kill(child.pid, word)
        for each in heard:
            death = each.death()
            assert isinstance(death, EngineDead)
            assert str(death) == f"the process of echoes {how}"
        assert child.wait(PATIENCE_S)
        child.tell(0, "is anybody there?")
        child.stop(0)
        with pytest.raises(EngineDead, match=how):
            child.start(1, print, print)
        assert all(each.deaths.empty() for each in heard)


def test_a_service_that_dies_says_why_and_the_others_go_on() -> None:
    with running(1, 2) as (child, (one, two)):
        child.tell(0, "die")
        death = one.death()
        assert isinstance(death, Unavailable)
        assert str(death) == "RuntimeError: told to die"
        child.tell(1, "still here")
        assert two.next() == (2, "still here")
        child.kill()
        two.death()
        assert one.deaths.empty()


def test_what_keeps_it_from_making_anything_is_raised_here() -> None:
    before = taken()
    for what, kind, words in (
        ("bundle", BundleError, "/there/it.onnx: is broken"),
        ("killed", EngineDead, "the process of nothing was ended by SIGKILL"),
        ("other", Unavailable, "KeyError: 'other'"),
    ):
        child, lines = Child("nothing"), list[str]()
        with pytest.raises(kind) as caught:
            child.make(lines.append, make_none, what)
        assert str(caught.value) == words
        assert lines == ["trying"]
        assert child.wait(PATIENCE_S)
    eventually(lambda: no_more_than(before))


def test_whoever_hears_how_far_it_is_can_give_it_up() -> None:
    def stop(line: str) -> None:
        raise Unavailable(line)

    child = Child("echoes")
    with pytest.raises(Unavailable, match="making 1"):
        child.make(stop, make, 1)
    assert child.wait(PATIENCE_S)


def test_a_service_that_cannot_start_says_why() -> None:
    with running(1) as (_, _):
        child = Child("echoes")
        child.make(quiet, make, 99)
        heard = Heard()
        with pytest.raises(InvalidRequest, match="number is 99"):
            child.start(0, heard.reports.put, heard.deaths.put)
        child.kill()
        assert child.wait(PATIENCE_S)
        assert heard.deaths.empty()


def test_its_log_is_the_servers_and_says_whose_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with running(1) as (child, (one,)), caplog.at_level(logging.INFO):
        child.tell(0, "log")
        child.tell(0, "after it")
        one.next()
    (record,) = [record for record in caplog.records if record.name == "attendant.tests"]
    assert record.getMessage() == "[echoes] a word of the process"
    assert (record.levelname, record.process) == ("WARNING", child.pid)


def test_signals_to_the_servers_group_are_not_its_own() -> None:
    with running(1) as (child, (one,)):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(child.pid, number)
        child.tell(0, "still here")
        assert one.next() == (1, "still here")


def test_anybody_can_see_since_when_it_hangs_and_where() -> None:
    with running(1) as (child, (one,)):
        assert child.busy_since_ns(0) == 0
        before = time.monotonic_ns()
        child.tell(0, "hang")
        eventually(lambda: "in _hang" in child.where(0) or child.busy_since_ns(0) < 0)
        assert before < child.busy_since_ns(0) < time.monotonic_ns()
        child.kill()
        one.death()
        assert child.busy_since_ns(0) == 0


def test_one_that_hangs_as_a_whole_is_busy_since_it_was_asked() -> None:
    with running(1) as (child, (one,)):
        child.tell(0, "stop")
        eventually(lambda: Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        before = time.monotonic_ns()
        child.busy_since_ns(0)
        since_ns = child.busy_since_ns(0)
        assert before <= since_ns == child.busy_since_ns(0)
        child.kill()
        assert "SIGKILL" in str(one.death())


SERVER = """
import signal, sys, time
from attendant.processes.child import Child
from tests.processes.services import make
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process inherits it ignored where its parent runs aside
child = Child("echoes")
child.make(lambda line: None, make, 1)
print(child.pid, flush=True)
while True:  # a signal that comes just before a sleep does not end it
    time.sleep(0.05)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_the_server_however_that_ends(number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        try:
            pid = int(server.stdout.readline())
            os.kill(server.pid, number)
            server.wait(PATIENCE_S)
        finally:
            server.kill()  # or the wait for its end would have none
        eventually(lambda: not exists(pid))
