"""Texts that come one by one, each with a query of its own, as one ranking."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

from attendant_proto.tei import tei_pb2 as pb

from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import EncodingUsage
from attendant.rpc.tei.answers import Answer, metadata_of
from attendant.rpc.tei.calls import Calls
from attendant.rpc.tei.stream import in_order

MAX_TEXTS = 100_000
"""Of one ranking."""

MAX_KEPT_CHARACTERS = 16_000_000
"""Of the texts of a ranking that gives them back."""


class Ranking:
    """The ranking of one stream. What its first request says of scores and texts holds for all."""

    def __init__(self, calls: Calls, model: str) -> None:
        self._calls = calls
        self._model = model
        self._first: pb.RerankStreamRequest | None = None
        self._texts: list[str] = []
        self._kept_characters = 0

    async def of(
        self, requests: AsyncIterator[pb.RerankStreamRequest], context: CallContext
    ) -> Answer[pb.RerankResponse]:
        """All of them, highest score first; equals in the order that they came.

        Raises:
            InvalidRequest: there are none, or more than a ranking may have.
            AttendantError: of the first that failed.
        """
        scores: list[float] = []
        characters, total = 0, EncodingUsage(0, 0, 0, 0, 0, 0)
        async with aclosing(in_order(self._noted(requests), self._score)) as answers:
            async for answer in answers:
                scores.append(answer.message.ranks[0].score)
                characters += answer.message.metadata.compute_chars
                assert answer.usage is not None, "rows were run"
                total = _sum(total, answer.usage)
        if not scores:
            raise InvalidRequest("text", "is missing; allowed: at least one request")
        order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
        usage = _mean(total, len(scores), context)
        texts = self._texts
        ranks = [pb.Rank(index=i, score=scores[i], text=texts[i] if texts else None) for i in order]
        return Answer(pb.RerankResponse(ranks=ranks, metadata=metadata_of(usage, characters)), usage)

    async def _score(self, request: pb.RerankStreamRequest, context: CallContext) -> Answer[pb.RerankResponse]:
        assert self._first is not None, "it was noted"
        return await self._calls.score(request, self._model, context, raw_scores=self._first.raw_scores)

    async def _noted(self, requests: AsyncIterator[pb.RerankStreamRequest]) -> AsyncIterator[pb.RerankStreamRequest]:
        """The same requests, with what has to be remembered of them."""
        count = 0
        async for request in requests:
            self._first = self._first or request
            count += 1
            if count > MAX_TEXTS:
                raise InvalidRequest("text", f"comes more than {MAX_TEXTS} times; allowed: at most so often")
            if self._first.return_text:
                self._keep(request.text)
            yield request

    def _keep(self, text: str) -> None:
        self._kept_characters += len(text)
        if self._kept_characters > MAX_KEPT_CHARACTERS:
            raise InvalidRequest(
                "return_text", f"is true for texts of more than {MAX_KEPT_CHARACTERS} characters; allowed: false"
            )
        self._texts.append(text)


def _sum(total: EncodingUsage, usage: EncodingUsage) -> EncodingUsage:
    return EncodingUsage(
        total.num_tokens + usage.num_tokens,
        total.num_truncated + usage.num_truncated,
        total.queue_ns + usage.queue_ns,
        total.preprocess_ns + usage.preprocess_ns,
        total.compute_ns + usage.compute_ns,
        total_ns=0,
        on_gpu=usage.on_gpu,
    )


def _mean(total: EncodingUsage, count: int, context: CallContext) -> EncodingUsage:
    """Its times as those of one text, but for that of the whole stream."""
    times = {name: getattr(total, name) // count for name in ("queue_ns", "preprocess_ns", "compute_ns")}
    return replace(total, **times, total_ns=time.monotonic_ns() - context.arrival_ns)
