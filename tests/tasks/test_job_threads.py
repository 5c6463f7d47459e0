"""Threads that decode: what they have done is nobody's business any more."""

from __future__ import annotations

import threading
import weakref

import pytest
from attendant.tasks.job_threads import JobThreads


class Decoded:
    """Something large."""


def test_what_a_job_made_is_not_kept_until_the_next() -> None:
    threads = JobThreads(1)
    gone = threading.Event()
    made = threads.submit(Decoded)
    weakref.finalize(made.result(60), gone.set)
    del made
    assert gone.wait(60)
    threads.close()


def test_a_machine_without_threads_refuses_a_job_and_serves_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [0]
    start = threading.Thread.start

    def starts(self: threading.Thread) -> None:
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(self)

    monkeypatch.setattr(threading.Thread, "start", starts)
    threads = JobThreads(3)
    ran: list[str] = []
    with pytest.raises(RuntimeError, match="can't start new thread"):
        threads.submit(lambda: ran.append("refused"))
    left[0] = 1
    done = [threads.submit(lambda: ran.append("done")) for _ in range(2)]  # by the one thread that there is
    for each in done:
        each.result(60)
    left[0] = 5
    threads.submit(lambda: ran.append("done")).result(60)
    assert left == [3], "the two that were missing"
    assert ran == ["done"] * 3
    threads.close()
