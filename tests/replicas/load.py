"""Calls that come on their own to an address, and what became of each."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import numpy as np
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc

Metadata = tuple[tuple[str, str], ...]
Make = Callable[[int], tuple[pb.GenerateRequest, Metadata]]


@dataclass
class Heard:
    """What became of calls. ``first_s``: seconds from when a call was to begin to its first token; ``gaps``: what was
    told of those that failed."""

    ended: Counter[str] = field(default_factory=Counter)
    first_s: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0

    @property
    def calls(self) -> int:
        return sum(self.ended.values())

    @property
    def failed(self) -> int:
        return self.calls - self.ended["OK"]

    @property
    def hit_rate(self) -> float:
        """Share of the prompts' tokens that was found in a cache."""
        return self.cached_tokens / max(self.prompt_tokens, 1)

    def quantile(self, q: float) -> float:
        """Of the seconds until the first token."""
        return float(np.quantile(self.first_s, q)) if self.first_s else float("nan")


async def one(stub: Any, message: pb.GenerateRequest, metadata: Metadata, begin_s: float, heard: Heard) -> None:
    """Make one call, and note what became of it. ``begin_s``: when it was to begin, monotonic."""
    first = True
    try:
        async for part in stub.Generate(message, metadata=metadata, timeout=120):
            if first and part.token_ids:
                first = False
                heard.first_s.append(time.monotonic() - begin_s)
            heard.tokens += len(part.token_ids)
            if part.HasField("finish"):
                heard.prompt_tokens += part.finish.usage.prompt_tokens
                heard.cached_tokens += part.finish.usage.cached_tokens
        heard.ended["OK"] += 1
    except grpc.aio.AioRpcError as error:
        heard.ended[error.code().name] += 1
        heard.told.append(f"{error.code().name}: {error.details()}")


async def capacity_per_s(address: str, make: Make, callers: int, seconds: float) -> float:
    """Calls a second where so many are always asked for."""
    heard = Heard()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = generation_pb2_grpc.GenerationStub(channel)
        end = time.monotonic() + seconds

        async def ask_on(number: int) -> None:
            while time.monotonic() < end:
                await one(stub, *make(number), time.monotonic(), heard)
                number += callers

        begun = time.monotonic()
        await asyncio.gather(*map(ask_on, range(callers)))
    return heard.calls / (time.monotonic() - begun)


async def offer(address: str, make: Make, per_s: float, ended: Callable[[int], bool], seed: int = 0) -> Heard:
    """Calls by a Poisson process until ``ended`` says so, which is told how many came."""
    heard, chance = Heard(), random.Random(seed)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = generation_pb2_grpc.GenerationStub(channel)
        tasks: list[asyncio.Task[None]] = []
        next_s = time.monotonic()
        while not ended(len(tasks)):
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            tasks.append(asyncio.create_task(one(stub, *make(len(tasks)), next_s, heard)))
            next_s += chance.expovariate(per_s)
        await asyncio.gather(*tasks)
    return heard
