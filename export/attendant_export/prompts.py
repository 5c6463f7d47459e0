"""The prompts that a finished graph is verified with and an 8-bit cache is calibrated with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant.bundle import KVLayer

from attendant_export.tracing.positions import reserved_positions

Ints = npt.NDArray[np.int64]
Encode = Callable[[str], list[int]]

_SHORTEST, _LONGEST = 24, 256  # tokens of a prompt; the longest only where a window asks for it


def sample_prompts(model: Any, layers: Sequence[KVLayer], context_length: int, encode: Encode | None) -> list[Ints]:
    """One row per text, all of one length: [length] int64. Random ids where ``encode`` is missing or gives too few.

    Of models that count positions on from padding, torch's would not count a padding token: there is none.
    """
    config, length = model.config.get_text_config(), _prompt_length(layers, context_length)
    rows = _prompts(config.vocab_size, length, encode)
    if reserved_positions(model):
        rows = [np.where(row == config.pad_token_id, (row + 1) % config.vocab_size, row) for row in rows]
    return rows


def _prompt_length(layers: Sequence[KVLayer], context_length: int) -> int:
    """Long enough to leave every window of a moderate size, within the context."""
    windows = [layer.window for layer in layers if layer.window and layer.window < _LONGEST]
    return min(context_length, _LONGEST, max([_SHORTEST, *(2 * window for window in windows)]))


_TEXTS = (
    "The quick brown fox jumps over the lazy dog while the city sleeps. ",
    "In 1969 two people walked on the Moon; the third waited in orbit and kept the engine warm. ",
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))  # prints 5\n",
)


def _prompts(vocab_size: int, length: int, encode: Encode | None) -> list[Ints]:
    """One row per text, each [length] int64."""
    generator = np.random.default_rng(0)
    rows = []
    for text in _TEXTS:
        tokens = encode(text * (1 + length // 8)) if encode is not None else []
        tokens = [token for token in tokens if token < vocab_size][:length]
        filler = generator.integers(0, vocab_size, length - len(tokens))
        rows.append(np.concatenate([np.array(tokens, np.int64), filler.astype(np.int64)]))
    return rows
