"""Messages of vllm.grpc.engine to calls of the front end, and its answers back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attendant_proto.vllm import engine_pb2 as pb

from attendant.core.errors import InvalidRequest
from attendant.core.events import TokenLogprob
from attendant.core.generation import Delta, Finish, GenerationCall, GenerationPart, Prompt, TextPrompt, TokenPrompt
from attendant.core.grammar import Grammar, notation_of
from attendant.core.request import FinishReason
from attendant.frontend.encoding.calls import EmbedCall, TextItem
from attendant.rpc.convert_sampling import optional

FINISH_REASONS = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length", FinishReason.CANCELLED: "abort"}

_NO_MEDIA = "is given; allowed: none, as this model reads tokens"
_NO_TRANSFER = "is given; allowed: none, as keys and values do not move between servers here"
_REFUSED = {
    "mm_inputs": _NO_MEDIA,
    "extra_mm_inputs": _NO_MEDIA,
    "media_refs": _NO_MEDIA,
    "kv_transfer_params": _NO_TRANSFER,
    "kv_transfer_params_json": _NO_TRANSFER,
}
"""Fields of a request that only other engines honour."""

NO_SEED = -1
"""What stands for an absent seed."""


def generation_call(model: str, request: pb.GenerateRequest) -> GenerationCall:
    """A call of Generate to ``model``. Ranges are the front end's to check.

    Raises:
        InvalidRequest: no prompt, or a field that this server does not honour.
    """
    given = {field.name for field, _ in request.ListFields()}
    for field, reason in _REFUSED.items():
        if field in given:
            raise InvalidRequest(field, reason)
    if request.data_parallel_rank != 0:
        raise InvalidRequest("data_parallel_rank", f"is {request.data_parallel_rank}; allowed: 0, the only one")
    sampling = request.sampling_params
    _check_sampling(sampling)
    return GenerationCall(
        model=model,
        prompt=_prompt(request),
        max_tokens=optional(sampling, "max_tokens"),
        min_tokens=sampling.min_tokens,
        stop=tuple(sampling.stop),
        stop_token_ids=tuple(sampling.stop_token_ids),
        ignore_eos=sampling.ignore_eos,
        n=sampling.n or 1,
        logprobs=optional(sampling, "logprobs"),
        temperature=optional(sampling, "temperature"),
        top_p=sampling.top_p or 1.0,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty or 1.0,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        logit_bias=dict(sampling.logit_bias) or None,
        seed=None if sampling.seed == NO_SEED else optional(sampling, "seed"),
        whole=not request.stream,
        keep_special_tokens=not sampling.skip_special_tokens,
        grammar=_grammar(sampling),
    )


def embed_call(model: str, request: pb.EmbedRequest) -> EmbedCall:
    """A call of Embed to ``model``.

    Raises:
        InvalidRequest: no tokens.
    """
    if not request.HasField("tokenized"):
        raise InvalidRequest("tokenized", "is missing; allowed: the tokens of a text")
    return EmbedCall(model, (TextItem(token_ids=tuple(request.tokenized.input_ids)),))


class Answer:
    """The answer to one call of Generate, as messages. Whole answers have one message each."""

    def __init__(self, request: pb.GenerateRequest) -> None:
        sampling = request.sampling_params
        self._stream = request.stream
        self._stop_ids = frozenset(sampling.stop_token_ids)
        self._logprobs = sampling.HasField("logprobs")
        self._whole: dict[int, Delta] = {}

    def response(self, part: GenerationPart) -> pb.GenerateResponse | None:
        """The message that a part becomes; None if it has nothing to say yet."""
        if isinstance(part, Finish):
            return pb.GenerateResponse(complete=self._complete(part, self._whole.pop(part.index, None)))
        if not self._stream:
            self._whole[part.index] = part
            return None
        tokens = part.token_ids
        if not tokens:  # text that was held back; there is no text here
            return None
        return pb.GenerateResponse(
            chunk=pb.GenerateStreamChunk(
                token_ids=tokens,
                prompt_tokens=part.prompt_tokens,
                completion_tokens=len(tokens),
                output_logprobs=output_logprobs(part.logprobs) if self._logprobs else None,
                index=part.index,
            )
        )

    def _complete(self, finish: Finish, whole: Delta | None) -> pb.GenerateComplete:
        stop_id = finish.stop_token_id if finish.stop_token_id in self._stop_ids else None
        return pb.GenerateComplete(
            output_ids=whole.token_ids if whole is not None else (),
            finish_reason=FINISH_REASONS[finish.reason],
            prompt_tokens=finish.usage.prompt_tokens,
            completion_tokens=finish.usage.completion_tokens,
            cached_tokens=finish.usage.cached_tokens,
            output_logprobs=output_logprobs(whole.logprobs) if whole is not None and self._logprobs else None,
            index=finish.index,
            matched_token_id=stop_id if finish.stop_string is None else None,
            matched_stop_str=finish.stop_string,
        )


def output_logprobs(entries: Sequence[TokenLogprob]) -> pb.OutputLogProbs:
    """Log-probabilities of tokens, and of the most probable ones at each place where they were asked for."""
    tops: list[pb.TopLogProbs] = []
    if any(entry.top for entry in entries):
        tops = [
            pb.TopLogProbs(values=[value for _, value in entry.top], token_ids=[token for token, _ in entry.top])
            for entry in entries
        ]
    return pb.OutputLogProbs(
        token_logprobs=[entry.logprob for entry in entries],
        token_ids=[entry.token_id for entry in entries],
        top_logprobs=tops,
    )


def _prompt(request: pb.GenerateRequest) -> Prompt:
    keep = optional(request.sampling_params, "truncate_prompt_tokens")
    if keep is not None and keep < 1:
        raise InvalidRequest("truncate_prompt_tokens", f"is {keep}; allowed: at least 1")
    match request.WhichOneof("input"):
        case "tokenized":
            ids = tuple(request.tokenized.input_ids)
            return TokenPrompt(ids if keep is None else ids[-keep:])
        case "text":
            if keep is not None:
                raise InvalidRequest("truncate_prompt_tokens", f"is {keep}; allowed with text: none; send tokenized")
            return TextPrompt(request.text)
    raise InvalidRequest("input", "is missing; allowed: one of tokenized, text")


def _grammar(sampling: Any) -> Grammar | None:
    """What an answer has to be like. It holds from the first token on, as without ``grammar_from_first_token``."""
    match sampling.WhichOneof("constraint"):
        case "json_schema":
            return Grammar("json_schema", sampling.json_schema)
        case "regex":
            return Grammar("regex", sampling.regex)
        case "grammar":
            return Grammar(notation_of(sampling.grammar), sampling.grammar)
        case "choice":
            return Grammar("choice", choices=tuple(sampling.choice.choices))
        case "json_object":
            return Grammar("json_object") if sampling.json_object else None
    return None


def _check_sampling(sampling: Any) -> None:
    if sampling.HasField("structural_tag"):
        raise InvalidRequest("structural_tag", "is given; allowed: none; a grammar says the same, with %json and names")
    if sampling.HasField("prompt_logprobs"):
        raise InvalidRequest("prompt_logprobs", "is given; allowed: none; those of an answer are `logprobs`")
