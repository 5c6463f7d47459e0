"""The parts of an answer as a response: all in one, or event by event."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Iterator
from typing import Any

from attendant.core.errors import AttendantError, Overloaded
from attendant.core.generation import Delta, Finish, GenerationPart
from attendant.core.request import FinishReason
from attendant.http.api.answers import Event, Events, note_failure
from attendant.http.api.openai.logprobs import Logprobs
from attendant.http.api.openai.objects import UsageTally, new_id
from attendant.http.api.openai.responses_body import LOGPROBS, ResponsesBody, tells_summary
from attendant.http.api.openai.responses_output import Output, Said
from attendant.http.api.openai.sampling import stop_strings
from attendant.http.api.order import calls_around_text


class ResponseAnswer:
    """One response on its way."""

    def __init__(self, body: ResponsesBody) -> None:
        self._body = body
        self._output = Output(as_summary=tells_summary(body))
        self._usage = UsageTally()
        self._logprobs: Logprobs | None = None
        if LOGPROBS in (body.include or ()):
            as_ids = bool(body.return_tokens_as_token_ids)
            self._logprobs = Logprobs(stops=bool(stop_strings(body.stop)), as_ids=as_ids)
        self._entries: list[dict[str, Any]] = []
        self._response = _response(body)
        self._number = 0

    async def whole(self, parts: AsyncIterable[GenerationPart]) -> dict[str, Any]:
        """The response as one object."""
        async for part in parts:
            for _ in self._take(part):
                pass
        return self._response

    async def events(self, parts: AsyncIterable[GenerationPart]) -> Events:
        """The response as events. A failure after the first part is told by the last one."""
        begun = False
        try:
            async for part in parts:
                if not begun:
                    begun = True
                    for kind in ("created", "in_progress"):
                        yield self._event({"type": f"response.{kind}", "response": dict(self._response)})
                for said in self._take(part):
                    yield self._event(said)
        except AttendantError as error:
            note_failure(type(error))
            if not begun:
                raise
            yield self._event({"type": "response.failed", "response": self._failed(error)})
            return
        yield self._event({"type": f"response.{self._response['status']}", "response": self._response})

    def _take(self, part: GenerationPart) -> Iterator[Said]:
        self._usage.take(part)
        if isinstance(part, Delta):
            before, after = calls_around_text(part, self._output.open_call)
            for piece in before:
                yield from self._output.call(piece)
            if part.reasoning:
                yield from self._output.think(part.reasoning)
            if self._logprobs is not None:
                self._entries += self._logprobs.take(part)
            if part.text:
                yield from self._say(part.text)
            for piece in after:
                yield from self._output.call(piece)
            return
        if self._logprobs is not None:
            self._entries += self._logprobs.end(part.stop_string)
        shown = part.stop_string or "" if self._body.include_stop_str_in_output else ""
        if shown or not self._output.items or (self._entries and self._output.speaks):
            yield from self._say(shown)
        yield from self._end(part)

    def _say(self, text: str) -> Iterator[Said]:
        """Text, and the log-probabilities of all tokens up to its end."""
        entries, self._entries = self._entries, []
        yield from self._output.say(text, entries)

    def _end(self, finish: Finish) -> Iterator[Said]:
        complete = finish.reason is not FinishReason.LENGTH
        status = "completed" if complete else "incomplete"
        yield from self._output.close(status)
        self._response |= {"status": status, "output": self._output.items, "usage": self._usage.response_usage()}
        if complete:
            self._response["completed_at"] = int(time.time())
        else:
            self._response["incomplete_details"] = {"reason": "max_output_tokens"}
        if finish.unparsed:
            self._response["unparsed_tool_call"] = True

    def _failed(self, error: AttendantError) -> dict[str, Any]:
        code = "rate_limit_exceeded" if isinstance(error, Overloaded) else "server_error"
        told = {"status": "failed", "output": self._output.items, "error": {"code": code, "message": str(error)}}
        return self._response | told

    def _event(self, said: Said) -> Event:
        number, self._number = self._number, self._number + 1
        return Event({**said, "sequence_number": number}, str(said["type"]))


def _response(body: ResponsesBody) -> dict[str, Any]:
    """A response that has begun, and what was asked for."""
    reasoning, text = body.reasoning, body.text
    return {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "model": body.model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {
            "effort": reasoning.effort if reasoning is not None else None,
            "summary": (reasoning.summary or reasoning.generate_summary) if reasoning is not None else None,
        },
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": False,
        "temperature": body.temperature,
        "text": {"format": (text.format if text is not None else None) or {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto" if body.tool_choice is None else body.tool_choice,
        "tools": list(body.tools or ()),
        "top_logprobs": body.top_logprobs or 0,
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
        "metadata": body.metadata or {},
    }
