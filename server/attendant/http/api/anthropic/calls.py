"""What a body of /v1/messages asks for, as a call of the front end."""

from __future__ import annotations

import json
from collections.abc import Sequence

from attendant.core.chat import ChatPrompt, Tool, ToolChoice
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall
from attendant.core.grammar import Grammar
from attendant.http.api.anthropic.bodies import (
    AnyChoice,
    AutoChoice,
    ConversationBody,
    MessagesBody,
    NamedChoice,
    NoChoice,
    ThinkingOn,
)
from attendant.http.api.anthropic.conversation import chat_prompt
from attendant.http.api.openai.sampling import most_tokens, nucleus


def generation_call(body: MessagesBody) -> GenerationCall:
    """The call.

    Raises:
        InvalidRequest: fields that do not go together, or as :func:`chat_prompt`.
    """
    if isinstance(body.thinking, ThinkingOn) and body.thinking.budget_tokens >= body.max_tokens:
        budget = body.thinking.budget_tokens
        raise InvalidRequest("thinking.budget_tokens", f"is {budget}; allowed: less than max_tokens, {body.max_tokens}")
    prompt, choice = prompt_and_choice(body)
    return GenerationCall(
        model=body.model,
        prompt=prompt,
        max_tokens=most_tokens(body.max_tokens),
        stop=tuple(body.stop_sequences or ()),
        temperature=body.temperature,
        top_k=body.top_k,
        top_p=nucleus(body.top_p),
        whole=not body.stream,
        grammar=_grammar(body),
        tool_choice=choice,
        separate=True,
    )


def prompt_and_choice(body: ConversationBody) -> tuple[ChatPrompt, ToolChoice | None]:
    """The conversation, and which of its tools the model may call, which are those that it is shown.

    Raises:
        InvalidRequest: as :func:`chat_prompt`; or a choice of tools that there are not.
    """
    prompt = chat_prompt(body)
    return prompt, _tool_choice(body, prompt.tools)


def thinking_is_shown(body: MessagesBody) -> bool:
    """Whether the answer has what the model thought as text."""
    return getattr(body.thinking, "display", None) != "omitted"


def _grammar(body: ConversationBody) -> Grammar | None:
    asked = body.output_config.format if body.output_config is not None else None
    if asked is not None and body.output_format is not None:
        raise InvalidRequest("output_format", "is given beside output_config.format; allowed: one of them")
    asked = asked or body.output_format
    if asked is None:
        return None
    field = "output_format.schema" if body.output_format is not None else "output_config.format.schema"
    try:
        return Grammar("json_schema", json.dumps(asked.schema_, ensure_ascii=False, allow_nan=False))
    except ValueError as error:
        raise InvalidRequest(field, f"is no JSON: {error}") from None


def _tool_choice(body: ConversationBody, tools: Sequence[Tool]) -> ToolChoice | None:
    choice = body.tool_choice
    if choice is None:
        return None
    if isinstance(choice, NoChoice):
        return ToolChoice("none")
    parallel = not choice.disable_parallel_tool_use
    match choice:
        case AutoChoice():
            return ToolChoice("auto", parallel=parallel)
        case AnyChoice():
            if not tools:
                raise InvalidRequest("tool_choice.type", "is 'any' and there are no tools")
            return ToolChoice("required", parallel=parallel)
        case NamedChoice(name=name):
            if name not in {tool.name for tool in tools}:
                listed = ", ".join(repr(tool.name) for tool in tools) or "none, as there are no tools"
                raise InvalidRequest("tool_choice.name", f"is {name[:100]!r}; allowed: {listed}")
            return ToolChoice("named", (name,), parallel=parallel)
    raise AssertionError("there are no other choices")
