"""Messages of Chat Completions to the conversation that models are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attendant.core.chat import ChatMessage, ContentPart, ToolCall
from attendant.core.errors import InvalidRequest
from attendant.core.shown import shown
from attendant.http.api.bodies import ApiBody
from attendant.http.api.openai.parts import PartKinds, content_of
from attendant.http.api.openai.refusals import Refusal, check_refused
from attendant.http.api.openai.structured import check_fields

_KINDS = PartKinds(
    {"text": "text", "refusal": "refusal"},
    {"image_url": "image", "input_audio": "audio", "audio_url": "audio", "video_url": "video", "file": "file"},
)
_ROLES = ("developer", "system", "user", "assistant", "tool", "function")


class MessageBody(ApiBody):
    """The fields of a message, whatever its role."""

    role: str
    content: Any = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[dict[str, Any], ...] | None = None
    function_call: dict[str, Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    audio: Any = None
    annotations: Any = None
    parsed: Any = None
    """What OpenAI's client made of ``content``, and sends back with it."""


_ASSISTANT_ONLY = ("tool_calls", "function_call", "refusal", "reasoning_content", "reasoning")
_REFUSED = {
    "audio": Refusal("this server has no audio of its own to refer to"),
    "annotations": Refusal("an answer of this server has none"),
}


def chat_messages(messages: Sequence[MessageBody]) -> tuple[ChatMessage, ...]:
    """The conversation.

    Raises:
        InvalidRequest: naming the message's field and what is allowed.
    """
    return tuple([_message(message, f"messages[{index}]") for index, message in enumerate(messages)])


def _message(message: MessageBody, field: str) -> ChatMessage:
    role = message.role
    if role not in _ROLES:
        raise InvalidRequest(f"{field}.role", f"is {shown(role)}; allowed: {', '.join(_ROLES)}")
    check_refused(message, _REFUSED, f"{field}.")
    if role == "assistant":
        return _assistant(message, field)
    for name in _ASSISTANT_ONLY:
        if getattr(message, name):
            raise InvalidRequest(f"{field}.{name}", f"is given; allowed with the role {role}: nothing")
    if role == "tool" and not message.tool_call_id:
        raise InvalidRequest(f"{field}.tool_call_id", "is missing: it says which call this is the result of")
    if role != "tool" and message.tool_call_id:
        raise InvalidRequest(f"{field}.tool_call_id", f"is given; allowed with the role {role}: nothing")
    if role == "function" and not message.name:
        raise InvalidRequest(f"{field}.name", "is missing: it says which function this is the result of")
    content = _content(message, field)
    if content is None:
        raise InvalidRequest(f"{field}.content", "is missing")
    said = "tool" if role == "function" else role
    return ChatMessage(said, content, message.name or "", tool_call_id=message.tool_call_id or "")


def _assistant(message: MessageBody, field: str) -> ChatMessage:
    if message.tool_call_id:
        raise InvalidRequest(f"{field}.tool_call_id", "is given; allowed with the role assistant: nothing")
    content = _content(message, field)
    if message.refusal:
        if content:
            raise InvalidRequest(f"{field}.refusal", "is given, and so is content; allowed: one of them")
        content = message.refusal
    calls = [_call(call, f"{field}.tool_calls[{index}]") for index, call in enumerate(message.tool_calls or ())]
    if message.function_call is not None:
        if calls:
            raise InvalidRequest(f"{field}.function_call", "is given, and so is tool_calls; allowed: one of them")
        calls = [_function(message.function_call, f"{field}.function_call", "")]
    reasoning = message.reasoning_content or message.reasoning or ""
    if content is None and not calls and not reasoning:
        raise InvalidRequest(f"{field}.content", "is missing; allowed where there are tool_calls")
    return ChatMessage("assistant", content, message.name or "", reasoning, tuple(calls))


def _content(message: MessageBody, field: str) -> str | tuple[ContentPart, ...] | None:
    return None if message.content is None else content_of(message.content, _KINDS, f"{field}.content")


def _call(call: Mapping[str, Any], field: str) -> ToolCall:
    check_fields(call, ("id", "type", "function", "index"), field)
    if call.get("type", "function") != "function":
        raise InvalidRequest(f"{field}.type", f'is {shown(call["type"])}; allowed: "function"')
    function, number = call.get("function"), call.get("id")
    if not isinstance(function, dict):
        raise InvalidRequest(f"{field}.function", f"is {shown(function)}; allowed: an object")
    if not isinstance(number, str) or not number:
        raise InvalidRequest(f"{field}.id", f"is {shown(number)}; allowed: a text, which the tool's result names")
    return _function(function, f"{field}.function", number)


def _function(function: Mapping[str, Any], field: str, number: str) -> ToolCall:
    check_fields(function, ("name", "arguments", "parsed_arguments"), field)  # the last is the client's own
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not name:
        raise InvalidRequest(f"{field}.name", f"is {shown(name)}; allowed: the name of a function")
    if not isinstance(arguments, str):
        raise InvalidRequest(f"{field}.arguments", f"is {shown(arguments)}; allowed: a JSON object as a text")
    return ToolCall(name, arguments, number)
