"""What an answer hung on: each share against calls that are written out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attendant.core.attention import AttentionSubject
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.core.generation import Delta, GenerationCall, Prompt, TextPrompt, TokenPrompt
from attendant.frontend.encoding.calls import ClassifyCall, TextItem
from attendant.frontend.explain.attribute import log_scores
from attendant.frontend.explain.calls import AttributeCall, GivenAnswer, ImageFile, Subject
from attendant.frontend.explain.parts import text_without
from attendant.frontend.front_end import FrontEnd
from attendant.tasks.spans import Span
from hypothesis import given
from hypothesis import strategies as st

from tests.frontend.explain.helpers import CHAT, LOVELY, STATION, all_weights, ids_of, with_demos
from tests.sidework.test_reducer import naive_rollout

QUESTION = CHAT.messages[0].text
DEMO = AttributeCall("demo", Subject(CHAT), GivenAnswer(max_tokens=8))


def chat(text: str) -> ChatPrompt:
    return ChatPrompt((ChatMessage("user", text),))


async def logprobs(front_end: FrontEnd, model: str, prompt: Prompt, answer: Sequence[int]) -> list[float]:
    """The answer's, as a call of the service Generation has them."""
    call = GenerationCall(model, prompt, logprobs=0, ignore_eos=True, forced_answer=tuple(answer))
    parts = [part async for part in front_end.generation.generate(call)]
    return [entry.logprob for part in parts if isinstance(part, Delta) for entry in part.logprobs]


def test_leaving_words_out_changes_the_answers_logprob() -> None:
    async def test(front_end: FrontEnd) -> None:
        found = await front_end.explain.attribute(DEMO)
        answer = found.answer.token_ids
        assert len(answer) == 8
        whole = await logprobs(front_end, "demo", CHAT, answer)
        assert found.logprob == sum(whole)
        assert [part.text for part in found.parts] == QUESTION.split()
        without = [
            *("is my order 48213?", "Where my order 48213?", "Where is order 48213?", "Where is my 48213?"),
            "Where is my order ",
        ]
        for part, text in zip(found.parts, without, strict=True):
            other = await logprobs(front_end, "demo", chat(text), answer)
            assert part.token_weights == tuple(one - two for one, two in zip(whole, other, strict=True))
            assert part.weight == pytest.approx(sum(whole) - sum(other))
            assert QUESTION[part.start : part.end] == part.text
        assert found.timings.total_ns > 0

    with_demos(test, "bundle")


def test_leaving_tokens_out_of_a_prompt_of_ids_and_of_a_text() -> None:
    async def test(front_end: FrontEnd) -> None:
        ids = ids_of("bundle", "Where is my parcel")
        given_ids = AttributeCall("demo", Subject(TokenPrompt(tuple(ids))), GivenAnswer(token_ids=(17, 23)))
        found = await front_end.explain.attribute(given_ids)
        whole = sum(await logprobs(front_end, "demo", TokenPrompt(tuple(ids)), (17, 23)))
        assert len(found.parts) == len(ids)
        for place, part in enumerate(found.parts):
            rest = TokenPrompt((*ids[:place], *ids[place + 1 :]))
            assert part.weight == pytest.approx(whole - sum(await logprobs(front_end, "demo", rest, (17, 23))))
        text = replace(given_ids, subject=Subject(TextPrompt("Where is my parcel")), unit="token")
        assert [part.weight for part in (await front_end.explain.attribute(text)).parts] == [
            part.weight for part in found.parts
        ]

    with_demos(test, "bundle")


def test_spans_of_the_callers_choice_and_a_source_that_is_read() -> None:
    async def test(front_end: FrontEnd) -> None:
        spans = (Span(0, 8), Span(13, 20))
        found = await front_end.explain.attribute(AttributeCall("translator", STATION, spans=spans))
        assert [part.text for part in found.parts] == ["Where is", "station"]
        assert found.answer.text == "Où est la gare ?"
        whole = sum(await logprobs(front_end, "translator", STATION.given, found.answer.token_ids))  # type: ignore[arg-type]
        assert found.logprob == whole
        for part, text in zip(found.parts, ("the station?", "Where is the ?"), strict=True):
            other = sum(await logprobs(front_end, "translator", TextPrompt(text), found.answer.token_ids))
            assert part.weight == pytest.approx(whole - other)
        assert found.parts[1].weight > 1

    with_demos(test, "translator")


def test_a_labels_logprob_without_each_word() -> None:
    text = "A truly lovely film, but too long."

    async def test(front_end: FrontEnd) -> None:
        async def scores(text: str) -> dict[str, float]:
            encoded = await front_end.encoding.classify(ClassifyCall("", [TextItem(text)]))
            return {label.label: math.log(label.score) for label in encoded.results[0]}

        for label in ("", "positive", "negative"):
            found = await front_end.explain.attribute(AttributeCall("", Subject(TextPrompt(text)), label=label))
            chosen = label or max(await scores(text), key=(await scores(text)).__getitem__)
            assert found.answer.text == chosen
            assert found.logprob == pytest.approx((await scores(text))[chosen], abs=1e-5)
            words = text.split()
            for place, part in enumerate(found.parts):
                rest = " ".join([*words[:place], *words[place + 1 :]])
                assert part.weight == pytest.approx(found.logprob - (await scores(rest))[chosen], abs=1e-4)

    with_demos(test, "sentiment")


