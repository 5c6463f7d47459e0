"""A user that makes its calls in turn, so that each is made as often as the others."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import gevent
import grpc
from attendant_proto.v1 import models_pb2, models_pb2_grpc
from locust import User, task
from locust.exception import StopUser

from attendant_loadtest.calls.outcome import Failure, Outcome, parts_of
from attendant_loadtest.calls.route import Route, Site
from attendant_loadtest.calls.rpc import Connection, Rpc
from attendant_loadtest.calls.subject import RELOAD, Models, Subject
from attendant_loadtest.client import CallFailed
from attendant_loadtest.reaching import access_of, context_of
from attendant_loadtest.users import MAX_PAUSE_S, REQUEST_TYPE

FIRST_PART = "first part"
WAIT_S = 10.0
"""For a server that is not there yet."""

LOG = logging.getLogger(__name__)
_SAID: set[str] = set()
_WHY = {"": "--vllm-host names no port", RELOAD: "--reload names no model"}
"""A call that needs no model has no server either."""

Call = Rpc | Route


class CallingUser(User):  # type: ignore[misc]
    """Asks the server, at ``--host`` (gRPC), which models it has, then makes those of ``calls`` that they can do.

    Statistics: the name of a call is its whole answer; with ``/first part`` behind it, the time to the first part, of
    one that comes in parts. Calls that no model can do are not made, and the log says so once.
    """

    abstract = True
    calls: tuple[Call, ...] = ()

    def on_start(self) -> None:
        """Find out what there is to call."""
        options = self.environment.parsed_options
        self._timeout_s: float | None = options.request_timeout
        self._rounds: int = options.rounds
        length, most = options.prompt_tokens, options.max_tokens
        self._subject = Subject(random.Random(), length, most, options.mask, options.sound_s)
        self.access = access_of(options)
        self._site = Site(options.http_host, self.access.token, context_of(options, self.access))
        self._connections: list[Connection] = []
        self._made = 0
        self._turns: list[tuple[Connection, Call, str]] = []
        with suppress(StopUser):  # of on_start, Locust would log it as an error
            self._turns += self._found(parts_of(options.calls))

    def on_stop(self) -> None:
        """Disconnect."""
        self._site.close()
        for connection in self._connections:
            connection.close()

    @task  # type: ignore[untyped-decorator]
    def call(self) -> None:
        """The next call."""
        if self._made == self._rounds * len(self._turns) and (self._rounds or not self._turns):
            raise StopUser
        connection, call, self._subject.model = self._turns[self._made % len(self._turns)]
        self._made += 1
        if isinstance(call, Rpc):
            outcome, kind = connection.call(call, self._subject, self._timeout_s), REQUEST_TYPE
        else:
            outcome, kind = self._site.call(call, self._subject, self._timeout_s), call.verb
        self._record(call.name, kind, outcome)

    def servers(self) -> Iterator[tuple[str, Models]]:
        """Addresses of gRPC, and what is there."""
        options = self.environment.parsed_options
        address = (self.host or "127.0.0.1:50051").rpartition("//")[2].rstrip("/")
        with self.access.channel(address, []) as channel:
            stub: Any = models_pb2_grpc.ModelsStub(channel)  # type: ignore[no-untyped-call]
            listed = self.asked("ListModels", stub.ListModels, models_pb2.ListModelsRequest())
        models = Models.of(listed.models, parts_of(options.models), options.reload)
        for name in parts_of(options.models):
            if name not in models.capabilities:
                self.say(f"--models: the server has no model {name!r} that takes calls")
        yield address, models

    def asked(self, name: str, method: Any, message: Any) -> Any:
        """What a server says of itself. Waits for it; a failure is counted, and ends the user."""
        try:
            return method(message, timeout=WAIT_S, wait_for_ready=True)
        except grpc.RpcError as error:
            self._record(name, REQUEST_TYPE, Outcome(error=_failure(error)))
            raise StopUser from None

    def say(self, what: str, more: str = "") -> None:
        """Tell the log something, once in a process; ``more`` may be other words each time."""
        if what not in _SAID:
            _SAID.add(what)
            LOG.warning("%s", f"{what}: {more[:300]}" if more else what)

    def _found(self, wanted: list[str]) -> Iterator[tuple[Connection, Call, str]]:
        calls = [call for call in self.calls if not wanted or any(call.name.endswith(name) for name in wanted)]
        left = {call.name: call.needs for call in calls}
        for address, models in self.servers():
            connection = Connection(address, self.access)
            self._connections.append(connection)
            for call in calls:
                model = models.able(call.needs)
                if model is not None:
                    left.pop(call.name, None)
                    yield connection, call, model
        for name, needs in left.items():
            self.say(f"{name} is not called: " + _WHY.get(needs, f"no model that takes calls can do it ({needs})"))

    def _record(self, name: str, kind: str, outcome: Outcome) -> None:
        fire = self.environment.events.request.fire
        if outcome.first_s is not None:
            first = {"name": f"{name}/{FIRST_PART}", "response_time": outcome.first_s * 1000, "response_length": 0}
            fire(request_type=kind, exception=None, context={}, **first)
        fire(
            request_type=kind,
            name=name,
            response_time=outcome.total_s * 1000,
            response_length=outcome.num_bytes,
            exception=outcome.error,
            context={},
        )
        if outcome.error is not None:
            self.say(f"{name}: {outcome.error}", outcome.error.details)
            gevent.sleep(min(outcome.error.retry_after_s, MAX_PAUSE_S))


def _failure(error: grpc.RpcError) -> Failure:
    failed = CallFailed(error)
    return Failure(str(failed), failed.details)
