"""`python -m tests.security.cost` says what the door costs a call, in microseconds: by itself, on the way that calls of
gRPC take to it, and the whole of a call over the loopback with and without it."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import grpc.aio
from attendant.core.caller import Right, acting_for, current_caller
from attendant.core.context import CallContext
from attendant.metrics.security import SecurityMetrics
from attendant.rpc.access import Entry
from attendant.rpc.interceptor import Supervisor
from attendant.security.door import Door, Shown
from attendant.security.grants import Grants
from attendant.security.kept import Kept
from attendant.security.refusals import Refusals
from attendant.settings.callers import parse_callers
from prometheus_client import CollectorRegistry

from tests.security.authority import row

NUM_CALLERS, NUM_TIMES, NUM_CALLS = 1000, 20_000, 3000


def main() -> int:
    """Measure, and print a table."""
    rows = "".join(row(f"caller{n}", f"token{n}", models=("chat-*", "embed")) for n in range(NUM_CALLERS))
    kept = Kept("callers", (), lambda: Grants(parse_callers(rows, "f")))
    door = Door(kept, Refusals(SecurityMetrics(CollectorRegistry())), certificates=False)
    caller = door.admit(Shown("token7", tuple, "", "", ""), None)
    metadata = (("user-agent", "x"), ("authorization", "Bearer token7"), ("x-request-id", "r"))
    context: Any = SimpleNamespace(invocation_metadata=lambda: metadata)
    entry, call = Entry(door, "/x/Y", Right.INFER), CallContext.new(client="ipv4:10.0.0.1:5")

    def whole() -> None:
        entry.is_stranger(metadata)
        with acting_for(entry.admit(context, call)):
            current_caller().check_model("embed")

    for name, work in (
        ("who has this token", lambda: kept.value.of_token("token7")),
        ("may it use this model", lambda: caller.check_model("embed")),
        ("everything that a gRPC call passes", whole),
    ):
        print(f"{name:<40} {_microseconds(work):6.1f} us")
    without, with_door = asyncio.run(_calls(None)), asyncio.run(_calls(door))
    print(f"{'a call over the loopback, without a door':<40} {without:6.1f} us")
    print(f"{'the same with it':<40} {with_door:6.1f} us")
    return 0


def _microseconds(work: Callable[[], object]) -> float:
    """The median of five rounds."""
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(NUM_TIMES):
            work()
        rounds.append((time.perf_counter() - began) / NUM_TIMES * 1e6)
    return statistics.median(rounds)


async def _calls(door: Door | None) -> float:
    """Of calls one after another, the median."""

    async def answer(_: bytes, __: Any) -> bytes:
        return b""

    handler: Any = grpc.unary_unary_rpc_method_handler(answer, request_deserializer=bytes)
    server = grpc.aio.server(interceptors=(Supervisor(None, door),))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("x", {"Y": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    took = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask: Any = channel.unary_unary("/x/Y")
        for _ in range(NUM_CALLS):
            began = time.perf_counter()
            await ask(b"", metadata=(("authorization", "Bearer token7"),))
            took.append((time.perf_counter() - began) * 1e6)
    await server.stop(0)
    return statistics.median(took)


if __name__ == "__main__":
    sys.exit(main())
