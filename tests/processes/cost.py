"""What a process of its own costs an engine, and how long a model is away after a crash.

`python -m tests.processes.cost BUNDLE --streams 16` compares two servers of one bundle, round by round, then kills the
engine of one again and again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc

from tests.system.server import ServerProcess, serving

MEASURED = ("tokens/s", "gap between tokens, median, ms", "gap, 99th percentile, ms", "first token, median, ms")
ANEW = ("--lifecycle.max-restarts", 1000, "--lifecycle.restart-backoff-s", 0)


def asked(number: int, tokens: int) -> pb.GenerateRequest:
    stopping = pb.Stopping(max_tokens=tokens, ignore_eos=True)
    return pb.GenerateRequest(text=f"{number}: tell me a story of the sea", stopping=stopping)


async def times_of(stub: Any, number: int, tokens: int) -> list[float]:
    """When each message with tokens came, the first entry is when the call was sent."""
    times = [time.monotonic()]
    async for response in stub.Generate(asked(number, tokens)):
        if response.token_ids:
            times.append(time.monotonic())
    return times


async def a_round(server: ServerProcess, streams: int, tokens: int) -> tuple[float, ...]:
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        stub = generation_pb2_grpc.GenerationStub(channel)
        begin = time.monotonic()
        found = await asyncio.gather(*(times_of(stub, number, tokens) for number in range(streams)))
        took = time.monotonic() - begin
    gaps = [1e3 * (after - before) for times in found for before, after in pairwise(times[1:])]
    firsts = [1e3 * (times[1] - times[0]) for times in found]
    return (
        streams * tokens / took,
        statistics.median(gaps),
        statistics.quantiles(gaps, n=100)[98],
        statistics.median(firsts),
    )


def compare(servers: dict[str, ServerProcess], streams: int, tokens: int, rounds: int) -> None:
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in servers}
    for number in range(rounds + 1):
        for name in sorted(servers, reverse=bool(number % 2)):
            measured = asyncio.run(a_round(servers[name], streams, tokens))
            if number:  # the first warms up
                found[name].append(measured)
    for index, what in enumerate(MEASURED):
        medians = {name: statistics.median(entry[index] for entry in entries) for name, entries in found.items()}
        thread, process = medians["thread"], medians["process"]
        print(f"{what}: thread {thread:.2f}, process {process:.2f}, ratio {process / thread:.3f}", flush=True)


def recover(server: ServerProcess, times: int) -> None:
    """Seconds from a crash to the end of a call that ran, and to the first token of the first call that is served."""
    ended, served = [], []
    for number in range(times):
        pid = int(re.findall(r"its engine is process (\d+)", server.log())[-1])
        struck = server.generation.Generate(asked(number, 100_000))
        next(struck)
        begin = time.monotonic()
        os.kill(pid, signal.SIGSEGV)
        try:
            for _ in struck:
                pass
        except grpc.RpcError:
            ended.append(time.monotonic() - begin)
        while not _answers(server, number):
            time.sleep(0.005)
        served.append(time.monotonic() - begin)
    print(
        f"a call that ran ends {1e3 * statistics.median(ended):.1f} ms after the crash (at most {1e3 * max(ended):.1f})"
    )
    print(f"the next token is served {statistics.median(served):.2f} s after it (at most {max(served):.2f})")


def _answers(server: ServerProcess, number: int) -> bool:
    try:
        next(server.generation.Generate(asked(number, 1)))
    except grpc.RpcError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--crashes", type=int, default=5)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder)
        with serving(logs / "process", told.bundle, "--engine.process", *ANEW) as process:
            if told.rounds:
                with serving(logs / "thread", told.bundle) as thread:
                    compare({"thread": thread, "process": process}, told.streams, told.tokens, told.rounds)
            if told.crashes:
                recover(process, told.crashes)


if __name__ == "__main__":
    main()
