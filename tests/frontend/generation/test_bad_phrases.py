"""Texts that an answer must not have: the tokens that spell them, at a begin and after a space."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall, TextPrompt
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.generation.bad_phrases import as_bad_words
from attendant.frontend.generation.service import GenerationService

from tests.frontend.explain.helpers import with_demos
from tests.frontend.generation.helpers import collect

CALL = GenerationCall("", ChatPrompt((ChatMessage("user", "Where is my order 48213?"),)), temperature=0, max_tokens=24)


async def text_of(service: GenerationService, **changes: object) -> str:
    texts, _ = await collect(service, replace(CALL, **changes))  # type: ignore[arg-type]
    return texts[0]


async def tokens(service: GenerationService, text: str) -> tuple[int, ...]:
    return (await service.tokenize("", TextPrompt(text, add_special_tokens=False))).token_ids


def test_a_text_never_occurs_as_a_begin_or_after_a_space() -> None:
    async def test(front_end: FrontEnd) -> None:
        service = front_end.generation
        free = await text_of(service)
        first, second, *_ = free.split()
        for phrase in (first, second, f"{first} {second}"):
            assert phrase in free
            found = await text_of(service, bad_phrases=(phrase,))
            assert phrase not in found
            spelt = (await tokens(service, phrase), await tokens(service, f" {phrase}"))
            assert found == await text_of(service, bad_words=spelt)
            assert found == await text_of(service, bad_phrases=(f" {phrase}",))
        both = await text_of(service, bad_phrases=(first,), bad_words=(await tokens(service, f" {second}"),))
        assert first not in both
        assert f" {second}" not in both

    with_demos(test, "bundle")


@pytest.mark.parametrize(("num_phrases", "off_loop"), [(3, False), (4, True)])
def test_many_texts_are_read_off_the_loop(monkeypatch: pytest.MonkeyPatch, num_phrases: int, off_loop: bool) -> None:
    threads: list[threading.Thread] = []

    def noted(*args: Any) -> GenerationCall:
        threads.append(threading.current_thread())
        return as_bad_words(*args)

    monkeypatch.setattr("attendant.frontend.generation.bad_phrases.as_bad_words", noted)

    async def test(front_end: FrontEnd) -> None:
        phrases = tuple(letter * 256 for letter in "abcd"[:num_phrases])
        await text_of(front_end.generation, bad_phrases=phrases, max_tokens=1)

    with_demos(test, "bundle")
    assert [thread is not threading.main_thread() for thread in threads] == [off_loop]


@pytest.mark.parametrize(
    ("phrases", "words"),
    [
        (("a",) * 257, "bad_phrases has 257 texts; allowed: at most 256"),
        (("a", ""), r"bad_phrases\[1\] has 0 characters"),
        (("a" * 257,), r"bad_phrases\[0\] has 257 characters; allowed: 1 to 256"),
        ((" ",), r"bad_phrases\[0\] has no tokens"),
    ],
)
def test_what_cannot_be_is_refused(phrases: tuple[str, ...], words: str) -> None:
    async def test(front_end: FrontEnd) -> None:
        with pytest.raises(InvalidRequest, match=words):
            await text_of(front_end.generation, bad_phrases=phrases)

    with_demos(test, "bundle")
