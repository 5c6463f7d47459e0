"""The types of tensors: what numpy has for each, and which field of a message holds its elements one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from attendant.rpc.openinference.ports import Datatype


@dataclass(frozen=True, slots=True)
class Kind:
    """How elements of a type are held.

    Attributes:
        dtype: as they are on the wire, little-endian; ``object`` for BYTES, whose elements have no common size.
        field: of InferTensorContents; None: they are raw only.
    """

    dtype: np.dtype[Any]
    field: str | None


KINDS: Mapping[Datatype, Kind] = {
    "BOOL": Kind(np.dtype(np.bool_), "bool_contents"),
    "UINT8": Kind(np.dtype("u1"), "uint_contents"),
    "UINT16": Kind(np.dtype("<u2"), "uint_contents"),
    "UINT32": Kind(np.dtype("<u4"), "uint_contents"),
    "UINT64": Kind(np.dtype("<u8"), "uint64_contents"),
    "INT8": Kind(np.dtype("i1"), "int_contents"),
    "INT16": Kind(np.dtype("<i2"), "int_contents"),
    "INT32": Kind(np.dtype("<i4"), "int_contents"),
    "INT64": Kind(np.dtype("<i8"), "int64_contents"),
    "FP16": Kind(np.dtype("<f2"), None),
    "BF16": Kind(np.dtype("<u2"), None),
    "FP32": Kind(np.dtype("<f4"), "fp32_contents"),
    "FP64": Kind(np.dtype("<f8"), "fp64_contents"),
    "BYTES": Kind(np.dtype(object), "bytes_contents"),
}
