"""Conversations in the form in which chat templates take them, as those who call apply_chat_template write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attendant.bundle import (
    REASONING,
    ChatTemplate,
    ChatTemplates,
    ContinuesNot,
    TemplateHabits,
    TemplateRefused,
    TemplateUnknown,
)
from attendant.core.chat import ChatMessage, ChatPrompt, ContentPart, MediaPart, TextPart, ToolCall
from attendant.core.errors import InvalidRequest
from attendant.core.strict_json import read_json
from attendant.models.effort import effort_variables

_SAID_BY: Mapping[str, str] = {
    "messages": "messages",
    "tools": "tools",
    "documents": "documents",
    "chat_template": "given_template",
    "add_generation_prompt": "no_generation_prompt",
    "continue_final_message": "continue_final_message",
}
"""Names that a template's variables may not have, and the fields that say it."""


@dataclass(frozen=True, slots=True)
class Written:
    """A conversation as a template takes it; see :meth:`attendant.bundle.ChatTemplate.render`."""

    messages: list[dict[str, Any]]
    tools: list[Mapping[str, Any]] | None
    documents: list[Mapping[str, Any]] | None
    variables: Mapping[str, Any]
    add_generation_prompt: bool
    continues: str

    def by(self, template: ChatTemplate) -> str:
        """The text that a template makes of it. Raises TemplateRefused, ContinuesNot."""
        return template.render(**self.by_name())

    def by_name(self) -> dict[str, Any]:
        """All of it, as a template's arguments. It is as deep as what the caller sent, and not copied."""
        return {name: getattr(self, name) for name in self.__slots__}


def choose(templates: ChatTemplates | None, chat: ChatPrompt) -> ChatTemplate:
    """The model's template for a conversation.

    Raises:
        InvalidRequest: the model has none, or none of this name.
    """
    if templates is None:
        raise InvalidRequest("chat", "is not possible: this model has no chat template; send text or token_ids")
    try:
        return templates.choose(chat.template, has_tools=bool(chat.tools))
    except TemplateUnknown as error:
        raise InvalidRequest("template", str(error)) from error


def rendered(template: ChatTemplate, chat: ChatPrompt) -> str:
    """The text that one of the model's templates makes of a conversation.

    Raises:
        InvalidRequest: naming what the template does not take, and why.
    """
    whole = written(chat, template.habits)
    try:
        return checked(whole.by(template))
    except ContinuesNot as error:
        raise InvalidRequest("continue_final_message", str(error)) from error
    except TemplateRefused as error:
        raise InvalidRequest("messages", f"were refused by the model's chat template: {error}") from error


def checked(text: str) -> str:
    """A rendered text as it is. Raises InvalidRequest if it is no text: JSON can say halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = ord(text[error.start])
        raise InvalidRequest("chat", f"has U+{half:04X}, which is half of a surrogate pair; allowed: text") from None
    return text


def written(chat: ChatPrompt, habits: TemplateHabits) -> Written:
    """A conversation in the form that a template of these habits takes.

    What a template does not look at is refused where the caller asks for something by it: tools, documents, variables
    (one that is false or null asks for nothing). A developer speaks as "system" where the template does not know the
    role. Parts become one text, joined by line breaks, where it does not know them.

    Raises:
        InvalidRequest: naming the field.
    """
    if not chat.messages:
        raise InvalidRequest("messages", "is empty; allowed: at least one message")
    if chat.tools and not habits.tools:
        raise InvalidRequest("tools", "are given, and the model's chat template does not show them; allowed: none")
    if chat.documents and not habits.documents:
        raise InvalidRequest(
            "documents", "are given, and the model's chat template does not look at any; allowed: none"
        )
    _check_variables(chat.variables, habits)
    last = chat.messages[-1]
    if chat.continues and last.content is None and not last.reasoning:
        raise InvalidRequest("continue_final_message", "is set, and the last message has no content")
    return Written(
        [_message(f"messages[{place}]", message, habits) for place, message in enumerate(chat.messages)],
        [tool.definition for tool in chat.tools] or None,
        list(chat.documents) or None,
        {**effort_variables(chat.effort, habits), **chat.variables},
        chat.adds_generation_prompt and not chat.continues,
        _continued(last) if chat.continues else "",
    )


def _check_variables(variables: Mapping[str, Any], habits: TemplateHabits) -> None:
    for name, value in variables.items():
        if name in _SAID_BY:
            raise InvalidRequest("template_variables", f"has {name!r}, which is for {_SAID_BY[name]} to say")
        if name not in habits.variables and not name.endswith("_token") and value is not None and value is not False:
            known = ", ".join(habits.variables) or "none"
            why = f"has {name[:100]!r}, which the chat template does not look at; allowed: {known}"
            raise InvalidRequest("template_variables", why)


def _continued(last: ChatMessage) -> str:
    """What of the last message the answer goes on with: what was thought, if nothing was said."""
    return REASONING if last.content is None and last.reasoning else "content"


def _message(field: str, message: ChatMessage, habits: TemplateHabits) -> dict[str, Any]:
    """A message, its keys in the order in which OpenAI and transformers document them."""
    role = "system" if message.role == "developer" and not habits.developer else message.role
    found: dict[str, Any] = {"role": role}
    content = _content(f"{field}.content", role, message.content, habits)
    if content is not None:
        found["content"] = content
    if message.name:
        found["name"] = message.name
    if message.reasoning:
        found[REASONING] = message.reasoning
    if message.tool_calls:
        calls = enumerate(message.tool_calls)
        found["tool_calls"] = [_call(f"{field}.tool_calls[{place}]", call, habits) for place, call in calls]
    if message.tool_call_id:
        found["tool_call_id"] = message.tool_call_id
    return found


def _content(
    field: str, role: str, content: str | Sequence[ContentPart] | None, habits: TemplateHabits
) -> str | list[dict[str, str]] | None:
    if content is None:
        return "" if habits.needs_content else None
    texts = [content] if isinstance(content, str) else [_text(field, place, part) for place, part in enumerate(content)]
    like = role if role in ("system", "developer", "assistant", "tool") else "user"
    if like in habits.only_parts or (like in habits.parts and not isinstance(content, str)):
        return [{"type": "text", "text": text} for text in texts]
    return "\n".join(texts)


def _text(field: str, place: int, part: ContentPart) -> str:
    match part:
        case TextPart(text=text):
            return text
        case MediaPart(kind=kind):
            raise InvalidRequest(f"{field}[{place}]", f"is of the kind {kind!r}; this model reads text alone")


def _call(field: str, call: ToolCall, habits: TemplateHabits) -> dict[str, Any]:
    arguments = _arguments(f"{field}.arguments", call.arguments)
    function = {"name": call.name, "arguments": (call.arguments or "{}") if habits.text_arguments else arguments}
    return {**({"id": call.id} if call.id else {}), "type": "function", "function": function}


def _arguments(field: str, text: str) -> Mapping[str, Any]:
    """The arguments of a call, as an object; without any text there are none."""
    try:
        found = read_json(text or "{}")
    except ValueError as error:
        raise InvalidRequest(field, f"is no JSON: {error}; allowed: a JSON object") from None
    if not isinstance(found, dict):
        raise InvalidRequest(field, f"is a JSON {type(found).__name__}; allowed: an object")
    return found
