"""Rows of tokens, images or samples as the inputs of one run, and which part of its outputs is whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from attendant.bundle import RowLayout, TextInput, TextSource
from attendant.bundle.graph_io import (
    IMAGES,
    PACKED,
    PATCHES,
    PICKED_TOKENS,
    SOUND,
    SPECTRA,
    ImageRows,
    PackedRows,
    PaddedRows,
    PatchRows,
    PickedTokens,
    SoundRows,
    SpectrumRows,
    by_name,
)
from attendant.core.encoding import Row

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RowShape:
    """Where the rows of a run lie.

    Attributes:
        lengths: tokens (or samples) of each row, [num_rows] int64.
        starts: index of each row's first token among all tokens, [num_rows] int64.
        longest: the largest of ``lengths``.
        real: which places of the padded view hold tokens, [num_rows, longest] bool; row by row, they are the tokens of
            all rows in their order.
    """

    lengths: Ints
    starts: Ints
    longest: int
    real: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, lengths: Sequence[int]) -> RowShape:
        """The shape of rows so long; each has at least one token."""
        array = np.array(lengths, np.int64)
        longest = int(array.max())
        assert array.min() > 0, "a row has no token"
        return cls(array, np.cumsum(array) - array, longest, np.arange(longest) < array[:, None])

    @property
    def num_tokens(self) -> int:
        """The number of tokens of all rows."""
        return int(self.lengths.sum())


def text_inputs(
    rows: Sequence[Row], shape: RowShape, spec: TextInput | TextSource, layout: RowLayout, names: frozenset[str]
) -> dict[str, Array]:
    """The inputs for tokens that the graph takes, by ``names``."""
    ids = _joined(rows, PACKED.input_ids.name, shape)
    types = _joined(rows, PACKED.token_type_ids.name, shape) if PACKED.token_type_ids.name in names else ids
    inputs: PackedRows[Array] | PaddedRows[Array]
    if layout == "packed":
        inputs = _packed(ids, types, shape, spec)
    else:
        inputs = PaddedRows(
            input_ids=_padded(ids, shape, spec.pad_id),
            attention_mask=shape.real.astype(np.int64),
            token_type_ids=_padded(types, shape, 0),
        )
    feeds = by_name(inputs)
    if PICKED_TOKENS.logits_index.name in names:
        feeds |= by_name(PickedTokens(logits_index=_picked(rows, shape, layout)))
    return {name: array for name, array in feeds.items() if name in names}


def image_inputs(rows: Sequence[Row]) -> dict[str, Array]:
    """Those of images."""
    pixels = [row.arrays[IMAGES.pixel_values.name] for row in rows]
    return by_name(ImageRows(pixel_values=np.stack(pixels, dtype=np.float32)))


def patch_inputs(rows: Sequence[Row]) -> dict[str, Array]:
    """Those of patches of images."""
    pixels = np.stack([row.arrays[PATCHES.pixel_values.name] for row in rows], dtype=np.float32)
    shapes = np.stack([row.arrays[PATCHES.spatial_shapes.name] for row in rows], dtype=np.int64)
    return by_name(PatchRows(pixel_values=pixels, spatial_shapes=shapes))


def spectrum_inputs(rows: Sequence[Row]) -> dict[str, Array]:
    """Those of spectra of sound."""
    spectra = [row.arrays[SPECTRA.input_features.name] for row in rows]
    return by_name(SpectrumRows(input_features=np.stack(spectra, dtype=np.float32)))


def audio_inputs(rows: Sequence[Row], shape: RowShape, names: frozenset[str]) -> dict[str, Array]:
    """Those of sound that the graph takes, by ``names``."""
    values = np.zeros(shape.real.shape, np.float32)
    values[shape.real] = np.concatenate([row.arrays[SOUND.input_values.name] for row in rows])
    mask = shape.real.astype(np.int64) if SOUND.attention_mask.name in names else None
    return by_name(SoundRows(input_values=values, attention_mask=mask))


def _joined(rows: Sequence[Row], name: str, shape: RowShape) -> Ints:
    """The rows' arrays one after another, [num_tokens] int64; zeros for a row without."""
    parts = [
        row.arrays[name] if name in row.arrays else np.zeros(length, np.int64)
        for row, length in zip(rows, shape.lengths, strict=True)
    ]
    return np.concatenate(parts, dtype=np.int64)


def _packed(ids: Ints, types: Ints, shape: RowShape, spec: TextInput | TextSource) -> PackedRows[Array]:
    place = np.arange(shape.longest)  # in a row
    return PackedRows(
        input_ids=ids[None],
        position_ids=(np.arange(ids.size) - np.repeat(shape.starts, shape.lengths) + spec.position_offset)[None],
        token_type_ids=types[None],
        # [num_rows, longest]: the padding shows each row's last token again
        pad_index=shape.starts[:, None] + np.minimum(place, shape.lengths[:, None] - 1),
        unpad_index=np.flatnonzero(shape.real),
        attention_mask=shape.real.astype(np.int32),
    )


def _padded(values: Ints, shape: RowShape, filler: int) -> Ints:
    padded = np.full(shape.real.shape, filler, np.int64)
    padded[shape.real] = values
    return padded


def _picked(rows: Sequence[Row], shape: RowShape, layout: RowLayout) -> Ints:
    """``logits_index`` [num_logits] int64: each row's own, moved to where the row begins."""
    begins = shape.starts if layout == "packed" else np.arange(len(rows)) * shape.longest
    name = PICKED_TOKENS.logits_index.name
    picked = [row.arrays[name] + begin for row, begin in zip(rows, begins, strict=True)]
    return np.concatenate(picked, dtype=np.int64)
