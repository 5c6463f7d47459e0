"""Conversations as published models write them, against apply_chat_template of transformers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Any, TypeVar

import pytest
from attendant.bundle import ChatTemplates
from attendant.core.chat import ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.models.text import TextCodec
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from tests.synthetic import byte_tokenizer
from tests.templates import PUBLISHED, Published
from tests.templates.conversations import as_transformers_has_it, begun_answers, conversations, with_text_arguments

T = TypeVar("T")


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
    return TextCodec(byte_tokenizer(), templates(published)).rendered(prompt)


def same_day(render: Callable[[], T]) -> T:
    """What comes of it on one day: many templates write which it is."""
    while True:
        today = date.today()
        found = render()
        if today == date.today():
            return found


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=PUBLISHED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_conversations_are_written_as_by_transformers(published: Published, data: st.DataObject) -> None:
    prompt = data.draw(conversations(published))
    ours, theirs = same_day(lambda: (by_us(published, prompt), by_transformers(published, prompt)))
    assert ours == theirs


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=PUBLISHED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_begun_answers_end_where_they_end_in_transformers(published: Published, data: st.DataObject) -> None:
    prompt = data.draw(begun_answers(published))

    def both() -> tuple[str | None, str | None]:
        return or_none(by_us, published, prompt), or_none(by_transformers, published, prompt)

    ours, theirs = same_day(both)
    assert ours == theirs


def or_none(render: Callable[[Published, ChatPrompt], str], published: Published, prompt: ChatPrompt) -> str | None:
    """None where it is refused."""
    try:
        return render(published, prompt)
    except (InvalidRequest, ValueError, TemplateError):
        return None


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=PUBLISHED)
def test_what_a_template_knows_is_found_out(published: Published) -> None:
    habits = templates(published).choose("", has_tools=False).habits
    assert (habits.tools, habits.documents) == (published.tools, published.documents)
    assert {name for name, _ in published.variables} <= {*habits.variables}
    assert habits.developer == ("developer" in published.roles)
    assert ("user" in habits.parts) == published.parts
    assert habits.text_arguments == published.text_arguments
    assert not habits.only_parts
