"""The parts of an answer as Anthropic's message, whole or as the events of a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic_core import from_json

from attendant.core.chat import ToolCallDelta
from attendant.core.generation import Delta, Finish, GenerationPart
from attendant.core.request import FinishReason, Usage
from attendant.http.api.answers import Event
from attendant.http.api.anthropic.thinking import signature_of
from attendant.http.api.order import calls_around_text


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer repeats of its call. ``max_tokens``: it may have. ``shows_thinking``: as text."""

    id: str
    model: str
    max_tokens: int
    shows_thinking: bool = True


@dataclass(frozen=True, slots=True)
class _Piece:
    """New text of one block. A call of a tool has a ``number``; its first piece has its id and name."""

    kind: Literal["thinking", "text", "tool_use"]
    text: str
    number: int = 0
    id: str = ""
    name: str = ""


@dataclass(slots=True)
class _Block:
    """A block as far as it has come."""

    first: _Piece
    texts: list[str] = field(default_factory=list)

    def takes(self, piece: _Piece) -> bool:
        """Whether a piece is of this block."""
        return self.first.kind == piece.kind and self.first.number == piece.number

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def begun(self) -> dict[str, Any]:
        """The block as it begins, empty."""
        match self.first.kind:
            case "thinking":
                return {"type": "thinking", "thinking": "", "signature": ""}
            case "text":
                return {"type": "text", "text": ""}
        return {"type": "tool_use", "id": self.first.id, "name": self.first.name, "input": {}}

    def whole(self, *, shows_thinking: bool) -> dict[str, Any]:
        """The block once it is complete."""
        match self.first.kind:
            case "thinking":
                signature = signature_of(self.text, shown=shows_thinking)
                return {**self.begun(), "thinking": self.text if shows_thinking else "", "signature": signature}
            case "text":
                return {**self.begun(), "text": self.text}
        return {**self.begun(), "input": _arguments(self.text)}


async def message(parts: AsyncGenerator[GenerationPart, None], asked: Asked) -> dict[str, Any]:
    """The whole answer. Raises AttendantError."""
    blocks: list[_Block] = []
    async with aclosing(parts):
        async for part in parts:
            if isinstance(part, Finish):
                return {
                    **_empty(asked),
                    "content": [block.whole(shows_thinking=asked.shows_thinking) for block in blocks],
                    **_end(part, asked),
                    "usage": {**_all_usage(part), "service_tier": "standard"},
                }
            for piece in _pieces(part, blocks[-1] if blocks else None):
                if not blocks or not blocks[-1].takes(piece):
                    blocks.append(_Block(piece))
                blocks[-1].texts.append(piece.text)
    raise AssertionError("a sequence ends once")


async def events(parts: AsyncGenerator[GenerationPart, None], asked: Asked) -> AsyncGenerator[Event, None]:
    """The answer as it comes. The first event comes with the first part. Raises AttendantError."""
    writer = _Writer(asked)
    async with aclosing(parts):
        async for part in parts:
            for event in writer.take(part):
                yield _named(event)


class _Writer:
    """Tells one answer, event by event."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._begun = False
        self._index = -1
        self._block: _Block | None = None

    def take(self, part: GenerationPart) -> Iterator[dict[str, Any]]:
        """What there is to tell of a part."""
        if not self._begun:
            self._begun = True
            prompt = part.usage.prompt_tokens if isinstance(part, Finish) else part.prompt_tokens
            usage = {**_usage(Usage(prompt, 0, 0)), "service_tier": "standard"}
            yield {"type": "message_start", "message": {**_empty(self._asked), "usage": usage}}
            yield {"type": "ping"}
        if isinstance(part, Finish):
            yield from self._stop()
            yield {"type": "message_delta", "delta": _end(part, self._asked), "usage": _all_usage(part)}
            yield {"type": "message_stop"}
            return
        for piece in _pieces(part, self._block):
            yield from self._piece(piece)

    def _piece(self, piece: _Piece) -> Iterator[dict[str, Any]]:
        if self._block is None or not self._block.takes(piece):
            yield from self._stop()
            self._block, self._index = _Block(piece), self._index + 1
            yield {"type": "content_block_start", "index": self._index, "content_block": self._block.begun()}
        match piece.kind:
            case "thinking":
                self._block.texts.append(piece.text)  # its signature is of all of it
                if self._asked.shows_thinking:
                    yield self._delta({"type": "thinking_delta", "thinking": piece.text})
            case "text":
                yield self._delta({"type": "text_delta", "text": piece.text})
            case _:
                yield self._delta({"type": "input_json_delta", "partial_json": piece.text})

    def _stop(self) -> Iterator[dict[str, Any]]:
        """The end of the block that is open, if one is."""
        if self._block is None:
            return
        if self._block.first.kind == "thinking":
            signature = signature_of(self._block.text, shown=self._asked.shows_thinking)
            yield self._delta({"type": "signature_delta", "signature": signature})
        yield {"type": "content_block_stop", "index": self._index}
        self._block = None

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}


def _pieces(delta: Delta, last: _Block | None) -> Iterator[_Piece]:
    """The pieces of a delta, in order."""
    open_call = last.first.number if last is not None and last.first.kind == "tool_use" else None
    before, after = calls_around_text(delta, open_call)
    yield from map(_call, before)
    if delta.reasoning:
        yield _Piece("thinking", delta.reasoning)
    if delta.text:
        yield _Piece("text", delta.text)
    yield from map(_call, after)


def _call(piece: ToolCallDelta) -> _Piece:
    return _Piece("tool_use", piece.arguments, piece.index, piece.id, piece.name)


def _empty(asked: Asked) -> dict[str, Any]:
    return {
        "id": asked.id,
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _end(finish: Finish, asked: Asked) -> dict[str, Any]:
    """How it ended. What looks like a tool call and cannot be read is in the text: a flag of ours says so."""
    told = {"stop_reason": _stop_reason(finish, asked.max_tokens), "stop_sequence": finish.stop_string}
    return told | ({"unparsed_tool_call": True} if finish.unparsed else {})


def _stop_reason(finish: Finish, max_tokens: int) -> str:
    if finish.reason is FinishReason.LENGTH:
        full = finish.usage.completion_tokens < max_tokens
        return "model_context_window_exceeded" if full else "max_tokens"
    if finish.stop_string is not None:
        return "stop_sequence"
    return "tool_use" if finish.num_tool_calls else "end_turn"


def _usage(usage: Usage) -> dict[str, int]:
    """Tokens as Anthropic counts them: those that were taken from the cache stand apart."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }


def _all_usage(finish: Finish) -> dict[str, Any]:
    return {**_usage(finish.usage), "output_tokens_details": {"thinking_tokens": finish.num_reasoning_tokens}}


def _arguments(text: str) -> dict[str, Any]:
    """The arguments of a call as an object: of one that was cut off, what there is of it, as clients read a stream."""
    try:
        found = from_json(text, allow_partial=True) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _named(event: dict[str, Any]) -> Event:
    return Event(event, event["type"])
