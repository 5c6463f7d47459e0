"""The encoder benchmark's client, in a process of its own: reads workloads from standard input, writes results, as
JSON lines. Closed loops in one event loop; it shares the processors with the server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import grpc.aio
from attendant_proto.v1 import encoding_pb2 as pb
from attendant_proto.v1 import encoding_pb2_grpc

from attendant_loadtest.bench.measurement import processor_s

_REQUESTS = {"classify": pb.ClassifyRequest, "embed": pb.EmbedRequest}
_METHODS = {"classify": "Classify", "embed": "Embed"}


class _Run:
    """One workload on the wire: each text a call, at most ``concurrency`` at a time."""

    def __init__(self, stub: Any, task: str, texts: list[str], concurrency: int) -> None:
        self._call = getattr(stub, _METHODS[task])
        self._requests = [_REQUESTS[task](inputs=[pb.TextInput(text=text)]) for text in texts]
        self._concurrency = concurrency
        self._latencies: list[float] = []
        self._usages: list[pb.EncodingUsage] = []

    async def measure(self) -> dict[str, Any]:
        processor = processor_s(os.getpid())
        requests = iter(self._requests)
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._loop(requests))
        wall_s = time.perf_counter() - started
        return {
            "wall_s": wall_s,
            "tokens": sum(usage.num_tokens for usage in self._usages),
            "latencies_ms": self._latencies,
            "compute_ms": [usage.compute_s * 1e3 for usage in self._usages],
            "inside_ms": [usage.total_s * 1e3 for usage in self._usages],
            "client_processor_s": processor_s(os.getpid()) - processor,
        }

    async def _loop(self, requests: Iterator[Any]) -> None:
        clock = time.perf_counter
        for request in requests:
            started = clock()
            response = await self._call(request)
            self._latencies.append((clock() - started) * 1e3)
            self._usages.append(response.usage)


async def _main(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = encoding_pb2_grpc.EncodingStub(channel)  # type: ignore[no-untyped-call]
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await _Run(stub, **json.loads(line)).measure()), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
