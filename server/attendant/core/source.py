"""What an encoder-decoder reads besides the tokens it continues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

SOURCES = "sources"
"""Names the memory that has what encoders make of sources: keys and values for cross-attention."""


@dataclass(frozen=True, slots=True)
class Source:
    """One text or window of sound, as its encoder takes it.

    Attributes:
        arrays: text: input_ids [n] int64; sound: input_features [num_mel_bins, num_frames] float32.
        length: positions that the decoder attends to: n, or those that the encoder makes of a window.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    length: int
