"""What answers of OpenAI's API have in common: ids, usage, why a sequence ended, and the end of a stream."""

from __future__ import annotations

import secrets
from collections.abc import Set
from typing import Any

from attendant.core.generation import Delta, Finish
from attendant.core.request import FinishReason
from attendant.http.api.answers import Event

DONE = Event("[DONE]")
"""The last event of a stream of Chat Completions or of Completions."""

_REASONS = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length", FinishReason.CANCELLED: "stop"}


def new_id(prefix: str) -> str:
    """An id of an answer, or of a part of it, that no other has."""
    return f"{prefix}{secrets.token_hex(16)}"


def finish_reason(finish: Finish, *, named: bool = False) -> str:
    """Why a sequence ended. ``named``: the caller chose its tool, so that the call is no news."""
    if finish.reason is FinishReason.STOP and finish.num_tool_calls and not named:
        return "tool_calls"
    return _REASONS[finish.reason]


def stop_reason(finish: Finish, stop_ids: Set[int]) -> dict[str, Any]:
    """The stop string or the token that ended a sequence, as vLLM tells it; empty where neither did. ``stop_ids``: of
    the tokens that the caller named."""
    if finish.stop_string is not None:
        return {"stop_reason": finish.stop_string}
    return {"stop_reason": finish.stop_token_id} if finish.stop_token_id in stop_ids else {}


class UsageTally:
    """Counts the tokens of a call: those of the prompt once, those of its sequences all together."""

    def __init__(self) -> None:
        self.prompt = self.cached = self.completion = self.reasoning = 0
        self._running: dict[int, int] = {}

    def take(self, part: Delta | Finish) -> None:
        """Count what a part has."""
        if isinstance(part, Finish):
            self.prompt = part.usage.prompt_tokens
            if part.index == 0:  # the others find the prompt where the first has left it
                self.cached = part.usage.cached_tokens
            self.completion += part.usage.completion_tokens - self._running.pop(part.index, 0)
            self.reasoning += part.num_reasoning_tokens
            return
        self.prompt = part.prompt_tokens
        self.completion += len(part.token_ids)
        self._running[part.index] = self._running.get(part.index, 0) + len(part.token_ids)

    def chat_usage(self) -> dict[str, Any]:
        """The object of Chat Completions and Completions."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }

    def response_usage(self) -> dict[str, Any]:
        """The object of Responses."""
        return {
            "input_tokens": self.prompt,
            "input_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": 0},
            "output_tokens": self.completion,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.prompt + self.completion,
        }
