"""The routes of models that encode: labels, spans, vectors, words for masks, answers found in texts, images."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import (
    AnswerCall,
    ClassifyCall,
    ClassifyImageCall,
    ClassifyTokensCall,
    EmbedCall,
    EmbedImageCall,
    Encoded,
    EncodingUsage,
    FillMaskCall,
    Question,
    RerankCall,
    TextItem,
)
from attendant.frontend.encoding.service import EncodingService
from attendant.http.api.bodies import ApiBody, read_json
from attendant.http.calls import of_this_call
from attendant.http.page.answers import Line, in_one
from attendant.http.page.bodies import FileBytes
from attendant.tasks.embeddings import Embedding
from attendant.tasks.spans import Span

TOP_K = 8
"""Labels or answers that are shown."""
MOST_TEXTS = 32

B = TypeVar("B", bound=ApiBody)


class TextBody(ApiBody):
    """One text."""

    model: str
    text: str


class TextsBody(ApiBody):
    """Several texts."""

    model: str
    texts: tuple[str, ...]


class QuestionBody(ApiBody):
    """A question, and the text that may have its answer."""

    model: str
    question: str
    context: str


class RerankBody(ApiBody):
    """A query, and documents to order."""

    model: str
    query: str
    documents: tuple[str, ...]


class ImageBody(ApiBody):
    """An image file."""

    model: str
    image: FileBytes


class ImagesBody(ApiBody):
    """Image files."""

    model: str
    images: tuple[FileBytes, ...]


class Encoding:
    """The endpoints. ``service``: asked at each request."""

    def __init__(self, service: Callable[[], EncodingService]) -> None:
        self._service = service

    async def classify(self, request: Request) -> Response:
        """Labels of a text, best first."""

        async def call(body: TextBody) -> Line:
            call = ClassifyCall(body.model, (TextItem(body.text),), truncate=True)
            return _said(await self._service().classify(call, of_this_call()), labels=_labels)

        return await _answer(request, TextBody, call)

    async def tag(self, request: Request) -> Response:
        """Labelled spans of a text, in characters."""

        async def call(body: TextBody) -> Line:
            call = ClassifyTokensCall(body.model, (body.text,))
            encoded = await self._service().classify_tokens(call, of_this_call())
            return _said(encoded, spans=lambda found: [_span(e.span, e.text, e.score, e.label) for e in found])

        return await _answer(request, TextBody, call)

    async def fill_mask(self, request: Request) -> Response:
        """Words for the masks of a text."""

        async def call(body: TextBody) -> Line:
            encoded = await self._service().fill_mask(FillMaskCall(body.model, (body.text,)), of_this_call())
            return _said(
                encoded,
                masks=lambda masks: [
                    [{"token": f.token, "score": float(f.score), "text": f.text} for f in mask.fills] for mask in masks
                ],
            )

        return await _answer(request, TextBody, call)

    async def answer(self, request: Request) -> Response:
        """Answers found in a text, best first."""

        async def call(body: QuestionBody) -> Line:
            call = AnswerCall(body.model, (Question(body.question, body.context),), top_k=3)
            encoded = await self._service().answer(call, of_this_call())
            return _said(encoded, answers=lambda found: [_span(a.span, a.text, a.score) for a in found])

        return await _answer(request, QuestionBody, call)

    async def rerank(self, request: Request) -> Response:
        """Documents, the one that fits best first."""

        async def call(body: RerankBody) -> Line:
            call = RerankCall(body.model, body.query, _few("documents", body.documents), truncate=True)
            encoded = await self._service().rerank(call, of_this_call())
            ranked = [{"index": found.index, "score": float(found.score)} for found in encoded.results]
            return {"ranked": ranked, **_usage(encoded.usage)}

        return await _answer(request, RerankBody, call)

    async def embed(self, request: Request) -> Response:
        """How alike texts are: cosines of their vectors, [texts, texts]."""

        async def call(body: TextsBody) -> Line:
            items = tuple(TextItem(text) for text in _few("texts", body.texts))
            encoded = await self._service().embed(EmbedCall(body.model, items, truncate=True), of_this_call())
            return {**_cosines(encoded.results), **_usage(encoded.usage)}

        return await _answer(request, TextsBody, call)

    async def see(self, request: Request) -> Response:
        """Labels of an image, best first."""

        async def call(body: ImageBody) -> Line:
            call = ClassifyImageCall(body.model, (body.image,), top_k=None)
            return _said(await self._service().classify_image(call, of_this_call()), labels=_labels)

        return await _answer(request, ImageBody, call)

    async def embed_images(self, request: Request) -> Response:
        """How alike images are: cosines of their vectors, [images, images]."""

        async def call(body: ImagesBody) -> Line:
            call = EmbedImageCall(body.model, _few("images", body.images))
            encoded = await self._service().embed_image(call, of_this_call())
            return {**_cosines(encoded.results), **_usage(encoded.usage)}

        return await _answer(request, ImagesBody, call)


async def _answer(request: Request, kind: type[B], call: Callable[[B], Awaitable[Line]]) -> Response:
    async def work() -> Line:
        return await call(await read_json(request, kind))

    return await in_one(request, work)


def _said(encoded: Encoded[Any], **results: Callable[[Any], object]) -> Line:
    """The result of the only input of a call, made JSON by what its name says."""
    return {**{name: make(encoded.results[0]) for name, make in results.items()}, **_usage(encoded.usage)}


def _labels(labels: Sequence[Any]) -> list[Line]:
    return [{"label": label.label, "score": float(label.score)} for label in labels[:TOP_K]]


def _span(span: Span, text: str, score: float, label: str = "") -> Line:
    return {"start": span.start, "end": span.end, "text": text, "score": float(score), "label": label}


def _cosines(found: Sequence[Embedding]) -> Line:
    vectors = np.stack([embedding.values for embedding in found if embedding.values is not None]).astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.maximum(lengths, 1e-12)
    return {"cosines": np.round(units @ units.T, 6).tolist(), "dimensions": vectors.shape[1]}


T = TypeVar("T")


def _few(field: str, values: Sequence[T]) -> Sequence[T]:
    """``values``, if there are not too many to show. Raises InvalidRequest."""
    if len(values) > MOST_TEXTS:
        raise InvalidRequest(field, f"has {len(values)} entries; allowed on this page: at most {MOST_TEXTS}")
    return values


def _usage(usage: EncodingUsage) -> Line:
    waited_ns = usage.queue_ns - usage.preprocess_ns
    rest_ns = usage.total_ns - usage.queue_ns - usage.compute_ns
    steps = [
        ("prepare", usage.preprocess_ns),
        ("queue", waited_ns),
        ("run", usage.compute_ns),
        ("read out", rest_ns),
    ]
    return {
        "steps": [{"name": name, "s": max(took_ns, 0) / 1e9} for name, took_ns in steps],
        "truncated": usage.num_truncated > 0,
    }
