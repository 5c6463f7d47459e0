"""How fast two models answer: rounds that take turns, so that what else the machine does befalls both."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from attendant_proto.v1 import generation_pb2 as pb

from attendant.client.compare.cases import Case
from attendant.client.compare.contestant import Contestant


@dataclass(frozen=True, slots=True)
class Timed:
    """One request, as its caller saw it. Seconds; ``inter_token_s``: mean of an answer, None of one token."""

    total_s: float
    num_tokens: int = 0
    first_token_s: float | None = None
    inter_token_s: float | None = None


@dataclass
class Clocked:
    """All timed requests of a model, and of each round its seconds from begin to end."""

    requests: list[Timed] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)
    num_tokens: list[int] = field(default_factory=list)
    per_round: int = 0

    def take(self, timed: Sequence[Timed], seconds: float) -> None:
        """A round."""
        self.requests += timed
        self.rounds.append(seconds)
        self.num_tokens.append(sum(each.num_tokens for each in timed))
        self.per_round = len(timed)


Ask = Callable[[int], Timed]
"""One timed request by the index of its case."""


def take_turns(asks: Sequence[Ask], count: int, rounds: int, concurrency: int) -> list[Clocked]:
    """Time ``count`` requests of each model in each round. In every other round the second model begins."""
    clocks = [Clocked() for _ in asks]
    with ThreadPoolExecutor(concurrency) as pool:
        for number in range(rounds):
            order = list(range(len(asks)))
            for which in order if number % 2 == 0 else reversed(order):
                began = time.monotonic()
                timed = list(pool.map(asks[which], range(count)))
                clocks[which].take(timed, time.monotonic() - began)
    return clocks


def timed_generation(contestant: Contestant, cases: Sequence[Case], lengths: Sequence[int]) -> Ask:
    """Ask for answers as long as the model's own, to prompts that begin with a word that no cache has seen."""

    def ask(index: int) -> Timed:
        request = timed_request(contestant, cases[index], max(1, lengths[index]))
        return _time(contestant, request)

    return ask


def timed_request(contestant: Contestant, case: Case, length: int) -> pb.GenerateRequest:
    """See :func:`timed_generation`. What reads a source keeps no prompts, and gets its text as it is."""
    request = case.generate_request(contestant.name, length, chats=contestant.chats, translates=contestant.translates)
    request.stopping.max_tokens = request.stopping.min_tokens = length
    request.stopping.ignore_eos = True
    if not contestant.translates:
        word = f"{secrets.token_hex(3)} "
        if request.HasField("chat"):
            request.chat.messages[0].content = word + request.chat.messages[0].content
        else:
            request.text = word + request.text
    return request


def timed_encoding(contestant: Contestant, cases: Sequence[Case], request_of: Callable[[Case], Any]) -> Ask:
    """Ask a model that encodes."""

    def ask(index: int) -> Timed:
        request = request_of(cases[index])
        began = time.monotonic()
        contestant.connection.encode(request)
        return Timed(time.monotonic() - began)

    return ask


def _time(contestant: Contestant, request: pb.GenerateRequest) -> Timed:
    began = time.monotonic()
    first = last = began
    seen = num_tokens = 0
    for response in contestant.connection.generate(request):
        now = time.monotonic()
        if response.token_ids:
            first = first if seen else now
            last, seen = now, seen + len(response.token_ids)
        if response.HasField("finish"):
            num_tokens = response.finish.usage.completion_tokens
    ended = time.monotonic()
    inter_token_s = (last - first) / (seen - 1) if seen > 1 else None
    return Timed(ended - began, num_tokens, first - began if seen else None, inter_token_s)
