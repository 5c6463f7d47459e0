"""The routes that explain: what a model looked at, what its answer hung on, how alike a word is in contexts."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Literal

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.core.generation import TextPrompt, TokenPrompt, Translation
from attendant.frontend.explain.calls import (
    Attended,
    AttentionCall,
    AttributeCall,
    ExplainedToken,
    GivenAnswer,
    ImageFile,
    SimilarityCall,
    SoundFile,
    Subject,
    WordInContext,
)
from attendant.frontend.explain.service import ExplainService
from attendant.http.api.bodies import ApiBody, read_json
from attendant.http.calls import of_this_call
from attendant.http.page.answers import Line, in_lines, in_one
from attendant.http.page.bodies import FileBytes
from attendant.http.page.tries.generating import Message


class SubjectBody(ApiBody):
    """What is looked at, in one of five forms, and what a model that generates said to it.

    Without ``answer_ids`` such a model answers first.
    """

    model: str
    text: str | None = None
    token_ids: tuple[int, ...] | None = None
    chat: tuple[Message, ...] | None = None
    image: FileBytes | None = None
    audio: FileBytes | None = None
    second_text: str = ""
    source_language: str | None = None
    target_language: str | None = None
    answer_ids: tuple[int, ...] | None = None

    def subject(self) -> Subject:
        """The subject.

        Raises:
            InvalidRequest: there is none, or more than one.
        """
        forms = {
            "text": self.text and TextPrompt(self.text),
            "token_ids": self.token_ids and TokenPrompt(self.token_ids),
            "chat": self.chat and ChatPrompt(tuple(ChatMessage(each.role, each.content) for each in self.chat)),
            "image": self.image and ImageFile(self.image),
            "audio": self.audio and SoundFile(self.audio),
        }
        given = [form for form in forms.values() if form]
        if len(given) != 1:
            raise InvalidRequest(
                "text", f"and other subjects: {len(given)} are given; allowed: one of {', '.join(forms)}"
            )
        languages = self.source_language, self.target_language
        translation = None if languages == (None, None) else Translation(*(code or "" for code in languages))
        (form,) = given
        assert not isinstance(form, str | bytes | tuple), "it was made above"
        return Subject(form, self.second_text, translation)

    def answer(self) -> GivenAnswer | None:
        """The answer, if it is given."""
        return None if self.answer_ids is None else GivenAnswer(token_ids=self.answer_ids)


class AttentionBody(SubjectBody):
    """Which rows of attention; see :class:`attendant.frontend.explain.calls.AttentionCall`."""

    kind: Literal["self", "encoder", "cross"] = "self"
    reduction: Literal["none", "mean_heads", "max_heads", "mean", "max", "rollout"] = "none"
    first_query: int = 0
    num_queries: int = 0
    answer_only: bool = False


class WordBody(ApiBody):
    """A word where it stands: the ``occurrence``-th, from 0."""

    text: str
    word: str
    occurrence: int = 0


class SimilarityBody(ApiBody):
    """A word in contexts."""

    model: str
    contexts: tuple[WordBody, ...]


class Explaining:
    """The endpoints. ``service``: asked at each request."""

    def __init__(self, service: Callable[[], ExplainService]) -> None:
        self._service = service

    async def attention(self, request: Request) -> Response:
        """``header``, then weights layer by layer, then ``end``."""

        async def work() -> AsyncGenerator[Line, None]:
            body = await read_json(request, AttentionBody)
            call = AttentionCall(
                body.model,
                body.subject(),
                body.answer(),
                kind=body.kind,
                reduction=body.reduction,
                first_query=body.first_query,
                num_queries=body.num_queries,
                answer_only=body.answer_only,
            )
            return _attended(await self._service().attention(call, of_this_call()))

        return await in_lines(request, work)

    async def attribute(self, request: Request) -> Response:
        """Words of a text, or tokens where there is none, and what leaving each out does to the answer."""

        async def work() -> Line:
            body = await read_json(request, SubjectBody)
            unit: Literal["word", "token"] = "token" if body.token_ids else "word"
            call = AttributeCall(body.model, body.subject(), body.answer(), unit=unit)
            done = await self._service().attribute(call, of_this_call())
            parts = [
                {"text": part.text, "start": part.start, "end": part.end, "weight": part.weight}
                | {"token_weights": list(part.token_weights)}
                for part in done.parts
            ]
            return {"parts": parts, "logprob": done.logprob, "answer": done.answer.text}

        return await in_one(request, work)

    async def similarity(self, request: Request) -> Response:
        """Cosines between a word's vectors in its contexts, [contexts, contexts], and the tokens that it is."""

        async def work() -> Line:
            body = await read_json(request, SimilarityBody)
            contexts = tuple(WordInContext(each.text, each.word, each.occurrence) for each in body.contexts)
            done = await self._service().similarity(SimilarityCall(body.model, contexts), of_this_call())
            return {"words": [_tokens(tokens) for tokens in done.words], "cosines": done.cosines.tolist()}

        return await in_one(request, work)


async def _attended(attended: Attended) -> AsyncGenerator[Line, None]:
    grid = attended.grid
    yield {
        "header": {
            "num_layers": attended.num_layers,
            "num_heads": attended.num_heads,
            "queries": _tokens(attended.queries),
            "keys": _tokens(attended.keys),
            "first_query": attended.first_query,
            "num_prompt_tokens": attended.num_prompt_tokens,
            "answer": attended.answer.text,
            "grid": None if grid is None else grid.model_dump(),
            "frame_s": attended.frame_s,
            "source": attended.source,
        }
    }
    for piece in attended.pieces:
        weights = np.ascontiguousarray(piece.weights, "<f4")
        yield {
            "layer": piece.layer,
            "shape": list(weights.shape),
            "weights": base64.b64encode(weights.tobytes()).decode(),
        }
    timings = attended.timings
    yield {"end": {"queue_s": timings.queue_ns / 1e9, "run_s": timings.run_ns / 1e9, "total_s": timings.total_ns / 1e9}}


def _tokens(tokens: Sequence[ExplainedToken]) -> list[Line]:
    return [{"text": token.text, "special": token.special} for token in tokens]
