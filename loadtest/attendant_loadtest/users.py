"""Locust users that stream answers over gRPC, one after the other.

Statistics, for workload ``chat``: ``chat`` is the whole answer, ``chat/first token`` the time to the first token,
``chat/inter-token`` the gaps between tokens, ``chat/cancelled`` answers that the user broke off. Locust's line
``Aggregated`` adds all of them up and means nothing here. Errors are counted by gRPC code.
"""

from __future__ import annotations

import random
from argparse import ArgumentParser
from typing import Any

import gevent
from attendant_proto.v1 import models_pb2
from locust import User, events, task
from locust.exception import StopUser

from attendant_loadtest import workers  # noqa: F401 - a master waits for them
from attendant_loadtest.client import Answer, CallFailed, GenerationClient
from attendant_loadtest.reaching import access_of, add_access
from attendant_loadtest.workloads import KINDS, Shape, make_request

FIRST_TOKEN, INTER_TOKEN, CANCELLED = "first token", "inter-token", "cancelled"
REQUEST_TYPE = "grpc"

MAX_PAUSE_S = 5.0
"""Longest wait that a server's retry delay causes."""


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: ArgumentParser, **_: object) -> None:
    """Settings of the users, as flags or environment variables."""
    group: Any = parser.add_argument_group("Attendant")

    def add(flag: str, **options: Any) -> None:
        group.add_argument(flag, env_var="LOCUST_" + flag.strip("-").replace("-", "_").upper(), **options)

    add("--model", default="", help="name of the model; none needed if the server has one")
    add("--workload", choices=KINDS, default="chat", help="how prompts are sent (default: chat)")
    add("--prompt-tokens", type=int, default=64, help="length of prompts, in words unless token_ids (default: 64)")
    add("--max-tokens", type=int, default=64, help="most tokens of an answer (default: 64)")
    add("--ignore-eos", action="store_true", help="answers always have max-tokens tokens")
    add("--cancel-share", type=float, default=0.0, help="share of answers that users break off, 0 to 1 (default: 0)")
    add("--request-timeout", type=float, default=None, help="deadline of each call in seconds (default: none)")
    add_access(add)


class GenerateUser(User):  # type: ignore[misc]
    """Sends a request, reads the answer to its end, sends the next. ``--host`` is the server's gRPC address."""

    def on_start(self) -> None:
        """Connect and ask what the model is."""
        options = self.environment.parsed_options
        self._shape = Shape(options.workload, options.prompt_tokens, options.max_tokens, options.ignore_eos)
        self._timeout_s: float | None = options.request_timeout
        self._cancel_share: float = options.cancel_share
        self._rng = random.Random()
        address = (self.host or "127.0.0.1:50051").rpartition("//")[2].rstrip("/")
        self._client = GenerationClient(address, access_of(options))
        self._model: models_pb2.Model | None = None
        try:
            self._model = self._client.get_model(options.model)
        except CallFailed as error:  # its first task ends the user: what on_start raises, Locust logs as an error
            self._report("GetModel", 0.0, 0, error)

    def on_stop(self) -> None:
        """Disconnect."""
        self._client.close()

    @task  # type: ignore[untyped-decorator]
    def generate(self) -> None:
        """One request."""
        if self._model is None:
            raise StopUser
        request = make_request(self._shape, self._model, self._rng)
        last = self._rng.randint(1, self._shape.max_tokens) if self._rng.random() < self._cancel_share else None
        answer = self._client.generate(
            request, self._timeout_s, broken_off=lambda tokens: last is not None and tokens >= last
        )
        self._record(answer)
        if answer.error is not None:
            gevent.sleep(min(answer.error.retry_after_s, MAX_PAUSE_S))

    def _record(self, answer: Answer) -> None:
        name = self._shape.kind
        if answer.first_token_s is not None:
            self._report(f"{name}/{FIRST_TOKEN}", answer.first_token_s, 0)
        # Not through the event, which costs more than the token: straight into the statistics.
        log = self.environment.stats.log_request
        for gap, count in zip(answer.gaps_s, answer.gap_tokens, strict=True):
            for _ in range(count):
                log(REQUEST_TYPE, f"{name}/{INTER_TOKEN}", gap / count * 1000, 0)
        whole = f"{name}/{CANCELLED}" if answer.cancelled else name
        self._report(whole, answer.total_s, answer.num_bytes, answer.error)

    def _report(self, name: str, seconds: float, length: int, error: CallFailed | None = None) -> None:
        self.environment.events.request.fire(
            request_type=REQUEST_TYPE,
            name=name,
            response_time=seconds * 1000,
            response_length=length,
            exception=error,
            context={},
        )
