"""The benchmark's client, in a process of its own: reads workloads from standard input, writes results, as JSON lines.

Closed loops, or arrivals at given times, in one event loop: it shares the processors with the server, so its own cost
is reported beside the results.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import grpc.aio
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc

from attendant_loadtest.bench.measurement import processor_s, quantile
from attendant_loadtest.bench.workload import Workload


@dataclass(frozen=True, slots=True)
class ServedResult:
    """What the client saw of one workload. Times in milliseconds; ``inter_token`` gaps are between messages, each
    counted once for every token in it but the request's first."""

    generated: int
    prompt: int
    wall_s: float
    messages: int
    first_token_p50_ms: float
    first_token_p99_ms: float
    inter_token_p50_ms: float
    inter_token_p99_ms: float
    client_processor_s: float


class _Run:
    """One workload on the wire."""

    def __init__(self, stub: Any, workload: Workload) -> None:
        self._stub = stub
        self._workload = workload
        self._first: list[float] = []
        self._gaps: list[tuple[float, int]] = []
        self._generated = self._prompt = self._messages = 0

    async def measure(self) -> ServedResult:
        """Run it."""
        requests = iter([self._request(prompt) for prompt in self._workload.prompts()])
        processor = processor_s(os.getpid())
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            if arrivals := self._workload.arrivals():
                for request, arrival in zip(requests, arrivals, strict=True):
                    group.create_task(self._arriving(request, started + arrival))
            else:
                for _ in range(self._workload.concurrency):
                    group.create_task(self._loop(requests))
        wall_s = time.perf_counter() - started
        gaps = [gap for gap, count in self._gaps for _ in range(count)] or [0.0]
        return ServedResult(
            generated=self._generated,
            prompt=self._prompt,
            wall_s=wall_s,
            messages=self._messages,
            first_token_p50_ms=quantile(self._first, 0.5) * 1e3,
            first_token_p99_ms=quantile(self._first, 0.99) * 1e3,
            inter_token_p50_ms=quantile(gaps, 0.5) * 1e3,
            inter_token_p99_ms=quantile(gaps, 0.99) * 1e3,
            client_processor_s=processor_s(os.getpid()) - processor,
        )

    async def _arriving(self, request: pb.GenerateRequest, at: float) -> None:
        await asyncio.sleep(at - time.perf_counter())
        await self._stream(request)

    async def _loop(self, requests: Iterator[pb.GenerateRequest]) -> None:
        for request in requests:
            await self._stream(request)

    async def _stream(self, request: pb.GenerateRequest) -> None:
        clock, last, tokens = time.perf_counter, 0.0, 0
        started = clock()
        response: pb.GenerateResponse | None = None
        async for response in self._stub.Generate(request):
            self._messages += 1
            if count := len(response.token_ids):
                now = clock()
                if tokens:
                    self._gaps.append((now - last, count))
                else:
                    self._first.append(now - started)
                last = now
                tokens += count
        assert response is not None
        assert tokens == response.finish.usage.completion_tokens == self._workload.new_tokens
        self._generated += tokens
        self._prompt += response.finish.usage.prompt_tokens - response.finish.usage.cached_tokens

    def _request(self, prompt: list[int]) -> pb.GenerateRequest:
        return pb.GenerateRequest(
            token_ids=pb.TokenIds(ids=prompt),
            sampling=pb.Sampling(temperature=0),
            stopping=pb.Stopping(max_tokens=self._workload.new_tokens, ignore_eos=True),
            whole=self._workload.whole,
        )


async def _main(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = generation_pb2_grpc.GenerationStub(channel)  # type: ignore[no-untyped-call]
        while line := await asyncio.to_thread(sys.stdin.readline):
            result = await _Run(stub, Workload(**json.loads(line))).measure()
            print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
