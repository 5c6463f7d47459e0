"""What stays of models that come and go: `python -m tests.models.cycles [CYCLES]`.

A server loads a decoder and an encoder by calls, answers one call of each and unloads them, again and again. It prints
its resident memory and its series of metrics after some of the cycles, and how far the last are from those after 5.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import grpc.aio
from attendant_proto.v1 import models_pb2, models_pb2_grpc

from tests.models.repositories import (
    DECODER,
    ENCODER,
    Caller,
    load_request,
    make_repository,
    memory_of,
    serving_repository,
)
from tests.system.server import ServerProcess

FIRST = 5


async def cycle(server: ServerProcess, cycles: int, shown: set[int]) -> dict[int, tuple[int, int]]:
    """Resident bytes and series of metrics after so many cycles."""
    found: dict[int, tuple[int, int]] = {}
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        models = models_pb2_grpc.ModelsStub(channel)
        caller = Caller(channel)
        for number in range(1, cycles + 1):
            for name in (DECODER, ENCODER):
                await models.Load(load_request(name))
                await caller.ask(name)
            for name in (DECODER, ENCODER):
                await models.Unload(models_pb2.UnloadRequest(model=name))
            if number in shown:
                page = await asyncio.to_thread(server.page)
                size, lines = found[number] = memory_of(server.process.pid), page.count("\n")
                print(
                    f"after {number:4}: {size / 1e6:8.1f} MB, {lines} lines of metrics",
                    flush=True,
                )
    return found


def main(cycles: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as place:
        folder = make_repository(Path(place) / "models")
        with serving_repository(folder, Path(place) / "log", "--repository.load", "") as server:
            shown = {FIRST, cycles, *range(10, cycles, max(10, cycles // 10))}
            found = asyncio.run(cycle(server, cycles, shown))
    first, last = found[FIRST], found[cycles]
    print(f"memory {last[0] / first[0] - 1:+.1%}, series {last[1] - first[1]:+}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
