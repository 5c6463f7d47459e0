"""Templates that come with calls: rendered as the model's own, in a process that hostile ones can only end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import pytest
from attendant.core.chat import ChatMessage, ChatPrompt, TextPart, Tool, ToolCall
from attendant.core.errors import AttendantError, InvalidRequest, NotAllowed
from attendant.frontend.generation.given_templates import GivenTemplates
from attendant.frontend.generation.prompts import tokens_of
from attendant.models.text import TextCodec
from attendant.settings import ChatSettings

from tests.synthetic import byte_tokenizer

HI = ChatMessage("user", "hi")
GOOD = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
TOKENS = {"bos_token": "<s>"}
Render = Callable[..., Coroutine[Any, Any, str]]


def with_given(test: Callable[[Render, GivenTemplates], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        given = GivenTemplates(ChatSettings(given_templates=True, **settings))

        async def render(source: str, *messages: ChatMessage, **asked: Any) -> str:
            chat = ChatPrompt(messages or (HI,), given_template=source, **asked)
            return await given.rendered(chat, TOKENS)

        try:
            await test(render, given)
        finally:
            await given.close()

    asyncio.run(main())


async def refused(rendering: Awaitable[str]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        await rendering
    return caught.value


def test_a_template_of_a_call_is_rendered_as_the_models_own_would_be() -> None:
    async def test(render: Render, given: GivenTemplates) -> None:
        assert await render(GOOD, ChatMessage("developer", "Be kind."), HI) == "<s><system>Be kind.<user>hi"
        shows = "{{ tools | tojson }}{{ documents[0].text }}{{ mood }}"
        shows += "{{ messages[1].tool_calls[0].function.arguments | tojson }}"
        called = ChatMessage("assistant", None, tool_calls=(ToolCall("find", '{"a": 1}', "a1"),))
        tool = Tool("find", {"type": "function", "function": {"name": "find"}})
        found = await render(shows, HI, called, tools=(tool,), documents=({"text": "x"},), variables={"mood": "é"})
        assert found == '[{"type": "function", "function": {"name": "find"}}]xé{"a": 1}'
        assert (
            await render(GOOD, HI, ChatMessage("assistant", "Sure "), continues=True) == "<s><user>hi<assistant>Sure "
        )
        in_parts = "{% for m in messages %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endfor %}"
        assert await render(in_parts, ChatMessage("user", (TextPart("a"), TextPart("b")))) == "[a][b]"

    with_given(test)


WRONG: tuple[tuple[str, Mapping[str, Any], str, str], ...] = (
    ("{% if %}", {}, "given_template", "cannot be used: Expected an expression"),
    ("{{ raise_exception('no way') }}", {}, "given_template", "cannot be used: no way"),
    ("{{ ''.__class__.__mro__ }}", {}, "given_template", "a sandbox forbids"),
    ("{{ range(10**9) }}", {}, "given_template", "Range too big"),
    (
        "{{ messages | map('tojson') | list | length * 'x' }}{{ bos_token }}" + "x" * 300,
        {},
        "given_template",
        "has ",
    ),
    (GOOD, {"template": "rag"}, "template", "is given beside given_template"),
    (GOOD, {"variables": {"mood": 1}}, "template_variables", "does not look at; allowed: none"),
    (GOOD, {"documents": ({},)}, "documents", "does not look at any"),
    ("{{ bos_token }}", {"continues": True}, "continue_final_message", "does not look at the content"),
    ("{{ documents[0].text }}", {"documents": ({"text": "\udc00"},)}, "chat", "half of a surrogate pair"),
)


def test_what_is_wrong_with_it_is_said() -> None:
    async def test(render: Render, given: GivenTemplates) -> None:
        for template, asked, field, said in WRONG:
            error = await refused(render(template, **asked))
            assert error.field == field
            assert said in error.reason
            assert await render(GOOD) == "<s><user>hi"

    with_given(test, max_template_characters=200)


LOOPS = "{% for a in range(9999) %}{% for b in range(9999) %}{% if a == b %}x{% endif %}{% endfor %}{% endfor %}"
WIDE = "".join(f"{{% set a{i} = '\U0001f600' * 4000000 %}}" for i in range(16))
"""Characters of four bytes: as many as a template may make, and more than its process may have."""


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (LOOPS, "takes more than 0.3 s of processor time"),
        ("{{ 9 ** (9 ** 9) }}", "it makes a number of"),
        (WIDE, "or too much memory"),
        ("{{ 'x' * 10 ** 11 }}", "it makes a value of 100000000000 characters"),
        ("{{ 'x' * 4194304 }}x", "its text has 4194305 characters; allowed: at most 4194304"),
    ],
)
def test_a_hostile_template_ends_its_own_process_and_nothing_else(template: str, said: str) -> None:
    async def test(render: Render, given: GivenTemplates) -> None:
        beside = asyncio.create_task(render(GOOD))
        error = await refused(render(template))
        assert error.field == "given_template"
        assert said in error.reason
        assert await beside == "<s><user>hi"
        assert await render(GOOD) == "<s><user>hi"

    with_given(test, template_timeout_s=0.3)


def test_what_is_nested_deeply_is_rendered_or_refused() -> None:
    shows = "{{ documents | length }}"

    async def test(render: Render, given: GivenTemplates) -> None:
        deep: dict[str, Any] = {}
        for _ in range(600):  # a parser takes as many
            deep = {"a": deep}
        assert await render(shows, documents=(deep,)) == "1"
        for _ in range(2000):
            deep = {"a": deep}
        error = await refused(render(shows, documents=(deep,)))
        assert (error.field, error.reason.split(" for ")[0]) == ("chat", "is nested too deeply")
        assert await render(GOOD) == "<s><user>hi"

    with_given(test)


def test_a_call_that_goes_away_does_not_get_in_the_way_of_the_next() -> None:
    async def test(render: Render, given: GivenTemplates) -> None:
        assert await render(GOOD) == "<s><user>hi"
        for turns in range(8):
            leaves = asyncio.create_task(render(LOOPS if turns % 2 else GOOD))
            for _ in range(turns):
                await asyncio.sleep(0)
            leaves.cancel()
            await asyncio.gather(leaves, return_exceptions=True)
            assert await render(GOOD, ChatMessage("user", str(turns))) == f"<s><user>{turns}"

    with_given(test, template_timeout_s=10)


def test_they_are_refused_unless_the_operator_takes_them() -> None:
    codec = TextCodec(byte_tokenizer(), None, template_variables=TOKENS)
    chat = ChatPrompt((HI,), given_template=GOOD)

    async def ids(given: GivenTemplates) -> tuple[int, ...]:
        try:
            return (await tokens_of(codec, chat, None, given)).token_ids
        finally:
            await given.close()

    with pytest.raises(NotAllowed, match=r"chat\.given_templates turns them on"):
        asyncio.run(ids(GivenTemplates(ChatSettings())))
    # a model without templates can be talked to by one
    told = asyncio.run(ids(GivenTemplates(ChatSettings(given_templates=True))))
    assert codec.decode(told) == "<s><user>hi"
    with pytest.raises(AttendantError, match="not possible in a call of this kind"):  # as those that explain
        codec.rendered(chat)
