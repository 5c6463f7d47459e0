"""What of a call's answer is told apart, and how: which formats, which tools, where its thoughts begin."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attendant.bundle import DEFAULT_TEMPLATE, formats_of
from attendant.core.answer_formats import HARMONY, NO_FORMATS, NONE, AnswerFormats, FormatUnknown
from attendant.core.chat import ChatPrompt, Tool, ToolChoice
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall
from attendant.core.shown import shown
from attendant.frontend.answers.formats import REASONING_MARKS
from attendant.frontend.answers.parser import AnswerParser, marks_of
from attendant.models.generators import GeneratorPart

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_END_OF_PROMPT = 16
"""Tokens that the begin of thoughts, and space behind it, are looked for in."""

AUTO = ToolChoice()

FALLBACK = "hermes"
"""How a model is made to write a call that has no format of its own, or none that is known."""


@dataclass(frozen=True, slots=True)
class Apart:
    """How the answer of one call is told apart.

    Attributes:
        formats: of what is told apart; none of what is not.
        schemas: of the tools that may be called, by name; None: any.
        thinking: the prompt ends inside of thoughts.
        marks: texts of the special tokens that have to be seen, by id.
        single: the answer ends with its first call.
    """

    formats: AnswerFormats
    schemas: Mapping[str, Mapping[str, Any]] | None
    thinking: bool
    marks: Mapping[int, str]
    single: bool

    def parser(self) -> AnswerParser:
        """What tells one of the call's sequences apart."""
        return AnswerParser(self.formats, self.schemas, thinking=self.thinking)


def with_usable_tools(call: GenerationCall) -> GenerationCall:
    """The call, whose tools and whose choice of them were looked at: without tools if it may call none.

    Raises:
        InvalidRequest: a tool, or the choice of tools, is not as it has to be.
    """
    prompt, choice = call.prompt, call.tool_choice or AUTO
    tools = prompt.tools if isinstance(prompt, ChatPrompt) else ()
    _check_tools(tools)
    _check_choice(choice, [tool.name for tool in tools])
    if choice.mode == "none" and isinstance(prompt, ChatPrompt) and tools:
        return replace(call, prompt=replace(prompt, tools=()))
    return call


def formats_for(call: GenerationCall, model: GeneratorPart) -> AnswerFormats:
    """How the model writes tool calls and reasoning in this call: as the call says, or a template that it gives, or
    what is known of the model.

    Raises:
        InvalidRequest: the call names a format that there is not, or none for a call that it asks for.
    """
    own = model.formats
    if isinstance(call.prompt, ChatPrompt) and call.prompt.given_template:
        given = formats_of({DEFAULT_TEMPLATE: call.prompt.given_template})
        own = AnswerFormats(
            given.tools if given.tools != NONE else own.tools,
            given.reasoning if given.reasoning != NONE else own.reasoning,
        )
    for field in ("tool_format", "reasoning_format"):
        if name := getattr(call, field):
            try:
                own = replace(own, **{field.removesuffix("_format").replace("tool", "tools"): name})
            except FormatUnknown as error:
                raise InvalidRequest(field, str(error)) from None
    if (call.tool_choice or AUTO).forces and own.tools == NONE:
        if call.tool_format == NONE:
            raise InvalidRequest("tool_format", "is none, and tool_choice asks for a call; leave one of them out")
        own = replace(own, tools=FALLBACK)
    return own


def told_apart(
    call: GenerationCall, formats: AnswerFormats, model: GeneratorPart, prompt: Sequence[int]
) -> Apart | None:
    """How the call's answer is told apart; None: it is not.

    Args:
        call: as :func:`with_usable_tools` leaves it. formats: :func:`formats_for` the call. prompt: its tokens.
    """
    chat = call.prompt if isinstance(call.prompt, ChatPrompt) else None
    tools = chat.tools if chat is not None else ()
    if not _is_separate(call, formats):
        return None
    reads_calls = bool(tools or call.tool_format or chat is None)
    if not reads_calls and formats.tools != HARMONY:
        formats = replace(formats, tools=NONE)
    if formats == NO_FORMATS:
        return None
    choice = call.tool_choice or AUTO
    wanted = marks_of(formats)
    return Apart(
        formats,
        None if not tools and reads_calls else {tool.name: tool.parameters for tool in callable_tools(call)},
        _is_thinking(formats, model, prompt, chat),
        {token: text for token, text in model.text.special_tokens.items() if text in wanted},
        not choice.parallel or choice.mode == "named",
    )


