"""Messages of Anthropic's API as the conversation that a model's template writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from attendant.core.chat import ChatMessage, ChatPrompt, ContentPart, TextPart, Tool, ToolCall
from attendant.core.errors import InvalidRequest
from attendant.http.api.anthropic import bodies
from attendant.http.api.anthropic.blocks import (
    AssistantMessage,
    DocumentBlock,
    PlainText,
    SearchResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)
from attendant.http.api.anthropic.bodies import ConversationBody, NoChoice, ThinkingOff, ThinkingOn
from attendant.http.api.anthropic.thinking import thought_of

USUAL_EFFORT = "high"
"""Of a model that is to think, as Anthropic has it where nothing else is said."""

Readable = TextBlock | DocumentBlock | SearchResultBlock


def chat_prompt(body: ConversationBody) -> ChatPrompt:
    """What the model is shown.

    Raises:
        InvalidRequest: a user who says nothing; a tool's result that no tool was called for; an answer that would go
            on behind the call of a tool; two tools of one name.
    """
    conversation = _Conversation()
    if body.system:
        conversation.say("system", _content(_texts(body.system)))
    for role, group in groupby(enumerate(body.messages), key=lambda numbered: numbered[1].role):
        conversation.add(role, list(group))
    tools = () if isinstance(body.tool_choice, NoChoice) else tuple(_tools(body.tools or ()))
    return ChatPrompt(
        tuple(conversation.messages),
        tools=tools,
        effort=_effort(body),
        continues=conversation.continued(len(body.messages) - 1),
    )


def _effort(body: ConversationBody) -> str:
    """How much the model is to think. A model that decides that itself is told nothing."""
    asked = body.output_config.effort if body.output_config is not None else None
    match body.thinking:
        case ThinkingOff():
            return "none"
        case ThinkingOn():
            return asked or USUAL_EFFORT
    return asked or ""


def _tools(tools: Sequence[bodies.Tool]) -> Iterator[Tool]:
    names = set[str]()
    for index, tool in enumerate(tools):
        if tool.name in names:
            raise InvalidRequest(f"tools[{index}].name", f"is {tool.name[:100]!r}, which another tool has, too")
        names.add(tool.name)
        parameters = tool.input_schema
        if tool.input_examples:
            parameters = {**parameters, "examples": tool.input_examples}
        function: dict[str, Any] = {"name": tool.name}
        if tool.description is not None:
            function["description"] = tool.description
        function["parameters"] = parameters
        if tool.strict:
            function["strict"] = True
        yield Tool(tool.name, {"type": "function", "function": function})


class _Conversation:
    """Messages as they come, and the tools that were called in them."""

    def __init__(self) -> None:
        self.messages: list[ChatMessage] = []
        self._called: dict[str, str] = {}

    def say(self, role: str, content: str | tuple[ContentPart, ...]) -> None:
        """Add a message that is text only."""
        self.messages.append(ChatMessage(role, content))

    def add(self, role: str, group: Sequence[tuple[int, Any]]) -> None:
        """Add messages of one role that follow each other: they are one turn, with the parts of all."""
        match role:
            case "user":
                self._user(group)
            case "assistant":
                self._assistant([message for _, message in group])
            case _:
                self.say(role, _content(_texts(block for _, message in group for block in message.content)))

    def continued(self, last: int) -> bool:
        """Whether the answer goes on with the last message, which is then the assistant's."""
        message = self.messages[-1]
        if message.role != "assistant":
            return False
        if message.tool_calls:
            raise InvalidRequest(
                f"messages[{last}]", "is the last one and calls a tool; allowed: its result behind it, or no call"
            )
        if not message.text and not message.reasoning:
            raise InvalidRequest(
                f"messages[{last}].content", "is empty, and the last one; allowed: a text that the answer goes on with"
            )
        return True

    def _user(self, group: Sequence[tuple[int, UserMessage]]) -> None:
        said: list[Readable] = []
        for index, message in group:
            if not message.content:
                raise InvalidRequest(f"messages[{index}].content", "has no block; allowed: one or more")
            for place, block in enumerate(message.content):
                if not isinstance(block, ToolResultBlock):
                    said.append(block)
                    continue
                self._end_of_turn(said)
                said = []
                name = self._called.get(block.tool_use_id)
                if name is None:
                    field = f"messages[{index}].content[{place}].tool_use_id"
                    shown = repr(block.tool_use_id[:100])
                    raise InvalidRequest(field, f"is {shown}; allowed: the id of a tool_use block before it")
                content = _result(block)
                self.messages.append(ChatMessage("tool", content, name=name, tool_call_id=block.tool_use_id))
        self._end_of_turn(said)

    def _end_of_turn(self, said: Sequence[Readable]) -> None:
        if said:
            self.say("user", _content(_texts(said)))

    def _assistant(self, messages: Sequence[AssistantMessage]) -> None:
        said: list[Readable] = []
        thought: list[str] = []
        calls: list[ToolCall] = []
        for message in messages:
            for block in message.content:
                match block:
                    case TextBlock():
                        said.append(block)
                    case ThinkingBlock():
                        thought.append(thought_of(block.thinking, block.signature))
                    case ToolUseBlock():
                        self._called[block.id] = block.name
                        calls.append(ToolCall(block.name, _written(block.input), block.id))
        reasoning = "\n\n".join(filter(None, thought))
        content = None if (calls or reasoning) and not said else _content(_texts(said))
        self.messages.append(ChatMessage("assistant", content, reasoning=reasoning, tool_calls=tuple(calls)))


def _written(value: dict[str, Any]) -> str:
    """A call's arguments as JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InvalidRequest("messages", f"have a tool_use block whose input is no JSON: {error}") from None


def _texts(blocks: Iterable[Readable]) -> list[str]:
    return [_text(block) for block in blocks]


def _content(texts: Sequence[str]) -> str | tuple[ContentPart, ...]:
    """Texts as the content of a message: parts where there are several."""
    match texts:
        case []:
            return ""
        case [text]:
            return text
    return tuple([TextPart(text) for text in texts])


def _result(block: ToolResultBlock) -> str | tuple[ContentPart, ...]:
    """What a tool gave. No template knows of failures: the text says so."""
    texts = _texts(block.content)
    if block.is_error:
        texts[:1] = ["Error: " + "".join(texts[:1])]
    return _content(texts)


def _text(block: Readable) -> str:
    """A block as a model reads it: of a document or a passage, each thing that is known of it on a line."""
    match block:
        case TextBlock(text=text):
            return text
        case DocumentBlock(source=PlainText(data=data)):
            return "\n".join(filter(None, (block.title, block.context, data)))
        case DocumentBlock(source=source):
            texts = [each.text for each in source.content]
            return "\n".join(filter(None, (block.title, block.context, *texts)))
    return "\n".join(filter(None, (block.title, block.source, *[each.text for each in block.content])))