def test_leaving_tokens_out_of_a_row() -> None:
    async def test(front_end: FrontEnd) -> None:
        found = await front_end.explain.attribute(AttributeCall("", LOVELY, unit="token", label="positive"))
        ids = ids_of("sentiment", "A truly lovely film.")
        assert [part.text.strip() for part in found.parts] == ["a", "truly", "lovely", "film", "."]
        for place, part in enumerate(found.parts, start=1):
            item = TextItem(token_ids=[*ids[:place], *ids[place + 1 :]])
            encoded = await front_end.encoding.classify(ClassifyCall("", [item]))
            score = next(label.score for label in encoded.results[0] if label.label == "positive")
            assert part.weight == pytest.approx(found.logprob - math.log(score), abs=1e-4)

    with_demos(test, "sentiment")


def test_rollout_gives_each_part_its_share_of_the_answers_attention() -> None:
    async def test(front_end: FrontEnd) -> None:
        found = await front_end.explain.attribute(replace(DEMO, method="rollout"))
        prompt = ids_of("bundle", f"<|user|>{QUESTION}<|end|><|assistant|>", add_special_tokens=False)
        ids = np.array([*prompt, *found.answer.token_ids[:-1]])
        rolled = naive_rollout(all_weights("bundle", "self", AttentionSubject({"input_ids": ids})))
        row = rolled[len(prompt) - 1 :].mean(axis=0)
        assert (found.parts[0].text, found.parts[0].weight) == ("Where", pytest.approx(row[1], abs=1e-6))
        assert found.parts[4].weight == pytest.approx(row[6:12].sum(), abs=1e-6)
        assert found.logprob == 0

    async def encoder(front_end: FrontEnd) -> None:
        found = await front_end.explain.attribute(AttributeCall("", LOVELY, method="rollout"))
        ids = np.array(ids_of("sentiment", "A truly lovely film."))
        arrays = {"input_ids": ids, "token_type_ids": np.zeros_like(ids)}
        row = naive_rollout(all_weights("sentiment", "self", AttentionSubject(arrays)))[0]
        expected = [row[1], row[2], row[3], row[4] + row[5]]
        assert [part.weight for part in found.parts] == pytest.approx(expected, abs=1e-6)

    with_demos(test, "bundle")
    with_demos(encoder, "sentiment")


@pytest.mark.parametrize(
    ("name", "field", "call"),
    [
        ("bundle", "answer", replace(DEMO, answer=GivenAnswer(max_tokens=0))),
        ("bundle", "label", replace(DEMO, label="positive")),
        ("bundle", "mask", replace(DEMO, mask=True)),
        ("bundle", "image", replace(DEMO, subject=Subject(ImageFile(b"x")))),
        ("bundle", "spans[1]", replace(DEMO, spans=(Span(0, 2), Span(5, 99)))),
        ("bundle", "spans[0]", replace(DEMO, spans=(Span(4, 4),))),
        ("bundle", "spans[0]", replace(DEMO, subject=Subject(TokenPrompt((5, 6))), spans=(Span(0, 1),))),
        ("bundle", "spans", replace(DEMO, spans=(Span(0, len(QUESTION)),))),
        ("bundle", "spans", replace(DEMO, spans=(Span(0, 1),) * 7)),
        ("bundle", "subject", replace(DEMO, unit="token")),
        ("bundle", "mask", replace(DEMO, method="rollout", mask=True)),
        ("translator", "method", AttributeCall("", STATION, method="rollout")),
        ("sentiment", "label", AttributeCall("", LOVELY, label="splendid")),
        ("sentiment", "label", AttributeCall("", LOVELY, label="positive", method="rollout")),
        ("sentiment", "chat", AttributeCall("", Subject(CHAT))),
        ("shapes", "model", AttributeCall("shapes", LOVELY)),
        ("shapes", "image", AttributeCall("shapes", Subject(ImageFile(b"x")), method="rollout")),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, field: str, call: AttributeCall) -> None:
    async def test(front_end: FrontEnd) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await front_end.explain.attribute(call)
        assert caught.value.field == field

    with_demos(test, name, max_parts=6)


def test_of_several_models_one_has_to_be_named() -> None:
    async def test(front_end: FrontEnd) -> None:
        with pytest.raises(InvalidRequest, match="'demo', 'sentiment'"):
            await front_end.explain.attribute(AttributeCall("", LOVELY))

    with_demos(test, "bundle", "sentiment", "shapes")


def test_logarithms_of_scores() -> None:
    logits = np.array([2.0, -1.0, 0.5], np.float32)
    exps = np.exp(logits.astype(np.float64))
    assert np.allclose(log_scores(logits, "single_label"), np.log(exps / exps.sum()))
    assert np.allclose(log_scores(logits, "multi_label"), np.log(1 / (1 + np.exp(-logits.astype(np.float64)))))
    assert np.allclose(log_scores(logits[:1], "single_label"), np.log(1 / (1 + math.exp(-2))))
    assert log_scores(logits[:1], "regression").tolist() == [2.0]


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=5), st.data())
def test_a_text_without_a_word_is_the_other_words(words: list[str], data: Any) -> None:
    text = " ".join(words)
    place = data.draw(st.integers(0, len(words) - 1))
    start = len(" ".join(words[:place])) + bool(place)
    span = Span(start, start + len(words[place]))
    assert text_without(text, span, None).split() == [*words[:place], *words[place + 1 :]]
    assert text_without(text, span, "[MASK]").split() == [*words[:place], "[MASK]", *words[place + 1 :]]
