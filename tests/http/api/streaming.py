"""`python -m tests.http.api.streaming [BUNDLE [ROUNDS [CALLERS ...]]]`: what a stream costs over HTTP beside gRPC.

One server answers both in turns, in random order, so that what the machine does besides hits both. In a round each
caller has one answer after the other; it gives the time to the first token, and the server's processor time a token.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
from attendant.bundle import read_any_manifest
from attendant.demo import demo_bundle
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc

from tests.http.scraped import processor_ns
from tests.rpc.openinference.first_token import fresh_prompt, in_turns, interval
from tests.system.server import ServerProcess, serving

TOKENS, ANSWERS = 64, 2
"""Of an answer; of each caller in a round."""

Ask = Callable[[str], AsyncIterator[int]]
"""Asks a prompt for TOKENS tokens; gives something for each message with text."""


@dataclass(frozen=True)
class Round:
    """What one round gave: the median time to a first token, and processor time of the server for a token."""

    first_s: float
    token_ns: float


class Connection:
    """One HTTP/1.1 connection that stays open, as clients keep theirs, and reads as little of an answer as it must."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """The data of each server-sent event of an answer, but for the last, which is ``[DONE]``."""
        reader = await self._send(path, json.dumps(body).encode())
        status = await reader.readline()
        assert b" 200 " in status, (status, await reader.read(2000))
        async for line in reader:
            if line.startswith(b"data: [DONE]"):
                break
            if line.startswith(b"data: "):
                yield line[6:]
        while (await reader.readline()) != b"0\r\n":
            pass
        await reader.readline()

    async def ask(self, path: str, body: bytes, status: int = 200) -> bytes:
        """The body of an answer that comes whole, with this status."""
        reader = await self._send(path, body)
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = re.findall(rb"content-length: (\d+)", head.lower())
        answer = await reader.readexactly(int(length))
        assert f" {status} ".encode() in head, (head, answer[:1000])
        return answer

    async def _send(self, path: str, body: bytes) -> asyncio.StreamReader:
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, int(self._port))
        head = (
            f"POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        return self._reader

    def close(self) -> None:
        """End it."""
        if self._writer is not None:
            self._writer.close()


def typed(stub: Any, model: str, chat: bool) -> Ask:
    """A call of attendant.v1."""

    async def ask(prompt: str) -> AsyncIterator[int]:
        message = pb.GenerateRequest(model=model)
        if chat:
            message.chat.messages.add(role="user", content=prompt)
        else:
            message.text = prompt
        message.stopping.max_tokens, message.stopping.ignore_eos, message.sampling.temperature = TOKENS, True, 0
        async for response in stub.Generate(message):
            if response.token_ids:
                yield 1

    return ask


def spoken(connection: Connection, model: str, chat: bool) -> Ask:
    """A call of OpenAI's API: chat, or the older completions."""
    asked = {"model": model, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True, "stream": True}

    async def ask(prompt: str) -> AsyncIterator[int]:
        said = {"messages": [{"role": "user", "content": prompt}]} if chat else {"prompt": prompt}
        path, text = ("/v1/chat/completions", b'"content":"') if chat else ("/v1/completions", b'"text":"')
        async for data in connection.events(path, {**asked, **said}):
            _, found, rest = data.partition(text)
            if found and not rest.startswith(b'"'):
                yield 1

    return ask


async def round_of(pid: int, asks: Sequence[Ask]) -> Round:
    """Each caller asks ANSWERS times."""
    firsts: list[float] = []

    async def call(ask: Ask) -> None:
        for _ in range(ANSWERS):
            begin, first = time.perf_counter(), 0.0
            async with aclosing(ask(fresh_prompt())) as answer:  # type: ignore[type-var]
                async for _ in answer:
                    first = first or time.perf_counter() - begin
            firsts.append(first)

    before = processor_ns(pid)
    await asyncio.gather(*(call(ask) for ask in asks))
    used = processor_ns(pid) - before
    return Round(statistics.median(firsts), used / (len(asks) * ANSWERS * TOKENS))


def told(gave: Mapping[str, Sequence[Round]]) -> list[str]:
    """A line for each way, and one for how each HTTP way differs from the gRPC way before it."""
    lines, beside = [], ""
    for name, found in gave.items():
        first = statistics.median(1000 * each.first_s for each in found)
        cost = statistics.median(each.token_ns / 1000 for each in found)
        lines.append(f"{name:22} first token {first:.2f} ms, {cost:.1f} us of the server's processor a token")
        if name.startswith("attendant.v1"):
            beside = name
            continue
        pairs = list(zip(found, gave[beside], strict=True))
        more = interval([1000 * (mine.first_s - other.first_s) for mine, other in pairs])
        share = interval([mine.token_ns / other.token_ns for mine, other in pairs])
        lines.append(
            f"{'':22} first token {more[1]:+.2f} ms ({more[0]:+.2f} to {more[2]:+.2f}), processor time "
            f"{share[1]:.3f} ({share[0]:.3f} to {share[2]:.3f}) of {beside}'s"
        )
    return lines


async def measure(server: ServerProcess, model: str, rounds: int, callers: int) -> list[str]:
    """The lines for so many callers at once."""
    connections = [Connection(server.http.removeprefix("http://")) for _ in range(callers)]
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        stub = generation_pb2_grpc.GenerationStub(channel)
        ways: dict[str, list[Ask]] = {}
        kinds = ("attendant.v1", "/v1/completions", False), ("attendant.v1, chat", "/v1/chat/completions", True)
        for ours, theirs, is_chat in kinds:
            ways[ours] = [typed(stub, model, is_chat)] * callers
            ways[theirs] = [spoken(connection, model, is_chat) for connection in connections]
        pid = server.process.pid
        gave = await in_turns({name: partial(round_of, pid, asks) for name, asks in ways.items()}, rounds)
    for connection in connections:
        connection.close()
    return [f"{callers} streams at once, {rounds} rounds:", *told(gave)]


def main(arguments: Sequence[str]) -> int:
    """See the module's docstring."""
    bundle = Path(arguments[0]) if arguments else demo_bundle()
    rounds = int(arguments[1]) if len(arguments) > 1 else 20
    manifest = read_any_manifest(bundle)
    flags = ("--engine.max-num-seqs", 16, "--engine.threads", 1, "--no-engine.spinning")
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "server.log", bundle, *flags) as server:
        for callers in map(int, arguments[2:] or ("1", "8", "16")):
            lines = asyncio.run(measure(server, manifest.name, rounds, callers))
            print("\n".join(lines), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
