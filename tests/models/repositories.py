"""Folders of models for tests and measurements, a server over one, and callers who ask it without a pause."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc, generation_pb2, generation_pb2_grpc, models_pb2

from tests.system.server import ServerProcess, serving

DEMO = Path(__file__).parents[2] / "server" / "attendant" / "demo"
DECODER, ENCODER = "writer", "moods"
"""Names of a model that generates and of one that classifies; both are demo models."""

QUIET = ("--engine.threads", 1, "--no-engine.spinning", "--encoder.threads", 1, "--no-encoder.spinning")


def make_repository(folder: Path, versions: Sequence[str] = ("1",)) -> Path:
    """A folder with these versions of both models."""
    for name, source in ((DECODER, DEMO / "bundle"), (ENCODER, DEMO / "sentiment")):
        for version in versions:
            shutil.copytree(source, folder / name / version)
    return folder


@contextmanager
def serving_repository(folder: Path, log: Path, *arguments: object) -> Iterator[ServerProcess]:
    """A server whose models come and go by calls."""
    told = ("--model-repository", folder, "--repository.control", "explicit", *QUIET, *arguments)
    with serving(log, *told) as server:
        yield server


@dataclass(slots=True)
class Told:
    """What callers got. ``seconds``: of each call that was answered; ``failures``: why others were not."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Caller:
    """Calls on both models of a server.

    Args:
        max_tokens: of an answer of the model that generates.
    """

    def __init__(self, channel: grpc.aio.Channel, max_tokens: int = 40) -> None:
        self._generation: Any = generation_pb2_grpc.GenerationStub(channel)
        self._encoding: Any = encoding_pb2_grpc.EncodingStub(channel)
        self._max_tokens = max_tokens

    async def ask(self, model: str) -> None:
        """One call, to its end. Raises what ended it, and AssertionError for an answer that is none."""
        if model == DECODER:
            asked = generation_pb2.GenerateRequest(
                model=model,
                text="Where is my order?",
                stopping=generation_pb2.Stopping(max_tokens=self._max_tokens, ignore_eos=True),
            )
            count = 0
            async for response in self._generation.Generate(asked):
                count += len(response.token_ids)
            assert count == self._max_tokens, f"{count} tokens"
        else:
            inputs = [encoding_pb2.TextInput(text="What a lovely film!")]
            answer = await self._encoding.Classify(encoding_pb2.ClassifyRequest(model=model, inputs=inputs))
            assert len(answer.results) == 1

    async def ask_at(self, model: str, rate: float, told: Told, ended: asyncio.Event) -> None:
        """Calls that come ``rate`` times a second, however long each takes, until ``ended``; then the last end."""
        running: set[asyncio.Task[None]] = set()
        begun = time.monotonic()
        count = 0
        while not ended.is_set():
            task = asyncio.create_task(self._noted(model, told))
            running.add(task)
            task.add_done_callback(running.discard)
            count += 1
            await asyncio.sleep(max(0.0, begun + count / rate - time.monotonic()))
        await asyncio.gather(*running)

    async def capacity(self, model: str, callers: int, seconds: float) -> float:
        """Calls a second that so many callers get who ask without a pause."""
        count, end = 0, time.monotonic() + seconds

        async def ask_on() -> None:
            nonlocal count
            while time.monotonic() < end:
                await self.ask(model)
                count += 1

        begun = time.monotonic()
        await asyncio.gather(*(ask_on() for _ in range(callers)))
        return count / (time.monotonic() - begun)

    async def _noted(self, model: str, told: Told) -> None:
        begun = time.monotonic()
        try:
            await self.ask(model)
            told.seconds.append(time.monotonic() - begun)
        except (grpc.aio.AioRpcError, AssertionError) as error:
            told.failures.append(str(error))


def load_request(name: str, version: str = "") -> models_pb2.LoadRequest:
    """A request to load."""
    return models_pb2.LoadRequest(model=name, version=version)


def memory_of(process_id: int) -> int:
    """Bytes of a process's memory that are resident."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells it")
