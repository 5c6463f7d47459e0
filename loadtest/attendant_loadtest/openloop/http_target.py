"""Requests of OpenAI's API, over HTTP."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from attendant.client.access import Access

from attendant_loadtest.openloop.http_stream import Connections, HttpFailed
from attendant_loadtest.openloop.samples import ANSWERED, CANCELLED, FAILED, LATE, REFUSED, Sample
from attendant_loadtest.schedule.planned import Planned, tokens_of
from attendant_loadtest.workloads import WORDS

CHAT, COMPLETIONS = "chat", "completions"
ENDPOINTS = {CHAT: "/v1/chat/completions", COMPLETIONS: "/v1/completions"}
_DONE = b"[DONE]"
_BUSY, _LATE = (429, 503), (408, 504)


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """A model of a server. Prompts are words, each mostly one token; what they come to, the server says.

    Attributes:
        endpoint: of :data:`ENDPOINTS`.
    """

    connections: Connections
    model: str
    endpoint: str
    seed: int

    def prepare(self, planned: Planned) -> bytes:
        """See Target."""
        text = " ".join(WORDS[word] for word in tokens_of(planned.segments, range(len(WORDS)), self.seed))
        asked: dict[str, Any] = {"prompt": text}
        if self.endpoint == CHAT:
            asked = {"messages": [{"role": "user", "content": text}]}
        options = {"include_usage": True, "continuous_usage_stats": True}
        values = asked | {
            "model": self.model,
            "max_tokens": planned.answer,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": options,
        }
        # vLLM's callers say it the other way round: the lower, the sooner.
        values |= {"priority": -planned.priority} if planned.priority else {}
        return json.dumps(values).encode()

    async def ask(self, prepared: bytes, planned: Planned, sample: Sample, now_s: Callable[[], float]) -> None:
        """See Target."""
        left_s = None if planned.deadline_s is None else planned.at_s + planned.deadline_s - now_s()
        try:
            async with asyncio.timeout(left_s):
                sample.how = await self._ask(prepared, planned, sample, now_s)
        except TimeoutError:
            sample.how = LATE
        except HttpFailed as failed:
            sample.how = REFUSED if failed.status in _BUSY else LATE if failed.status in _LATE else FAILED
            if sample.how == FAILED:
                sample.error = str(failed)

    async def _ask(self, prepared: bytes, planned: Planned, sample: Sample, now_s: Callable[[], float]) -> str:
        async with aclosing(self.connections.events(ENDPOINTS[self.endpoint], prepared)) as events:
            async for data in events:
                now = now_s()
                if data == _DONE:
                    continue
                chunk = json.loads(data)
                if error := chunk.get("error"):
                    raise HttpFailed(0, str(error.get("message", ""))[:200])
                if tokens := _tokens(chunk, sample):
                    sample.take(now, tokens)
                if planned.cancel_after is not None and sample.tokens >= planned.cancel_after:
                    return CANCELLED
        return ANSWERED


def _tokens(chunk: dict[str, Any], sample: Sample) -> int:
    """Tokens that a chunk has brought: by its usage, as far as the server tells it, else one for each piece of text."""
    if usage := chunk.get("usage"):
        sample.prompt_tokens = usage.get("prompt_tokens")
        return max(0, int(usage.get("completion_tokens", 0)) - sample.tokens)
    return sum(bool(_text(choice)) for choice in chunk.get("choices", ()))


def _text(choice: dict[str, Any]) -> str:
    delta = choice.get("delta") or {}
    return choice.get("text") or delta.get("content") or delta.get("reasoning_content") or ""


@asynccontextmanager
async def over_http(
    url: str, model: str, endpoint: str, seed: int, access: Access | None = None
) -> AsyncIterator[HttpTarget]:
    """A model of the server at ``url``, over connections that end with the block."""
    access = access or Access()
    headers = {"authorization": f"Bearer {access.token}"} if access.token else {}
    context = None
    if access.ca is not None:
        context = ssl.create_default_context(cadata=access.ca.decode())
    connections = Connections(url.rstrip("/"), headers, context)
    try:
        yield HttpTarget(connections, model, endpoint, seed)
    finally:
        connections.close()
