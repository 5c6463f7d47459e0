"""Encoding as a service: one method for each call on models that encode. What rpc and other skins talk to."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from attendant.batching.client import BatchClient
from attendant.bundle import EncoderTask
from attendant.core.context import CallContext
from attendant.core.errors import AttendantError, DeadlineExceeded
from attendant.frontend.admission import drain_all
from attendant.frontend.encoding import media, spans, text
from attendant.frontend.encoding.active_call import EncoderCall
from attendant.frontend.encoding.calls import (
    AnswerCall,
    ClassifyCall,
    ClassifyImageCall,
    ClassifyTokensCall,
    EmbedCall,
    EmbedImageCall,
    Encoded,
    FillMaskCall,
    RerankCall,
    TranscribeCall,
)
from attendant.frontend.encoding.served import ServedEncoder
from attendant.metrics import SUCCESS, Metrics, error_name
from attendant.models.clients import batch_client
from attendant.models.encoders import EncoderPart
from attendant.models.info import EncodingInfo
from attendant.models.lookup import encoding
from attendant.models.repository import ModelRepository
from attendant.tasks.answers import Answer
from attendant.tasks.classification import Label, RankedDocument
from attendant.tasks.ctc import Transcript
from attendant.tasks.embeddings import Embedding
from attendant.tasks.masks import FilledMask
from attendant.tasks.media_threads import MediaThreads
from attendant.tasks.tokens import Entity

DEADLINE_SLACK_NS = 10_000_000
"""A cancel this long before a call's deadline is counted as the deadline: its caller's clock began earlier, and the
transport gives up by that."""


class _Call(Protocol):
    @property
    def model(self) -> str:
        """Name of a model, or empty."""


C = TypeVar("C", bound=_Call)
T = TypeVar("T")
Behaviour = Callable[[ServedEncoder, EncoderCall, C], Awaitable[Encoded[T]]]


class EncodingService:
    """All models of a server that encode. Create it inside the running event loop.

    Every call takes its context, or None if it comes now from nobody in particular; returns results in the order of its
    inputs; and raises AttendantError. Cancelling the task of a call takes its rows out of the queue.

    Args:
        on_death: called on the loop with the model's name and the exception when a batch thread dies.
        media: decode files.
        client: says how the batches of a model are reached.
    """

    def __init__(
        self,
        models: ModelRepository,
        metrics: Metrics,
        on_death: Callable[[str, BaseException], None],
        media: MediaThreads,
        client: Callable[[EncoderPart], BatchClient] = batch_client,
    ) -> None:
        self._models = models
        self._metrics = metrics.encoders
        self._encoders = {
            (model.name, part.task): ServedEncoder(part, client(part), metrics, on_death)
            for model in models
            for part in model.encoders
        }
        self._ids = itertools.count()
        self._media = media

    async def start(self) -> None:
        """Start every batch thread."""
        for encoder in self._encoders.values():
            await encoder.hub.start()

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls, let running ones finish for ``timeout_s`` seconds, then fail the rest with Draining."""
        await drain_all((encoder.calls for encoder in self._encoders.values()), timeout_s)

    async def close(self) -> None:
        """Stop every batch thread."""
        await asyncio.gather(*(encoder.hub.close() for encoder in self._encoders.values()))

    def infos(self, name: str) -> tuple[EncodingInfo, ...]:
        """What callers may know of a model's parts that encode."""
        return tuple(encoder.info() for (model, _), encoder in self._encoders.items() if model == name)

    def ready(self, name: str) -> bool:
        """Whether nothing of a model that encodes is dead."""
        return all(encoder.hub.ready for (model, _), encoder in self._encoders.items() if model == name)

    async def embed(self, call: EmbedCall, context: CallContext | None = None) -> Encoded[Embedding]:
        """A vector of each text, or of each of its tokens."""
        return await self._run("embed", text.embed, call, context)

    async def classify(self, call: ClassifyCall, context: CallContext | None = None) -> Encoded[tuple[Label, ...]]:
        """Labels of each text, best first."""
        return await self._run("classify", text.classify, call, context)

    async def classify_tokens(
        self, call: ClassifyTokensCall, context: CallContext | None = None
    ) -> Encoded[tuple[Entity, ...]]:
        """Labelled spans of each text, in order."""
        return await self._run("classify_tokens", spans.classify_tokens, call, context)

    async def answer(self, call: AnswerCall, context: CallContext | None = None) -> Encoded[tuple[Answer, ...]]:
        """Answers to each question, best first."""
        return await self._run("answer", spans.answer, call, context)

    async def rerank(self, call: RerankCall, context: CallContext | None = None) -> Encoded[RankedDocument]:
        """Documents, the one that fits the query best first."""
        return await self._run("rerank", text.rerank, call, context)

    async def fill_mask(
        self, call: FillMaskCall, context: CallContext | None = None
    ) -> Encoded[tuple[FilledMask, ...]]:
        """Tokens for the masks of each text."""
        return await self._run("fill_mask", text.fill_mask, call, context)

    async def classify_image(
        self, call: ClassifyImageCall, context: CallContext | None = None
    ) -> Encoded[tuple[Label, ...]]:
        """Labels of each image, best first."""
        return await self._run("classify_image", media.classify_image, call, context)

    async def embed_image(self, call: EmbedImageCall, context: CallContext | None = None) -> Encoded[Embedding]:
        """A vector of each image."""
        return await self._run("embed_image", media.embed_image, call, context)

    async def transcribe(self, call: TranscribeCall, context: CallContext | None = None) -> Encoded[Transcript]:
        """The words of each recording."""
        return await self._run("transcribe", media.transcribe_all, call, context)

    async def _run(
        self, task: EncoderTask, behaviour: Behaviour[C, T], call: C, given: CallContext | None
    ) -> Encoded[T]:
        context = given or CallContext.new()
        name, outcome, preprocess_ns = "", "error", 0
        try:
            name = self._models.find(call.model, encoding(task)).name
            encoder = self._encoders[name, task]
            async with encoder.calls.call():
                active = EncoderCall(encoder.hub.admit(), self._ids, context, self._media)
                encoded = await behaviour(encoder, active, call)
            outcome, preprocess_ns = SUCCESS, active.preprocess_ns
            return encoded
        except AttendantError as error:
            outcome = error_name(type(error))
            raise
        except asyncio.CancelledError:
            deadline_ns = context.deadline_ns
            late = deadline_ns is not None and time.monotonic_ns() >= deadline_ns - DEADLINE_SLACK_NS
            outcome = error_name(DeadlineExceeded) if late else "cancelled"
            raise
        finally:
            self._metrics.call(name, task, outcome, preprocess_ns)
