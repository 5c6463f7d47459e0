"""The routes /tokenize and /detokenize: tokens of a text or a conversation and back, as vLLM's callers ask for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.core.chat import ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.core.generation import TextPrompt
from attendant.frontend.front_end import FrontEnd
from attendant.http.api.answers import in_one
from attendant.http.api.bodies import ApiBody, read_call, read_json
from attendant.http.api.items import check_ids
from attendant.http.api.openai.chat_body import adds_prompt
from attendant.http.api.openai.errors import OPENAI
from attendant.http.api.openai.messages import MessageBody, chat_messages
from attendant.http.api.openai.refusals import Refusal, check_refused
from attendant.http.api.openai.tools import chat_tools

DIALECT = replace(
    OPENAI,
    fields={
        "text": "prompt",
        "chat": "messages",
        "token_ids": "tokens",
        "template_variables": "chat_template_kwargs",
        "given_template": "chat_template",
    },
)


class TokenizeBody(ApiBody):
    """A prompt, or a conversation and how the model's template writes it."""

    model: str
    prompt: str | None = None
    messages: tuple[MessageBody, ...] | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    documents: tuple[dict[str, Any], ...] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    mm_processor_kwargs: Any = None


class DetokenizeBody(ApiBody):
    """Token ids."""

    model: str
    tokens: tuple[int, ...]


_OF_MESSAGES = (
    "tools",
    "documents",
    "add_generation_prompt",
    "continue_final_message",
    "chat_template",
    "chat_template_kwargs",
)


def token_routes(models: Callable[[], FrontEnd]) -> list[Route]:
    """Tokens of texts and conversations, and texts of tokens."""

    async def tokenize(request: Request) -> Response:
        body, prompt = await read_call(request, TokenizeBody, tokenized_prompt)

        async def work() -> dict[str, Any]:
            front_end = models()
            found = await front_end.tokenizer.tokenize(body.model, prompt)
            return {
                "count": len(found.token_ids),
                "max_model_len": _context_length(front_end, body.model),
                "tokens": found.token_ids,
                "token_strs": found.tokens if body.return_token_strs else None,
            }

        return await in_one(request, DIALECT, work)

    async def detokenize(request: Request) -> Response:
        body = await read_json(request, DetokenizeBody)
        check_ids(body.tokens, "tokens")

        async def work() -> dict[str, Any]:
            text = await models().tokenizer.detokenize(body.model, body.tokens, keep_special_tokens=True)
            return {"prompt": text}

        return await in_one(request, DIALECT, work)

    posted = ["POST"]
    return [Route("/tokenize", tokenize, methods=posted), Route("/detokenize", detokenize, methods=posted)]


def tokenized_prompt(body: TokenizeBody) -> TextPrompt | ChatPrompt:
    """What is to be tokenised.

    Raises:
        InvalidRequest: there is nothing, or both; or a field is not for what there is.
    """
    check_refused(body, {"mm_processor_kwargs": Refusal("there are no images and no audio")})
    if (body.prompt is None) == (body.messages is None):
        raise InvalidRequest("prompt", "and messages: allowed is one of them")
    if body.prompt is not None:
        for name in _OF_MESSAGES:
            if getattr(body, name) is not None:
                raise InvalidRequest(name, "is given; allowed with messages only")
        return TextPrompt(body.prompt, body.add_special_tokens is not False)
    if body.add_special_tokens:
        raise InvalidRequest("add_special_tokens", "is true; allowed with messages: false, as the template writes them")
    return ChatPrompt(
        chat_messages(body.messages or ()),
        tools=chat_tools(body.tools or ()),
        documents=body.documents or (),
        variables=body.chat_template_kwargs or {},
        given_template=body.chat_template or "",
        continues=bool(body.continue_final_message),
        adds_generation_prompt=adds_prompt(body.add_generation_prompt, body.continue_final_message),
    )


def _context_length(front_end: FrontEnd, model: str) -> int | None:
    """Of a model that generates."""
    part = front_end.served_model(model).generation
    return part.context_length if part is not None else None
