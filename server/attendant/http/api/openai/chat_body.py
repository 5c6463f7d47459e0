"""What Chat Completions are asked for, and the call of the front end that it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attendant.core.chat import ChatPrompt, Tool, ToolChoice
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall
from attendant.http.api.openai.effort import effort_of
from attendant.http.api.openai.messages import MessageBody, chat_messages
from attendant.http.api.openai.refusals import Refusal, check_refused
from attendant.http.api.openai.sampling import (
    PlainStreamOptions,
    SamplingBody,
    check_stream_options,
    most_tokens,
    sampling_fields,
)
from attendant.http.api.openai.structured import grammar_of
from attendant.http.api.openai.tools import chat_choice, chat_tools, legacy_choice, legacy_tools

FIELDS = {
    "chat": "messages",
    "template_variables": "chat_template_kwargs",
    "given_template": "chat_template",
    "grammar": "response_format",
    "bad_phrases": "bad_words",
    "num_beams": "n",
}
"""The front end's names of fields, and this API's."""


class StreamOptions(PlainStreamOptions):
    """What a stream has beside text."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class ChatBody(SamplingBody):
    """The fields of a call: OpenAI's, then vLLM's. Those that only describe the call are read by nobody."""

    model: str
    messages: tuple[MessageBody, ...]
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: dict[str, Any] | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    functions: tuple[dict[str, Any], ...] | None = None
    function_call: Any = None
    reasoning_effort: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    user: Any = None
    metadata: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: Any = None
    service_tier: str | None = None
    store: bool | None = None

    audio: Any = None
    modalities: tuple[str, ...] | None = None
    moderation: Any = None
    prediction: Any = None
    verbosity: str | None = None
    web_search_options: dict[str, Any] | None = None

    echo: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    documents: tuple[dict[str, Any], ...] | None = None
    include_reasoning: bool | None = None
    add_special_tokens: bool | None = None
    truncate_prompt_tokens: int | None = None
    mm_processor_kwargs: Any = None


COMMON_REFUSALS: Mapping[str, Refusal] = {
    "prompt_cache_retention": Refusal("what is cached of prompts stays in memory", ("in_memory",)),
    "prompt_cache_options": Refusal("prompts are cached by themselves", ({"mode": "implicit"},)),
    "service_tier": Refusal("there is one", ("auto", "default")),
    "moderation": Refusal("this server moderates nothing"),
}
"""Of fields that Chat Completions and Responses have alike."""

_REFUSED: Mapping[str, Refusal] = {
    **COMMON_REFUSALS,
    "store": Refusal("this server stores nothing"),
    "audio": Refusal("this server answers with text"),
    "modalities": Refusal("this server answers with text", (("text",),)),
    "prediction": Refusal("this server predicts nothing of what callers expect"),
    "verbosity": Refusal("models have none to set", ("medium",)),
    "add_special_tokens": Refusal("the chat template writes every special token"),
    "truncate_prompt_tokens": Refusal("a conversation that is cut is none"),
    "mm_processor_kwargs": Refusal("there are no images and no audio"),
}


def chat_call(body: ChatBody) -> GenerationCall:
    """The call that a body asks for; ranges are the front end's to check.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    check_refused(body, _REFUSED)
    if body.web_search_options is not None:
        raise InvalidRequest("web_search_options", "is given; allowed: nothing, as this server searches nothing")
    check_stream_options(body.stream_options, stream=bool(body.stream))
    tools, choice = _tools(body)
    n = 1 if body.n is None else body.n
    return GenerationCall(
        model=body.model,
        prompt=_prompt(body, tools),
        max_tokens=_most_tokens(body),
        n=n,
        logprobs=_logprobs(body),
        whole=not body.stream,
        grammar=grammar_of(body, body.response_format, "response_format"),
        tool_choice=choice,
        separate=True,
        **sampling_fields(body, n),
    )


def is_named(call: GenerationCall) -> bool:
    """Whether the caller chose the tool, so that its call does not end the answer for a reason of its own."""
    return call.tool_choice is not None and call.tool_choice.mode == "named"


def _prompt(body: ChatBody, tools: tuple[Tool, ...]) -> ChatPrompt:
    return ChatPrompt(
        chat_messages(body.messages),
        tools=tools,
        documents=body.documents or (),
        variables=body.chat_template_kwargs or {},
        given_template=body.chat_template or "",
        continues=bool(body.continue_final_message),
        effort=effort_of(body.reasoning_effort),
        adds_generation_prompt=adds_prompt(body.add_generation_prompt, body.continue_final_message),
    )


def adds_prompt(asked: bool | None, continues: bool | None) -> bool:
    """Whether the assistant begins a new message: unless the caller says otherwise, or goes on with the last one.

    Raises:
        InvalidRequest: it is to do both.
    """
    if continues and asked:
        raise InvalidRequest("add_generation_prompt", "is true; allowed with continue_final_message: false")
    return asked is not False and not continues


def _tools(body: ChatBody) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    legacy = body.functions is not None or body.function_call is not None
    if legacy:
        for name in ("tools", "tool_choice"):
            if getattr(body, name) is not None:
                raise InvalidRequest(name, "is given, and so are functions; allowed: one of both")
        functions = legacy_tools(body.functions or ())
        return functions, legacy_choice(body.function_call, functions)
    tools = chat_tools(body.tools or ())
    return tools, chat_choice(body.tool_choice, tools, parallel=body.parallel_tool_calls is not False)


def _most_tokens(body: ChatBody) -> int | None:
    new, old = body.max_completion_tokens, body.max_tokens
    if new is not None and old is not None and new != old:
        raise InvalidRequest("max_tokens", f"is {old}, and max_completion_tokens {new}; allowed: one of them")
    return most_tokens(old if new is None else new)


def _logprobs(body: ChatBody) -> int | None:
    if body.logprobs:
        return body.top_logprobs or 0
    if body.top_logprobs:
        raise InvalidRequest("top_logprobs", f"is {body.top_logprobs}; allowed without logprobs: 0")
    return None
