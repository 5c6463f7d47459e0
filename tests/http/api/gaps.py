"""`python -m tests.http.api.gaps [ROUNDS]`: how long a stream pauses while prompts of 10,000 tokens come beside it.

They come over gRPC, or as JSON over HTTP: a text, token ids, a conversation, or a text that is refused because it is
far too long. Windows of each kind take turns in random order. A tiny model computes the prompts, so that what is seen
is what reading them costs whoever streams.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import grpc.aio
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc

from tests.http.api.streaming import Connection
from tests.synthetic import make_synthetic_bundle
from tests.system.server import ServerProcess, serving

LENGTH, WINDOW_S, ROUNDS = 10_000, 2.0, 6
WORDS = ("parcel", "order", "Where", "weather", "tomorrow", "and", "the", "a", "sent")

Prompter = Callable[[], Awaitable[None]]
"""Sends one long prompt and waits for its answer of one token, or for its refusal."""


@dataclass
class Seen:
    """What a stream saw in the windows of a kind: pauses in milliseconds, and prompts that were answered beside it."""

    largest: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    prompts: int = 0


def text_of(length: int) -> str:
    """A text of so many tokens, which no other begins as: the model's are bytes."""
    return (str(random.random()) + _words(length))[:length]


@cache
def _words(length: int) -> str:
    """Made once: who measures pauses must not be busy with it."""
    return "".join([f" {word}" for word in random.choices(WORDS, k=length // 2)])


def by_grpc(stub: Any) -> Prompter:
    """A prompt of attendant.v1."""

    async def prompt() -> None:
        message = pb.GenerateRequest(model="m", text=text_of(LENGTH), stopping=pb.Stopping(max_tokens=1))
        async for _ in stub.Generate(message):
            pass

    return prompt


def by_http(connection: Connection, path: str, said: Callable[[], Mapping[str, Any]], status: int = 200) -> Prompter:
    """A prompt as JSON."""

    async def prompt() -> None:
        await connection.ask(path, json.dumps({"model": "m", "max_tokens": 1, **said()}).encode(), status)

    return prompt


async def window(stub: Any, prompt: Prompter | None) -> tuple[list[float], int]:
    """Pauses of one stream, in milliseconds, and how many prompts were done beside it."""
    pauses: list[float] = []
    done = 0
    until = time.perf_counter() + WINDOW_S

    async def stream() -> None:
        stopping = pb.Stopping(max_tokens=8000, ignore_eos=True)
        call = stub.Generate(pb.GenerateRequest(model="m", text="hello", stopping=stopping))
        last = 0.0
        async for _ in call:
            now = time.perf_counter()
            if last:
                pauses.append(1000 * (now - last))
            last = now
            if now > until:
                break
        call.cancel()

    async def send() -> None:
        nonlocal done
        while prompt is not None and time.perf_counter() < until:
            await prompt()
            done += 1

    await asyncio.gather(stream(), send())
    return pauses, done


async def measure(server: ServerProcess, rounds: int) -> Mapping[str, Seen]:
    """What each kind gave."""
    connection = Connection(server.http.removeprefix("http://"))
    completions, chat = "/v1/completions", "/v1/chat/completions"

    def messages() -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text_of(LENGTH)}]}

    def token_ids() -> dict[str, Any]:
        return {"prompt": random.choices(range(6, 250), k=LENGTH)}

    async with grpc.aio.insecure_channel(server.grpc) as channel:
        stub: Any = generation_pb2_grpc.GenerationStub(channel)
        ways: dict[str, Prompter | None] = {
            "nobody": None,
            "gRPC, text": by_grpc(stub),
            "JSON, text": by_http(connection, completions, lambda: {"prompt": text_of(LENGTH)}),
            "JSON, token ids": by_http(connection, completions, token_ids),
            "JSON, a conversation": by_http(connection, chat, messages),
            "JSON, 1 MB, refused": by_http(connection, completions, lambda: {"prompt": text_of(2**20)}, 400),
        }
        seen = {name: Seen() for name in ways}
        for _ in range(rounds):
            for name in random.sample(list(ways), len(ways)):
                pauses, done = await window(stub, ways[name])
                seen[name].largest.append(max(pauses))
                seen[name].p99.append(statistics.quantiles(pauses, n=100)[-1])
                seen[name].prompts += done
    connection.close()
    return seen


def main(rounds: int = ROUNDS) -> int:
    """See the module's docstring."""
    flags = ("--engine.max-num-seqs", 4, "--engine.threads", 1, "--no-engine.spinning")
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_synthetic_bundle(Path(folder) / "m", name="m", layers=1, context_length=16384, eos_bias=-1e4)
        with serving(Path(folder) / "log", bundle, *flags) as server:
            for name, seen in asyncio.run(measure(server, rounds)).items():
                largest, p99 = statistics.median(seen.largest), statistics.median(seen.p99)
                paused = (
                    f"largest pause {largest:.1f} ms (of all {max(seen.largest):.1f}), 99th percentile {p99:.2f} ms"
                )
                print(f"{name:22} {paused}, {seen.prompts} prompts")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
