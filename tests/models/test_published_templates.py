"""Conversations as published models write them, against apply_chat_template of transformers."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import Any

import pytest
from attendant.bundle import ChatTemplates
from attendant.core.chat import ChatPrompt
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.synthetic import byte_tokenizer
from tests.templates import PUBLISHED, Published
from tests.templates.conversations import as_transformers_has_it, conversations, with_text_arguments


@cache
def transformers_tokenizer(published: Published) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_tokenizer(),
        bos_token=published.bos,
        eos_token=published.eos,
        chat_template=published.source,
    )


def by_transformers(published: Published, prompt: ChatPrompt) -> str:
    messages, asked = as_transformers_has_it(prompt)
    if published.text_arguments:
        messages = with_text_arguments(messages)
    return str(transformers_tokenizer(published).apply_chat_template(messages, tokenize=False, **asked))


@cache
def templates(published: Published) -> ChatTemplates:
    return ChatTemplates({"default": published.source}, {"bos_token": published.bos, "eos_token": published.eos})


def by_us(published: Published, prompt: ChatPrompt) -> str:
    messages, asked = as_transformers_has_it(prompt)
    if published.text_arguments:
        messages = with_text_arguments(messages)
    known = {name: asked.pop(name) for name in ("tools", "documents", "add_generation_prompt") if name in asked}
    return templates(published).render(messages, variables=asked, **known)


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=PUBLISHED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_conversations_are_written_as_by_transformers(published: Published, data: st.DataObject) -> None:
    prompt = data.draw(conversations(published))
    while True:
        today = date.today()  # many templates write it
        pair = by_us(published, prompt), by_transformers(published, prompt)
        if today == date.today():
            break
    assert pair[0] == pair[1]
