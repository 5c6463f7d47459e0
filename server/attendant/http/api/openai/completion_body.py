"""What Completions are asked for, and the calls of the front end that it is: one for each prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall, TextPrompt, TokenPrompt
from attendant.http.api.items import MOST_ITEMS, check_ids
from attendant.http.api.openai.chat_body import StreamOptions
from attendant.http.api.openai.refusals import Refusal, check_refused
from attendant.http.api.openai.sampling import SamplingBody, check_stream_options, most_tokens, sampling_fields
from attendant.http.api.openai.structured import grammar_of

FIELDS = {
    "text": "prompt",
    "token_ids": "prompt",
    "grammar": "response_format",
    "bad_phrases": "bad_words",
    "num_beams": "n",
}
"""The front end's names of fields, and this API's."""

DEFAULT_TOKENS = 16

Prompt = TextPrompt | TokenPrompt


class CompletionBody(SamplingBody):
    """The fields of a call: OpenAI's, then vLLM's. Those that only describe the call are read by nobody."""

    model: str
    prompt: str | tuple[str, ...] | tuple[int, ...] | tuple[tuple[int, ...], ...]
    max_tokens: int | None = DEFAULT_TOKENS
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    logprobs: int | None = None
    suffix: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Any = None

    add_special_tokens: bool | None = None
    response_format: dict[str, Any] | None = None
    truncate_prompt_tokens: int | None = None
    truncation_side: Literal["left", "right"] | None = None
    prompt_embeds: Any = None


_REFUSED: Mapping[str, Refusal] = {
    "suffix": Refusal("models continue a prompt, and fill no gap"),
    "prompt_embeds": Refusal("prompts are texts or token ids"),
}


def completion_calls(body: CompletionBody) -> tuple[GenerationCall, ...]:
    """The calls that a body asks for, in the order of its prompts; ranges are the front end's to check.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    check_refused(body, _REFUSED)
    check_stream_options(body.stream_options, stream=bool(body.stream))
    num_kept = 1 if body.n is None else body.n
    num_made = _num_made(body, num_kept)
    call = GenerationCall(
        model=body.model,
        prompt=TextPrompt(""),
        max_tokens=most_tokens(body.max_tokens),
        n=num_made,
        logprobs=_logprobs(body, chooses=num_made > num_kept),
        whole=not body.stream,
        grammar=grammar_of(body, body.response_format, "response_format"),
        separate=False,
        **sampling_fields(body, num_made),
    )
    return tuple([replace(call, prompt=prompt) for prompt in prompts_of(body)])


def prompts_of(body: CompletionBody) -> tuple[Prompt, ...]:
    """What is to be continued. A text may be a prompt, or several; so may token ids.

    Raises:
        InvalidRequest: there is none, or there are too many.
    """
    given: Any = body.prompt
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        given = (given,)
    if not 0 < len(given) <= MOST_ITEMS:
        raise InvalidRequest("prompt", f"has {len(given)} prompts; allowed: 1 to {MOST_ITEMS}")
    special = body.add_special_tokens is not False
    return tuple([TextPrompt(each, special) if isinstance(each, str) else _token_prompt(each) for each in given])


def _token_prompt(ids: Any) -> TokenPrompt:
    check_ids(ids, "prompt")
    return TokenPrompt(ids)


def _num_made(body: CompletionBody, num_kept: int) -> int:
    """Sequences of each prompt, of which the best are kept."""
    best_of = num_kept if body.best_of is None else body.best_of
    if best_of < num_kept:
        raise InvalidRequest("best_of", f"is {best_of}; allowed: at least n, which is {num_kept}")
    if best_of > num_kept and body.stream:
        raise InvalidRequest("best_of", f"is {best_of}; allowed with stream: n, which is {num_kept}")
    if best_of > num_kept and body.use_beam_search:
        raise InvalidRequest("best_of", f"is {best_of}; allowed with beam search: n, which is {num_kept}")
    return best_of


def _logprobs(body: CompletionBody, *, chooses: bool) -> int | None:
    if body.echo and body.logprobs is not None:
        raise InvalidRequest("echo", "is true; allowed with logprobs: false, as log-probabilities are of an answer")
    return 0 if body.logprobs is None and chooses else body.logprobs
