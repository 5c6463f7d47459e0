"""The blocks that messages of Anthropic's API are made of; one that no model here reads is refused by its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from attendant.http.api.anthropic.kinds import one_of, union_of
from attendant.http.api.bodies import ApiBody

Nothing = Annotated[list[Any] | None, Field(max_length=0)]
"""A list that may be there as long as nothing is in it."""


class CacheControl(ApiBody):
    """What a caller would have kept of the prompt. Here everything is, as long as there is room."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class Citations(ApiBody):
    """Whether the answer says what it quotes, which no model here does."""

    enabled: Literal[False] = False


class Direct(ApiBody):
    """Who called a tool: the model."""

    type: Literal["direct"]


class TextBlock(ApiBody):
    """A text."""

    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None
    citations: Nothing = None


def _as_blocks(value: Any) -> Any:
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


def _or_text(kinds: Mapping[str, type[ApiBody]]) -> BeforeValidator:
    """Has a text stand for one block of text, in place of a list of blocks of these kinds."""
    union: Any = union_of(kinds)
    return BeforeValidator(_as_blocks, json_schema_input_type=str | list[union])


_TEXT: dict[str, type[ApiBody]] = {"text": TextBlock}

Texts = Annotated[list[Annotated[Any, one_of(_TEXT)]], _or_text(_TEXT)]
"""A text, or blocks of text."""


class PlainText(ApiBody):
    """A document as a text."""

    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


class BlockContent(ApiBody):
    """A document as blocks of text."""

    type: Literal["content"]
    content: Texts


class DocumentBlock(ApiBody):
    """A document that is a text."""

    type: Literal["document"]
    source: Annotated[Any, one_of({"text": PlainText, "content": BlockContent})]
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None
    cache_control: CacheControl | None = None


class SearchResultBlock(ApiBody):
    """A passage that a search has found, and where."""

    type: Literal["search_result"]
    source: str
    title: str
    content: list[Annotated[Any, one_of(_TEXT)]]
    citations: Citations | None = None
    cache_control: CacheControl | None = None


_READ: dict[str, type[ApiBody]] = {**_TEXT, "document": DocumentBlock, "search_result": SearchResultBlock}


class ToolResultBlock(ApiBody):
    """What a tool gave."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: Annotated[list[Annotated[Any, one_of(_READ)]], _or_text(_READ)] = Field(default_factory=list)
    is_error: bool | None = None
    toolset_name: None = None
    cache_control: CacheControl | None = None


class ToolUseBlock(ApiBody):
    """A tool that the assistant called."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]
    caller: Direct | None = None
    toolset_name: None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(ApiBody):
    """What the assistant thought."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class RedactedThinkingBlock(ApiBody):
    """What an assistant thought that only its maker can read. It has nothing for a model here, and is left out."""

    type: Literal["redacted_thinking"]
    data: str


_USER: dict[str, type[ApiBody]] = {**_READ, "tool_result": ToolResultBlock}
_ASSISTANT: dict[str, type[ApiBody]] = {
    **_TEXT,
    "tool_use": ToolUseBlock,
    "thinking": ThinkingBlock,
    "redacted_thinking": RedactedThinkingBlock,
}


class UserMessage(ApiBody):
    """What the user says, and what tools gave."""

    role: Literal["user"]
    content: Annotated[list[Annotated[Any, one_of(_USER)]], _or_text(_USER)]


class AssistantMessage(ApiBody):
    """What the assistant said, thought, and called."""

    role: Literal["assistant"]
    content: Annotated[list[Annotated[Any, one_of(_ASSISTANT)]], _or_text(_ASSISTANT)]


class SystemMessage(ApiBody):
    """What the one says who runs the conversation."""

    role: Literal["system"]
    content: Texts


Message = Annotated[
    Any, one_of({"user": UserMessage, "assistant": AssistantMessage, "system": SystemMessage}, key="role")
]
