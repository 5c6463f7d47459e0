"""Bytes of tokens: joined, they are the text that the tokens were made of, whatever the kind of tokenizer."""

from __future__ import annotations

import pytest
from attendant.core.generation import TextPrompt
from attendant.grammars.token_bytes import TokenBytes
from attendant.models.text import TextCodec
from hypothesis import given
from tokenizers import AddedToken, Tokenizer, decoders, models

from tests.frontend.generation.test_text import BYTES, SENTENCEPIECE, TEXT
from tests.tasks.tokenizers_of_kinds import sentence_piece, word_piece


@given(text=TEXT)
def test_bytes_of_a_byte_level_tokenizer_are_those_of_the_text(text: str) -> None:
    ids = BYTES.tokenize(TextPrompt(text, add_special_tokens=False)).token_ids
    assert b"".join(map(BYTES.bytes_of, ids)) == text.encode()


@given(text=TEXT.filter(lambda text: text and "\u2581" not in text))
def test_bytes_that_are_spelled_out_are_those_of_the_text_and_the_space_before_it(text: str) -> None:
    ids = SENTENCEPIECE.tokenize(TextPrompt(text, add_special_tokens=False)).token_ids
    assert b"".join(map(SENTENCEPIECE.bytes_of, ids)) == (text if text[0] == " " else f" {text}").encode()


def test_a_part_of_a_character_has_its_own_bytes() -> None:
    euro = BYTES.tokenize(TextPrompt("€", add_special_tokens=False)).token_ids
    assert [BYTES.bytes_of(token) for token in euro] == [b"\xe2", b"\x82", b"\xac"]
    fallback = SENTENCEPIECE.tokenizer.token_to_id("<0xE2>")
    assert SENTENCEPIECE.bytes_of(fallback) == b"\xe2"


@pytest.mark.parametrize("codec", [BYTES, SENTENCEPIECE], ids=["byte level", "byte fallback"])
def test_special_tokens_have_bytes_only_where_the_text_shows_them(codec: TextCodec) -> None:
    for token, content in codec.special_tokens.items():
        assert codec.bytes_of(token) == content.encode()
        assert codec.shown_bytes_of(token) == b""
    word = codec.tokenize(TextPrompt("a", add_special_tokens=False)).token_ids[-1]
    assert codec.shown_bytes_of(word) == codec.bytes_of(word) != b""


def test_added_tokens_are_their_text() -> None:
    tokenizer = Tokenizer.from_str(BYTES.tokenizer.to_str())
    tokenizer.add_tokens([AddedToken("<think>"), AddedToken("\n\n"), AddedToken("日本")])
    found = TokenBytes(tokenizer)
    for text in ("<think>", "\n\n", "日本"):
        number = tokenizer.token_to_id(text)
        assert found.of(number) == text.encode() == tokenizer.decode([number]).encode()


def test_tokens_that_nobody_has_have_no_bytes() -> None:
    assert TokenBytes(BYTES.tokenizer).of(10**6) == b""


@pytest.mark.parametrize("tokenizer", [word_piece(), sentence_piece()], ids=["word pieces", "unigram"])
def test_pieces_of_words_join_as_their_decoder_joins_them(tokenizer: Tokenizer) -> None:
    found = TokenBytes(tokenizer)
    for number in range(tokenizer.get_vocab_size()):
        token = tokenizer.id_to_token(number)
        assert tokenizer.decoder.decode(["a", token]).encode() == b"a" + found.of(number)


def test_without_a_decoder_spaces_join_tokens() -> None:
    tokenizer = Tokenizer(models.WordLevel({"one": 0, "two": 1}, unk_token="one"))
    assert b"".join(map(TokenBytes(tokenizer).of, [0, 1])).decode() == " " + tokenizer.decode([0, 1])
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel()])
    assert TokenBytes(tokenizer).of(1) == b"two"
