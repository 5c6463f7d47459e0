"""The bytes of each token are those that it adds to a text: by what the tokenizer itself decodes, and by llguidance's
own reader, for the kinds that it reads."""

from __future__ import annotations

import pytest
from attendant.grammars.token_bytes import named_tokens, token_bytes
from attendant.grammars.words import GrammarWords
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLTokenizer
from tokenizers import Tokenizer

from tests.grammars.tokenizers import KINDS, LINES, SPECIAL, made


@pytest.mark.parametrize("kind", KINDS)
def test_joined_bytes_are_the_text(kind: str) -> None:
    tokenizer = made(kind)
    tokens = token_bytes(tokenizer, tokenizer.get_vocab_size())
    named = named_tokens(tokenizer, len(tokens))
    for line in LINES[:3]:
        ids = tokenizer.encode(line, add_special_tokens=False).ids
        joined = b"".join(tokens[index] for index in ids if index not in named).decode()
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        assert joined.strip() == decoded.strip()  # some leave a space out at the beginning of a text


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece_bytes"])
def test_the_bytes_are_those_that_llguidance_finds(kind: str) -> None:
    tokenizer = made(kind)
    theirs = LLTokenizer(tokenizer.to_str())
    ours = token_bytes(tokenizer, tokenizer.get_vocab_size())
    named = named_tokens(tokenizer, len(ours))
    for index, own in enumerate(ours):
        if index not in named and own.strip(b" ") and own != b"\xff":  # theirs is a sign of its own
            assert own == theirs.decode_bytes([index]), tokenizer.id_to_token(index)


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=40))
def test_any_text_is_spelt_with_its_bytes(text: str) -> None:
    for kind in ("byte_level", "sentencepiece_bytes"):
        words = words_of(kind)
        ids = words.ll.tokenize_str(text)
        assert b"".join(words.tokens[index] for index in ids) == text.encode()
        assert not {index for index in ids if words.ll.is_special_token(index)}


def words_of(kind: str, more: int = 0) -> GrammarWords:
    tokenizer = made(kind)
    return GrammarWords(tokenizer.to_str(), tokenizer.get_vocab_size() + more)


def test_a_model_may_have_more_words_than_its_tokenizer_and_fewer() -> None:
    size = made("byte_level").get_vocab_size()
    assert words_of("byte_level", 5).tokens[size : size + 5] == (b"",) * 5
    fewer = words_of("byte_level", -1)
    assert fewer.end == size - 1
    assert len(fewer.tokens) == size


def test_added_tokens_are_names_unless_they_are_space() -> None:
    tokenizer = made("byte_level")
    named = [tokenizer.id_to_token(index) for index in named_tokens(tokenizer, tokenizer.get_vocab_size())]
    assert named == [*SPECIAL, "<tool_call>"]
    assert token_bytes(tokenizer, tokenizer.get_vocab_size())[tokenizer.token_to_id("    ")] == b"    "


def test_words_of_a_tokenizer_with_holes() -> None:
    tokenizer = Tokenizer.from_str(made("byte_level").to_str())
    size = tokenizer.get_vocab_size()
    text = tokenizer.to_str().replace(f'"id":{size - 1}', f'"id":{size + 6}')
    tokens = GrammarWords(text, size + 10).tokens
    assert tokens[size - 1] in (b"", b"    ")
