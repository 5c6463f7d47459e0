"""Attention of the demo models through the service: the weights, and what their rows and columns are said to be."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attendant.core.attention import AttentionSubject
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.errors import InvalidRequest, ModelNotFound
from attendant.core.generation import TextPrompt, TokenPrompt, Translation
from attendant.core.source import Source
from attendant.frontend.explain.calls import AttentionCall, GivenAnswer, ImageFile, SoundFile, Subject
from attendant.frontend.front_end import FrontEnd
from PIL import Image

from tests.frontend.explain.helpers import CHAT, LOVELY, STATION, all_weights, ids_of, with_demos
from tests.sidework.test_reducer import naive_rollout

DEMO = AttentionCall("demo", Subject(CHAT), GivenAnswer(max_tokens=6))


def white() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (50, 40), "white").save(data, "PNG")
    return data.getvalue()


def test_a_decoder_looks_over_its_prompt_and_its_answer() -> None:
    async def test(front_end: FrontEnd) -> None:
        found = await front_end.explain.attention(DEMO)
        prompt = ids_of("bundle", "<|user|>Where is my order 48213?<|end|><|assistant|>", add_special_tokens=False)
        assert [token.id for token in found.queries] == [*prompt, *found.answer.token_ids]
        assert found.keys == found.queries
        assert (found.num_prompt_tokens, found.first_query) == (len(prompt), 0)
        assert found.answer.text == "".join(found.answer.tokens) == "Thank you for your message."
        ids = np.array([*prompt, *found.answer.token_ids])
        expected = all_weights("bundle", "self", AttentionSubject({"input_ids": ids}))
        assert [piece.layer for piece in found.pieces] == list(range(len(expected)))
        assert all(np.array_equal(piece.weights, expected[piece.layer]) for piece in found.pieces)
        assert (found.num_layers, found.num_heads) == expected.shape[:2]
        assert 0 < found.timings.run_ns < found.timings.total_ns

    with_demos(test, "bundle")


def test_tokens_know_where_they_stand_in_what_was_given() -> None:
    async def test(front_end: FrontEnd) -> None:
        found = await front_end.explain.attention(DEMO)
        text = CHAT.messages[0].text
        prompt = found.queries[: found.num_prompt_tokens]
        assert [(token.text, token.special) for token in prompt if token.special] == [
            *(("<|user|>", True), ("<|end|>", True), ("<|assistant|>", True))
        ]
        for token in prompt:
            assert text[token.start : token.end] == ("" if token.special else token.text.strip())
        assert "".join(text[token.start : token.end] for token in prompt) == text.replace(" ", "")

    with_demos(test, "bundle")


def test_rows_of_the_answer_are_those_that_chose_its_tokens() -> None:
    async def test(front_end: FrontEnd) -> None:
        whole = await front_end.explain.attention(DEMO)
        given = GivenAnswer(token_ids=whole.answer.token_ids)
        rows = await front_end.explain.attention(replace(DEMO, answer=given, answer_only=True))
        first = whole.num_prompt_tokens - 1
        assert rows.answer == whole.answer
        assert rows.queries == whole.queries[first:-1]
        assert rows.keys == whole.keys[:-1]
        assert rows.first_query == first
        for some, every in zip(rows.pieces, whole.pieces, strict=True):
            assert np.allclose(some.weights, every.weights[:, first:-1, :-1], atol=1e-6, rtol=0)

    with_demos(test, "bundle")


def test_an_answer_may_be_given_as_text_or_left_out() -> None:
    async def test(front_end: FrontEnd) -> None:
        explain = front_end.explain
        asked = await explain.attention(DEMO)
        written = await explain.attention(replace(DEMO, answer=GivenAnswer(text=asked.answer.text)))
        assert written.answer.token_ids == asked.answer.token_ids
        none = await explain.attention(replace(DEMO, answer=GivenAnswer(max_tokens=0)))
        assert (none.answer.token_ids, len(none.queries)) == ((), none.num_prompt_tokens)
        default = await explain.attention(replace(DEMO, answer=None, reduction="mean"))
        assert len(default.answer.token_ids) == 9

    with_demos(test, "bundle", answer_tokens=9)


def test_token_ids_are_looked_at_as_they_are() -> None:
    async def test(front_end: FrontEnd) -> None:
        ids = (5, 1000, 7)
        call = AttentionCall("", Subject(TokenPrompt(ids)), GivenAnswer(max_tokens=0), reduction="mean_heads")
        found = await front_end.explain.attention(call)
        assert [token.id for token in found.queries] == list(ids)
        expected = all_weights("bundle", "self", AttentionSubject({"input_ids": np.array(ids)}))
        for piece, layer in zip(found.pieces, expected, strict=True):
            assert np.allclose(piece.weights[0], layer.mean(axis=0), atol=1e-7, rtol=0)

    with_demos(test, "bundle")


def test_an_encoder_decoder_looks_at_its_source() -> None:
    async def test(front_end: FrontEnd) -> None:
        call = AttentionCall("translator", STATION, kind="cross")
        found = await front_end.explain.attention(call)
        read = np.array(ids_of("translator", "Where is the station?"))
        assert found.answer.text == "Où est la gare ?"
        assert [token.id for token in found.keys] == read.tolist()
        assert [(token.start, token.end) for token in found.keys][:2] == [(0, 5), (6, 8)]
        answer = np.array([token.id for token in found.queries])
        assert answer[1:].tolist() == list(found.answer.token_ids)
        subject = AttentionSubject({"input_ids": answer}, Source({"input_ids": read}, len(read)))
        expected = all_weights("translator", "cross", subject)
        assert all(np.array_equal(piece.weights, expected[piece.layer]) for piece in found.pieces)
        inside = await front_end.explain.attention(replace(call, kind="encoder", reduction="rollout"))
        assert [token.id for token in inside.queries] == read.tolist()
        rolled = naive_rollout(all_weights("translator", "encoder", subject))
        assert np.allclose(inside.pieces[0].weights[0], rolled, atol=1e-6, rtol=0)

    with_demos(test, "translator")


def test_an_encoder_looks_over_all_of_its_text() -> None:
    async def test(front_end: FrontEnd) -> None:
        found = await front_end.explain.attention(AttentionCall("", LOVELY, without_sink=True))
        ids = np.array(ids_of("sentiment", "A truly lovely film."))
        assert [token.id for token in found.keys] == ids.tolist()
        assert [token.special for token in found.keys] == [True, *[False] * (len(ids) - 2), True]
        text = "A truly lovely film."
        assert [text[token.start : token.end] for token in found.keys][1:5] == ["A", "truly", "lovely", "film"]
        types = np.zeros_like(ids)
        expected = all_weights("sentiment", "self", AttentionSubject({"input_ids": ids, "token_type_ids": types}))
        rest = expected[..., 1:] / expected[..., 1:].sum(axis=-1, keepdims=True)
        for piece in found.pieces:
            assert piece.layer is not None
            assert not piece.weights[..., 0].any()
            assert np.allclose(piece.weights[..., 1:], rest[piece.layer], atol=1e-6, rtol=0)

    with_demos(test, "sentiment")


def test_an_image_is_looked_at_in_patches() -> None:
    async def test(front_end: FrontEnd) -> None:
        call = AttentionCall("", Subject(ImageFile(white())), layers=(1,), heads=(0, 2), num_queries=1)
        found = await front_end.explain.attention(call)
        assert found.grid is not None
        size = found.grid.num_prefix + found.grid.rows * found.grid.columns
        assert (len(found.queries), len(found.keys)) == (1, size)
        assert [token.text for token in found.keys][-1] == f"{found.grid.rows - 1},{found.grid.columns - 1}"
        assert [token.special for token in found.keys] == [True, *[False] * (size - 1)]
        (piece,) = found.pieces
        assert (piece.layer, piece.heads, piece.weights.shape) == (1, (0, 2), (2, 1, size))
        assert np.allclose(piece.weights.sum(axis=-1), 1, atol=1e-5)

    with_demos(test, "shapes")


@pytest.mark.parametrize(
    ("field", "said", "fields"),
    [
        ("kind", "SELF", {"kind": "cross"}),
        ("layers[1]", "0 to 3", {"layers": (0, 4)}),
        ("heads[1]", "once more", {"heads": (1, 1)}),
        ("heads", "leave them out", {"heads": (1,), "reduction": "rollout"}),
        ("first_query", "0 to 19", {"first_query": 20}),
        ("num_queries", "0 to 1", {"first_query": 19, "num_queries": 2}),
        ("num_queries", "one of both", {"num_queries": 2, "answer_only": True}),
        ("answer_only", "no answer", {"answer_only": True, "answer": GivenAnswer(max_tokens=0)}),
        ("answer", "0 tokens", {"answer": GivenAnswer(text="")}),
        ("answer", "2000 tokens", {"answer": GivenAnswer(token_ids=(7,) * 2000)}),
        ("answer.token_ids", "999999", {"answer": GivenAnswer(token_ids=(999999,))}),
        ("image", "text, token_ids, chat", {"subject": Subject(ImageFile(b"x"))}),
        ("audio", "text, token_ids, chat", {"subject": Subject(SoundFile(b"x"))}),
        ("second_text", "pairs", {"subject": Subject(CHAT, "more")}),
        ("translation", "translate", {"subject": Subject(CHAT, translation=Translation("de", "en"))}),
        ("template", "shop", {"subject": Subject(ChatPrompt((ChatMessage("user", "hi"),), "shop"))}),
        ("text", "no tokens", {"subject": Subject(TextPrompt(""))}),
        ("model", "'demo'", {"model": "plain"}),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: str, said: str, fields: dict[str, Any]) -> None:
    async def test(front_end: FrontEnd) -> None:
        with pytest.raises((InvalidRequest, ModelNotFound)) as caught:
            await front_end.explain.attention(replace(DEMO, **fields))
        if isinstance(caught.value, InvalidRequest):
            assert caught.value.field == field
        assert said in str(caught.value)

    with_demos(test, "bundle")


@pytest.mark.parametrize(
    ("name", "field", "call"),
    [
        ("sentiment", "answer", AttentionCall("", LOVELY, GivenAnswer(text="good"))),
        ("sentiment", "chat", AttentionCall("", Subject(CHAT))),
        ("sentiment", "text", AttentionCall("", Subject(TextPrompt("word " * 600)))),
        ("sentiment", "token_ids", AttentionCall("", Subject(TokenPrompt((10**6,))))),
        ("sentiment", "second_text", AttentionCall("", Subject(TokenPrompt((5,)), "more"))),
        ("sentiment", "no_special_tokens", AttentionCall("", Subject(TextPrompt("x", add_special_tokens=False)))),
        ("shapes", "text", AttentionCall("", LOVELY)),
        ("shapes", "image", AttentionCall("", Subject(ImageFile(b"no image")))),
        ("translator", "reduction", AttentionCall("", STATION, kind="cross", reduction="rollout")),
        ("translator", "answer_only", AttentionCall("", STATION, kind="encoder", answer_only=True)),
        ("translator", "chat", AttentionCall("", Subject(CHAT))),
    ],
)
def test_other_models_refuse_what_they_do_not_read(name: str, field: str, call: AttentionCall) -> None:
    async def test(front_end: FrontEnd) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await front_end.explain.attention(call)
        assert caught.value.field == field

    with_demos(test, name)


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 4 * 8 * 20 * 20),
        ({"heads": (1,), "layers": (0, 2)}, 2 * 20 * 20),
        ({"reduction": "mean_heads"}, 4 * 20 * 20),
        ({"reduction": "max"}, 20 * 20),
        ({"reduction": "rollout"}, 4 * 20 * 20),
        ({"answer_only": True}, 4 * 8 * 6 * 19),
        ({"first_query": 2, "num_queries": 3}, 4 * 8 * 3 * 5),
    ],
)
def test_more_weights_than_may_be_are_refused_before_anything_runs(fields: dict[str, Any], count: int) -> None:
    async def test(front_end: FrontEnd) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await front_end.explain.attention(replace(DEMO, **fields))
        assert caught.value.field == "subject"
        assert f"{count:,} weights; allowed: at most {count - 1:,} (explain.max_weights)" in str(caught.value)

    async def enough(front_end: FrontEnd) -> None:
        assert (await front_end.explain.attention(replace(DEMO, **fields))).pieces

    with_demos(test, "bundle", max_weights=count - 1)
    with_demos(enough, "bundle", max_weights=count)


def test_more_tokens_than_may_be_are_refused() -> None:
    async def test(front_end: FrontEnd) -> None:
        with pytest.raises(InvalidRequest, match=r"20 tokens.*at most 19 \(explain.max_tokens\)"):
            await front_end.explain.attention(DEMO)

    with_demos(test, "bundle", max_tokens=19)
