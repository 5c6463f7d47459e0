"""What a line for each request costs: `python -m tests.logs.cost` compares servers of the demo models, round by round.

First the processor time of what a call leaves, on the event loop and of the log's thread. Then, of calls that classify
one text, one after the other, the time of a call; of 16 streams, tokens a second. `--rounds 0`: the first only.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
from attendant.core.context import CallContext
from attendant.core.stages import CallEnd
from attendant.logs.lines import JsonLines, TextLines
from attendant.logs.requests import RequestLog
from attendant.logs.writer import GATHER_S, LogHandler
from attendant.settings import LogsSettings
from attendant_proto.v1 import encoding_pb2 as pb
from attendant_proto.v1 import encoding_pb2_grpc, generation_pb2_grpc
from attendant_proto.v1 import generation_pb2 as generation

from tests.system.server import ServerProcess, serving

WAYS = {
    "off": ("--no-logs.requests",),
    "text": ("--logs.requests",),
    "json": ("--logs.requests", "--logs.format", "json"),
}


def tell_work(calls: int = 4000) -> None:
    """Print the processor time of a line of a call, on the thread that the call ends in and of the process."""
    logger, log = logging.getLogger("attendant"), RequestLog(LogsSettings())
    logger.setLevel(logging.INFO)
    for lines in (TextLines(), JsonLines()):
        found = []
        with open(os.devnull, "wb", 0) as nowhere:
            handler = LogHandler(lines, nowhere.fileno())
            logger.addHandler(handler)
            for _ in range(5):
                begin_ns = time.thread_time_ns(), time.process_time_ns()
                for number in range(calls):
                    _leave_a_line(log)
                    if number % 50 == 0:  # so many come between two writes of a busy server
                        time.sleep(GATHER_S)
                handler.flush()
                found.append((time.thread_time_ns() - begin_ns[0], time.process_time_ns() - begin_ns[1]))
            logger.removeHandler(handler)
            handler.close()
        here, whole = (statistics.median(each) / calls / 1e3 for each in zip(*found, strict=True))
        print(f"{type(lines).__name__}: {here:.1f} us of the event loop, {whole:.1f} us with the thread", flush=True)


def _leave_a_line(log: RequestLog) -> None:
    """What a call that classifies notes."""
    context = log.begin(_CALL, "grpc", "attendant.v1.Encoding/Classify")
    tally = context.tally
    assert tally is not None
    tally.asks("sentiment", 0)
    tally.runs_on("sentiment", "1")
    tally.rows += 1
    tally.encoded(context.arrival_ns, 1000)
    tally.count_tokens(6)
    context.end(CallEnd("OK"))


_CALL = CallContext.new(client="ipv4:127.0.0.1:50051")


async def a_call_us(server: ServerProcess, calls: int) -> float:
    """Microseconds of a call that classifies a text."""
    asked = pb.ClassifyRequest(model="sentiment", inputs=[pb.TextInput(text="A lovely film.")])
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        stub: Any = encoding_pb2_grpc.EncodingStub(channel)
        await stub.Classify(asked)
        begin = time.perf_counter()
        for _ in range(calls):
            await stub.Classify(asked)
        return 1e6 * (time.perf_counter() - begin) / calls


async def tokens_a_second(server: ServerProcess, streams: int, tokens: int) -> float:
    """Of so many streams at once."""
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        stub: Any = generation_pb2_grpc.GenerationStub(channel)

        async def one(number: int) -> None:
            stopping = generation.Stopping(max_tokens=tokens, ignore_eos=True)
            asked = generation.GenerateRequest(model="demo", text=f"{number}: hello", stopping=stopping)
            async for _ in stub.Generate(asked):
                pass

        begin = time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(streams)))
        return streams * tokens / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=100)
    told = parser.parse_args()
    tell_work()
    if not told.rounds:
        return
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    quiet = ("--no-engine.spinning", "--no-encoder.spinning", "--encoder.threads", 1, "--no-admission.predict")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            way: stack.enter_context(serving(Path(folder) / way, "--demo", *flags, *quiet))
            for way, flags in WAYS.items()
        }
        for number in range(told.rounds + 1):
            for way in sorted(servers, reverse=bool(number % 2)):
                measured = (
                    asyncio.run(a_call_us(servers[way], told.calls)),
                    asyncio.run(tokens_a_second(servers[way], told.streams, told.tokens)),
                )
                if number:  # the first warms up
                    found[way].append(measured)
    for index, what in enumerate(("us a call", "tokens/s")):
        medians = {way: statistics.median(each[index] for each in entries) for way, entries in found.items()}
        off = medians["off"]
        for way, median in medians.items():
            print(f"{what}, {way}: {median:.1f}, {median - off:+.1f}, {median / off:.4f} of off", flush=True)


if __name__ == "__main__":
    main()
