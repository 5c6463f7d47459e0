"""What export says of tokens that the model has no row for."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, processors

pytest.importorskip("torch", reason="the exporter is not installed")

from attendant_export.errors import TokenizerError
from attendant_export.words.known_tokens import known_rows, prompt_ids, unknown_tokens

from tests.bundles import make_llama, make_tokenizer


def test_tokens_without_a_row_are_named() -> None:
    tokenizer = make_tokenizer()
    rows = known_rows(make_llama())
    assert rows == tokenizer.get_vocab_size()
    assert unknown_tokens(tokenizer.to_str(), rows) == []
    assert prompt_ids(make_llama()) == rows
    assert unknown_tokens(tokenizer.to_str(), None) == unknown_tokens(None, rows) == []
    tokenizer.add_special_tokens([AddedToken(f"<extra_{i}>", special=True) for i in range(10)])
    (warning,) = unknown_tokens(tokenizer.to_str(), rows)
    assert f"'<extra_0>' ({rows}), " in warning
    assert "and 2 more" in warning
    assert f"0 to {rows - 1}" in warning


def test_a_tokenizer_that_puts_one_around_every_text_is_refused() -> None:
    tokenizer = make_tokenizer()
    rows = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", rows)])
    with pytest.raises(TokenizerError, match=rf"'<s>' \({rows}\) around every text"):
        unknown_tokens(tokenizer.to_str(), rows)
