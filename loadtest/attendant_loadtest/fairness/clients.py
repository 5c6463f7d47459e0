"""Clients of one server: each a tenant, with so many requests at a time or with so many a second."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import grpc
import grpc.aio
from attendant_proto.v1 import generation_pb2, generation_pb2_grpc

from attendant_loadtest.workloads import WORDS

TENANT_KEY = "x-llm-d-inference-fairness-id"
INPUT_WEIGHT, OUTPUT_WEIGHT = 1, 2
"""As the server charges tokens of prompts and generated ones."""

NUM_TEXTS = 4096
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
"""A connection lets only so many calls of its own run."""


class FirstToken(NamedTuple):
    """Seconds from a request to its first token: by the client's clock, and from its arrival by the server's."""

    client_s: float
    server_s: float


@dataclass
class Client:
    """One tenant, and what it got between two moments.

    Attributes:
        name: of the tenant.
        service: weighted tokens of answers as they came; a prompt counts when its answer ends.
        first_tokens: of requests whose answers ended.
        refused: requests that were.
    """

    name: str
    service: int = 0
    first_tokens: list[FirstToken] = field(default_factory=list)
    refused: int = 0

    def forget(self) -> None:
        """Begin to count anew."""
        self.service, self.refused = 0, 0
        self.first_tokens.clear()


def texts_of(words: int, seed: int) -> list[str]:
    """Prompts of so many words."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=words)) for _ in range(NUM_TEXTS)]


class Asking:
    """What clients ask: prompts of words, greedy answers of so many tokens, which no end of text cuts short."""

    def __init__(self, channel: grpc.aio.Channel, model: str, texts: Sequence[str], max_tokens: int) -> None:
        self._generate = generation_pb2_grpc.GenerationStub(channel).Generate  # type: ignore[no-untyped-call]
        self._model = model
        self._texts = itertools.cycle(texts)
        self._stopping = generation_pb2.Stopping(max_tokens=max_tokens, ignore_eos=True)

    async def once(self, client: Client) -> None:
        """One request, to its end."""
        request = generation_pb2.GenerateRequest(
            model=self._model,
            text=next(self._texts),
            stopping=self._stopping,
            sampling=generation_pb2.Sampling(temperature=0),
        )
        began, first = time.perf_counter(), 0.0
        try:
            async for message in self._generate(request, metadata=((TENANT_KEY, client.name),)):
                if message.token_ids:
                    first = first or time.perf_counter() - began
                    client.service += OUTPUT_WEIGHT * len(message.token_ids)
                if message.HasField("finish"):
                    usage = message.finish.usage
                    client.service += INPUT_WEIGHT * (usage.prompt_tokens - usage.cached_tokens)
                    client.first_tokens.append(FirstToken(first, message.finish.timings.first_token_s))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.CANCELLED:  # the measurement is over
                raise asyncio.CancelledError from error
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            client.refused += 1
            await asyncio.sleep(0.05)

    async def always(self, client: Client, at_a_time: int) -> None:
        """Until it is cancelled, so many requests at a time, each followed by the next."""

        async def one_by_one() -> None:
            while True:
                await self.once(client)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_a_time):
                tasks.create_task(one_by_one())

    async def paced(self, client: Client, per_s: float, seed: int) -> None:
        """Until it is cancelled, so many requests a second, at random moments, whether others have ended or not."""
        rng = random.Random(seed)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await asyncio.sleep(rng.expovariate(per_s))
                tasks.create_task(self.once(client))
