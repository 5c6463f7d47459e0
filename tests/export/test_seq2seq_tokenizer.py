"""Tokenizers made of SentencePiece models; the pieces expected here are those of the sentencepiece library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attendant_export.errors import TokenizerError
from attendant_export.source.folder import SourceFolder
from attendant_export.words import read_words
from attendant_export.words.sentencepiece import convert
from tokenizers import Tokenizer

from tests.export.seq2seq_spm import write_m2m, write_marian

LANGUAGES = {"additional_special_tokens": ["__en__", {"content": "__fr__"}]}


@pytest.mark.parametrize(
    ("text", "pieces", "back"),
    [
        ("the cats", "▁the ▁cat s", "the cats"),
        ("  the   cat  at the hotel", "▁the ▁cat ▁a t ▁the ▁ h o t e l", "the cat at the hotel"),
        ("chat", "▁ c h a t", "chat"),  # a piece of the other language is not one of this language's
        ("Zed", "▁ <unk> e d", "ed"),
        (">>fra<< the cat", ">>fra<< ▁the ▁cat", "the cat"),
        ("", "", ""),
    ],
)
def test_marian(tmp_path: Path, text: str, pieces: str, back: str) -> None:
    vocabulary = write_marian(tmp_path)
    tokenizer = Tokenizer.from_str(convert(SourceFolder(tmp_path)))
    ids = tokenizer.encode(text).ids
    assert ids == [vocabulary[piece] for piece in [*pieces.split(), "</s>"]]
    assert tokenizer.decode(ids) == back
    assert tokenizer.decode([vocabulary["▁le"], vocabulary["▁chat"]]) == "le chat"
    # Tokens that no text has are spelt with a space before them.
    assert {token.lstrip(" "): index for token, index in tokenizer.get_vocab().items()} == vocabulary


@pytest.mark.parametrize(
    ("text", "pieces"), [("the cats", "▁the ▁cat s"), ("a thatch Zed", "▁ a ▁t h a t c h ▁ <unk> e d"), ("he", "▁ he")]
)
def test_m2m_100(tmp_path: Path, text: str, pieces: str) -> None:
    vocabulary = write_m2m(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(LANGUAGES), encoding="utf-8")
    tokenizer = Tokenizer.from_str(convert(SourceFolder(tmp_path)))
    assert tokenizer.encode(text).ids == [vocabulary[piece] for piece in [*pieces.split(), "</s>"]]
    # The languages are numbered after the vocabulary.
    assert [tokenizer.token_to_id(token) for token in ("__en__", "__fr__")] == [len(vocabulary), len(vocabulary) + 1]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "marian"}')
    with pytest.raises(TokenizerError, match=r"source\.spm and vocab\.json"):
        read_words(SourceFolder(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "m2m_100"}')
    write_m2m(tmp_path)
    with pytest.raises(TokenizerError, match="additional_special_tokens"):
        convert(SourceFolder(tmp_path))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(LANGUAGES), encoding="utf-8")
    assert convert(SourceFolder(tmp_path))
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"no model")
    with pytest.raises(TokenizerError, match="SentencePiece model"):
        convert(SourceFolder(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "marian"}')
    write_marian(tmp_path)
    (tmp_path / "vocab.json").write_text('{"a": 0}')
    with pytest.raises(TokenizerError, match="no token <unk>"):
        convert(SourceFolder(tmp_path))
