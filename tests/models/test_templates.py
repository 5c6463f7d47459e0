"""Chat templates, against apply_chat_template of transformers."""

from __future__ import annotations

from typing import Any

import pytest
from attendant.bundle import ChatTemplate, ChatTemplates, TemplateBroken, TemplateRefused, TemplateUnknown
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.models.text import TextCodec
from tokenizers import Tokenizer

from tests.synthetic import byte_tokenizer

TOKENS = {
    **{"bos_token": "<|bos|>", "eos_token": "<|eos|>", "unk_token": "<unk>", "sep_token": "[SEP]", "pad_token": "<p>"},
    **{"cls_token": "[CLS]", "mask_token": "[MASK]", "image_token": "<image>"},
}
CHAT = [
    {"role": "system", "content": 'Say "yes" & <no>.'},
    {"role": "user", "content": "é\n\t漢字 👩‍👩‍👧 </s>"},
    {"role": "assistant", "content": ""},
    {"role": "user", "content": "{{ not a template }}"},
]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"b": 1, "a": ["é", None, True]}}}]


def by_transformers(template: str, messages: list[dict[str, Any]], **asked: Any) -> str:
    transformers = pytest.importorskip("transformers")
    extra = {"image_token": TOKENS["image_token"]}
    named = {name: text for name, text in TOKENS.items() if name not in extra}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_tokenizer(), model_specific_special_tokens=extra, **named
    )
    found = tokenizer.apply_chat_template(
        messages, chat_template=template, tokenize=False, add_generation_prompt=True, **asked
    )
    return str(found)


TEMPLATES = {
    "generation tag": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content + eos_token }}"
    "{%- endgeneration %}{% else %}{% set x = m.content %}{{ x }}{% endif %}{% endfor %}",
    "names of a generation block": "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}",
    "every special token": "{{ bos_token ~ eos_token ~ unk_token ~ sep_token ~ pad_token ~ cls_token ~ mask_token }}"
    "{{ image_token }}[{{ other_token }}]",
    "no tools": "{% if tools is none and documents is none and tools is defined %}none{% endif %}{{ tools }}",
    "tojson": "{{ messages | tojson }}{{ messages | tojson(indent=2) }}{{ 'é<' | tojson(ensure_ascii=True) }}"
    "{{ messages | tojson(separators=(',', ':'), sort_keys=True) }}",
    "loop controls": "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}"
    "{% if loop.index > 2 %}{% break %}{% endif %}{% endfor %}",
    "namespace": "{% set ns = namespace(n=0, self=1) %}"
    "{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
    "dict": "{{ dict(a=1, b=messages[0].role) }}{{ dict.fromkeys(['x']) }}",
    "blocks and spaces": "  {% if add_generation_prompt %}\n  {{ '<a>' }}\n  {%- endif %}\n  {# note #}\nx\n\n",
    "strings": "{{ messages[0]['content'].strip().split(' ')[0] | upper }}{{ messages | length }}{{ missing }}"
    "{{ messages | map(attribute='role') | join(',') }}{{ messages[-1].content[2:5] }}{{ raise_exception is defined }}",
    "macro": "{% macro say(m) %}[{{ m.role }}: {{ m.content }}]{% endmacro %}"
    "{% for m in messages %}{{ say(m) }}{% endfor %}",
    "time": "{{ strftime_now('%Y') }}{{ strftime_now(format='%C') }}",
}


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_renders_as_in_transformers(template: str) -> None:
    assert ChatTemplate(template, TOKENS).render(CHAT) == by_transformers(template, CHAT)


def test_tools_documents_and_absent_values_are_seen_as_in_transformers() -> None:
    template = "{{ tools | tojson(sort_keys=true) }}{{ documents[0].title }}{% if 'name' in messages[0] %}!{% endif %}"
    messages = [{**CHAT[0], "name": None}, {**CHAT[1], "name": "x"}]
    asked: dict[str, Any] = {"tools": TOOLS, "documents": [{"title": "t", "text": "x"}]}
    found = ChatTemplate(template, TOKENS).render(messages, **asked)
    assert found == by_transformers(template, messages, **asked)


def test_several_templates_by_name() -> None:
    templates = ChatTemplates({"default": "d", "tool_use": "t", "rag": "r"}, {})
    assert [templates.choose(name).render(CHAT) for name in ("", "default", "tool_use", "rag")] == ["d", "d", "t", "r"]
    assert templates.choose(has_tools=True).render(CHAT, tools=TOOLS) == "t"
    with pytest.raises(TemplateUnknown, match="is 'x'; allowed: default, rag, tool_use"):
        templates.choose("x")
    with pytest.raises(TemplateUnknown, match="no default template; allowed: rag"):
        ChatTemplates({"rag": "r"}, {}).choose()


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('Conversation roles must alternate') }}", "^Conversation roles must alternate$"),
        ("{{ ''.__class__.__mro__ }}", "a sandbox forbids"),
        ("{% set ns = namespace(__x=1) %}", "underscore"),
        ("{% set ns = namespace() %}{% set ns.__x = 1 %}", "underscore"),
        ("{{ dict.__class__.__base__ }}", "a sandbox forbids"),
        ("{{ messages.append(1) }}", "a sandbox forbids"),
        ("{{ messages[9].content.x }}", "no element 9"),
        ("{{ 1 + 'a' }}", "unsupported operand"),
        ("{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}", "recursion"),
    ],
)
def test_a_template_that_refuses_says_why(template: str, message: str) -> None:
    with pytest.raises(TemplateRefused, match=message):
        ChatTemplate(template, {}).render(CHAT)


@pytest.mark.parametrize(
    "template", ["{% if %}", "{% endgeneration %}", "{{ x", "{% nonsense %}", "{{ x | no_filter }}"]
)
def test_a_broken_template_is_named(template: str) -> None:
    with pytest.raises(TemplateBroken) as caught:
        ChatTemplates({"good": "x", "bad": template}, {})
    assert caught.value.name == "bad"


def test_callers_learn_which_field_was_wrong() -> None:
    tokenizer: Tokenizer = byte_tokenizer()
    codec = TextCodec(tokenizer, ChatTemplates({"rag": "{{ raise_exception('no documents') }}", "x": "{{ 1 }}"}, {}))
    hello = (ChatMessage("user", "hello"),)
    assert codec.tokenize(ChatPrompt(hello, "x")).token_ids == tuple(tokenizer.encode("1").ids)
    with pytest.raises(InvalidRequest, match=r"^template is empty, and this model has no default"):
        codec.tokenize(ChatPrompt(hello))
    with pytest.raises(InvalidRequest, match=r"^messages were refused by the model's chat template: no documents"):
        codec.tokenize(ChatPrompt(hello, "rag"))
    with pytest.raises(InvalidRequest, match=r"^messages is empty"):
        codec.tokenize(ChatPrompt((), "x"))
