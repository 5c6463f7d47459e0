"""A conversation as JSON, as clients of OpenAI and transformers write it, made a message of attendant.v1."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from attendant_proto.v1 import generation_pb2 as pb

from attendant.core.errors import InvalidRequest
from attendant.rpc.openinference.single import parsed, shown

_WHOLE = "an array of messages, or an object with messages and other fields of attendant.v1's Chat"
_FIELDS = tuple(field.name for field in pb.Chat.DESCRIPTOR.fields)
_OF_MESSAGE = ("role", "content", "name", "reasoning", "reasoning_content", "tool_calls", "tool_call_id")
_OF_CALL = ("id", "type", "function", "name", "arguments", "index")


def set_chat(chat: pb.Chat, words: str, field: str) -> None:
    """Set a conversation to what JSON says. ``field``: where that stands in the request.

    Raises:
        InvalidRequest: naming what is wrong.
    """
    value = parsed(words, field, _WHOLE)
    given = _object({"messages": value} if isinstance(value, list) else value, field, _FIELDS, _WHOLE)
    for place, each in enumerate(_list(_needed(given, "messages", field), f"{field}.messages", "messages")):
        _set_message(chat.messages.add(), each, f"{field}.messages[{place}]")
    for name in ("template", "given_template"):
        setattr(chat, name, _text(given.get(name), f"{field}.{name}"))
    for name in ("continue_final_message", "no_generation_prompt"):
        setattr(chat, name, _flag(given.get(name), f"{field}.{name}"))
    for place, each in enumerate(_list(given.get("tools"), f"{field}.tools", "tools")):
        where = f"{field}.tools[{place}]"
        chat.tools.add(
            definition=json.dumps(_object(each, where, None, "an object that is a tool"), ensure_ascii=False)
        )
    for place, each in enumerate(_list(given.get("documents"), f"{field}.documents", "objects")):
        document = _object(each, f"{field}.documents[{place}]", None, "an object")
        chat.documents.append(json.dumps(document, ensure_ascii=False))
    variables = given.get("template_variables")
    if variables is not None:
        where = f"{field}.template_variables"
        chat.template_variables = json.dumps(_object(variables, where, None, "an object"), ensure_ascii=False)


def _set_message(message: pb.ChatMessage, value: Any, field: str) -> None:
    given = _object(value, field, _OF_MESSAGE, "an object with role and content")
    message.role = _text(_needed(given, "role", field), f"{field}.role")
    _set_content(message, given, f"{field}.content")
    message.name = _text(given.get("name"), f"{field}.name")
    message.tool_call_id = _text(given.get("tool_call_id"), f"{field}.tool_call_id")
    for name in ("reasoning", "reasoning_content"):
        message.reasoning = _text(given.get(name), f"{field}.{name}") or message.reasoning
    for place, each in enumerate(_list(given.get("tool_calls"), f"{field}.tool_calls", "calls")):
        _set_call(message.tool_calls.add(), each, f"{field}.tool_calls[{place}]")


def _set_content(message: pb.ChatMessage, given: Mapping[str, Any], field: str) -> None:
    content = given.get("content")
    if isinstance(content, str):
        message.content = content
    elif isinstance(content, list) and content:
        for place, part in enumerate(content):
            where = f"{field}[{place}]"
            kind = _object(part, where, None, "a part with type and text").get("type")
            if kind != "text" or set(part) != {"type", "text"}:
                raise InvalidRequest(where, f'is {shown(part)}; allowed: {{"type": "text", "text": ...}}')
            message.parts.append(_text(part["text"], f"{where}.text"))
    elif content is not None:
        raise InvalidRequest(field, f"is {shown(content)}; allowed: a text, or an array of parts")
    elif not given.get("tool_calls") and not given.get("reasoning") and not given.get("reasoning_content"):
        raise InvalidRequest(field, "is missing; allowed: a text, or an array of parts")


def _set_call(call: pb.ToolCall, value: Any, field: str) -> None:
    """A call with its tool in ``function``, as OpenAI has it, or flat, as attendant.v1 answers."""
    given = _object(value, field, _OF_CALL, "an object that is a call of a tool")
    if given.get("type", "function") != "function":
        raise InvalidRequest(f"{field}.type", f'is {shown(given["type"])}; allowed: "function"')
    inner, where = given, field
    if "function" in given:
        where = f"{field}.function"
        inner = _object(given["function"], where, ("name", "arguments"), "an object with name and arguments")
    call.id = _text(given.get("id"), f"{field}.id")
    call.name = _text(_needed(inner, "name", where), f"{where}.name")
    arguments = inner.get("arguments")
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    call.arguments = _text(arguments, f"{where}.arguments")


def _object(value: Any, field: str, known: Collection[str] | None, allowed: str) -> dict[str, Any]:
    """An object whose names are ``known``; None: it may have any."""
    if not isinstance(value, dict):
        raise InvalidRequest(field, f"is {shown(value)}; allowed: {allowed}")
    for name in value if known is not None else ():
        if known is not None and name not in known:
            raise InvalidRequest(f"{field}.{name[:100]}", f"is not known; allowed: {', '.join(known)}")
    return value


def _needed(given: Mapping[str, Any], name: str, field: str) -> Any:
    if given.get(name) is None:
        raise InvalidRequest(f"{field}.{name}", "is missing")
    return given[name]


def _list(value: Any, field: str, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequest(field, f"is {shown(value)}; allowed: an array of {what}")
    return value


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str | None):
        raise InvalidRequest(field, f"is {shown(value)}; allowed: a text")
    return value or ""


def _flag(value: Any, field: str) -> bool:
    if not isinstance(value, bool | None):
        raise InvalidRequest(field, f"is {shown(value)}; allowed: true or false")
    return bool(value)
