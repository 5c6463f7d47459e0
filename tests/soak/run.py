"""A soak: a real server at a share of what it can do, for minutes, with all that callers do, and what came of it.

Every answer is compared with the one that the same question had alone, before. Calls come open loop, some are left in
the middle, some have little time; versions of two models change by turns.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from attendant_proto.v1 import models_pb2_grpc

from tests.models.repositories import DECODER, DEMO, ENCODER, load_request, memory_of
from tests.soak.contention import contend
from tests.soak.questions import Answer, Question, questions
from tests.system.server import ServerProcess

SHARE = 0.8
CALLERS = 12
MAX_RUNNING = 8
"""Sequences of a model that run at a time."""
ALONE = " and alone "
"""Stands in what is told of an answer that is another than alone."""

STUCK_S = 120.0
"""A call that has no end by then is stuck."""
LEFT, HURRIED, HURRY_S = 0.12, 0.08, 0.05
"""Shares of calls that are left in the middle, and that have very little time."""
TENANTS = ("a", "b", "c", "d")
MAY_REFUSE = frozenset({"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"})
SAMPLE_S = 1.0


@dataclass
class Soaked:
    """What came of it. ``resident``: seconds since the begin and bytes, by turns; ``ends``: by kind and end.
    ``service``: weighted tokens of two tenants who both always waited, which may differ by ``bound``."""

    rate: float = 0.0
    seconds: float = 0.0
    switches: int = 0
    resident: list[tuple[float, int]] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    service: dict[str, float] = field(default_factory=dict)
    bound: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def growth(self, from_s: float) -> float:
        """Memory at the end over memory from ``from_s`` on: medians of tenths of the samples since then."""
        sizes = [size for at, size in self.resident if at >= from_s]
        part = max(1, len(sizes) // 10)
        return statistics.median(sizes[-part:]) / statistics.median(sizes[:part])


class Soak:
    """Asks one server. ``folder``: of its repository."""

    def __init__(self, server: ServerProcess, folder: Path, seed: int, *, whisper: bool) -> None:
        self._server = server
        self._folder = folder
        self._chance = random.Random(seed)
        self._whisper = whisper
        self._alone: list[Answer] = []
        self._asked: list[Question] = []
        self.soaked = Soaked()

    async def run(self, seconds: float, measure_s: float) -> Soaked:
        """Hear each answer alone, find out what the server can do, and ask for a share of it for so long."""
        async with grpc.aio.insecure_channel(self._server.grpc) as channel:
            self._asked = questions(channel, whisper=self._whisper)
            self._alone = [await self._patiently(question) for question in self._asked]
            contended = await contend(channel, self._server, MAX_RUNNING)
            self.soaked.service, self.soaked.bound = contended.service, contended.bound
            if contended.gap > contended.bound or not all(contended.service.values()):
                self.soaked.wrong.append(f"two tenants who both wait differ by more than they may: {contended}")
            self.soaked.rate = SHARE * await self._capacity(measure_s)
            ended = asyncio.Event()
            beside = [asyncio.create_task(self._sample(ended)), asyncio.create_task(self._switch(channel, ended))]
            begun = time.monotonic()
            await self._ask_for(seconds)
            self.soaked.seconds = time.monotonic() - begun
            ended.set()
            await asyncio.gather(*beside)
            for number, question in enumerate(self._asked):  # and once more alone
                if await self._patiently(question) != self._alone[number]:
                    self.soaked.wrong.append(f"{question.kind} {number}: another answer afterwards")
        return self.soaked

    @staticmethod
    async def _patiently(question: Question) -> Answer:
        """An answer without a deadline, which may have somebody refused."""
        return await asyncio.wait_for(question.ask((), None), STUCK_S)

    async def _capacity(self, seconds: float) -> float:
        count, end = 0, time.monotonic() + seconds

        async def ask_on() -> None:
            nonlocal count
            while time.monotonic() < end:
                await self._patiently(self._chance.choice(self._asked))
                count += 1

        begun = time.monotonic()
        await asyncio.gather(*(ask_on() for _ in range(CALLERS)))
        return count / (time.monotonic() - begun)

    async def _ask_for(self, seconds: float) -> None:
        """Calls that come by chance, at the rate in the mean, however long each takes."""
        running: set[asyncio.Task[None]] = set()
        end = next_at = time.monotonic()
        end += seconds
        while next_at < end:
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            task = asyncio.create_task(self._one(self._chance.randrange(len(self._asked))))
            running.add(task)
            task.add_done_callback(running.discard)
            next_at += self._chance.expovariate(self.soaked.rate)
        if running:
            await asyncio.wait(running, timeout=STUCK_S + 60)
        self.soaked.wrong += ["a call has not ended"] * len(running)

    async def _one(self, number: int) -> None:
        chance, question, begun = self._chance, self._asked[number], time.monotonic()
        drawn = chance.random()
        metadata = (
            ("x-llm-d-inference-fairness-id", chance.choice(TENANTS)),
            ("x-attendant-priority", str(chance.choice((0, 0, 0, 1)))),
        )
        hurried = LEFT < drawn < LEFT + HURRIED
        asked = question.ask(metadata, HURRY_S * chance.random() if hurried else None)
        call = asyncio.ensure_future(asyncio.wait_for(asked, STUCK_S))
        if drawn < LEFT:
            await asyncio.wait((call,), timeout=0.3 * chance.random())
            call.cancel()
        may = {"CANCELLED"} if drawn < LEFT else MAY_REFUSE if hurried else frozenset[str]()
        end = await self._end(number, call, may)
        self.soaked.ends[f"{question.kind} {end}"] += 1
        self.soaked.slowest_s = max(self.soaked.slowest_s, time.monotonic() - begun)

    async def _end(self, number: int, call: asyncio.Future[Answer], may: Set[str]) -> str:
        """How a call ended: as it should, with a code that it ``may`` end with, or wrongly, which is kept."""
        kind = self._asked[number].kind
        try:
            answer = await call
        except asyncio.CancelledError:
            return "CANCELLED"
        except TimeoutError:
            self.soaked.wrong.append(f"{kind} {number}: no end in {STUCK_S} s")
            return "stuck"
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            if code not in may:
                self.soaked.wrong.append(f"{kind} {number}: {code}: {error.details()}")
            return code
        if answer != self._alone[number]:
            self.soaked.wrong.append(f"{kind} {number}: {answer}{ALONE}{self._alone[number]}")
            return "another answer"
        return "equal"

    async def _sample(self, ended: asyncio.Event) -> None:
        begun = time.monotonic()
        while not ended.is_set():
            self.soaked.resident.append((time.monotonic() - begun, memory_of(self._server.process.pid)))
            await asyncio.sleep(SAMPLE_S)

    async def _switch(self, channel: grpc.aio.Channel, ended: asyncio.Event) -> None:
        """Versions of both models in the repository come and go by turns."""
        models: Any = models_pb2_grpc.ModelsStub(channel)
        while not ended.is_set():
            number = self.soaked.switches // 2 + 2
            name, source = ((DECODER, "bundle"), (ENCODER, "sentiment"))[self.soaked.switches % 2]
            beside = self._folder / name / f".{number}"
            await asyncio.to_thread(shutil.copytree, DEMO / source, beside)
            beside.rename(self._folder / name / str(number))
            await models.Load(load_request(name))
            shutil.rmtree(self._folder / name / str(number - 1))
            self.soaked.switches += 1
            await asyncio.wait((asyncio.ensure_future(ended.wait()),), timeout=5.0)
