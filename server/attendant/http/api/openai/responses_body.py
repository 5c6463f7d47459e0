"""What Responses are asked for, and the call of the front end that it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attendant.core.chat import ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall
from attendant.core.grammar import Grammar
from attendant.core.shown import shown
from attendant.http.api.bodies import ApiBody
from attendant.http.api.openai.chat_body import COMMON_REFUSALS
from attendant.http.api.openai.effort import effort_of
from attendant.http.api.openai.refusals import Refusal, check_refused
from attendant.http.api.openai.responses_input import response_messages
from attendant.http.api.openai.sampling import (
    PlainStreamOptions,
    SamplingBody,
    check_stream_options,
    most_tokens,
    sampling_fields,
)
from attendant.http.api.openai.structured import check_fields, grammar_of, json_schema_grammar
from attendant.http.api.openai.tools import response_choice, response_tools

FIELDS = {
    "chat": "input",
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "template_variables": "chat_template_kwargs",
    "given_template": "chat_template",
    "grammar": "text.format",
    "logprobs": "top_logprobs",
    "reasoning_effort": "reasoning.effort",
    "bad_phrases": "bad_words",
}
"""The front end's names of fields, and this API's."""

LOGPROBS = "message.output_text.logprobs"
_INCLUDES = (LOGPROBS, "reasoning.encrypted_content")
"""What can be asked for besides. Reasoning has its text with it, whoever asks: nothing needs to be encrypted."""


class Reasoning(ApiBody):
    """How the model is to think, and what of that is told."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    context: str | None = None
    mode: str | None = None


class Text(ApiBody):
    """What the text of the answer is to be like."""

    format: dict[str, Any] | None = None
    verbosity: str | None = None


class ResponsesBody(SamplingBody):
    """The fields of a call: OpenAI's, then those of vLLM that are no other's. Those that only describe the call are
    read by nobody."""

    model: str
    input: Any = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    include: tuple[str, ...] | None = None
    top_logprobs: int | None = None
    stream: bool | None = None
    stream_options: PlainStreamOptions | None = None
    max_tool_calls: int | None = None
    """Of tools that the server runs, of which there are none."""

    metadata: Any = None
    user: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: Any = None
    service_tier: str | None = None

    store: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    background: bool | None = None
    background_options: Any = None
    context_management: Any = None
    truncation: str | None = None
    moderation: Any = None
    access_programs: Any = None
    image: Any = None

    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None


_HISTORY = "nothing is stored here; send the items before as input"
_REFUSED: Mapping[str, Refusal] = {
    **COMMON_REFUSALS,
    "store": Refusal("nothing is stored here; say false, or nothing"),
    "previous_response_id": Refusal(_HISTORY),
    "conversation": Refusal(_HISTORY),
    "prompt": Refusal("no prompts are kept here; send instructions and input"),
    "background": Refusal("nothing is stored here; stream the answer"),
    "background_options": Refusal("nothing is stored here"),
    "context_management": Refusal("input is taken as it is"),
    "truncation": Refusal("input that is too long is refused", ("disabled",)),
    "access_programs": Refusal("there are none", ({"cyber": "standard"},)),
    "image": Refusal("there are no images"),
    "return_token_ids": Refusal("Chat Completions have token_ids"),
}


def response_call(body: ResponsesBody) -> GenerationCall:
    """The call that a body asks for; ranges are the front end's to check.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    check_refused(body, _REFUSED)
    check_stream_options(body.stream_options, stream=bool(body.stream))
    if body.input is None:
        raise InvalidRequest("input", "is missing")
    tools = response_tools(body.tools or ())
    prompt = ChatPrompt(
        response_messages(body.input, body.instructions),
        tools=tools,
        variables=body.chat_template_kwargs or {},
        given_template=body.chat_template or "",
        effort=effort_of(_effort(body), "reasoning.effort"),
    )
    return GenerationCall(
        model=body.model,
        prompt=prompt,
        max_tokens=most_tokens(body.max_output_tokens),
        logprobs=_logprobs(body),
        whole=not body.stream,
        grammar=_grammar(body),
        tool_choice=response_choice(body.tool_choice, tools, parallel=body.parallel_tool_calls is not False),
        separate=True,
        **sampling_fields(body),
    )


def tells_summary(body: ResponsesBody) -> bool:
    """Whether what was thought is told as a summary. It is the whole text: nobody here writes a shorter one."""
    reasoning = body.reasoning
    return reasoning is not None and bool(reasoning.summary or reasoning.generate_summary)


def _effort(body: ResponsesBody) -> str | None:
    reasoning = body.reasoning
    if reasoning is None:
        return None
    for name in ("summary", "generate_summary"):
        if getattr(reasoning, name) not in (None, "auto", "detailed"):
            asked = getattr(reasoning, name)
            raise InvalidRequest(f"reasoning.{name}", f"is {shown(asked)}; allowed: auto, detailed")
    off = {"context": Refusal("", ("auto",)), "mode": Refusal("", ("standard",))}
    check_refused(reasoning, off, "reasoning.")
    return reasoning.effort


def _grammar(body: ResponsesBody) -> Grammar | None:
    text = body.text
    if text is None:
        return grammar_of(body, None, "text.format")
    check_refused(text, {"verbosity": Refusal("models have none to set", ("medium",))}, "text.")
    asked = text.format
    if asked is None or asked.get("type") != "json_schema":
        return grammar_of(body, asked, "text.format")
    if (other := grammar_of(body, None, "text.format")) is not None:
        raise InvalidRequest("text.format", f"is given, and so is a grammar of the kind {other.kind}")
    check_fields(asked, ("type", "name", "description", "schema", "strict"), "text.format")
    if asked.get("schema") is None:
        raise InvalidRequest("text.format.schema", "is missing")
    return json_schema_grammar({name: value for name, value in asked.items() if name != "type"}, "text.format")


def _logprobs(body: ResponsesBody) -> int | None:
    for asked in body.include or ():
        if asked not in _INCLUDES:
            raise InvalidRequest("include", f"has {shown(asked)}; allowed: {', '.join(_INCLUDES)}")
    if LOGPROBS in (body.include or ()):
        return body.top_logprobs or 0
    if body.top_logprobs:
        raise InvalidRequest("top_logprobs", f"is {body.top_logprobs}; allowed unless {LOGPROBS} is included: 0")
    return None
