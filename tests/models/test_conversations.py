"""Conversations become what templates take, and what they do not take is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from attendant.bundle import ChatTemplates
from attendant.core.chat import ChatMessage, ChatPrompt, MediaPart, TextPart, Tool, ToolCall
from attendant.core.errors import InvalidRequest
from attendant.models.text import TextCodec

from tests.synthetic import byte_tokenizer

PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
HI = ChatMessage("user", "hi")
FIND = Tool("find", {"type": "function", "function": {"name": "find"}})


def rendered(template: str, *messages: ChatMessage, **asked: Any) -> str:
    codec = TextCodec(byte_tokenizer(), ChatTemplates({"default": template}, {"eos_token": "</s>"}))
    return codec.rendered(ChatPrompt(messages or (HI,), **asked))


def refusal(template: str, *messages: ChatMessage, **asked: Any) -> tuple[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        rendered(template, *messages, **asked)
    return caught.value.field, caught.value.reason


def called(arguments: str) -> ChatMessage:
    return ChatMessage("assistant", None, tool_calls=(ToolCall("find", arguments, "a1"),))


def test_a_message_has_its_keys_as_openai_documents_them() -> None:
    message = ChatMessage("assistant", "x", "ann", "hm", (ToolCall("find", '{"b": 1, "a": [null]}', "a1"),), "a0")
    assert rendered("{{ messages | tojson }}", message) == (
        '[{"thinking": "hm", "role": "assistant", "content": "x", "name": "ann", "reasoning_content": "hm", '
        '"tool_calls": [{"id": "a1", "type": "function", "function": {"name": "find", '
        '"arguments": {"b": 1, "a": [null]}}}], "tool_call_id": "a0"}]'
    )
    assert rendered("{{ messages | tojson }}") == '[{"role": "user", "content": "hi"}]'


@pytest.mark.parametrize(
    ("template", "seen"),
    [
        (PLAIN, "<system>Be kind."),
        (
            "{% for m in messages %}{% if m.role in ['system', 'developer'] %}<{{ m.role }}>{% endif %}{% endfor %}",
            "<developer>",
        ),
    ],
)
def test_a_developer_is_the_system_where_a_template_does_not_know_the_role(template: str, seen: str) -> None:
    assert rendered(template, ChatMessage("developer", "Be kind.")) == seen


IN_PARTS = "{% for m in messages %}{% for p in m.content %}{% if p.type == 'text' %}[{{ p.text }}]{% endif %}"
IN_PARTS += "{% endfor %}{% endfor %}"
EITHER = "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
EITHER += "[{{ p.text }}]{% endfor %}{% endif %}{% endfor %}"
FOR_USERS = "{% for m in messages %}{% if m.role == 'user' and m.content is not string %}{% for p in m.content %}"
FOR_USERS += "[{{ p.text }}]{% endfor %}{% else %}{{ m.content }}{% endif %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "of_parts", "of_text"),
    [
        (PLAIN, "<user>a\nb", "<user>a"),
        (IN_PARTS, "[a][b]", "[a]"),
        (EITHER, "[a][b]", "a"),
        (FOR_USERS, "[a][b]", "a"),
        ("{% for m in messages %}{{ m.content | tojson }}{% endfor %}", '"a\\nb"', '"a"'),
    ],
)
def test_contents_come_in_the_form_that_a_template_takes(template: str, of_parts: str, of_text: str) -> None:
    parts = (TextPart("a"), TextPart("b"))
    assert rendered(template, ChatMessage("user", parts)) == of_parts
    assert rendered(template, ChatMessage("user", "a")) == of_text
    if template == FOR_USERS:  # which knows parts of users alone
        assert rendered(template, ChatMessage("system", parts), HI) == "a\nbhi"


@pytest.mark.parametrize(
    ("template", "seen"),
    [
        ("{{ messages[0].tool_calls[0].function.arguments | tojson }}", '{"order": 7}'),
        ("{% for m in messages %}{% for c in m.tool_calls %}{{ '(' + c.function.arguments + ')' }}", '({"order": 7})'),
        ("{% for m in messages %}{% for c in m.tool_calls %}({{ c.function.arguments }})", '({"order": 7})'),
    ],
)
def test_arguments_come_in_the_form_that_a_template_takes(template: str, seen: str) -> None:
    template += "{% endfor %}{% endfor %}" if "for m" in template else ""
    assert rendered(template, called('{"order": 7}')) == seen
    assert rendered(template, called("")) == seen.replace('"order": 7', "")


def test_a_message_without_content_has_an_empty_one_where_a_template_needs_one() -> None:
    adds = "{% for m in messages %}{{ '<' + m.content + '>' }}{% endfor %}"
    asks = "{% for m in messages %}{{ 'content' in m }}{% endfor %}"
    assert rendered(adds, called("{}")) == "<>"
    assert rendered(asks, called("{}")) == "False"


@pytest.mark.parametrize(
    ("message", "field", "said"),
    [
        (called("{"), "messages[1].tool_calls[0].arguments", "is no JSON"),
        (called('{"a": NaN}'), "messages[1].tool_calls[0].arguments", "is no JSON: it has NaN"),
        (called("[" * 100_000), "messages[1].tool_calls[0].arguments", "is no JSON"),
        (called('"x"'), "messages[1].tool_calls[0].arguments", "is a JSON str; allowed: an object"),
        (
            ChatMessage("user", (TextPart("see"), MediaPart("image"))),
            "messages[1].content[1]",
            "is of the kind 'image'; this model reads text alone",
        ),
    ],
)
def test_what_no_template_takes_is_refused_by_name(message: ChatMessage, field: str, said: str) -> None:
    found, reason = refusal(PLAIN, HI, message)
    assert found == field
    assert said in reason


def test_what_a_template_does_not_look_at_is_not_left_out_silently() -> None:
    knows = PLAIN + "{{ tools }}{{ documents }}{{ enable_thinking }}"
    asked: dict[str, Any] = {"tools": (FIND,), "documents": ({"text": "x"},), "variables": {"enable_thinking": True}}
    assert rendered(knows, **asked).endswith("True")
    assert refusal(PLAIN, tools=(FIND,))[0] == "tools"
    assert refusal(PLAIN, documents=({"text": "x"},))[0] == "documents"
    field, reason = refusal(knows, variables={"enable_thinkng": True})
    assert field == "template_variables"
    assert reason == "has 'enable_thinkng', which the chat template does not look at; allowed: enable_thinking"
    # what is off asks for nothing
    assert rendered(PLAIN, variables={"enable_thinking": False, "date": None}) == "<user>hi"


@pytest.mark.parametrize("name", ["messages", "tools", "documents", "add_generation_prompt", "chat_template"])
def test_variables_do_not_hide_what_fields_say(name: str) -> None:
    field, reason = refusal("{{ messages }}{{ tools }}{{ documents }}", variables={name: []})
    assert field == "template_variables"
    assert reason.startswith(f"has {name!r}, which is for ")


def test_a_variable_may_have_any_name_and_takes_the_place_of_a_special_token() -> None:
    assert rendered("{{ self }}{{ eos_token }}", variables={"eos_token": "!"}).endswith("!")
    assert rendered("{{ loop }}", variables={"loop": 7}) == "7"


def test_half_a_character_is_refused() -> None:
    field, reason = refusal("{{ documents[0].text }}", documents=({"text": "\ud800"},))
    assert field == "chat"
    assert "U+D800" in reason


@pytest.mark.parametrize(
    ("template", "last", "said"),
    [
        (PLAIN, ChatMessage("assistant", None), "the last message has no content"),
        ("{{ bos_token }}", ChatMessage("assistant", "Sure"), "does not look at the content"),
        (PLAIN, ChatMessage("assistant", None, reasoning="hm"), "does not look at the reasoning_content"),
        ("{{ messages[0]['content'] }}", ChatMessage("assistant", "Sure"), "leaves out the last message"),
    ],
)
def test_a_message_that_cannot_be_continued_is_refused(template: str, last: ChatMessage, said: str) -> None:
    field, reason = refusal(template, HI, last, continues=True)
    assert field == "continue_final_message"
    assert said in reason


def test_thoughts_are_continued_where_nothing_was_said() -> None:
    template = "{% for m in messages %}{{ m.thinking }}|{{ m.content }};{% endfor %}"
    assert rendered(template, HI, ChatMessage("assistant", None, reasoning="hm "), continues=True) == "|hi;hm "
    assert rendered(template, HI, ChatMessage("assistant", "a", reasoning="hm"), continues=True) == "|hi;hm|a"
