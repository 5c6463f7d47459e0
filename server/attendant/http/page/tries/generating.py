"""The routes that generate: an answer to a prompt or a conversation, a translation, token by token."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.generation import Delta, Finish, GenerationCall, TextPrompt, TokenPrompt, Translation
from attendant.frontend.generation.service import GenerationService
from attendant.http.api.bodies import ApiBody, read_json
from attendant.http.calls import of_this_call
from attendant.http.page.answers import Line, in_lines

NUM_ALTERNATIVES = 5
"""Tokens besides the chosen one whose probabilities are shown."""

Texts = Callable[[int], str]


class Message(ApiBody):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class GenerateBody(ApiBody):
    """A prompt or a conversation, and how to answer it; what is left out is the model's own default."""

    model: str
    text: str | None = None
    chat: tuple[Message, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None

    def prompt(self) -> TextPrompt | ChatPrompt:
        """What is to be answered.

        Raises:
            InvalidRequest: there is nothing, or both.
        """
        if (self.text is None) == (not self.chat):
            raise InvalidRequest("text", "and chat: allowed is one of them")
        if self.text is not None:
            return TextPrompt(self.text)
        return ChatPrompt(tuple(ChatMessage(message.role, message.content) for message in self.chat))


class TranslateBody(ApiBody):
    """A text for a model that reads a source; languages as the model spells them, empty for its defaults."""

    model: str
    text: str
    source_language: str = ""
    target_language: str = ""
    max_tokens: int | None = None


class Generating:
    """The endpoints. ``service``: asked at each request."""

    def __init__(self, service: Callable[[], GenerationService]) -> None:
        self._service = service

    async def generate(self, request: Request) -> Response:
        """``prompt`` with its tokens, parts of the answer, ``finish`` with the steps."""

        async def work() -> AsyncGenerator[Line, None]:
            return _generated(self._service(), await read_json(request, GenerateBody), of_this_call())

        return await in_lines(request, work)

    async def translate(self, request: Request) -> Response:
        """Parts of the translation, ``finish`` with the steps."""

        async def work() -> AsyncGenerator[Line, None]:
            body = await read_json(request, TranslateBody)
            call = GenerationCall(
                body.model,
                TextPrompt(body.text),
                max_tokens=body.max_tokens,
                translation=Translation(body.source_language, body.target_language),
                logprobs=NUM_ALTERNATIVES,
            )
            return _answered(self._service(), call, of_this_call(), tokenise_ns=None)

        return await in_lines(request, work)


async def _generated(
    service: GenerationService, body: GenerateBody, context: CallContext
) -> AsyncGenerator[Line, None]:
    tokenized = await service.tokenize(body.model, body.prompt(), as_prompt=True)
    tokenise_ns = time.monotonic_ns() - context.arrival_ns
    call = GenerationCall(
        body.model,
        TokenPrompt(tokenized.token_ids),
        max_tokens=body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        seed=body.seed,
        logprobs=NUM_ALTERNATIVES,
    )
    async with aclosing(_answered(service, call, context, tokenise_ns)) as lines:
        async for line in lines:
            yield line


async def _answered(
    service: GenerationService, call: GenerationCall, context: CallContext, tokenise_ns: int | None
) -> AsyncGenerator[Line, None]:
    """The lines of an answer. ``tokenise_ns``: what of the wait went into tokenising, where that was done before."""
    begun = False
    async with aclosing(service.generate(call, context)) as parts:
        async for part in parts:
            if not begun and isinstance(part, Delta) and isinstance(call.prompt, TokenPrompt):
                yield {"prompt": _tokens(call.prompt.token_ids, part.spell)}
            begun = True
            yield _delta(part) if isinstance(part, Delta) else _finish(part, context, tokenise_ns)


def _tokens(ids: Sequence[int], texts: Texts) -> list[Line]:
    return [{"id": token_id, "text": texts(token_id)} for token_id in ids]


def _delta(delta: Delta) -> Line:
    """The tokens with, if they are told, their log-probabilities and the most probable ones in their place."""
    texts = delta.spell
    tokens = _tokens(delta.token_ids, texts)
    for token, entry in zip(tokens, delta.logprobs, strict=False):
        token["logprob"] = entry.logprob
        token["top"] = [[texts(token_id), logprob] for token_id, logprob in entry.top]
    return {"text": delta.text, "tokens": tokens}


def _finish(finish: Finish, context: CallContext, tokenise_ns: int | None) -> Line:
    timings, usage = finish.timings, finish.usage
    waited = timings.queue_ns - (tokenise_ns or 0)
    late_ns = time.monotonic_ns() - context.arrival_ns - timings.total_ns
    steps = [
        *([] if tokenise_ns is None else [("tokenise", tokenise_ns)]),
        ("queue" if tokenise_ns is not None else "tokenise, queue", waited),
        ("prefill", timings.prefill_ns),
        ("decode", timings.decode_ns),
        ("detokenise", late_ns),
    ]
    return {
        "finish": finish.reason.value,
        "steps": [{"name": name, "s": max(took_ns, 0) / 1e9} for name, took_ns in steps],
        "first_token_s": timings.first_token_ns / 1e9,
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
    }
