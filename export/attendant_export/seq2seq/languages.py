"""The languages of a translator, from the tokens of its tokenizer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from attendant.bundle import Languages, Seq2SeqRules

_MBART_50_ONLY = "xh_ZA"
SourceParts = tuple[Literal["language", "text", "eos"], ...]


@dataclass(frozen=True)
class _Spelling:
    """``pattern``: of a language's token; its first group is the code. ``source``, ``target``: see
    :class:`attendant.bundle.Languages`."""

    pattern: str
    source: SourceParts
    target: Literal["start", "first", "source"]


_MBART = _Spelling(r"([a-z]{2,3}_[A-Z]{2})", ("text", "eos", "language"), "start")
_MBART_50 = _Spelling(r"([a-z]{2,3}_[A-Z]{2})", ("language", "text", "eos"), "first")
_M2M = _Spelling(r"__([a-z]{2,3})__", ("language", "text", "eos"), "first")
_NLLB = _Spelling(r"([a-z]{3}_[A-Z][a-z]{3})", ("language", "text", "eos"), "first")
_NLLB_LEGACY = _Spelling(r"([a-z]{3}_[A-Z][a-z]{3})", ("text", "eos", "language"), "first")
_MARIAN = _Spelling(r">>([^<>]+)<<", ("text", "eos"), "source")


def languages_of(
    model_type: str, tokens: Mapping[str, int], tokenizer_config: Mapping[str, Any], rules: Seq2SeqRules
) -> Languages | None:
    """The section ``languages`` of a model's manifest; None for a model that is told none.

    Args:
        tokens: ids of all tokens.
        tokenizer_config: content of tokenizer_config.json.
    """
    for spelling in _spellings(model_type, tokens, tokenizer_config):
        matches = ((re.fullmatch(spelling.pattern, token), index) for token, index in tokens.items())
        codes = {match[1]: index for match, index in matches if match is not None}
        if not codes:
            continue
        names = {index: code for code, index in codes.items()}
        told = rules.start[-1] if spelling.target == "start" else rules.forced_first
        source, target = (tokenizer_config.get(key) for key in ("src_lang", "tgt_lang"))
        return Languages(
            tokens=dict(sorted(codes.items())),
            source=spelling.source,
            target=spelling.target,
            default_source=_code(source, codes, spelling),
            default_target=names.get(told if told is not None else -1) or _code(target, codes, spelling),
        )
    return None


def _spellings(
    model_type: str, tokens: Mapping[str, int], tokenizer_config: Mapping[str, Any]
) -> tuple[_Spelling, ...]:
    tokenizer = str(tokenizer_config.get("tokenizer_class") or "")
    if model_type == "mbart":
        return (_MBART_50,) if tokenizer.startswith("MBart50") or _MBART_50_ONLY in tokens else (_MBART,)
    if model_type == "m2m_100":
        return (_M2M, _NLLB_LEGACY if tokenizer_config.get("legacy_behaviour") else _NLLB)
    return (_MARIAN,) if model_type == "marian" else ()


def _code(name: object, codes: Mapping[str, int], spelling: _Spelling) -> str | None:
    """The code of a language that a tokenizer's config names, as code or as token."""
    if not isinstance(name, str):
        return None
    match = re.fullmatch(spelling.pattern, name)
    code = match[1] if match is not None else name
    return code if code in codes else None
