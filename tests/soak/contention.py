"""Two tenants who both always have more waiting than runs: neither gets more than the other by more than a bound."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import grpc.aio
from attendant_proto.v1 import generation_pb2_grpc
from attendant_proto.v1.generation_pb2 import GenerateRequest, Stopping

from tests.system.server import ServerProcess

CALLERS = {"many": 60, "few": 24}
"""Of each tenant; of both more than run at a time."""
TEXT, MAX_TOKENS = "Where is my order? " * 4, 24
INPUT_WEIGHS, OUTPUT_WEIGHS = 1, 2


@dataclass(frozen=True)
class Contended:
    """Service that each had meanwhile, in weighted tokens, and by how much it may differ.

    The bound is that of VTC (Sheng et al. 2024, theorem 4.4): twice the larger of what the longest prompt weighs and
    what all tokens of a running batch weigh as output.
    """

    service: dict[str, float]
    bound: float

    @property
    def gap(self) -> float:
        return abs(self.service["many"] - self.service["few"])


async def contend(channel: grpc.aio.Channel, server: ServerProcess, seconds: float, max_running: int) -> Contended:
    """Have both ask the demo model without a pause, and look at what each got in the middle of it."""
    stub: Any = generation_pb2_grpc.GenerationStub(channel)
    message = GenerateRequest(model="demo", text=TEXT, stopping=Stopping(max_tokens=MAX_TOKENS, ignore_eos=True))
    prompt_tokens = 0
    ended = False

    async def ask_on(tenant: str) -> None:
        nonlocal prompt_tokens
        while not ended:
            async for part in stub.Generate(message, metadata=(("x-llm-d-inference-fairness-id", tenant),)):
                if part.HasField("finish"):
                    prompt_tokens = part.finish.usage.prompt_tokens

    callers = [asyncio.create_task(ask_on(tenant)) for tenant, count in CALLERS.items() for _ in range(count)]
    begun = time.monotonic()
    while not prompt_tokens or time.monotonic() < begun + seconds / 4:
        await asyncio.sleep(0.05)
    before = await asyncio.to_thread(_service, server)
    await asyncio.sleep(seconds)
    after = await asyncio.to_thread(_service, server)
    ended = True
    await asyncio.gather(*callers)
    most = max_running * (prompt_tokens + MAX_TOKENS)
    bound = 2.0 * max(INPUT_WEIGHS * prompt_tokens, OUTPUT_WEIGHS * most)
    return Contended({tenant: after[tenant] - before[tenant] for tenant in CALLERS}, bound)


def _service(server: ServerProcess) -> dict[str, float]:
    """What each had so far, as the metrics tell."""
    found = server.metrics()

    def tokens(tenant: str, kind: str) -> float:
        return found.get(f"tenant_tokens_total{{kind={kind},tenant={tenant}}}", 0.0) or found.get(
            f"tenant_tokens_total{{tenant={tenant},kind={kind}}}", 0.0
        )

    return {
        tenant: INPUT_WEIGHS * tokens(tenant, "input") + OUTPUT_WEIGHS * tokens(tenant, "output") for tenant in CALLERS
    }
