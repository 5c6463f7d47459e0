"""The parts of an answer as objects of Chat Completions: all in one, or chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Iterator
from typing import Any

from attendant.core.chat import ToolCallDelta
from attendant.core.generation import Delta, Finish, GenerationPart
from attendant.http.api.answers import Event, Events
from attendant.http.api.openai.chat_body import ChatBody
from attendant.http.api.openai.logprobs import Logprobs
from attendant.http.api.openai.objects import DONE, UsageTally, finish_reason, new_id, stop_reason
from attendant.http.api.openai.sampling import stop_strings


class ChatAnswer:
    """One answer on its way.

    Args:
        named: the caller chose its tool.
        prefix: text that each choice begins with: that of the message that it continues.
        prompt_token_ids: told with the answer; None where nobody asked.
    """

    def __init__(
        self, body: ChatBody, *, named: bool = False, prefix: str = "", prompt_token_ids: list[int] | None = None
    ) -> None:
        self._id = new_id("chatcmpl-")
        self._created = int(time.time())
        self._model = body.model
        self._named = named
        self._legacy = body.functions is not None or body.function_call is not None
        self._prefix = prefix
        self._prompt_token_ids = prompt_token_ids
        self._thinks_aloud = body.include_reasoning is not False
        self._shows_stop = bool(body.include_stop_str_in_output)
        self._with_ids = bool(body.return_token_ids)
        self._with_logprobs = bool(body.logprobs)
        self._stops = bool(stop_strings(body.stop))
        self._stop_ids = frozenset(body.stop_token_ids or ())
        self._as_ids = bool(body.return_tokens_as_token_ids)
        options = body.stream_options
        self._with_usage = options is not None and bool(options.include_usage)
        self._always_usage = options is not None and bool(options.continuous_usage_stats)
        self._usage = UsageTally()
        self._logprobs: dict[int, Logprobs] = {}

    async def whole(self, parts: AsyncIterable[GenerationPart]) -> dict[str, Any]:
        """The answer as one object."""
        choices: dict[int, _Choice] = {}
        async for part in parts:
            self._usage.take(part)
            choice = choices.setdefault(part.index, _Choice())
            choice.logprobs += self._entries(part)
            if isinstance(part, Delta):
                choice.take(part)
            else:
                choice.finish = part
        listed = [self._choice(index, choice) for index, choice in sorted(choices.items())]
        return self._headed("chat.completion", listed) | self._prompt_ids() | {"usage": self._usage.chat_usage()}

    async def events(self, parts: AsyncIterable[GenerationPart]) -> Events:
        """The answer as chunks."""
        begun: set[int] = set()
        async for part in parts:
            self._usage.take(part)
            if part.index not in begun:
                first = self._prompt_ids() if not begun else {}
                begun.add(part.index)
                delta = {"role": "assistant", "content": self._prefix}
                yield self._chunk([{"index": part.index, "delta": delta, "finish_reason": None}], first)
            for choice in self._pieces(part):
                yield self._chunk([choice])
        if self._with_usage:
            yield Event(self._headed("chat.completion.chunk", []) | {"usage": self._usage.chat_usage()})
        yield DONE

    def _pieces(self, part: GenerationPart) -> Iterator[dict[str, Any]]:
        """What of a choice is new."""
        delta: dict[str, Any] = {}
        entries = self._entries(part)
        if isinstance(part, Delta):
            if part.reasoning and self._thinks_aloud:
                delta["reasoning_content"] = part.reasoning
            if part.text:
                delta["content"] = part.text
            if part.tool_calls:
                delta |= self._call_deltas(part.tool_calls)
        elif self._shows_stop and part.stop_string:
            delta["content"] = part.stop_string
        ids = list(part.token_ids) if isinstance(part, Delta) and self._with_ids else []
        if delta or entries or ids:
            piece: dict[str, Any] = {"index": part.index, "delta": delta, "finish_reason": None}
            if self._with_logprobs:
                piece["logprobs"] = {"content": entries, "refusal": None}
            if self._with_ids:
                piece["token_ids"] = ids
            yield piece
        if isinstance(part, Finish):
            yield {"index": part.index, "delta": {}, **self._ended(part)}

    def _call_deltas(self, pieces: tuple[ToolCallDelta, ...]) -> dict[str, Any]:
        if self._legacy:
            function = {"arguments": "".join([piece.arguments for piece in pieces])}
            name = "".join([piece.name for piece in pieces])
            return {"function_call": {"name": name, **function} if name else function}
        return {"tool_calls": [_call_delta(piece) for piece in pieces]}

    def _choice(self, index: int, choice: _Choice) -> dict[str, Any]:
        finish = choice.finish
        assert finish is not None, "every sequence ends with one"
        text = self._prefix + choice.text + (finish.stop_string or "" if self._shows_stop else "")
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if choice.reasoning and self._thinks_aloud:
            message["reasoning_content"] = choice.reasoning
        if choice.calls:
            message["content"] = text or None
            calls = [choice.calls[number] for number in sorted(choice.calls)]
            if self._legacy:
                message["function_call"] = calls[0]["function"]
            else:
                message["tool_calls"] = calls
        told = {"index": index, "message": message, "logprobs": None, **self._ended(finish)}
        if self._with_logprobs:
            told["logprobs"] = {"content": choice.logprobs, "refusal": None}
        return told | ({"token_ids": choice.token_ids} if self._with_ids else {})

    def _ended(self, finish: Finish) -> dict[str, Any]:
        reason = finish_reason(finish, named=self._named)
        if self._legacy and reason == "tool_calls":
            reason = "function_call"
        told = {"finish_reason": reason} | stop_reason(finish, self._stop_ids)
        return told | ({"unparsed_tool_call": True} if finish.unparsed else {})

    def _entries(self, part: GenerationPart) -> list[dict[str, Any]]:
        """The log-probabilities that go with a part."""
        if not self._with_logprobs:
            return []
        logprobs = self._logprobs.get(part.index)
        if logprobs is None:
            logprobs = self._logprobs[part.index] = Logprobs(stops=self._stops, as_ids=self._as_ids)
        return logprobs.take(part) if isinstance(part, Delta) else logprobs.end(part.stop_string)

    def _headed(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model, "choices": choices}

    def _prompt_ids(self) -> dict[str, Any]:
        return {} if self._prompt_token_ids is None else {"prompt_token_ids": self._prompt_token_ids}

    def _chunk(self, choices: list[dict[str, Any]], more: dict[str, Any] | None = None) -> Event:
        chunk = self._headed("chat.completion.chunk", choices) | (more or {})
        if self._with_usage:
            chunk["usage"] = self._usage.chat_usage() if self._always_usage else None
        return Event(chunk)


class _Choice:
    """All of one sequence."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.token_ids: list[int] = []
        self.logprobs: list[dict[str, Any]] = []
        self.calls: dict[int, dict[str, Any]] = {}
        self.finish: Finish | None = None

    def take(self, delta: Delta) -> None:
        """Append a delta."""
        self.text += delta.text
        self.reasoning += delta.reasoning
        self.token_ids += delta.token_ids
        for piece in delta.tool_calls:
            if piece.index not in self.calls:
                function = {"name": piece.name, "arguments": ""}
                self.calls[piece.index] = {"id": piece.id, "type": "function", "function": function}
            self.calls[piece.index]["function"]["arguments"] += piece.arguments


def _call_delta(piece: ToolCallDelta) -> dict[str, Any]:
    if not piece.name:
        return {"index": piece.index, "function": {"arguments": piece.arguments}}
    function = {"name": piece.name, "arguments": piece.arguments}
    return {"index": piece.index, "id": piece.id, "type": "function", "function": function}
