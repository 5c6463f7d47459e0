"""A conversation as callers send it, tools and all, and the pieces of a tool call as they come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class TextPart:
    """A part of a message that is text."""

    text: str


@dataclass(frozen=True, slots=True)
class MediaPart:
    """A part of a message that is no text; ``kind`` says what: "image", "audio", "video", "file"."""

    kind: str


ContentPart = TextPart | MediaPart


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the assistant called: ``arguments`` is a JSON object as text, ``id`` what its result names."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation.

    Attributes:
        role: as the model's template knows it: usually "system", "developer", "user", "assistant", "tool".
        content: a text, or parts in order; None where there is none, as in a message that only calls tools.
        name: of who speaks, or of the tool whose result this is; empty for none.
        reasoning: what the assistant thought before it answered; empty for none.
        tool_calls: that the assistant made.
        tool_call_id: of the call whose result this is; empty for none.
    """

    role: str
    content: str | tuple[ContentPart, ...] | None
    name: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    @property
    def text(self) -> str:
        """All text of the content, its parts joined by line breaks."""
        if isinstance(self.content, tuple):
            return "\n".join([part.text for part in self.content if isinstance(part, TextPart)])
        return self.content or ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the assistant may call. ``definition`` is the object that templates see, as the caller wrote it:
    ``{"type": "function", "function": {"name": ..., "description": ..., "parameters": JSON schema}}``."""

    name: str
    definition: Mapping[str, Any]

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The JSON schema of its arguments; of a tool that declares none, the schema of an empty object."""
        found = self.definition["function"].get("parameters")
        return {"type": "object", "properties": {}, "additionalProperties": False} if found is None else found

    @property
    def strict(self) -> bool:
        """Whether a call's arguments must fit the schema whatever the model would say."""
        return bool(self.definition["function"].get("strict"))


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Which tools the answer calls.

    Attributes:
        mode: "auto": as the model sees fit. "none": none. "required": at least one. "named": the one of ``names``.
        names: of the tools that may be called; none: all.
        parallel: an answer may call several.
    """

    mode: Literal["auto", "none", "required", "named"] = "auto"
    names: tuple[str, ...] = ()
    parallel: bool = True

    @property
    def forces(self) -> bool:
        """Whether the answer has to be a call."""
        return self.mode in ("required", "named")


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """New text of the answer's tool call number ``index``, from 0 on. All ``arguments`` of a call joined are a JSON
    object. The first piece of a call, and no other, has its ``id`` and ``name``."""

    index: int
    arguments: str = ""
    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation, rendered by the model's chat template.

    Attributes:
        template: the name of one of the model's; empty for its default one, or with tools for the one that knows them.
        tools: that the template shows the model.
        documents: that the answer is to be grounded on, as the template knows them.
        variables: more that the template sees, by name: ``enable_thinking``, for example.
        given_template: a template to be used in place of the model's, in jinja.
        continues: the answer goes on with the last message, which is the assistant's, instead of a new one.
        adds_generation_prompt: the text ends with what an answer of the assistant begins with.
        effort: how much the assistant is to think: "none", or "low", say; the template has to know of it. Empty: as it
            does of itself.
    """

    messages: tuple[ChatMessage, ...]
    template: str = ""
    tools: tuple[Tool, ...] = ()
    documents: tuple[Mapping[str, Any], ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    given_template: str = ""
    continues: bool = False
    adds_generation_prompt: bool = True
    effort: str = ""