def _is_separate(call: GenerationCall, formats: AnswerFormats) -> bool:
    """Whether thoughts and calls have fields of their own: as the call says, or where it has tools, or a grammar for
    what follows thoughts."""
    if call.separate is not None:
        return call.separate
    chat = call.prompt if isinstance(call.prompt, ChatPrompt) else None
    return chat is not None and bool(chat.tools or (call.grammar is not None and formats.reasoning != NONE))


def callable_tools(call: GenerationCall) -> tuple[Tool, ...]:
    """The tools that the answer may call."""
    tools = call.prompt.tools if isinstance(call.prompt, ChatPrompt) else ()
    names = call.tool_choice.names if call.tool_choice is not None else ()
    return tuple([tool for tool in tools if not names or tool.name in names])


def _is_thinking(formats: AnswerFormats, model: GeneratorPart, prompt: Sequence[int], chat: ChatPrompt | None) -> bool:
    """Whether the prompt has begun thoughts and not ended them: the template does, or a message that is continued."""
    marks = REASONING_MARKS.get(formats.reasoning)
    if marks is None:
        return False
    end = model.text.decode(prompt[-_END_OF_PROMPT:], skip_special_tokens=False, whole=False).rstrip()
    if end.endswith(marks.begins):
        return True
    if chat is None or not chat.continues or not chat.messages:
        return False
    last = chat.messages[-1].text
    if not last and chat.messages[-1].reasoning:  # which is what goes on then
        return True
    return max(last.rfind(mark) for mark in marks.begins) > max(last.rfind(mark) for mark in marks.ends)


def _check_tools(tools: Sequence[Tool]) -> None:
    names: set[str] = set()
    for index, tool in enumerate(tools):
        field = f"tools[{index}]"
        if _NAME.fullmatch(tool.name) is None:
            raise InvalidRequest(
                f"{field}.name", f"is {shown(tool.name)}; allowed: 1 to 128 letters, digits, underscores and hyphens"
            )
        if tool.name in names:
            raise InvalidRequest(
                f"{field}.name", f"is {tool.name[:100]!r}, as that of a tool before it; allowed: each once"
            )
        names.add(tool.name)
        _check_schema(f"{field}.parameters", tool.parameters)


def _check_schema(field: str, schema: object) -> None:
    if not isinstance(schema, Mapping):
        raise InvalidRequest(field, f"is {shown(schema)}; allowed: a JSON schema, which is an object")
    if schema.get("type", "object") != "object":
        raise InvalidRequest(
            field, f"has the type {shown(schema['type'])}; allowed: object, since arguments have names"
        )
    if not isinstance(schema.get("properties", {}), Mapping):
        raise InvalidRequest(f"{field}.properties", f"is {shown(schema['properties'])}; allowed: an object")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise InvalidRequest(f"{field}.required", f"is {shown(required)}; allowed: a list of names")


def _check_choice(choice: ToolChoice, tools: Sequence[str]) -> None:
    if choice.forces and not tools:
        raise InvalidRequest("tool_choice", f"is {choice.mode}, and there are no tools; send some in the chat")
    if choice.mode == "named" and len(choice.names) != 1:
        raise InvalidRequest("tool_choice.names", f"has {len(choice.names)} names; allowed with named: one")
    for name in choice.names:
        if name not in tools:
            raise InvalidRequest(
                "tool_choice.names", f"has {shown(name)}; allowed: {', '.join(tools) or 'no tools: none'}"
            )
