"""How byte-level vocabularies cut a text before their merges, by llama.cpp's names (``tokenizer.ggml.pre``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_REST_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ENGLISH = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LOWER, _UPPER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_LLAMA3 = rf"{_ENGLISH}|{_BEFORE}\p{{L}}+|\p{{N}}{{1,3}}|{_REST}"
_QWEN2 = rf"{_ENGLISH}|{_BEFORE}\p{{L}}+|\p{{N}}|{_REST}"
_TEKKEN = rf"{_BEFORE}{_UPPER}*{_LOWER}+|{_BEFORE}{_UPPER}+{_LOWER}*|\p{{N}}|{_REST_SLASH}"
_GPT4O = rf"{_BEFORE}{_UPPER}*{_LOWER}+{_ENGLISH}?|{_BEFORE}{_UPPER}+{_LOWER}*{_ENGLISH}?|\p{{N}}{{1,3}}|{_REST_SLASH}"


@dataclass(frozen=True)
class Split:
    """A way to cut.

    Attributes:
        pattern: of a piece. digits: whether each digit is a piece.
        composes: whether the model's own tokenizer composes characters first (NFC).
        whole: whether a piece that is a token is that one, whatever the merges make of it.
        begins: whether texts begin with the token for that, where the file does not say.
    """

    pattern: str
    digits: bool = False
    composes: bool = False
    whole: bool = False
    begins: bool = False


_BY_LLAMA3 = Split(_LLAMA3, whole=True, begins=True)
SPLITS: dict[str, Split] = {
    **dict.fromkeys(("gpt-2", "phi-2", "olmo", "mpt"), Split(_GPT2)),
    **dict.fromkeys(("smollm", "starcoder", "refact", "codeshell"), Split(_GPT2, digits=True)),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), _BY_LLAMA3),
    **dict.fromkeys(("smaug-bpe", "dbrx"), Split(_LLAMA3)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), Split(_QWEN2, composes=True)),
    "tekken": Split(_TEKKEN, whole=True, begins=True),
    "gpt-4o": Split(_GPT4O),
}
"""By name."""


def pre_tokenizer(split: Split) -> Any:
    """The pre-tokenizer that cuts so, into pieces of bytes."""
    from tokenizers import Regex, pre_tokenizers

    steps = [pre_tokenizers.Digits(individual_digits=True)] if split.digits else []
    return pre_tokenizers.Sequence(
        [
            *steps,
            pre_tokenizers.Split(Regex(split.pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
