"""Clients of one server: each a tenant, with so many requests at a time or with so many a second."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
import grpc.aio
from attendant_proto.v1 import generation_pb2, generation_pb2_grpc

TENANT_KEY = "x-llm-d-inference-fairness-id"
INPUT_WEIGHT, OUTPUT_WEIGHT = 1, 2
"""As the server charges tokens of prompts and generated ones."""


@dataclass
class Client:
    """One tenant, and what it got between two moments.

    Attributes:
        name: of the tenant.
        service: weighted tokens of answers as they came; a prompt counts when its first token comes.
        first_tokens_s: seconds from each request to its first token.
        refused: requests that were.
    """

    name: str
    service: int = 0
    first_tokens_s: list[float] = field(default_factory=list)
    refused: int = 0

    def forget(self) -> None:
        """Begin to count anew."""
        self.service, self.refused = 0, 0
        self.first_tokens_s.clear()


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
        began, first, outputs = time.perf_counter(), 0.0, 0
        try:
            async for message in self._generate(request, metadata=((TENANT_KEY, client.name),)):
                if message.token_ids:
                    if not first:
                        first = time.perf_counter() - began
                        client.first_tokens_s.append(first)
                    outputs += len(message.token_ids)
                    client.service += OUTPUT_WEIGHT * len(message.token_ids)
                if message.HasField("finish"):
                    usage = message.finish.usage
                    client.service += INPUT_WEIGHT * (usage.prompt_tokens - usage.cached_tokens)
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
