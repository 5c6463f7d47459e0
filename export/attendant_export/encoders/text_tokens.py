"""How a text encoder's tokens are made and counted: its tokenizer, its longest row, and the rows it is tried with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer, normalizers

from attendant_export.encoders.rows import Ints
from attendant_export.texts import sentences, verification_text
from attendant_export.tracing.positions import reserved_positions

_TEXTS = (
    "The quick brown fox jumps over the lazy dog while the city sleeps. ",
    "In 1969 two people walked on the Moon; the third waited in orbit and kept the engine warm. ",
    "The apple was juicy, but the bread was stale and the tea had gone cold long ago. ",
    "Apple stock crashed on Monday after a quarter in which fewer phones were sold. ",
)
_LENGTHS = (41, 7, 24, 4, 120)
_LONG = 160  # a row beyond the usual windows
_MOST_TOKENS = 560  # packed together: more than the position table of most models has places
_SENTENCES = 24
_PLANTED_MOST = 3  # one less in the fullest row
_NO_LIMIT = 1_000_000  # tokenizer configs say 1e30 for none
_DEFAULT_LENGTH = 512


def bundled_tokenizer(tokenizer_json: str, *, lowercase: bool = False) -> str:
    """The tokenizer.json of a bundle: it neither pads nor truncates, which the server does, openly."""
    if lowercase:
        tokenizer = Tokenizer.from_str(tokenizer_json)
        steps = [normalizers.Lowercase()] + ([tokenizer.normalizer] if tokenizer.normalizer is not None else [])
        tokenizer.normalizer = normalizers.Sequence(steps)
        tokenizer_json = tokenizer.to_str()
    content = json.loads(tokenizer_json)
    content["truncation"] = content["padding"] = None
    return json.dumps(content, ensure_ascii=False)


def max_tokens(model: Any, tokenizer_config: Mapping[str, Any], limit: int | None = None) -> int:
    """The longest row: the least of ``limit``, what the tokenizer says, and what the position table has room for."""
    config = model.config
    limits = [limit, tokenizer_config.get("model_max_length")]
    table = getattr(config, "max_position_embeddings", None)
    if isinstance(table, int) and table > 0:
        limits.append(table - reserved_positions(model))
    found = [int(value) for value in limits if isinstance(value, int | float) and 0 < value < _NO_LIMIT]
    return min(found, default=int(getattr(config, "n_positions", None) or _DEFAULT_LENGTH))


def pad_id(model: Any) -> int:
    """The token that fills rows up."""
    found = getattr(model.config.get_text_config(), "pad_token_id", None)
    return found if isinstance(found, int) and found >= 0 else 0


def trial_rows(model: Any, longest: int, tokenizer_json: str | None, planted: Sequence[int | None] = ()) -> list[Ints]:
    """Rows of very different lengths, each [length] int64, of texts where there is a tokenizer.

    ``planted``: tokens that models make something special of; rows have different numbers of each, some none.
    """
    lengths = [min(length, longest) for length in _LENGTHS]
    table = getattr(model.config, "max_position_embeddings", None) or 0
    while sum(lengths) <= min(table, _MOST_TOKENS):
        lengths.append(min(longest, _LONG))
    vocabulary = model.config.get_text_config().vocab_size
    tokenizer = Tokenizer.from_str(tokenizer_json) if tokenizer_json is not None else None
    generator = np.random.default_rng(0)
    rows = []
    for index, length in enumerate(lengths):
        ids = encoded(tokenizer, _TEXTS[index % len(_TEXTS)] * (1 + length // 8), length)
        if len(ids) != length or max(ids) >= vocabulary:
            ids = generator.integers(min(5, vocabulary - 1), vocabulary, length).tolist()
            end = getattr(model.config.get_text_config(), "eos_token_id", None)
            if isinstance(end, int) and 0 <= end < vocabulary:
                ids[-1] = end  # some heads read the vector of this token
        rows.append(_planted(ids, index, [token for token in planted if token is not None and token < vocabulary]))
    return rows


def _planted(ids: list[int], index: int, tokens: Sequence[int]) -> Ints:
    """A row with some of its tokens replaced, but for the first and last ones: those at both ends are often special."""
    row = np.array(ids, np.int64)
    for offset, token in enumerate(tokens):
        places = range(2 + offset, len(ids) - 2, 3 + 2 * len(tokens))
        row[list(places)[: index % _PLANTED_MOST]] = token
    return row


def natural_rows(
    model: Any, longest: int, tokenizer_json: str | None, text: str | None = None, most: int = _SENTENCES
) -> list[Ints]:
    """Sentences of ``text``, by default those that calibration never saw, each [length] int64; none without a tokenizer
    that knows them."""
    if tokenizer_json is None:
        return []
    vocabulary = model.config.get_text_config().vocab_size
    tokenizer = Tokenizer.from_str(tokenizer_json)
    found = (encoded(tokenizer, text, longest) for text in sentences(text or verification_text())[:most])
    return [np.array(ids, np.int64) for ids in found if ids and max(ids) < vocabulary]


def encoded(tokenizer: Tokenizer | None, text: str, length: int) -> list[int]:
    """The first ``length`` tokens of a text, special ones counted; none where those leave no room."""
    if tokenizer is None:
        return []
    try:
        tokenizer.enable_truncation(length)
        ids: list[int] = tokenizer.encode(text).ids
    except BaseException:  # noqa: BLE001 - tokenizers panics where a length leaves no room for the special tokens
        return []
    return ids
