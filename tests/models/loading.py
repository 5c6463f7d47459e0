"""What running streams notice of a model that is loaded: `python -m tests.models.loading STREAMED LOADED [LOADS]`.

STREAMED and LOADED are bundles. A server streams answers of the first while the second is loaded, and unloaded, by
calls, again and again. It prints percentiles of the time between two tokens of a stream: of when nothing else happened,
while the other was loaded, and while it was unloaded.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from attendant_proto.v1 import generation_pb2, generation_pb2_grpc, models_pb2, models_pb2_grpc

from tests.models.repositories import load_request
from tests.system.server import ServerProcess, serving

STREAMED, LOADED = "streamed", "loaded"
STREAMS = 4
TOKENS = 400
REST_S = 2.0
"""How long nothing happens before each load."""


@dataclass(slots=True)
class Gaps:
    """Seconds between two tokens of a stream that came meanwhile; ``spans``: from when to when that was."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def percentile(self, number: int) -> float:
        """In milliseconds."""
        return statistics.quantiles(self.seconds, n=1000)[number * 10 - 1] * 1e3 if len(self.seconds) > 1 else 0.0

    def told(self) -> str:
        """Of the table."""
        took = sum(end - begin for begin, end in self.spans)
        longest = max(self.seconds, default=0.0) * 1e3
        return (
            f"{len(self.seconds)} tokens in {took:.1f} s; p50 {self.percentile(50):.1f} ms, "
            f"p99 {self.percentile(99):.1f} ms, longest {longest:.1f} ms"
        )


async def stream_on(server: str, number: int, seen: list[tuple[float, float]]) -> None:
    """One answer after the other; notes when each token came and how long after the one before."""
    async with grpc.aio.insecure_channel(server) as channel:
        stub: Any = generation_pb2_grpc.GenerationStub(channel)
        while True:
            stopping = generation_pb2.Stopping(max_tokens=TOKENS + 20 * number, ignore_eos=True)
            request = generation_pb2.GenerateRequest(model=STREAMED, text="Where is my order?", stopping=stopping)
            before: float | None = None
            async for response in stub.Generate(request):
                now = time.monotonic()
                if before is not None and response.token_ids:
                    seen.append((now, now - before))
                before = now


@dataclass(frozen=True)
class Found:
    """What was seen: at rest, while the other model was loaded, and while it was unloaded."""

    rest: Gaps
    load: Gaps
    unload: Gaps


async def measure(server: ServerProcess, loads: int, streams: int = STREAMS, rest_s: float = REST_S) -> Found:
    """Stream, and load and unload meanwhile."""
    seen: list[tuple[float, float]] = []
    found = Found(Gaps(), Gaps(), Gaps())
    asking = [asyncio.create_task(stream_on(server.grpc, number, seen)) for number in range(streams)]
    try:
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            models: Any = models_pb2_grpc.ModelsStub(channel)
            await asyncio.sleep(rest_s)
            for _ in range(loads):
                await _during(found.rest, asyncio.sleep(rest_s))
                await _during(found.load, models.Load(load_request(LOADED)))
                await asyncio.sleep(rest_s / 4)
                await _during(found.unload, models.Unload(models_pb2.UnloadRequest(model=LOADED)))
                await asyncio.sleep(rest_s / 4)
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    for gaps in (found.rest, found.load, found.unload):
        # a gap counts for what happened at any moment of it
        gaps.seconds += [gap for end, gap in seen if any(end > a and end - gap < b for a, b in gaps.spans)]
    return found


async def _during(gaps: Gaps, work: Any) -> None:
    begun = time.monotonic()
    await work
    gaps.spans.append((begun, time.monotonic()))


def make_folder(folder: Path, streamed: Path, loaded: Path) -> Path:
    """A repository of two models, whose files are links."""
    for name, bundle in ((STREAMED, streamed), (LOADED, loaded)):
        (folder / name / "1").mkdir(parents=True)
        for file in bundle.iterdir():
            (folder / name / "1" / file.name).symlink_to(file.resolve())
    return folder


def main(streamed: Path, loaded: Path, loads: int, *arguments: str) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as place:
        folder = make_folder(Path(place) / "models", streamed, loaded)
        told = ("--model-repository", folder, "--repository.control", "explicit", "--repository.load", STREAMED)
        log = Path(place) / "log"
        with serving(log, *told, "--engine.kv-memory", "256MiB", *arguments) as server:
            found = asyncio.run(measure(server, loads))
        print(log.read_text()[-3000:])
    for name in ("rest", "load", "unload"):
        print(f"{name:7} {getattr(found, name).told()}")
    print(f"p99 while it was loaded: {found.load.percentile(99) / found.rest.percentile(99):.2f} times that at rest")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 3, *sys.argv[4:])
