"""Encoding as a service: one method for each call on models that encode. What rpc and other skins talk to."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

from attendant.bundle import EncoderTask
from attendant.core.context import CallContext
from attendant.core.errors import AttendantError, DeadlineExceeded
from attendant.core.receipt import Maker
from attendant.frontend.encoding import media, spans, sparse, text
from attendant.frontend.encoding.active_call import EncoderCall
from attendant.frontend.encoding.calls import (
    AnswerCall,
    ClassifyAudioCall,
    ClassifyCall,
    ClassifyImageCall,
    ClassifyTokensCall,
    EmbedCall,
    EmbedImageCall,
    EmbedSparseCall,
    Encoded,
    FillMaskCall,
    LogitsCall,
    RerankCall,
    TranscribeCall,
)
from attendant.frontend.encoding.limits import check_encoding
from attendant.frontend.encoding.receipts import RowDigests, draft
from attendant.frontend.encoding.reckoned import reckoned
from attendant.frontend.encoding.served import ServedEncoder
from attendant.frontend.encoding.way import begin_call, note_result
from attendant.frontend.limits import CallLimits
from attendant.metrics import SUCCESS, Metrics, error_name
from attendant.models.lookup import encoding
from attendant.models.table import Finder
from attendant.tasks.answers import Answer
from attendant.tasks.classification import Label, RankedDocument
from attendant.tasks.ctc import Transcript
from attendant.tasks.embeddings import Embedding
from attendant.tasks.job_threads import JobThreads
from attendant.tasks.masks import FilledMask
from attendant.tasks.sparse import SparseEmbedding
from attendant.tasks.tokens import Entity
from attendant.tasks.vectors import Floats

DEADLINE_SLACK_NS = 10_000_000
"""A cancel this long before a call's deadline is counted as the deadline: its caller's clock began earlier, and the
transport gives up by that."""


class _Call(Protocol):
    @property
    def model(self) -> str:
        """Name of a model, or empty."""

    @property
    def receipt(self) -> bool:
        """Whether it asks for one."""

    @property
    def patient(self) -> bool:
        """Whether it waits for places."""


C = TypeVar("C", bound=_Call)
T = TypeVar("T")
Behaviour = Callable[[ServedEncoder, EncoderCall, C], Awaitable[Encoded[T]]]


class Encodes(Protocol):
    """What takes the calls of a model."""

    @property
    def name(self) -> str:
        """What callers call it."""

    @property
    def maker(self) -> Maker:
        """What makes its answers."""

    @property
    def encoders(self) -> Mapping[EncoderTask, ServedEncoder]:
        """Where calls go, by their task."""


class EncodingService:
    """Encoding by all models of a server, which calls find in the table.

    Every call takes its context, or None if it comes now from nobody in particular; returns results in the order of its
    inputs; and raises AttendantError. Cancelling the task of a call takes its rows out of the queue.

    Args:
        media: decode files.
    """

    def __init__(
        self, models: Finder[Encodes], metrics: Metrics, media: JobThreads, limits: CallLimits | None = None
    ) -> None:
        self._models = models
        self._metrics = metrics.encoders
        self._ids = itertools.count()
        self._media = media
        self._limits = limits or CallLimits()

    async def embed(self, call: EmbedCall, context: CallContext | None = None) -> Encoded[Embedding]:
        """A vector of each text, or of each of its tokens."""
        return await self._run("embed", text.embed, call, context)

    async def embed_sparse(self, call: EmbedSparseCall, context: CallContext | None = None) -> Encoded[SparseEmbedding]:
        """Weights of the vocabulary's tokens for each text, by a model that fills masks."""
        return await self._run("fill_mask", sparse.embed_sparse, call, context)

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

    async def logits(self, call: LogitsCall, context: CallContext | None = None) -> Encoded[Floats]:
        """What a model says of given tokens."""
        return await self._run(call.task, text.logits, call, context)

    async def classify_image(
        self, call: ClassifyImageCall, context: CallContext | None = None
    ) -> Encoded[tuple[Label, ...]]:
        """Labels of each image, best first."""
        return await self._run("classify_image", media.classify_image, call, context)

    async def embed_image(self, call: EmbedImageCall, context: CallContext | None = None) -> Encoded[Embedding]:
        """A vector of each image."""
        return await self._run("embed_image", media.embed_image, call, context)

    async def classify_audio(
        self, call: ClassifyAudioCall, context: CallContext | None = None
    ) -> Encoded[tuple[Label, ...]]:
        """Labels of each recording, best first."""
        return await self._run("classify_audio", media.classify_audio, call, context)

    async def transcribe(self, call: TranscribeCall, context: CallContext | None = None) -> Encoded[Transcript]:
        """The words of each recording."""
        return await self._run("transcribe", media.transcribe_all, call, context)

    def part_of(self, encoder: ServedEncoder, context: CallContext) -> EncoderCall:
        """What runs the rows of a call of another room, which was let in there."""
        return EncoderCall(encoder.hub.admit(), self._ids, context, self._media)

    async def _run(
        self,
        task: EncoderTask,
        behaviour: Behaviour[C, T],
        call: C,
        given: CallContext | None,
        *,
        inner: bool = False,
    ) -> Encoded[T]:
        """A call of any kind. ``inner``: it is a part of one that was let in before."""
        context = given or CallContext.new()
        name, outcome, preprocess_ns, total_ns = "", "error", 0, 0
        try:
            with begin_call(context, task, call.model) as stage:
                served = self._models.find(call.model, encoding(task))
                name, encoder = served.name, served.encoders[task]
                if context.tally is not None:
                    context.tally.runs_on(name, served.maker.version)
                check_encoding(self._limits, call)
                async with encoder.calls.call(inner=inner):
                    texts = reckoned(call)
                    encoder.hub.backlog.check_begin(context, texts)
                    digests = RowDigests() if call.receipt else None
                    within = context.within(stage)
                    active = EncoderCall(
                        encoder.hub.admit(patient=call.patient), self._ids, within, self._media, digests
                    )
                    active.max_pixels = self._limits.max_image_pixels
                    encoded = await behaviour(encoder, active, call)
                    encoder.hub.backlog.density.learn(texts, encoded.usage.num_tokens)
                    if digests is not None:
                        encoded = replace(encoded, receipt=draft(served.maker, task, encoder.manifest, call, digests))
                note_result(stage, name, encoded, task, context)
            outcome, preprocess_ns, total_ns = SUCCESS, active.preprocess_ns, encoded.usage.total_ns
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
            self._metrics.call(name, task, outcome, preprocess_ns, total_ns)
