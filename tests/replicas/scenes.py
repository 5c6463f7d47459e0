"""Servers that leave while callers call: in order, and not. What their callers see of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from attendant.client.resuming import agenerate
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc

from tests.replicas import envoy as envoys
from tests.replicas.envoy import Envoy
from tests.replicas.load import Ask, Metadata, by_grpc, capacity_per_s, offer, told
from tests.replicas.servers import Replica, replicas
from tests.system.server import eventually

NUMBER, MAX_RUNNING = 3, 8
DRAIN_DELAY_S = 3.0
"""Longer than a balancer takes to hear that a server leaves."""


@dataclass(frozen=True)
class Scene:
    """Servers of one bundle, and what their callers ask.

    Attributes:
        share: of what all can do together that is asked of them.
        words: of a beginning that calls share.
    """

    bundle: Path
    folder: Path
    max_tokens: int = 24
    share: float = 0.7
    words: int = 200

    @property
    def model(self) -> str:
        """Its name."""
        return str(json.loads((self.bundle / "bundle.json").read_text(encoding="utf-8"))["name"])

    def make(self, number: int) -> tuple[pb.GenerateRequest, Metadata]:
        """Call ``number``: one in four as a whole."""
        stopping = pb.Stopping(max_tokens=self.max_tokens, ignore_eos=True)
        return pb.GenerateRequest(text=question(number), stopping=stopping, whole=number % 4 == 0), ()

    @contextmanager
    def servers(
        self, pauses_s: Sequence[float | None] = (None,) * NUMBER, slots: int = MAX_RUNNING, engine: str | None = None
    ) -> Iterator[list[Replica]]:
        """Start them."""
        flags = ("--engine.max-num-seqs", slots, "--engine.threads", 1, "--lifecycle.drain-delay-s", DRAIN_DELAY_S)
        with replicas(self.folder, pauses_s, self.bundle, *flags, engine=engine) as found:
            yield found

    @contextmanager
    def behind_envoy(self, found: list[Replica], policy: dict[str, Any] | None = None) -> Iterator[Envoy]:
        """Start an Envoy before them. ``policy``: balances calls in place of that of the file."""
        config = envoys.configuration([each.server for each in found])
        if policy is not None:
            config["static_resources"]["clusters"][0]["load_balancing_policy"] = {"policies": [policy]}
        folder = self.folder / f"envoy-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        with envoys.running(folder, config) as envoy:
            eventually(lambda: envoy.healthy() == {each.ports[0] for each in found})
            yield envoy


async def restarted(found: list[Replica], ask: Ask, per_s: float, calls: int, knows: Any) -> dict[str, Any]:
    """End each server in turn and have it come back, while ``calls`` at least come. ``knows``: whether the balancer
    would send calls to all of them."""
    done = asyncio.Event()

    async def change() -> list[int]:
        codes = []
        for each in found:
            codes.append(await asyncio.to_thread(each.restart))
            await asyncio.to_thread(eventually, knows)
        done.set()
        return codes

    changing = asyncio.create_task(change())
    heard = await offer(ask, per_s, lambda came: done.is_set() and came >= calls)
    return {"calls_per_s": round(per_s, 1), "exit_codes": await changing, **told(heard)}


async def restart(scene: Scene, calls: int) -> dict[str, Any]:
    """Each server in turn ends and comes back, while calls come: none may fail."""
    with scene.servers() as found, scene.behind_envoy(found) as envoy:
        ports = {each.ports[0] for each in found}
        async with by_grpc(envoy.address, scene.make) as ask:
            per_s = scene.share * await capacity_per_s(ask, NUMBER * MAX_RUNNING, 4.0)
            figures = await restarted(found, ask, per_s, calls, lambda: envoy.healthy() == ports)
        return {**figures, "seen": envoy.failures()[:20]}


async def kill(scene: Scene, calls: int, streams: int = 12) -> dict[str, Any]:
    """One of the servers is killed while calls come and streams run. What it has begun breaks, and nothing else does:
    what it has not begun is done elsewhere. Streams with a helper all go on, with the answers of an idle server."""
    killed = asyncio.Event()
    with scene.servers() as found, scene.behind_envoy(found) as envoy:
        long = [_long(number) for number in range(streams)]
        async with (
            grpc.aio.insecure_channel(envoy.address) as channel,
            by_grpc(envoy.address, scene.make) as ask,
        ):
            stub: Any = generation_pb2_grpc.GenerationStub(channel)
            alone = [await _tokens(stub.Generate(each)) for each in long]
            per_s = scene.share / 2 * await capacity_per_s(ask, NUMBER * MAX_RUNNING, 4.0)
            at_kill: list[int] = []

            def enough(came: int) -> bool:
                if not killed.is_set():
                    return False
                at_kill.append(came)
                return came >= max(calls, at_kill[0] + calls // 2)

            offering = asyncio.create_task(offer(ask, per_s, enough))
            plain = [asyncio.create_task(_tokens(stub.Generate(each))) for each in long]
            helped = [asyncio.create_task(_tokens(agenerate(stub, each))) for each in long]
            await asyncio.to_thread(eventually, lambda: sum(map(_running, found)) >= streams)
            victim = max(found, key=_running)
            had = _running(victim)
            victim.kill()
            killed_s = time.monotonic()
            killed.set()
            await asyncio.to_thread(eventually, lambda: victim.ports[0] not in envoy.healthy())
            ejected_s = time.monotonic() - killed_s
            ends = await asyncio.gather(*plain, return_exceptions=True)
            answers = await asyncio.gather(*helped)
            heard = await offering
        seen = envoy.failures()
    pairs = [(end, expected) for end, expected in zip(ends, alone, strict=True) if not isinstance(end, BaseException)]
    return {
        "calls_per_s": round(per_s, 1),
        "streams_on_the_killed": had,
        "long_streams": streams,
        "long_streams_broken": streams - len(pairs),
        "long_streams_wrong": sum(end != expected for end, expected in pairs),
        "helped_streams": streams,
        "helped_streams_wrong": sum(answer != expected for answer, expected in zip(answers, alone, strict=True)),
        "ejected_s": round(ejected_s, 3),
        "others": told(heard),
        "others_failed_before_they_began": heard.failed - heard.broken,
        "failed_on_servers_that_live": sum(f":{victim.ports[0]}," not in line for line in seen),
        "seen": seen[:20],
    }


def question(number: int) -> str:
    """One of many."""
    return f"Where is my order {number * 7919 % 100_000}?"


def _long(number: int) -> pb.GenerateRequest:
    stopping = pb.Stopping(max_tokens=400, ignore_eos=True)
    return pb.GenerateRequest(
        text=f"Tell {number}", stopping=stopping, sampling=pb.Sampling(temperature=1.0, seed=number)
    )


async def _tokens(parts: Any) -> list[int]:
    return [token async for part in parts for token in part.token_ids]


def _running(replica: Replica) -> float:
    return replica.server.metrics()["num_requests_running"]
