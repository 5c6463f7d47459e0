"""The words of trained models: tokenizers and templates of published folders, as transformers has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from attendant.bundle import ChatTemplates
from attendant_export.source.folder import SourceFolder
from attendant_export.words import read_words
from tokenizers import Tokenizer

TEXT = "  Naïve “quotes”, 東京, \U0001f469\u200d\U0001f467\n\tif (x): y += 1  <|im_start|>"
CHAT = (
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": TEXT},
)


@pytest.mark.parametrize("model", ["smollm2", "whisper", "minilm"])
def test_tokenizers_agree_with_transformers(model: str, request: pytest.FixtureRequest) -> None:
    from transformers import AutoTokenizer

    folder: Path = request.getfixturevalue(model)
    words = read_words(SourceFolder(folder))  # tries its own texts and every special token
    assert words.warnings == ()
    tokenizer, served = AutoTokenizer.from_pretrained(folder), Tokenizer.from_str(words.tokenizer_json)
    assert served.encode(TEXT).ids == tokenizer(TEXT).input_ids
    assert words.special_tokens == tokenizer.special_tokens_map


def test_a_conversation_is_what_transformers_makes_of_it(smollm2: Path) -> None:
    from transformers import AutoTokenizer

    words, tokenizer = read_words(SourceFolder(smollm2)), AutoTokenizer.from_pretrained(smollm2)
    rendered = ChatTemplates(words.chat_templates, words.special_tokens or {}).choose().render(CHAT)
    assert rendered == tokenizer.apply_chat_template(list(CHAT), tokenize=False, add_generation_prompt=True)
    assert rendered.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
