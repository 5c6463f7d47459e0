"""Every field of the wire reaches the core unchanged, and the other way round."""

from __future__ import annotations

import dataclasses

import pytest
from attendant.bundle import GenerationDefaults
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.core.events import TokenLogprob
from attendant.core.generation import (
    BeamCall,
    Delta,
    Finish,
    GenerationCall,
    Resume,
    TextPrompt,
    TokenPrompt,
    Translation,
)
from attendant.core.request import FinishReason, Timings, Usage
from attendant.models.info import Tokenized
from attendant.rpc import convert
from attendant.rpc.convert_models import model_message
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2
from hypothesis import given
from hypothesis import strategies as st

from tests.rpc.fake import generator_info, manifest

UINT32 = st.integers(0, 2**32 - 1)
FLOAT = st.floats(width=32, allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TOKENS = st.lists(UINT32, max_size=5).map(tuple)
WORD = st.lists(UINT32, min_size=1, max_size=3).map(tuple)

PROMPTS = st.one_of(
    st.builds(TextPrompt, TEXT, add_special_tokens=st.booleans()),
    st.builds(TokenPrompt, TOKENS),
    st.builds(ChatPrompt, st.lists(st.builds(ChatMessage, TEXT, TEXT), max_size=3).map(tuple)),
)
CALLS = st.builds(
    GenerationCall,
    model=TEXT,
    prompt=PROMPTS,
    max_tokens=st.none() | UINT32,
    min_tokens=UINT32,
    stop=st.lists(TEXT, max_size=3).map(tuple),
    stop_token_ids=TOKENS,
    ignore_eos=st.booleans(),
    temperature=st.none() | FLOAT,
    top_k=st.none() | UINT32,
    top_p=st.none() | FLOAT,
    min_p=st.none() | FLOAT,
    repetition_penalty=st.none() | FLOAT,
    presence_penalty=st.none() | FLOAT,
    frequency_penalty=st.none() | FLOAT,
    logit_bias=st.none() | st.dictionaries(UINT32, FLOAT, min_size=1, max_size=3),
    seed=st.none() | st.integers(0, 2**64 - 1),
    n=st.integers(1, 2**32 - 1),
    logprobs=st.none() | UINT32,
    no_repeat_ngram_size=st.none() | UINT32,
    typical_p=st.none() | FLOAT,
    epsilon_cutoff=st.none() | FLOAT,
    eta_cutoff=st.none() | FLOAT,
    top_h=st.none() | FLOAT,
    encoder_no_repeat_ngram_size=st.none() | UINT32,
    encoder_repetition_penalty=st.none() | FLOAT,
    suppress_tokens=st.none() | TOKENS,
    begin_suppress_tokens=st.none() | TOKENS,
    forced_first=st.none() | TOKENS,
    forced_last=st.none() | TOKENS,
    bad_phrases=st.lists(TEXT, max_size=3).map(tuple),
    bad_words=st.none() | st.lists(WORD, max_size=3).map(tuple),
    sequence_bias=st.none() | st.lists(st.tuples(WORD, FLOAT), max_size=3).map(tuple),
    length_decay=st.none() | st.tuples(UINT32, FLOAT.filter(bool)),
    no_default_settings=st.booleans(),
    beam_search=st.none()
    | st.builds(
        BeamCall,
        st.integers(1, 2**32 - 1),
        st.none() | FLOAT,
        st.none() | st.sampled_from(sorted(convert.EARLY_STOPPING.values())),
        st.none() | st.booleans(),
    ),
    translation=st.none() | st.builds(Translation, TEXT, TEXT),
    whole=st.booleans(),
    forced_answer=st.none() | TOKENS,
    receipt=st.booleans(),
    separate=st.none() | st.booleans(),
    tool_format=TEXT,
    reasoning_format=TEXT,
    resume=st.none() | st.builds(Resume, TOKENS, UINT32),
)


def _ids(tokens: tuple[int, ...] | None) -> pb.TokenIds | None:
    return None if tokens is None else pb.TokenIds(ids=tokens)


def request_of(call: GenerationCall) -> pb.GenerateRequest:
    request = pb.GenerateRequest(
        model=call.model,
        n=call.n,
        logprobs=call.logprobs,
        forced_answer=_ids(call.forced_answer),
        receipt=call.receipt,
        separate=call.separate,
        tool_format=call.tool_format,
        reasoning_format=call.reasoning_format,
        resume=None if call.resume is None else pb.Resume(token_ids=call.resume.token_ids, index=call.resume.index),
        whole=call.whole,
        no_default_settings=call.no_default_settings,
        sampling=pb.Sampling(
            temperature=call.temperature,
            top_k=call.top_k,
            top_p=call.top_p,
            min_p=call.min_p,
            repetition_penalty=call.repetition_penalty,
            presence_penalty=call.presence_penalty,
            frequency_penalty=call.frequency_penalty,
            logit_bias=call.logit_bias,
            seed=call.seed,
            no_repeat_ngram_size=call.no_repeat_ngram_size,
            typical_p=call.typical_p,
            epsilon_cutoff=call.epsilon_cutoff,
            eta_cutoff=call.eta_cutoff,
            top_h=call.top_h,
            encoder_no_repeat_ngram_size=call.encoder_no_repeat_ngram_size,
            encoder_repetition_penalty=call.encoder_repetition_penalty,
            suppress_tokens=_ids(call.suppress_tokens),
            begin_suppress_tokens=_ids(call.begin_suppress_tokens),
            forced_first=_ids(call.forced_first),
            forced_last=_ids(call.forced_last),
            bad_phrases=call.bad_phrases,
            bad_words=None if call.bad_words is None else pb.TokenSequences(sequences=map(_ids, call.bad_words)),
            sequence_bias=None
            if call.sequence_bias is None
            else pb.SequenceBias(
                entries=[pb.SequenceBias.Entry(sequence=_ids(word), bias=bias) for word, bias in call.sequence_bias]
            ),
            length_decay=None
            if call.length_decay is None
            else pb.LengthDecay(start=call.length_decay[0], factor=call.length_decay[1]),
        ),
        stopping=pb.Stopping(
            max_tokens=call.max_tokens,
            min_tokens=call.min_tokens,
            stop=call.stop,
            stop_token_ids=call.stop_token_ids,
            ignore_eos=call.ignore_eos,
        ),
    )
    if (beams := call.beam_search) is not None:
        stopping = next(
            (number for number, name in convert.EARLY_STOPPING.items() if name == beams.early_stopping), None
        )
        request.beam_search.CopyFrom(
            pb.BeamSearch(
                num_beams=beams.num_beams,
                length_penalty=beams.length_penalty,
                early_stopping=stopping,  # type: ignore[arg-type]
                renormalize=beams.renormalize,
            )
        )
    if (languages := call.translation) is not None:
        request.translation.CopyFrom(pb.Translation(**dataclasses.asdict(languages)))
    match call.prompt:
        case TextPrompt(text, add_special_tokens):
            request.text = text
            request.no_special_tokens = not add_special_tokens
        case TokenPrompt(token_ids):
            request.token_ids.SetInParent()
            request.token_ids.ids.extend(token_ids)
        case ChatPrompt(messages):
            request.chat.SetInParent()
            request.chat.messages.extend(pb.ChatMessage(role=m.role, content=m.text) for m in messages)
    return request


@given(CALLS)
def test_calls_survive_the_wire(call: GenerationCall) -> None:
    request = pb.GenerateRequest.FromString(request_of(call).SerializeToString())
    assert convert.generation_call(request) == call


def test_absent_sections_leave_everything_to_the_model() -> None:
    call = convert.generation_call(pb.GenerateRequest(text="hello"))
    assert call == GenerationCall(model="", prompt=TextPrompt("hello"))


def test_every_field_of_a_request_is_read() -> None:
    """A field that is added to the wire and forgotten in the converter fails here."""
    known = {"model", "text", "token_ids", "chat", "sampling", "stopping", "n", "logprobs", "no_special_tokens"}
    known |= {"beam_search", "translation", "whole", "no_default_settings", "keep_special_tokens"}
    known |= {"forced_answer", "receipt", "grammar", "tool_choice", "separate", "tool_format", "reasoning_format"}
    known |= {"resume"}
    known |= {"priority", "cache_salt", "ttft_target_s"}  # of the call's context: rpc/context.py
    assert set(pb.GenerateRequest.DESCRIPTOR.fields_by_name) == known
    fields = set(GenerationCall.__dataclass_fields__)
    assert set(pb.Sampling.DESCRIPTOR.fields_by_name) | set(pb.Stopping.DESCRIPTOR.fields_by_name) <= fields


@pytest.mark.parametrize(
    ("convert_request", "request_message", "message"),
    [
        (
            convert.generation_call,
            pb.GenerateRequest(model="m"),
            "prompt is missing; allowed: one of text, token_ids, chat",
        ),
        (convert.tokenize_prompt, models_pb2.TokenizeRequest(), "input is missing; allowed: one of text, chat"),
    ],
)
def test_a_missing_prompt_is_named(convert_request, request_message, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidRequest) as caught:
        convert_request(request_message)
    assert str(caught.value) == message


LOGPROBS = st.builds(TokenLogprob, UINT32, FLOAT, st.lists(st.tuples(UINT32, FLOAT), max_size=3).map(tuple))


def delta_of(response: pb.GenerateResponse) -> Delta:
    logprobs = tuple(
        TokenLogprob(entry.token_id, entry.logprob, tuple((top.token_id, top.logprob) for top in entry.top))
        for entry in response.logprobs
    )
    return Delta(response.index, response.text, tuple(response.token_ids), logprobs)


@given(st.builds(Delta, UINT32, TEXT, TOKENS, st.lists(LOGPROBS, max_size=2).map(tuple)))
def test_deltas_survive_the_wire(delta: Delta) -> None:
    response = convert.generate_response(delta)
    response = pb.GenerateResponse.FromString(response.SerializeToString())
    assert delta_of(response) == delta
    assert not response.HasField("finish")
    for entry in response.logprobs:
        assert entry.text == f"<{entry.token_id}>"
        assert all(top.text == f"<{top.token_id}>" for top in entry.top)


NANOSECONDS = st.integers(0, 10**15)


@given(
    st.builds(
        Finish,
        UINT32,
        st.sampled_from(FinishReason),
        st.builds(Usage, UINT32, UINT32, UINT32),
        st.builds(Timings, NANOSECONDS, NANOSECONDS, NANOSECONDS, NANOSECONDS, NANOSECONDS, tokenize_ns=NANOSECONDS),
        st.none() | TEXT,
        st.none() | UINT32,
    )
)
def test_ends_survive_the_wire(part: Finish) -> None:
    response = pb.GenerateResponse.FromString(convert.generate_response(part).SerializeToString())
    finish = response.finish
    assert response.HasField("finish")
    assert response.index == part.index
    assert pb.FinishReason.Name(finish.reason) == f"FINISH_REASON_{part.reason.name}"
    expected = {"stop_string": part.stop_string, "stop_token_id": part.stop_token_id}
    matched = "stop_string" if part.stop_string is not None else "stop_token_id"
    assert finish.WhichOneof("matched") == (matched if expected[matched] is not None else None)
    if expected[matched] is not None:
        assert getattr(finish, matched) == expected[matched]
    assert (finish.usage.prompt_tokens, finish.usage.cached_tokens, finish.usage.completion_tokens) == (
        part.usage.prompt_tokens,
        part.usage.cached_tokens,
        part.usage.completion_tokens,
    )
    for name in ("queue", "prefill", "decode", "first_token", "total", "tokenize"):
        assert getattr(finish.timings, f"{name}_s") * 1e9 == pytest.approx(getattr(part.timings, f"{name}_ns"))


def test_every_finish_reason_has_a_name_on_the_wire() -> None:
    wire = set(pb.FinishReason.values()) - {pb.FINISH_REASON_UNSPECIFIED}
    assert set(convert.FINISH_REASONS) == set(FinishReason)
    assert set(convert.FINISH_REASONS.values()) == wire


def test_a_model_is_shown_as_it_is_served() -> None:
    defaults = GenerationDefaults(temperature=0.5, top_k=3, top_p=0.75, min_p=0.25, repetition_penalty=1.5)
    model = model_message(generator_info(manifest(generation_defaults=defaults, chat_template="{{ 1 }}")))
    assert (model.name, model.version, model.architecture, model.task) == ("fake", "1", "llama", "generate")
    assert (model.precision, model.target, model.source) == ("fp32", "cpu", "test/fake")
    assert (model.context_length, model.vocab_size) == (32, 100)
    assert (model.max_running, model.max_requests, model.ready, model.has_chat_template) == (4, 8, True, True)
    shown = model.default_sampling
    assert (shown.temperature, shown.top_k, shown.top_p, shown.min_p, shown.repetition_penalty) == (
        *(0.5, 3, 0.75, 0.25),
        1.5,
    )
    assert not model.HasField("default_max_tokens")
    assert (model.parity.max_abs_error, model.parity.cosine, model.parity.greedy_agreement) == (0.5, 1.0, 1.0)
    assert not model.parity.HasField("fidelity")
    assert not model.parity.HasField("vectors")


def test_the_settings_of_a_checkpoint_are_shown() -> None:
    defaults = GenerationDefaults(
        suppress_tokens=(3,),
        bad_words=((4, 5),),
        sequence_bias=(((6,), 0.5),),
        forced_last=2,
        length_decay=(1, 1.5),
        stop_strings=("end",),
        max_length=9,
        typical_p=0.5,
    )
    shown = model_message(generator_info(manifest(generation_defaults=defaults, warnings=("w",))))
    assert (list(shown.default_stop), shown.default_max_length, list(shown.warnings)) == (["end"], 9, ["w"])
    assert not shown.HasField("default_min_length")
    sampling = convert.sampling_fields(shown.default_sampling)  # type: ignore[attr-defined]
    assert (sampling["suppress_tokens"], sampling["bad_words"], sampling["forced_last"]) == ((3,), ((4, 5),), (2,))
    assert (sampling["sequence_bias"], sampling["length_decay"]) == ((((6,), 0.5),), (1, 1.5))
    assert (sampling["begin_suppress_tokens"], sampling["typical_p"]) == (None, 0.5)


def test_a_sequence_needs_tokens() -> None:
    sampling = pb.Sampling(bad_words=pb.TokenSequences(sequences=[pb.TokenIds()]))
    with pytest.raises(InvalidRequest, match=r"sampling\.bad_words has a sequence without tokens"):
        convert.sampling_fields(sampling)  # type: ignore[attr-defined]


def test_tokens_and_their_spellings() -> None:
    response = convert.tokenize_response(Tokenized((1, 2), ("a", "b")))
    assert (list(response.token_ids), list(response.tokens)) == ([1, 2], ["a", "b"])


def test_older_clients_read_in_flat_fields_what_the_parts_say() -> None:
    defaults = GenerationDefaults(temperature=0.5, max_tokens=7, num_beams=2, stop_strings=("end",), min_length=3)
    shown = manifest(generation_defaults=defaults, chat_template="{{ 1 }}", chat_templates={"tool_use": "{{ 2 }}"})
    model = model_message(generator_info(shown))
    part = model.generation
    assert list(model.capabilities) == ["generate", "continue"]
    assert (model.context_length, model.max_requests) == (part.limits.context_length, part.limits.max_requests)
    assert (part.limits.context_length, part.limits.max_requests, part.vocab_size) == (32, 8, 100)
    assert list(model.chat_templates) == list(part.chat.templates) == ["tool_use"]
    assert (part.chat.tool_format, part.chat.reasoning_format) == ("none", "none")
    assert model.default_sampling == part.defaults.sampling
    assert (model.default_max_tokens, model.default_num_beams, model.default_min_length) == (7, 2, 3)
    assert (part.defaults.max_tokens, part.defaults.num_beams, list(part.defaults.stop)) == (7, 2, ["end"])
    assert (model.architecture, model.source) == (model.bundle.architecture, model.bundle.source)
    assert not model.HasField("recognition")
