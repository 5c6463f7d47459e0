"""Calls that come on their own to an address, and what became of each."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import httpx
import numpy as np
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc

Metadata = tuple[tuple[str, str], ...]
Make = Callable[[int], tuple[pb.GenerateRequest, Metadata]]
Body = Callable[[int], dict[str, Any]]


@dataclass
class Heard:
    """What became of calls.

    Attributes:
        ended: calls by how they ended; OK: well.
        broken: those that failed after something of the answer had come.
        first_s: seconds from when a call was to begin to its first token, without answers that come as a whole.
        told: what was said of those that failed.
    """

    ended: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    first_s: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    cached_tokens: int = 0

    @property
    def calls(self) -> int:
        return self.ended.total()

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

    def add(self, other: Heard) -> None:
        """Take in what became of other calls."""
        self.ended += other.ended
        self.broken += other.broken
        self.first_s += other.first_s
        self.told += other.told
        self.prompt_tokens += other.prompt_tokens
        self.cached_tokens += other.cached_tokens


Ask = Callable[[int, float, Heard], Awaitable[None]]
"""Makes one call, by its number, that was to begin at a moment of the monotonic clock, and notes what became of it."""


@asynccontextmanager
async def by_grpc(address: str, make: Make) -> AsyncGenerator[Ask]:
    """Calls of ``attendant.v1``."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = generation_pb2_grpc.GenerationStub(channel)

        async def ask(number: int, begin_s: float, heard: Heard) -> None:
            message, metadata = make(number)
            begun = False
            try:
                async for part in stub.Generate(message, metadata=metadata, timeout=120):
                    if not begun and part.token_ids and not message.whole:
                        heard.first_s.append(time.monotonic() - begin_s)
                    begun = True
                    if part.HasField("finish"):
                        heard.prompt_tokens += part.finish.usage.prompt_tokens
                        heard.cached_tokens += part.finish.usage.cached_tokens
                heard.ended["OK"] += 1
            except grpc.aio.AioRpcError as error:
                heard.ended[error.code().name] += 1
                heard.broken += begun
                heard.told.append(f"{error.code().name}: {error.details()}")

        yield ask


@asynccontextmanager
async def by_http(address: str, body: Body) -> AsyncGenerator[Ask]:
    """OpenAI's chats, as streams or as a whole."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=f"http://{address}/v1", limits=limits, timeout=120, trust_env=False
    ) as client:

        async def ask(number: int, begin_s: float, heard: Heard) -> None:
            asked = body(number)
            begun = False
            end = "NO_END"
            try:
                async with client.stream("POST", "/chat/completions", json=asked) as response:
                    if response.is_error:
                        end = str(response.status_code)
                        heard.told.append(f"{end}: {(await response.aread()).decode()[:200]}")
                    elif not asked.get("stream"):
                        _count(json.loads(await response.aread()), heard)
                        end = "OK"
                    else:
                        async for line in response.aiter_lines():
                            data = line.removeprefix("data:").strip()
                            if data == "[DONE]":
                                end = "OK"
                            elif data.startswith("{"):
                                event = json.loads(data)
                                if "error" in event:
                                    end = "ERROR"
                                    heard.told.append(data[:200])
                                    break
                                _count(event, heard)
                                if any(choice["delta"].get("content") for choice in event.get("choices", ())):
                                    if not begun:
                                        heard.first_s.append(time.monotonic() - begin_s)
                                    begun = True
            except httpx.HTTPError as error:
                end = type(error).__name__
                heard.told.append(f"{end}: {error}")
            heard.ended[end] += 1
            heard.broken += begun and end != "OK"

        yield ask


def _count(answer: dict[str, Any], heard: Heard) -> None:
    usage = answer.get("usage") or {}
    heard.prompt_tokens += usage.get("prompt_tokens", 0)
    heard.cached_tokens += (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)


async def capacity_per_s(ask: Ask, callers: int, seconds: float) -> float:
    """Calls a second where so many are always asked for."""
    heard = Heard()
    end = time.monotonic() + seconds

    async def ask_on(number: int) -> None:
        while time.monotonic() < end:
            await ask(number, time.monotonic(), heard)
            number += callers

    begun = time.monotonic()
    await asyncio.gather(*map(ask_on, range(callers)))
    return heard.calls / (time.monotonic() - begun)


async def offer(ask: Ask, per_s: float, ended: Callable[[int], bool], seed: int = 0) -> Heard:
    """Calls by a Poisson process until ``ended`` says so, which is told how many came."""
    heard, chance = Heard(), random.Random(seed)
    tasks: list[asyncio.Task[None]] = []
    next_s = time.monotonic()
    while not ended(len(tasks)):
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
        tasks.append(asyncio.ensure_future(ask(len(tasks), next_s, heard)))  # type: ignore[arg-type]
        next_s += chance.expovariate(per_s)
    await asyncio.gather(*tasks)
    return heard


def told(heard: Heard) -> dict[str, Any]:
    """The figures of all scenes."""
    return {
        "calls": heard.calls,
        "failed": heard.failed,
        "broken": heard.broken,
        "ends": dict(heard.ended),
        "told": sorted(set(heard.told))[:5],
        "first_token_p50_s": round(heard.quantile(0.5), 4),
        "first_token_p99_s": round(heard.quantile(0.99), 4),
    }
