"""What of a request of VllmEngine is honoured, and that the rest is refused by its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from attendant.core.errors import InvalidRequest
from attendant.core.events import TokenLogprob
from attendant.core.generation import Delta, Finish, GenerationCall, TextPrompt, TokenPrompt
from attendant.core.grammar import Grammar
from attendant.core.request import FinishReason, Timings, Usage
from attendant.models.info import DEAD, ModelState, RouteInfo
from attendant.rpc.vllm.convert import Answer, embed_call, generation_call
from attendant.rpc.vllm.info import health
from attendant_proto.vllm import engine_pb2 as pb

from tests.rpc.fake import generator_info, manifest

TOKENS = pb.TokenizedInput(original_text="ab", input_ids=[5, 6, 7])
USAGE = Usage(3, 2, 4)


def call(sampling: pb.SamplingParams | None = None, **fields: Any) -> GenerationCall:
    fields = {"tokenized": TOKENS} | fields
    return generation_call("m", pb.GenerateRequest(sampling_params=sampling, **fields))


def test_every_field_of_sampling_that_is_honoured_arrives() -> None:
    sampling = pb.SamplingParams(
        temperature=0.5,
        top_p=0.25,
        top_k=7,
        min_p=0.125,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        repetition_penalty=1.5,
        max_tokens=9,
        min_tokens=2,
        stop=["x", "y"],
        stop_token_ids=[3, 4],
        skip_special_tokens=True,
        ignore_eos=True,
        n=3,
        logprobs=2,
        seed=11,
        logit_bias={8: -1.5},
        spaces_between_special_tokens=True,
        include_stop_str_in_output=True,
        grammar_from_first_token=True,
    )
    assert call(sampling, stream=True) == GenerationCall(
        "m",
        TokenPrompt((5, 6, 7)),
        temperature=0.5,
        top_p=0.25,
        top_k=7,
        min_p=0.125,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        repetition_penalty=1.5,
        max_tokens=9,
        min_tokens=2,
        stop=("x", "y"),
        stop_token_ids=(3, 4),
        ignore_eos=True,
        n=3,
        logprobs=2,
        seed=11,
        logit_bias={8: -1.5},
    )


def test_every_field_of_sampling_is_honoured_or_refused_here() -> None:
    """A field that comes to the contract is thought about."""
    known = {
        *("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty"),
        *("max_tokens", "min_tokens", "stop", "stop_token_ids", "skip_special_tokens", "ignore_eos", "n", "logprobs"),
        *("seed", "logit_bias", "truncate_prompt_tokens", "prompt_logprobs", "json_schema", "regex", "grammar"),
        *("structural_tag", "json_object", "choice", "spaces_between_special_tokens", "include_stop_str_in_output"),
        "grammar_from_first_token",
    }
    assert set(pb.SamplingParams.DESCRIPTOR.fields_by_name) == known


def test_what_is_not_said_is_off_and_the_models_own_where_absent_can_be_told() -> None:
    found = call()
    assert (found.temperature, found.max_tokens, found.seed, found.logprobs) == (None, None, None, None)
    assert (found.top_p, found.top_k, found.min_p, found.repetition_penalty, found.n) == (1.0, 0, 0.0, 1.0, 1)
    assert found.whole
    assert found.keep_special_tokens  # skip_special_tokens is false
    assert call(pb.SamplingParams(temperature=0.0)).temperature == 0.0
    assert call(pb.SamplingParams(seed=-1)).seed is None
    assert call(pb.SamplingParams(seed=0)).seed == 0


def test_a_prompt_is_tokens_or_text() -> None:
    assert call(tokenized=None, text="hello").prompt == TextPrompt("hello")
    assert call(pb.SamplingParams(truncate_prompt_tokens=2)).prompt == TokenPrompt((6, 7))
    assert call(pb.SamplingParams(truncate_prompt_tokens=9)).prompt == TokenPrompt((5, 6, 7))
    with pytest.raises(InvalidRequest, match=r"^input is missing; allowed: one of tokenized, text$"):
        generation_call("m", pb.GenerateRequest())


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("mm_inputs", {"mm_inputs": pb.MultimodalInputs()}),
        ("extra_mm_inputs", {"extra_mm_inputs": [pb.MultimodalInputs()]}),
        ("media_refs", {"media_refs": pb.MediaRefs()}),
        ("kv_transfer_params", {"kv_transfer_params": pb.KvTransferParams()}),
        ("kv_transfer_params_json", {"kv_transfer_params_json": "{}"}),
        ("data_parallel_rank", {"data_parallel_rank": 1}),
        ("structural_tag", {"sampling": pb.SamplingParams(structural_tag="{}")}),
        ("prompt_logprobs", {"sampling": pb.SamplingParams(prompt_logprobs=0)}),
        ("truncate_prompt_tokens", {"sampling": pb.SamplingParams(truncate_prompt_tokens=-1)}),
        ("truncate_prompt_tokens", {"sampling": pb.SamplingParams(truncate_prompt_tokens=5), "text": "a"}),
    ],
)
def test_what_is_not_honoured_is_refused_by_its_name(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(**fields) if "text" not in fields else call(tokenized=None, **fields)
    assert caught.value.field == field
    assert "allowed" in caught.value.reason


@pytest.mark.parametrize(
    ("sampling", "grammar"),
    [
        (pb.SamplingParams(json_schema="{}"), Grammar("json_schema", "{}")),
        (pb.SamplingParams(regex="a+"), Grammar("regex", "a+")),
        (pb.SamplingParams(grammar='root ::= "x"'), Grammar("gbnf", 'root ::= "x"')),
        (pb.SamplingParams(grammar='start: "x"'), Grammar("lark", 'start: "x"')),
        (pb.SamplingParams(json_object=True), Grammar("json_object")),
        (pb.SamplingParams(json_object=False), None),
        (pb.SamplingParams(choice=pb.ChoiceConstraint(choices=["a", "b"])), Grammar("choice", choices=("a", "b"))),
        (None, None),
    ],
)
def test_constraints_are_grammars(sampling: pb.SamplingParams | None, grammar: Grammar | None) -> None:
    assert call(sampling).grammar == grammar


def test_rank_0_is_there() -> None:
    assert call(data_parallel_rank=0)


def test_a_stream_has_chunks_and_an_end_without_tokens() -> None:
    answer = Answer(pb.GenerateRequest(stream=True, sampling_params=pb.SamplingParams(logprobs=1)))
    delta = Delta(1, "ab", (4, 5), (TokenLogprob(4, -0.5, ((4, -0.5),)), TokenLogprob(5, -1.5, ((6, -1.0),))), 3)
    assert answer.response(delta) == pb.GenerateResponse(
        chunk=pb.GenerateStreamChunk(
            token_ids=[4, 5],
            prompt_tokens=3,
            completion_tokens=2,
            index=1,
            output_logprobs=pb.OutputLogProbs(
                token_logprobs=[-0.5, -1.5],
                token_ids=[4, 5],
                top_logprobs=[
                    pb.TopLogProbs(values=[-0.5], token_ids=[4]),
                    pb.TopLogProbs(values=[-1.0], token_ids=[6]),
                ],
            ),
        )
    )
    assert answer.response(Delta(1, "held back text", (), (), 3)) is None
    end = answer.response(Finish(1, FinishReason.LENGTH, USAGE, Timings()))
    assert end == pb.GenerateResponse(
        complete=pb.GenerateComplete(
            finish_reason="length", prompt_tokens=3, completion_tokens=4, cached_tokens=2, index=1
        )
    )


def test_whole_answers_wait_for_their_ends() -> None:
    answer = Answer(pb.GenerateRequest(sampling_params=pb.SamplingParams(logprobs=0)))
    assert answer.response(Delta(1, "b", (9,), (TokenLogprob(9, -2.0),), 3)) is None
    assert answer.response(Delta(0, "a", (8,), (TokenLogprob(8, -1.0),), 3)) is None
    first = answer.response(Finish(0, FinishReason.STOP, USAGE, Timings()))
    assert first is not None
    assert list(first.complete.output_ids) == [8]
    assert list(first.complete.output_logprobs.token_logprobs) == [-1.0]
    assert not first.complete.output_logprobs.top_logprobs
    second = answer.response(Finish(1, FinishReason.CANCELLED, USAGE, Timings()))
    assert second is not None
    assert (list(second.complete.output_ids), second.complete.finish_reason) == ([9], "abort")
    empty = answer.response(Finish(2, FinishReason.STOP, USAGE, Timings()))
    assert empty is not None
    assert not empty.complete.output_ids


@pytest.mark.parametrize(
    ("finish", "matched"),
    [
        (Finish(0, FinishReason.STOP, USAGE, Timings(), stop_token_id=2), None),  # the model's own end
        (Finish(0, FinishReason.STOP, USAGE, Timings(), stop_token_id=7), ("matched_token_id", 7)),
        (Finish(0, FinishReason.STOP, USAGE, Timings(), stop_string="x"), ("matched_stop_str", "x")),
        (Finish(0, FinishReason.LENGTH, USAGE, Timings()), None),
    ],
)
def test_what_matched_is_told_if_the_request_asked_for_it(finish: Finish, matched: tuple[str, object] | None) -> None:
    answer = Answer(pb.GenerateRequest(sampling_params=pb.SamplingParams(stop_token_ids=[7])))
    response = answer.response(finish)
    assert response is not None
    which = response.complete.WhichOneof("matched_stop")
    assert (None if which is None else (which, getattr(response.complete, which))) == matched


def test_vectors_are_of_tokens() -> None:
    (item,) = embed_call("m", pb.EmbedRequest(tokenized=TOKENS)).inputs
    assert item.token_ids == (5, 6, 7)
    with pytest.raises(InvalidRequest, match=r"^tokenized is missing"):
        embed_call("m", pb.EmbedRequest())


def test_health_says_why_a_model_takes_no_calls() -> None:
    told = generator_info(manifest())
    assert health(told).healthy
    for state, words in (
        (ModelState.LOADING, "model 'fake' is loading"),
        (ModelState.FAILED, f"model 'fake' is failed: {DEAD}"),
    ):
        found = health(replace(told, state=state))
        assert (found.healthy, found.message) == (False, words)
    route = RouteInfo("chat", "alias", (), cause="model 'fake' is being loaded")
    found = health(replace(told, state=ModelState.LOADING, route=route))
    assert found.message == "model 'chat' is loading: model 'fake' is being loaded"
