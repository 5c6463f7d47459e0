"""Small SentencePiece models, and vocabularies that number their pieces in an order of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PIECES = {"▁": -2.0, "▁the": -2.5, "▁cat": -3.0, "▁ca": -4.0, "s": -3.5, "t": -5.0, "h": -5.5, "e": -5.1, "▁a": -4.4}
LETTERS = dict.fromkeys("acdilno", -8.0)
TARGET_PIECES = ("▁chat", "▁le", "x")
MERGED = ("he", "▁t", "▁the", "▁c", "▁ca", "▁cat")  # of a BPE model, in the order of its merges


def model_bytes(kind: str = "unigram") -> bytes:
    """A serialised model."""
    from transformers.convert_slow_tokenizer import import_protobuf

    proto = import_protobuf().ModelProto()
    for piece, (score, type_) in pieces_of(kind).items():
        proto.pieces.add(piece=piece, score=score, type=type_)
    proto.trainer_spec.model_type = 1 if kind == "unigram" else 2
    proto.trainer_spec.unk_id = 0
    proto.normalizer_spec.add_dummy_prefix = True
    proto.normalizer_spec.remove_extra_whitespaces = True
    content: bytes = proto.SerializeToString()
    return content


def pieces_of(kind: str) -> dict[str, tuple[float, int]]:
    """Score and type (1 normal, 2 unknown, 3 control) by piece."""
    special = {"<unk>": (0.0, 2), "<s>": (0.0, 3), "</s>": (0.0, 3)}
    if kind == "unigram":
        return {**special, **{piece: (score, 1) for piece, score in {**PIECES, **LETTERS}.items()}}
    letters = [*LETTERS, "s", "t", "h", "e", "▁"]
    scores = {piece: float(-rank) for rank, piece in enumerate((*MERGED, *letters))}
    return {**special, **{piece: (score, 1) for piece, score in scores.items()}}


def write_marian(folder: Path) -> dict[str, int]:
    """source.spm, target.spm and vocab.json; returns the last one's content."""
    kept = [piece for piece in pieces_of("unigram") if piece not in ("<unk>", "<s>", "</s>")]
    tokens = ["</s>", "<unk>", ">>fra<<", *TARGET_PIECES, *reversed(kept), "<pad>"]
    return _write(folder, tokens, {"source.spm": model_bytes(), "target.spm": model_bytes()})


def write_m2m(folder: Path) -> dict[str, int]:
    """sentencepiece.bpe.model and vocab.json; returns the last one's content."""
    kept = [piece for piece in pieces_of("bpe") if piece not in ("<unk>", "<s>", "</s>")]
    return _write(folder, ["<s>", "<pad>", "</s>", "<unk>", *kept], {"sentencepiece.bpe.model": model_bytes("bpe")})


def _write(folder: Path, tokens: list[str], models: dict[str, bytes]) -> dict[str, int]:
    vocabulary: dict[str, Any] = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    for name, content in models.items():
        (folder / name).write_bytes(content)
    return vocabulary
