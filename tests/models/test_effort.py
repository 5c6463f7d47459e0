"""How much to think is said in the template's own words, or refused."""

from __future__ import annotations

from typing import Any

import pytest
from attendant.bundle import ChatTemplates
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.models.text import TextCodec

from tests.synthetic import byte_tokenizer

LEVELS = "{{ reasoning_effort|default('medium') }}"
SWITCH = "{{ enable_thinking|default(true) }}"
OTHER_SWITCH = "{% if thinking is defined and thinking %}thinks{% endif %}"
BOTH = f"{LEVELS} {SWITCH}"
NEITHER = "{{ messages[0].content }}"


def rendered(template: str, effort: str, **variables: Any) -> str:
    codec = TextCodec(byte_tokenizer(), ChatTemplates({"default": template}, {}))
    return codec.rendered(ChatPrompt((ChatMessage("user", "hi"),), variables=variables, effort=effort))


@pytest.mark.parametrize(
    ("template", "effort", "text"),
    [
        (LEVELS, "", "medium"),
        (LEVELS, "low", "low"),
        (SWITCH, "", "True"),
        (SWITCH, "high", "True"),
        (SWITCH, "none", "False"),
        (OTHER_SWITCH, "minimal", "thinks"),
        (OTHER_SWITCH, "none", ""),
        (BOTH, "none", "none False"),
        (NEITHER, "none", "hi"),
        (NEITHER, "", "hi"),
    ],
)
def test_effort_in_the_words_of_the_template(template: str, effort: str, text: str) -> None:
    assert rendered(template, effort) == text


def test_what_the_caller_says_of_a_variable_counts() -> None:
    assert rendered(BOTH, "low", enable_thinking=False) == "low False"


def test_a_template_that_knows_of_no_effort_refuses_it() -> None:
    with pytest.raises(InvalidRequest, match="reasoning_effort is 'low', and the model's chat template has nothing"):
        rendered(NEITHER, "low")
