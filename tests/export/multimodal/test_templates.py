"""Chat templates as processors have them, which want contents in parts: plain texts get the text that parts get."""

from __future__ import annotations

from typing import Any

import pytest
from attendant.bundle import ChatTemplate
from attendant.core.chat import ChatMessage, ChatPrompt, TextPart
from attendant.models.conversations import rendered

from tests.synthetic import byte_tokenizer

_TEXTS = "{% for p in m.content | selectattr('type', 'equalto', 'text') %}"
TEMPLATES = {
    "LLaVA 1.5": (
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content[0].text }}{% else %}{{ m.role | upper }}: "
        "{% endif %}{% for p in m.content | selectattr('type', 'equalto', 'image') %}<image>\n{% endfor %}"
        + _TEXTS
        + "{{ p.text + ' ' }}{% endfor %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    ),
    "SmolVLM": (
        "<|im_start|>{% for m in messages %}{{ m.role | capitalize }}:"
        "{{ ' ' if m.content[0].type != 'image' }}"
        "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% elif p.type == 'image' %}<image>{% endif %}"
        "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
    ),
    "Llama 3.2 Vision": (
        "{% for m in messages %}{{ bos_token if loop.first }}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
        "{% if p.type == 'image' %}<|image|>{% elif p.type == 'text' %}{{ p.text }}{% endif %}"
        "{% endfor %}{% endif %}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
    ),
    "Qwen2-VL": (
        "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nBe helpful.<|im_end|>\n"
        "{% endif %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
        "{% for p in m.content %}{% if p.type == 'image' or 'image' in p %}<|vision_start|><|image_pad|><|vision_end|>"
        "{% elif 'text' in p %}{{ p.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
}
SAID = (("system", "Be brief."), ("user", "How deep is\n<it>? "), ("assistant", "Six feet."), ("user", "再见"))


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("first", [0, 1], ids=["system", "user"])
@pytest.mark.parametrize("in_parts", [False, True], ids=["text", "parts"])
def test_it_is_written_as_by_transformers_with_parts(name: str, first: int, in_parts: bool) -> None:
    said = SAID[first:]
    messages = tuple(ChatMessage(role, (TextPart(text),) if in_parts else text) for role, text in said)
    found = rendered(ChatTemplate(TEMPLATES[name], {"bos_token": "<s>"}), ChatPrompt(messages))
    assert found == by_transformers(TEMPLATES[name], said)
    assert all(text in found for _, text in said)


def by_transformers(template: str, said: tuple[tuple[str, str], ...]) -> str:
    """What transformers makes of messages whose contents are parts."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_tokenizer(), bos_token="<s>", chat_template=template)
    messages: list[dict[str, Any]] = [
        {"role": role, "content": [{"type": "text", "text": text}]} for role, text in said
    ]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
