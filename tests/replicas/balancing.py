"""Which of several servers gets a call: what it changes that Envoy knows who is slow, and who has a prompt's
beginning."""

from __future__ import annotations

import random
from typing import Any

from attendant_proto.v1 import generation_pb2 as pb

from tests.replicas.load import Heard, Metadata, by_grpc, capacity_per_s, offer, told
from tests.replicas.scenes import MAX_RUNNING, NUMBER, Scene
from tests.replicas.words import beginning

ROUND_ROBIN = {
    "typed_extension_config": {
        "name": "envoy.load_balancing_policies.round_robin",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin"
        },
    }
}
STEP_S = 0.006
"""That each step takes longer: so much that the processors are no bound of what several servers can do."""
SLOWER = 3.0
TURNS = 2
LEARNING_S = 5.0
"""Of each turn, not counted: Envoy looks at reports of a second, and has just seen another way of calling."""
FILLING_S = 8.0
"""In which the caches of servers come to know what calls share."""


async def slow(scene: Scene, calls: int) -> dict[str, Any]:
    """One of the servers takes three times as long for a step: in turn, and by what servers say of themselves. Both
    ways before the same servers, one after the other, several times."""
    ways = {"in_turn": Heard(), "orca": Heard()}
    weights: dict[str, Any] = {}
    with (
        scene.servers((SLOWER * STEP_S, *[STEP_S] * (NUMBER - 1))) as servers,
        scene.behind_envoy(servers, ROUND_ROBIN) as in_turn,
        scene.behind_envoy(servers) as orca,
    ):
        capacities = []
        for each in servers:
            async with by_grpc(each.server.grpc, scene.make) as ask:
                capacities.append(await capacity_per_s(ask, MAX_RUNNING, 3.0))
        per_s = scene.share * NUMBER * capacities[0]
        for turn in range(TURNS):
            for name, envoy in (("in_turn", in_turn), ("orca", orca)):
                async with by_grpc(envoy.address, scene.make) as ask:
                    await offer(ask, per_s, lambda came: came >= LEARNING_S * per_s, seed=-turn)
                    before = envoy.calls()
                    ways[name].add(await offer(ask, per_s, lambda came: came >= calls // TURNS, seed=turn))
                    got = {port: count - before[port] for port, count in envoy.calls().items()}
                    weights[f"{name}_{turn}"] = [got[each.ports[0]] for each in servers]
    p99 = {name: heard.quantile(0.99) for name, heard in ways.items()}
    return {
        "capacities_per_s": [round(each, 1) for each in capacities],
        "calls_per_s": round(per_s, 1),
        "calls_of_each_server": weights,
        **{name: told(heard) for name, heard in ways.items()},
        "p99_ratio": round(p99["orca"] / p99["in_turn"], 3),
    }


async def affinity(scene: Scene, calls: int) -> dict[str, Any]:
    """Calls that share long beginnings, more of these than one server keeps: in turn, by prefix, and on one server that
    has room for all."""
    groups, found = 2 * MAX_RUNNING, dict[str, Any]()
    beginnings = [beginning(number, scene.words) for number in range(groups)]

    def make(number: int) -> tuple[pb.GenerateRequest, Metadata]:
        group = random.Random(number).randrange(groups)
        text = f"{beginnings[group]} {number}?"
        return pb.GenerateRequest(text=text, stopping=pb.Stopping(max_tokens=4)), (("x-attendant-prefix", str(group)),)

    def in_turn(number: int) -> tuple[pb.GenerateRequest, Metadata]:
        return make(number)[0], ()

    ways = {
        "one": (1, NUMBER * MAX_RUNNING, in_turn),
        "in_turn": (NUMBER, MAX_RUNNING, in_turn),
        "by_prefix": (NUMBER, MAX_RUNNING, make),
    }
    per_s = 0.0
    for name, (number, slots, way) in ways.items():
        with scene.servers((None,) * number, slots) as servers, scene.behind_envoy(servers, ROUND_ROBIN) as envoy:
            async with by_grpc(envoy.address, way) as ask:
                could = await capacity_per_s(ask, MAX_RUNNING, FILLING_S)
                per_s = per_s or scene.share * could
                heard = await offer(ask, per_s, lambda came: came >= calls, seed=1)
                got = envoy.calls("attendant-by-prefix" if way is make else "attendant")
                found[name] = {**told(heard), "hit_rate": round(heard.hit_rate, 3), "got": list(got.values())}
    found["calls_per_s"] = round(per_s, 2)
    found["hits_of_one"] = round(found["by_prefix"]["hit_rate"] / found["one"]["hit_rate"], 3)
    found["p50_ratio"] = round(found["by_prefix"]["first_token_p50_s"] / found["in_turn"]["first_token_p50_s"], 3)
    return found
