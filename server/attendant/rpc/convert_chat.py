"""Conversations, tools and grammars on the wire, to core words and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attendant_proto.v1 import generation_pb2 as pb

from attendant.core.chat import ChatMessage, ChatPrompt, TextPart, Tool, ToolCall, ToolCallDelta, ToolChoice
from attendant.core.errors import InvalidRequest
from attendant.core.grammar import Grammar
from attendant.core.json_values import check_values
from attendant.rpc.sizes import LARGE_REQUEST

T = TypeVar("T")

_MODES = {
    pb.ToolChoice.MODE_AUTO: "auto",
    pb.ToolChoice.MODE_NONE: "none",
    pb.ToolChoice.MODE_REQUIRED: "required",
    pb.ToolChoice.MODE_NAMED: "named",
}


MOST_PIECES = 2**16
"""Messages, parts of contents, tool calls, tools and documents of a conversation, all together. Each can be as small as
two bytes, and takes microseconds."""

_SHORT = 8192
"""Bytes of a conversation below which what is within its messages is read in no time."""

_LARGE = 1024
"""Pieces from which on a conversation is read in a thread."""


def chat_prompt(chat: pb.Chat) -> ChatPrompt:
    """A conversation.

    Raises:
        InvalidRequest: a tool, a document or the variables of the template are not as they have to be, or there is too
            much of something.
    """
    if _num_pieces(chat) > MOST_PIECES:
        what = "messages, parts, tool calls, tools and documents"
        raise InvalidRequest("chat", f"has more than {MOST_PIECES:,} {what}; allowed: so many, all together")
    return ChatPrompt(
        tuple([_message(index, message) for index, message in enumerate(chat.messages)]),
        chat.template,
        tuple([_tool(index, tool) for index, tool in enumerate(chat.tools)]),
        tuple([_object(f"documents[{index}]", text) for index, text in enumerate(chat.documents)]),
        _object("template_variables", chat.template_variables) if chat.template_variables else {},
        chat.given_template,
        chat.continue_final_message,
        not chat.no_generation_prompt,
    )


def is_large_chat(chat: pb.Chat) -> bool:
    """Whether a conversation has so much JSON, or so many pieces, that reading it takes long enough to be done in a
    thread."""
    if _num_pieces(chat) > _LARGE:
        return True
    tools = sum([len(tool.definition) + len(tool.parameters) for tool in chat.tools])
    return tools + len(chat.template_variables) + sum(map(len, chat.documents)) > LARGE_REQUEST


def _num_pieces(chat: pb.Chat) -> int:
    """Of a conversation. What is within messages is not counted where that takes longer than it is worth: in a short
    one, and in one that has too much as it is."""
    pieces = len(chat.messages) + len(chat.tools) + len(chat.documents)
    if pieces > MOST_PIECES or chat.ByteSize() < _SHORT:
        return pieces
    return pieces + sum([len(message.parts) + len(message.tool_calls) for message in chat.messages])


async def timely(chat: pb.Chat, read: Callable[[], T]) -> T:
    """What ``read`` makes of a request, in a thread where its conversation is large."""
    return await asyncio.to_thread(read) if is_large_chat(chat) else read()


def tool_choice(message: pb.ToolChoice) -> ToolChoice:
    """Which tools an answer calls.

    Raises:
        InvalidRequest: a mode that is not known.
    """
    mode = _MODES.get(message.mode)
    if mode is None:
        raise InvalidRequest("tool_choice.mode", f"is {message.mode}; allowed: 0 to {len(_MODES) - 1}")
    return ToolChoice(mode, tuple(message.names), not message.single)  # type: ignore[arg-type] # one of its words


def grammar(message: pb.Grammar) -> Grammar:
    """What an answer has to be like.

    Raises:
        InvalidRequest: nothing is said, or JSON objects are asked for with false.
    """
    kind = message.WhichOneof("kind")
    match kind:
        case "json_object":
            if not message.json_object:
                raise InvalidRequest("grammar.json_object", "is false; leave grammar out, or say true")
            return Grammar("json_object")
        case "choice":
            return Grammar("choice", choices=tuple(message.choice.texts))
        case None:
            allowed = ", ".join(field.name for field in message.DESCRIPTOR.oneofs_by_name["kind"].fields)
            raise InvalidRequest("grammar", f"says nothing; allowed: one of {allowed}")
        case _:
            return Grammar(kind, getattr(message, kind))


def tool_call_message(delta: ToolCallDelta) -> pb.ToolCall:
    """A piece of a tool call."""
    return pb.ToolCall(id=delta.id, name=delta.name, arguments=delta.arguments, index=delta.index)


def _message(index: int, message: pb.ChatMessage) -> ChatMessage:
    content: str | tuple[TextPart, ...] | None = message.content
    if message.parts:
        if message.HasField("content"):
            raise InvalidRequest(f"messages[{index}]", "has content and parts; allowed: one of them")
        content = tuple([TextPart(text) for text in message.parts])
    elif message.tool_calls and not message.HasField("content"):
        content = None
    calls = tuple([ToolCall(call.name, call.arguments, call.id) for call in message.tool_calls])
    return ChatMessage(message.role, content, message.name, message.reasoning, calls, message.tool_call_id)


def _tool(index: int, tool: pb.Tool) -> Tool:
    field = f"tools[{index}]"
    if tool.definition:
        definition = _object(f"{field}.definition", tool.definition)
        function = definition.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidRequest(f"{field}.definition", 'is no {"type": "function", "function": {"name": ...}}')
        return Tool(function["name"], definition)
    function = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters:
        function["parameters"] = _object(f"{field}.parameters", tool.parameters)
    if tool.strict:
        function["strict"] = True
    return Tool(tool.name, {"type": "function", "function": function})


def _object(field: str, text: str) -> Mapping[str, Any]:
    check_values(text, field)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(field, f"is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidRequest(field, f"is a JSON {type(found).__name__}; allowed: an object")
    return found
