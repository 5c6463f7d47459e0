"""What of a call goes to the engine as tokens and sources: tokenised, checked against the model's limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from attendant.core.chat import ChatPrompt, Tool
from attendant.core.errors import ContextExceeded, InvalidRequest
from attendant.core.generation import GenerationCall, SourcePrompt, TextPrompt, TokenPrompt
from attendant.core.source import Source
from attendant.frontend.generation.apart import callable_tools
from attendant.frontend.generation.given_templates import GivenTemplates
from attendant.models.generators import GeneratorPart
from attendant.models.info import Tokenized
from attendant.models.sources import Opening, decoder_start, text_source
from attendant.models.text import TextCodec
from attendant.tasks.known_ids import check_known

T = TypeVar("T")

LONG_TEXT = 2_000
"""Characters from which on tokenising leaves the event loop: shorter texts take less time than the way to a thread."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The tokens that the answer continues; for an encoder-decoder what it reads, and how the answer has to begin. It
    took ``tokenize_ns`` nanoseconds."""

    prompt: tuple[int, ...]
    source: Source | None = None
    opening: Opening = ()
    tokenize_ns: int = field(default=0, compare=False)


async def prepare(model: GeneratorPart, call: GenerationCall, given: GivenTemplates | None = None) -> Prepared:
    """Tokenise what a call sends. ``given``: renders callers' templates; None: they are refused.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    begin_ns = time.monotonic_ns()
    if model.manifest.encoder_input is None:
        prepared = await _continuation(model, call, given)
    else:
        prepared = await _reading(model, call)
    length = len(prepared.prompt)
    if length >= model.context_length:
        raise ContextExceeded(
            _field(call),
            f"has {length} tokens; allowed: at most {model.context_length - 1}, which leaves one for the answer "
            f"in the context length of {model.context_length}",
        )
    return replace(prepared, tokenize_ns=time.monotonic_ns() - begin_ns)


async def tokenize(
    model: GeneratorPart,
    prompt: TextPrompt | ChatPrompt,
    given: GivenTemplates | None = None,
    *,
    as_prompt: bool = False,
) -> Tokenized:
    """Token ids of a text or a conversation. ``as_prompt``: it is one; if far too long, not all of it is read.

    Raises:
        InvalidRequest: the model has no chat template, it refuses the conversation, or a prompt is far too long.
    """
    limit = model.context_length - 1 if as_prompt else None
    return await tokens_of(model.text, prompt, limit, given)


async def tokens_of(
    codec: TextCodec, prompt: TextPrompt | ChatPrompt, limit: int | None, given: GivenTemplates | None
) -> Tokenized:
    """What :meth:`TextCodec.tokenize` gives, long prompts in a thread. A conversation with a template of its own is
    rendered by ``given``."""
    text = None
    if isinstance(prompt, ChatPrompt) and prompt.given_template and given is not None:
        text = await given.rendered(prompt, codec.template_variables)
    size = num_characters(prompt) if text is None else len(text)
    return await timely(size, lambda: codec.tokenize(prompt, limit, rendered=text))


def check_ids(model: GeneratorPart, token_ids: Sequence[int], field: str = "token_ids") -> None:
    """Raises InvalidRequest, which names ``field``, for an id that the model's vocabulary has not."""
    check_known(model.text.tokenizer, token_ids, model.manifest.vocab_size, field)


async def _continuation(model: GeneratorPart, call: GenerationCall, given: GivenTemplates | None) -> Prepared:
    """Of a model that continues its prompt."""
    if call.translation is not None:
        raise InvalidRequest("translation", f"is for models that read a source; {model.name!r} continues its prompt")
    match call.prompt:
        case SourcePrompt():
            raise InvalidRequest("source", f"is for encoder-decoders; {model.name!r} is none")
        case TokenPrompt(token_ids=ids):
            pass
        case ChatPrompt() as chat:
            shown = replace(chat, tools=shown_tools(model.text, call, chat))
            ids = (await tokenize(model, shown, given, as_prompt=True)).token_ids
        case prompt:
            ids = (await tokenize(model, prompt, as_prompt=True)).token_ids
    check_ids(model, ids, _field(call))
    if not ids:
        raise InvalidRequest(_field(call), "has no tokens; allowed: at least one")
    return Prepared(ids)


def shown_tools(codec: TextCodec, call: GenerationCall, chat: ChatPrompt) -> tuple[Tool, ...]:
    """Those of the tools that the model is shown: all that it may call. Where calls are forced, it need not have seen
    any.

    Args:
        call: as :func:`~attendant.frontend.generation.apart.with_usable_tools` leaves it.
    """
    choice = call.tool_choice
    if choice is not None and choice.forces and not chat.given_template and not codec.habits(chat).tools:
        return ()
    return callable_tools(call)


async def _reading(model: GeneratorPart, call: GenerationCall) -> Prepared:
    """Of a model that reads a source."""
    match call.prompt:
        case SourcePrompt(source=source, prefix=prefix):
            check_ids(model, prefix, "source")
            return Prepared(prefix, source)
        case ChatPrompt():
            raise InvalidRequest("chat", "is not possible: this model reads a text; send text or token_ids")
        case TextPrompt() | TokenPrompt() as prompt:
            pass
    start = decoder_start(model.manifest, call.translation)
    source = await timely(
        num_characters(prompt), lambda: text_source(model.manifest, model.text, prompt, call.translation)
    )
    return Prepared(start.prompt, source, start.opening)


async def timely(size: int, work: Callable[[], T]) -> T:
    """What ``work`` returns, done in a thread if it is of so many characters, or tokens, that it takes a while."""
    return await asyncio.to_thread(work) if size >= LONG_TEXT else work()


def num_characters(prompt: TextPrompt | ChatPrompt | TokenPrompt) -> int:
    """Of texts that are to be tokenised; of tokens none are."""
    match prompt:
        case TextPrompt(text=text):
            return len(text)
        case ChatPrompt():
            return _size_of_chat(prompt)
    return 0


def _size_of_chat(chat: ChatPrompt) -> int:
    """Characters of all that a template may write, as far as they matter: beyond LONG_TEXT nobody counts."""
    size = len(chat.given_template)
    for message in chat.messages:
        size += len(message.text) + len(message.reasoning)
        size += sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    waiting: list[Any] = [[tool.definition for tool in chat.tools], chat.documents, chat.variables]
    while waiting and size < LONG_TEXT:
        value = waiting.pop()
        if isinstance(value, Mapping):
            size += sum(map(len, value))
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
        size += len(value) if isinstance(value, str) else 1
    return size


def _field(call: GenerationCall) -> str:
    match call.prompt:
        case TextPrompt():
            return "text"
        case ChatPrompt():
            return "chat"
        case TokenPrompt():
            return "token_ids"
    return "source"
