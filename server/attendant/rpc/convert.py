"""Wire messages to core words and back. Pure functions; the only place that knows both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2

from attendant.core.beams import EarlyStopping
from attendant.core.chat import ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.core.estimate import Estimate
from attendant.core.events import TokenLogprob
from attendant.core.generation import (
    BeamCall,
    Delta,
    Finish,
    GenerationCall,
    GenerationPart,
    Prompt,
    Resume,
    TextPrompt,
    TokenPrompt,
    Translation,
)
from attendant.core.request import FinishReason, StepTime, Timings, Usage
from attendant.models.info import Tokenized
from attendant.rpc.convert_chat import chat_prompt, grammar, tool_call_message, tool_choice
from attendant.rpc.convert_receipt import receipt_message
from attendant.rpc.convert_sampling import optional, sampling_fields

FINISH_REASONS = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.CANCELLED: pb.FINISH_REASON_CANCELLED,
}

EARLY_STOPPING: Mapping[int, EarlyStopping] = {
    pb.BeamSearch.EARLY_STOPPING_HEURISTIC: "heuristic",
    pb.BeamSearch.EARLY_STOPPING_FIRST: "first",
    pb.BeamSearch.EARLY_STOPPING_NEVER: "never",
}


def generation_call(request: pb.GenerateRequest) -> GenerationCall:
    """A call as the front end wants it. Absent fields stay None; ranges are the front end's to check.

    Raises:
        InvalidRequest: no prompt.
    """
    stopping = request.stopping
    return GenerationCall(
        model=request.model,
        prompt=_prompt(request, "prompt", request.WhichOneof("prompt")),
        max_tokens=optional(stopping, "max_tokens"),
        min_tokens=stopping.min_tokens,
        stop=tuple(stopping.stop),
        stop_token_ids=tuple(stopping.stop_token_ids),
        ignore_eos=stopping.ignore_eos,
        n=request.n or 1,
        logprobs=optional(request, "logprobs"),
        beam_search=beam_call(request.beam_search) if request.HasField("beam_search") else None,
        translation=_translation(request.translation) if request.HasField("translation") else None,
        whole=request.whole,
        no_default_settings=request.no_default_settings,
        keep_special_tokens=request.keep_special_tokens,
        forced_answer=tuple(request.forced_answer.ids) if request.HasField("forced_answer") else None,
        receipt=request.receipt,
        grammar=grammar(request.grammar) if request.HasField("grammar") else None,
        tool_choice=tool_choice(request.tool_choice) if request.HasField("tool_choice") else None,
        separate=optional(request, "separate"),
        tool_format=request.tool_format,
        reasoning_format=request.reasoning_format,
        resume=Resume(tuple(request.resume.token_ids), request.resume.index) if request.HasField("resume") else None,
        **sampling_fields(request.sampling),
    )


def beam_call(message: pb.BeamSearch) -> BeamCall:
    """Beam search; absent numbers stay None. 0 beams mean 1: none.

    Raises:
        InvalidRequest: a way to stop that is not known.
    """
    stopping = optional(message, "early_stopping")
    if stopping is not None and stopping not in EARLY_STOPPING:
        raise InvalidRequest("beam_search.early_stopping", f"is {stopping}; allowed: 0 to {len(EARLY_STOPPING) - 1}")
    return BeamCall(
        message.num_beams or 1,
        optional(message, "length_penalty"),
        EARLY_STOPPING[stopping] if stopping is not None else None,
        optional(message, "renormalize"),
    )


def _translation(message: pb.Translation) -> Translation:
    return Translation(message.source_language, message.target_language)


def tokenize_prompt(request: models_pb2.TokenizeRequest) -> TextPrompt | ChatPrompt:
    """What to tokenise.

    Raises:
        InvalidRequest: neither text nor chat.
    """
    prompt = _prompt(request, "input", request.WhichOneof("input"))
    assert isinstance(prompt, TextPrompt | ChatPrompt)
    return prompt


def generate_response(part: GenerationPart) -> pb.GenerateResponse:
    """One message of the stream."""
    if isinstance(part, Delta):
        response = pb.GenerateResponse(index=part.index, text=part.text, token_ids=part.token_ids)
        if part.logprobs:
            response.logprobs.extend([_token_logprobs(entry, part.spell) for entry in part.logprobs])
        if part.reasoning:
            response.reasoning = part.reasoning
        if part.tool_calls:
            response.tool_calls.extend(map(tool_call_message, part.tool_calls))
        return response
    return pb.GenerateResponse(index=part.index, finish=_finish(part))


def tokenize_response(tokenized: Tokenized) -> models_pb2.TokenizeResponse:
    """Ids and spellings."""
    return models_pb2.TokenizeResponse(token_ids=tokenized.token_ids, tokens=tokenized.tokens)


def _prompt(request: Any, oneof: str, which: str | None) -> Prompt:
    match which:
        case "text":
            return TextPrompt(request.text, add_special_tokens=not request.no_special_tokens)
        case "token_ids":
            return TokenPrompt(tuple(request.token_ids.ids))
        case "chat":
            return chat_prompt(request.chat)
    allowed = ", ".join(field.name for field in request.DESCRIPTOR.oneofs_by_name[oneof].fields)
    raise InvalidRequest(oneof, f"is missing; allowed: one of {allowed}")


def _finish(part: Finish) -> pb.Finish:
    return pb.Finish(
        reason=FINISH_REASONS[part.reason],
        stop_string=part.stop_string,
        stop_token_id=part.stop_token_id if part.stop_string is None else None,
        usage=usage_message(part.usage),
        timings=timings_message(part.timings),
        receipt=receipt_message(part.receipt) if part.receipt is not None else None,
        num_tool_calls=part.num_tool_calls,
        num_reasoning_tokens=part.num_reasoning_tokens,
        unparsed=part.unparsed,
    )


def usage_message(usage: Usage) -> pb.Usage:
    """Token counts."""
    return pb.Usage(
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
    )


def timings_message(timings: Timings) -> pb.Timings:
    """Seconds."""
    return pb.Timings(
        queue_s=timings.queue_ns / 1e9,
        prefill_s=timings.prefill_ns / 1e9,
        decode_s=timings.decode_ns / 1e9,
        first_token_s=timings.first_token_ns / 1e9,
        total_s=timings.total_ns / 1e9,
        tokenize_s=timings.tokenize_ns / 1e9,
        steps=map(step_message, timings.steps),
    )


def step_message(step: StepTime) -> pb.StepTime:
    """What a part of an answer took."""
    return pb.StepTime(name=step.name, model=step.model, begin_s=step.began_ns / 1e9, total_s=step.took_ns / 1e9)


def _token_logprobs(entry: TokenLogprob, spell: Callable[[int], str]) -> pb.TokenLogprobs:
    alternative = pb.TokenLogprobs.Alternative
    return pb.TokenLogprobs(
        token_id=entry.token_id,
        logprob=entry.logprob,
        text=spell(entry.token_id),
        top=[alternative(token_id=token, logprob=value, text=spell(token)) for token, value in entry.top],
    )


def estimate_response(estimate: Estimate) -> pb.EstimateResponse:
    """What would become of a request, for the wire."""
    return pb.EstimateResponse(
        known=estimate.known,
        first_token_s=estimate.first_token_s,
        end_s=estimate.end_s,
        admitted=estimate.admitted,
        refusal=estimate.refusal,
        retry_after_s=estimate.retry_after_s,
        requests_ahead=estimate.requests_ahead,
        tokens_ahead=estimate.tokens_ahead,
    )
