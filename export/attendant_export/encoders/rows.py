"""Rows of tokens as the inputs of an encoder's graph: packed or padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant.bundle import RowLayout

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

_TOKENS: tuple[str | None, ...] = (None, "num_tokens")
_VIEW: tuple[str | None, ...] = ("num_rows", "max_length")
PACKED_DIMENSIONS: dict[str, tuple[str | None, ...]] = {
    "input_ids": _TOKENS,
    "position_ids": _TOKENS,
    "token_type_ids": _TOKENS,
    "pad_index": _VIEW,
    "unpad_index": ("num_tokens",),
    "attention_mask": _VIEW,
    "logits_index": ("num_logits",),
}
PADDED_DIMENSIONS: dict[str, tuple[str | None, ...]] = {
    "input_ids": _VIEW,
    "attention_mask": _VIEW,
    "token_type_ids": _VIEW,
    "logits_index": ("num_logits",),
}


def dimensions_of(layout: RowLayout) -> dict[str, tuple[str | None, ...]]:
    """Of the inputs of a layout for text."""
    return PACKED_DIMENSIONS if layout == "packed" else PADDED_DIMENSIONS


def feeds_of(
    layout: RowLayout,
    rows: Sequence[Ints],
    types: Sequence[Ints] | None = None,
    *,
    pad_id: int = 0,
    position_offset: int = 0,
    max_length: int = 0,
) -> dict[str, Array]:
    """The inputs of a graph for ``rows``, each [length] int64, and their token types (0 by default).

    ``max_length``: of the padded view, if it is to be longer than the longest row.
    """
    lengths = np.array([len(row) for row in rows])
    width = max(int(lengths.max()), max_length)
    mask = np.arange(width)[None] < lengths[:, None]  # [num_rows, width]
    types = types if types is not None else [np.zeros_like(row) for row in rows]
    if layout == "padded":
        padded = np.full(mask.shape, pad_id, np.int64)
        padded_types = np.zeros(mask.shape, np.int64)
        padded[mask], padded_types[mask] = np.concatenate(rows), np.concatenate(types)
        return {"input_ids": padded, "attention_mask": mask.astype(np.int64), "token_type_ids": padded_types}
    starts = lengths.cumsum() - lengths
    positions = np.concatenate([np.arange(length) for length in lengths]) + position_offset
    return {
        "input_ids": np.concatenate(rows)[None].astype(np.int64),
        "position_ids": positions[None].astype(np.int64),
        "token_type_ids": np.concatenate(types)[None].astype(np.int64),
        "pad_index": np.minimum(starts[:, None] + np.arange(width), lengths.sum() - 1).astype(np.int64),
        "unpad_index": np.flatnonzero(mask).astype(np.int64),
        "attention_mask": mask.astype(np.int32),
    }


def places_of(layout: RowLayout, rows: Sequence[Ints]) -> Ints:
    """[num_tokens] int64: where the graph's flattened output has the tokens of ``rows``, row by row."""
    if layout == "packed":
        return np.arange(sum(len(row) for row in rows))
    width = max(len(row) for row in rows)
    return np.concatenate([index * width + np.arange(len(row)) for index, row in enumerate(rows)])
