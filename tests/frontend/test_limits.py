"""What a call may carry: each limit lets through what it allows, and refuses more by field and number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attendant.core.chat import ChatMessage, ChatPrompt, TextPart, Tool, ToolCall
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall, TextPrompt
from attendant.core.grammar import Grammar
from attendant.frontend.encoding.calls import (
    AnswerCall,
    Audio,
    ClassifyAudioCall,
    ClassifyCall,
    ClassifyImageCall,
    ClassifyTokensCall,
    EmbedCall,
    EmbedImageCall,
    EmbedSparseCall,
    FillMaskCall,
    LogitsCall,
    Question,
    RerankCall,
    TextItem,
    TranscribeCall,
)
from attendant.frontend.encoding.limits import check_encoding
from attendant.frontend.explain.calls import GivenAnswer, ImageFile, SoundFile, Subject
from attendant.frontend.explain.limits import check_subject
from attendant.frontend.limits import CallLimits
from attendant.settings import LimitsSettings

SMALL = CallLimits(
    LimitsSettings(
        max_text_characters=5,
        max_inputs=2,
        max_image_bytes=4,
        max_sound_bytes=4,
        max_sequences=3,
        max_answer_tokens=100,
        max_logprobs=2,
        max_logit_bias=2,
        max_listed_tokens=3,
        max_stop_strings=2,
        max_stop_characters=4,
        max_bad_phrases=2,
        max_bad_phrase_characters=4,
        max_chat_pieces=3,
        max_grammar_choices=2,
    )
)
TOOL = Tool("t", {"type": "function", "function": {"name": "t"}})


def message(content: Any = "hello", **fields: Any) -> ChatMessage:
    return ChatMessage("user", content, **fields)


def chat(*messages: ChatMessage, **fields: Any) -> dict[str, Any]:
    return {"prompt": ChatPrompt(messages, **fields)}


GENERATION: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"prompt": TextPrompt("12345")}, {"prompt": TextPrompt("123456")}, "text has 6 characters; allowed: at most 5"),
    ({"n": 3}, {"n": 4}, "n is 4; allowed: 1 to 3"),
    ({"n": 1}, {"n": 0}, "n is 0; allowed: 1 to 3"),
    ({"logprobs": 2}, {"logprobs": 3}, "logprobs is 3; allowed: 0 to 2"),
    ({"logit_bias": {1: 1, 2: 1}}, {"logit_bias": {1: 1, 2: 1, 3: 1}}, "logit_bias has 3 entries; allowed: at most 2"),
    ({"stop": ("a", "b")}, {"stop": ("a", "b", "c")}, "stop has 3 strings; allowed: at most 2"),
    ({"stop": ("1234",)}, {"stop": ("12345",)}, "stop has a string of 5 characters; allowed: 1 to 4"),
    ({}, {"stop": ("",)}, "stop has a string of 0 characters; allowed: 1 to 4"),
    ({"stop_token_ids": (1,) * 3}, {"stop_token_ids": (1,) * 4}, "stop_token_ids has 4 tokens; allowed: at most 3"),
    ({"suppress_tokens": (1,) * 3}, {"suppress_tokens": (1,) * 4}, "suppress_tokens has 4 tokens; allowed: at most 3"),
    ({}, {"begin_suppress_tokens": (1,) * 4}, "begin_suppress_tokens has 4 tokens; allowed: at most 3"),
    ({"bad_words": ((1, 2), (3,))}, {"bad_words": ((1, 2), (3, 4))}, "bad_words has 4 tokens; allowed: at most 3"),
    ({}, {"sequence_bias": (((1, 2), 0.5), ((3, 4), 1.0))}, "sequence_bias has 4 tokens; allowed: at most 3"),
    ({"bad_phrases": ("a", "b")}, {"bad_phrases": ("a",) * 3}, "bad_phrases has 3 texts; allowed: at most 2"),
    ({"bad_phrases": ("1234",)}, {"bad_phrases": ("a", "12345")}, "bad_phrases[1] has 5 characters; allowed: 1 to 4"),
    (
        {"grammar": Grammar("choice", choices=("a", "b"))},
        {"grammar": Grammar("choice", choices=("a", "b", "c"))},
        "grammar.choice has 3 texts; allowed: at most 2",
    ),
    (
        chat(message(), message(), tools=(TOOL,)),
        chat(message(), message(), tools=(TOOL,), documents=({},)),
        "chat has 4 messages, parts, tool calls, tools and documents; allowed: 3 in all",
    ),
    (
        chat(message((TextPart("a"), TextPart("b")))),
        chat(message((TextPart("a"), TextPart("b"))), message()),
        "chat has 4 messages, parts, tool calls, tools and documents; allowed: 3 in all",
    ),
    (chat(message("12345")), chat(message("123456")), "messages[0].content has 6 characters; allowed: at most 5"),
    (
        chat(message(), message((TextPart("12345"),))),
        chat(message(), message((TextPart("123456"),))),
        "messages[1].parts[0] has 6 characters; allowed: at most 5",
    ),
    ({}, chat(message(reasoning="123456")), "messages[0].reasoning has 6 characters; allowed: at most 5"),
    (
        chat(message(tool_calls=(ToolCall("t", "{}"),))),
        chat(message(tool_calls=(ToolCall("t", "{     }"),))),
        "messages[0].tool_calls[0].arguments has 7 characters; allowed: at most 5",
    ),
]


def generation(fields: dict[str, Any]) -> GenerationCall:
    return GenerationCall("", **{"prompt": TextPrompt("a"), **fields})


@pytest.mark.parametrize(("allowed", "refused", "said"), GENERATION)
def test_calls_that_generate(allowed: dict[str, Any], refused: dict[str, Any], said: str) -> None:
    SMALL.check_generation(generation(allowed), 8)
    with pytest.raises(InvalidRequest) as caught:
        SMALL.check_generation(generation(refused), 8)
    assert str(caught.value) == said


def test_as_many_sequences_as_the_model_takes() -> None:
    with pytest.raises(InvalidRequest, match="n is 3; allowed: 1 to 2"):
        SMALL.check_generation(generation({"n": 3}), 2)


def test_answers_together() -> None:
    SMALL.check_answer(generation({"n": 2, "max_tokens": 50}), 50)
    said = "max_tokens is 51, and 2 sequences of up to 51 tokens have 102 together; allowed: 100"
    with pytest.raises(InvalidRequest, match=said):
        SMALL.check_answer(generation({"n": 2, "max_tokens": 51}), 51)
    with pytest.raises(InvalidRequest, match="max_tokens is missing, and 2 sequences"):
        SMALL.check_answer(generation({"n": 2}), 51)


ITEMS = "123456"
ENCODING: list[tuple[Any, Any, str]] = [
    *(
        (kind("m", [TextItem("12345")] * 2), kind("m", [TextItem("a")] * 3), "inputs has 3 inputs; allowed: at most 2")
        for kind in (EmbedCall, EmbedSparseCall, ClassifyCall)
    ),
    *(
        (kind("m", [TextItem("a")]), kind("m", [TextItem("a"), TextItem("a", ITEMS)]), "inputs[1] has 6 characters")
        for kind in (EmbedCall, EmbedSparseCall, ClassifyCall)
    ),
    (
        LogitsCall("m", "rerank", [TextItem(token_ids=[1])]),
        LogitsCall("m", "rerank", [TextItem(token_ids=[1])] * 3),
        "inputs has 3 inputs",
    ),
    (AnswerCall("m", [Question("q", "c")]), AnswerCall("m", [Question("q", "c")] * 3), "inputs has 3 inputs"),
    (AnswerCall("m", []), AnswerCall("m", [Question(ITEMS, "c")]), "inputs[0].question has 6 characters"),
    (AnswerCall("m", []), AnswerCall("m", [Question("q", ITEMS)]), "inputs[0].context has 6 characters"),
    (ClassifyTokensCall("m", ["a", "b"]), ClassifyTokensCall("m", ["a"] * 3), "texts has 3 inputs"),
    (FillMaskCall("m", ["12345"]), FillMaskCall("m", [ITEMS]), "texts[0] has 6 characters; allowed: at most 5"),
    (RerankCall("m", "q", ["a", "b"]), RerankCall("m", "q", ["a"] * 3), "documents has 3 inputs"),
    (RerankCall("m", "q", ["a"]), RerankCall("m", ITEMS, ["a"]), "query has 6 characters"),
    (RerankCall("m", "q", ["a"]), RerankCall("m", "q", ["a", ITEMS]), "documents[1] has 6 characters"),
    (
        ClassifyImageCall("m", [b"1234"]),
        ClassifyImageCall("m", [b"12345"]),
        "images[0] has 5 bytes; allowed: at most 4",
    ),
    (
        EmbedImageCall("m", [np.zeros((3, 9, 9), np.float32)]),
        EmbedImageCall("m", [b"1"] * 3),
        "images has 3 inputs; allowed: at most 2",
    ),
    (
        ClassifyAudioCall("m", [Audio(b"1234", is_wav=True)]),
        ClassifyAudioCall("m", [Audio(b"12345", is_wav=True)]),
        "inputs[0].wav has 5 bytes; allowed: at most 4",
    ),
    (
        TranscribeCall("m", [Audio(b"1234", is_wav=True)]),
        TranscribeCall("m", [Audio(b"12345", is_wav=True)]),
        "inputs[0].wav has 5 bytes; allowed: at most 4",
    ),
    (TranscribeCall("m", []), TranscribeCall("m", [Audio(b"12345", False, 16_000)]), "inputs[0].samples has 5 bytes"),
]


@pytest.mark.parametrize(("allowed", "refused", "said"), ENCODING)
def test_calls_on_models_that_encode(allowed: Any, refused: Any, said: str) -> None:
    check_encoding(SMALL, allowed)
    with pytest.raises(InvalidRequest) as caught:
        check_encoding(SMALL, refused)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("subject", "answer", "said"),
    [
        (Subject(TextPrompt(ITEMS)), None, "text has 6 characters"),
        (Subject(ChatPrompt((message(ITEMS),))), None, "messages[0].content has 6 characters"),
        (Subject(ImageFile(b"12345")), None, "image has 5 bytes"),
        (Subject(SoundFile(b"12345")), None, "audio has 5 bytes"),
        (Subject(TextPrompt("a"), ITEMS), None, "second_text has 6 characters"),
        (Subject(TextPrompt("a")), GivenAnswer(ITEMS), "answer.text has 6 characters"),
    ],
)
def test_what_is_explained(subject: Subject, answer: GivenAnswer | None, said: str) -> None:
    check_subject(SMALL, Subject(TextPrompt("12345"), "12345"), GivenAnswer("12345"))
    with pytest.raises(InvalidRequest) as caught:
        check_subject(SMALL, subject, answer)
    assert str(caught.value).startswith(said)
