"""Calls of Explain on the wire: every field reaches the front end, and weights come back as they were."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from attendant.bundle import Patches
from attendant.client.attention import read_attention
from attendant.core.attention import AttentionPiece
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.generation import TextPrompt, TokenPrompt, Translation
from attendant.core.request import Timings
from attendant.frontend.explain.calls import (
    Answered,
    Attended,
    AttentionCall,
    AttributeCall,
    AttributedPart,
    Attribution,
    ExplainedToken,
    ExplainTimings,
    GivenAnswer,
    ImageFile,
    Similarities,
    SimilarityCall,
    SoundFile,
    Subject,
    WordInContext,
)
from attendant.rpc import convert_explain as convert
from attendant.tasks.spans import Span
from attendant_proto.v1 import explain_pb2 as pb
from attendant_proto.v1 import explain_pb2_grpc, generation_pb2

from tests.rpc.fake import FakeService, run, serving

TIMINGS = ExplainTimings(10**8, 2 * 10**8, 4 * 10**8)
TOKENS = (ExplainedToken(5, "a", 0, 1), ExplainedToken(None, "0,1", special=True))
ANSWERED = Answered("so", (7, 8), ("s", "o"))


def attended(*pieces: AttentionPiece, num_queries: int = 1, num_keys: int = 2) -> Attended:
    return Attended(
        *("m", "cross", 4, 8, TOKENS[:1] * num_queries, TOKENS[:1] * num_keys, 3, 2, ANSWERED),
        *(Patches(rows=2, columns=3, num_prefix=1), 0.02, "fused", pieces, TIMINGS),
    )


@pytest.mark.parametrize(
    ("message", "subject"),
    [
        (pb.Subject(text="x", no_special_tokens=True), Subject(TextPrompt("x", add_special_tokens=False))),
        (pb.Subject(text="x", second_text="y"), Subject(TextPrompt("x"), "y")),
        (pb.Subject(token_ids=generation_pb2.TokenIds(ids=(1, 2))), Subject(TokenPrompt((1, 2)))),
        (
            pb.Subject(
                chat=generation_pb2.Chat(
                    messages=[generation_pb2.ChatMessage(role="user", content="hi")], template="shop"
                )
            ),
            Subject(ChatPrompt((ChatMessage("user", "hi"),), "shop")),
        ),
        (pb.Subject(image=b"i"), Subject(ImageFile(b"i"))),
        (pb.Subject(audio=b"a"), Subject(SoundFile(b"a"))),
        (
            pb.Subject(text="x", translation=generation_pb2.Translation(source_language="de", target_language="en")),
            Subject(TextPrompt("x"), translation=Translation("de", "en")),
        ),
    ],
)
def test_subjects(message: pb.Subject, subject: Subject) -> None:
    assert convert.attention_call(pb.AttentionRequest(subject=message)) == AttentionCall("", subject)
    assert convert.attribute_call(pb.AttributeRequest(subject=message)) == AttributeCall("", subject)


def test_every_field_of_a_call_is_read() -> None:
    subject = pb.Subject(text="x")
    attention = pb.AttentionRequest(
        model="m",
        subject=subject,
        answer=pb.ExplainedAnswer(text="so"),
        kind=pb.ATTENTION_KIND_CROSS,
        layers=(1, 2),
        heads=(3,),
        reduction=pb.ATTENTION_REDUCTION_MAX_HEADS,
        first_query=4,
        num_queries=5,
        answer_only=True,
        without_sink=True,
    )
    assert {field.name for field, _ in attention.ListFields()} == set(pb.AttentionRequest.DESCRIPTOR.fields_by_name)
    assert convert.attention_call(attention) == AttentionCall(
        *("m", Subject(TextPrompt("x")), GivenAnswer(text="so"), "cross", (1, 2), (3,), "max_heads", 4, 5, True, True)
    )
    attribute = pb.AttributeRequest(
        model="m",
        subject=subject,
        answer=pb.ExplainedAnswer(token_ids=generation_pb2.TokenIds(ids=(7,))),
        label="good",
        method=pb.ATTRIBUTION_METHOD_ROLLOUT,
        unit=pb.ATTRIBUTION_UNIT_TOKEN,
        spans=[pb.CharacterSpan(start=1, end=2)],
        mask=True,
    )
    assert {field.name for field, _ in attribute.ListFields()} == set(pb.AttributeRequest.DESCRIPTOR.fields_by_name)
    assert convert.attribute_call(attribute) == AttributeCall(
        *("m", Subject(TextPrompt("x")), GivenAnswer(token_ids=(7,)), "good", "rollout", "token", (Span(1, 2),), True)
    )
    none = pb.AttributeRequest(subject=subject, answer=pb.ExplainedAnswer(max_tokens=0))
    assert convert.attribute_call(none).answer == GivenAnswer(max_tokens=0)
    context = pb.WordInContext(text="x y x", word="x", occurrence=1)
    asked = pb.SimilarityRequest(model="m", contexts=[context])
    assert convert.similarity_call(asked) == SimilarityCall("m", (WordInContext("x y x", "x", 1),))


def test_every_kind_and_reduction_has_a_word() -> None:
    for enum, words in (
        (pb.AttentionKind, convert.KINDS_BY_NUMBER),
        (pb.AttentionReduction, convert.REDUCTIONS),
        (pb.AttributionMethod, convert.METHODS),
        (pb.AttributionUnit, convert.UNITS),
    ):
        assert set(enum.values()) == set(words)


@pytest.mark.parametrize(
    ("request_message", "field"),
    [
        (pb.AttentionRequest(), "subject"),
        (pb.AttentionRequest(subject=pb.Subject(text="x"), kind=9), "kind"),  # type: ignore[arg-type]
        (pb.AttentionRequest(subject=pb.Subject(text="x"), reduction=9), "reduction"),  # type: ignore[arg-type]
    ],
)
def test_what_stands_for_nothing_is_refused(request_message: pb.AttentionRequest, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        convert.attention_call(request_message)
    assert caught.value.field == field


@pytest.mark.parametrize(("num_heads", "num_rows", "num_keys"), [(1, 1, 2), (3, 5, 7), (8, 700, 301), (2, 1100, 1100)])
def test_weights_come_back_as_they_were(num_heads: int, num_rows: int, num_keys: int) -> None:
    rng = np.random.default_rng(0)
    shape = (num_heads, num_rows, num_keys)
    pieces = [AttentionPiece(i, tuple(range(num_heads)), rng.random(shape, np.float32)) for i in (1, 3)]
    pieces.append(AttentionPiece(None, (), rng.random((1, num_rows, num_keys), np.float32)))
    responses = list(convert.attention_responses(attended(*pieces, num_queries=num_rows, num_keys=num_keys)))
    sizes = [len(response.weights.data) for response in responses]
    assert max(sizes) <= 4 * convert.MESSAGE_WEIGHTS
    assert sum(sizes) == 4 * sum(piece.weights.size for piece in pieces)
    answer = read_attention(responses)
    assert [(each.layer, each.heads) for each in answer.layers] == [(p.layer, p.heads) for p in pieces]
    assert all(np.array_equal(a.weights, p.weights) for a, p in zip(answer.layers, pieces, strict=True))
    end = answer.end
    assert (end.queue_s, end.run_s, end.total_s) == (0.1, 0.2, 0.4)


def test_a_header_says_what_rows_and_columns_are() -> None:
    header = next(convert.attention_responses(attended())).header
    assert {field.name for field, _ in header.ListFields()} == set(pb.AttentionHeader.DESCRIPTOR.fields_by_name)
    assert (header.model, header.kind, header.source) == ("m", pb.ATTENTION_KIND_CROSS, "fused")
    assert (header.num_layers, header.num_heads, header.first_query, header.num_prompt_tokens) == (4, 8, 3, 2)
    assert (header.answer, list(header.answer_ids), list(header.answer_tokens)) == ("so", [7, 8], ["s", "o"])
    assert (header.grid.rows, header.grid.columns, header.grid.num_prefix, header.frame_s) == (2, 3, 1, 0.02)
    assert header.queries[0] == pb.ExplainedToken(id=5, text="a", start=0, end=1)


def test_shares_and_cosines() -> None:
    parts = (AttributedPart("a", 0, 1, 0.5, (0.25, 0.25)), AttributedPart("b", 2, 3, -1.0))
    found = convert.attribute_response(Attribution("m", parts, -2.5, ANSWERED, Timings(queue_ns=10**9)))
    assert [(part.text, part.start, part.end, part.weight) for part in found.parts] == [
        *(("a", 0, 1, 0.5), ("b", 2, 3, -1.0))
    ]
    assert list(found.parts[0].token_weights) == [0.25, 0.25]
    assert (found.logprob, found.answer, list(found.answer_tokens), found.timings.queue_s) == (
        -2.5,
        "so",
        ["s", "o"],
        1,
    )
    cosines = np.array([[1.0, 0.5], [0.5, 1.0]])
    alike = convert.similarity_response(Similarities("m", (TOKENS[:1], TOKENS), cosines, TIMINGS))
    assert list(alike.cosines) == [1.0, 0.5, 0.5, 1.0]
    assert [[token.text for token in word.tokens] for word in alike.words] == [["a"], ["a", "0,1"]]
    assert not alike.words[1].tokens[1].HasField("id")
    assert alike.timings.run_s == 0.2


def test_a_caller_reads_the_path_of_a_field() -> None:
    class Refuses:
        async def attribute(self, call: AttributeCall, context: CallContext) -> Attribution:
            raise InvalidRequest("text", "has no tokens; allowed: at least one")

    async def test() -> None:
        async with (
            serving(FakeService(), explain=Refuses()) as (address, _),
            grpc.aio.insecure_channel(address) as channel,
        ):
            stub: Any = explain_pb2_grpc.ExplainStub(channel)  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.RpcError) as caught:
                await stub.Attribute(pb.AttributeRequest(subject=pb.Subject(text="x")))
            assert caught.value.details() == "subject.text has no tokens; allowed: at least one"

    run(test)
