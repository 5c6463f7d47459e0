"""The same before smg, a gateway that others wrote: OpenAI's clients in front, engines by gRPC behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.replicas.balancing import FILLING_S
from tests.replicas.load import by_http, capacity_per_s, offer, told
from tests.replicas.scenes import MAX_RUNNING, NUMBER, Scene, question, restarted
from tests.replicas.servers import Replica
from tests.replicas.words import beginning
from tests.strangers.gateway import WATCHFUL, Gateway, gateway
from tests.system.server import eventually

LONG_ANSWER = 200


@contextmanager
def behind_smg(scene: Scene, found: list[Replica], policy: str) -> Iterator[Gateway]:
    """Start an smg before servers."""
    engines = [f"127.0.0.1:{each.engine_port}" for each in found]
    log = scene.folder / f"smg-{policy}.log"
    with gateway(engines, log, "--policy", policy, *WATCHFUL) as smg:
        yield smg


async def restart(scene: Scene, calls: int) -> dict[str, Any]:
    """As :func:`tests.replicas.scenes.restart`."""
    with scene.servers(engine=scene.model) as found, behind_smg(scene, found, "cache_aware") as smg:
        async with by_http(smg.address, lambda number: _chat(scene, question(number), scene.max_tokens, number)) as ask:
            per_s = scene.share * await capacity_per_s(ask, NUMBER * MAX_RUNNING, 4.0)
            return await restarted(found, ask, per_s, calls, lambda: smg.num_healthy() == NUMBER)


async def kill(scene: Scene, calls: int) -> dict[str, Any]:
    """As :func:`tests.replicas.scenes.kill`, without the helper: OpenAI's clients have none. Answers are
    long, so that several are under way on the one that is killed."""
    tokens = max(scene.max_tokens, LONG_ANSWER)
    killed, at_kill = asyncio.Event(), list[int]()

    def enough(came: int) -> bool:
        if killed.is_set():
            at_kill.append(came)
        return killed.is_set() and came >= max(calls, at_kill[0] + calls // 2)

    with scene.servers(engine=scene.model) as found, behind_smg(scene, found, "cache_aware") as smg:
        async with by_http(smg.address, lambda number: _chat(scene, question(number), tokens, number)) as ask:
            per_s = scene.share / 2 * await capacity_per_s(ask, NUMBER * MAX_RUNNING, 4.0)
            offering = asyncio.create_task(offer(ask, per_s, enough))
            await asyncio.to_thread(eventually, lambda: _running(found[0]) > 2)
            had = _running(found[0])
            found[0].kill()
            killed.set()
            heard = await offering
    return {
        "calls_per_s": round(per_s, 1),
        "streams_on_the_killed": had,
        **told(heard),
        "failed_before_they_began": heard.failed - heard.broken,
    }


async def affinity(scene: Scene, calls: int) -> dict[str, Any]:
    """As :func:`tests.replicas.balancing.affinity`: smg finds by itself what calls share."""
    groups, found = 2 * MAX_RUNNING, dict[str, Any]()

    def body(number: int) -> dict[str, Any]:
        group = random.Random(number).randrange(groups)
        return _chat(scene, f"{beginning(group, scene.words)} {number}?", 4, 1)

    ways = (("one", 1, "round_robin"), ("in_turn", NUMBER, "round_robin"), ("cache_aware", NUMBER, "cache_aware"))
    per_s = 0.0
    for name, number, policy in ways:
        slots = MAX_RUNNING * NUMBER // number
        with (
            scene.servers((None,) * number, slots, scene.model) as servers,
            behind_smg(scene, servers, policy) as smg,
        ):
            async with by_http(smg.address, body) as ask:
                could = await capacity_per_s(ask, MAX_RUNNING, FILLING_S)
                per_s = per_s or scene.share * could
                before = [_prompts(each) for each in servers]
                heard = await offer(ask, per_s, lambda came: came >= calls, seed=1)
                counts = [
                    (now[0] - then[0], now[1] - then[1])
                    for now, then in zip(map(_prompts, servers), before, strict=True)
                ]
                hits, tokens = (sum(each[place] for each in counts) for place in (0, 1))
                found[name] = {
                    **told(heard),
                    "hit_rate": round(hits / tokens, 3),
                    "tokens": [each[1] for each in counts],
                }
    found["calls_per_s"] = round(per_s, 2)
    found["hits_of_one"] = round(found["cache_aware"]["hit_rate"] / found["one"]["hit_rate"], 3)
    found["p50_ratio"] = round(found["cache_aware"]["first_token_p50_s"] / found["in_turn"]["first_token_p50_s"], 3)
    return found


def _chat(scene: Scene, text: str, max_tokens: int, number: int) -> dict[str, Any]:
    """One in four as a whole."""
    return {
        "model": scene.model,
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": max_tokens,
        "ignore_eos": True,
        "stream": number % 4 != 0,
    }


def _running(replica: Replica) -> float:
    return replica.server.metrics()["num_requests_running"]


def _prompts(replica: Replica) -> tuple[float, float]:
    """Tokens of prompts that were found in the cache, and in all."""
    found = replica.server.metrics()
    return found["prefix_cache_hits_total"], found["prefix_cache_queries_total"]
