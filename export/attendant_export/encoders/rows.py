"""Rows of tokens as the inputs of an encoder's graph: packed or padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant.bundle import RowLayout
from attendant.bundle.graph_io import PICKED_TOKENS, PackedRows, PaddedRows, by_name, ports_of, symbols_of, text_ports

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[Any]


def dimensions_of(layout: RowLayout) -> dict[str, tuple[str | None, ...]]:
    """The dimensions of the inputs of a layout for text."""
    return symbols_of(*text_ports(layout), *ports_of(PICKED_TOKENS))


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
        return by_name(PaddedRows(input_ids=padded, attention_mask=mask.astype(np.int64), token_type_ids=padded_types))
    starts = lengths.cumsum() - lengths
    positions = np.concatenate([np.arange(length) for length in lengths]) + position_offset
    packed: PackedRows[Array] = PackedRows(
        input_ids=np.concatenate(rows)[None].astype(np.int64),
        position_ids=positions[None].astype(np.int64),
        token_type_ids=np.concatenate(types)[None].astype(np.int64),
        pad_index=np.minimum(starts[:, None] + np.arange(width), lengths.sum() - 1).astype(np.int64),
        unpad_index=np.flatnonzero(mask).astype(np.int64),
        attention_mask=mask.astype(np.int32),
    )
    return by_name(packed)


def places_of(layout: RowLayout, rows: Sequence[Ints]) -> Ints:
    """[num_tokens] int64: where the graph's flattened output has the tokens of ``rows``, row by row."""
    if layout == "packed":
        return np.arange(sum(len(row) for row in rows))
    width = max(len(row) for row in rows)
    return np.concatenate([index * width + np.arange(len(row)) for index, row in enumerate(rows)])
