"""Has a master of Locust wait for what its workers tell last."""

from __future__ import annotations

from typing import Any

import gevent
from locust import events
from locust.rpc import Message
from locust.runners import STATE_STOPPING, MasterRunner

LOOK_S = 0.05
PATIENCE_S = 60.0
"""For workers, after what ``--stop-timeout`` gives their calls."""


@events.test_stopping.add_listener  # type: ignore[untyped-decorator]
def wait_for_the_last(environment: Any, **_: object) -> None:
    """At the end of a headless run a master waits half a second for its workers: answers that take longer, the slow
    ones, would be missing from its figures. A worker that has told all leaves, and then the master knows it no more."""
    runner = environment.runner
    if not isinstance(runner, MasterRunner) or not environment.parsed_options.headless:
        return
    runner.update_state(STATE_STOPPING)  # the users of a worker that leaves are not given to another
    for client in runner.clients.all:
        runner.server.send_to_client(Message("quit", None, client.id))
    with gevent.Timeout((environment.stop_timeout or 0.0) + PATIENCE_S, False):
        while runner.clients.all:
            gevent.sleep(LOOK_S)
