"""What may happen to several servers behind a balancer, and what their callers see of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
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
from tests.replicas.load import Heard, Metadata, capacity_per_s, offer
from tests.replicas.servers import Replica, Slowed, replicas
from tests.system.server import eventually

NUMBER, MAX_RUNNING = 3, 8
DRAIN_DELAY_S = 3.0
"""Longer than a balancer takes to hear that a server leaves."""
ROUND_ROBIN = {
    "policies": [
        {
            "typed_extension_config": {
                "name": "envoy.load_balancing_policies.round_robin",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin"
                },
            }
        }
    ]
}


@dataclass(frozen=True)
class Scene:
    """Servers of one bundle, and what their callers ask."""

    bundle: Path
    folder: Path
    max_tokens: int = 24
    share: float = 0.7

    def make(self, number: int) -> tuple[pb.GenerateRequest, Metadata]:
        """Call ``number``: one in four as a whole."""
        stopping = pb.Stopping(max_tokens=self.max_tokens, ignore_eos=True)
        text = f"Where is my order {number * 7919 % 100_000}?"
        return pb.GenerateRequest(text=text, stopping=stopping, whole=number % 4 == 0), ()

    @contextmanager
    def set(
        self, *, orca: bool = True, number: int = NUMBER, slots: int = MAX_RUNNING
    ) -> Iterator[tuple[list[Replica], Envoy]]:
        """Start all. ``orca``: balance by what servers say of themselves; else in turn."""
        flags = ("--engine.max-num-seqs", slots, "--engine.threads", 1, "--lifecycle.drain-delay-s", DRAIN_DELAY_S)
        with replicas(self.folder, number, self.bundle, *flags) as found:
            config = envoys.configuration([each.server for each in found])
            if not orca:
                config["static_resources"]["clusters"][0]["load_balancing_policy"] = ROUND_ROBIN
            with envoys.running(self.folder, config) as envoy:
                eventually(lambda: envoy.healthy() == {each.ports[0] for each in found})
                yield found, envoy

    async def rate(self, envoy: Envoy) -> float:
        """Calls a second that are a share of what all can do."""
        return self.share * await capacity_per_s(envoy.address, self.make, NUMBER * MAX_RUNNING, 4.0)


async def restart(scene: Scene, calls: int) -> dict[str, Any]:
    """Each server in turn ends and comes back, while calls come: none may fail. ``calls``: at least."""
    with scene.set() as (found, envoy):
        per_s = await scene.rate(envoy)
        done = asyncio.Event()

        async def change() -> list[int]:
            codes = []
            for each in found:
                codes.append(await asyncio.to_thread(each.restart))
                await asyncio.to_thread(eventually, lambda: envoy.healthy() == {each.ports[0] for each in found})
            done.set()
            return codes

        changing = asyncio.create_task(change())
        heard = await offer(envoy.address, scene.make, per_s, lambda came: done.is_set() and came >= calls)
        return {"calls_per_s": per_s, "exit_codes": await changing, **_told(heard), "seen": envoy.failures()[:20]}


async def kill(scene: Scene, streams: int) -> dict[str, Any]:
    """One of the servers is killed while streams run. Plain streams of that server break, no other does; calls that
    have not begun are made elsewhere; streams with a helper all go on, with the answers of an idle server."""
    with scene.set() as (found, envoy):
        long = [_long(number) for number in range(streams)]
        async with grpc.aio.insecure_channel(envoy.address) as channel:
            stub: Any = generation_pb2_grpc.GenerationStub(channel)
            alone = [await _tokens(stub.Generate(each)) for each in long]
            plain = [asyncio.create_task(_tokens(stub.Generate(each))) for each in long]
            helped = [asyncio.create_task(_tokens(agenerate(stub, each))) for each in long]
            await asyncio.to_thread(eventually, lambda: sum(map(_running, found)) >= min(2 * streams, MAX_RUNNING))
            victim = max(found, key=_running)
            had = _running(victim)
            victim.kill()
            killed_s = time.monotonic()
            ejected = asyncio.create_task(asyncio.to_thread(eventually, lambda: victim.ports[0] not in envoy.healthy()))
            ejected.add_done_callback(lambda _: ejected_s.append(time.monotonic() - killed_s))
            ejected_s: list[float] = []
            heard = await offer(envoy.address, scene.make, 20.0, lambda came: came >= 100)
            await ejected
            ends = await asyncio.gather(*plain, return_exceptions=True)
            answers = await asyncio.gather(*helped)
    broken = sum(isinstance(end, BaseException) for end in ends)
    return {
        "streams_on_the_killed": had,
        "plain_streams_broken": broken,
        "plain_streams_wrong": sum(
            not isinstance(e, BaseException) and e != a for e, a in zip(ends, alone, strict=True)
        ),
        "helped_streams_wrong": sum(answer != a for answer, a in zip(answers, alone, strict=True)),
        "ejected_s": ejected_s[0],
        "new": _told(heard),
    }


async def slow(scene: Scene, calls: int) -> dict[str, Any]:
    """One of the servers runs a third of the time: in turn, and by what servers say of themselves."""
    found: dict[str, Any] = {}
    per_s = 0.0
    for orca in (False, True):
        with scene.set(orca=orca) as (servers, envoy):
            per_s = per_s or 0.6 * await scene.rate(envoy)  # as one can do less now
            with Slowed(servers[0].server.process.pid):
                await offer(envoy.address, scene.make, per_s, lambda came: came >= calls // 4)  # until it is known
                heard = await offer(envoy.address, scene.make, per_s, lambda came: came >= calls, seed=1)
            found["orca" if orca else "in_turn"] = {**_told(heard), "weights": envoy.weights(), "calls": envoy.calls()}
    found["p99_ratio"] = found["orca"]["first_token_p99_s"] / found["in_turn"]["first_token_p99_s"]
    return found


async def affinity(scene: Scene, calls: int) -> dict[str, Any]:
    """Calls that share long beginnings, more of these than one server keeps: in turn, by prefix, and on one server that
    has room for all."""
    groups, found = 2 * MAX_RUNNING, dict[str, Any]()
    beginnings = [_words(number) for number in range(groups)]

    def make(number: int) -> tuple[pb.GenerateRequest, Metadata]:
        group = random.Random(number).randrange(groups)
        text = f"{beginnings[group]} {number}?"
        return pb.GenerateRequest(text=text, stopping=pb.Stopping(max_tokens=4)), (("x-attendant-prefix", str(group)),)

    def in_turn(number: int) -> tuple[pb.GenerateRequest, Metadata]:
        return make(number)[0], ()

    ways = {
        "one": (1, 3 * MAX_RUNNING, in_turn),
        "in_turn": (NUMBER, MAX_RUNNING, in_turn),
        "by_prefix": (NUMBER, MAX_RUNNING, make),
    }
    per_s = 0.0
    for name, (number, slots, way) in ways.items():
        with scene.set(orca=False, number=number, slots=slots) as (_, envoy):
            per_s = per_s or 0.3 * await capacity_per_s(envoy.address, way, MAX_RUNNING, 4.0)
            await offer(envoy.address, way, per_s, lambda came: came >= 4 * groups)
            heard = await offer(envoy.address, way, per_s, lambda came: came >= calls, seed=1)
            found[name] = {**_told(heard), "hit_rate": heard.hit_rate, "first_token_p50_s": heard.quantile(0.5)}
    found["hits_of_one"] = found["by_prefix"]["hit_rate"] / found["one"]["hit_rate"]
    found["p50_ratio"] = found["by_prefix"]["first_token_p50_s"] / found["in_turn"]["first_token_p50_s"]
    return found


def _words(number: int) -> str:
    chance = random.Random(number)
    return " ".join(
        chance.choice(("order", "refund", "parcel", "late", "blue", "city", "card", "Monday")) for _ in range(60)
    )


def _long(number: int) -> pb.GenerateRequest:
    stopping = pb.Stopping(max_tokens=200, ignore_eos=True)
    return pb.GenerateRequest(
        text=f"Tell {number}", stopping=stopping, sampling=pb.Sampling(temperature=1.0, seed=number)
    )


async def _tokens(parts: Any) -> list[int]:
    return [token async for part in parts for token in part.token_ids]


def _running(replica: Replica) -> float:
    return replica.server.metrics()["num_requests_running"]


def _told(heard: Heard) -> dict[str, Any]:
    return {
        "calls": heard.calls,
        "failed": heard.failed,
        "ends": dict(heard.ended),
        "told": sorted(set(heard.told))[:5],
        "first_token_p99_s": heard.quantile(0.99),
    }
