"""Small tokenizers of every kind that models come with, trained on a few lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LINES = (
    'The quick brown fox jumps over the lazy dog. {"name": "Ada", "age": 36, "tags": ["x", "y"]}',
    "Grüße aus Köln, 北京 и Москва 🙂 — naïve café, 1,234.5e-6 and <tags> [lists] (brackets).",
    "def main():\n    return {'a': 1}\n\n\tif x:\n        pass\n",
) * 4
SPECIAL = ("<unk>", "<s>", "</s>", "<|im_end|>")


def byte_level() -> Tokenizer:
    """As GPT-2, Llama 3, Qwen and SmolLM2 have it; with tokens added, special ones and others."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=list(SPECIAL), initial_alphabet=alphabet)
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.add_tokens([AddedToken("<tool_call>", special=False, normalized=False)])
    tokenizer.add_tokens([AddedToken("    ", special=False, normalized=False)])
    return tokenizer


def sentencepiece_bytes() -> Tokenizer:
    """As Llama 2, Mistral and Gemma have it: pieces with a sign for spaces, and bytes for what no piece has."""
    pieces = sorted({f"▁{word}" for line in LINES for word in line.split()} | set("▁" + "".join(LINES)) - {" "})
    vocab = dict.fromkeys((*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *(p for p in pieces if p.isascii())))
    ids = {token: place for place, token in enumerate((*vocab, "▁"))}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def unigram() -> Tokenizer:
    """As T5 and NLLB have it: pieces with a sign for spaces, and nothing for characters that no piece has."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=220, special_tokens=list(SPECIAL), unk_token="<unk>")
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def word_pieces() -> Tokenizer:
    """As BERT has it: words, and pieces that go on with one."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.train_from_iterator(LINES, trainers.WordPieceTrainer(vocab_size=200, special_tokens=list(SPECIAL)))
    return tokenizer


KINDS: Mapping[str, Callable[[], Tokenizer]] = MappingProxyType(
    {kind.__name__: kind for kind in (byte_level, sentencepiece_bytes, unigram, word_pieces)}
)


@lru_cache
def made(kind: str) -> Tokenizer:
    """The tokenizer of a kind, made once."""
    return KINDS[kind]()
