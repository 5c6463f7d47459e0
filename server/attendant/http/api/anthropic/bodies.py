"""The fields of Anthropic's /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from attendant.http.api.anthropic.blocks import CacheControl, Message, Nothing, Texts
from attendant.http.api.anthropic.kinds import one_of
from attendant.http.api.bodies import ApiBody


class Tool(ApiBody):
    """A tool of the caller's. Those that Anthropic runs itself are of another type, and refused."""

    type: Literal["custom"] | None = None
    name: str = Field(min_length=1)
    description: str | None = None
    input_schema: dict[str, Any]
    input_examples: list[dict[str, Any]] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None
    allowed_callers: list[Literal["direct"]] | None = None
    defer_loading: Literal[False] | None = None
    eager_input_streaming: Literal[True] | None = None
    """Arguments always go out as they are made."""


class AutoChoice(ApiBody):
    """Tools as the model sees fit."""

    type: Literal["auto"]
    disable_parallel_tool_use: bool | None = None


class AnyChoice(ApiBody):
    """At least one tool."""

    type: Literal["any"]
    disable_parallel_tool_use: bool | None = None


class NamedChoice(ApiBody):
    """One tool, by its name."""

    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: bool | None = None


class NoChoice(ApiBody):
    """No tool."""

    type: Literal["none"]


class ThinkingOn(ApiBody):
    """The model thinks first. ``budget_tokens`` is what a template may tell it; it is no limit."""

    type: Literal["enabled"]
    budget_tokens: int = Field(ge=1024)
    display: Literal["summarized", "omitted"] | None = None


class ThinkingAdaptive(ApiBody):
    """The model thinks as much as it sees fit."""

    type: Literal["adaptive"]
    display: Literal["summarized", "omitted"] | None = None


class ThinkingOff(ApiBody):
    """The model does not think."""

    type: Literal["disabled"]


class JsonFormat(ApiBody):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(ApiBody):
    """What an answer is like."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None


class Metadata(ApiBody):
    """For whom a call is; nothing depends on it."""

    user_id: str | None = None


Choice = Annotated[Any, one_of({"auto": AutoChoice, "any": AnyChoice, "tool": NamedChoice, "none": NoChoice})]
Thinking = Annotated[Any, one_of({"enabled": ThinkingOn, "adaptive": ThinkingAdaptive, "disabled": ThinkingOff})]


class ConversationBody(ApiBody):
    """What a model is shown."""

    model: str
    messages: list[Message] = Field(min_length=1, max_length=100_000)
    system: Texts | None = None
    tools: list[Tool] | None = None
    tool_choice: Choice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: JsonFormat | None = None
    """Where clients had ``output_config.format`` before."""
    cache_control: CacheControl | None = None
    context_management: None = None
    mcp_servers: Nothing = None
    speed: Literal["standard"] | None = None


class CountTokensBody(ConversationBody):
    """Of /v1/messages/count_tokens."""


class MessagesBody(ConversationBody):
    """Of /v1/messages."""

    max_tokens: int = Field(ge=1)
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    container: None = None
    diagnostics: None = None
    inference_geo: None = None
