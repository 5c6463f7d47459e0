"""What is refused before a run, and when a run of ``--rounds`` ends."""

from __future__ import annotations

import sys
from typing import Any

import gevent
from locust import events
from locust.runners import MasterRunner, WorkerRunner

from attendant_loadtest.calls.outcome import parts_of
from attendant_loadtest.calls.user import CallingUser

LOOK_S = 0.1


@events.init.add_listener  # type: ignore[untyped-decorator]
def refuse(environment: Any, **_: object) -> None:
    """Flags that mean nothing here end the program."""
    options = environment.parsed_options
    users = [user for user in environment.user_classes if issubclass(user, CallingUser)]
    names = sorted({call.name for user in users for call in user.calls})
    for wanted in parts_of(options.calls):
        if not any(name.endswith(wanted) for name in names):
            sys.exit(f"--calls: no user makes {wanted!r}; allowed: the end of one of {', '.join(names)}")
    if options.rounds and isinstance(environment.runner, MasterRunner | WorkerRunner):
        sys.exit(f"--rounds is {options.rounds}, with several processes; allowed there: --run-time")


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def end_with_the_last(environment: Any, **_: object) -> None:
    """Ends the run when nobody is left."""
    if environment.parsed_options.rounds:
        gevent.spawn(_wait, environment.runner)


def _wait(runner: Any) -> None:
    while runner.state != "running" or runner.user_count:
        gevent.sleep(LOOK_S)
    runner.quit()
