"""What differs between two answers: found places are the first, and nothing is found where nothing differs."""

from __future__ import annotations

import struct

import pytest
from attendant.client.replay.differences import (
    Change,
    answer_changes,
    asked_changes,
    first_difference,
    maker_changes,
)
from attendant.client.replay.report import around
from attendant.traffic.calls import KeptCall
from attendant_proto.v1 import encoding_pb2, generation_pb2
from attendant_proto.v1.receipt_pb2 import Maker, Receipt
from hypothesis import given
from hypothesis import strategies as st

TOKENS = st.lists(st.integers(0, 3), max_size=6)


@given(TOKENS, TOKENS)
def test_the_first_difference_is_where_equal_beginnings_end(before: list[int], after: list[int]) -> None:
    index = first_difference(before, after)
    assert (index is None) == (before == after)
    if index is not None:
        assert before[:index] == after[:index]
        assert before[index : index + 1] != after[index : index + 1]


@given(st.text("ab \n", max_size=300), st.text("ab \n", max_size=300))
def test_texts_are_shown_around_their_difference(before: str, after: str) -> None:
    shown = around(before, after)
    if before != after:
        assert shown[0] != shown[1] or before.split() == after.split()
    assert all("\n" not in text and len(text) <= 40 + 100 + 6 for text in shown)


def generated(*answers: generation_pb2.GenerateResponse) -> KeptCall:
    return KeptCall("generate", generation_pb2.GenerateRequest(), answers)


def answer(text: str, tokens: list[int], index: int = 0, reason: int = 1) -> generation_pb2.GenerateResponse:
    finish = generation_pb2.Finish(reason=reason)  # type: ignore[arg-type]
    return generation_pb2.GenerateResponse(index=index, text=text, token_ids=tokens, finish=finish)


def test_equal_answers_have_no_changes_whatever_they_took() -> None:
    before, after = answer("a", [1]), answer("a", [1])
    after.finish.timings.total_s = 9
    assert answer_changes(generated(before), generated(after)) == []


def test_a_changed_answer_names_its_first_token() -> None:
    changes = answer_changes(generated(answer("a b c", [1, 2, 3])), generated(answer("a x", [1, 9])))
    assert changes == [Change("token 1", "2", "9", 1, (2, 9), ("a b c", "a x"))]
    (ended,) = answer_changes(generated(answer("a b", [1, 2])), generated(answer("a", [1])))
    assert (ended.token, ended.token_ids, ended.after) == (1, (2, None), "nothing")


def test_each_sequence_is_compared_with_its_own() -> None:
    before = generated(answer("a", [1], 0), answer("b", [2], 1))
    (change,) = answer_changes(before, generated(answer("a", [1], 0), answer("c", [3], 1)))
    assert change.where == "sequence 1, token 0"


def test_equal_tokens_may_still_read_or_end_otherwise() -> None:
    (text,) = answer_changes(generated(answer("a", [1])), generated(answer("A", [1])))
    assert (text.where, text.before, text.after) == ("text", "a", "A")
    (end,) = answer_changes(generated(answer("a", [1], reason=1)), generated(answer("a", [1], reason=2)))
    assert (end.where, end.before, end.after) == ("end", "FINISH_REASON_STOP", "FINISH_REASON_LENGTH")


def embedded(*vectors: list[float]) -> KeptCall:
    response = encoding_pb2.EmbedResponse(embeddings=[encoding_pb2.Embedding(values=vector) for vector in vectors])
    return KeptCall("embed", encoding_pb2.EmbedRequest(), (response,))


def test_one_bit_of_one_number_is_a_change() -> None:
    (bits,) = struct.unpack("<I", struct.pack("<f", 0.5))
    (next_up,) = struct.unpack("<f", struct.pack("<I", bits + 1))
    field, distance = answer_changes(embedded([1, 2], [0.25, 0.5]), embedded([1, 2], [0.25, next_up]))
    assert field.where == "embeddings[1].values[1]"
    assert (field.before, field.after) == (repr(0.5), repr(next_up))
    assert distance.after == f"{next_up - 0.5:.3g}"
    assert answer_changes(embedded([1, 2]), embedded([1, 2])) == []
    (zero,) = answer_changes(embedded([0.0, 1.0]), embedded([-0.0, 1.0]))
    assert zero.where == "bits"


def test_labels_are_told_by_their_place() -> None:
    def labelled(name: str) -> KeptCall:
        labels = [encoding_pb2.Label(label="x", score=0.5), encoding_pb2.Label(label=name, score=0.25)]
        response = encoding_pb2.ClassifyResponse(results=[encoding_pb2.Classification(labels=labels)])
        return KeptCall("classify", encoding_pb2.ClassifyRequest(), (response,))

    (change,) = answer_changes(labelled("y"), labelled("z"))
    assert (change.where, change.before, change.after) == ("results[0].labels[1].label", "'y'", "'z'")


def test_makers_differ_in_what_bits_depend_on() -> None:
    before = Maker(model="m", bundle="1", processor="p", threads=1, libraries={"numpy": "1", "old": "1"})
    after = Maker(model="m", bundle="2", processor="p", threads=9, libraries={"numpy": "1", "new": "1"})
    found = [(change.where, change.before, change.after) for change in maker_changes(before, after)]
    assert found == [("bundle", "1", "2"), ("new", "nothing", "1"), ("old", "1", "nothing")]
    assert maker_changes(before, before) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('{"a":1}', '{"a":1}', []),
        ('{"a":1,"b":2}', '{"a":1.5}', [("setting a", "1", "1.5"), ("setting b", "2", "off")]),
        ("", '{"c":"x"}', [("setting c", "off", '"x"')]),
    ],
)
def test_settings_differ_by_name(before: str, after: str, expected: list[tuple[str, str, str]]) -> None:
    found = asked_changes(Receipt(settings=before, input="i"), Receipt(settings=after, input="i"))
    assert [(change.where, change.before, change.after) for change in found] == expected


def test_another_input_is_told() -> None:
    (change,) = asked_changes(Receipt(input="one"), Receipt(input="two"))
    assert (change.where, change.before, change.after) == ("input", "one", "two")
