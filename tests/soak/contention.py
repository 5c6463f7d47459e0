"""Two tenants who both always have more waiting than runs: neither gets more than the other by more than a bound."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc.aio
from attendant_proto.v1 import generation_pb2_grpc
from attendant_proto.v1.generation_pb2 import GenerateRequest, Stopping

from tests.system.server import ServerProcess

CALLS = {"many": 500, "few": 400}
"""Of each tenant, all at once: who asks one after another may be late, and then its tenant does not wait."""
LEFT = 220
"""As long as so many wait in all, some of each tenant do, if both get the same."""
TEXT, MAX_TOKENS = "Where is my order? " * 4, 24
INPUT_WEIGHS, OUTPUT_WEIGHS = 1, 2


@dataclass(frozen=True)
class Contended:
    """Service that each had while both waited, in weighted tokens, and by how much it may differ.

    The bound is that of VTC (Sheng et al. 2024, theorem 4.4): twice the larger of what the longest prompt weighs and
    what all tokens of a running batch weigh as output.
    """

    service: dict[str, float]
    bound: float

    @property
    def gap(self) -> float:
        return abs(self.service["many"] - self.service["few"])


async def contend(channel: grpc.aio.Channel, server: ServerProcess, max_running: int) -> Contended:
    """Have both ask the demo model for more than it can do, and look at what each got while both waited."""
    stub: Any = generation_pb2_grpc.GenerationStub(channel)
    prompt_tokens = await _ask(stub, "nobody")
    had = await asyncio.to_thread(server.arrived)
    mixed = [tenant for number in range(max(CALLS.values())) for tenant, count in CALLS.items() if number < count]
    calls = [asyncio.create_task(_ask(stub, tenant)) for tenant in mixed]
    while await asyncio.to_thread(server.arrived) < had + len(calls):
        await asyncio.sleep(0.05)
    begin = now = await asyncio.to_thread(server.metrics)
    while now["num_requests_waiting"] > LEFT:
        await asyncio.sleep(0.05)
        now = await asyncio.to_thread(server.metrics)
    await _ended(calls)
    most = max_running * (prompt_tokens + MAX_TOKENS)
    bound = 2.0 * max(INPUT_WEIGHS * prompt_tokens, OUTPUT_WEIGHS * most)
    return Contended({tenant: _service(now, tenant) - _service(begin, tenant) for tenant in CALLS}, bound)


async def _ask(stub: Any, tenant: str) -> int:
    """A call to its end; the tokens of its prompt."""
    message = GenerateRequest(model="demo", text=TEXT, stopping=Stopping(max_tokens=MAX_TOKENS, ignore_eos=True))
    parts = [part async for part in stub.Generate(message, metadata=(("x-llm-d-inference-fairness-id", tenant),))]
    return int(parts[-1].finish.usage.prompt_tokens)


async def _ended(calls: list[asyncio.Task[int]]) -> None:
    """End them; what one of them ended with before, if that is an error, is raised."""
    for call in calls:
        call.cancel()
    for end in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(end, Exception):
            raise end


def _service(found: dict[str, float], tenant: str) -> float:
    """What a tenant has had, by the metrics."""

    def tokens(kind: str) -> float:
        return found.get(f"tenant_tokens_total{{kind={kind},tenant={tenant}}}", 0.0)

    return INPUT_WEIGHS * tokens("input") + OUTPUT_WEIGHS * tokens("output")
