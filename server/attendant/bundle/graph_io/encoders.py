"""The ports of graphs that encode: rows of text, packed or padded, of images or of sound, and what is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from attendant.bundle.graph_io.decoders import VOCABULARY
from attendant.bundle.graph_io.port import Port, Size, declared, port

T = TypeVar("T")

_HIDDEN, _LABELS, _DIMENSIONS = Size("hidden_size"), Size("num_labels"), Size("dimensions")


@dataclass(frozen=True, slots=True)
class PackedRows(Generic[T]):
    """Text in layout ``packed``: the tokens of all rows in one, and a padded view of them where attention needs it."""

    input_ids: T = port("int64", 1, "num_tokens", means="the tokens")
    position_ids: T = port("int64", 1, "num_tokens", means="their positions, from position_offset on in each row")
    token_type_ids: T = port("int64", 1, "num_tokens", means="which of two texts a token is of, 0 or 1")
    pad_index: T = port(
        *("int64", "num_rows", "max_length"),
        means="for each place of the padded view the index of its token, any one in the padding",
    )
    unpad_index: T = port("int64", "num_tokens", means="the place of each token in the flattened padded view")
    attention_mask: T = port("int32", "num_rows", "max_length", means="1 for the places of tokens")


@dataclass(frozen=True, slots=True)
class PaddedRows(Generic[T]):
    """Text in the layouts ``padded`` and ``equal``."""

    input_ids: T = port("int64", "num_rows", "max_length", means="the tokens, pad_id after the end of a row")
    attention_mask: T = port("int64", "num_rows", "max_length", means="1 for tokens")
    token_type_ids: T = port("int64", "num_rows", "max_length", means="which of two texts a token is of, 0 or 1")


@dataclass(frozen=True, slots=True)
class PickedTokens(Generic[T]):
    """What a graph takes besides that gives logits of some tokens only."""

    logits_index: T = port(
        "int64", "num_logits", means="which ones, by packed index or by place in the flattened padded view"
    )


@dataclass(frozen=True, slots=True)
class ImageRows(Generic[T]):
    """Images of one size."""

    pixel_values: T = port(
        "float32", "num_rows", 3, Size("height"), Size("width"), means="red, green and blue, scaled and shifted"
    )


@dataclass(frozen=True, slots=True)
class PatchRows(Generic[T]):
    """Patches of images that keep their shape."""

    pixel_values: T = port(
        *("float32", "num_rows", Size("max_patches"), Size("patch_values")),
        means="the patches of each image line by line, each pixel by pixel, red, green and blue; 0 after the last one",
    )
    spatial_shapes: T = port("int64", "num_rows", 2, means="how many patches each image is high and wide")


@dataclass(frozen=True, slots=True)
class SoundRows(Generic[T]):
    """Sound as samples; in layout ``equal`` all rows of a run are equally long, and there is no mask."""

    input_values: T = port("float32", "num_rows", "num_samples", means="the samples, 0 after the end of a row")
    attention_mask: T = port("int64", "num_rows", "num_samples", means="1 for samples of the row")


@dataclass(frozen=True, slots=True)
class SpectrumRows(Generic[T]):
    """Windows of sound as log-mel spectra, the sources of speech models."""

    input_features: T = port("float32", "num_rows", Size("num_mel_bins"), Size("window_frames"), means="of each window")


PACKED: PackedRows[Port] = declared(PackedRows)
PADDED: PaddedRows[Port] = declared(PaddedRows)
PICKED_TOKENS: PickedTokens[Port] = declared(PickedTokens)
IMAGES: ImageRows[Port] = declared(ImageRows)
PATCHES: PatchRows[Port] = declared(PatchRows)
SOUND: SoundRows[Port] = declared(SoundRows)
SPECTRA: SpectrumRows[Port] = declared(SpectrumRows)

ROW_LOGITS = Port("logits", "float32", ("num_rows", _LABELS), "of each row, by label")
TOKEN_LOGITS = Port("logits", "float32", ("num_tokens", _LABELS), "of each token, by label, or of start and end")
PICKED_LOGITS = Port("logits", "float32", ("num_logits", VOCABULARY), "of the tokens that are named")
FRAME_LOGITS = Port("logits", "float32", ("num_rows", "num_frames", VOCABULARY), "of each frame")
EMBEDDING = Port("embedding", "float32", ("num_rows", _DIMENSIONS), "a vector for each row")
TOKEN_EMBEDDINGS = Port("token_embeddings", "float32", ("num_tokens", _HIDDEN), "a vector for each token")

POOLED = Port("pooled", "float32", ("num_rows", _HIDDEN), "what pooling made of each row's tokens")


def in_layout(output: Port, *, packed: bool) -> Port:
    """The port of an output of text: by token in layout ``packed``, by place of the view where rows are padded."""
    if packed or output.dims[0] != "num_tokens":
        return output
    return Port(output.name, output.dtype, ("num_rows", "max_length", *output.dims[1:]), output.meaning)
