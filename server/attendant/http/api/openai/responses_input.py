"""Items of Responses to the conversation that models are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from attendant.core.chat import ChatMessage, ToolCall
from attendant.core.errors import InvalidRequest
from attendant.core.shown import shown
from attendant.http.api.openai.parts import PartKinds, content_of
from attendant.http.api.openai.refusals import word
from attendant.http.api.openai.structured import check_fields

_ROLES = ("user", "assistant", "system", "developer")
_KINDS = PartKinds(
    {"input_text": "text", "output_text": "text", "refusal": "refusal"},
    {"input_image": "image", "input_audio": "audio", "input_file": "file"},
    {"output_text": ("annotations", "logprobs")},
)
_FIELDS = {
    "message": ("type", "role", "content", "id", "status", "phase"),
    "function_call": ("type", "call_id", "name", "arguments", "id", "status", "caller", "namespace", "async"),
    "function_call_output": ("type", "call_id", "output", "id", "status", "name", "caller", "namespace"),
    "reasoning": ("type", "summary", "content", "id", "status", "encrypted_content"),
}
_OFF = ("phase", "caller", "namespace", "async")
"""Fields of items that say nothing to the models here."""


def response_messages(given: Any, instructions: str | None) -> tuple[ChatMessage, ...]:
    """The conversation. What the assistant thought, said and called in one go is one message.

    Args:
        given: a text, or items.
        instructions: come first, as the system's.

    Raises:
        InvalidRequest: naming the item's field and what is allowed.
    """
    begin = [ChatMessage("system", instructions)] if instructions else []
    if isinstance(given, str):
        return (*begin, ChatMessage("user", given))
    if not isinstance(given, list | tuple) or not given:
        raise InvalidRequest("input", f"is {shown(given)}; allowed: a text, or a list of items, at least one")
    conversation = _Conversation(begin)
    for index, item in enumerate(given):
        field = f"input[{index}]"
        if not isinstance(item, dict):
            raise InvalidRequest(field, f"is {shown(item)}; allowed: an object with a type")
        conversation.take(item, field)
    return conversation.whole()


class _Conversation:
    """Messages, as items come."""

    def __init__(self, messages: Sequence[ChatMessage]) -> None:
        self._messages = list(messages)
        self._calls: list[ToolCall] = []  # of the last message

    def whole(self) -> tuple[ChatMessage, ...]:
        """All messages."""
        self._end_turn()
        return tuple(self._messages)

    def take(self, item: Mapping[str, Any], field: str) -> None:
        """Add an item."""
        kind = _kind(item, field)
        check_fields(item, _FIELDS[kind], field)
        for name in _OFF:
            if item.get(name):
                raise InvalidRequest(f"{field}.{name}", f"is {shown(item[name])}; allowed: nothing")
        match kind:
            case "message":
                self._say(item, field)
            case "function_call":
                call = ToolCall(_text(item, "name", field), _text(item, "arguments", field), _id(item, field))
                if not self._messages or self._messages[-1].role != "assistant":
                    self._add(ChatMessage("assistant", None))
                self._calls.append(call)
            case "function_call_output":
                output = content_of(item.get("output"), _KINDS, f"{field}.output")
                name = "" if item.get("name") is None else _text(item, "name", field)
                self._add(ChatMessage("tool", output, name, tool_call_id=_id(item, field)))
            case "reasoning":
                self._add(ChatMessage("assistant", None, reasoning=_thought(item, field)))

    def _say(self, item: Mapping[str, Any], field: str) -> None:
        role = item.get("role")
        if role not in _ROLES:
            raise InvalidRequest(f"{field}.role", f"is {shown(role)}; allowed: {', '.join(_ROLES)}")
        content = content_of(item.get("content"), _KINDS, f"{field}.content")
        last = self._messages[-1] if self._messages else None
        if role == "assistant" and last is not None and last.role == role and last.content is None and not self._calls:
            self._messages[-1] = replace(last, content=content)  # it had only thought
        else:
            self._add(ChatMessage(role, content))

    def _add(self, message: ChatMessage) -> None:
        self._end_turn()
        self._messages.append(message)

    def _end_turn(self) -> None:
        """The last message calls nothing more."""
        if self._calls:
            self._messages[-1] = replace(self._messages[-1], tool_calls=tuple(self._calls))
            self._calls = []


def _kind(item: Mapping[str, Any], field: str) -> str:
    kind = item.get("type", "message" if "role" in item else None)
    if kind == "item_reference":
        raise InvalidRequest(f"{field}.type", "is item_reference, and nothing is stored here; send the item itself")
    if word(kind) not in _FIELDS:
        raise InvalidRequest(f"{field}.type", f"is {shown(kind)}; allowed: {', '.join(_FIELDS)}")
    return str(kind)


def _thought(item: Mapping[str, Any], field: str) -> str:
    """The text of what was thought, whichever way it was told."""
    for name, kind in (("content", "reasoning_text"), ("summary", "summary_text")):
        parts = item.get(name) or []
        if not isinstance(parts, list):
            raise InvalidRequest(f"{field}.{name}", f"is {shown(parts)}; allowed: a list of {kind}")
        texts = [
            part["text"] for part in parts if isinstance(part, dict) and part.get("type") == kind and _has_text(part)
        ]
        if len(texts) != len(parts):
            raise InvalidRequest(f"{field}.{name}", f"is {shown(parts)}; allowed: a list of {kind}")
        if texts:
            return "".join(texts)
    if item.get("encrypted_content"):
        raise InvalidRequest(f"{field}.encrypted_content", "is given without a text; this server has not encrypted it")
    return ""


def _has_text(part: Mapping[str, Any]) -> bool:
    return isinstance(part.get("text"), str)


def _text(item: Mapping[str, Any], name: str, field: str) -> str:
    found = item.get(name)
    if not isinstance(found, str):
        raise InvalidRequest(f"{field}.{name}", f"is {shown(found)}; allowed: a text")
    return found


def _id(item: Mapping[str, Any], field: str) -> str:
    found = _text(item, "call_id", field)
    if not found:
        raise InvalidRequest(f"{field}.call_id", "is empty; allowed: what a call and its output have in common")
    return found
