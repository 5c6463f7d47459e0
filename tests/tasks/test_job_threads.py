"""Threads that decode: what they have done is nobody's business any more."""

from __future__ import annotations

import threading
import weakref

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
